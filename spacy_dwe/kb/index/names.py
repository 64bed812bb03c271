"""The search index of names, by tantivy."""

import os
import tempfile
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tantivy

from ...errors import DweError, Errors
from ...names.forms import CACHED, abbreviations, beginning, forms, spellings
from ..candidates import FoundBy

PAIRS = 16
"""Pairs of words that are searched for one by one, at most."""


def any_of(queries: list[Any]) -> Any | None:
    """RETURNS (Any | None): a query for what at least one finds; None for no query."""
    if len(queries) < 2:
        return queries[0] if queries else None
    return tantivy.Query.boolean_query([should(query) for query in queries])


def both(query: Any, other: Any) -> Any:
    """RETURNS (Any): a query for what both find."""
    return tantivy.Query.boolean_query([must(query), must(other)])


def pairs_of(some: list[Any], others: list[Any]) -> Any:
    """some, others (list[Any]): queries, at least one each.
    RETURNS (Any): a query for what one of some and one of the others find, both. Two
        words at a time can skip most of what they have, two unions cannot.
    """
    if len(some) * len(others) > PAIRS:
        return both(any_of(some), any_of(others))
    return any_of([both(left, right) for left in some for right in others])


def preferring(query: Any, others: Iterable[Any]) -> Any:
    """RETURNS (Any): a query for what a query finds, ranked by others, too. One inside
    the other: side by side, all that the others find would be read."""
    for other in others:
        query = tantivy.Query.boolean_query([must(query), should(other)])
    return query


def should(query: Any) -> tuple[Any, Any]:
    """RETURNS (tuple[Any, Any]): a clause of a query, to rank by."""
    return tantivy.Occur.Should, query


def must(query: Any) -> tuple[Any, Any]:
    """RETURNS (tuple[Any, Any]): a clause of a query, to find by."""
    return tantivy.Occur.Must, query


_WORDS = "words"
_FORMS = "forms"
_NUMBER = "number"
_OPTIONS = {_WORDS: "freq", _FORMS: "basic"}
_WRITER_BYTES = 512 << 20
"""What a writer holds before it completes a part of the index. Every part is searched
for every word: a million names should be one."""

_Hits = list[Any]
"""Addresses of what tantivy finds, best first."""

MAX_WORDS = 32
"""Words of a mention that are searched for; what is longer is no name."""
LEADING = 1000
"""Names that the rarest words of a mention may have together. Commoner words look for
nothing of their own: they rank, and find the names that have all words."""
RARELY = 30
"""A word of more names than these is taken to be spelt as it should be."""
ADDED = 40
"""Names that a way of searching other than by shared words adds at most."""
ALIKE = 250
"""Where more names have a word that is spelt alike, they need an equal word, too."""
PREFERENCE = 10.0
"""Weight of a word that is equal, among names that were found for one spelt alike."""
FEW = 20
"""With fewer names than these, words that begin alike are looked at, too."""
FUZZY_LETTERS = 6
"""Letters a word needs to be looked for at edit distance 2, where nothing was found."""
CONTEXT_WORDS, CONTEXT_LEADING = 12, 1000
"""Words of a context that are searched for, the rarest, and names they may have."""
CHOOSING_WORDS = 6
"""As many of them choose among names that share words with the mention."""
SHARES = 1024.0
"""Score for a word of the mention; what the words of a context add up to is less."""
FEW_BOTH = 4
"""Names that share words with a mention and with its context, too, are seldom more."""
CONTEXT_ADDED = 10
"""Names that share nothing with a mention but are named in its context, at most."""
CONTEXT_SHARED = 2
"""Words that a name needs to be named in a context."""


@dataclass(frozen=True, slots=True)
class NameHits:
    """Names found for several mentions, in no order; one may occur repeatedly.

    owner (np.ndarray): mention that each was found for. Shape: (n,), int64
    numbers (np.ndarray): the names. Shape: (n,), int64
    found_by (np.ndarray): how, as `FoundBy`. Shape: (n,), uint8
    is_full (list[bool]): of each mention, whether more names share words with it.
    """

    owner: np.ndarray
    numbers: np.ndarray
    found_by: np.ndarray
    is_full: list[bool]


class NameIndex(Protocol):
    """Finds the names that resemble mentions."""

    def find(
        self, keys: Sequence[str], contexts: Sequence[Sequence[str]], limit: int
    ) -> NameHits:
        """Search for mentions.

        keys (Sequence[str]): the mentions, normalised.
        contexts (Sequence[Sequence[str]]): distinct normalised words around each. They
            choose among more names than `limit`, or add names if they are fewer.
        limit (int): names that share words with a mention, at most.
        RETURNS (NameHits): of all mentions.
        """
        ...


class NamesWriter:
    """Changes an index in place, or makes one. Nothing counts before `commit`."""

    def __init__(self, folder: Path) -> None:
        """folder (Path): the index; made if there is none."""
        self._folder = folder
        self._schema = _schema()
        if folder.is_dir():
            index = tantivy.Index.open(str(folder))
        else:
            folder.mkdir(parents=True)
            index = tantivy.Index(self._schema, path=str(folder))
        # One thread: the same names give the same index, hence the same order of ties.
        self._writer = index.writer(heap_size=_WRITER_BYTES, num_threads=1)

    def add(self, first: int, keys: Iterable[str]) -> None:
        """Index normalised names.

        first (int): number of the first one; the others follow.
        """
        for number, key in enumerate(keys, start=first):
            document = tantivy.Document()
            document.add_text(_WORDS, key)
            document.add_text(_FORMS, " ".join(forms(key.split())))
            document.add_unsigned(_NUMBER, number)
            self._writer.add_document(document)

    def remove(self, numbers: Sequence[int]) -> None:
        """Take names out of the index."""
        if numbers:
            # Deleting by term instead takes numbers for signed and finds none.
            query = tantivy.Query.term_set_query(self._schema, _NUMBER, list(numbers))
            self._writer.delete_documents_by_query(query)

    def commit(self) -> None:
        """Complete the index; it cannot be written to after that."""
        try:
            self._writer.commit()
            self._writer.wait_merging_threads()
        except ValueError as error:
            raise DweError(
                Errors.E006.format(path=self._folder, reason=error)
            ) from None
        # Tantivy lets no other user read some of its files.
        mode = self._folder.stat().st_mode & 0o666
        for file in self._folder.iterdir():
            file.chmod(mode)
        self._unlock()

    def close(self) -> None:
        """Give up what was not committed."""
        self._writer.rollback()
        self._writer.wait_merging_threads()
        self._unlock()

    def _unlock(self) -> None:
        for lock in self._folder.glob(".tantivy-*.lock"):
            lock.unlink()


class TantivyNames:
    """A `NameIndex` on disk, ranked by BM25."""

    def __init__(self, kb: Path, folder: str) -> None:
        """kb (Path): the KB's folder.
        folder (str): where `NamesWriter` put the index, below it.
        """
        if not (kb / folder).is_dir():
            raise DweError(Errors.E104.format(path=kb, file=folder))
        try:
            self._searcher = _open(kb / folder)
            # Tantivy opens the files of a field when it is first asked of it.
            for field in _OPTIONS:
                self._searcher.doc_freq(field, "")
        except ValueError as error:
            raise DweError(
                Errors.E105.format(path=kb, file=folder, reason=error)
            ) from None
        self._schema = _schema()
        self._count = lru_cache(CACHED)(self._count_names)
        self._word = lru_cache(CACHED)(partial(self._term, _WORDS))
        self._spellings = lru_cache(CACHED)(self._known_spellings)

    def __len__(self) -> int:
        return int(self._searcher.num_docs)

    def find(
        self, keys: Sequence[str], contexts: Sequence[Sequence[str]], limit: int
    ) -> NameHits:
        found = [self._find(*each, limit) for each in zip(keys, contexts)]
        runs = [(i, way, hits) for i, own in enumerate(found) for way, hits in own[0]]
        counts = [len(hits) for _, _, hits in runs]
        owner = np.repeat(np.array([i for i, _, _ in runs], dtype=np.int64), counts)
        ways = np.repeat(np.array([way for _, way, _ in runs], dtype=np.uint8), counts)
        # Asking for numbers costs as much for one as for a hundred.
        addresses = [*chain.from_iterable(hits for _, _, hits in runs)]
        numbers = self._searcher.fast_field_values(_NUMBER, addresses)
        is_full = [full for _, full in found]
        return NameHits(owner, np.array(numbers, dtype=np.int64), ways, is_full)

    def _find(
        self, key: str, context: Sequence[str], limit: int
    ) -> tuple[list[tuple[FoundBy, _Hits]], bool]:
        """RETURNS (tuple[list[tuple[FoundBy, _Hits]], bool]): what was found in each
        way, and whether more names share words with the mention."""
        words = key.split()[:MAX_WORDS]
        counts = {word: self._count(word) for word in words}
        known = sorted(
            (word for word in counts if counts[word]), key=counts.__getitem__
        )
        both, shared = self._sharing(known, counts, limit)
        full = max(len(both), len(shared)) >= limit
        hits = [
            (FoundBy.WORDS, both + shared),
            (FoundBy.INITIALS, self._initials(words)),
        ]
        # Among many names, only a word that none of them has shows a mistake.
        rare = [word for word in counts if counts[word] <= (0 if full else RARELY)]
        if rare or not full:
            found = len(shared) + len(hits[1][1])
            hits.append((FoundBy.SPELLING, self._spelt_alike(words, rare, found)))
        if context and full:
            way = FoundBy.WORDS | FoundBy.CONTEXT
            hits.append((way, self._sharing_also(known, context)))
        elif context:
            hits.append((FoundBy.CONTEXT, self._in_context(context)))
        return hits, full

    def _sharing(
        self, known: list[str], counts: dict[str, int], limit: int
    ) -> tuple[_Hits, _Hits]:
        """RETURNS (tuple[_Hits, _Hits]): names that share words: those with all words
        of the mention, if there are common ones, and those with rare ones."""
        if not known:
            return [], []
        totals = [*accumulate(counts[word] for word in known)]
        n_leading = max(bisect_right(totals, LEADING), 1)
        leading = any_of([self._word(word) for word in known[:n_leading]])
        if n_leading == len(known):
            return [], self._hits(leading, limit)
        with_all: _Hits = []
        if totals[n_leading - 1] > limit:
            with_all = self._hits(self._all(known), limit)
            if len(with_all) >= limit:
                return with_all, []
        # This scores all that the rare words find. A plain union can skip much of what
        # scores low, but has to look at far more.
        common = [self._word(word) for word in known[n_leading:]]
        return with_all, self._hits(preferring(leading, common), limit)

    def _initials(self, words: list[str]) -> _Hits:
        return self._hits(any_of(self._known_forms(abbreviations(words))), ADDED)

    def _spelt_alike(self, words: list[str], rare: list[str], found: int) -> _Hits:
        joined = [left + right for left, right in pairwise(words)]
        if len(words) > 2:
            joined.append("".join(words))
        alike = [self._spellings(word) for word in (*rare, *joined)]
        known = [form for own, _ in alike for form in own]
        known += [self._word(word) for word in joined if self._count(word)]
        query = any_of(known)
        common = [word for word in dict.fromkeys(words) if word not in rare]
        total = sum(total for _, total in alike)
        hits: _Hits = []
        if common and total > ALIKE:
            # Too many to be told apart by their spelling alone.
            hits = self._without(rare, pairs_of(known, self._preferred(common)))
        if not hits:
            # All of a few names are found in whatever order.
            hits = self._without(rare, query, common if total > ADDED else ())
        if found + len(hits) < FEW:
            starts = [beginning(word) for word in dict.fromkeys(words)]
            hits += self._without(rare, any_of(self._known_forms(filter(None, starts))))
        if not found and not hits:
            fuzzy = [
                should(tantivy.Query.fuzzy_term_query(self._schema, _WORDS, word, 2))
                for word in dict.fromkeys(words)
                if len(word) >= FUZZY_LETTERS
            ]
            hits = self._hits(tantivy.Query.boolean_query(fuzzy), ADDED)
        return hits

    def _sharing_also(self, known: list[str], context: Sequence[str]) -> _Hits:
        """Names that share words with the mention and with its context."""
        query = any_of([*map(self._word, self._rarest(context)[:CHOOSING_WORDS])])
        if query is None:
            return []
        words = [
            tantivy.Query.const_score_query(self._word(word), SHARES) for word in known
        ]
        # Its words may have far more names than those of the context.
        query = preferring(query, words)
        found = self._searcher.search(query, FEW_BOTH, count=False).hits
        if len(found) == FEW_BOTH and found[-1][0] >= SHARES:
            found = self._searcher.search(query, ADDED, count=False).hits
        return [address for score, address in found if score >= SHARES]

    def _in_context(self, context: Sequence[str]) -> _Hits:
        """Names that share several words with the context."""
        around = self._rarest(context)
        if len(around) < CONTEXT_SHARED:
            return []
        parts = [should(self._word(word)) for word in around]
        query = tantivy.Query.boolean_query(parts, CONTEXT_SHARED)
        return self._hits(query, CONTEXT_ADDED)

    def _rarest(self, context: Sequence[str]) -> list[str]:
        # Each is looked up once: next to all are in no cache of the processor.
        counts = [*map(self._count, context)]
        few = [(n, i) for i, n in enumerate(counts) if 0 < n <= CONTEXT_LEADING]
        few = sorted(few)[:CONTEXT_WORDS]
        totals = [*accumulate(n for n, _ in few)]
        return [context[i] for _, i in few[: bisect_right(totals, CONTEXT_LEADING)]]

    def _count_names(self, word: str) -> int:
        count: int = self._searcher.doc_freq(_WORDS, word)
        return count

    def _hits(self, query: Any | None, limit: int) -> _Hits:
        if query is None:
            return []
        # Kept for all mentions, the tuples would keep the garbage collector busy.
        found = self._searcher.search(query, limit, count=False).hits
        return [address for _, address in found]

    def _without(
        self, words: list[str], query: Any | None, preferred: Sequence[str] = ()
    ) -> _Hits:
        """What a query finds, but for names that have one of the words: they
        were found already. Names that have preferred words come first."""
        known = [word for word in words if self._count(word)]
        if query is None or not (known or preferred):
            return self._hits(query, ADDED)
        if known:
            others = [(tantivy.Occur.MustNot, self._word(word)) for word in known]
            query = tantivy.Query.boolean_query([must(query), *others])
        return self._hits(preferring(query, self._preferred(preferred)), ADDED)

    def _preferred(self, words: Sequence[str]) -> list[Any]:
        terms = map(self._word, words)
        return [tantivy.Query.boost_query(term, PREFERENCE) for term in terms]

    def _all(self, words: Sequence[str]) -> Any:
        return tantivy.Query.boolean_query([must(self._word(word)) for word in words])

    def _known_spellings(self, word: str) -> tuple[list[Any], int]:
        """RETURNS (tuple[list[Any], int]): a query for each form of a word that a name
        has, and how many names they have together."""
        own = (*spellings(word), f"+{word}")
        total = sum(self._searcher.doc_freq(_FORMS, form) for form in own)
        return self._known_forms(own), total

    def _known_forms(self, some: Iterable[str]) -> list[Any]:
        """RETURNS (list[Any]): a query for each form that a name has. Most are none's,
        and a search would look each up in every part of the index."""
        count = self._searcher.doc_freq
        return [self._term(_FORMS, form) for form in some if count(_FORMS, form)]

    def _term(self, field: str, term: str) -> Any:
        return tantivy.Query.term_query(self._schema, field, term, _OPTIONS[field])


def _schema() -> Any:
    builder = tantivy.SchemaBuilder()
    for field, option in _OPTIONS.items():
        builder.add_text_field(field, tokenizer_name="whitespace", index_option=option)
    # Indexed, so that a name can be removed by its number.
    builder.add_unsigned_field(_NUMBER, fast=True, indexed=True)
    return builder.build()


def _open(folder: Path) -> Any:
    if os.access(folder, os.W_OK):
        return _searcher(folder)
    # Tantivy writes a lock file even to read, and reading once leaves it behind.
    with tempfile.TemporaryDirectory(prefix="spacy-dwe-") as links:
        for file in folder.absolute().iterdir():
            if file.suffix != ".lock":
                (Path(links) / file.name).symlink_to(file)
        return _searcher(Path(links))


def _searcher(folder: Path) -> Any:
    index = tantivy.Index.open(str(folder))
    index.config_reader("manual")
    index.reload()
    return index.searcher()
