"""What is kept in memory up to a size, and still helps whoever reads in cycles."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

WINDOW_SHARE = 1 / 16
"""Room for the newest, whatever else is kept: who asks twice in a row finds it."""
STALE_LOOKUPS = 8
"""What was not found by this many lookups an entry makes way for what is new."""


@dataclass(slots=True)
class _Entry(Generic[V]):
    value: V
    size: int
    used: int


class Bounded(Generic[K, V]):
    """A mapping with room for so many bytes.

    Epochs read the same things in the same order. If those are more than there is room
    for, the least recently used is always what is read next, and a store that drops it
    never has anything. Here what is kept stays while it is read now and then, and what
    is new is let in where there is room or something is stale: a share of what is read
    is always found. Not safe to use from several threads.

    max_bytes (int): the room.
    size (Callable): bytes of a key and its value.
    """

    def __init__(self, max_bytes: int, size: Callable[[K, V], int]) -> None:
        self.max_bytes = max_bytes
        self.n_bytes = 0
        self._size = size
        self._lookups = 0
        self._window_bytes = 0
        self._window: OrderedDict[K, _Entry[V]] = OrderedDict()
        self._kept: OrderedDict[K, _Entry[V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._window) + len(self._kept)

    def clear(self) -> None:
        """Forget everything."""
        self._window.clear()
        self._kept.clear()
        self.n_bytes = self._window_bytes = 0

    def get(self, key: K) -> V | None:
        """RETURNS (V | None): what was put, or None if it is not (any more)."""
        self._lookups += 1
        for entries in (self._kept, self._window):
            entry = entries.get(key)
            if entry is not None:
                entry.used = self._lookups
                entries.move_to_end(key)
                return entry.value
        return None

    def put(self, key: K, value: V) -> None:
        """Keep a value, if there is room for it."""
        self._remove(key)
        entry = _Entry(value, self._size(key, value), self._lookups)
        self._window[key] = entry
        self._window_bytes += entry.size
        self.n_bytes += entry.size
        while self.n_bytes > self.max_bytes:
            self._drop()
        while self._window_bytes > WINDOW_SHARE * self.max_bytes:
            oldest, entry = self._window.popitem(last=False)
            self._window_bytes -= entry.size
            self._kept[oldest] = entry

    def _drop(self) -> None:
        """What is stale goes, or else the oldest of the new."""
        if self._kept:
            key, entry = next(iter(self._kept.items()))
            is_stale = self._lookups - entry.used > STALE_LOOKUPS * len(self)
            if is_stale or not self._window:
                self._remove(key)
                return
        self._remove(next(iter(self._window)))

    def _remove(self, key: K) -> None:
        if key in self._window:
            size = self._window.pop(key).size
            self._window_bytes -= size
        elif key in self._kept:
            size = self._kept.pop(key).size
        else:
            return
        self.n_bytes -= size
