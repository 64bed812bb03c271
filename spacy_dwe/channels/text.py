"""What the words around a mention say: its vector beside those of descriptions."""

from collections.abc import Mapping
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
        cosines, there = cosines_of(
            vectors, candidates.rows, queries, candidates.mentions
        )
        # One weight serves every encoder.
        said = np.where(there, (cosines - vectors.mean) / vectors.std, 0.0)
        return said[:, None], there[:, None]


def cosines_of(
    vectors: "VectorSet", rows: np.ndarray, queries: np.ndarray, owners: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compare entities with vectors of mentions.

    vectors (VectorSet): of entities.
    rows (np.ndarray): of the entities. Shape: (n_pairs,)
    queries (np.ndarray): unit vectors. Shape: (n_queries, dim)
    owners (np.ndarray): the query of each pair. Shape: (n_pairs,)
    RETURNS (tuple): cosine of each pair, of the entity's nearest vector, and whether
        the entity has one. Shape of each: (n_pairs,)
    """
    places, pairs = vectors.of(rows)
    counts = np.bincount(pairs, minlength=len(rows))
    present = counts > 0
    cosines = np.zeros(len(rows), dtype=np.float32)
    if len(pairs):
        each = pair_cosines(vectors.array, places, queries, owners[pairs])
        starts = (np.cumsum(counts) - counts)[present]
        cosines[present] = np.maximum.reduceat(each, starts)
    return cosines, present
