"""A KB's folder: how its files are called, how configs refer to it, and what of it no
version needs."""

import json
import os
from pathlib import Path
from typing import Any

from ...errors import DweError, Errors

FORMAT = 4
"""Version of the layout on disk. A KB with a higher one needs a newer spacy-dwe."""
OLDEST = 2
"""The first format with this database: from there on, the rest can be made again."""

META_FILE = "meta.json"


def new_database(snapshot: str) -> str:
    """RETURNS (str): file name of a new database. No name is used twice: SQLite knows
    the journal of a change by it, and readers of an older database may be alive."""
    return f"entities.{snapshot}.sqlite"


def databases_in(kb: Path) -> list[Path]:
    """RETURNS (list[Path]): databases in a folder, with those that do not count yet or
    any more."""
    return sorted(kb.glob(new_database("*")))


def database_of(kb: Path, oldest: int = FORMAT) -> Path:
    """The database of a KB: the one that meta.json names, or else the only one.

    kb (Path): the KB's folder.
    oldest (int): the lowest format that will do.
    RETURNS (Path): the file.
    RAISES (DweError): there is none, or the KB is of another format.
    """
    number, name = _told(kb)
    if number is None:
        found = databases_in(kb)
        name = found[0].name if len(found) == 1 else None
    else:
        require_format(kb, number, oldest)
    if name is None:
        raise DweError(Errors.E104.format(path=kb, file=new_database("*")))
    return kb / name


def _told(kb: Path) -> tuple[int | None, str | None]:
    """RETURNS (tuple[int | None, str | None]): the format and the database that
    meta.json names, None where it cannot be read."""
    try:
        meta = json.loads((kb / META_FILE).read_text(encoding="utf-8"))
        return int(meta["format"]), meta.get("database")
    except (OSError, ValueError, KeyError, TypeError):
        return None, None


def is_of_earlier_format(kb: Path, committed: int) -> bool:
    """Whether a KB is to be brought up to date, or that was stopped before its end.

    committed (int): the format that its last version tells.
    """
    number, _ = _told(kb)
    return min(committed, FORMAT if number is None else number) < FORMAT


def require_format(kb: Path, found: int, oldest: int = FORMAT) -> None:
    """RAISES (DweError): the format of a KB is below `oldest`, or unknown."""
    if not oldest <= found <= FORMAT:
        old = OLDEST <= found < FORMAT
        error = Errors.E102 if old else Errors.E108
        raise DweError(error.format(path=kb, found=found, known=FORMAT))


def write_meta(kb: Path, meta: dict[str, Any], database: str) -> None:
    """Write meta.json. It names the database; the rest is for people to read, and what
    counts of it is the copy in the database.

    kb (Path): the KB's folder.
    meta (dict[str, Any]): of the last version.
    database (str): file name.
    """
    draft = kb / f".{META_FILE}"
    text = json.dumps({**meta, "database": database}, indent=2, ensure_ascii=False)
    draft.write_text(text + "\n", encoding="utf-8")
    draft.replace(kb / META_FILE)


def remove_databases(kb: Path, kept: Path) -> None:
    """Remove the databases of earlier builds, with journals of interrupted changes."""
    for file in kb.glob(f"{new_database('*')}*"):
        if not file.name.startswith(kept.name):
            file.unlink(missing_ok=True)


KB_VARIABLE = "DWE_KB"
"""Environment variable whose path replaces the one in a config or saved pipeline."""


def kb_path(path: str) -> str:
    """RETURNS (str): the path to open: that of the variable DWE_KB where it is set."""
    return os.environ.get(KB_VARIABLE) or path


def reference_to(kb: Path, base: Path) -> str:
    """RETURNS (str): path of a KB, relative to `base` if it lies inside."""
    kb, base = kb.resolve(), base.resolve()
    return kb.relative_to(base).as_posix() if kb.is_relative_to(base) else str(kb)
