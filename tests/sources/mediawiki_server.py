"""A server on this host that answers as MediaWiki's api.php does, mishaps included."""

import io
import json
import re
import threading
import time
import unicodedata
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, urlsplit

from PIL import Image

MAX_TITLES = 50
"""Of a request; more is an error."""
INTERWIKI = {
    **{c: f"https://{c}.wikipedia.org/wiki/" for c in ("en", "de", "ka", "xmf")},
    "wikt": "https://en.wiktionary.org/wiki/",
}
NAMESPACES = {"special": -1, "talk": 1, "category": 14}


@dataclass
class Page:
    """A page of a wiki. Redirects are titles, or a title and a section."""

    title: str
    extract: str = ""
    item: str | None = None
    redirects: list = field(default_factory=list)
    disambiguation: bool = False
    picture: str | None = None
    description: str | None = None
    languages: int | None = None


class WikiServer(ThreadingHTTPServer):
    """Serves /LANGUAGE/w/api.php of several wikis, and /pictures/NAME.

    wikis (dict[str, list[Page]]): by language.
    extracts, redirects (int): how many of them one answer holds, as on Wikipedia.
    mishaps (deque): what goes wrong with the next requests; None = nothing.
    asked (list): the parameters of each request to the API, with "language".
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, wikis):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.wikis = {language: _Wiki(pages) for language, pages in wikis.items()}
        self.extracts, self.redirects = 20, 500
        self.lag = 0.0
        self.mishaps = deque()
        self.asked, self.headers, self.pictures_asked = [], [], []
        self.pictures = {}

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def api(self):
        return f"{self.url}/{{lang}}/w/api.php"

    def titles_asked(self):
        return [title for asked in self.asked for title in asked["titles"].split("|")]

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


def png(colour, size=(8, 6)):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, format="PNG")
    return buffer.getvalue()


# Mishaps: each gets the handler and answers in place of the API.


def status(code, retry_after=None):
    def answer(handler):
        handler.send_response(code)
        if retry_after is not None:
            handler.send_header("Retry-After", str(retry_after))
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def moved(url):
    def answer(handler):
        handler.send_response(301)
        handler.send_header("Location", url)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def api_error(code, retry_after=None):
    def answer(handler):
        headers = {"MediaWiki-API-Error": code}
        if retry_after is not None:
            headers["Retry-After"] = str(retry_after)
        error = {"code": code, "info": f"The info of {code}.", "docref": "See …"}
        handler.json({"error": error, "servedby": "mw1"}, headers)

    return answer


def garbage(text):
    return lambda handler: handler.body(text.encode(), "text/html")


def cut_off(handler):
    """The connection breaks within the answer."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"batch')
    handler.close_connection = True


def hung_up(handler):
    """The connection breaks before the answer."""
    handler.close_connection = True


def slow(seconds):
    return lambda handler: time.sleep(seconds)


def warning(module, text):
    """An answer with a warning, as of a wiki that lacks an extension."""

    def answer(handler):
        handler.warnings = {module: {"warnings": text}}
        handler.api()

    return answer


class Answering(BaseHTTPRequestHandler):
    """Answers with JSON or bytes, and logs nothing."""

    protocol_version = "HTTP/1.1"
    # Otherwise a body waits for the acknowledgement of its header.
    disable_nagle_algorithm = True

    def json(self, value, headers=None):
        self.body(json.dumps(value).encode(), "application/json", headers)

    def body(self, data, kind, headers=None):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for key, text in (headers or {}).items():
            self.send_header(key, text)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


class _Handler(Answering):
    warnings = None

    def do_GET(self):
        self.parts = urlsplit(self.path)
        folders = self.parts.path.split("/")
        if folders[1] == "pictures":
            self.server.pictures_asked.append(folders[2])
        else:
            query = parse_qs(self.parts.query, keep_blank_values=True)
            self.parameters = {key: values[-1] for key, values in query.items()}
            self.language = folders[1]
            self.server.asked.append({**self.parameters, "language": self.language})
        self.server.headers.append(dict(self.headers))
        mishap = self.server.mishaps.popleft() if self.server.mishaps else None
        if mishap is not None:
            mishap(self)
        elif folders[1] == "pictures":
            self.picture(folders[2])
        elif folders[2:] == ["w", "api.php"]:
            self.api()
        else:
            status(404)(self)

    def picture(self, name):
        data = self.server.pictures.get(name)
        if data is None:
            status(404)(self)
        else:
            self.body(data, "image/png")

    def api(self):
        server, asked = self.server, self.parameters
        assert asked["action"] == "query" and asked["formatversion"] == "2"
        if server.lag > float(asked.get("maxlag", "inf")):
            info = f"Waiting for db1: {server.lag} seconds lagged."
            error = {"code": "maxlag", "info": info, "host": "db1", "lag": server.lag}
            headers = {"Retry-After": "5", "X-Database-Lag": str(int(server.lag))}
            self.json({"error": error}, headers)
            return
        if len(asked["titles"].split("|")) > MAX_TITLES:
            api_error("toomanyvalues")(self)
            return
        answer = server.wikis[self.language].query(self.language, asked, server)
        self.json({**answer, **({"warnings": self.warnings} if self.warnings else {})})


class _Wiki:
    def __init__(self, pages):
        self.pages = {page.title: page for page in pages}
        self.ids = {title: 100 + i for i, title in enumerate(self.pages)}
        self.leads_to, self.sections, self.variants = {}, {}, {}
        for page in pages:
            for redirect in page.redirects:
                title, section = (
                    redirect if isinstance(redirect, tuple) else (redirect, None)
                )
                self.leads_to[title] = page.title
                self.sections[title] = section

    def query(self, language, asked, server):
        query, targets, invalid = self._resolve(language, asked)
        done = asked.get("continue", "||").split("||")[1].split("|")
        modules = [m for m in asked["prop"].split("|") if m not in done]
        pages = {title: self._bare(title, language, server) for title in targets}
        there = sorted((t for t in targets if t in self.pages), key=self.ids.get)
        further = {}
        if "info" in modules:
            for title in targets:
                name = quote(title.replace(" ", "_"))
                url = f"https://{language}.wikipedia.org/wiki/{name}"
                pages[title] |= {"fullurl": url, "canonicalurl": url, "editurl": "…"}
                if title in self.pages:
                    pages[title]["lastrevid"] = 9000 + self.ids[title]
        if "extracts" in modules:
            assert asked["exintro"] and asked["explaintext"]
            start = int(asked.get("excontinue", 0))
            for title in there[start : start + server.extracts]:
                pages[title]["extract"] = self.pages[title].extract
            if len(there) > start + server.extracts:
                further["excontinue"] = start + server.extracts
        if "redirects" in modules:
            self._redirects(there, asked, server.redirects, pages, further)
        for title in there:
            pages[title] |= self._small(title, modules, asked, server)
        answer = {"query": {**query, "pages": [*invalid, *pages.values()]}}
        if not further:
            return {"batchcomplete": True, **answer}
        unfinished = {"excontinue": "extracts", "rdcontinue": "redirects"}
        open_ = {unfinished[key] for key in further}
        finished = [m for m in asked["prop"].split("|") if m not in open_]
        return {
            "continue": {**further, "continue": "||" + "|".join(finished)},
            **answer,
        }

    def _resolve(self, language, asked):
        """RETURNS: what was done to titles, the pages they mean, and the invalid."""
        query = {}
        targets, invalid = {}, []
        for title in asked["titles"].split("|"):
            if re.search(r"[<>\[\]{}]", title) or not title.strip(" _:"):
                reason = "The requested page title contains invalid characters."
                invalid.append(
                    {"title": title, "invalidreason": reason, "invalid": True}
                )
                continue
            name = _normalised(title)
            if name != title:
                # Text that is not NFC would be NFC in the answer, unless encoded.
                encoded = not unicodedata.is_normalized("NFC", title)
                asked_as = quote(title, safe="") if encoded else title
                entry = {"fromencoded": encoded, "from": asked_as, "to": name}
                query.setdefault("normalized", []).append(entry)
            prefix = name.partition(":")[0].lower()
            if prefix in INTERWIKI and prefix != language:
                url = INTERWIKI[prefix] + quote(name.partition(":")[2].strip())
                entry = {"title": name, "iw": prefix}
                if "iwurl" in asked:
                    entry["url"] = url
                query.setdefault("interwiki", []).append(entry)
                continue
            if name in self.variants and "converttitles" in asked:
                entry = {"from": name, "to": self.variants[name]}
                query.setdefault("converted", []).append(entry)
                name = self.variants[name]
            if name in self.leads_to and "redirects" in asked:
                entry = {"from": name, "to": self.leads_to[name]}
                if self.sections[name]:
                    entry["tofragment"] = self.sections[name]
                query.setdefault("redirects", []).append(entry)
                name = self.leads_to[name]
            targets[name] = None
        return query, targets, invalid

    def _bare(self, title, language, server):
        ns = NAMESPACES.get(title.partition(":")[0].lower(), 0)
        if ns < 0:
            return {"ns": ns, "title": title, "special": True}
        if title not in self.pages:
            return {"ns": ns, "title": title, "missing": True}
        return {"pageid": self.ids[title], "ns": ns, "title": title}

    def _redirects(self, there, asked, limit, pages, further):
        assert (asked["rdnamespace"], asked["rdshow"]) == ("0", "!fragment")
        rows = [
            (title, redirect)
            for title in there
            for redirect in self.pages[title].redirects
            if not isinstance(redirect, tuple)
        ]
        start = int(asked.get("rdcontinue", "0").partition("|")[0])
        for title, redirect in rows[start : start + limit]:
            entry = {"ns": 0, "title": redirect}
            pages[title].setdefault("redirects", []).append(entry)
        if len(rows) > start + limit:
            further["rdcontinue"] = f"{start + limit}|0"

    def _small(self, title, modules, asked, server):
        """The properties that fit into any answer."""
        page, found = self.pages[title], {}
        if "pageprops" in modules:
            properties = {}
            if page.item:
                properties["wikibase_item"] = page.item
            if page.disambiguation:
                properties["disambiguation"] = ""
            if properties:
                found["pageprops"] = properties
        if "pageimages" in modules and page.picture:
            if "thumbnail" in asked["piprop"]:
                width = int(asked["pithumbsize"])
                source = f"{server.url}/pictures/{width}px-{page.picture}"
                found["thumbnail"] = {"source": source, "width": width, "height": 9}
            if "original" in asked["piprop"]:
                found["original"] = {"source": f"{server.url}/pictures/{page.picture}"}
            found["pageimage"] = page.picture
        if "description" in modules and page.description:
            found["description"] = page.description
            found["descriptionsource"] = "local"
        if "langlinkscount" in modules and page.languages is not None:
            found["langlinkscount"] = page.languages
        return found


def _normalised(title):
    name = " ".join(unicodedata.normalize("NFC", title).replace("_", " ").split())
    prefix, colon, rest = name.partition(":")
    if colon and prefix.lower() in NAMESPACES:
        rest = rest.strip()
        return f"{prefix.capitalize()}:{rest[:1].upper()}{rest[1:]}"
    if colon and prefix.lower() in INTERWIKI:
        return f"{prefix.lower()}:{rest.strip()}"
    # Unlike Python, MediaWiki knows no capitals of Georgian.
    first = name[:1] if "ა" <= name[:1] <= "ჿ" else name[:1].upper()
    return first + name[1:]
