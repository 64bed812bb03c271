"""What the tokens at the edges of a mention say of NIL."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ..encoders.base import EDGES

AXES = 128
"""Directions of each edge's states that pairs of edges are read along."""


class EdgeReader(nn.Module):
    """v(z) = w · z + p(z)ᵀ A p(z), where z is each edge's state less the mean of that
    edge, of unit length, and p(z) is z along a few axes of each edge.

    States of a tower have much in common, whatever the token: hence the mean. The
    quadratic term reads two edges together: "afternoon" before "tea" says another thing
    of it than before "sun". That is our reading. The weights are buffers: as many as
    they are, they are fitted to all mentions at once (`training.fitting`), and steps of
    the optimizer would learn the training mentions by heart.

    width (int): of the states of all edges together; 0 = it reads nothing.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.weight: Tensor
        self.axes: Tensor
        self.form: Tensor
        n_axes = min(AXES, width // EDGES)
        self.register_buffer("mean", torch.zeros(EDGES, width // EDGES))
        self.register_buffer("weight", torch.zeros(width))
        self.register_buffer("axes", torch.zeros(EDGES, width // EDGES, n_axes))
        self.register_buffer("form", torch.zeros(EDGES * n_axes, EDGES * n_axes))

    def __len__(self) -> int:
        return len(self.weight)

    def forward(self, edges: Tensor) -> Tensor:
        """edges (Tensor): see `MentionFeatures.edges`. *Shape:* ``(batch, width)``
        RETURNS (Tensor): logits, 0 before anything was fitted. *Shape:* ``(batch,)``
        """
        states = self._centred(edges)
        pairs = torch.einsum("bew,ewa->bea", states, self.axes).flatten(1)
        return states.flatten(1) @ self.weight + ((pairs @ self.form) * pairs).sum(1)

    def look_at(self, edges: Tensor) -> None:
        """Set what does not depend on NIL: the means, and as axes the directions in
        which each edge's states vary most, the first eigenvectors of their second
        moments about the mean.

        edges (Tensor): of some mentions. *Shape:* ``(mentions, width)``
        """
        self.mean.copy_(self._by_edge(edges).mean(dim=0))
        states = self._centred(edges)
        moments = torch.einsum("bew,bev->ewv", states, states) / len(edges)
        n_axes = self.axes.shape[2]
        self.axes.copy_(torch.linalg.eigh(moments).eigenvectors[..., -n_axes:])

    def _centred(self, edges: Tensor) -> Tensor:
        return normalize(self._by_edge(edges) - self.mean, dim=2)

    def _by_edge(self, edges: Tensor) -> Tensor:
        return edges.unflatten(1, (EDGES, -1))
