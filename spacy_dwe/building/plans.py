"""How the vector sets of a KB are made: of what, and by which encoder."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from ..encoders.protocol import ImageEncoder, TextEncoder
from ..encoders.registry import encoder_from_spec
from ..kb.vectors.fields import Content, content_of
from ..kb.vectors.files import Header
from ..kb.vectors.sets import DESCRIPTIONS, DESCRIPTIONS_IN_CLIP, PICTURES, SetName


class TextAndImageEncoder(TextEncoder, ImageEncoder, Protocol):
    """CLIP: one object, one fingerprint, one space for texts and pictures."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a vector set is made.

    name (SetName): of the set.
    encoder (TextEncoder | ImageEncoder): its weights are loaded only if something must
        be encoded, or the set is new.
    image_root (Path): folder that pictures' paths are relative to.
    known (Header | None): of the encoder, where it is known without its weights.
    """

    name: SetName
    encoder: Any
    image_root: Path
    known: Header | None = None

    @property
    def content(self) -> Content:
        return content_of(self.name.field, self.image_root)

    def header(self) -> Header:
        """RETURNS (Header): of the set; loads the weights."""
        encoder = self.encoder
        return Header(self.name, encoder.fingerprint, encoder.dim, encoder.spec)


def recipes_for(
    text_encoder: TextEncoder | None,
    clip: TextAndImageEncoder | None,
    image_root: str | Path | None = None,
) -> list[Recipe]:
    """Recipes of the sets that encoders make.

    text_encoder (TextEncoder | None): for description@text.
    clip (TextAndImageEncoder | None): for description@clip and image@clip.
    image_root (str | Path | None): folder that pictures' paths are relative to; None
        means the current one.
    RETURNS (list[Recipe]): none for an encoder that is None.
    """
    root = Path(image_root or ".")
    recipes = []
    if text_encoder is not None:
        recipes.append(Recipe(DESCRIPTIONS, text_encoder, root))
    if clip is not None:
        recipes.append(Recipe(DESCRIPTIONS_IN_CLIP, clip, root))
        recipes.append(Recipe(PICTURES, clip, root))
    return recipes


def recipes_of(
    sets: Mapping[str, Mapping[str, Any]],
    *,
    device: str = "auto",
    image_root: str | Path | None = None,
    base: str | Path | None = None,
    text_encoder: TextEncoder | None = None,
    clip: TextAndImageEncoder | None = None,
) -> list[Recipe]:
    """Recipes of the sets that a KB has, by the encoders that its meta names.

    sets (Mapping): "vectors" of the version's meta.
    device (str): where to run encoders that the meta names.
    image_root (str | Path | None): folder that pictures' paths are relative to.
    base (str | Path | None): the KB's folder, which may carry its encoders.
    text_encoder (TextEncoder | None): instead of the one that the meta names.
    clip (TextAndImageEncoder | None): likewise.
    RETURNS (list[Recipe]): also for image@clip where the KB has descriptions of CLIP
        only, since new entities may bring the first pictures.
    """
    encoders: dict[str, Any] = {"text": text_encoder, "clip": clip}
    known: dict[str, tuple[str, int, dict[str, Any]]] = {}
    for name, entry in sets.items():
        key = SetName.read(name).space
        if encoders[key] is None:
            encoders[key] = encoder_from_spec(entry["spec"], device, base)
            known[key] = entry["fingerprint"], entry["dim"], entry["spec"]
    recipes = recipes_for(encoders["text"], encoders["clip"], image_root)
    return [
        replace(recipe, known=Header(recipe.name, *known[recipe.name.space]))
        if recipe.name.space in known
        else recipe
        for recipe in recipes
    ]
