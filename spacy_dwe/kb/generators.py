"""Registered functions that find candidates, and what they may ask of mentions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from ..errors import DweError, Errors
from .candidates import Candidates, FoundBy
from .vectors.sets import SetName

if TYPE_CHECKING:
    from .knowledge_base import DweKnowledgeBase
    from .vectors.joint_search import Queries

DENSE_SHARE = 0.5
"""Of a mention's candidates, that are there for their vectors alone, at most."""


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

    def queries(self, names: Sequence[SetName] = ()) -> Mapping[SetName, Queries]:
        """What to look for entities by: queries of the trained network, and in sets
        that it has no head for, or before it was trained, the encoders' own vectors of
        texts and pictures. Nothing is encoded before it is asked for. They depend on
        the mention alone.

        While a linker is being trained, the mentions that it learns from have the
        encoders' own: candidates are found once for all epochs, and the network
        changes with every step. Those that an evaluation links meanwhile have the
        network's, as it is then.

        names (Sequence[SetName]): vector sets of the KB; none = those of the network's
            heads, or before training that of texts and those of pictures.
        RETURNS (Mapping[SetName, Queries]): by set, of those of them that the KB has
            and a channel in use compares with.
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


def dense_candidates(
    vectors: str | list[str] | None = None,
) -> CandidateGenerator:
    """Entities whose vectors are nearest to the mention, whatever their names: by the
    queries of a trained linker, and untrained by the mention in its context beside
    descriptions and by its pictures beside pictures; see `MentionBatch.queries`. What
    several vector sets say is added up as in the channel dwe, see `JointSearch`. Exact
    search through all vectors, so its cost grows with the KB.

    vectors (str | list[str] | None): vector sets of the KB, such as description@text;
        None means all heads of a trained linker, and untrained the set that texts are
        compared with and those of pictures.
    RETURNS (CandidateGenerator): registered as spacy-dwe.DenseCandidates.v1.
    """
    return DenseCandidates(_set_names(vectors))


def hybrid_candidates(
    dense_share: float = DENSE_SHARE,
    vectors: str | list[str] | None = None,
    use_context: bool = True,
) -> CandidateGenerator:
    """Candidates by name, then the nearest by vectors that are not among them. Where
    the KB has no vectors, or no channel in use compares any, by name alone.

    dense_share (float): as many of the n places go to the nearest by vectors; names
        get the others, and those of the nearest that they found themselves.
    vectors (str | list[str] | None): as in `dense_candidates`.
    use_context (bool): as in `name_candidates`.
    RETURNS (CandidateGenerator): registered as spacy-dwe.HybridCandidates.v1.
    """
    return HybridCandidates(dense_share, _set_names(vectors), use_context)


def _set_names(vectors: str | list[str] | None) -> tuple[SetName, ...]:
    names = [vectors] if isinstance(vectors, str) else vectors or ()
    return tuple(dict.fromkeys(map(SetName.read, names)))


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

    vectors: tuple[SetName, ...] = ()

    def __call__(
        self, kb: DweKnowledgeBase, mentions: MentionBatch, n: int
    ) -> Candidates:
        queries = mentions.queries(self.vectors)
        missing = [str(name) for name in self.vectors if name not in queries]
        if missing or not queries:
            raise DweError(
                Errors.E160.format(
                    kb=kb.path, name=", ".join(missing) or "descriptions or pictures"
                )
            )
        return kb.nearest_by(queries, n, mentions.device)


@dataclass(frozen=True)
class HybridCandidates:
    """See `hybrid_candidates`."""

    dense_share: float = DENSE_SHARE
    vectors: tuple[SetName, ...] = ()
    use_context: bool = True

    def __call__(
        self, kb: DweKnowledgeBase, mentions: MentionBatch, n: int
    ) -> Candidates:
        n_dense = round(n * self.dense_share)
        by_name = NameCandidates(self.use_context)(kb, mentions, n)
        queries = mentions.queries(self.vectors)
        if not queries:
            return by_name
        dense = kb.nearest_by(queries, n_dense, mentions.device)
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
