"""From titles to pages to entities: a file of titles is read, a MediaWiki is asked for
them, an entity is made of what its page says."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from ..errors import DweError, Errors
from ..files import read_lines
from ..kb.entity import Alias, Entity
from .mediawiki import MediaWiki

MAX_TITLES = 20
"""Titles of one request: it brings the intros of 20 pages, so that more titles would
only need more requests."""
MAX_URL_BYTES = 6000
"""Of the titles, encoded. Servers refuse addresses of more than 8 KB."""

_PROPERTIES = {
    "prop": "info|extracts|pageprops|pageimages|description|langlinkscount|redirects",
    "inprop": "url",
    "exintro": "1",
    "explaintext": "1",
    "exlimit": "max",
    "ppprop": "wikibase_item|disambiguation|wikibase-shortdesc",
    "pilimit": "max",
    "rdprop": "title",
    "rdnamespace": "0",
    # A redirect into a section names a part of the page, not the page.
    "rdshow": "!fragment",
    "rdlimit": "max",
    "redirects": "1",
    "converttitles": "1",
    "iwurl": "1",
}
_DISAMBIGUATOR = re.compile(r"(.*\S)\s*[(（][^()（）]*[)）]")
_EMPTY_BRACKETS = re.compile(r"\s*\(\s*[,;:\s]*\)")
_BRACKET_REST = re.compile(r"\(\s*[,;:]\s*")
_MAX_TITLE_BYTES = 255
"""Of MediaWiki."""

_LANGUAGE = re.compile(r"[a-z][a-z0-9-]*")
_ILLEGAL = re.compile(r"[\x00-\x1f\x7f<>\[\]{}|\ufffd]")
_HOST = re.compile(r"([a-z][a-z0-9-]*)(?:\.m)?\.wikipedia\.org")
_SCHEME = re.compile(r"https?://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class AskedTitle:
    """A line of the file.

    line (int): its number.
    text (str): what it says.
    language (str): of the Wikipedia that is asked.
    title (str): what is asked there, without an anchor.
    problem (str): why it cannot be asked; empty where it can.
    """

    line: int
    text: str
    language: str
    title: str
    problem: str = ""


def read_titles(path: str | Path, language: str) -> list[AskedTitle]:
    """Read titles. Blank lines and those that start with # are passed over.

    path (str | Path): a text file in UTF-8, or one packed as .gz.
    language (str): of titles that do not name their Wikipedia.
    RETURNS (list[AskedTitle]): the titles in order.
    """
    _check_language(language)
    titles = [
        _asked_title(number, text, language)
        for number, text in read_lines(path)
        if not text.startswith("#")
    ]
    if not titles:
        raise DweError(Errors.E004.format(path=path, what="titles"))
    return titles


def page_of_address(url: str) -> tuple[str, str] | None:
    """RETURNS (tuple[str, str] | None): language and title of a Wikipedia page's
    address; None if it is none."""
    try:
        parts = urlsplit(url)
        host = _HOST.fullmatch((parts.hostname or "").lower())
    except ValueError:
        return None
    if host is None:
        return None
    folder, _, title = parts.path.removeprefix("/").partition("/")
    if folder == "w":
        title = parse_qs(parts.query).get("title", [""])[0]
    elif folder == "wiki" or folder.startswith(host[1]):
        # Languages with several scripts also have /zh-tw/ and the like.
        title = unquote(title)
    else:
        return None
    title = _clean_title(title)
    return (host[1], title) if title else None


@dataclass
class Answers:
    """What a MediaWiki says of some titles.

    titles (dict[str, dict]): by title, one of
        {"page": pageid, "redirect": bool},
        {"language": code, "title": title}: a page of another Wikipedia,
        {"left_out": kind, "reason": text}: there is no such page.
    pages (list[dict]): the pages, as the API describes them.
    warnings (list[str]): what the API finds odd about the question.
    """

    titles: dict[str, dict[str, Any]] = field(default_factory=dict)
    pages: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def next_batch(titles: Iterable[str], most: int = MAX_TITLES) -> list[str]:
    """RETURNS (list[str]): the first titles, as many as fit into a request."""
    batch: list[str] = []
    size = 0
    for title in titles:
        size += len(quote(title, safe="")) + len("%7C")
        if batch and (len(batch) == most or size > MAX_URL_BYTES):
            break
        batch.append(title)
    return batch


def ask(
    wiki: MediaWiki, language: str, titles: Sequence[str], image_width: int
) -> Answers:
    """Ask for pages by title.

    titles (Sequence[str]): a batch, none of them with a vertical bar.
    image_width (int): of the pictures, in pixels; 0 = the originals.
    """
    picture = {"piprop": "name|original"}
    if image_width:
        picture = {"piprop": "name|thumbnail", "pithumbsize": str(image_width)}
    whole = _Whole()
    for part in wiki.query(
        language, {**_PROPERTIES, **picture, "titles": "|".join(titles)}
    ):
        whole.add(part)
    return Answers(
        {title: whole.answer(title) for title in titles},
        [page for page in whole.pages.values() if page.get("pageid")],
        list(whole.warnings),
    )


class _Whole:
    """The parts of an answer, put together."""

    def __init__(self) -> None:
        self.pages: dict[str, dict[str, Any]] = {}
        self.warnings: dict[str, None] = {}
        self._renamed: dict[str, str] = {}
        self._redirects: dict[str, str] = {}
        self._elsewhere: dict[str, str] = {}

    def add(self, part: Mapping[str, Any]) -> None:
        query = part.get("query", {})
        for kind in ("normalized", "converted"):
            self._renamed |= {e["from"]: e["to"] for e in query.get(kind, ())}
        self._redirects |= {e["from"]: e["to"] for e in query.get("redirects", ())}
        self._elsewhere |= {
            entry["title"]: entry.get("url", "") for entry in query.get("interwiki", ())
        }
        for page in query.get("pages", ()):
            whole = self.pages.setdefault(page["title"], {})
            for key, value in page.items():
                if isinstance(value, list):
                    whole[key] = whole.get(key, []) + value
                else:
                    whole[key] = value
        for module, warning in part.get("warnings", {}).items():
            self.warnings[f"{module}: {warning.get('warnings', warning)}"] = None

    def answer(self, title: str) -> dict[str, Any]:
        name, redirected = self._target(title)
        if name in self._elsewhere:
            return _of_another_wiki(self._elsewhere[name])
        page = self.pages.get(name)
        if page is None:
            return _left_out("missing", "the wiki says nothing of it")
        if page.get("invalid"):
            return _left_out("invalid", page.get("invalidreason", "an invalid title"))
        if page.get("special") or page["ns"] < 0:
            return _left_out("other", "a special page")
        if page.get("missing") or not page.get("pageid"):
            return _left_out("missing", "there is no such page")
        return {"page": page["pageid"], "redirect": redirected}

    def _target(self, title: str) -> tuple[str, bool]:
        """RETURNS (tuple[str, bool]): where a title leads, and whether by redirect."""
        seen = set()
        while title in self._renamed and title not in seen:
            seen.add(title)
            title = self._renamed[title]
        followed: set[str] = set()
        while title in self._redirects and title not in followed:
            followed.add(title)
            title = self._redirects[title]
        return title, bool(followed)


def is_disambiguation(page: Mapping[str, Any]) -> bool:
    return "disambiguation" in page.get("pageprops", {})


def entity_id(language: str, page: Mapping[str, Any]) -> str:
    """RETURNS (str): the Wikidata id; where there is none, as in enwiki:Title."""
    item: str | None = page.get("pageprops", {}).get("wikibase_item")
    return item or f"{language.replace('-', '_')}wiki:{page['title']}"


def picture_url(page: Mapping[str, Any]) -> str | None:
    """RETURNS (str | None): the lead picture."""
    picture = page.get("thumbnail") or page.get("original") or {}
    url: str | None = picture.get("source")
    return url


def make_entity(
    pages: Sequence[tuple[str, Mapping[str, Any]]],
    names: Iterable[str] = (),
    images: Sequence[str] = (),
) -> Entity:
    """Make the entity that pages are about.

    pages (Sequence[tuple[str, Mapping]]): language and page. The first is described,
        those of other languages add names.
    names (Iterable[str]): redirected titles that were asked for.
    images (Sequence[str]): pictures.
    """
    language, page = pages[0]
    title = page["title"]
    short = page.get("description") or page.get("pageprops", {}).get(
        "wikibase-shortdesc"
    )
    wikipedia = {
        "language": language,
        "title": title,
        "pageid": page["pageid"],
        "revision": page.get("lastrevid"),
        "image": page.get("pageimage"),
    }
    extra: dict[str, Any] = {
        "wikipedia": {key: v for key, v in wikipedia.items() if v is not None}
    }
    if short:
        extra["short_description"] = short
    if "langlinkscount" in page:
        extra["sitelinks"] = int(page["langlinkscount"]) + 1
    aliases = chain(names, *(_names(other) for _, other in pages))
    return Entity(
        id=entity_id(language, page),
        title=title,
        description=_plain(page.get("extract") or "") or short or "",
        aliases=tuple(Alias(a) for a in dict.fromkeys(aliases) if a and a != title),
        images=tuple(images),
        url=page.get("canonicalurl") or page.get("fullurl"),
        extra=extra,
    )


def _names(page: Mapping[str, Any]) -> list[str]:
    """What a page and the redirects to it are called."""
    title = page["title"]
    bare = _DISAMBIGUATOR.fullmatch(title)
    names = [title, bare[1]] if bare else [title]
    return [*names, *(redirect["title"] for redirect in page.get("redirects", ()))]


def _plain(extract: str) -> str:
    """An intro with what remains of markup removed: the brackets whose pronunciation is
    left out, spaces, blank lines."""
    text = _BRACKET_REST.sub("(", _EMPTY_BRACKETS.sub("", extract))
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def _of_another_wiki(url: str) -> dict[str, Any]:
    page = page_of_address(url)
    if page is None:
        return _left_out("other", f"a page of another wiki, {url}".rstrip(", "))
    return {"language": page[0], "title": page[1]}


def _left_out(kind: str, reason: str) -> dict[str, Any]:
    return {"left_out": kind, "reason": reason}


def _check_language(language: str) -> None:
    """RAISES (DweError): this can be no Wikipedia's code."""
    if not _LANGUAGE.fullmatch(language):
        reason = "a Wikipedia's code looks like en or zh-yue"
        raise DweError(
            Errors.E121.format(option="--language", value=language, reason=reason)
        )


def _clean_title(text: str) -> str:
    """RETURNS (str): a title as MediaWiki writes it, but for its first letter, and
    without an anchor."""
    words = text.partition("#")[0].replace("_", " ").split()
    return unicodedata.normalize("NFC", " ".join(words))


def _asked_title(number: int, text: str, language: str) -> AskedTitle:
    if _SCHEME.match(text):
        page = page_of_address(text)
        if page is None:
            problem = "it is no address of a Wikipedia page"
            return AskedTitle(number, text, language, text, problem)
        return AskedTitle(number, text, *page, _problem(page[1]))
    title = _clean_title(text)
    return AskedTitle(number, text, language, title, _problem(title))


def _problem(title: str) -> str:
    if illegal := _ILLEGAL.search(title):
        return f"a title cannot hold {illegal[0]!r}"
    if len(title.encode()) > _MAX_TITLE_BYTES:
        return f"it is longer than the {_MAX_TITLE_BYTES} bytes of a title"
    return ""
