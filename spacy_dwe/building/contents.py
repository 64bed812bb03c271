"""Encoding what the vectors of entities are made from, each content once."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..encoders.decoding import decode_ahead, shortest_side, stages
from ..errors import DweError
from ..images import decode, decoded_bytes, read_bytes
from ..kb.entity import Entity
from ..kb.vectors.fields import Encoded, PictureField, Wanted
from .plans import SetPlan

_NO_VECTORS = np.zeros((0, 0), dtype=np.float32)

Progress = Callable[[int], Any]
"""Told of entities that are done."""


def encode_contents(
    plan: SetPlan, entities: Sequence[Entity], is_wanted: Wanted, progress: Progress
) -> Encoded:
    """RETURNS (Encoded): vectors of what is wanted of some entities, each once."""
    field = plan.field
    if isinstance(field, PictureField):
        return _pictures(plan.encoder, field, entities, is_wanted, progress)
    texts = field.texts(entities, is_wanted)
    vectors = plan.encoder.encode_texts([*texts.values()], progress=progress)
    return Encoded(vectors, [*texts])


def _pictures(
    encoder: Any,
    field: PictureField,
    entities: Sequence[Entity],
    is_wanted: Wanted,
    progress: Progress,
) -> Encoded:
    """Pictures are decoded and prepared in threads, while those before are encoded."""
    prepare, encode = stages(encoder)
    files = _Files(field, entities, is_wanted, shortest_side(encoder))

    def decoded(picture: _Picture) -> Any:
        opened = files.decode(picture)
        return None if opened is None else prepare(opened)

    keys: dict[bytes, None] = {}
    vectors = []
    done = 0
    for some, prepared in decode_ahead(files.pictures, decoded, files.tell, files.read):
        read = ((files.keys[picture], each) for picture, each in zip(some, prepared))
        new = {key: each for key, each in read if key not in keys}
        if new:
            vectors.append(encode([*new.values()]))
            keys.update(dict.fromkeys(new))
        progress(some[-1].owner - done)
        done = some[-1].owner
    return Encoded(np.concatenate(vectors) if vectors else _NO_VECTORS, [*keys])


class _Picture(NamedTuple):
    """owner (int): position of its entity. image (str): as the entity names it."""

    owner: int
    image: str


class _Files:
    """The files of entities' pictures, each in memory until it is decoded.

    pictures (list[_Picture]): all of them.
    keys (dict[_Picture, bytes]): of those that were read.
    """

    def __init__(
        self,
        field: PictureField,
        entities: Sequence[Entity],
        is_wanted: Wanted,
        shortest: int | None,
    ) -> None:
        self._field, self._entities = field, entities
        self._is_wanted, self._shortest = is_wanted, shortest
        self._data: dict[_Picture, bytes] = {}
        self.pictures = [
            _Picture(owner, image)
            for owner, entity in enumerate(entities)
            for image in dict.fromkeys(entity.images)
        ]
        self.keys: dict[_Picture, bytes] = {}

    def read(self, picture: _Picture) -> int:
        """RETURNS (int): memory that the picture takes, decoded; 0 if it is not
        wanted, or cannot be read, of which `PictureField.keys` has warned."""
        try:
            data = read_bytes(self._field.reference(picture.image))
        except DweError:
            return 0
        key = self._field.key(data)
        if not self._is_wanted(key):
            return 0
        self.keys[picture], self._data[picture] = key, data
        return decoded_bytes(data, self._shortest)

    def decode(self, picture: _Picture) -> Any:
        data = self._data.pop(picture, None)
        if data is None:
            return None
        name = self._field.reference(picture.image).name
        return decode(data, name, self._shortest)

    def tell(self, picture: _Picture, error: DweError) -> None:
        """Warn of one that cannot be decoded."""
        self._field.warn(self._entities[picture.owner], picture.image, error)
