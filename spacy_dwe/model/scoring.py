"""From queries and channel scores to ranked candidates. Knows arrays, no KB."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

SCORE_DECIMALS = 5
"""Scores closer than this are ties: they fall by entity id, not by batch size."""


@dataclass(frozen=True, slots=True)
class ScoredMention:
    """One mention with all its candidates, best first.

    doc (int): position of the document in the scored sequence.
    start, end (int): character offsets of the mention in its document.
    text (str): the mention.
    rows (np.ndarray): KB rows of the candidates. Shape: (n_candidates,), int32
    scores (np.ndarray): combined logits, rounded to `SCORE_DECIMALS`.
        Shape: (n_candidates,), float32
    probabilities (np.ndarray): softmax over candidates and NIL.
        Shape: (n_candidates,), float32
    nil_score, nil_probability (float): the same for the NIL candidate.
    contributions (dict): what each channel added to the logit of each candidate; they
        add up to `scores` before rounding. Shape of each: (n_candidates,), float32
    """

    doc: int
    start: int
    end: int
    text: str
    rows: np.ndarray
    scores: np.ndarray
    probabilities: np.ndarray
    nil_score: float
    nil_probability: float
    contributions: dict[str, np.ndarray]


def rank_order(scores: np.ndarray, sort_keys: np.ndarray) -> np.ndarray:
    """Positions of candidates from best to worst: by rounded score, then by sort key.

    scores (np.ndarray): already rounded to `SCORE_DECIMALS`. Shape: (n,)
    sort_keys (np.ndarray): position of each entity's id in id order. Shape: (n,)
    RETURNS (np.ndarray): Shape: (n,), int64
    """
    return np.lexsort((sort_keys, -scores))


def softmax_with_nil(scores: np.ndarray, nil: float) -> tuple[np.ndarray, float]:
    """Probabilities of the candidates and of NIL.

    scores (np.ndarray): logits, best first. Shape: (n,)
    nil (float): logit of NIL.
    RETURNS (tuple): Shape: (n,), and the probability of NIL.
    """
    top = max(nil, float(scores[0])) if len(scores) else nil
    weights = np.exp(scores - top)
    nil_weight = float(np.exp(nil - top))
    total = float(weights.sum()) + nil_weight
    return weights / total, nil_weight / total


class EntityIndex:
    """Exact search by inner product over a matrix that may not fit in memory.

    vectors (np.ndarray): unit vectors, usually a float16 memory map.
        Shape: (n_entities, dim)
    block_bytes (int): how much of the matrix is held as float32 at a time.
    """

    def __init__(self, vectors: np.ndarray, *, block_bytes: int = 64 << 20) -> None:
        self.vectors = vectors
        dim = max(1, vectors.shape[1])
        self.block_rows = max(1, block_bytes // (4 * dim))

    def __len__(self) -> int:
        return self.vectors.shape[0]

    def _blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        for first in range(0, len(self), self.block_rows):
            block = self.vectors[first : first + self.block_rows]
            yield first, np.asarray(block, dtype=np.float32)

    def scores(self, queries: np.ndarray) -> np.ndarray:
        """Inner products with every entity.

        queries (np.ndarray): Shape: (n_queries, dim)
        RETURNS (np.ndarray): Shape: (n_queries, n_entities), float32
        """
        out = np.empty((len(queries), len(self)), dtype=np.float32)
        for first, block in self._blocks():
            out[:, first : first + len(block)] = queries @ block.T
        return out

    def top_k(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k best entities of each query, best first, equal scores by position.

        Peak memory does not depend on the number of entities.

        queries (np.ndarray): Shape: (n_queries, dim)
        RETURNS (tuple): positions (n_queries, k) int64 and scores (n_queries, k)
            float32, where k is at most the number of entities.
        """
        k = min(k, len(self))
        best = np.zeros((len(queries), 0), dtype=np.float32)
        where = np.zeros((len(queries), 0), dtype=np.int64)
        for first, block in self._blocks():
            scores = queries @ block.T
            positions = np.arange(first, first + len(block), dtype=np.int64)
            best = np.concatenate([best, scores], axis=1)
            where = np.concatenate(
                [where, np.broadcast_to(positions, scores.shape)], axis=1
            )
            if best.shape[1] > k:
                kept = _k_best(best, k)
                best = best[kept].reshape(len(queries), k)
                where = where[kept].reshape(len(queries), k)
        # Positions ascend in every row, so a stable sort leaves equal scores in order.
        order = np.argsort(-best, axis=1, kind="stable")
        return (
            np.take_along_axis(where, order, axis=1),
            np.take_along_axis(best, order, axis=1),
        )


def _k_best(scores: np.ndarray, k: int) -> np.ndarray:
    """RETURNS (np.ndarray): True at the k highest scores of each row, the first ones
    among equals. Shape: as `scores`, which has more than k columns
    """
    if k == 0:
        return np.zeros(scores.shape, dtype=bool)
    lowest = scores.shape[1] - k
    bound = np.partition(scores, lowest, axis=1)[:, lowest, None]
    better, equal = scores > bound, scores == bound
    room = k - better.sum(axis=1, keepdims=True)
    return better | (equal & (equal.cumsum(axis=1) <= room))


def pair_cosines(
    vectors: np.ndarray, positions: np.ndarray, queries: np.ndarray, owners: np.ndarray
) -> np.ndarray:
    """Inner products of chosen pairs of query and entity.

    Where the pairs outnumber the entities, the whole matrix is read once instead of
    one row a pair: fewer bytes, and one matrix product.

    vectors (np.ndarray): Shape: (n_entities, dim), float16
    positions (np.ndarray): entity of each pair. Shape: (n_pairs,)
    queries (np.ndarray): Shape: (n_queries, dim), float32
    owners (np.ndarray): query of each pair. Shape: (n_pairs,)
    RETURNS (np.ndarray): Shape: (n_pairs,), float32
    """
    if len(positions) >= len(vectors):
        return EntityIndex(vectors).scores(queries)[owners, positions]
    gathered = np.asarray(vectors[positions], dtype=np.float32)
    return np.einsum("pd,pd->p", gathered, queries[owners])
