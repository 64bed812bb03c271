"""What the tokens at the edges of a mention say of NIL."""

import torch
from torch import Tensor, nn

from ..encoders.base import EDGES

AXES = 128
"""Directions of each edge's states that pairs of edges are read along."""


class EdgeReader(nn.Module):
    """v(x) = w · x + p(x)ᵀ A p(x), where p(x) is each edge's state along a few axes.

    The quadratic term reads two edges together: "afternoon" before "tea" says another
    thing of it than before "sun". That is our reading. The weights are buffers: as many
    as they are, they are fitted to all mentions at once (`training.fitting`), and steps
    of the optimizer would learn the training mentions by heart.

    width (int): of the states of all edges together; 0 = it reads nothing.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight: Tensor
        self.axes: Tensor
        self.form: Tensor
        n_axes = min(AXES, width // EDGES)
        self.register_buffer("weight", torch.zeros(width))
        self.register_buffer("axes", torch.zeros(EDGES, width // EDGES, n_axes))
        self.register_buffer("form", torch.zeros(EDGES * n_axes, EDGES * n_axes))

    def __len__(self) -> int:
        return len(self.weight)

    def forward(self, edges: Tensor) -> Tensor:
        """edges (Tensor): see `MentionFeatures.edges`. *Shape:* ``(batch, width)``
        RETURNS (Tensor): logits, 0 before anything was fitted. *Shape:* ``(batch,)``
        """
        along = torch.einsum("bew,ewa->bea", self._by_edge(edges), self.axes)
        pairs = along.flatten(1)
        return edges @ self.weight + ((pairs @ self.form) * pairs).sum(dim=1)

    def set_axes(self, edges: Tensor) -> None:
        """Let the axes be the directions in which each edge's states are longest: the
        first eigenvectors of their second moments.

        edges (Tensor): of many mentions. *Shape:* ``(mentions, width)``
        """
        states = self._by_edge(edges)
        moments = torch.einsum("bew,bev->ewv", states, states) / max(1, len(edges))
        n_axes = self.axes.shape[2]
        self.axes.copy_(torch.linalg.eigh(moments).eigenvectors[..., -n_axes:])

    def _by_edge(self, edges: Tensor) -> Tensor:
        return edges.unflatten(1, (EDGES, -1))
