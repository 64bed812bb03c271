"""Entity vectors on disk: one set for each field and space, memory-mapped."""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import DTypeLike

from ...errors import DweError, Errors
from ..arrays import map_array
from ..entity import Entity
from .fields import DescriptionField, Field, unit_length

FOLDER = "vectors"
_BLOCK = 4096
_NAME = re.compile(r"([\w-]+)@([\w-]+)", re.ASCII)


class SetName(NamedTuple):
    """What tells a KB's vector sets apart. As text, in meta.json and where users name
    a set, it is "field@space".

    field (str): what of entities the vectors are made from, "description" or "image".
    space (str): what the KB calls the space of the encoder that made them.
    """

    field: str
    space: str

    @classmethod
    def read(cls, text: str) -> Self:
        """RETURNS (SetName): the name that a text such as "description@text" is.
        RAISES (DweError): it is none."""
        match = _NAME.fullmatch(text)
        if match is None:
            raise DweError(Errors.E185.format(name=text))
        return cls(*match.groups())

    def __str__(self) -> str:
        return f"{self.field}@{self.space}"


DESCRIPTION, IMAGE = "description", "image"
TEXT_SPACE, CLIP_SPACE = "text", "clip"
"""The spaces of `build_kb`'s arguments text_encoder and clip."""
PICTURES_SPACE = "pictures"
"""The space of a picture encoder that is given no other name."""
DESCRIPTIONS = SetName(DESCRIPTION, TEXT_SPACE)
DESCRIPTIONS_IN_CLIP = SetName(DESCRIPTION, CLIP_SPACE)
PICTURES = SetName(IMAGE, CLIP_SPACE)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class RowsAt:
    """The rows that use each vector: equal descriptions share one.

    offsets (np.ndarray): rows of place p are rows[offsets[p]:offsets[p + 1]].
        Shape: (n_vectors + 1,), int64
    rows (np.ndarray): in order at each place. Shape: (n_rows_with_vector,), int32
    """

    offsets: np.ndarray
    rows: np.ndarray

    @property
    def used(self) -> np.ndarray:
        """RETURNS (np.ndarray): places that a row uses. Shape: (n_vectors,), bool"""
        used: np.ndarray = np.diff(self.offsets) > 0
        return used

    def of(self, places: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """RETURNS (tuple[np.ndarray, np.ndarray]): the rows of some places, and for
        each the position of its place among these. Shapes: (n,), int32 and int64"""
        places = np.asarray(places, dtype=np.int64)
        starts = self.offsets[places]
        counts = self.offsets[places + 1] - starts
        owners = np.repeat(np.arange(len(places)), counts)
        within = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
        return self.rows[starts[owners] + within], owners


@dataclasses.dataclass(frozen=True, eq=False)
class VectorSet:
    """Unit vectors of one field, made by one encoder.

    name (SetName): the field and the encoder's space.
    fingerprint (str): of the encoder that made the vectors.
    spec (dict[str, Any]): config block that builds the encoder again.
    dim (int): width of a vector.
    mean, std (float): of the cosine of random pairs of entities.
    cross_mean, cross_std (float | None): of the cosine of a description and the
        picture of another entity; None where the KB has no pictures.
    array (np.ndarray): the vectors. Shape: (n_vectors, dim), float16
    index (np.ndarray): place of each row's vector, -1 for none.
        Shape: (n_rows,), int32
    kb (Path | None): the KB's folder.
    keys_file (str | None): below it, the keys of what the vectors were made from.
    """

    name: SetName
    fingerprint: str
    spec: dict[str, Any]
    dim: int
    mean: float
    std: float
    cross_mean: float | None
    cross_std: float | None
    array: np.ndarray = dataclasses.field(repr=False)
    index: np.ndarray = dataclasses.field(repr=False)
    kb: Path | None = dataclasses.field(default=None, repr=False)
    keys_file: str | None = dataclasses.field(default=None, repr=False)

    @classmethod
    def open(cls, kb: Path, name: SetName, meta: dict[str, Any]) -> Self:
        """Map a set into memory.

        kb (Path): the KB's folder.
        name (SetName): of the set.
        meta (dict[str, Any]): its entry in the KB's version.
        RETURNS (VectorSet): the set.
        """
        return cls(
            name=name,
            fingerprint=meta["fingerprint"],
            spec=meta["spec"],
            dim=meta["dim"],
            mean=meta["mean"],
            std=meta["std"],
            cross_mean=meta.get("cross_mean"),
            cross_std=meta.get("cross_std"),
            array=_checked(kb, meta["array"], (meta["count"], meta["dim"]), np.float16),
            index=_checked(kb, meta["index"], (meta["rows"],), np.int32),
            kb=kb,
            keys_file=meta.get("keys"),
        )

    @property
    def field(self) -> str:
        """RETURNS (str): "description" or "image"."""
        return self.name.field

    @cached_property
    def keys(self) -> np.ndarray:
        """RETURNS (np.ndarray): 128 bits that stand for what each vector was made from.
        Shape: (n_vectors, 2), uint64"""
        assert self.kb is not None and self.keys_file is not None
        return _checked(self.kb, self.keys_file, (len(self.array), 2), np.uint64)

    def gather(
        self, rows: Sequence[int] | np.ndarray, dtype: DTypeLike = np.float32
    ) -> tuple[np.ndarray, np.ndarray]:
        """Read vectors of rows.

        rows (Sequence[int] | np.ndarray): rows of entities.
        dtype (DTypeLike): float16 reads them as they are: NumPy takes far longer to
            convert them than to read them, and torch does not.
        RETURNS (tuple[np.ndarray, np.ndarray]): unit vectors, zero where there is none,
            and where there is one. Shapes: (len(rows), dim), dtype, and (len(rows),),
            bool
        """
        places = self.index[np.asarray(rows, dtype=np.int64)]
        present = places >= 0
        if not present.any():
            return np.zeros((len(places), self.dim), dtype=dtype), present
        # The last one stands in for those that there are not.
        vectors = np.asarray(self.array).take(places, axis=0)
        if not present.all():
            vectors[~present] = 0
        return vectors.astype(dtype, copy=False), present

    def rows_at(self, live: np.ndarray | None = None) -> RowsAt:
        """Turn `index` round: the rows that use each vector. Reads all of `index`.

        live (np.ndarray | None): rows that count; None means all. Shape: (n_rows,),
            bool
        RETURNS (RowsAt): their rows by place; a vector that none uses has none.
        """
        uses = self.index >= 0
        if live is not None:
            uses &= live[: len(uses)]
        rows = np.flatnonzero(uses)
        places = self.index[rows]
        order = np.argsort(places, kind="stable")
        offsets = np.zeros(len(self.array) + 1, dtype=np.int64)
        np.cumsum(np.bincount(places, minlength=len(self.array)), out=offsets[1:])
        return RowsAt(offsets, rows[order].astype(np.int32))

    def problems(self, live: np.ndarray | None = None) -> Iterator[str]:
        """Read the whole set and say what is damaged.

        live (np.ndarray | None): rows that count; None means all. Shape: (n_rows,),
            bool
        YIELDS (str): a line for each kind of damage.
        """
        outside = (self.index < -1) | (self.index >= len(self.array))
        if live is not None:
            outside &= live[: len(outside)]
        if outside.any():
            yield (
                f"{self.name}: the vectors of {_rows(np.flatnonzero(outside))} lie "
                f"outside the {len(self.array):,} there are"
            )
            return
        rows_at = self.rows_at(live)
        used = rows_at.used
        bad = [np.zeros(0, dtype=np.int64)]
        for start in range(0, len(self.array), _BLOCK):
            unsound = ~unit_length(self.array[start : start + _BLOCK])
            bad.append(start + np.flatnonzero(unsound & used[start : start + _BLOCK]))
        rows, _ = rows_at.of(np.concatenate(bad))
        if len(rows):
            yield f"{self.name}: the vectors of {_rows(rows)} are no unit vectors"
        try:
            _ = self.keys
        except DweError as error:
            yield str(error)

    def stale(
        self,
        entities: Iterable[tuple[int, Entity]],
        field: Field | None = None,
    ) -> Iterator[int]:
        """Compare vectors with what they should have been made from.

        entities (Iterable[tuple[int, Entity]]): rows and entities.
        field (Field | None): what this set's vectors are made from; None means
            descriptions.
        YIELDS (int): rows whose vector was made from something else, is missing, or
            should not be there.
        """
        field = DescriptionField() if field is None else field
        remaining = iter(entities)
        while block := list(islice(remaining, _BLOCK)):
            rows = np.array([row for row, _ in block], dtype=np.int64)
            found = [field.key(entity) for _, entity in block]
            wanted = np.array([key is not None for key in found])
            places = self.index[rows]
            same = wanted == (places >= 0)
            both = np.flatnonzero(same & wanted)
            own = b"".join(key for key in found if key is not None)
            keys = np.zeros((len(block), 2), dtype=np.uint64)
            keys[wanted] = np.frombuffer(own, dtype=np.uint64).reshape(-1, 2)
            same[both] = (self.keys[places[both]] == keys[both]).all(axis=1)
            yield from rows[~same].tolist()


def _rows(rows: np.ndarray) -> str:
    first = int(rows.min())
    return f"row {first}" if len(rows) == 1 else f"{len(rows):,} rows, first {first},"


def _checked(
    kb: Path, file: str, shape: tuple[int, ...], dtype: type[np.generic]
) -> np.ndarray:
    """Map an array; its file may have grown since the version that names it."""
    array = map_array(kb, file)
    if len(array) < shape[0] or array.shape[1:] != shape[1:] or array.dtype != dtype:
        reason = f"{array.dtype} {array.shape} where {np.dtype(dtype)} {shape} belongs"
        raise DweError(Errors.E105.format(path=kb, file=file, reason=reason))
    return array[: shape[0]]


RANDOM_PAIRS = 20_000
"""Pairs of entities that mean and deviation are measured on."""
_REMEASURE = 2
"""Growth of a set after which it is measured again."""
_SEED = 0
_PAIRS_EACH = 1024
_TINY = 1e-6


def measure(kb: Path, entries: dict[SetName, dict[str, Any]]) -> None:
    """Measure sets that are new, or have grown to twice their size since.

    kb (Path): the KB's folder.
    entries (dict[SetName, dict[str, Any]]): the sets. "mean", "std" and "measured", the
        vectors there were then, are set, and, on descriptions that share their space
        with pictures, "cross_mean" and "cross_std".
    """
    due = {
        name
        for name, entry in entries.items()
        if entry["count"] >= _REMEASURE * entry.get("measured", 0)
    }
    for name in due:
        entry = entries[name]
        entry["mean"], entry["std"] = _random_cosines(kb, entry, entry)
        entry["measured"] = entry["count"]
    for name, entry in entries.items():
        pictures = SetName(IMAGE, name.space)
        images = entries.get(pictures)
        if name.field != DESCRIPTION or images is None:
            continue
        if "cross_mean" not in entry or due & {name, pictures}:
            mean, std = _random_cosines(kb, entry, images)
            entry |= {"cross_mean": mean, "cross_std": std}


def _random_cosines(
    kb: Path, left: dict[str, Any], right: dict[str, Any]
) -> tuple[float, float]:
    """Cosines of random pairs of different entities.

    RETURNS (tuple[float, float]): mean and deviation; (0, 1) where nothing is to be
        measured.
    """
    random = np.random.default_rng(_SEED)
    vectors_a, rows_a, places_a = _sample(kb, left, random)
    vectors_b, rows_b, places_b = _sample(kb, right, random)
    if not len(rows_a) or not len(rows_b):
        return 0.0, 1.0
    different = rows_a != rows_b
    places_a, places_b = places_a[different], places_b[different]
    if not len(places_a):
        return 0.0, 1.0
    cosines = np.concatenate(
        [
            np.einsum(
                "nd,nd->n",
                vectors_a[places_a[start : start + _PAIRS_EACH]].astype(np.float32),
                vectors_b[places_b[start : start + _PAIRS_EACH]].astype(np.float32),
            )
            for start in range(0, len(places_a), _PAIRS_EACH)
        ]
    )
    deviation = float(cosines.std())
    return float(cosines.mean()), deviation if deviation > _TINY else 1.0


def _sample(
    kb: Path, entry: dict[str, Any], random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A set's vectors, random rows that have one, and their places."""
    vectors = map_array(kb, entry["array"], entry["count"])
    index = map_array(kb, entry["index"], entry["rows"])
    rows = np.flatnonzero(index >= 0)
    if not len(rows):
        return vectors, rows, rows
    rows = rows[random.integers(len(rows), size=RANDOM_PAIRS)]
    return vectors, rows, index[rows]
