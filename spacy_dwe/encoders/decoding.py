"""Pictures decoded in threads, ahead of who reads them."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import numpy as np
from PIL.Image import Image

from ..errors import DweError

if TYPE_CHECKING:
    import numpy as np

K = TypeVar("K")
P = TypeVar("P")

PICTURES_AT_A_TIME = 64
"""Decoded pictures held at once: half are being read, half wait."""
DECODED_BYTES = 1 << 30
"""What these may take, shared likewise, but for one that is larger alone."""
DECODERS = 8
"""Threads, at most."""
DRAFT = 2
"""A JPEG need not be decoded larger than so many times what its encoder reads. That it
is then scaled down in two steps moved no vector of photographs by more than .005
(cosine; EfficientNet-lite0, and .0023 with the sample's CLIP)."""


def shortest_side(encoder: object) -> int | None:
    """RETURNS (int | None): pixels that are enough for the shorter side of a picture,
    whose vector is all that is asked for; None = the encoder does not say."""
    size = getattr(encoder, "input_size", None)
    return None if size is None else DRAFT * max(np.atleast_1d(size).tolist())


class Stages(NamedTuple):
    """What an encoder does with decoded pictures.

    prepare (Callable): of one, in any thread.
    encode (Callable): unit vectors of those that are prepared. Shape: (n, dim)
    """

    prepare: Callable[[Image], Any]
    encode: "Callable[[Sequence[Any]], np.ndarray]"


def stages(encoder: Any) -> Stages:
    """RETURNS (Stages): of an `ImageEncoder`, by what it has beside `encode_images`."""
    if hasattr(encoder, "encode_pixels"):
        return Stages(encoder.preprocess, encoder.encode_pixels)
    return Stages(getattr(encoder, "resized", _as_it_is), encoder.encode_images)


def _as_it_is(picture: Image) -> Image:
    return picture


def decode_ahead(
    keys: Sequence[K],
    decode: Callable[[K], P | None],
    unreadable: Callable[[K, DweError], None] | None = None,
    n_bytes: Callable[[K], int] | None = None,
) -> Iterator[tuple[list[K], list[P]]]:
    """Decode pictures, some at a time, while those before are read.

    keys (Sequence[K]): the pictures.
    decode (Callable): decodes one, in a thread, and prepares it for who reads it; None
        = it cannot be.
    unreadable (Callable | None): told of an error of `decode`, in the order of the
        pictures; None = it is raised.
    n_bytes (Callable | None): what a picture takes, decoded; None = nobody knows, and
        their number alone is bounded. It is called in order, before `decode`.
    YIELDS (tuple[list[K], list[P]]): pictures in order, without those that cannot
        be decoded; never none.
    """
    at_once, room = PICTURES_AT_A_TIME // 2, DECODED_BYTES // 2
    pool = ThreadPoolExecutor(max(1, min(DECODERS, os.cpu_count() or 1, len(keys))))
    waiting = _Waiting(pool, keys, decode, n_bytes or (lambda key: 0))
    try:
        while waiting.fill(at_once, room):
            some: list[K] = []
            pictures: list[P] = []
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
                    held += _size(picture)
            if some:
                yield some, pictures
    finally:
        pool.shutdown(cancel_futures=True)


def _size(picture: Any) -> int:
    if isinstance(picture, Image):
        return 3 * picture.width * picture.height
    n_bytes: int = picture.nbytes
    return n_bytes


class _Waiting(Generic[K, P]):
    """Pictures that are being decoded, or were and wait, in order."""

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        keys: Sequence[K],
        decode: Callable[[K], P | None],
        n_bytes: Callable[[K], int],
    ) -> None:
        self._pool, self._decode = pool, decode
        self._sized = ((key, n_bytes(key)) for key in keys)
        self._following = next(self._sized, None)
        self._started: deque[tuple[K, int, Future[P | None]]] = deque()
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

    def next(self) -> tuple[K, "Future[P | None]"]:
        """RETURNS (tuple[K, Future]): the first of them, which is no longer one."""
        key, size, future = self._started.popleft()
        self._bytes -= size
        return key, future
