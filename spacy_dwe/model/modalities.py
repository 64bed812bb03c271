"""A modality: what it extracts of a mention, and how that enhances the mention.

Text, vision and scene attributes are the paper's. Another, such as audio, is a class
with the three methods of `Modality`, registered in spaCy's `misc` and named in the
config as `[components.dwe_linker.model.modalities.audio]`. Imports no torch: factories
are resolved wherever the package is installed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..errors import DweError, Errors
from ..settings import DweSettings
from ..tokens import document_name
from .inputs import MentionPlace
from .spec import (
    A_ALIGN,
    ATTENTION,
    ATTRIBUTES,
    CONTRAST,
    FACES,
    PHRASES,
    PICTURES,
    S_ALIGN,
    TEXT,
    VISION,
)

if TYPE_CHECKING:
    from torch import nn

    from .inputs import PreparedMention
    from .layers import EnhancerShape

PAPER = (TEXT, VISION, ATTRIBUTES)


@dataclass(frozen=True, slots=True)
class EncoderWidths:
    """Widths of the frozen encoders' vectors; 0 = there are no such vectors.

    text (int): token states of the text encoder.
    image (int): of pictures and their regions; CLIP's shared space, if it is CLIP's.
    faces (int): phrases that describe faces; 0 where nobody looks for any.
    scenes (int): scene attributes; 0 where nobody looks for any.
    """

    text: int
    image: int
    faces: int = 0
    scenes: int = 0


class Modality(Protocol):
    """One kind of evidence about a mention.

    gated (bool): weighed by the gate against the sum of all that are not gated, as the
        paper's attributes are; False = added to text and vision (our reading).
    """

    @property
    def gated(self) -> bool: ...

    def width(self, encoders: EncoderWidths) -> int:
        """RETURNS (int): width of its vectors; 0 = nothing extracts any here, and the
        network gets no part for it."""
        ...

    def extract(
        self, mention: "PreparedMention", place: MentionPlace
    ) -> Mapping[str, np.ndarray]:
        """RETURNS (Mapping[str, np.ndarray]): arrays with one row a slot, all of equal
        length; no array or no row = the mention has nothing. Padding and mask are
        made from the lengths."""
        ...

    def enhancer(self, width: int, shape: "EnhancerShape") -> "nn.Module":
        """RETURNS (nn.Module): called with the projected mention (batch, M, d), its
        mask, the `Slots` and the `Projectors`, gives (batch, d);
        `enhancers.VectorEnhancer` serves arrays called "vectors"."""
        ...


@dataclass(frozen=True)
class TextModality:
    """Token states of the mention's context; "spacy-dwe.TextModality.v1".

    pooled (bool): their mean alone: attention then is the identity, and the enhancer a
        multi-layer perceptron.
    """

    pooled: bool = False
    gated: bool = False

    def width(self, encoders: EncoderWidths) -> int:
        return encoders.text

    def extract(
        self, mention: "PreparedMention", place: MentionPlace
    ) -> Mapping[str, np.ndarray]:
        assert mention.text is not None, "the dwe channel reads text"
        text = mention.text
        return {"states": text.context_mean if self.pooled else text.states}

    def enhancer(self, width: int, shape: "EnhancerShape") -> "nn.Module":
        from .enhancers import TextEnhancer

        return TextEnhancer(shape)


@dataclass(frozen=True)
class VisionModality:
    """Image regions paired with facial phrases; "spacy-dwe.VisionModality.v1".

    Where nobody found regions, each picture is one region.

    raw_image (bool): whole pictures instead of regions and faces.
    """

    raw_image: bool = False
    gated: bool = False

    def width(self, encoders: EncoderWidths) -> int:
        return encoders.image

    def extract(
        self, mention: "PreparedMention", place: MentionPlace
    ) -> Mapping[str, np.ndarray]:
        if self.raw_image or not len(mention.objects):
            return {"objects": mention.whole}
        slots = {"objects": mention.objects}
        if len(mention.faces):
            slots |= {"faces": mention.faces, "face_mask": mention.face_mask}
        return slots

    def enhancer(self, width: int, shape: "EnhancerShape") -> "nn.Module":
        from .enhancers import VisionEnhancer

        return VisionEnhancer(shape)


@dataclass(frozen=True)
class AttributeModality:
    """Scene attributes; "spacy-dwe.AttributeModality.v1".

    raw_image (bool): none are read: whole pictures stand for all refined features.
    """

    raw_image: bool = False
    gated: bool = True

    def width(self, encoders: EncoderWidths) -> int:
        return encoders.scenes

    def extract(
        self, mention: "PreparedMention", place: MentionPlace
    ) -> Mapping[str, np.ndarray]:
        return {} if self.raw_image else {"scenes": mention.scenes}

    def enhancer(self, width: int, shape: "EnhancerShape") -> "nn.Module":
        from .enhancers import AttributeEnhancer

        return AttributeEnhancer(shape)


OF_PAPER = {TextModality, VisionModality, AttributeModality}
"""Of others nobody knows whether they read token states."""


def all_modalities(
    more: Mapping[str, Modality], *, pooled: bool = False, raw_image: bool = False
) -> dict[str, Modality]:
    """The paper's modalities, and others.

    more (Mapping[str, Modality]): others by name; one of a paper's name replaces it.
    pooled, raw_image (bool): see `TextModality` and `VisionModality`.
    RETURNS (dict[str, Modality]): by name.
    """
    own: dict[str, Modality] = {
        TEXT: TextModality(pooled),
        VISION: VisionModality(raw_image),
        ATTRIBUTES: AttributeModality(raw_image),
    }
    return {**own, **more}


def network_widths(
    modalities: Mapping[str, Modality], without: Sequence[str], encoders: EncoderWidths
) -> dict[str, int]:
    """Which modalities a new network has.

    modalities (Mapping[str, Modality]): by name.
    without (Sequence[str]): names to leave out.
    encoders (EncoderWidths): the frozen encoders.
    RETURNS (dict[str, int]): width of what each extracts.
    RAISES (DweError): there is none to gate the others against.
    """
    kept = {name: m for name, m in modalities.items() if name not in without}
    widths = {name: m.width(encoders) for name, m in kept.items()}
    widths = {name: width for name, width in widths.items() if width}
    if all(kept[name].gated for name in widths):
        names = ", ".join(widths) or "none"
        raise DweError(Errors.E515.format(names=names))
    return widths


def network_parts(
    settings: DweSettings, widths: Mapping[str, int], encoders: EncoderWidths
) -> tuple[str, ...]:
    """Which parts a new network has beside its modalities: those that training will
    reach, so that no weight stays as it was drawn.

    settings (DweSettings): of the network.
    widths (Mapping[str, int]): what `network_widths` gave.
    encoders (EncoderWidths): the frozen encoders.
    RETURNS (tuple[str, ...]): the parts.
    """
    contrasts = settings.info_nce_weight > 0 and settings.loss == "info_nce"
    if settings.head == "linear":
        return (CONTRAST,) if contrasts else ()
    is_plain, vision = settings.head == "plain", VISION in widths
    faces = vision and encoders.faces > 0
    # Nobody knows what the enhancers of other modalities project.
    others = not {type(settings.modalities[name]) for name in widths} <= OF_PAPER
    aligned = vision and (is_plain or TEXT in widths) and settings.s_align_weight > 0
    wanted = {
        PICTURES: vision or others,
        PHRASES: faces or others or (ATTRIBUTES in widths and not is_plain),
        FACES: faces,
        ATTENTION: is_plain and (faces or aligned),
        CONTRAST: contrasts,
        A_ALIGN: faces and settings.a_align_weight > 0,
        S_ALIGN: aligned,
    }
    return tuple(part for part, is_wanted in wanted.items() if is_wanted)


def checked_slots(
    name: str, width: int, arrays: Mapping[str, np.ndarray], place: MentionPlace
) -> dict[str, np.ndarray]:
    """Check what somebody else's modality extracted.

    name (str): the modality.
    width (int): width that its vectors must have.
    arrays (Mapping[str, np.ndarray]): what it extracted.
    place (MentionPlace): of what mention.
    RETURNS (dict[str, np.ndarray]): the arrays.
    RAISES (DweError): one is no array of finite numbers of that width, or their
        lengths differ.
    """
    try:
        checked = {key: np.asarray(array) for key, array in arrays.items()}
    except ValueError as error:
        raise _wrong(name, place, f"what is no array: {error}") from error
    lengths = {key: len(a) if a.ndim else 0 for key, a in checked.items()}
    if len({*lengths.values()}) > 1:
        raise _wrong(name, place, f"arrays of different lengths {lengths}")
    for key, array in checked.items():
        if array.ndim not in (1, 2) or array.dtype.kind not in "biuf":
            reason = f"{key!r}, which is no array of numbers with a row for each slot"
            raise _wrong(name, place, reason)
        if array.ndim == 2 and len(array) and array.shape[1] != width:
            reason = f"{key!r} of width {array.shape[1]} instead of {width}"
            raise _wrong(name, place, reason)
        if not np.isfinite(array).all():
            raise _wrong(name, place, f"{key!r} with NaN or infinite values")
    return checked


def _wrong(name: str, place: MentionPlace, reason: str) -> DweError:
    doc = document_name(place.docs[0]) if place.docs else "a document"
    return DweError(Errors.E518.format(name=name, doc=doc, reason=reason))
