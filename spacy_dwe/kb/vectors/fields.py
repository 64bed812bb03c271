"""What a vector is made from: an entity's description, or its pictures. Equal content
has an equal key, and vectors are kept by key."""

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...errors import DweError, Errors, Warnings
from ...images import ImageRef, decode, read_bytes
from ..entity import Entity, entity_text

KEY_BYTES = 16

_CHARACTERS = 4096
"""Characters of a description that count as a text; bounds the texts in memory."""
_PICTURES = 64
"""Decoded pictures in memory at a time."""
_DECODERS = 8
"""Threads, at most, that decode pictures."""
_TINY = 1e-6

Encode = Callable[[Sequence[Any]], np.ndarray]
"""Texts or decoded pictures to unit vectors."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Vectors of some entities.

    vectors (np.ndarray): of those that have one. Shape: (n_present, dim), float32
    keys (Sequence[bytes]): of the contents they were made from.
    present (np.ndarray): which entities have one. Shape: (n_entities,), bool
    """

    vectors: np.ndarray
    keys: Sequence[bytes]
    present: np.ndarray


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

    def key(self, entity: Entity) -> bytes | None:
        """RETURNS (bytes | None): 16 bytes that stand for the content; None where there
        is nothing to encode."""
        if not self.has(entity):
            return None
        text = entity_text(entity).encode("utf-8")
        return blake2b(text, digest_size=KEY_BYTES).digest()

    def weight(self, entity: Entity) -> int:
        """RETURNS (int): how many texts or pictures the entity counts for."""
        return 1 + len(entity.description) // _CHARACTERS

    def encode(self, entities: Sequence[Entity], encode: Encode) -> Encoded:
        """RETURNS (Encoded): vectors of entities that have a key."""
        vectors = encode([entity_text(entity) for entity in entities])
        keys = [key for entity in entities if (key := self.key(entity)) is not None]
        return Encoded(vectors, keys, np.ones(len(entities), dtype=bool))


@dataclass(frozen=True, slots=True)
class PictureField:
    """An entity's pictures, whose vectors are averaged. One that cannot be read is left
    out with a warning. The rest is as of `DescriptionField`.

    root (Path): folder that relative paths start at.
    """

    root: Path
    field: ClassVar[str] = "image"
    first_chunk: ClassVar[int] = 16
    most: ClassVar[int] = _PICTURES

    def has(self, entity: Entity) -> bool:
        return bool(entity.images)

    def key(self, entity: Entity) -> bytes | None:
        digests = []
        for image in dict.fromkeys(entity.images):
            try:
                digests.append(_digest(read_bytes(self._reference(image))))
            except DweError as error:
                _warn(entity, image, error)
        return _joint(digests) if digests else None

    def weight(self, entity: Entity) -> int:
        return len(entity.images)

    def encode(self, entities: Sequence[Entity], encode: Encode) -> Encoded:
        pictures = [
            (owner, image)
            for owner, entity in enumerate(entities)
            for image in dict.fromkeys(entity.images)
        ]
        digests: list[list[bytes]] = [[] for _ in entities]
        sums: np.ndarray | None = None
        with ThreadPoolExecutor(min(_DECODERS, os.cpu_count() or 1)) as decoders:
            for start in range(0, len(pictures), _PICTURES):
                group = pictures[start : start + _PICTURES]
                owners, decoded = [], []
                loaded = decoders.map(self._load, (image for _, image in group))
                for (owner, image), (digest, picture) in zip(group, loaded):
                    if digest is not None:
                        digests[owner].append(digest)
                    if isinstance(picture, DweError):
                        _warn(entities[owner], image, picture)
                    elif picture is not None:
                        owners.append(owner)
                        decoded.append(picture)
                if decoded:
                    vectors = encode(decoded)
                    if sums is None:
                        sums = np.zeros((len(entities), vectors.shape[1]), np.float32)
                    np.add.at(sums, owners, vectors)
        return _averaged(sums, digests)

    def _load(self, image: str) -> tuple[bytes | None, Any]:
        """A picture and the digest of its file; both None for a file that cannot be
        read, of which `key` has warned."""
        reference = self._reference(image)
        try:
            data = read_bytes(reference)
        except DweError:
            return None, None
        try:
            return _digest(data), decode(data, reference.name)
        except DweError as error:
            return _digest(data), error

    def _reference(self, image: str) -> ImageRef:
        reference = ImageRef(path=image)
        return reference if reference.is_url else ImageRef(path=str(self.root / image))


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


def _averaged(sums: np.ndarray | None, digests: Sequence[Sequence[bytes]]) -> Encoded:
    if sums is None:
        sums = np.zeros((len(digests), 1), dtype=np.float32)
    norms = np.linalg.norm(sums, axis=1)
    present = norms > _TINY
    keys = [_joint(own) for own, there in zip(digests, present) if there]
    return Encoded(sums[present] / norms[present, None], keys, present)


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=KEY_BYTES).digest()


def _joint(digests: Iterable[bytes]) -> bytes:
    return _digest(b"".join(digests))


def _warn(entity: Entity, image: str, error: DweError) -> None:
    message = Warnings.W100.format(image=image, id=entity.id, reason=error)
    warnings.warn(message, stacklevel=2)
