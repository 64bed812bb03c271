"""Keys of contents in arrays: collected by row, made distinct, looked up."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from .contents import KEY_BYTES

_BLOCK = 1 << 18


class KeysOfRows:
    """The key of each row from some row on; a row without content has none. Takes 17
    bytes a row."""

    def __init__(self, first_row: int, n_rows: int) -> None:
        """first_row (int): the first one.
        n_rows (int): rows of the KB, which are all below it.
        """
        self.first_row = first_row
        count = max(0, n_rows - first_row)
        self._bytes = bytearray(KEY_BYTES * count)
        self._present = np.zeros(count, dtype=bool)

    def set(self, row: int, key: bytes) -> None:
        place = row - self.first_row
        self._bytes[KEY_BYTES * place : KEY_BYTES * (place + 1)] = key
        self._present[place] = True

    def since(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """RETURNS (tuple[np.ndarray, np.ndarray]): keys of the rows that have one, and
        which have one, from a row on. Shapes: (n, 2), uint64 and (n_rows - row,), bool
        """
        keys = np.frombuffer(self._bytes, dtype=np.uint64).reshape(-1, 2)
        present = self._present[row - self.first_row :]
        return keys[row - self.first_row :][present], present


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
        return cls(ordered[is_new], order[is_new], inverse)


def places_of(wanted: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Look keys up. What is known is read once, block by block.

    wanted (np.ndarray): distinct keys in order. Shape: (n_wanted, 2), uint64
    known (np.ndarray): keys in any order, mapped into memory. Shape: (n_known, 2)
    RETURNS (np.ndarray): where each stands in what is known, -1 for nowhere.
        Shape: (n_wanted,), int64
    """
    places = np.full(len(wanted), -1, dtype=np.int64)
    if not len(wanted):
        return places
    first, second = np.ascontiguousarray(wanted.T)
    for start in range(0, len(known), _BLOCK):
        block = known[start : start + _BLOCK]
        found = np.searchsorted(first, block[:, 0])
        while True:
            candidate = np.minimum(found, len(wanted) - 1)
            same = (found < len(wanted)) & (first[candidate] == block[:, 0])
            other = same & (second[candidate] != block[:, 1])
            if not other.any():
                break
            # Keys that share their first half stand beside each other.
            found = found + other
        places[candidate[same]] = start + np.flatnonzero(same)
    return places
