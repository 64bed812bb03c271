"""What the words around a mention say: its vector beside those of descriptions."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..kb.vectors.entity_index import pair_cosines
from .base import READ_TEXT

if TYPE_CHECKING:
    from ..kb.candidates import Candidates
    from ..kb.vectors.sets import VectorSet
    from .base import CandidateView, MentionView, Values


class TextChannel:
    """The mention in its context · "title. description", by the sentence encoder of the
    KB, else by CLIP; "spacy-dwe.TextChannel.v1"."""

    columns: Mapping[str, float] = {"description": 2.0}
    reads = (READ_TEXT,)

    def compute(
        self, mentions: "MentionView", candidates: "Candidates", kb: "CandidateView"
    ) -> "Values":
        queries = mentions.text_vectors()
        if queries is None or mentions.text_set is None:
            return np.zeros((len(candidates.rows), 1), dtype=np.float32), False
        vectors = kb.vector_sets[mentions.text_set]
        best, there = best_cosines(vectors, candidates, queries[:, None])
        return standardised(best, there, vectors.mean, vectors.std)


def standardised(
    best: np.ndarray, there: np.ndarray, mean: float, std: float
) -> "Values":
    """Cosines by the mean and deviation of those of random pairs, so that one weight
    serves every encoder.

    best (np.ndarray): Shape: (n,), float32
    there (np.ndarray): Shape: (n,), bool
    RETURNS (Values): as one column.
    """
    return np.where(there, (best - mean) / std, 0.0)[:, None], there[:, None]


def best_cosines(
    vectors: "VectorSet",
    candidates: "Candidates",
    queries: Sequence[np.ndarray] | np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Cosine of each candidate with its mention, of their nearest vectors.

    vectors (VectorSet): of entities.
    queries (Sequence[np.ndarray]): unit vectors of each mention.
        Shape of each: (n_vectors, dim)
    RETURNS (tuple): the cosines, and whether there are vectors on both sides.
        Shape of each: (n_candidates,)
    """
    best = np.full(len(candidates.rows), -np.inf, dtype=np.float32)
    there = np.zeros(len(candidates.rows), dtype=bool)
    for pairs, together, which in each_query(candidates, queries):
        cosines, found = cosines_of(vectors, candidates.rows[pairs], together, which)
        best[pairs] = np.maximum(best[pairs], cosines)
        there[pairs] |= found
    return best, there


def each_query(
    candidates: "Candidates", queries: Sequence[np.ndarray] | np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Compare every candidate with every vector of its mention.

    queries (Sequence[np.ndarray]): vectors of each mention.
        Shape of each: (n_vectors, dim)
    YIELDS (tuple): for the first vector of each mention, the second and so on: which
        candidates have one to be compared with, (n,); all vectors, (n_queries, dim);
        and which of them each is compared with, (n,).
    """
    owners = candidates.mentions
    counts = np.array([len(own) for own in queries])
    if not counts.sum():
        return
    together = np.concatenate([own for own in queries if len(own)])
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    for nth in range(counts.max()):
        pairs = np.flatnonzero(counts[owners] > nth)
        yield pairs, together, first[owners[pairs]] + nth


def cosines_of(
    vectors: "VectorSet", rows: np.ndarray, queries: np.ndarray, owners: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """RETURNS (tuple): cosine of each pair, of the entity's nearest vector, and whether
    the entity has one."""
    places, pairs = vectors.of(rows)
    counts = np.bincount(pairs, minlength=len(rows))
    present = counts > 0
    cosines = np.zeros(len(rows), dtype=np.float32)
    if len(pairs):
        each = pair_cosines(vectors.array, places, queries, owners[pairs])
        starts = (np.cumsum(counts) - counts)[present]
        cosines[present] = np.maximum.reduceat(each, starts)
    return cosines, present
