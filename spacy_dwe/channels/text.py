"""Features that compare a mention's vectors with those of its candidates."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..kb.vectors.entity_index import pair_cosines

if TYPE_CHECKING:
    from ..kb.candidates import Candidates
    from ..kb.vectors.sets import VectorSet

CLIP_CROSS_MEAN, CLIP_CROSS_STD = 0.2, 0.04
"""Cosine of a picture and another entity's description in CLIP ViT-B/32's space, for
a KB that has no pictures to measure it on."""


def text_feature(
    vectors: "VectorSet", candidates: "Candidates", queries: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Standardised cosines of mentions and their candidates.

    vectors (VectorSet): of entities.
    queries (Sequence[np.ndarray]): one unit vector a mention. Shape of each: (dim,)
    RETURNS (tuple): value of each candidate, and whether it has a vector.
    """
    best, there = _best([query[None] for query in queries], vectors, candidates)
    return _standardised(best, there, vectors.mean, vectors.std), there


def picture_feature(
    vectors: "VectorSet", candidates: "Candidates", pictures: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The same with the picture of a mention that is nearest to the candidate.

    pictures (Sequence[np.ndarray]): unit vectors of each mention's pictures.
        Shape of each: (n_pictures, dim)
    """
    best, there = _best(pictures, vectors, candidates)
    return _standardised(best, there, *_picture_scale(vectors)), there


def _best(
    queries: Sequence[np.ndarray], vectors: "VectorSet", candidates: "Candidates"
) -> tuple[np.ndarray, np.ndarray]:
    owners = candidates.mentions
    best = np.full(len(owners), -np.inf, dtype=np.float32)
    there = np.zeros(len(owners), dtype=bool)
    counts = np.array([len(own) for own in queries])
    if not counts.sum():
        return best, there
    together = np.concatenate([own for own in queries if len(own)])
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    for nth in range(counts.max()):
        # The nth vector of each mention that has as many.
        pairs = np.flatnonzero(counts[owners] > nth)
        cosines, found = _cosines(
            vectors, candidates.rows[pairs], together, first[owners[pairs]] + nth
        )
        best[pairs] = np.maximum(best[pairs], cosines)
        there[pairs] |= found
    return best, there


def _standardised(
    best: np.ndarray, there: np.ndarray, mean: float, std: float
) -> np.ndarray:
    return np.where(there, (best - mean) / std, 0.0)


def _picture_scale(vectors: "VectorSet") -> tuple[float, float]:
    if vectors.field == "image":
        return vectors.mean, vectors.std
    if vectors.cross_mean is None or vectors.cross_std is None:
        return CLIP_CROSS_MEAN, CLIP_CROSS_STD
    return vectors.cross_mean, vectors.cross_std


def _cosines(
    vectors: "VectorSet", rows: np.ndarray, queries: np.ndarray, owners: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """RETURNS (tuple): cosine of each pair, and whether the entity has a vector."""
    positions = vectors.index[rows]
    present = positions >= 0
    cosines = np.zeros(len(rows), dtype=np.float32)
    cosines[present] = pair_cosines(
        vectors.array, positions[present], queries, owners[present]
    )
    return cosines, present
