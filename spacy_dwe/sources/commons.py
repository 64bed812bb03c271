"""Files of Wikimedia Commons and of the Wikipedias: which file a URL means, and what
the API says of it: where a picture of some width is, whose it is, and its licence."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from html.parser import HTMLParser
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urljoin, urlsplit

from .mediawiki import MediaWiki

WIKIMEDIA_API = "https://{lang}/w/api.php"
"""`{lang}` stands for the wiki's host."""
THUMBNAIL_WIDTHS = (20, 40, 60, 120, 250, 330, 500, 960, 1280, 1920, 3840)
"""Pixels; Wikimedia makes thumbnails of these widths and refuses to make others, see
https://www.mediawiki.org/wiki/Common_thumbnail_sizes."""
MAX_FILES = 50
"""Of a request; of more the API makes no thumbnails."""

_COMMONS = "commons.wikimedia.org"
_SCHEME = "File:"
_WIKIS = re.compile(r"commons\.wikimedia\.org|[a-z-]+\.wikipedia\.org")
_UPLOADS = {"upload.wikimedia.org", "thumb.wikimedia.org"}
_UPLOADED = re.compile(
    r"/wikipedia/([a-z-]+)/(?:[0-9a-f]/[0-9a-f]{2}/([^/]+)"
    r"|thumb/[0-9a-f]/[0-9a-f]{2}/([^/]+)/[^/]+)"
)
_TITLE = re.compile(
    r"(?:Special:(?:FilePath|Redirect/file)/|(?:File|Image):)(.+)", re.IGNORECASE
)
_ILLEGAL = re.compile(r"[\x00-\x1f<>\[\]{}|#/]")
_PICTURES = {"BITMAP", "DRAWING", "VIDEO", "OFFICE", "3D"}
"""Kinds of files of which MediaWiki has pictures; of others it has icons."""
_METADATA = {
    "licence": ("LicenseShortName", "UsageTerms"),
    "licence_url": ("LicenseUrl",),
    "author": ("Artist", "Attribution"),
    "credit": ("Credit",),
}
_VOID = {"br", "img", "hr", "wbr", "input", "link", "meta", "source", "area", "col"}


class WikiFile(NamedTuple):
    """A file of a wiki.

    wiki (str): its host.
    name (str): without "File:".
    """

    wiki: str
    name: str


def wiki_file(image: str) -> WikiFile | None:
    """The file that a picture's name means, if it is one of Wikimedia's.

    image (str): a URL of the file, of a thumbnail or of its page, as Wikidata, the
        dumps and Wikipedia's API have them; or File:NAME, on Commons.
    """
    if image.startswith(_SCHEME):
        return _file(_COMMONS, image.removeprefix(_SCHEME))
    try:
        url = urlsplit(image)
        host = (url.hostname or "").replace(".m.", ".")
    except ValueError:
        return None
    path = unquote(url.path)
    if host in _UPLOADS and (match := _UPLOADED.fullmatch(path)):
        wiki = _COMMONS if match[1] == "commons" else f"{match[1]}.wikipedia.org"
        return _file(wiki, match[2] or match[3])
    if not _WIKIS.fullmatch(host):
        return None
    title = path.removeprefix("/wiki/")
    if title == path:
        title = parse_qs(url.query).get("title", [""])[0]
    named = _TITLE.fullmatch(title.replace(" ", "_"))
    return _file(host, named[1]) if named else None


def is_wikimedia(host: str) -> bool:
    """RETURNS (bool): a host is one of those that want to know who asks."""
    projects = ("wikimedia", "wikipedia", "wikidata", "mediawiki", "wiktionary")
    return f".{host}".endswith(tuple(f".{project}.org" for project in projects))


def thumbnail_width(width: int) -> int:
    """RETURNS (int): the next width that Wikimedia makes thumbnails of; 0 stays."""
    if not width:
        return 0
    return next((w for w in THUMBNAIL_WIDTHS if w >= width), THUMBNAIL_WIDTHS[-1])


def ask_for_files(
    wikis: MediaWiki, wiki: str, names: Sequence[str], width: int
) -> dict[str, dict[str, Any]]:
    """Ask a wiki for files.

    wikis (MediaWiki): is asked.
    wiki (str): the wiki's host.
    names (Sequence[str]): the files, not more than fit into a request.
    width (int): of the pictures, one of `THUMBNAIL_WIDTHS`. Of a file that is smaller,
        it is the file itself; with 0, of all.
    RETURNS (dict[str, dict]): by name the "url" of the picture, "page" and, where they
        are known, "licence", "licence_url", "author" and "credit"; or a "reason" why
        there is no picture.
    RAISES (NoAnswer): the wiki does not answer.
    """
    asked = {
        "prop": "imageinfo",
        "titles": "|".join(f"File:{name}" for name in names),
        "redirects": "1",
        "iiprop": "url|size|mime|mediatype|extmetadata",
        "iiextmetadatalanguage": "en",
        "iiextmetadatafilter": "|".join(
            key for keys in _METADATA.values() for key in keys
        ),
    }
    if width:
        asked["iiurlwidth"] = str(width)
    leads_to: dict[str, str] = {}
    found: dict[str, dict[str, Any]] = {}
    for part in wikis.query(wiki, asked):
        query = part["query"]
        for change in (*query.get("normalized", ()), *query.get("redirects", ())):
            leads_to[change["from"]] = change["to"]
        for page in query.get("pages", ()):
            if page.get("imageinfo"):
                found[page["title"]] = _described(page["imageinfo"][0])
        if "iistart" in part.get("continue", ()):
            break  # Of one file alone, the API would go on to its older versions.
    missing = {"reason": f"no such file on {wiki}"}
    return {name: found.get(_end(f"File:{name}", leads_to), missing) for name in names}


def plain_text(html: str) -> str:
    """RETURNS (str): what a reader sees of a piece of HTML, on one line."""
    parser = _Text()
    parser.feed(html)
    parser.close()
    return " ".join("".join(parser.seen).split())


def _file(wiki: str, name: str) -> WikiFile | None:
    name = unicodedata.normalize("NFC", " ".join(name.replace("_", " ").split()))
    if not name or _ILLEGAL.search(name):
        return None
    return WikiFile(wiki, name)


def _end(title: str, leads_to: Mapping[str, str]) -> str:
    for _ in range(len(leads_to) + 1):
        if title not in leads_to:
            break
        title = leads_to[title]
    return title


def _described(info: Mapping[str, Any]) -> dict[str, Any]:
    url = info.get("thumburl") or info.get("url")
    kind = info.get("mediatype", "BITMAP")
    if kind not in _PICTURES or not url:
        return {"reason": f"no picture, but {info.get('mime', kind)}"}
    described = {"url": urljoin("https:", url), "page": info.get("descriptionurl")}
    # Nothing is written as [] by PHP, whose empty arrays are both.
    metadata: Mapping[str, Any] = info.get("extmetadata") or {}
    for key, names in _METADATA.items():
        described[key] = _first_text(metadata, names)
    return {key: value for key, value in described.items() if value}


def _first_text(metadata: Mapping[str, Any], names: Iterable[str]) -> str:
    texts = (plain_text(str(metadata[n]["value"])) for n in names if n in metadata)
    return next(filter(None, texts), "")


class _Text(HTMLParser):
    """Keeps text that is shown: names on Commons have a hidden copy for machines."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        style = (dict(attrs).get("style") or "").replace(" ", "").lower()
        if tag in _VOID:
            self.seen.append(" ")
        elif self._hidden or tag in ("style", "script") or "display:none" in style:
            self._hidden += 1
        elif tag in ("div", "p", "li", "tr", "td"):
            self.seen.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if self._hidden and tag not in _VOID:
            self._hidden -= 1

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.seen.append(data)
