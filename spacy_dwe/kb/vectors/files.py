"""Files of a vector set: vectors, the keys of what they were made from, and the places
of each row's vectors. Vectors are never rewritten: what a killed run completed is found
again by key.

    STEM.json         name, fingerprint, dim and spec, written first
    STEM.npy          vectors, float16 (count, dim)
    STEM.keys.npy     keys, uint64 (count, 2), each written behind its vector
    STEM.offsets.npy  where each row's places begin, and the last's end, int32
                      (n_rows + 1,)
    STEM.places.npy   places of the rows' vectors, int32

Of a set that is standardised, `kb.vectors.standard` adds

    STEM.standard.npy           the vectors that are compared, float16 (count, dim)
    STEM.standard.safetensors   what makes them of the encoder's
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Self

import numpy as np

from ...errors import DweError
from ...files import write_json
from ..arrays import ArrayWriter, map_array, stem_of
from .fields import unit_length
from .sets import FOLDER, SetName

_BLOCK = 4096
_SUFFIXES = ".json", ".npy", ".keys.npy", ".offsets.npy", ".places.npy"
_STANDARD = ".standard.npy", ".standard.safetensors"


@dataclass(frozen=True, slots=True)
class Header:
    """What a set's vectors are.

    name (SetName): of the set.
    fingerprint (str): of the encoder.
    dim (int): width of a vector.
    spec (Mapping[str, Any]): config block of the encoder.
    """

    name: SetName
    fingerprint: str
    dim: int
    spec: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """RETURNS (Header | None): None where the file says nothing of a set."""
        try:
            written = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{**written, "name": SetName.read(written["name"])})
        except (OSError, ValueError, KeyError, TypeError, DweError):
            return None

    def write(self, path: Path) -> None:
        """path (Path): the file STEM.json."""
        written = {
            "name": str(self.name),
            "fingerprint": self.fingerprint,
            "dim": self.dim,
            "spec": dict(self.spec),
        }
        write_json(path, written)

    def holds_vectors_of(self, other: "Header") -> bool:
        """RETURNS (bool): whether the other set's vectors would be the same here."""
        return (self.name.field, self.fingerprint, self.dim) == (
            other.name.field,
            other.fingerprint,
            other.dim,
        )


def files_of(entry: Mapping[str, Any]) -> list[str]:
    """RETURNS (list[str]): the files, below the KB's folder, of a set that a version
    names. Files of vectors/ that no version names are left by killed runs."""
    stem = stem_of(entry)
    suffixes = _STANDARD if entry.get("standard") else ()
    return [f"{stem}{suffix}" for suffix in (*_SUFFIXES, *suffixes)]


def new_stem(kb: Path, snapshot: str, header: Header) -> str:
    """Choose the files of a new set: those of a killed run of the same snapshot, or
    new ones.

    RETURNS (str): path below the KB's folder, without suffix.
    """
    stem = f"{FOLDER}/{header.name.field}-{header.name.space}.{snapshot}"
    for number in count():
        numbered = f"{stem}-{number}" if number else stem
        path = kb / f"{numbered}.json"
        if not path.exists():
            header.write(path)
            return numbered
        if Header.read(path) == header and not (kb / f"{numbered}.places.npy").exists():
            return numbered
    raise AssertionError("unreachable")


class StoredVectors:
    """The complete vectors of a set, whether or not a version names them."""

    def __init__(self, kb: Path, stem: str, dim: int) -> None:
        """kb (Path): a KB's folder.
        stem (str): path of the set below it, without suffix.
        dim (int): width of its vectors.
        """
        vectors = _written(kb / f"{stem}.npy", np.float16, (dim,))
        keys = _written(kb / f"{stem}.keys.npy", np.uint64, (2,))
        complete = min(len(vectors), len(keys))
        self.vectors, self.keys = vectors[:complete], keys[:complete]

    def __len__(self) -> int:
        return len(self.keys)

    def sound_up_to(self, first: int) -> int:
        """RETURNS (int): how many vectors there are before the first one from `first`
        on that is no unit vector."""
        for start in range(first, len(self), _BLOCK):
            sound = unit_length(self.vectors[start : start + _BLOCK])
            if not sound.all():
                return start + int(np.argmin(sound))
        return max(first, len(self))


def stored_sets(kb: Path, wanted: Header, but: Path) -> Iterator[StoredVectors]:
    """Sets of the same field and encoder, finished or not.

    kb (Path): folder of a KB, or of the draft of one.
    wanted (Header): of the set in the making.
    but (Path): that set's own file STEM.json.
    """
    for path in sorted((kb / FOLDER).glob("*.json")):
        header = Header.read(path)
        if header is None or not header.holds_vectors_of(wanted) or path == but:
            continue
        stored = StoredVectors(kb, f"{FOLDER}/{path.stem}", header.dim)
        if len(stored):
            yield stored


class VectorWriter:
    """Appends to a set's vectors and keys. Complete vectors behind the committed ones,
    left by a killed run, are kept."""

    def __init__(self, kb: Path, stem: str, dim: int, *, committed: int) -> None:
        """kb (Path): the KB's folder.
        stem (str): path of the set below it, without suffix.
        dim (int): width of its vectors.
        committed (int): vectors that a version names.
        """
        array, keys = f"{stem}.npy", f"{stem}.keys.npy"
        if committed:
            map_array(kb, array, committed)
            map_array(kb, keys, committed)
        stored = StoredVectors(kb, stem, dim)
        kept = stored.sound_up_to(committed)
        self.known_keys = stored.keys[:kept]
        with ExitStack() as stack:
            writer = ArrayWriter(kb / array, np.float16, (dim,), length=kept)
            self._vectors = stack.enter_context(writer)
            writer = ArrayWriter(kb / keys, np.uint64, (2,), length=kept)
            self._keys = stack.enter_context(writer)
            self._stack = stack.pop_all()

    def __len__(self) -> int:
        return len(self._keys)

    def append(self, vectors: np.ndarray, keys: np.ndarray) -> np.ndarray:
        """Append vectors; from then on a kill does not lose them.

        vectors (np.ndarray): Shape: (n, dim)
        keys (np.ndarray): of what they were made from. Shape: (n, 2), uint64
        RETURNS (np.ndarray): their places. Shape: (n,), int64
        """
        first = len(self)
        self._vectors.append(vectors)
        self._vectors.flush()
        self._keys.append(keys)
        self._keys.flush()
        return np.arange(first, len(self))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)


def extend_index(
    kb: Path, stem: str, committed: int, counts: np.ndarray, places: np.ndarray
) -> None:
    """Append the places of new rows' vectors.

    committed (int): rows that a version names; what stands behind them is overwritten.
    counts (np.ndarray): vectors of each new row. Shape: (n_new_rows,)
    places (np.ndarray): of all of them, row by row. Shape: (counts.sum(),), int32
    """
    offsets_file, places_file = f"{stem}.offsets.npy", f"{stem}.places.npy"
    begin = 0
    if committed:
        begin = int(map_array(kb, offsets_file, committed + 1)[-1])
        map_array(kb, places_file, begin)
    with ArrayWriter(kb / places_file, np.int32, length=begin) as writer:
        writer.append(places)
    length = committed + 1 if committed else 0
    with ArrayWriter(kb / offsets_file, np.int32, length=length) as writer:
        if not committed:
            writer.append(np.zeros(1))
        writer.append(begin + np.cumsum(counts))


def with_places(kb: Path, entry: Mapping[str, Any]) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): the entry of a set. One of format 3 or before has a
    vector a row at most, whose place, or -1, is in STEM.index.npy; it gets the files
    that it lacks."""
    if "uses" in entry:
        return dict(entry)
    stem = stem_of(entry)
    places = map_array(kb, f"{stem}.index.npy", entry["rows"])
    there = places >= 0
    extend_index(kb, stem, 0, there.astype(np.int32), places[there])
    rest = {k: v for k, v in entry.items() if k not in ("keys", "index")}
    return {**rest, "uses": int(there.sum())}


def remove_set(kb: Path, stem: str) -> None:
    """Remove the files of a set that holds nothing."""
    for suffix in _SUFFIXES:
        (kb / f"{stem}{suffix}").unlink(missing_ok=True)


def _written(path: Path, dtype: type[np.generic], tail: tuple[int, ...]) -> np.ndarray:
    """Map all entries of a file, whatever its header says of their number; none if it
    is missing or of another kind."""
    none = np.zeros((0, *tail), dtype=dtype)
    try:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            shape, _, found = np.lib.format.read_array_header_1_0(file)
            offset = file.tell()
        if found != dtype or shape[1:] != tail:
            return none
        entry_bytes = found.itemsize * int(np.prod(tail, dtype=np.int64))
        length = (path.stat().st_size - offset) // entry_bytes
        if not length:
            return none
        return np.asarray(np.memmap(path, dtype, "r", offset, (length, *tail)))
    except (OSError, ValueError, EOFError):
        return none


_KEYS_AT_A_TIME = 1 << 18


class KeysOfRows:
    """The keys of each row from some row on; a row without content has none. Takes 16
    bytes a key, and 4 a row."""

    def __init__(self, first_row: int, n_rows: int) -> None:
        """first_row (int): the first one.
        n_rows (int): rows of the KB, which are all below it.
        """
        self.first_row = first_row
        self._bytes = bytearray()
        self._counts = np.zeros(max(0, n_rows - first_row), dtype=np.int32)

    def add(self, row: int, keys: Sequence[bytes]) -> None:
        """row (int): behind all that were added before."""
        self._bytes += b"".join(keys)
        self._counts[row - self.first_row] = len(keys)

    def since(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """RETURNS (tuple[np.ndarray, np.ndarray]): the keys from a row on, row by row,
        and how many each row has. Shapes: (n, 2), uint64 and (n_rows - row,)"""
        keys = np.frombuffer(self._bytes, dtype=np.uint64).reshape(-1, 2)
        before = int(self._counts[: row - self.first_row].sum())
        return keys[before:], self._counts[row - self.first_row :]


@dataclass(frozen=True, slots=True)
class DistinctKeys:
    """Each of some keys once, in order.

    keys (np.ndarray): Shape: (n_distinct, 2), uint64
    first (np.ndarray): where each came first. Shape: (n_distinct,), int64
    inverse (np.ndarray): the distinct one that each key is. Shape: (n_keys,), int32
    """

    keys: np.ndarray
    first: np.ndarray
    inverse: np.ndarray

    @classmethod
    def of(cls, keys: np.ndarray) -> Self:
        """keys (np.ndarray): at least one. Shape: (n_keys, 2), uint64"""
        order = np.lexsort((keys[:, 1], keys[:, 0]))
        ordered = keys[order]
        is_new = np.ones(len(keys), dtype=bool)
        is_new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
        inverse = np.empty(len(keys), dtype=np.int32)
        inverse[order] = np.cumsum(is_new, dtype=np.int32) - 1
        # By columns, as `find_keys` searches through them.
        return cls(np.asfortranarray(ordered[is_new]), order[is_new], inverse)


def places_of(wanted: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Look keys up. What is known is read once, block by block.

    wanted (np.ndarray): distinct keys in order. Shape: (n_wanted, 2), uint64
    known (np.ndarray): keys in any order, mapped into memory. Shape: (n_known, 2)
    RETURNS (np.ndarray): where each stands in what is known, -1 for nowhere.
        Shape: (n_wanted,), int64
    """
    places = np.full(len(wanted), -1, dtype=np.int64)
    for start in range(0, len(known), _KEYS_AT_A_TIME):
        where = find_keys(known[start : start + _KEYS_AT_A_TIME], wanted)
        there = np.flatnonzero(where >= 0)
        places[where[there]] = start + there
    return places


def find_keys(keys: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Look some keys up.

    keys (np.ndarray): Shape: (n, 2), uint64
    among (np.ndarray): distinct keys in order. Shape: (n_keys, 2), uint64
    RETURNS (np.ndarray): where each stands, -1 for nowhere. Shape: (n,), int64
    """
    if not len(among):
        return np.full(len(keys), -1, dtype=np.int64)
    first, second = among[:, 0], among[:, 1]
    found = np.searchsorted(first, keys[:, 0])
    while True:
        place = np.minimum(found, len(among) - 1)
        same = (found < len(among)) & (first[place] == keys[:, 0])
        other = same & (second[place] != keys[:, 1])
        if not other.any():
            return np.where(same, place, -1)
        # Keys that share their first half stand beside each other.
        found = found + other
