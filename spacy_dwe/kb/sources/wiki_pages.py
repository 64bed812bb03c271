"""What a pass over a Wikipedia dump leaves in the work database."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from ..normalisation import normalise
from .dump_work import Stage, Work
from .wikitext import DISAMBIGUATOR, Site, links

_PAIRS = 10
"""Distinct pairs of anchor and target that are held for each page of a batch."""


class WikiPages:
    """Collects texts, redirects and links of a wiki's pages, and writes them in
    batches. Anchors are counted per batch; each batch becomes a sorted run."""

    def __init__(self, work: Work, stage: Stage, site: Site, batch: int) -> None:
        """batch (int): pages between two writes, at most."""
        self.site = site
        self.counts = stage.counts
        self._work, self._stage, self._batch = work, stage, batch
        self._n_pages = 0
        self._texts: list[tuple[int, str, str | None, int]] = []
        self._titles: list[tuple[str, str, int, int, int]] = []
        self._redirects: list[tuple[str, str, str, int, int]] = []
        self._anchors: Counter[tuple[str, str]] = Counter()

    def item(self, title: str) -> int | None:
        """RETURNS (int | None): the number of the item that has a page."""
        found = self._work.db.execute(
            "SELECT item FROM titles WHERE wiki = ? AND title = ?",
            (self.site.wiki, title),
        ).fetchone()
        return None if found is None else found[0]

    def is_kept(self, item: int) -> bool:
        found = self._work.db.execute("SELECT 1 FROM items WHERE item = ?", (item,))
        return found.fetchone() is not None

    def add_title(self, title: str, item: int) -> None:
        """Note the item of a page that says it itself."""
        self._titles.append((self.site.wiki, title, item, 1, self._stage.number))

    def add_text(
        self, item: int, text: str, facts: Mapping[str, Any] | None = None
    ) -> None:
        """Note an item's text, and keys for its entity."""
        packed = json.dumps(facts) if facts else None
        self._texts.append((item, text, packed, self._stage.number))
        self.counts["texts"] += bool(text)

    def add_redirect(self, source: str, target: str, is_name: bool = True) -> None:
        """is_name (bool): the source is another name of the target."""
        row = (self.site.wiki, source, target, int(is_name), self._stage.number)
        self._redirects.append(row)
        self.counts["redirects"] += 1

    def add_links(self, title: str, text: str) -> None:
        """Count the anchors of an article's links; links to itself are none."""
        found = [pair for pair in links(text, self.site) if pair[0] != title]
        self._anchors.update(found)
        self.counts["links"] += len(found)

    def next_page(self) -> bool:
        """RETURNS (bool): it is time to commit."""
        self._n_pages += 1
        return (
            self._n_pages >= self._batch or len(self._anchors) >= _PAIRS * self._batch
        )

    def commit(self, place: Any) -> None:
        """Write what is held, and commit it with the place of the reader."""
        self.write()
        self._stage.commit(place)

    def write(self) -> None:
        """Write what is held."""
        execute, many = self._work.db.execute, self._work.db.executemany
        insert = "INSERT OR IGNORE INTO"
        self._titles.sort()
        self._redirects.sort()
        many(f"{insert} titles VALUES (?, ?, ?, ?, ?)", self._titles)
        many(f"{insert} redirects VALUES (?, ?, ?, ?, ?)", self._redirects)
        many("INSERT INTO pages VALUES (NULL, ?, ?, ?, ?)", self._texts)
        if self._anchors:
            run = execute(
                "INSERT INTO runs VALUES (NULL, ?, ?)",
                (self.site.wiki, self._stage.number),
            ).lastrowid
            many("INSERT INTO anchors VALUES (?, ?, ?, ?, ?)", self._run(run))
        for held in (self._titles, self._redirects, self._texts, self._anchors):
            held.clear()
        self._n_pages = 0

    def _run(self, run: int | None) -> Iterable[tuple[int | None, str, str, str, int]]:
        keyed = [
            (_key(anchor), anchor, target, n)
            for (target, anchor), n in self._anchors.items()
        ]
        keyed.sort()
        return ((run, *row) for row in keyed)


# Names of articles come again and again.
_key = lru_cache(maxsize=1 << 16)(normalise)


def bare_title(title: str) -> str:
    """RETURNS (str): a title without what tells it from others, "Georgia" of "Georgia
    (country)"."""
    return DISAMBIGUATOR.sub("", title) or title
