"""entities.jsonl: one entity a line, plain or gzipped."""

import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from ..errors import DweError, Errors
from .entity import Entity

_UTF8_BOM = b"\xef\xbb\xbf"


def read_entities(path: str | Path) -> Iterator[Entity]:
    """Read entities one by one; the file is never held in memory.

    path (str | Path): entities.jsonl or entities.jsonl.gz.
    YIELDS (Entity): the entities in order; ids are distinct.
    RAISES (DweError): a line is malformed or repeats an id; the message names it.
    """
    path = Path(path)
    if not path.is_file():
        raise DweError(Errors.E001.format(path=path))
    lines_of: dict[str, int] = {}
    with _open(path, "rb") as file:
        try:
            for number, line in enumerate(file, start=1):
                if not line.removeprefix(_UTF8_BOM).strip():
                    continue
                entity = _parse(path, number, line)
                first = lines_of.setdefault(entity.id, number)
                if first != number:
                    raise DweError(
                        Errors.E101.format(
                            path=path, line=number, id=entity.id, first=first
                        )
                    )
                yield entity
        except (gzip.BadGzipFile, EOFError) as error:
            raise DweError(Errors.E102.format(path=path, reason=error)) from None
    if not lines_of:
        raise DweError(Errors.E004.format(path=path, what="entities"))


def count_lines(path: str | Path) -> int:
    """RETURNS (int): lines of a file, gzipped or not; 0 if it is not readable. Good
    enough for a progress bar."""
    try:
        with _open(Path(path), "rb") as file:
            return sum(1 for _ in file)
    except (OSError, EOFError):
        return 0


def write_entities(path: str | Path, entities: Iterable[Entity]) -> None:
    """Write entities.jsonl, gzipped if the name ends in .gz."""
    with _open(Path(path), "wb") as file:
        for entity in entities:
            text = json.dumps(entity.to_json(), ensure_ascii=False)
            file.write(text.encode("utf-8") + b"\n")


def _parse(path: Path, number: int, line: bytes) -> Entity:
    try:
        data = json.loads(line.removeprefix(_UTF8_BOM).decode("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise DweError(
            Errors.E002.format(path=path, line=number, reason=error)
        ) from None
    return Entity.from_json(data, source=f"{path}, line {number}")


def _open(path: Path, mode: str) -> IO[bytes]:
    if path.suffix == ".gz":
        return gzip.open(path, mode)  # type: ignore[return-value]
    return path.open(mode)
