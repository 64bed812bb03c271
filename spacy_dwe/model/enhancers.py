"""How each modality enhances the mention (Song et al., AAAI-24, arXiv 2312.11816)."""

from functools import partial

import torch
from torch import Tensor, nn

from .inputs import Slots
from .layers import CrossModalEnhancer, EnhancerShape, Projector, fixed_zeros
from .spec import PHRASES, PICTURES, NetworkSpec


class Projectors(nn.Module):
    """The projectors of the frozen encoders, one for each encoder that is read, which
    the mention and all modalities share.

    spec (NetworkSpec): widths of the encoders.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        projector = partial(Projector, width=spec.width, dropout=spec.dropout)
        self.text = projector(input_width=spec.text_width)
        self.image: Projector | None = None
        self.own_phrase: Projector | None = None
        if spec.image_dim and spec.has(PICTURES):
            self.image = projector(input_width=spec.image_dim)
        if spec.image_dim and spec.has(PHRASES) and not spec.shared_text:
            self.own_phrase = projector(input_width=spec.image_dim)

    def phrase(self, vectors: Tensor) -> Tensor:
        """P_txt of phrases that CLIP encoded.

        vectors (Tensor): *Shape:* ``(…, image_dim)``
        RETURNS (Tensor): *Shape:* ``(…, width)``
        """
        return (self.own_phrase or self.text)(vectors)


class ModalityEnhancer(nn.Module):
    """A cross-modal enhancer over the slots of one modality; a subclass says what the
    slots look like in the network's width.

    shape (EnhancerShape): sizes.
    """

    def __init__(self, shape: EnhancerShape) -> None:
        super().__init__()
        self.unit = CrossModalEnhancer(shape)

    def forward(
        self, mention: Tensor, mention_mask: Tensor, slots: Slots, project: Projectors
    ) -> Tensor:
        """mention (Tensor): projected token states. *Shape:* ``(batch, M, width)``
        mention_mask (Tensor): *Shape:* ``(batch, M)``
        slots (Slots): what the modality extracted.
        project (Projectors): of the network.
        RETURNS (Tensor): *Shape:* ``(batch, width)``
        """
        if not len(slots):
            return self.unit.absent.expand(len(mention), -1)
        tokens = self.tokens(slots, project)
        return self.unit(mention, mention_mask, tokens, slots.mask)

    def tokens(self, slots: Slots, project: Projectors) -> Tensor:
        """RETURNS (Tensor): *Shape:* ``(batch, slots, width)``"""
        raise NotImplementedError


class TextEnhancer(ModalityEnhancer):
    """m_t: the mention enhanced by its context. No mention is without one, so that
    nothing is learned for its absence: switched off, it adds nothing."""

    def __init__(self, shape: EnhancerShape) -> None:
        super().__init__(shape)
        self.unit.absent = fixed_zeros(shape.width)

    def tokens(self, slots: Slots, project: Projectors) -> Tensor:
        return project.text(slots.arrays["states"])


class VisionEnhancer(ModalityEnhancer):
    """m_v: the mention enhanced by visual tokens, v = Linear([P_img(o) ; P_txt(f)]).

    A token is an image region beside the phrase that describes its face; one without a
    face has a learned vector in that place, our reading. Where nobody looks for faces,
    it is the region alone.
    """

    def __init__(self, shape: EnhancerShape) -> None:
        super().__init__(shape)
        self.no_face: nn.Parameter | None = None
        if shape.faces:
            self.no_face = nn.Parameter(torch.randn(shape.width) * 0.02)
        halves = 2 if shape.faces else 1
        self.visual_token = nn.Linear(halves * shape.width, shape.width)

    def tokens(self, slots: Slots, project: Projectors) -> Tensor:
        assert project.image is not None
        objects = project.image(slots.arrays["objects"])
        if self.no_face is None:
            return self.visual_token(objects)
        faces = self.no_face.to(objects.dtype).expand_as(objects)
        if "faces" in slots.arrays:
            phrases = project.phrase(slots.arrays["faces"])
            there = slots.arrays["face_mask"].unsqueeze(-1)
            faces = torch.where(there, phrases, faces)
        return self.visual_token(torch.cat([objects, faces], dim=-1))


class AttributeEnhancer(ModalityEnhancer):
    """m_s: the mention enhanced by scene attributes."""

    def tokens(self, slots: Slots, project: Projectors) -> Tensor:
        return project.phrase(slots.arrays["scenes"])


class VectorEnhancer(ModalityEnhancer):
    """The mention enhanced by any vectors, under the name "vectors": for modalities
    beyond the paper's.

    width (int): width of the vectors.
    shape (EnhancerShape): sizes.
    """

    def __init__(self, width: int, shape: EnhancerShape) -> None:
        super().__init__(shape)
        self.projector = Projector(
            input_width=width, width=shape.width, dropout=shape.dropout
        )

    def tokens(self, slots: Slots, project: Projectors) -> Tensor:
        return self.projector(slots.arrays["vectors"])
