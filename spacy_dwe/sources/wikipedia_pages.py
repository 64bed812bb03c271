"""From titles to the answers of a MediaWiki, and from its pages to entities."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any
from urllib.parse import quote

from ..kb.entity import Alias, Entity
from .mediawiki import MediaWiki
from .wikipedia_titles import page_of_address

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


def next_batch(titles: Iterable[str]) -> list[str]:
    """RETURNS (list[str]): the first titles, as many as fit into a request."""
    batch: list[str] = []
    size = 0
    for title in titles:
        size += len(quote(title, safe="")) + len("%7C")
        if batch and (len(batch) == MAX_TITLES or size > MAX_URL_BYTES):
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
