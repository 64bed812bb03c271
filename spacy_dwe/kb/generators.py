"""Registered functions that find candidates, and what they may ask of mentions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from ..errors import DweError, Errors
from .candidates import Candidates, FoundBy
from .vectors.sets import SetName

if TYPE_CHECKING:
    from .knowledge_base import DweKnowledgeBase

DENSE_SHARE = 0.5
"""Of a mention's candidates, that are there for their descriptions alone, at most."""


class MentionBatch(Protocol):
    """What a generator may ask about some mentions.

    texts (Sequence[str]): the mentions.
    contexts (Sequence[str]): the sentence or window that each stands in.
    device (str): torch device for work on vectors.
    text_set (SetName | None): vectors of the KB that texts are compared with.
    """

    @property
    def texts(self) -> Sequence[str]: ...

    @property
    def contexts(self) -> Sequence[str]: ...

    @property
    def device(self) -> str: ...

    @property
    def text_set(self) -> SetName | None: ...

    def vectors(self, name: SetName) -> np.ndarray | None:
        """Vectors of mentions and contexts to look for entities with, encoded when
        first asked for.

        name (SetName): vector set of the KB that they are to be compared with.
        RETURNS (np.ndarray | None): unit vectors; None where the KB has no such set, or
            no channel in use compares with it. Shape: (n_mentions, dim), float32
        """
        ...


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

    vectors (str | None): vector set of the KB, such as description@text; None means
        the one that texts are compared with.
    RETURNS (CandidateGenerator): registered as spacy-dwe.DenseCandidates.v1.
    """
    return DenseCandidates(None if vectors is None else SetName.read(vectors))


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
    name = None if vectors is None else SetName.read(vectors)
    return HybridCandidates(dense_share, name, use_context)


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

    vectors: SetName | None = None

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
        name = mentions.text_set if self.vectors is None else self.vectors
        queries = None if name is None else mentions.vectors(name)
        if name is None or queries is None:
            return None
        return kb.nearest(name, queries, n, mentions.device)


@dataclass(frozen=True)
class HybridCandidates:
    """See `hybrid_candidates`."""

    dense_share: float = DENSE_SHARE
    vectors: SetName | None = None
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


CELLS = 1 << 24
"""Scores held at once, four bytes each."""


def fuzzy_candidates() -> CandidateGenerator:
    """Entities with the names most like a mention by WRatio, which compares it with
    every name of the KB: some 25 milliseconds a mention with 18,000 entities. It is
    there to repeat what papers measured; `spacy-dwe.NameCandidates.v1` finds more,
    sooner.

    RETURNS (CandidateGenerator): registered as spacy-dwe.FuzzyCandidates.v1.
    """
    return FuzzyCandidates()


class FuzzyCandidates:
    """A `CandidateGenerator`; keeps the names of the KB it was last asked about."""

    def __init__(self) -> None:
        self._kb: DweKnowledgeBase | None = None
        self._names: list[str] = []
        self._owners = np.zeros(0, dtype=np.int32)

    def __call__(
        self, kb: DweKnowledgeBase, mentions: MentionBatch, n: int
    ) -> Candidates:
        try:
            from rapidfuzz import fuzz, utils
            from rapidfuzz.process import cdist
        except ImportError:
            raise DweError(Errors.E430) from None
        self._read(kb)
        texts = [utils.default_process(text) for text in mentions.texts]
        if not self._names:
            return Candidates.from_lists([[] for _ in texts])
        lists: list[np.ndarray] = []
        size = max(1, CELLS // len(self._names))
        for first in range(0, len(texts), size):
            scores = cdist(
                texts[first : first + size],
                self._names,
                scorer=fuzz.WRatio,
                dtype=np.float32,
                workers=-1,
            )
            lists += [self._best(row, n) for row in scores]
        return Candidates.from_lists(lists, FoundBy.SPELLING)

    def _read(self, kb: DweKnowledgeBase) -> None:
        from rapidfuzz import utils

        if self._kb is kb:
            return
        entities = list(kb)
        names = [entity.names for entity in entities]
        rows = kb.rows_of([entity.id for entity in entities])
        # Equal scores: in the order of ids, as everywhere.
        order = np.argsort(kb.sort_keys(rows), kind="stable")
        self._names = [
            utils.default_process(name) for i in order.tolist() for name in names[i]
        ]
        self._owners = np.repeat(rows[order], [len(names[i]) for i in order.tolist()])
        self._kb = kb

    def _best(self, scores: np.ndarray, n: int) -> np.ndarray:
        """Rows of the n entities with the best names."""
        order = np.argsort(-scores, kind="stable")
        owners = self._owners[order]
        _, first = np.unique(owners, return_index=True)
        return owners[np.sort(first)][:n]
