"""From links to priors: which entity an anchor text leads to, and how often.

`WikiPages` collects the links of a wiki's articles, `LinkJoiner` makes priors of those
of all wikis. A prior is the share of an anchor's links that lead to an entity. Links to
pages without an entity count as well: a name that most often means something else is no
good name. Anchors are one if the KB takes them for one name (`normalise`), for it is
this name that the prior will be looked up by; "US" and "us" have one prior together.
"""

import heapq
import json
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..errors import BAR_DELAY, Warnings
from ..names.normalisation import normalise
from .dump_files import Stage, Work
from .wikitext import DISAMBIGUATOR, Site, links

_MAX_HOPS = 8
"""Redirects to redirects that are followed. MediaWiki itself follows one."""
_CACHED_TITLES = 1 << 17
_PAIRS = 10
"""Distinct pairs of anchor and target that are held for each page of a batch."""

Anchor = tuple[str, str, str, int, str]
"""Key, anchor, target, number of links, wiki."""


class WikiPages:
    """Collects texts, redirects and links of a wiki's pages, and writes them in
    batches. Anchors are counted per batch; each batch becomes a sorted run."""

    def __init__(self, work: Work, stage: Stage, site: Site, batch: int) -> None:
        """batch (int): pages between two writes, at most."""
        self.site = site
        self.counts = stage.counts
        for what in ("pages", "articles", "malformed pages"):
            self.counts.setdefault(what, 0)
        self._work, self._stage, self._batch = work, stage, batch
        self._n_pages = 0
        self._texts: list[tuple[int, str, str | None, int]] = []
        self._titles: list[tuple[str, str, int, int, int]] = []
        self._redirects: list[tuple[str, str, str, int, int]] = []
        self._anchors: Counter[tuple[str, str]] = Counter()

    def item(self, title: str) -> int | None:
        """RETURNS (int | None): the number of the item that has a page."""
        return self._work.item(self.site.wiki, title)

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

    def add_malformed(self, dump: Path, reason: Exception) -> None:
        """Count and tell of a page that cannot be read."""
        self.counts["malformed pages"] += 1
        page = self.counts["pages"]
        message = Warnings.W131.format(path=dump, page=page, reason=reason)
        warnings.warn(message, stacklevel=2)

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


class LinkJoiner:
    """The stage that resolves redirects and brings the counts of anchors together."""

    name = "Links"
    inputs: Mapping[str, Any] = {}

    def run(self, work: Work, stage: Stage, batch: int, show_progress: bool) -> None:
        """batch (int): redirects or names between two commits."""
        rows = work.db.execute(
            "SELECT (SELECT count(*) FROM redirects) + (SELECT count(*) FROM anchors)"
        ).fetchone()[0]
        with tqdm(
            desc="Links",
            total=rows,
            initial=stage.place[-1] if stage.place else 0,
            unit=" rows",
            unit_scale=True,
            delay=BAR_DELAY,
            disable=not show_progress,
        ) as bar:
            if stage.place is None or stage.place[0] == "redirects":
                _resolve_redirects(work, stage, batch, bar)
            _count_names(work, stage, batch, bar)
        stage.finish()


def _resolve_redirects(work: Work, stage: Stage, batch: int, bar: tqdm) -> None:
    """Make the sources of redirects titles of the items they lead to."""
    _, wiki, source, _ = stage.place or ("redirects", "", "", 0)
    while True:
        rows = work.db.execute(
            "SELECT wiki, source, target, is_name FROM redirects "
            "WHERE (wiki, source) > (?, ?) ORDER BY wiki, source LIMIT ?",
            (wiki, source, batch),
        ).fetchall()
        if not rows:
            break
        for wiki, source, target, is_name in rows:
            found = _followed(work, wiki, target, is_name)
            stage.counts["redirects"] += 1
            if found is None:
                stage.counts["redirects to no entity"] += 1
                continue
            work.db.execute(
                "INSERT OR IGNORE INTO titles VALUES (?, ?, ?, ?, ?)",
                (wiki, source, *found, stage.number),
            )
        bar.update(len(rows))
        stage.commit(["redirects", wiki, source, bar.n])


def _followed(
    work: Work, wiki: str, target: str, is_name: int
) -> tuple[int, int] | None:
    """RETURNS (tuple[int, int] | None): the item at the end of a chain of redirects,
    and whether each of them leads to another name of the next."""
    for _ in range(_MAX_HOPS):
        found = work.db.execute(
            "SELECT item, is_name FROM titles WHERE wiki = ? AND title = ?",
            (wiki, target),
        ).fetchone()
        if found is not None:
            return found[0], min(found[1], is_name)
        step = work.db.execute(
            "SELECT target, is_name FROM redirects WHERE wiki = ? AND source = ?",
            (wiki, target),
        ).fetchone()
        if step is None:
            return None
        target, is_name = step[0], min(step[1], is_name)
    return None


def _count_names(work: Work, stage: Stage, batch: int, bar: tqdm) -> None:
    """Count, for each name, its links and those to each entity."""
    after = stage.place[1] if stage.place and stage.place[0] == "names" else ""
    # Few pages have most of the links.
    item_of = lru_cache(maxsize=_CACHED_TITLES)(work.item)
    with closing(_merged(work, after)) as merged:
        groups = groupby(merged, key=itemgetter(0))
        for n_names, (key, anchors) in enumerate(groups, start=1):
            bar.update(_count_name(work, stage, key, anchors, item_of))
            if n_names % batch == 0:
                stage.commit(["names", key, bar.n])


def _count_name(
    work: Work,
    stage: Stage,
    key: str,
    anchors: Iterable[Anchor],
    item_of: Callable[[str, str], int | None],
) -> int:
    """RETURNS (int): rows that were read."""
    n_rows = total = 0
    written: dict[int, Counter[str]] = {}
    for _, anchor, target, n, wiki in anchors:
        n_rows += 1
        total += n
        item = item_of(wiki, target)
        if item is not None:
            written.setdefault(item, Counter())[anchor] += n
    work.db.execute("INSERT INTO keys VALUES (?, ?, ?)", (key, total, stage.number))
    rows = []
    for item, forms in written.items():
        # The form that is written most often; the first in order where two are.
        best = min(forms, key=lambda form: (-forms[form], form))
        rows.append((item, key, best, forms.total(), stage.number))
    work.db.executemany("INSERT INTO names VALUES (NULL, ?, ?, ?, ?, ?)", rows)
    n_found = sum(row[3] for row in rows)
    stage.counts["names"] += 1
    stage.counts["links to entities"] += n_found
    stage.counts["links to other pages"] += total - n_found
    return n_rows


def _merged(work: Work, after: str) -> Generator[Anchor]:
    """YIELDS (Anchor): the anchors of all runs in the order of their keys."""
    runs = work.db.execute("SELECT run, wiki FROM runs ORDER BY run").fetchall()
    cursors = [
        work.db.execute(
            "SELECT key, anchor, target, n, ? FROM anchors "
            "WHERE run = ? AND key > ? ORDER BY key, anchor, target",
            (wiki, run, after),
        )
        for run, wiki in runs
    ]
    yield from heapq.merge(*cursors)


def bare_title(title: str) -> str:
    """RETURNS (str): a title without what tells it from others, "Georgia" of "Georgia
    (country)"."""
    return DISAMBIGUATOR.sub("", title) or title
