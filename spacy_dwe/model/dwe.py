"""The trainable half of DWE: from frozen features of a mention to query vectors."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, softplus

from .layers import CrossModalEnhancer, GatedFusion, Projector

NEARLY_ZERO = -5.0
"""softplus(-5) = .007: a weight that starts at next to nothing but can grow."""
ONE = 0.5413248546129181
"""softplus(ONE) = 1."""


@dataclass(frozen=True, slots=True)
class MentionInputs:
    """Frozen features of a batch of mentions; True in a mask = valid.

    mention (Tensor): token states of the mention. *Shape:* ``(batch, M, text_width)``
    mention_mask (Tensor): at least one a row. *Shape:* ``(batch, M)``
    context (Tensor): token states of the mention in its sentence.
        *Shape:* ``(batch, T, text_width)``
    context_mask (Tensor): *Shape:* ``(batch, T)``
    text (Tensor): the mention in its context, pooled, unit length.
        *Shape:* ``(batch, text_dim)``
    objects (Tensor): image vectors, unit length. *Shape:* ``(batch, S, image_dim)``
    object_mask (Tensor): *Shape:* ``(batch, S)``
    """

    mention: Tensor
    mention_mask: Tensor
    context: Tensor
    context_mask: Tensor
    text: Tensor
    objects: Tensor
    object_mask: Tensor

    def to(self, device: torch.device | str) -> "MentionInputs":
        """RETURNS (MentionInputs): the same on another device."""
        return MentionInputs(
            *(getattr(self, name).to(device) for name in self.__slots__)
        )


@dataclass(frozen=True, slots=True)
class QueryHead:
    """One KB vector set that queries are compared with.

    dim (int): width of its vectors.
    text (bool): the text encoder's vectors live in this space.
    picture (bool): the image encoder's vectors live in this space.
    of_pictures (bool): the set holds entities' pictures, not their descriptions.
    """

    dim: int
    text: bool
    picture: bool
    of_pictures: bool


@dataclass(frozen=True, slots=True)
class Query:
    """What is compared with the vectors of one set.

    vectors (Tensor): unit length. *Shape:* ``(batch, dim)``
    present (Tensor): False where the mention has nothing that lives in the set's
        space; its vector then says nothing. *Shape:* ``(batch,)``
    """

    vectors: Tensor
    present: Tensor


class MentionEncoder(nn.Module):
    """DWE's network: text and vision enhancers, gated fusion and one query head for
    each KB vector set (Song et al., AAAI-24, section on the dual-way enhancement).

    The head adds a correction, zero at initialisation, to the frozen vectors that
    already live in the set's space: untrained, a query is the encoder's own vector.
    Entity vectors are never transformed, so that training encodes no KB again and a
    new entity can be linked at once. That residual form is our reading.

    text_width (int): width of token states.
    image_dim (int): width of image vectors; 0 = no image encoder, and no vision part.
    heads (Mapping[str, QueryHead]): KB vector sets by name.
    width (int): width of the network.
    n_heads (int): attention heads.
    ffn_width (int): inner width of the feed-forward networks.
    dropout (float): dropout probability.
    decoder (bool): whether enhancers read out with a Transformer decoder layer.
    """

    def __init__(
        self,
        *,
        text_width: int,
        image_dim: int,
        heads: Mapping[str, QueryHead],
        width: int,
        n_heads: int,
        ffn_width: int,
        dropout: float,
        decoder: bool,
    ) -> None:
        super().__init__()
        enhancer = partial(
            CrossModalEnhancer,
            width=width,
            n_heads=n_heads,
            ffn_width=ffn_width,
            dropout=dropout,
            decoder=decoder,
        )
        self.project_text = Projector(
            input_width=text_width, width=width, dropout=dropout
        )
        self.project_image: Projector | None = None
        self.enhance_text = enhancer()
        if image_dim:
            self.project_image = Projector(
                input_width=image_dim, width=width, dropout=dropout
            )
            self.no_face = nn.Parameter(torch.randn(width) * 0.02)
            self.visual_token = nn.Linear(2 * width, width)
            self.enhance_vision = enhancer()
        self.no_attributes = nn.Parameter(torch.randn(width) * 0.02)
        self.fusion = GatedFusion(width=width)
        self.heads = dict(heads)
        self.corrections = nn.ModuleDict()
        self.anchor_weights = nn.ParameterDict()
        for name, head in self.heads.items():
            correction = nn.Linear(width, head.dim, bias=False)
            nn.init.zeros_(correction.weight)
            self.corrections[name] = correction
            self.anchor_weights[name] = nn.Parameter(_initial_anchor_weights(head))

    def forward(self, inputs: MentionInputs) -> dict[str, "Query"]:
        """inputs (MentionInputs): frozen features.
        RETURNS (dict[str, Query]): a query for each vector set.
        """
        hidden = self.fuse(inputs)
        queries = {}
        for name, head in self.heads.items():
            anchor, present = self._anchor(name, head, inputs)
            correction = self.corrections[name](hidden).float()
            queries[name] = Query(normalize(anchor + correction, dim=-1), present)
        return queries

    def fuse(self, inputs: MentionInputs) -> Tensor:
        """RETURNS (Tensor): the fused mention, h. *Shape:* ``(batch, width)``"""
        mention = self.project_text(inputs.mention)
        context = self.project_text(inputs.context)
        m_t = self.enhance_text(
            mention, inputs.mention_mask, context, inputs.context_mask
        )
        z = m_t
        if self.project_image is not None:
            visual_tokens = self._visual_tokens(self.project_image(inputs.objects))
            m_v = self.enhance_vision(
                mention, inputs.mention_mask, visual_tokens, inputs.object_mask
            )
            z = m_v + m_t
        return self.fusion(z, self.no_attributes.expand_as(m_t))

    def _visual_tokens(self, projected: Tensor) -> Tensor:
        """v_i = Linear([P(o_i) ; P(f_i)]), with the learned no-face vector for f_i."""
        faces = self.no_face.to(projected.dtype).expand_as(projected)
        return self.visual_token(torch.cat([projected, faces], dim=-1))

    def _anchor(
        self, name: str, head: QueryHead, inputs: MentionInputs
    ) -> tuple[Tensor, Tensor]:
        """u = unit(Σ softplus(α_j) · unit(x_j)) over the frozen vectors in the space,
        and whether the mention has any."""
        batch = len(inputs.text)
        weights = softplus(self.anchor_weights[name])
        total = inputs.text.new_zeros(batch, head.dim)
        present = inputs.object_mask.new_zeros(batch)
        if head.text:
            total = total + weights[0] * inputs.text
            present = torch.ones_like(present)
        if head.picture:
            pictures = inputs.objects * inputs.object_mask.unsqueeze(-1)
            total = total + weights[1] * normalize(pictures.sum(dim=1), dim=-1)
            pictured = inputs.object_mask.any(dim=1)
            # Beside pictures, a text alone would be measured on another scale.
            present = pictured if head.of_pictures else present | pictured
        # A row without any vector must not be normalised: its gradient is infinite.
        total = torch.where(present.unsqueeze(-1), total, torch.ones_like(total))
        return normalize(total, dim=-1), present


def _initial_anchor_weights(head: QueryHead) -> Tensor:
    """The vector of the set's own kind starts at 1, the other at nothing: text and
    pictures sit apart in CLIP's space, so that their plain sum means little."""
    text, picture = ONE, ONE
    if head.text and head.picture:
        text = NEARLY_ZERO if head.of_pictures else ONE
        picture = ONE if head.of_pictures else NEARLY_ZERO
    return torch.tensor([text, picture])
