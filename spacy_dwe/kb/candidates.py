"""Candidate lists, and the registered functions that make them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from .knowledge_base import DweKnowledgeBase


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """KB rows for each of several mentions, one after the other.

    rows (np.ndarray): rows of the KB, best name match first where the generator
        ranks them. Shape: (total,), int32
    offsets (np.ndarray): mention i owns `rows[offsets[i]:offsets[i + 1]]`.
        Shape: (n_mentions + 1,), int64
    """

    rows: np.ndarray
    offsets: np.ndarray

    @classmethod
    def from_lists(cls, lists: Iterable[Sequence[int] | np.ndarray]) -> Candidates:
        """RETURNS (Candidates): the given rows, a list a mention."""
        arrays = [np.asarray(rows, dtype=np.int32) for rows in lists]
        offsets = np.zeros(len(arrays) + 1, dtype=np.int64)
        np.cumsum([len(rows) for rows in arrays], out=offsets[1:])
        rows = np.concatenate(arrays) if arrays else np.zeros(0, dtype=np.int32)
        return cls(rows, offsets)

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
        first = self.offsets[start]
        return Candidates(
            self.rows[first : self.offsets[end]], self.offsets[start : end + 1] - first
        )


CandidateGenerator: TypeAlias = (
    "Callable[[DweKnowledgeBase, Sequence[str], int], Candidates]"
)
"""(kb, mention texts, n) -> at most n candidates a mention."""


def name_candidates() -> CandidateGenerator:
    """Entities whose title or alias resembles the mention: equal after normalisation,
    partial or misspelt. The right choice unless the KB is tiny.

    RETURNS (CandidateGenerator): registered as spacy-dwe.NameCandidates.v1.
    """
    return _name_candidates


def exact_candidates() -> CandidateGenerator:
    """Entities with a title or alias equal to the mention, whatever its case and
    diacritics.

    RETURNS (CandidateGenerator): registered as spacy-dwe.ExactCandidates.v1.
    """
    return _exact_candidates


def all_entities() -> CandidateGenerator:
    """Every entity of the KB for every mention: full ranking, for evaluation and
    small KBs. `n` is ignored.

    RETURNS (CandidateGenerator): registered as spacy-dwe.AllEntities.v1.
    """
    return _all_entities


def _name_candidates(
    kb: DweKnowledgeBase, mentions: Sequence[str], n: int
) -> Candidates:
    return kb.search(mentions, n)


def _exact_candidates(
    kb: DweKnowledgeBase, mentions: Sequence[str], n: int
) -> Candidates:
    return Candidates.from_lists(rows[:n] for rows in kb.exact(mentions))


def _all_entities(kb: DweKnowledgeBase, mentions: Sequence[str], n: int) -> Candidates:
    return kb.all_rows(len(mentions))
