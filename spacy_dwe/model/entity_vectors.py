"""Candidates' vectors from one KB vector set, and how like them queries are. An entity
with several, one a picture, is as like as its nearest."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

LEAST = -2.0
"""Below any cosine."""


@dataclass(frozen=True, slots=True)
class Owners:
    """Whose vectors stand where, if a candidate may have several. Those of a mention
    stand in as many rows as they need, so that an entity with hundreds of pictures
    makes no other mention's padding longer.

    mentions (Tensor): the mention of each row. *Shape:* ``(rows,)``, int64
    candidates (Tensor): the candidate of each vector, as a position among those of all
        mentions, one mention after another; their number = padding.
        *Shape:* ``(rows, n)``, int64
    """

    mentions: Tensor
    candidates: Tensor


@dataclass(frozen=True, slots=True)
class EntityVectors:
    """Candidates' vectors from one KB vector set.

    vectors (Tensor): unit length, zero = padding. *Shape:* ``(rows, n, dim)``
    present (Tensor): the candidate has a vector. *Shape:* ``(batch, candidates)``
    mean, std (float): cosine of random pairs of the set, to standardise by.
    owners (Owners | None): of the vectors; None = each candidate has one at most, and
        rows and n are batch and candidates.
    compare (Callable | None): gives the cosines of queries, where vectors are not
        held; see `cosines`.
    """

    vectors: Tensor
    present: Tensor
    mean: float
    std: float
    owners: Owners | None = None
    compare: Callable[[Tensor], Tensor] | None = None

    def cosines(self, queries: Tensor) -> Tensor:
        """How like its candidates each query is.

        queries (Tensor): unit vectors. *Shape:* ``(batch, dim)``
        RETURNS (Tensor): 0 where there is no vector. *Shape:* ``(batch, candidates)``
        """
        if self.compare is not None:
            return self.compare(queries)
        owners = self.owners
        if owners is None:
            return torch.einsum("bd,bcd->bc", queries, self.vectors)
        each = torch.einsum("rd,rnd->rn", queries[owners.mentions], self.vectors)
        least = each.new_full((self.present.numel() + 1,), LEAST)
        nearest = least.scatter_reduce(
            0, owners.candidates.flatten(), each.flatten(), "amax"
        )
        return nearest[:-1].view_as(self.present).masked_fill(~self.present, 0.0)

    def cosines_across(self, queries: Tensor, positions: Tensor) -> Tensor:
        """How like one candidate of every mention each query is.

        queries (Tensor): unit vectors. *Shape:* ``(batch, dim)``
        positions (Tensor): of these candidates. *Shape:* ``(batch,)``
        RETURNS (Tensor): 0 where there is no vector. *Shape:* ``(batch, batch)``
        """
        batch, n_candidates = self.present.shape
        mentions = torch.arange(batch, device=positions.device)
        owners = self.owners
        if owners is None:
            return queries @ self.vectors[mentions, positions].T
        chosen = mentions * n_candidates + positions
        rows, places = torch.nonzero(
            owners.candidates == chosen[owners.mentions].unsqueeze(1), as_tuple=True
        )
        each = queries @ self.vectors[rows, places].T
        whose = owners.mentions[rows].expand(batch, -1)
        least = each.new_full((batch, batch), LEAST)
        nearest = least.scatter_reduce(1, whose, each, "amax")
        return nearest.masked_fill(~self.present[mentions, positions], 0.0)
