"""Building blocks of the DWE network (Song et al., AAAI-24, arXiv 2312.11816)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class EnhancerShape:
    """Sizes that all enhancers of a network share.

    width (int): width of the network, d in the paper.
    n_heads (int): attention heads, h.
    ffn_width (int): inner width of the feed-forward networks, f.
    dropout (float): dropout probability.
    decoder (bool): read out by a Transformer decoder layer; otherwise by the mean over
        the valid tokens of the mention.
    faces (bool): image regions come with the phrases of their faces.
    """

    width: int
    n_heads: int
    ffn_width: int
    dropout: float
    decoder: bool
    faces: bool = True


class Projector(nn.Module):
    """Maps a frozen encoder's output to the network's width.

    input_width (int): width of the encoder's vectors.
    width (int): width of the network.
    dropout (float): probability of dropping an output.
    """

    def __init__(self, *, input_width: int, width: int, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(input_width, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """x (Tensor): *Shape:* ``(..., input_width)``
        RETURNS (Tensor): *Shape:* ``(..., width)``
        """
        return self.dropout(self.norm(torch.relu(self.linear(x))))


class CrossModalEnhancer(nn.Module):
    """Enhances a mention X with a second input Y: attention, feed-forward network and
    a Transformer decoder that reads the result out with one learned query.

    The decoder's input, a query drawn from N(0, .02), is our reading of the paper's
    figure. Its self-attention then is over one vector, and so a linear map: the
    thirds of its weights that make queries and keys have no effect. With pooled inputs
    (one X and one Y) that holds for all attention, and the unit is a multi-layer
    perceptron.

    shape (EnhancerShape): sizes.
    """

    def __init__(self, shape: EnhancerShape) -> None:
        super().__init__()
        width, dropout = shape.width, shape.dropout
        self.attention = nn.MultiheadAttention(
            width, shape.n_heads, dropout=dropout, batch_first=True
        )
        self.attention_norm = nn.LayerNorm(width)
        self.ffn = nn.Sequential(
            nn.Linear(width, shape.ffn_width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(shape.ffn_width, width),
        )
        self.ffn_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.decoder: nn.TransformerDecoderLayer | None = None
        if shape.decoder:
            self.decoder = nn.TransformerDecoderLayer(
                width, shape.n_heads, shape.ffn_width, dropout, batch_first=True
            )
            self.query = nn.Parameter(torch.randn(width) * 0.02)
        self.absent = nn.Parameter(torch.randn(width) * 0.02)

    def forward(self, x: Tensor, x_mask: Tensor, y: Tensor, y_mask: Tensor) -> Tensor:
        """x (Tensor): the mention. *Shape:* ``(batch, M, width)``
        x_mask (Tensor): True = valid, at least one a row. *Shape:* ``(batch, M)``
        y (Tensor): the second input. *Shape:* ``(batch, Y, width)``
        y_mask (Tensor): True = valid; an empty row gives the learned "absent" vector.
            *Shape:* ``(batch, Y)``
        RETURNS (Tensor): *Shape:* ``(batch, width)``
        """
        if not y.shape[1]:
            return self.absent.expand(len(x), -1)
        attended, _ = self.attention(
            x, y, y, key_padding_mask=~with_a_valid_key(y_mask), need_weights=False
        )
        x = self.attention_norm(x + self.dropout(attended))
        x = self.ffn_norm(x + self.dropout(self.ffn(x)))
        if self.decoder is None:
            enhanced = masked_mean(x, x_mask)
        else:
            query = self.query.expand(len(x), 1, -1)
            enhanced = self.decoder(query, x, memory_key_padding_mask=~x_mask)[:, 0]
        present = y_mask.any(dim=1, keepdim=True)
        return torch.where(present, enhanced, self.absent.to(enhanced.dtype))


class GatedFusion(nn.Module):
    """g = sigmoid(W [z ; a]); h = Linear(g·z + (1 − g)·a), our reading of the figure.

    width (int): width of the network.
    gate (bool): False = h = Linear(z + a), to see what the gate is worth.
    """

    def __init__(self, *, width: int, gate: bool = True) -> None:
        super().__init__()
        self.gate = nn.Linear(2 * width, width) if gate else None
        self.output = nn.Linear(width, width)

    def forward(self, z: Tensor, a: Tensor) -> Tensor:
        """z, a (Tensor): *Shape:* ``(batch, width)``
        RETURNS (Tensor): *Shape:* ``(batch, width)``
        """
        if self.gate is None:
            return self.output(z + a)
        gate = torch.sigmoid(self.gate(torch.cat([z, a], dim=-1)))
        return self.output(gate * z + (1 - gate) * a)


def fixed_zeros(width: int) -> nn.Parameter:
    """RETURNS (nn.Parameter): zeros that stay so, under the name that a weight has in
    networks that were saved with one there. *Shape:* ``(width,)``"""
    return nn.Parameter(torch.zeros(width), requires_grad=False)


def with_a_valid_key(mask: Tensor) -> Tensor:
    """Let an empty row attend to its first, padded, key: attention over no key at all
    is NaN, and so are its gradients even behind a `where`.

    mask (Tensor): True = valid. *Shape:* ``(batch, n)``
    RETURNS (Tensor): *Shape:* ``(batch, n)``
    """
    first = torch.zeros_like(mask)
    first[:, 0] = True
    return mask | (first & ~mask.any(dim=1, keepdim=True))


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """x (Tensor): *Shape:* ``(batch, n, width)``
    mask (Tensor): True = valid. *Shape:* ``(batch, n)``
    RETURNS (Tensor): zero for an empty row. *Shape:* ``(batch, width)``
    """
    weights = mask.to(x.dtype).unsqueeze(-1)
    return (x * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
