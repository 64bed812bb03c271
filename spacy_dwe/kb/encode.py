"""Making the vectors of a KB while it is built."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..encoders.base import ImageEncoder, TextEncoder
from ..errors import DweError, Errors, Warnings
from ..images import ImageRef, load
from .entity import Entity, entity_text
from .vectors import FOLDER

RANDOM_PAIRS = 20_000
"""Pairs of entities that the mean and deviation of cosines are measured on."""
_SEED = 0
_PICTURES = 64
"""Decoded pictures in memory at a time."""
_TINY = 1e-6

Encoded = tuple[np.ndarray, np.ndarray]
"""Vectors of the entities that have one, and which of a batch have one."""


class TextAndImageEncoder(TextEncoder, ImageEncoder, Protocol):
    """CLIP: one object, one fingerprint, one space for texts and pictures."""


class VectorBuilder:
    """Encodes entities as they come and writes their vectors below a KB's folder."""

    def __init__(
        self,
        kb: Path,
        generation: str,
        *,
        text_encoder: TextEncoder | None,
        clip: TextAndImageEncoder | None,
        image_root: Path,
    ) -> None:
        """kb (Path): folder of the KB in the making.
        generation (str): part of the names of new files.
        text_encoder (TextEncoder | None): for description@text.
        clip (TextAndImageEncoder | None): for description@clip and image@clip.
        image_root (Path): folder that pictures' paths are relative to.
        """
        self._sets: dict[str, _SetWriter] = {}
        self._kb, self._generation = kb, generation
        (kb / FOLDER).mkdir()
        if text_encoder is not None:
            self._add_set("description@text", text_encoder, _descriptions(text_encoder))
        if clip is not None:
            self._add_set("description@clip", clip, _descriptions(clip))
            self._add_set("image@clip", clip, _pictures(clip, image_root))

    def add(self, entities: Sequence[Entity]) -> None:
        """Encode the next entities, a row each."""
        for writer in self._sets.values():
            writer.add(entities)

    def finish(self) -> dict[str, dict[str, Any]]:
        """Complete the files.

        RETURNS (dict[str, dict[str, Any]]): each set's entry in the KB's version;
            empty sets are left out.
        """
        entries = {name: writer.finish() for name, writer in self._sets.items()}
        entries = {name: entry for name, entry in entries.items() if entry["count"]}
        arrays = {name: self._vectors(entry) for name, entry in entries.items()}
        for name, entry in entries.items():
            entry["mean"], entry["std"] = _random_cosines(arrays[name], arrays[name])
        if "description@clip" in entries and "image@clip" in entries:
            mean, std = _random_cosines(
                arrays["description@clip"], arrays["image@clip"]
            )
            entries["description@clip"] |= {"cross_mean": mean, "cross_std": std}
        return entries

    def _add_set(
        self,
        name: str,
        encoder: TextEncoder | ImageEncoder,
        encode: Callable[[Sequence[Entity]], Encoded],
    ) -> None:
        self._sets[name] = _SetWriter(self._kb, name, self._generation, encoder, encode)

    def _vectors(self, entry: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        array = np.load(self._kb / entry["array"], mmap_mode="r")
        index = np.load(self._kb / entry["index"])
        return array, np.flatnonzero(index >= 0)


class _SetWriter:
    """Appends the vectors of one set to its file."""

    def __init__(
        self,
        kb: Path,
        name: str,
        generation: str,
        encoder: TextEncoder | ImageEncoder,
        encode: Callable[[Sequence[Entity]], Encoded],
    ) -> None:
        self.name, self.encoder, self.encode = name, encoder, encode
        stem = f"{name.replace('@', '-')}.{generation}"
        self.kb = kb
        self.array = f"{FOLDER}/{stem}.npy"
        self.index = f"{FOLDER}/{stem}.index.npy"
        self.count = 0
        self.places: list[np.ndarray] = []
        (kb / self.array).touch()
        self._write_header()

    def add(self, entities: Sequence[Entity]) -> None:
        vectors, present = self.encode(entities)
        self._check(vectors)
        place = self.count + np.cumsum(present) - 1
        self.places.append(np.where(present, place, -1).astype(np.int32))
        self.count += len(vectors)
        with (self.kb / self.array).open("ab") as file:
            file.write(vectors.astype(np.float16).tobytes())

    def finish(self) -> dict[str, Any]:
        self._write_header()
        index = np.concatenate(self.places)
        np.save(self.kb / self.index, index)
        if not self.count:
            (self.kb / self.array).unlink()
            (self.kb / self.index).unlink()
        return {
            "field": self.name.partition("@")[0],
            "encoder": self.name.partition("@")[2],
            "spec": self.encoder.spec,
            "fingerprint": self.encoder.fingerprint,
            "dim": self.encoder.dim,
            "count": self.count,
            "rows": len(index),
            "array": self.array,
            "index": self.index,
        }

    def _write_header(self) -> None:
        # NumPy pads the header so that the first axis can grow in place.
        header = {
            "descr": "<f2",
            "fortran_order": False,
            "shape": (self.count, self.encoder.dim),
        }
        with (self.kb / self.array).open("r+b") as file:
            np.lib.format.write_array_header_1_0(file, header)

    def _check(self, vectors: np.ndarray) -> None:
        problem = None
        if vectors.shape[1:] != (self.encoder.dim,):
            problem = f"vectors of shape {vectors.shape}, not {self.encoder.dim} wide"
        elif not np.isfinite(vectors).all():
            problem = "NaN or inf"
        if problem is not None:
            raise DweError(
                Errors.E113.format(
                    fingerprint=self.encoder.fingerprint,
                    name=self.name,
                    problem=problem,
                )
            )


def _descriptions(encoder: TextEncoder) -> Callable[[Sequence[Entity]], Encoded]:
    def encode(entities: Sequence[Entity]) -> Encoded:
        present = np.array([bool(entity.description.strip()) for entity in entities])
        texts = [entity_text(e) for e, there in zip(entities, present) if there]
        if not texts:
            return np.zeros((0, encoder.dim), dtype=np.float32), present
        return encoder.encode_texts(texts), present

    return encode


def _pictures(
    encoder: ImageEncoder, root: Path
) -> Callable[[Sequence[Entity]], Encoded]:
    def encode(entities: Sequence[Entity]) -> Encoded:
        pictures = [
            (owner, image)
            for owner, entity in enumerate(entities)
            for image in dict.fromkeys(entity.images)
        ]
        sums = np.zeros((len(entities), encoder.dim), dtype=np.float32)
        for start in range(0, len(pictures), _PICTURES):
            owners, decoded = [], []
            for owner, image in pictures[start : start + _PICTURES]:
                try:
                    decoded.append(load(_reference(image, root))[1])
                    owners.append(owner)
                except DweError as error:
                    _warn(entities[owner], image, error)
            if decoded:
                np.add.at(sums, owners, encoder.encode_images(decoded))
        norms = np.linalg.norm(sums, axis=1)
        present = norms > _TINY
        return sums[present] / norms[present, None], present

    return encode


def _reference(image: str, root: Path) -> ImageRef:
    reference = ImageRef(path=image)
    return reference if reference.is_url else ImageRef(path=str(root / image))


def _warn(entity: Entity, image: str, error: DweError) -> None:
    warnings.warn(
        Warnings.W100.format(image=image, id=entity.id, reason=error), stacklevel=2
    )


def _random_cosines(
    left: tuple[np.ndarray, np.ndarray], right: tuple[np.ndarray, np.ndarray]
) -> tuple[float, float]:
    """Cosines of random pairs of different entities; each side is vectors and the rows
    that they belong to.

    RETURNS (tuple[float, float]): mean and deviation; (0, 1) where nothing is to be
        measured.
    """
    random = np.random.default_rng(_SEED)
    a = random.integers(len(left[1]), size=RANDOM_PAIRS)
    b = random.integers(len(right[1]), size=RANDOM_PAIRS)
    different = left[1][a] != right[1][b]
    a, b = a[different], b[different]
    if not len(a):
        return 0.0, 1.0
    cosines = np.concatenate(
        [
            np.einsum(
                "nd,nd->n",
                left[0][a[start : start + 1024]].astype(np.float32),
                right[0][b[start : start + 1024]].astype(np.float32),
            )
            for start in range(0, len(a), 1024)
        ]
    )
    deviation = float(cosines.std())
    return float(cosines.mean()), deviation if deviation > _TINY else 1.0


def recipes_for(*a): return []
def recipes_of(*a): return []
Recipe=object
