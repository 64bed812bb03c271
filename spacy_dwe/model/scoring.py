"""From queries and channel scores to ranked candidates. Knows arrays, no KB."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

SCORE_DECIMALS = 5
"""Scores closer than this are ties: they fall by entity id, not by batch size."""

BLOCK_BYTES = 32 << 20
"""Of an `EntityIndex`: how much of its matrix is held as float32 at a time."""
_FIRST_ROWS = 8192
"""Rows of a search's first block, whose best set the first bound."""
_QUERIES = 256
"""Queries that are searched for together; more only need more memory."""
_EXACT_QUERIES = 32
"""Queries whose best scores are computed one by one together."""
_GROUP = 64
"""Scores of which only the highest is compared at first."""
_SPARE = 8
"""Entities beyond the k-th that are scored exactly, too."""
_RESIDENT_SHARE = 0.5
"""Of a GPU's free memory, that a matrix may take to stay there."""


@dataclass(frozen=True, slots=True)
class ScoredMention:
    """One mention with all its candidates, best first.

    doc (int): position of the document in the scored sequence.
    start, end (int): character offsets of the mention in its document.
    text (str): the mention.
    rows (np.ndarray): KB rows of the candidates. Shape: (n_candidates,), int32
    found_by (np.ndarray): how each was found, as `FoundBy`.
        Shape: (n_candidates,), uint8
    places (np.ndarray): where each stood in the generator's list, from 0.
        Shape: (n_candidates,), int32
    scores (np.ndarray): combined logits, rounded to `SCORE_DECIMALS`.
        Shape: (n_candidates,), float32
    probabilities (np.ndarray): softmax over candidates and NIL.
        Shape: (n_candidates,), float32
    nil_score, nil_probability (float): the same for the NIL candidate.
    nil_features (np.ndarray): what NIL's score is linear in, see `CombinedScores`.
        Shape: (5,), float32
    contributions (dict): what each channel added to the logit of each candidate; they
        add up to `scores` before rounding. Shape of each: (n_candidates,), float32
    """

    doc: int
    start: int
    end: int
    text: str
    rows: np.ndarray
    found_by: np.ndarray
    places: np.ndarray
    scores: np.ndarray
    probabilities: np.ndarray
    nil_score: float
    nil_probability: float
    nil_features: np.ndarray
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
    """Exact search by inner product over a matrix that may not fit in memory. Keep one
    for a matrix: on a GPU it stays there if there is room.

    vectors (np.ndarray): unit vectors, usually a float16 memory map.
        Shape: (n_entities, dim)
    device (str): torch device to compute on.
    block_bytes (int): how much of the matrix is held as float32 at a time.
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
        dim = max(1, vectors.shape[1])
        self.block_rows = max(1, block_bytes // (4 * dim))
        self._tensor: torch.Tensor | None = None

    def __len__(self) -> int:
        return self.vectors.shape[0]

    def scores(self, queries: np.ndarray) -> np.ndarray:
        """Inner products with every entity.

        queries (np.ndarray): Shape: (n_queries, dim)
        RETURNS (np.ndarray): Shape: (n_queries, n_entities), float32
        """
        out = np.empty((len(queries), len(self)), dtype=np.float32)
        for first, block in self._products(queries, self.block_rows):
            out[:, first : first + block.shape[1]] = block.cpu().numpy()
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
        k, n_kept = min(k, n_live), min(k + _SPARE, n_live)
        parts = [
            self._top_k(queries[start : start + _QUERIES], n_kept, live)
            for start in range(0, len(queries), _QUERIES)
        ]
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

    def _top_k(
        self, queries: np.ndarray, k: int, live: np.ndarray | None
    ) -> np.ndarray:
        """RETURNS (np.ndarray): positions. Shape: (n_queries, k), int64"""
        import torch

        best = _Best(len(queries), k)
        if not k:
            return best.positions
        for first, block in self._products(queries, min(self.block_rows, _FIRST_ROWS)):
            if live is not None:
                dead = np.flatnonzero(~live[first : first + block.shape[1]])
                block.index_fill_(
                    1, torch.from_numpy(dead).to(block.device), -torch.inf
                )
            if first == 0 and block.shape[1] > k:
                # All that is as good as the k-th of the first block, with a bound to
                # start from.
                bound = torch.topk(block, k, dim=1, sorted=False).values.amin(dim=1)
                bound = torch.nextafter(bound, torch.full_like(bound, -torch.inf))
            else:
                bound = torch.from_numpy(best.bound).to(block.device)
            owners, columns, scores = _above(block, bound)
            best.add(owners, columns + first, scores)
        return best.positions

    def _products(
        self, queries: np.ndarray, rows: int
    ) -> "Iterator[tuple[int, torch.Tensor]]":
        """YIELDS (tuple[int, torch.Tensor]): position of a block's first entity and the
        products of all queries with the block, overwritten by the next one. Blocks have
        `rows` entities at first, then twice as many as the one before."""
        import torch

        matrix = self._matrix()
        wanted = torch.from_numpy(np.ascontiguousarray(queries, dtype=np.float32))
        wanted = wanted.to(self.device)
        largest = min(self.block_rows, len(self))
        converted = wanted.new_empty((largest, self.vectors.shape[1]))
        # Products are half as slow again where rows start at odd addresses.
        padded = -(-largest // _GROUP) * _GROUP
        out = wanted.new_empty((len(queries), padded))
        first = 0
        while first < len(self):
            part = matrix[first : first + rows]
            block = converted[: len(part)].copy_(part)
            yield first, torch.mm(wanted, block.T, out=out[:, : len(part)])
            first += len(part)
            rows = min(2 * rows, self.block_rows)

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


class _Best:
    """The k best entities of each query so far.

    positions (np.ndarray): best first, -1 where fewer are known.
        Shape: (n_queries, k), int64
    bound (np.ndarray): score of the k-th, which a better one has to exceed.
        Shape: (n_queries,), float32
    """

    def __init__(self, n_queries: int, k: int) -> None:
        self.positions = np.full((n_queries, k), -1, dtype=np.int64)
        self.bound = np.full(n_queries, -np.inf, dtype=np.float32)
        self._scores = np.full((n_queries, k), -np.inf, dtype=np.float32)

    def add(
        self, owners: np.ndarray, positions: np.ndarray, scores: np.ndarray
    ) -> None:
        """Take part in the ranking.

        owners (np.ndarray): query of each score. Shape: (n,)
        positions (np.ndarray): entity of each, after those of all earlier calls.
            Shape: (n,)
        scores (np.ndarray): Shape: (n,)
        """
        k = self.positions.shape[1]
        changed = np.unique(owners)
        owners = np.concatenate([np.repeat(changed, k), owners])
        positions = np.concatenate([self.positions[changed].ravel(), positions])
        scores = np.concatenate([self._scores[changed].ravel(), scores])
        # Stable, so that equal scores stay in order of position.
        order = np.lexsort((-scores, owners))
        starts = np.searchsorted(owners[order], changed)
        kept = order[starts[:, None] + np.arange(k)]
        self.positions[changed] = positions[kept]
        self._scores[changed] = scores[kept]
        self.bound[changed] = scores[kept[:, -1]]


def _above(
    block: "torch.Tensor", bound: "torch.Tensor"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores that exceed their query's bound: looked for by groups of columns, of which
    next to none holds any.

    block (torch.Tensor): Shape: (n_queries, n_columns)
    bound (torch.Tensor): Shape: (n_queries,)
    RETURNS (tuple): query, column and score of each, in order. Shape of each: (n,)
    """
    import torch

    n_columns = block.shape[1]
    whole = n_columns - n_columns % _GROUP
    groups = block[:, :whole].unflatten(1, (-1, _GROUP))
    hit = (groups.amax(dim=2) > bound[:, None]).nonzero()
    in_group = groups[hit[:, 0], hit[:, 1]]
    inner = (in_group > bound[hit[:, 0], None]).nonzero()
    owners = hit[inner[:, 0], 0]
    columns = hit[inner[:, 0], 1] * _GROUP + inner[:, 1]
    rest = (block[:, whole:] > bound[:, None]).nonzero()
    owners = torch.cat([owners, rest[:, 0]])
    columns = torch.cat([columns, rest[:, 1] + whole])
    scores = block[owners, columns]
    return owners.cpu().numpy(), columns.cpu().numpy(), scores.cpu().numpy()


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
