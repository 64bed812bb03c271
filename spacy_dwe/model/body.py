"""From frozen features of a mention to one hidden vector: the network of the paper's
figure, what the authors' released code computes, and no network at all."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from .enhancers import Projectors
from .inputs import MentionInputs
from .layers import (
    EnhancerShape,
    GatedFusion,
    fixed_zeros,
    masked_mean,
    with_a_valid_key,
)
from .modalities import Modality
from .spec import ATTENTION, FACES, TEXT, VISION, NetworkSpec


@dataclass(frozen=True, slots=True)
class Hidden:
    """vector (Tensor): the fused mention, h. *Shape:* ``(batch, hidden width)``
    enhanced (dict[str, Tensor]): the mention as each modality enhanced it, what
        S-Align compares. *Shape:* ``(batch, width)`` each
    """

    vector: Tensor
    enhanced: dict[str, Tensor]


class DweBody(nn.Module):
    """The paper's figure: a cross-modal enhancer for each modality and gated fusion.

    z = Σ m_i over the modalities that are not gated (the paper's m_v + m_t), a = Σ m_i
    over those that are (the paper's m_s; a learned vector where the network has none),
    h = fusion(z, a). A fourth modality joins either sum, our reading.

    spec (NetworkSpec): its shapes.
    modalities (Mapping[str, Modality]): by name, those of the spec at least.
    """

    def __init__(self, spec: NetworkSpec, modalities: Mapping[str, Modality]) -> None:
        super().__init__()
        self.hidden_width = spec.width
        shape = EnhancerShape(
            spec.width,
            spec.n_heads,
            spec.ffn_width,
            spec.dropout,
            spec.decoder,
            faces=spec.has(FACES),
        )
        self.project = Projectors(spec)
        self.enhancers = nn.ModuleDict(
            {
                name: modalities[name].enhancer(width, shape)
                for name, width in spec.modality_widths.items()
            }
        )
        self.gated = [name for name in self.enhancers if modalities[name].gated]
        self.added = [name for name in self.enhancers if name not in self.gated]
        self.no_attributes: nn.Parameter | None = None
        if not self.gated:
            self.no_attributes = nn.Parameter(torch.randn(spec.width) * 0.02)
        self.fusion = GatedFusion(width=spec.width, gate=spec.gate)

    def forward(self, inputs: MentionInputs) -> Hidden:
        """RETURNS (Hidden): h, and m_t, m_v, m_s."""
        mention = self.project.text(inputs.mention)
        enhanced = {
            name: enhance(
                mention, inputs.mention_mask, inputs.slots(name), self.project
            )
            for name, enhance in self.enhancers.items()
        }
        z = torch.stack([enhanced[name] for name in self.added]).sum(dim=0)
        if self.no_attributes is not None:
            a = self.no_attributes.expand_as(z)
        else:
            a = torch.stack([enhanced[name] for name in self.gated]).sum(dim=0)
        return Hidden(self.fusion(z, a), enhanced)


class PlainBody(nn.Module):
    """What the authors' released code computes: no feed-forward network, decoder or
    gate. h = Linear([P_txt(context) ; P_img(picture) ; P_txt(mention) ; attention of
    the mention over its profile]), a linear map of each, summed; the profile is the
    maximum over the facial phrases.

    Added to it: masks and learned vectors for what is absent, and means over tokens,
    regions and pictures where the code has one vector. That its output corrects a
    frozen vector instead of being the query is our reading, as with the full network.
    S-Align compares the mention with its attention over the image regions, by the same
    attention, as the code's fine-grained loss does.

    spec (NetworkSpec): its shapes.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.hidden_width = spec.width
        self.project = Projectors(spec)
        self.reads_faces = spec.has(FACES)
        self.attention: nn.MultiheadAttention | None = None
        if spec.has(ATTENTION):
            self.attention = nn.MultiheadAttention(
                spec.width, spec.n_heads, batch_first=True
            )
        self.no_context = fixed_zeros(spec.width)
        if TEXT not in spec.modality_widths:
            self.no_context = nn.Parameter(torch.randn(spec.width) * 0.02)
        self.no_picture = nn.Parameter(torch.randn(spec.width) * 0.02)
        self.no_profile = nn.Parameter(torch.randn(spec.width) * 0.02)
        self.dropout = nn.Dropout(spec.dropout)
        self.output = nn.Linear(4 * spec.width, spec.width)

    def forward(self, inputs: MentionInputs) -> Hidden:
        """RETURNS (Hidden): h, and the mention beside its visual attention."""
        tokens = self.project.text(inputs.mention)
        mention = masked_mean(tokens, inputs.mention_mask)
        context, text = self.no_context.expand_as(mention), inputs.slots(TEXT)
        if len(text):
            states = self.project.text(text.arrays["states"])
            context = _mean_or(states, text.mask, self.no_context)
        parts = [
            context,
            self._picture(inputs, mention),
            mention,
            self._profile(tokens, inputs).expand_as(mention),
        ]
        h = self.output(self.dropout(torch.cat(parts, dim=-1)))
        return Hidden(h, {TEXT: mention, **self._seen(tokens, inputs)})

    def _profile(self, tokens: Tensor, inputs: MentionInputs) -> Tensor:
        vision = inputs.slots(VISION)
        if not (self.reads_faces and len(vision) and "faces" in vision.arrays):
            return self.no_profile
        phrases = self.project.phrase(vision.arrays["faces"])
        there = vision.arrays["face_mask"] & vision.mask
        left_out = ~with_a_valid_key(there).unsqueeze(-1)
        highest = phrases.masked_fill(left_out, -torch.inf).amax(dim=1, keepdim=True)
        attended = self._attend(tokens, inputs, highest, torch.ones_like(there[:, :1]))
        there = there.any(dim=1, keepdim=True)
        return torch.where(there, attended, self.no_profile.to(attended.dtype))

    def _seen(self, tokens: Tensor, inputs: MentionInputs) -> dict[str, Tensor]:
        """The mention's attention over image regions, which only S-Align reads."""
        vision = inputs.slots(VISION)
        if not (self.training and len(vision) and self.attention is not None):
            return {}
        if self.project.image is None:
            return {}
        objects = self.project.image(vision.arrays["objects"])
        mask = with_a_valid_key(vision.mask)
        return {VISION: self._attend(tokens, inputs, objects, mask)}

    def _picture(self, inputs: MentionInputs, mention: Tensor) -> Tensor:
        whole = inputs.whole
        seen = len(inputs.slots(VISION)) and whole.mask.shape[1]
        if self.project.image is None or not seen:
            return self.no_picture.expand_as(mention)
        return _mean_or(self.project.image(whole.vectors), whole.mask, self.no_picture)

    def _attend(
        self, tokens: Tensor, inputs: MentionInputs, keys: Tensor, mask: Tensor
    ) -> Tensor:
        assert self.attention is not None, "there is something to attend to"
        attended, _ = self.attention(
            tokens, keys, keys, key_padding_mask=~mask, need_weights=False
        )
        return masked_mean(attended, inputs.mention_mask)


class LinearBody(nn.Module):
    """No network: the frozen vectors themselves, so that the query heads are plain
    residual linear maps, q = unit(u + W [text ; mean picture]), or W [text ; mention ;
    mean picture] with `read_mention`; a mean picture for each space of pictures. The
    baseline that a network has to beat.

    spec (NetworkSpec): its shapes.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.reads_text = bool(spec.text_dim)
        self.spaces = list(spec.pictures)
        self.reads_mention = spec.read_mention
        self.hidden_width = spec.text_dim + sum(spec.pictures.values())
        if self.reads_mention:
            self.hidden_width += spec.text_width

    def forward(self, inputs: MentionInputs) -> Hidden:
        """RETURNS (Hidden): text, mention and mean pictures; a linear map takes nothing
        from the zeros of a missing one."""
        parts = [inputs.text] if self.reads_text else []
        if self.reads_mention:
            mention = masked_mean(inputs.mention, inputs.mention_mask)
            parts.append(normalize(mention, dim=-1))
        parts += [inputs.pictures[space].mean() for space in self.spaces]
        return Hidden(torch.cat(parts, dim=-1), {})


def _mean_or(values: Tensor, mask: Tensor, absent: Tensor) -> Tensor:
    there = mask.any(dim=1, keepdim=True)
    mean = masked_mean(values, mask)
    return torch.where(there, mean, absent.to(mean.dtype))
