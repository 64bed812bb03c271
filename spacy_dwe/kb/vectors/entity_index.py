"""Dense retrieval: entities whose vectors are nearest to given ones."""

import warnings
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..candidates import Candidates, FoundBy
from .sets import VectorSet

if TYPE_CHECKING:
    import torch


class NearestEntities:
    """Exact search through one vector set. Equal descriptions share a vector: all their
    entities are found by it. An entity with several is found by its nearest."""

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
        counts = np.bincount(self._rows_at.rows)
        self._n_rows = int(np.count_nonzero(counts))
        self._each = -(-int(counts.sum()) // max(self._n_rows, 1))
        self._several = bool((counts > 1).any())
        self._index = EntityIndex(vectors.array, device=device)

    def __call__(self, queries: np.ndarray, n: int) -> Candidates:
        """Search.

        queries (np.ndarray): unit vectors. Shape: (n_mentions, dim), float32
        n (int): most candidates a mention.
        RETURNS (Candidates): by cosine, equal ones by id.
        """
        n_places = n * self._each
        while True:
            found = self._nearest(queries, n_places)
            if not self._several:
                return found.head(n)
            found = found.union(Candidates.from_lists([()] * len(found))).head(n)
            fewest = found.lengths.min(initial=n)
            if fewest >= min(n, self._n_rows) or n_places >= len(self._index):
                return found
            n_places *= 2

    def _nearest(self, queries: np.ndarray, n_places: int) -> Candidates:
        """RETURNS (Candidates): the entities of the nearest vectors, by cosine; one
        with several of these, as often."""
        places, cosines = self._index.top_k(queries, n_places, self._used)
        rows, pairs = self._rows_at.of(places.ravel())
        mention = pairs // max(places.shape[1], 1)
        cosine = cosines.ravel()[pairs].round(SCORE_DECIMALS)
        order = np.lexsort((self._sort_key[rows], -cosine, mention))
        offsets = np.searchsorted(mention, np.arange(len(queries) + 1))
        found_by = np.full(len(rows), FoundBy.DENSE, dtype=np.uint8)
        return Candidates(rows[order], offsets, found_by)


SCORE_DECIMALS = 5
"""Scores closer than this are ties: they fall by entity id, not by batch size."""

BLOCK_BYTES = 24 << 20
"""Of an `EntityIndex`: scores that are held at a time. From 32 MB on, glibc gives each
allocation new pages, and the kernel takes as long to clear them as a search to rank."""
CACHED_BYTES, COPIED_BYTES = 2 << 20, 64 << 20
"""Of its matrix, held as float32 at a time: on a CPU what stays in a core's cache for a
product, elsewhere what keeps the device busy."""
QUERIES = 256
"""Queries that are searched for together; more only need more memory."""
_EXACT_QUERIES = 8
"""Queries whose best scores are computed one by one together: as many as keep their
vectors in the cache."""
GROUP = 16
"""Scores of which only the highest is compared at first."""
_BOUND_GROUPS = 4
"""Groups that are compared to find a bound, for each entity that is looked for: where
there are more, some are joined."""
_NEW_SHARE = 0.2
"""A block that is a larger share of what has been read raises the bound by itself."""
_NOWHERE = 0xFFFFFFFF
"""The position that no entity has."""
SPARE = 8
"""Entities beyond the k-th that are scored exactly, too."""
_RESIDENT_SHARE = 0.5
"""Of a GPU's free memory, that a matrix may take to stay there."""


class EntityIndex:
    """Exact search by inner product over a matrix that may not fit in memory. Keep one
    for a matrix: on a GPU it stays there if there is room.

    vectors (np.ndarray): unit vectors, usually a float16 memory map.
        Shape: (n_entities, dim)
    device (str): torch device to compute on.
    block_bytes (int): scores that are held at a time.
    """

    def __init__(
        self,
        vectors: np.ndarray,
        *,
        device: str = "cpu",
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        self.vectors = vectors
        self.device = device
        self.block_bytes = block_bytes
        self._tensor: torch.Tensor | None = None

    def __len__(self) -> int:
        return self.vectors.shape[0]

    def scores(self, queries: np.ndarray) -> np.ndarray:
        """Inner products with every entity.

        queries (np.ndarray): Shape: (n_queries, dim)
        RETURNS (np.ndarray): Shape: (n_queries, n_entities), float32
        """
        out = np.empty((len(queries), len(self)), dtype=np.float32)
        for first, block in self._products(queries):
            end = min(first + block.shape[1], len(self))
            out[:, first:end] = block[:, : end - first].cpu().numpy()
        return out

    def top_k(
        self, queries: np.ndarray, k: int, live: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k best entities of each query, best first, equal scores by position.

        Peak memory does not depend on the number of entities, and what one query finds
        does not depend on the others.

        queries (np.ndarray): Shape: (n_queries, dim)
        k (int): how many.
        live (np.ndarray | None): entities to look among; None = all.
            Shape: (n_entities,), bool
        RETURNS (tuple): positions (n_queries, k) int64 and scores (n_queries, k)
            float32, where k is at most the number of entities.
        """
        n_live = len(self) if live is None else int(np.count_nonzero(live))
        k, n_kept = min(k, n_live), min(k + SPARE, n_live)
        parts = []
        for start in range(0, len(queries), QUERIES):
            some = queries[start : start + QUERIES]
            best = best_of(self._products(some), len(some), n_kept, live)
            parts.append(best.positions)
        where = np.concatenate([np.zeros((0, n_kept), dtype=np.int64), *parts])
        scores = self._scores_at(queries, where)
        order = np.lexsort((where, -scores), axis=1)[:, :k]
        return (
            np.take_along_axis(where, order, axis=1),
            np.take_along_axis(scores, order, axis=1),
        )

    def _scores_at(self, queries: np.ndarray, where: np.ndarray) -> np.ndarray:
        """Inner products one by one: a matrix product rounds by its shape.

        where (np.ndarray): positions for each query. Shape: (n_queries, k)
        RETURNS (np.ndarray): Shape: as `where`, float32
        """
        import torch

        out = np.empty(where.shape, dtype=np.float32)
        matrix = self._matrix()
        for start in range(0, len(where), _EXACT_QUERIES):
            own = slice(start, start + _EXACT_QUERIES)
            rows = torch.from_numpy(where[own].ravel()).to(matrix.device)
            # Torch converts float16 several times as fast as numpy.
            gathered = matrix.index_select(0, rows).float().cpu().numpy()
            gathered = gathered.reshape(*where[own].shape, matrix.shape[1])
            np.einsum("qkd,qd->qk", gathered, queries[own], out=out[own])
        return out

    def _products(self, queries: np.ndarray) -> "Iterator[tuple[int, torch.Tensor]]":
        """YIELDS (tuple[int, torch.Tensor]): position of a block's first entity and the
        products of all queries with the block, filled up to whole groups with -inf and
        overwritten by the next one."""
        import torch

        matrix = self._matrix()
        wanted = torch.from_numpy(np.ascontiguousarray(queries, dtype=np.float32))
        wanted = wanted.to(self.device)
        rows = self.block_bytes // (4 * max(1, len(queries)))
        rows = max(1, min(rows, len(self)))
        # Products are half as slow again where rows start at odd addresses.
        padded = -(-rows // GROUP) * GROUP
        out = wanted.new_empty((len(queries), padded))
        limit = CACHED_BYTES if wanted.device.type == "cpu" else COPIED_BYTES
        some = limit // (4 * max(1, matrix.shape[1])) // GROUP * GROUP
        some = min(rows, max(GROUP, some))
        converted = wanted.new_empty((some, matrix.shape[1]))
        for first in range(0, len(self), rows):
            n_rows = min(rows, len(self) - first)
            for start in range(0, n_rows, some):
                end = min(start + some, n_rows)
                part = converted[: end - start]
                part.copy_(matrix[first + start : first + end])
                torch.mm(wanted, part.T, out=out[:, start:end])
            filled = -(-n_rows // GROUP) * GROUP
            out[:, n_rows:filled] = -torch.inf
            yield first, out[:, :filled]

    def _matrix(self) -> "torch.Tensor":
        import torch

        if self._tensor is None:
            with warnings.catch_warnings():
                # Torch warns of memory that cannot be written to; nobody does.
                warnings.simplefilter("ignore", UserWarning)
                self._tensor = torch.from_numpy(self.vectors)
            if torch.device(self.device).type == "cuda":
                free, _ = torch.cuda.mem_get_info(self.device)
                if self._tensor.nbytes <= free * _RESIDENT_SHARE:
                    self._tensor = self._tensor.to(self.device)
        return self._tensor


def best_of(
    blocks: "Iterable[tuple[int, torch.Tensor]]",
    n_queries: int,
    k: int,
    live: np.ndarray | None = None,
) -> "Best":
    """The k best of all columns that come block by block.

    blocks (Iterable): position of a block's first column, and the scores of all queries
        there, as many as make whole groups, and -inf where there is nothing; they may
        be overwritten. Shape of each: (n_queries, n_columns)
    n_queries (int): how many.
    k (int): columns to keep for each.
    live (np.ndarray | None): columns to look among; None = all. Shape: (n,), bool
    RETURNS (Best): positions and scores.
    """
    import torch

    best = Best(n_queries, k)
    if not k:
        return best
    for first, block in blocks:
        if live is not None:
            dead = np.flatnonzero(~live[first : first + block.shape[1]])
            block.index_fill_(1, torch.from_numpy(dead).to(block.device), -torch.inf)
        highest = _highest(block)
        bound = torch.from_numpy(best.bound).to(block.device)
        if block.shape[1] > _NEW_SHARE * first:
            bound = _raised(bound, torch.from_numpy(best.scores), highest, k)
        owners, columns, scores = _above(block, highest, bound)
        best.add(owners, columns + first, scores)
    return best


class Best:
    """The k best entities of each query so far, in no order.

    Score and position are one number, by which the higher score and, of equal ones,
    the lower position is larger.

    bound (np.ndarray): score of the k-th, which a better one has to exceed.
        Shape: (n_queries,), float32
    """

    def __init__(self, n_queries: int, k: int) -> None:
        nothing = _sortable(np.full(1, -np.inf, dtype=np.float32), np.array([_NOWHERE]))
        self._keys = np.full((n_queries, k), nothing[0])
        self.bound = np.full(n_queries, -np.inf, dtype=np.float32)

    @property
    def positions(self) -> np.ndarray:
        """RETURNS (np.ndarray): Shape: (n_queries, k), int64"""
        return _NOWHERE - (self._keys & _NOWHERE)

    @property
    def scores(self) -> np.ndarray:
        """RETURNS (np.ndarray): Shape: (n_queries, k), float32"""
        return _scores_of(self._keys)

    def add(
        self, owners: np.ndarray, positions: np.ndarray, scores: np.ndarray
    ) -> None:
        """Take part in the ranking.

        owners (np.ndarray): query of each score, ascending. Shape: (n,)
        positions (np.ndarray): entity of each. Shape: (n,)
        scores (np.ndarray): Shape: (n,)
        """
        if not len(owners):
            return
        n_queries, k = self._keys.shape
        counts = np.bincount(owners, minlength=n_queries)
        place = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
        keys = np.full((n_queries, k + counts.max()), np.iinfo(np.int64).min)
        keys[:, :k] = self._keys
        keys[owners, k + place] = _sortable(scores, positions)
        keys.partition(keys.shape[1] - k, axis=1)
        self._keys = keys[:, -k:].copy()
        self.bound = _scores_of(self._keys[:, 0])


def _sortable(scores: np.ndarray, positions: np.ndarray) -> np.ndarray:
    bits = scores.view(np.int32)
    ordered = (bits ^ (bits >> 31 & 0x7FFFFFFF)).astype(np.int64)
    return ordered << 32 | (_NOWHERE - positions)


def _scores_of(keys: np.ndarray) -> np.ndarray:
    bits = (keys >> 32).astype(np.int32)
    return (bits ^ (bits >> 31 & 0x7FFFFFFF)).view(np.float32)


def _highest(block: "torch.Tensor") -> "torch.Tensor":
    """RETURNS (torch.Tensor): the highest score of each group of columns.
    Shape: (n_queries, n_columns // GROUP)"""
    return block.unflatten(1, (GROUP, -1)).amax(dim=1)


def _raised(
    bound: "torch.Tensor", known: "torch.Tensor", highest: "torch.Tensor", k: int
) -> "torch.Tensor":
    """RETURNS (torch.Tensor): a bound that k scores exceed, those of groups included.
    Shape: (n_queries,)"""
    import torch

    joined = highest.shape[1] // (_BOUND_GROUPS * k)
    if joined > 1:
        whole = highest.shape[1] // joined * joined
        highest = highest[:, :whole].unflatten(1, (joined, -1)).amax(dim=1)
    scores = torch.cat([known.to(highest.device), highest], dim=1)
    raised = torch.topk(scores, k, dim=1, sorted=False).values.amin(dim=1)
    # What equals the k-th has to be found, too.
    raised = torch.nextafter(raised, torch.full_like(raised, -torch.inf))
    return torch.maximum(bound, raised)


def _above(
    block: "torch.Tensor", highest: "torch.Tensor", bound: "torch.Tensor"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores that exceed their query's bound: looked for by groups of columns, of which
    next to none holds any.

    block (torch.Tensor): Shape: (n_queries, n_columns)
    highest (torch.Tensor): of each group. Shape: (n_queries, n_columns // GROUP)
    bound (torch.Tensor): Shape: (n_queries,)
    RETURNS (tuple): query, column and score of each. Shape of each: (n,)
    """
    n_groups = highest.shape[1]
    # Columns of a group lie apart: so the highest are found with whole vectors.
    groups = block.unflatten(1, (GROUP, n_groups))
    hit, group = (highest > bound[:, None]).nonzero(as_tuple=True)
    in_group = groups[hit, :, group]
    inner, place = (in_group > bound[hit, None]).nonzero(as_tuple=True)
    scores = in_group[inner, place].cpu().numpy()
    columns = (place * n_groups + group[inner]).cpu().numpy()
    return hit[inner].cpu().numpy(), columns, scores


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
