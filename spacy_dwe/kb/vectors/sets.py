"""Entity vectors on disk: one set for each field and space, memory-mapped."""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import DTypeLike

from ...errors import DweError, Errors
from ...names.likeness import ragged
from ..arrays import map_array, stem_of
from ..entity import Entity
from .fields import DescriptionField, Field, unit_length

if TYPE_CHECKING:
    from .standard import PictureScale, Standardisation

COHORT = 2048
"""Vectors of a set that stand for all of it."""
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
        _, flat, owners = ragged(self.offsets, np.asarray(places, dtype=np.int64))
        return self.rows[flat], owners


@dataclasses.dataclass(frozen=True, eq=False)
class VectorSet:
    """Unit vectors of one field, made by one encoder: one of a description, one of each
    picture.

    name (SetName): the field and the encoder's space.
    fingerprint (str): of the encoder that made the vectors.
    spec (dict[str, Any]): config block that builds the encoder again.
    dim (int): width of a vector.
    mean, std (float): of the cosine of random pairs of entities.
    cross_mean, cross_std (float | None): of the cosine of a description and the
        picture of another entity; None where the KB has no pictures.
    array (np.ndarray): the vectors that are compared. Shape: (n_vectors, dim), float16
    offsets (np.ndarray): places of row r are places[offsets[r]:offsets[r + 1]].
        Shape: (n_rows + 1,), int32
    places (np.ndarray): of the rows' vectors in `array`. Shape: (n_uses,), int32
    scale (PictureScale | None): what cosines of pictures say, where those of the KB
        tell.
    standard (str | None): fingerprint of the pictures that tell how the encoder's
        vectors are standardised, if they are.
    kb (Path | None): the KB's folder.
    stem (str | None): path of its files below it, without suffix.
    removed (np.ndarray | None): rows of entities that were removed. Shape: (n,), int32
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
    offsets: np.ndarray = dataclasses.field(repr=False)
    places: np.ndarray = dataclasses.field(repr=False)
    scale: "PictureScale | None" = None
    standard: str | None = None
    kb: Path | None = dataclasses.field(default=None, repr=False)
    stem: str | None = dataclasses.field(default=None, repr=False)
    removed: np.ndarray | None = dataclasses.field(default=None, repr=False)

    @classmethod
    def open(
        cls,
        kb: Path,
        name: SetName,
        meta: dict[str, Any],
        removed: np.ndarray | None = None,
    ) -> Self:
        """Map a set into memory.

        kb (Path): the KB's folder.
        name (SetName): of the set.
        meta (dict[str, Any]): its entry in the KB's version.
        removed (np.ndarray | None): rows of entities that were removed.
        RETURNS (VectorSet): the set.
        """
        standard, stem = meta.get("standard"), stem_of(meta)
        shape = meta["count"], meta["dim"]
        offsets = f"{stem}.offsets.npy"
        return cls(
            name=name,
            fingerprint=meta["fingerprint"],
            spec=meta["spec"],
            dim=meta["dim"],
            mean=meta["mean"],
            std=meta["std"],
            cross_mean=meta.get("cross_mean"),
            cross_std=meta.get("cross_std"),
            array=_checked(kb, _compared(meta), shape, np.float16),
            offsets=_checked(kb, offsets, (meta["rows"] + 1,), np.int32),
            places=_checked(kb, f"{stem}.places.npy", (meta["uses"],), np.int32),
            scale=_scale(meta.get("scale")),
            standard=standard,
            kb=kb,
            stem=stem,
            removed=removed,
        )

    @property
    def field(self) -> str:
        """RETURNS (str): "description" or "image"."""
        return self.name.field

    @property
    def identity(self) -> str:
        """RETURNS (str): equal where what was learned by the vectors of one set holds
        for those of the other: fingerprint of the encoder, and of what standardises."""
        return (
            f"{self.fingerprint} {self.standard}" if self.standard else self.fingerprint
        )

    @cached_property
    def standardisation(self) -> "Standardisation | None":
        """RETURNS (Standardisation | None): makes vectors of the encoder those that are
        compared."""
        if self.standard is None:
            return None
        from .standard import Standardisation

        assert self.kb is not None and self.stem is not None
        return Standardisation.read(self.kb, f"{self.stem}.standard.safetensors")

    @cached_property
    def cohort(self) -> tuple[np.ndarray, np.ndarray]:
        """RETURNS (tuple[np.ndarray, np.ndarray]): vectors of entities drawn at random,
        `COHORT` at most, that others are compared with beside a candidate's, and the
        row of each. Shapes: (n, dim), float32 and (n,), int32"""
        rows = np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))
        uses = np.arange(len(self.places))
        if self.removed is not None:
            uses = np.flatnonzero(~np.isin(rows, self.removed))
        if len(uses) > COHORT:
            random = np.random.default_rng(_SEED)
            uses = np.sort(random.choice(uses, COHORT, replace=False))
        rows = rows[uses]
        vectors = np.asarray(self.array[self.places[uses]], dtype=np.float32)
        return vectors, rows.astype(np.int32)

    @cached_property
    def keys(self) -> np.ndarray:
        """RETURNS (np.ndarray): 128 bits that stand for what each vector was made from.
        Shape: (n_vectors, 2), uint64"""
        assert self.kb is not None and self.stem is not None
        shape = len(self.array), 2
        return _checked(self.kb, f"{self.stem}.keys.npy", shape, np.uint64)

    def of(self, rows: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """RETURNS (tuple[np.ndarray, np.ndarray]): places of the vectors of some rows,
        and for each the position of its row among these. Shapes: (n,), int32 and int64
        """
        _, flat, owners = ragged(self.offsets, np.asarray(rows, dtype=np.int64))
        return self.places[flat], owners

    def gather(
        self, rows: Sequence[int] | np.ndarray, dtype: DTypeLike = np.float32
    ) -> tuple[np.ndarray, np.ndarray]:
        """Read the vectors of rows that have one at most, or else the last of each.

        rows (Sequence[int] | np.ndarray): rows of entities.
        dtype (DTypeLike): float16 reads them as they are: NumPy takes far longer to
            convert them than to read them, and torch does not.
        RETURNS (tuple[np.ndarray, np.ndarray]): unit vectors, zero where there is none,
            and where there is one. Shapes: (len(rows), dim), dtype, and (len(rows),),
            bool
        """
        rows = np.asarray(rows, dtype=np.int64)
        ends = self.offsets[rows + 1]
        present = ends > self.offsets[rows]
        if not present.any():
            return np.zeros((len(rows), self.dim), dtype=dtype), present
        # The last one stands in for those that there are not.
        vectors = np.asarray(self.array).take(self.places[ends - 1], axis=0)
        if not present.all():
            vectors[~present] = 0
        return vectors.astype(dtype, copy=False), present

    def rows_at(self, live: np.ndarray | None = None) -> RowsAt:
        """Turn the places round: the rows that use each vector. Reads all of them.

        live (np.ndarray | None): rows that count; None means all. Shape: (n_rows,),
            bool
        RETURNS (RowsAt): their rows by place; a vector that none uses has none.
        """
        counts = np.diff(self.offsets)
        rows = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        places = np.asarray(self.places)
        if live is not None:
            kept = live[rows]
            rows, places = rows[kept], places[kept]
        order = np.argsort(places, kind="stable")
        offsets = np.zeros(len(self.array) + 1, dtype=np.int64)
        np.cumsum(np.bincount(places, minlength=len(self.array)), out=offsets[1:])
        return RowsAt(offsets, rows[order])

    def problems(self, live: np.ndarray | None = None) -> Iterator[str]:
        """Read the whole set and say what is damaged.

        live (np.ndarray | None): rows that count; None means all. Shape: (n_rows,),
            bool
        YIELDS (str): a line for each kind of damage.
        """
        counts = np.diff(self.offsets)
        if (counts < 0).any() or self.offsets[-1] != len(self.places):
            yield f"{self.name}: the places of its rows overlap"
            return
        owners = np.repeat(np.arange(len(counts)), counts)
        outside = (self.places < 0) | (self.places >= len(self.array))
        if live is not None:
            outside &= live[owners]
        if outside.any():
            yield (
                f"{self.name}: the vectors of {_rows(owners[outside])} lie "
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
            wanted = [field.keys(entity) for _, entity in block]
            places, owners = self.of(rows)
            counts = np.bincount(owners, minlength=len(rows))
            same = counts == [len(keys) for keys in wanted]
            told = b"".join(chain(*(k for k, own in zip(wanted, same) if own)))
            keys = np.frombuffer(told, dtype=np.uint64).reshape(-1, 2)
            compared = same[owners]
            differs = (self.keys[places[compared]] != keys).any(axis=1)
            same[owners[compared][differs]] = False
            yield from rows[~same].tolist()


def _compared(entry: dict[str, Any]) -> str:
    """RETURNS (str): the file of the vectors of a set that are compared."""
    file: str = entry["array"]
    return f"{stem_of(entry)}.standard.npy" if entry.get("standard") else file


def _scale(told: Sequence[float] | None) -> "PictureScale | None":
    from .standard import PictureScale

    return PictureScale(*told) if told else None


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
        vectors there were then, are set; of pictures "scale"; and of descriptions that
        share their space with pictures "cross_mean" and "cross_std".
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
        if name.field == IMAGE:
            from .standard import PictureScale, sampled

            is_standard = bool(entry.get("standard"))
            entry["scale"] = PictureScale.measured(*sampled(kb, entry), is_standard)
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
    """A set's vectors, random rows that have one, and the places of a vector of each.
    Pictures of an entity that has several are drawn as often as those of others."""
    stem = stem_of(entry)
    vectors = map_array(kb, _compared(entry), entry["count"])
    offsets = map_array(kb, f"{stem}.offsets.npy", entry["rows"] + 1)
    places = map_array(kb, f"{stem}.places.npy", entry["uses"])
    if not len(places):
        return vectors, places, places
    uses = random.integers(len(places), size=RANDOM_PAIRS)
    rows = np.searchsorted(offsets, uses, side="right") - 1
    return vectors, rows, places[uses]
