"""Dense retrieval in several vector sets at once: by what they say together."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..candidates import Candidates, FoundBy
from .entity_index import (
    BLOCK_BYTES,
    CACHED_BYTES,
    COPIED_BYTES,
    GROUP,
    QUERIES,
    SCORE_DECIMALS,
    SPARE,
    best_of,
)
from .sets import SetName, VectorSet

if TYPE_CHECKING:
    import torch

_EXACT_PAIRS = 1 << 10
"""Mentions and entities whose scores are computed one by one together."""
_LEAST = -2.0
"""Below any cosine."""


@dataclass(frozen=True, slots=True, eq=False)
class Queries:
    """What mentions are compared with the vectors of one set by.

    vectors (np.ndarray): unit vectors. Shape: (n_mentions, dim), float32
    present (np.ndarray): mentions that have one; others do not look in this set.
        Shape: (n_mentions,), bool
    weight (float): what a deviation of the cosine counts beside those in other sets.
    bias (float): what having a vector counts.
    """

    vectors: np.ndarray
    present: np.ndarray
    weight: float = 1.0
    bias: float = 0.0

    def __getitem__(self, mentions: slice) -> "Queries":
        """RETURNS (Queries): those of some mentions."""
        vectors, present = self.vectors[mentions], self.present[mentions]
        return Queries(vectors, present, self.weight, self.bias)


class JointSearch:
    """Exact search by the sum, over vector sets, of the cosine's deviation from that of
    random pairs times a weight, as the combiner adds up the columns of the channel dwe.
    An entity with several vectors in a set is as near as its nearest; a set in which
    the mention or the entity has none adds nothing.

    sets (Mapping[SetName, VectorSet]): of the KB.
    live (np.ndarray | None): rows that are not removed; None = all.
        Shape: (n_rows,), bool
    sort_key (np.ndarray): place of each row's id among all ids. Shape: (n_rows,)
    device (str): torch device to compute on.
    """

    def __init__(
        self,
        sets: Mapping[SetName, VectorSet],
        *,
        live: np.ndarray | None,
        sort_key: np.ndarray,
        device: str,
    ) -> None:
        self._sets = sets
        self._live = live
        self._sort_key = sort_key
        self._device = device

    def __call__(self, queries: Mapping[SetName, Queries], n: int) -> Candidates:
        """Search.

        queries (Mapping[SetName, Queries]): of the same mentions, by set.
        n (int): most candidates a mention.
        RETURNS (Candidates): by score, equal ones by id. Its memory does not grow with
            the KB, and what a mention finds does not depend on others.
        """
        n_mentions = len(next(iter(queries.values())).present)
        parts = []
        for start in range(0, n_mentions, QUERIES):
            some = {k: own[start : start + QUERIES] for k, own in queries.items()}
            parts.append(self._search(some, n))
        return Candidates.concatenated(parts)

    def _search(self, queries: Mapping[SetName, Queries], n: int) -> Candidates:
        n_mentions = len(next(iter(queries.values())).present)
        n_kept = min(n + SPARE, len(self._sort_key))
        blocks = self._blocks(queries, n_mentions)
        best = best_of(blocks, n_mentions, n_kept, self._live)
        mentions, slots = np.nonzero(np.isfinite(best.scores))
        rows = best.positions[mentions, slots].astype(np.int32)
        scores = self._scores_of(queries, mentions, rows).round(SCORE_DECIMALS)
        order = np.lexsort((self._sort_key[rows], -scores, mentions))
        offsets = np.searchsorted(mentions, np.arange(n_mentions + 1))
        found_by = np.full(len(rows), FoundBy.DENSE, dtype=np.uint8)
        return Candidates(rows[order], offsets.astype(np.int64), found_by).head(n)

    def _blocks(
        self, queries: Mapping[SetName, Queries], n_mentions: int
    ) -> "Iterator[tuple[int, torch.Tensor]]":
        """Score all entities, see `best_of`."""
        import torch

        asked = {
            name: (
                torch.from_numpy(np.ascontiguousarray(own.vectors)).to(self._device),
                torch.from_numpy(own.present).to(self._device),
            )
            for name, own in queries.items()
        }
        n_rows = len(self._sort_key)
        each = min(max(1, BLOCK_BYTES // (4 * n_mentions)), n_rows)
        padded = -(-each // GROUP) * GROUP
        out = torch.empty((n_mentions, padded), device=self._device)
        some = self._rows_at_a_time(queries)
        for first in range(0, n_rows, each):
            end = min(first + each, n_rows)
            for start in range(first, end, some):
                stop = min(start + some, end)
                block = out[:, start - first : stop - first]
                self._fill(block, queries, asked, np.arange(start, stop))
            filled = -(-(end - first) // GROUP) * GROUP
            out[:, end - first : filled] = -torch.inf
            yield first, out[:, :filled]

    def _rows_at_a_time(self, queries: Mapping[SetName, Queries]) -> int:
        """RETURNS (int): rows whose vectors are held as float32 together."""
        is_cpu = not self._device.startswith("cuda")
        limit = (CACHED_BYTES if is_cpu else COPIED_BYTES) // 4
        sets = [self._sets[name] for name in queries]
        n_rows = max(1, len(self._sort_key))
        width = sum(own.dim * -(-len(own.places) // n_rows) for own in sets)
        return max(GROUP, limit // max(1, width))

    def _fill(
        self,
        block: "torch.Tensor",
        queries: Mapping[SetName, Queries],
        asked: "Mapping[SetName, tuple[torch.Tensor, torch.Tensor]]",
        rows: np.ndarray,
    ) -> None:
        """Write the scores of some rows; -inf where no set says anything."""
        import torch

        block.zero_()
        known = torch.zeros_like(block, dtype=torch.bool)
        for name, own in queries.items():
            vectors = self._sets[name]
            places, whose = vectors.of(rows)
            if not len(places):
                continue
            wanted, present = asked[name]
            found = torch.from_numpy(np.asarray(vectors.array).take(places, axis=0))
            each = wanted @ found.to(self._device).float().T
            there = torch.from_numpy(np.bincount(whose, minlength=len(rows)) > 0)
            both = present[:, None] & there.to(self._device)
            said = _nearest_of_each(each, whose, len(rows))
            factor = own.weight / vectors.std
            said.mul_(factor).add_(own.bias - factor * vectors.mean)
            block.add_(said.mul_(both))
            known |= both
        block.masked_fill_(~known, -torch.inf)

    def _scores_of(
        self, queries: Mapping[SetName, Queries], mentions: np.ndarray, rows: np.ndarray
    ) -> np.ndarray:
        """Scores one by one: a matrix product rounds by its shape.

        mentions, rows (np.ndarray): pairs to compare. Shape of each: (n,)
        RETURNS (np.ndarray): Shape: (n,), float32
        """
        scores = np.zeros(len(rows), dtype=np.float32)
        for start in range(0, len(rows), _EXACT_PAIRS):
            pairs = slice(start, start + _EXACT_PAIRS)
            for name, own in queries.items():
                vectors = self._sets[name]
                there, cosines = _nearest(
                    vectors, rows[pairs], own.vectors[mentions[pairs]]
                )
                said = own.weight * (cosines - vectors.mean) / vectors.std + own.bias
                there &= own.present[mentions[pairs]]
                scores[pairs] += np.where(there, said, 0.0)
        return scores


def _nearest_of_each(
    cosines: "torch.Tensor", whose: np.ndarray, n: int
) -> "torch.Tensor":
    """cosines (torch.Tensor): of vectors. Shape: (n_queries, n_vectors)
    whose (np.ndarray): entity of each, ascending. Shape: (n_vectors,)
    n (int): entities.
    RETURNS (torch.Tensor): of the nearest vector of each entity, `_LEAST` where it has
        none. Shape: (n_queries, n)
    """
    import torch

    if len(whose) == n and (whose == np.arange(n)).all():
        return cosines
    owners = torch.from_numpy(whose).to(cosines.device).expand_as(cosines)
    nearest = cosines.new_full((len(cosines), n), _LEAST)
    return nearest.scatter_reduce_(1, owners, cosines, "amax")


def _nearest(
    vectors: VectorSet, rows: np.ndarray, queries: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compare each query with the entity beside it.

    RETURNS (tuple): whether it has vectors, and the cosine of its nearest.
        Shape of each: (n,)
    """
    places, pairs = vectors.of(rows)
    gathered = np.asarray(vectors.array[places], dtype=np.float32)
    nearest = np.full(len(rows), _LEAST, dtype=np.float32)
    np.maximum.at(nearest, pairs, np.einsum("pd,pd->p", gathered, queries[pairs]))
    return nearest > _LEAST, nearest
