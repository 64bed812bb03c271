"""How the vector sets of a KB are made: of what, and by which encoder."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from ..encoders.protocol import ImageEncoder, TextEncoder
from ..encoders.registry import encoder_from_spec
from ..errors import DweError, Errors
from ..kb.vectors.fields import Field, field_of
from ..kb.vectors.files import Header
from ..kb.vectors.sets import CLIP_SPACE, DESCRIPTION, IMAGE, TEXT_SPACE, SetName


class TextAndImageEncoder(TextEncoder, ImageEncoder, Protocol):
    """CLIP: one object, one fingerprint, one space for texts and pictures."""


Encoders = Mapping[str, TextEncoder | ImageEncoder]
"""Encoders by what a KB calls their spaces."""


@dataclass(frozen=True, slots=True)
class SetPlan:
    """How a vector set is made.

    name (SetName): of the set.
    encoder (TextEncoder | ImageEncoder): its weights are loaded only if something must
        be encoded, or the set is new.
    image_root (Path): folder that pictures' paths are relative to.
    known (Header | None): of the set, where it is known without the encoder's weights.
    """

    name: SetName
    encoder: Any
    image_root: Path
    known: Header | None = None

    @property
    def field(self) -> Field:
        return field_of(self.name.field, self.image_root)

    @property
    def standardise(self) -> bool:
        """RETURNS (bool): whether the vectors are compared with nothing but others of
        pictures."""
        return self.name.field == IMAGE and not hasattr(self.encoder, "encode_texts")

    def header(self) -> Header:
        """RETURNS (Header): of the set; loads the weights."""
        encoder = self.encoder
        return Header(self.name, encoder.fingerprint, encoder.dim, encoder.spec)


def by_space(
    text_encoder: TextEncoder | None,
    clip: TextAndImageEncoder | None,
    encoders: Encoders | None = None,
) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): the encoders that there are, by their spaces: "text",
    "clip", and those of `encoders`."""
    named = {TEXT_SPACE: text_encoder, CLIP_SPACE: clip, **(encoders or {})}
    return {space: encoder for space, encoder in named.items() if encoder is not None}


def plan_sets(
    encoders: Encoders, image_root: str | Path | None = None
) -> list[SetPlan]:
    """Plan the sets that encoders make: one of descriptions where an encoder reads
    texts, one of pictures where it reads pictures. The space "text" is for texts alone.

    encoders (Encoders): by space.
    image_root (str | Path | None): folder that pictures' paths are relative to; None
        means the current one.
    RETURNS (list[SetPlan]): in the order of the encoders.
    RAISES (DweError): a space cannot be called so, or an encoder reads nothing.
    """
    root = Path(image_root or ".")
    plans = []
    for space, encoder in encoders.items():
        fields = {
            DESCRIPTION: hasattr(encoder, "encode_texts"),
            IMAGE: hasattr(encoder, "encode_images") and space != TEXT_SPACE,
        }
        if not any(fields.values()):
            raise DweError(Errors.E186.format(space=space, kind=type(encoder).__name__))
        names = [SetName.read(f"{field}@{space}") for field in fields if fields[field]]
        plans += [SetPlan(name, encoder, root) for name in names]
    return plans


def plans_of(
    sets: Mapping[str, Mapping[str, Any]],
    *,
    encoders: Encoders | None = None,
    device: str = "auto",
    image_root: str | Path | None = None,
    base: str | Path | None = None,
) -> list[SetPlan]:
    """Plan the sets that a KB has, by the encoders that its meta names.

    sets (Mapping): "vectors" of the version's meta.
    encoders (Encoders | None): by space, instead of those that the meta names.
    device (str): where to run encoders that the meta names.
    image_root (str | Path | None): folder that pictures' paths are relative to.
    base (str | Path | None): the KB's folder, which may carry its encoders.
    RETURNS (list[SetPlan]): also for pictures where an encoder of both made vectors of
        descriptions only, since new entities may bring the first pictures.
    """
    chosen = dict(encoders or {})
    known: dict[str, tuple[str, int, dict[str, Any]]] = {}
    for name, entry in sets.items():
        space = SetName.read(name).space
        if space not in chosen:
            chosen[space] = encoder_from_spec(entry["spec"], device, base)
            known[space] = entry["fingerprint"], entry["dim"], entry["spec"]
    return [
        replace(plan, known=Header(plan.name, *known[plan.name.space]))
        if plan.name.space in known
        else plan
        for plan in plan_sets(chosen, image_root)
    ]
