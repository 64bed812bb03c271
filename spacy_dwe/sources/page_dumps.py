"""Dumps of a Wikipedia's pages, XML (pages-articles) or CirrusSearch: texts, redirects,
and the links of articles.

A file is split at the ends of its pages and each page is parsed for itself. So reading
can go on at any page, and a page that is damaged costs nothing but itself.
"""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ..errors import DweError, Errors
from .anchors import WikiPages
from .dump_files import DumpFile, Stage, Work, head
from .wikidata import item_number, json_loads, wiki_of
from .wikitext import Site, cut, plain_intro, redirects_to_section

_PAGE, _PAGE_END, _END = b"<page>", b"</page>", b"</mediawiki>"
_ARTICLE = b"<ns>0</ns>"
_SEARCHED = 100
"""Lines of a CirrusSearch dump among which the first document must be."""
_FACTS = ("incoming_links", "popularity_score")


def is_xml_dump(start: bytes) -> bool:
    """RETURNS (bool): a file's first bytes are those of MediaWiki's XML."""
    return b"<mediawiki" in start[:1000]


class XmlReader:
    """The stage that reads an XML dump.

    with_texts (bool): whether introductions are read, or links and redirects only.
    """

    kind = "XML"

    def __init__(self, dump: Path, description_chars: int) -> None:
        self.dump = dump
        self.description_chars = description_chars
        self.with_texts = True
        self.site = _xml_site(dump)

    @property
    def inputs(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): the options that decide the result."""
        return {"chars": self.description_chars, "texts": self.with_texts}

    def run(self, work: Work, stage: Stage, batch: int, show_progress: bool) -> None:
        """Read the pages into `work`, from where it stands."""
        file = DumpFile(self.dump, stage.reader_place)
        pages = WikiPages(work, stage, self.site, batch)
        rest = b""
        for piece in file.shown_pieces(_PAGE_END, self.site.wiki, show_progress):
            start = piece.find(_PAGE)
            if start < 0:
                rest = piece
                break
            stage.counts["pages"] += 1
            self._read(piece[start:] + _PAGE_END, pages)
            if pages.next_page():
                pages.commit(file.place)
        if _END not in rest:
            raise DweError(Errors.E131.format(path=self.dump))
        if not stage.counts["articles"] + stage.counts["redirects"]:
            raise DweError(Errors.E004.format(path=self.dump, what="articles"))
        pages.write()
        stage.finish()

    def _read(self, data: bytes, pages: WikiPages) -> None:
        counts = pages.counts
        if _ARTICLE not in data[: data.find(b"<revision>")]:
            counts["of other namespaces"] += 1
            return
        try:
            page = ElementTree.fromstring(data)
            title = self.site.title(_child_text(page, "title"))
            text = page.findtext("revision/text") or ""
        except (ElementTree.ParseError, ValueError) as error:
            pages.add_malformed(self.dump, error)
            return
        redirect = page.find("redirect")
        if redirect is not None:
            target = self.site.title(redirect.get("title", ""))
            pages.add_redirect(title, target, not redirects_to_section(text))
            return
        counts["articles"] += 1
        pages.add_links(title, text)
        item = pages.item(title)
        if item is None:
            counts["articles without an item"] += 1
        elif self.with_texts:
            pages.add_text(item, plain_intro(text, self.site, self.description_chars))


def is_cirrus_dump(start: bytes) -> bool:
    """RETURNS (bool): a file's first bytes are those of a search index's dump."""
    return start.lstrip().startswith(b'{"index"')


class CirrusReader:
    """The stage that reads a CirrusSearch dump.

    with_links (bool): whether links are read too, of the markup in documents.
    """

    kind = "CirrusSearch"

    def __init__(self, dump: Path, description_chars: int) -> None:
        self.dump = dump
        self.description_chars = description_chars
        self.with_links = True
        self._loads = json_loads()
        self.site = self._site()

    @property
    def inputs(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): the options that decide the result."""
        return {"chars": self.description_chars, "links": self.with_links}

    def run(self, work: Work, stage: Stage, batch: int, show_progress: bool) -> None:
        """Read the documents into `work`, from where it stands."""
        file = DumpFile(self.dump, stage.reader_place)
        pages = WikiPages(work, stage, self.site, batch)
        for line in file.shown_pieces(b"\n", self.site.wiki, show_progress):
            stage.counts["lines"] += 1
            if not line.strip() or is_cirrus_dump(line[:20]):
                continue
            stage.counts["pages"] += 1
            self._read(line, pages)
            if pages.next_page():
                pages.commit(file.place)
        if not stage.counts["articles"]:
            raise DweError(Errors.E004.format(path=self.dump, what="articles"))
        pages.write()
        stage.finish()

    def _read(self, line: bytes, pages: WikiPages) -> None:
        counts = pages.counts
        try:
            page = self._loads(line)
            if page.get("namespace", 0) != 0:
                counts["of other namespaces"] += 1
                return
            title = self.site.title(page["title"])
            redirects = [
                self.site.title(redirect["title"])
                for redirect in page.get("redirect") or ()
                if redirect.get("namespace", 0) == 0
            ]
            item = self._item(page, title, pages)
            text = cut(_cirrus_text(page), self.description_chars)
            markup = page.get("source_text") or "" if self.with_links else ""
            # Half of a surrogate pair is JSON, and is text nowhere else.
            "".join((title, *redirects, text, markup)).encode()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            pages.add_malformed(self.dump, error)
            return
        counts["articles"] += 1
        for redirect in redirects:
            pages.add_redirect(redirect, title)
        if markup:
            pages.add_links(title, markup)
        if item is None:
            counts["articles without an item"] += 1
        else:
            facts = {key: page[key] for key in _FACTS if page.get(key) is not None}
            pages.add_text(item, text, facts)

    def _item(self, page: dict[str, Any], title: str, pages: WikiPages) -> int | None:
        if not page.get("wikibase_item"):
            return pages.item(title)
        item = item_number({"id": page["wikibase_item"]})
        if not pages.is_kept(item):
            return None
        pages.add_title(title, item)
        return item

    def _site(self) -> Site:
        lines = DumpFile(self.dump).pieces(b"\n")
        for _, line in zip(range(_SEARCHED), lines, strict=False):
            try:
                page = self._loads(line)
                if "title" in page:
                    # Older dumps have the language only.
                    return Site(page.get("wiki") or wiki_of(page["language"]))
            except (ValueError, KeyError, TypeError):
                continue
        raise DweError(
            Errors.E137.format(
                path=self.dump,
                what="CirrusSearch dump",
                reason=f"no document in its first {_SEARCHED} lines",
            )
        )


def _cirrus_text(page: dict[str, Any]) -> str:
    return " ".join((page.get("opening_text") or page.get("text") or "").split())


def _child_text(page: ElementTree.Element, name: str) -> str:
    text = page.findtext(name)
    if not text:
        raise ValueError(f"it has no {name}")
    return text


def _xml_site(dump: Path) -> Site:
    start, mark, _ = head(dump).partition(b"</siteinfo>")
    try:
        root = ElementTree.fromstring(start + mark + _END)
        # Names carry the schema's version; it says nothing here.
        info = root.find("{*}siteinfo")
        wiki = None if info is None else info.findtext("{*}dbname")
        if info is None or not wiki:
            raise ValueError("its <siteinfo> has no <dbname>")
        namespaces = {
            int(space.get("key", "0")): space.text or ""
            for space in info.iterfind("{*}namespaces/{*}namespace")
        }
        first_letter = info.findtext("{*}case") != "case-sensitive"
    except (ElementTree.ParseError, ValueError) as error:
        raise DweError(
            Errors.E137.format(path=dump, what="Wikipedia XML dump", reason=error)
        ) from None
    return Site.from_namespaces(wiki, first_letter, namespaces)
