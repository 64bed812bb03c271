"""A server on this host with pictures: those of a site of its own, and those of
Wikimedia's wikis, whose API it answers."""

import threading
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit

from mediawiki_server import MAX_TITLES, Answering, api_error, png, status

CC_BY = {
    "LicenseShortName": {"value": "CC BY-SA 4.0", "source": "commons-desc-page"},
    "LicenseUrl": {"value": "https://creativecommons.org/licenses/by-sa/4.0"},
    "Artist": {
        "value": '<a href="//commons.wikimedia.org/wiki/User:Ann" title="x">Ann&nbsp;B'
        '</a><span style="display: none;">Ann B</span>'
    },
    "Credit": {
        "value": '<style>.x{}</style><span class="int-own-work">Own work</span>'
    },
}


@dataclass
class Media:
    """A file of a wiki.

    width (int): of the original. Drawings have thumbnails of any width.
    """

    colour: str = "red"
    width: int = 2000
    mime: str = "image/jpeg"
    mediatype: str = "BITMAP"
    metadata: dict | list = field(default_factory=lambda: CC_BY)
    redirect: str | None = None

    def thumbnail(self, name, width):
        """RETURNS: path and width of a picture, as Wikimedia has them."""
        drawn = self.mediatype == "DRAWING" or self.mime == "image/tiff"
        if not drawn and self.width <= width:
            return f"/file/{quote(name)}", self.width
        suffix = {"image/svg+xml": ".png", "image/tiff": ".jpg"}.get(self.mime, "")
        return f"/thumb/{width}px-{quote(name)}{suffix}", width


class PictureServer(ThreadingHTTPServer):
    """Serves /own/NAME, /HOST/w/api.php of wikis, /thumb/… and /file/… of their files.

    files (dict[str, dict[str, Media]]): by wiki and name.
    own (dict[str, bytes]): by name.
    mishaps (dict[str, deque]): what goes wrong with the next requests of a path.
    asked (list[str]): paths, in order, and `times` when; batches: titles of each
        request to an API.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = {"commons.wikimedia.org": {}}
        self.own = {}
        self.mishaps = defaultdict(deque)
        self.asked, self.times, self.batches, self.headers = [], [], [], []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.part = MAX_TITLES

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def api(self):
        return f"{self.url}/{{lang}}/w/api.php"

    @property
    def commons(self):
        return self.files["commons.wikimedia.org"]

    def __enter__(self):
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request, client_address):
        """A client that gave up is no news."""


class _Handler(Answering):
    def do_GET(self):
        server = self.server
        parts = urlsplit(self.path)
        with server.lock:
            server.asked.append(parts.path)
            server.times.append(time.monotonic())
            server.headers.append(dict(self.headers))
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
            mishaps = server.mishaps[parts.path]
            mishap = mishaps.popleft() if mishaps else None
        try:
            if mishap is not None:
                mishap(self)
            else:
                self.answer(unquote(parts.path), parse_qs(parts.query))
        finally:
            with server.lock:
                server.at_once -= 1

    def answer(self, path, query):
        _, first, name = path.split("/", 2)
        if name == "w/api.php":
            self.api(first, {key: values[-1] for key, values in query.items()})
        elif first == "own" and name in self.server.own:
            self.body(self.server.own[name], "image/png")
        elif first in ("thumb", "file"):
            name = name.partition("px-")[2] or name
            for files in self.server.files.values():
                for title in (name, name[:-4]):
                    if title in files:
                        self.body(png(files[title].colour), "image/png")
                        return
            status(404)(self)
        else:
            status(404)(self)

    def api(self, wiki, asked):
        titles = asked["titles"].split("|")
        self.server.batches.append(titles)
        assert asked["prop"] == "imageinfo" and asked["maxlag"]
        if len(titles) > MAX_TITLES:
            api_error("toomanyvalues")(self)
            return
        query, pages = {}, []
        start = int(asked.get("iicontinue", 0))
        for number, title in enumerate(titles):
            name = " ".join(title.removeprefix("File:").split())
            name = name[0].upper() + name[1:]
            if f"File:{name}" != title:
                change = {"fromencoded": False, "from": title, "to": f"File:{name}"}
                query.setdefault("normalized", []).append(change)
            media = self.server.files[wiki].get(name)
            if media is not None and media.redirect:
                change = {"from": f"File:{name}", "to": f"File:{media.redirect}"}
                query.setdefault("redirects", []).append(change)
                name, media = media.redirect, self.server.files[wiki][media.redirect]
            page = {"ns": 6, "title": f"File:{name}", "imagerepository": "local"}
            if media is None:
                page |= {"missing": True, "imagerepository": ""}
            elif start <= number < start + self.server.part:
                page["imageinfo"] = [self.info(wiki, name, media, asked)]
            pages.append(page)
        answer = {"query": {**query, "pages": pages}}
        if start + self.server.part < len(titles):
            further = {"iicontinue": str(start + self.server.part), "continue": "||"}
            answer["continue"] = further
        elif len(titles) == 1 and "iistart" not in asked:
            answer["continue"] = {"iistart": "2009-01-01T00:00:00Z", "continue": "||"}
        self.json(answer)

    def info(self, wiki, name, media, asked):
        path, width = media.thumbnail(name, int(asked["iiurlwidth"]))
        return {
            "size": 9,
            "width": media.width,
            "height": 9,
            "thumburl": self.server.url + path,
            "thumbwidth": width,
            "thumbheight": 9,
            "url": f"{self.server.url}/file/{quote(name)}",
            "descriptionurl": f"https://{wiki}/wiki/File:{quote(name)}",
            "mime": media.mime,
            "mediatype": media.mediatype,
            "extmetadata": media.metadata,
        }
