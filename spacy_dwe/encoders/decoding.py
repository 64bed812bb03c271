"""Pictures decoded in threads, ahead of who reads them."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from PIL.Image import Image

from ..errors import DweError

K = TypeVar("K")

PICTURES_AT_A_TIME = 64
"""Decoded pictures held at once: half are being read, half wait."""
DECODED_BYTES = 1 << 30
"""What these may take, shared likewise, but for one that is larger alone."""
DECODERS = 8
"""Threads, at most."""


def decode_ahead(
    keys: Sequence[K],
    decode: Callable[[K], Image | None],
    unreadable: Callable[[K, DweError], None] | None = None,
    n_bytes: Callable[[K], int] | None = None,
) -> Iterator[tuple[list[K], list[Image]]]:
    """Decode pictures, some at a time, while those before are read.

    keys (Sequence[K]): the pictures.
    decode (Callable): decodes one, in a thread; None = it cannot be.
    unreadable (Callable | None): told of an error of `decode`, in the order of the
        pictures; None = it is raised.
    n_bytes (Callable | None): what a picture takes, decoded; None = nobody knows, and
        their number alone is bounded.
    YIELDS (tuple[list[K], list[Image]]): pictures in order, without those that cannot
        be decoded; never none.
    """
    at_once, room = PICTURES_AT_A_TIME // 2, DECODED_BYTES // 2
    pool = ThreadPoolExecutor(max(1, min(DECODERS, os.cpu_count() or 1, len(keys))))
    waiting = _Waiting(pool, keys, decode, n_bytes or (lambda key: 0))
    try:
        while waiting.fill(at_once, room):
            some: list[K] = []
            pictures: list[Image] = []
            held = 0
            while len(some) < at_once and held < room and waiting.fill(at_once, room):
                key, future = waiting.next()
                try:
                    picture = future.result()
                except DweError as error:
                    if unreadable is None:
                        raise
                    unreadable(key, error)
                    continue
                if picture is not None:
                    some.append(key)
                    pictures.append(picture)
                    held += 3 * picture.width * picture.height
            if some:
                yield some, pictures
    finally:
        pool.shutdown(cancel_futures=True)


class _Waiting(Generic[K]):
    """Pictures that are being decoded, or were and wait, in order."""

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        keys: Sequence[K],
        decode: Callable[[K], Image | None],
        n_bytes: Callable[[K], int],
    ) -> None:
        self._pool, self._decode = pool, decode
        self._sized = ((key, n_bytes(key)) for key in keys)
        self._following = next(self._sized, None)
        self._started: deque[tuple[K, int, Future[Image | None]]] = deque()
        self._bytes = 0

    def fill(self, most: int, room: int) -> bool:
        """Begin to decode those that there is room for.

        RETURNS (bool): whether any is left."""
        while self._following is not None and len(self._started) < most:
            key, size = self._following
            if self._started and self._bytes + size > room:
                break
            self._started.append((key, size, self._pool.submit(self._decode, key)))
            self._bytes += size
            self._following = next(self._sized, None)
        return bool(self._started)

    def next(self) -> tuple[K, "Future[Image | None]"]:
        """RETURNS (tuple[K, Future]): the first of them, which is no longer one."""
        key, size, future = self._started.popleft()
        self._bytes -= size
        return key, future
