"""How much to encode at a time: as much as takes some seconds. Batches of a long chunk
are the more even in length; a short chunk is the sooner safe from a kill."""

import time
from collections.abc import Iterable, Iterator

from .contents import Content
from .entity import Entity

_SECONDS = 15.0
"""What a kill may lose: the time that a chunk is aimed at."""
_GROWTH = 4


def chunks(entities: Iterable[Entity], content: Content) -> Iterator[list[Entity]]:
    """Split entities by the time that the caller takes between chunks.

    entities (Iterable[Entity]): read chunk by chunk.
    content (Content): what of them is encoded.
    YIELDS (list[Entity]): the next ones, at least one.
    """
    size = content.first_chunk
    chunk: list[Entity] = []
    weight = 0
    for entity in entities:
        own = content.weight(entity)
        if chunk and weight + own > size:
            started = time.monotonic()
            yield chunk
            seconds = max(time.monotonic() - started, 1e-3)
            size = int(size * min(_GROWTH, _SECONDS / seconds))
            size = max(1, min(size, content.most))
            chunk, weight = [], 0
        chunk.append(entity)
        weight += own
    if chunk:
        yield chunk
