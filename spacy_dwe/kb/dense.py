"""Dense retrieval: entities whose vectors are nearest to given ones."""

import numpy as np

from ..model.scoring import SCORE_DECIMALS, EntityIndex
from .candidates import Candidates, FoundBy
from .vectors import VectorSet


class NearestEntities:
    """Exact search through one vector set. Equal descriptions share a vector: all their
    entities are found by it."""

    def __init__(
        self,
        vectors: VectorSet,
        *,
        live: np.ndarray | None,
        sort_key: np.ndarray,
        device: str,
    ) -> None:
        """vectors (VectorSet): the set.
        live (np.ndarray | None): rows that are not removed; None = all.
            Shape: (n_rows,), bool
        sort_key (np.ndarray): place of each row's id among all ids. Shape: (n_rows,)
        device (str): torch device to compute on.
        """
        self._rows_at = vectors.rows_at(live)
        used = self._rows_at.used
        self._used = None if used.all() else used
        self._sort_key = sort_key
        self._index = EntityIndex(vectors.array, device=device)

    def __call__(self, queries: np.ndarray, n: int) -> Candidates:
        """Search.

        queries (np.ndarray): unit vectors. Shape: (n_mentions, dim), float32
        n (int): most candidates a mention.
        RETURNS (Candidates): by cosine, equal ones by id.
        """
        places, cosines = self._index.top_k(queries, n, self._used)
        rows, pairs = self._rows_at.of(places.ravel())
        mention = pairs // max(places.shape[1], 1)
        cosine = cosines.ravel()[pairs].round(SCORE_DECIMALS)
        order = np.lexsort((self._sort_key[rows], -cosine, mention))
        offsets = np.searchsorted(mention, np.arange(len(queries) + 1))
        found_by = np.full(len(rows), FoundBy.DENSE, dtype=np.uint8)
        return Candidates(rows[order], offsets, found_by).head(n)
