"""A Wikipedia XML dump (pages-articles): texts, redirects, and the links of articles.

The file is split at the ends of its pages and each page is parsed for itself. So
reading can go on at any page, and a page that is damaged costs nothing but itself.
"""

import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ...errors import DweError, Errors, Warnings
from .dump_file import DumpFile, head
from .dump_work import Stage, Work
from .wiki_pages import WikiPages
from .wikitext import Site, plain_intro, redirects_to_section

_PAGE, _PAGE_END, _END = b"<page>", b"</page>", b"</mediawiki>"
_ARTICLE = b"<ns>0</ns>"


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
        self.site = _site(dump)

    @property
    def inputs(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): the options that decide the result."""
        return {"chars": self.description_chars, "texts": self.with_texts}

    def run(self, work: Work, stage: Stage, batch: int, show_progress: bool) -> None:
        """Read the pages into `work`, from where it stands."""
        file = DumpFile(self.dump, stage.reader_place)
        pages = WikiPages(work, stage, self.site, batch)
        for what in ("pages", "articles", "malformed pages"):
            stage.counts.setdefault(what, 0)
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
            counts["malformed pages"] += 1
            warnings.warn(
                Warnings.W131.format(
                    path=self.dump, page=counts["pages"], reason=error
                ),
                stacklevel=2,
            )
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


def _child_text(page: ElementTree.Element, name: str) -> str:
    text = page.findtext(name)
    if not text:
        raise ValueError(f"it has no {name}")
    return text


def _site(dump: Path) -> Site:
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
