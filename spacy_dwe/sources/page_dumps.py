"""Dumps of a Wikipedia's pages, XML (pages-articles) or CirrusSearch: texts, redirects,
and the links of articles.

A file is split at the ends of its pages and each page is parsed for itself. So reading
can go on at any page, and a page that is damaged costs nothing but itself.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from xml.etree import ElementTree

from ..errors import DweError, Errors
from .anchors import WikiPages
from .dump_files import DumpFile, Stage, Work, file_state, head
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


class PageReader(ABC):
    """A stage that reads a dump of a wiki's pages.

    with_texts (bool): whether descriptions are read.
    with_links (bool): whether links are.
    """

    kind: ClassVar[str]
    end: ClassVar[bytes]
    """What stands behind each page."""

    def __init__(self, dump: Path, description_chars: int) -> None:
        self.dump, self.description_chars = dump, description_chars
        self.with_texts = self.with_links = True
        try:
            self.site = self._site()
        except (ElementTree.ParseError, ValueError) as error:
            what = f"Wikipedia {self.kind} dump"
            raise DweError(
                Errors.E137.format(path=dump, what=what, reason=error)
            ) from None

    @property
    def name(self) -> str:
        return f"{self.site.wiki} ({self.kind})"

    @property
    def inputs(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): what decides the result, the file and options."""
        options = (self.description_chars, self.with_texts, self.with_links)
        return {**file_state(self.dump), "options": options}

    def run(self, work: Work, stage: Stage, batch: int, show_progress: bool) -> None:
        """Read the pages into `work`, from where it stands.

        batch (int): pages between two commits.
        """
        file = DumpFile(self.dump, stage.reader_place)
        pages = WikiPages(work, stage, self.site, batch)
        pieces = file.shown_pieces(self.end, self.site.wiki, show_progress)
        for page in self._pages(pieces, stage.counts):
            stage.counts["pages"] += 1
            self._read(page, pages)
            if pages.next_page():
                pages.commit(file.place)
        if not stage.counts["articles"] + stage.counts["redirects"]:
            raise DweError(Errors.E004.format(path=self.dump, what="articles"))
        pages.write()
        stage.finish()

    @abstractmethod
    def _site(self) -> Site: ...

    @abstractmethod
    def _pages(
        self, pieces: Iterator[bytes], counts: Counter[str]
    ) -> Iterator[bytes]: ...

    @abstractmethod
    def _read(self, page: bytes, pages: WikiPages) -> None: ...


class XmlReader(PageReader):
    """The stage that reads an XML dump. Its links are always read."""

    kind, end = "XML", _PAGE_END

    def _pages(self, pieces: Iterator[bytes], counts: Counter[str]) -> Iterator[bytes]:
        rest = b""
        for piece in pieces:
            start = piece.find(_PAGE)
            if start < 0:
                rest = piece
                break
            yield piece[start:] + _PAGE_END
        if _END not in rest:
            raise DweError(Errors.E131.format(path=self.dump))

    def _read(self, page: bytes, pages: WikiPages) -> None:
        counts = pages.counts
        if _ARTICLE not in page[: page.find(b"<revision>")]:
            counts["of other namespaces"] += 1
            return
        try:
            root = ElementTree.fromstring(page)
            name = root.findtext("title")
            if not name:
                raise ValueError("it has no title")
            title = self.site.title(name)
            text = root.findtext("revision/text") or ""
        except (ElementTree.ParseError, ValueError) as error:
            pages.add_malformed(self.dump, error)
            return
        redirect = root.find("redirect")
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

    def _site(self) -> Site:
        start, mark, _ = head(self.dump).partition(b"</siteinfo>")
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
        return Site.from_namespaces(wiki, first_letter, namespaces)


def is_cirrus_dump(start: bytes) -> bool:
    """RETURNS (bool): a file's first bytes are those of a search index's dump."""
    return start.lstrip().startswith(b'{"index"')


class CirrusReader(PageReader):
    """The stage that reads a CirrusSearch dump, links of the markup in documents. Its
    texts are always read."""

    kind, end = "CirrusSearch", b"\n"

    def _pages(self, pieces: Iterator[bytes], counts: Counter[str]) -> Iterator[bytes]:
        for line in pieces:
            counts["lines"] += 1
            if line.strip() and not is_cirrus_dump(line[:20]):
                yield line

    def _read(self, page: bytes, pages: WikiPages) -> None:
        counts = pages.counts
        try:
            said = json_loads(page)
            if said.get("namespace", 0) != 0:
                counts["of other namespaces"] += 1
                return
            title = self.site.title(said["title"])
            redirects = [
                self.site.title(redirect["title"])
                for redirect in said.get("redirect") or ()
                if redirect.get("namespace", 0) == 0
            ]
            item = self._item(said, title, pages)
            shown = said.get("opening_text") or said.get("text") or ""
            text = cut(" ".join(shown.split()), self.description_chars)
            markup = said.get("source_text") or "" if self.with_links else ""
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
            facts = {key: said[key] for key in _FACTS if said.get(key) is not None}
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
                page = json_loads(line)
                if "title" in page:
                    # Older dumps have the language only.
                    return Site(page.get("wiki") or wiki_of(page["language"]))
            except (ValueError, KeyError, TypeError):
                continue
        raise ValueError(f"no document in its first {_SEARCHED} lines")
