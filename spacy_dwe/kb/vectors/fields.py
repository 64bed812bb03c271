"""What a vector is made from: an entity's description, or one of its pictures. Equal
content has an equal key, and vectors are kept by key."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import ClassVar

import numpy as np

from ...errors import DweError, Errors, Warnings
from ...images import ImageRef, read_bytes
from ..entity import Entity, entity_text

KEY_BYTES = 16

_CHARACTERS = 4096
"""Characters of a description that count as a text; bounds the texts in memory."""
Wanted = Callable[[bytes], bool]
"""Whether the content of a key is to be encoded."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Vectors of contents.

    vectors (np.ndarray): Shape: (n, dim), float32
    keys (Sequence[bytes]): of what each was made from.
    """

    vectors: np.ndarray
    keys: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class DescriptionField:
    """An entity's description with its title; none without a description.

    field (str): its name, the first half of a vector set's.
    first_chunk, most (int): weight of what is encoded at a time, at first and at most.
    """

    field: ClassVar[str] = "description"
    first_chunk: ClassVar[int] = 128
    most: ClassVar[int] = 16_384

    def has(self, entity: Entity) -> bool:
        """RETURNS (bool): whether the entity has this field; reads no file."""
        return bool(entity.description.strip())

    def keys(self, entity: Entity) -> list[bytes]:
        """RETURNS (list[bytes]): 16 bytes for each content of the entity, which stand
        for it; none where there is nothing to encode."""
        return [_digest(entity_text(entity).encode())] if self.has(entity) else []

    def weight(self, entity: Entity) -> int:
        """RETURNS (int): how many texts or pictures the entity counts for."""
        return 1 + len(entity.description) // _CHARACTERS

    def texts(self, entities: Sequence[Entity], is_wanted: Wanted) -> dict[bytes, str]:
        """RETURNS (dict[bytes, str]): what is wanted of some entities, by key."""
        return {
            key: entity_text(entity)
            for entity in entities
            for key in self.keys(entity)
            if is_wanted(key)
        }


@dataclass(frozen=True, slots=True)
class PictureField:
    """An entity's pictures, each a content, which counts once. One that cannot be read
    is left out with a warning. The rest is as of `DescriptionField`.

    root (Path): folder that relative paths start at.
    """

    root: Path
    field: ClassVar[str] = "image"
    first_chunk: ClassVar[int] = 16
    most: ClassVar[int] = 4096

    def has(self, entity: Entity) -> bool:
        return bool(entity.images)

    def keys(self, entity: Entity) -> list[bytes]:
        keys = []
        for image in dict.fromkeys(entity.images):
            try:
                keys.append(self.key(read_bytes(self.reference(image))))
            except DweError as error:
                self.warn(entity, image, error)
        return list(dict.fromkeys(keys))

    def weight(self, entity: Entity) -> int:
        return len(entity.images)

    def reference(self, image: str) -> ImageRef:
        """RETURNS (ImageRef): a picture as an entity names it."""
        reference = ImageRef(path=image)
        return reference if reference.is_url else ImageRef(path=str(self.root / image))

    @staticmethod
    def key(data: bytes) -> bytes:
        """RETURNS (bytes): 16 bytes that stand for a picture's content."""
        # Twice: KBs of earlier formats have an entity's only picture under this key.
        return _digest(_digest(data))

    @staticmethod
    def warn(entity: Entity, image: str, error: DweError) -> None:
        """Tell of a picture that is left out."""
        message = Warnings.W100.format(image=image, id=entity.id, reason=error)
        warnings.warn(message, stacklevel=2)


Field = DescriptionField | PictureField
"""What of entities a vector set is made from."""


def field_of(field: str, image_root: Path) -> Field:
    """RETURNS (Field): the field of that name."""
    is_image = field == PictureField.field
    return PictureField(image_root) if is_image else DescriptionField()


def unit_length(vectors: np.ndarray) -> np.ndarray:
    """RETURNS (np.ndarray): which vectors are finite and of length 1, as far as float16
    can tell. Shape: (n,), bool"""
    values = vectors.astype(np.float32, copy=False)
    with np.errstate(invalid="ignore", over="ignore"):
        squares = np.einsum("nd,nd->n", values, values)
        near: np.ndarray = np.abs(squares - 1.0) < 0.02
    return near


def require_unit(vectors: np.ndarray, dim: int, fingerprint: str, name: str) -> None:
    """RAISES (DweError): an encoder's output is no unit vectors of that width."""
    problem = None
    if vectors.shape[1:] != (dim,):
        problem = f"vectors of shape {vectors.shape}, not {dim} wide"
    elif not np.isfinite(vectors).all():
        problem = "NaN or inf"
    elif not unit_length(vectors).all():
        problem = "vectors that are not of unit length"
    if problem is not None:
        raise DweError(
            Errors.E113.format(fingerprint=fingerprint, name=name, problem=problem)
        )


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=KEY_BYTES).digest()
