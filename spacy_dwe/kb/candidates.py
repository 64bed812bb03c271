"""Candidate lists, and the registered functions that make them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntFlag
from functools import cache
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from ..errors import DweError, Errors

if TYPE_CHECKING:
    from .knowledge_base import DweKnowledgeBase

DENSE_SHARE = 0.5
"""Of a mention's candidates, that are there for their descriptions alone, at most."""


class FoundBy(IntFlag):
    """Ways in which a candidate was found; it may be several.

    EXACT: a name equals the mention but for case, diacritics and punctuation.
    WORDS: a name shares words with the mention, in whatever order.
    SPELLING: words are spelt nearly alike, begin alike, or are joined or split.
    INITIALS: the mention abbreviates a name, or its first names.
    CONTEXT: the words around the mention hold other words of a name.
    DENSE: the description's vector is near that of the mention in its context.
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
        offsets = np.zeros(len(arrays) + 1, dtype=np.int64)
        np.cumsum([len(rows) for rows in arrays], out=offsets[1:])
        rows = np.concatenate(arrays) if arrays else np.zeros(0, dtype=np.int32)
        return cls(rows, offsets, np.full(len(rows), found_by, dtype=np.uint8))

    @classmethod
    def concatenated(cls, parts: Sequence[Candidates]) -> Candidates:
        """RETURNS (Candidates): those of all mentions of several batches."""
        if not parts:
            return cls.from_lists([])
        lengths = np.concatenate([part.lengths for part in parts])
        offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
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

    def head(self, n: int) -> Candidates:
        """RETURNS (Candidates): the first n of each mention."""
        place = np.arange(len(self.rows)) - np.repeat(self.offsets[:-1], self.lengths)
        return self._kept(place < n)

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

    def _kept(self, which: np.ndarray) -> Candidates:
        offsets = np.zeros_like(self.offsets)
        np.cumsum(
            np.bincount(self.mentions[which], minlength=len(self)), out=offsets[1:]
        )
        return Candidates(self.rows[which], offsets, self.found_by[which])


class MentionBatch(Protocol):
    """What a generator may ask about some mentions.

    texts (Sequence[str]): the mentions.
    contexts (Sequence[str]): the sentence or window that each stands in.
    device (str): torch device for work on vectors.
    """

    @property
    def texts(self) -> Sequence[str]: ...

    @property
    def contexts(self) -> Sequence[str]: ...

    @property
    def device(self) -> str: ...

    def vectors(self, name: str) -> np.ndarray | None:
        """Vectors of mentions and contexts to look for entities with, encoded when
        first asked for.

        name (str): vector set of the KB that they are to be compared with.
        RETURNS (np.ndarray | None): unit vectors; None where the KB has no such set, or
            no channel in use compares with it. Shape: (n_mentions, dim), float32
        """
        ...


class NamedMentions:
    """A `MentionBatch` of names alone, where nothing is encoded."""

    device = "cpu"

    def __init__(
        self, texts: Sequence[str], contexts: Sequence[str] | None = None
    ) -> None:
        """texts (Sequence[str]): the mentions.
        contexts (Sequence[str] | None): what each stands in, if that is known.
        """
        self.texts = texts
        self.contexts = [""] * len(texts) if contexts is None else contexts

    def vectors(self, name: str) -> np.ndarray | None:
        return None


CandidateGenerator: TypeAlias = (
    "Callable[[DweKnowledgeBase, MentionBatch, int], Candidates]"
)
"""(kb, mentions, n) -> at most n candidates a mention, which depend on nothing but the
mention itself."""


def name_candidates(use_context: bool = True) -> CandidateGenerator:
    """Entities whose title or alias resembles the mention: equal after normalisation,
    partial, in another order, misspelt or abbreviated.

    use_context (bool): let the words around a mention choose among too many names and
        add entities that they name.
    RETURNS (CandidateGenerator): registered as spacy-dwe.NameCandidates.v1.
    """
    return NameCandidates(use_context)


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


def dense_candidates(vectors: str | None = None) -> CandidateGenerator:
    """Entities whose description is nearest to the mention in its context, whatever
    their names: exact search through all vectors, so its cost grows with the KB.

    vectors (str | None): vector set of the KB; None means description@text, or else
        description@clip.
    RETURNS (CandidateGenerator): registered as spacy-dwe.DenseCandidates.v1.
    """
    return DenseCandidates(vectors)


def hybrid_candidates(
    dense_share: float = DENSE_SHARE,
    vectors: str | None = None,
    use_context: bool = True,
) -> CandidateGenerator:
    """Candidates by name, then the nearest descriptions that are not among them. Where
    the KB has no vectors, or no channel in use compares texts, by name alone.

    dense_share (float): as many of the n places go to the nearest descriptions; names
        get the others, and those of descriptions that they found themselves.
    vectors (str | None): as in `dense_candidates`.
    use_context (bool): as in `name_candidates`.
    RETURNS (CandidateGenerator): registered as spacy-dwe.HybridCandidates.v1.
    """
    return HybridCandidates(dense_share, vectors, use_context)


@dataclass(frozen=True)
class NameCandidates:
    """See `name_candidates`."""

    use_context: bool = True

    def __call__(
        self, kb: DweKnowledgeBase, mentions: MentionBatch, n: int
    ) -> Candidates:
        contexts = mentions.contexts if self.use_context else None
        return kb.search(mentions.texts, n, contexts)


@dataclass(frozen=True)
class DenseCandidates:
    """See `dense_candidates`."""

    vectors: str | None = None

    def __call__(
        self, kb: DweKnowledgeBase, mentions: MentionBatch, n: int
    ) -> Candidates:
        found = self.nearest(kb, mentions, n)
        if found is None:
            name = self.vectors or "description"
            raise DweError(Errors.E160.format(kb=kb.path, name=name))
        return found

    def nearest(
        self, kb: DweKnowledgeBase, mentions: MentionBatch, n: int
    ) -> Candidates | None:
        """RETURNS (Candidates | None): None where there is nothing to compare."""
        name = kb.text_set if self.vectors is None else self.vectors
        queries = None if name is None else mentions.vectors(name)
        if name is None or queries is None:
            return None
        return kb.nearest(name, queries, n, mentions.device)


@dataclass(frozen=True)
class HybridCandidates:
    """See `hybrid_candidates`."""

    dense_share: float = DENSE_SHARE
    vectors: str | None = None
    use_context: bool = True

    def __call__(
        self, kb: DweKnowledgeBase, mentions: MentionBatch, n: int
    ) -> Candidates:
        n_dense = round(n * self.dense_share)
        by_name = NameCandidates(self.use_context)(kb, mentions, n)
        dense = DenseCandidates(self.vectors).nearest(kb, mentions, n_dense)
        if dense is None:
            return by_name
        return by_name.head(n - n_dense).union(dense).union(by_name).head(n)


def _exact_candidates(
    kb: DweKnowledgeBase, mentions: MentionBatch, n: int
) -> Candidates:
    return kb.exact(mentions.texts).head(n)


def _all_entities(kb: DweKnowledgeBase, mentions: MentionBatch, n: int) -> Candidates:
    return kb.all_rows(len(mentions.texts))
