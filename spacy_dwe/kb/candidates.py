"""Candidate lists: rows of a KB for each of several mentions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntFlag
from functools import cache

import numpy as np


class FoundBy(IntFlag):
    """Ways in which a candidate was found; it may be several.

    EXACT: a name equals the mention but for case, diacritics and punctuation.
    WORDS: a name shares words with the mention, in whatever order.
    SPELLING: words are spelt nearly alike, begin alike, or are joined or split.
    INITIALS: the mention abbreviates a name, or its first names.
    CONTEXT: the words around the mention hold other words of a name.
    DENSE: its vectors, of descriptions or pictures, are near those of the mention.
    ALL: nothing was looked for: every entity is a candidate.
    INJECTED: it was put in because it is right, which only an evaluation by the
        protocol "paper" does.
    """

    EXACT = 1
    WORDS = 2
    SPELLING = 4
    INITIALS = 8
    CONTEXT = 16
    DENSE = 32
    ALL = 64
    INJECTED = 128


@cache
def found_by_names(found_by: int) -> tuple[str, ...]:
    """RETURNS (tuple[str, ...]): the ways in small letters, such as ("words",)."""
    return tuple(str(way.name).lower() for way in FoundBy(found_by))


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """KB rows for each of several mentions, one after the other.

    rows (np.ndarray): rows of the KB, best match first where the generator ranks
        them. Shape: (total,), int32
    offsets (np.ndarray): mention i owns `rows[offsets[i]:offsets[i + 1]]`.
        Shape: (n_mentions + 1,), int64
    found_by (np.ndarray): how each row was found, as `FoundBy`.
        Shape: (total,), uint8
    """

    rows: np.ndarray
    offsets: np.ndarray
    found_by: np.ndarray

    @classmethod
    def from_lists(
        cls,
        lists: Iterable[Sequence[int] | np.ndarray],
        found_by: int = 0,
    ) -> Candidates:
        """RETURNS (Candidates): the given rows, a list a mention, all found in the same
        ways, a `FoundBy`."""
        arrays = [np.asarray(rows, dtype=np.int32) for rows in lists]
        offsets = _offsets([len(rows) for rows in arrays])
        rows = np.concatenate(arrays) if arrays else np.zeros(0, dtype=np.int32)
        return cls(rows, offsets, np.full(len(rows), found_by, dtype=np.uint8))

    @classmethod
    def concatenated(cls, parts: Sequence[Candidates]) -> Candidates:
        """RETURNS (Candidates): those of all mentions of several batches."""
        if not parts:
            return cls.from_lists([])
        offsets = _offsets(np.concatenate([part.lengths for part in parts]))
        rows = np.concatenate([part.rows for part in parts])
        found_by = np.concatenate([part.found_by for part in parts])
        return cls(rows, offsets, found_by)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, mention: int) -> np.ndarray:
        return self.rows[self.offsets[mention] : self.offsets[mention + 1]]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[mention] for mention in range(len(self)))

    @property
    def lengths(self) -> np.ndarray:
        """RETURNS (np.ndarray): candidates a mention. Shape: (n_mentions,), int64"""
        return np.diff(self.offsets)

    @property
    def mentions(self) -> np.ndarray:
        """RETURNS (np.ndarray): the mention of each row. Shape: (total,), int64"""
        return np.repeat(np.arange(len(self)), self.lengths)

    def span(self, start: int, end: int) -> Candidates:
        """RETURNS (Candidates): those of mentions start to end (views)."""
        first, last = self.offsets[start], self.offsets[end]
        return Candidates(
            self.rows[first:last],
            self.offsets[start : end + 1] - first,
            self.found_by[first:last],
        )

    def runs(self, n: int) -> Iterator[tuple[int, int]]:
        """YIELDS (tuple[int, int]): start and end of consecutive runs of mentions, as
        many as have at most n candidates together; at least one."""
        start = 0
        while start < len(self):
            limit = self.offsets[start] + n
            end = int(np.searchsorted(self.offsets, limit, side="right")) - 1
            end = max(end, start + 1)
            yield start, end
            start = end

    def head(self, n: int) -> Candidates:
        """RETURNS (Candidates): the first n of each mention."""
        place = np.arange(len(self.rows)) - np.repeat(self.offsets[:-1], self.lengths)
        which = place < n
        counts = np.bincount(self.mentions[which], minlength=len(self))
        return Candidates(self.rows[which], _offsets(counts), self.found_by[which])

    def among(self, which: np.ndarray) -> Candidates:
        """which (np.ndarray): of more mentions, those that these are.
            Shape: (n_more,), bool
        RETURNS (Candidates): of all of them; the others have none."""
        counts = np.zeros(len(which), dtype=np.int64)
        counts[which] = self.lengths
        return Candidates(self.rows, _offsets(counts), self.found_by)

    def union(self, other: Candidates) -> Candidates:
        """RETURNS (Candidates): of each mention these, then those of the other that are
        not among these; a row in both was found in both ways."""
        owner = np.concatenate([self.mentions, other.mentions])
        rows = np.concatenate([self.rows, other.rows])
        found_by = np.concatenate([self.found_by, other.found_by])
        # Stable: of equal rows the first one is this one's, and lists keep their order.
        order = np.lexsort((rows, owner))
        is_first = np.ones(len(rows), dtype=bool)
        is_first[1:] = (np.diff(owner[order]) != 0) | (np.diff(rows[order]) != 0)
        starts = np.flatnonzero(is_first)
        merged = np.bitwise_or.reduceat(found_by[order], starts) if len(rows) else None
        kept = order[starts]
        if merged is not None:
            found_by[kept] = merged
        kept = np.sort(kept)
        kept = kept[np.argsort(owner[kept], kind="stable")]
        offsets = np.searchsorted(owner[kept], np.arange(len(self) + 1))
        return Candidates(rows[kept], offsets.astype(np.int64), found_by[kept])


def _offsets(counts: Sequence[int] | np.ndarray) -> np.ndarray:
    offsets = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets
