"""A CirrusSearch dump of a Wikipedia: the search index's documents, as JSON lines.

Their text is what MediaWiki renders, so it is better than what can be made of markup.
A line that says where a document belongs comes before each document.
"""

import warnings
from pathlib import Path
from typing import Any

from ...errors import DweError, Errors, Warnings
from .dump_file import DumpFile
from .dump_work import Stage, Work
from .wiki_pages import WikiPages
from .wikidata import item_number, json_loads, wiki_of
from .wikitext import Site, cut

_SEARCHED = 100
"""Lines among which the first document must be."""


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
        for what in ("pages", "articles", "malformed pages"):
            stage.counts.setdefault(what, 0)
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
            text = cut(_text(page), self.description_chars)
            markup = page.get("source_text") or "" if self.with_links else ""
            # Half of a surrogate pair is JSON, and is text nowhere else.
            "".join((title, *redirects, text, markup)).encode()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            counts["malformed pages"] += 1
            warnings.warn(
                Warnings.W131.format(
                    path=self.dump, page=counts["pages"], reason=error
                ),
                stacklevel=2,
            )
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


_FACTS = ("incoming_links", "popularity_score")


def _text(page: dict[str, Any]) -> str:
    return " ".join((page.get("opening_text") or page.get("text") or "").split())
