"""Arrays of a KB: mapped into memory to be read, appended to where they lie to grow."""

import os
from collections.abc import Mapping
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any, Self

import numpy as np

from ..errors import DweError, Errors

UNREADABLE = (OSError, EOFError, ValueError, SyntaxError, TokenError)
"""What NumPy raises for a damaged file, the last two for a damaged header."""


def map_array(kb: Path, file: str, length: int | None = None) -> np.ndarray:
    """Map a .npy file.

    kb (Path): the KB's folder.
    file (str): the file's path below it.
    length (int | None): entries that belong to the version that is read; the file may
        have grown since.
    RETURNS (np.ndarray): the array, read-only.
    RAISES (DweError): the file is missing or damaged, or shorter than that.
    """
    try:
        array = np.load(kb / file, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DweError(Errors.E104.format(path=kb, file=file)) from None
    except UNREADABLE as error:
        raise DweError(Errors.E105.format(path=kb, file=file, reason=error)) from None
    # A plain view: fancy indexing of np.memmap is several times slower.
    array = np.asarray(array)
    if length is None:
        return array
    if len(array) < length:
        reason = f"{len(array):,} entries where {length:,} belong"
        raise DweError(Errors.E105.format(path=kb, file=file, reason=reason))
    return array[:length]


def stem_of(entry: Mapping[str, Any]) -> str:
    """RETURNS (str): what the names of a vector set's files begin with, below the KB's
    folder; `entry` is the set's in the KB's meta."""
    return str(entry["array"]).removesuffix(".npy")


class ArrayWriter:
    """Appends to a .npy file. Readers that mapped the file before see no change; what a
    killed writer left behind the committed length is cut off.
    """

    def __init__(
        self,
        path: Path,
        dtype: type[np.generic] | np.dtype,
        tail: tuple[int, ...] = (),
        *,
        length: int = 0,
    ) -> None:
        """path (Path): the file; created where `length` is 0.
        dtype (type[np.generic] | np.dtype): of the array.
        tail (tuple[int, ...]): shape of one entry.
        length (int): committed entries, which are kept.
        """
        self.dtype, self.tail, self.length = np.dtype(dtype), tail, length
        self._file: IO[bytes] = path.open("r+b" if length else "w+b")
        if not length:
            self._write_header()
        self._file.seek(0)
        np.lib.format.read_magic(self._file)
        np.lib.format.read_array_header_1_0(self._file)
        self._start = self._file.tell()
        # Before the cut, or the header would promise a reader more than there is.
        self._write_header()
        self._file.flush()
        self._file.seek(self._start + length * self.entry_bytes)
        self._file.truncate()

    @property
    def entry_bytes(self) -> int:
        """RETURNS (int): bytes of one entry."""
        return self.dtype.itemsize * int(np.prod(self.tail, dtype=np.int64))

    def __len__(self) -> int:
        return self.length

    def append(self, values: np.ndarray) -> None:
        """values (np.ndarray): Shape: (n, *tail)"""
        values = np.ascontiguousarray(values, dtype=self.dtype)
        assert values.shape[1:] == self.tail
        self._file.write(values.tobytes())
        self.length += len(values)

    def flush(self) -> None:
        """Hand all entries to the operating system: a kill does not lose them."""
        self._file.flush()
        self._write_header()
        self._file.flush()
        self._file.seek(0, os.SEEK_END)

    def close(self) -> None:
        """Complete the file; a power cut does not lose it either."""
        self.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def abandon(self) -> None:
        """Close the file as it is."""
        self._file.close()

    def _write_header(self) -> None:
        # NumPy pads the header so that the first axis can grow in place.
        self._file.seek(0)
        header = {
            "descr": np.lib.format.dtype_to_descr(self.dtype),
            "fortran_order": False,
            "shape": (self.length, *self.tail),
        }
        np.lib.format.write_array_header_1_0(self._file, header)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()
