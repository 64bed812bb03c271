"""entities.jsonl: one entity a line, plain or gzipped."""

import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import DweError, Errors
from ..files import open_bytes, read_json_lines, write_jsonl
from .entity import Entity


def read_entities(path: str | Path) -> Iterator[Entity]:
    """Read entities one by one; the file is never held in memory.

    path (str | Path): entities.jsonl or entities.jsonl.gz.
    YIELDS (Entity): the entities in order; ids are distinct.
    RAISES (DweError): a line is malformed or repeats an id; the message names it.
    """
    lines_of: dict[str, int] = {}
    for number, value in read_json_lines(path):
        entity = Entity.from_json(value, source=f"{path}, line {number}")
        first = lines_of.setdefault(entity.id, number)
        if first != number:
            raise DweError(
                Errors.E101.format(path=path, line=number, id=entity.id, first=first)
            )
        yield entity
    if not lines_of:
        raise DweError(Errors.E004.format(path=path, what="entities"))


def count_lines(path: str | Path) -> int:
    """RETURNS (int): lines of a file, gzipped or not; 0 if it is not readable. Good
    enough for a progress bar."""
    try:
        with open_bytes(Path(path)) as file:
            return sum(1 for _ in file)
    except (OSError, EOFError, zlib.error):
        return 0


def write_entities(path: str | Path, entities: Iterable[Entity]) -> None:
    """Write entities.jsonl, gzipped if the name ends in .gz."""
    write_jsonl(path, (entity.to_json() for entity in entities))
