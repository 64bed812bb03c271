"""Entities and versions of a KB in SQLite: the source of truth and the commit point.

A row is written once and never changed: a changed entity is a tombstone and a new
row. The last row of `versions` names the index generation and the vector files that
belong to it, so everything becomes visible, or nothing does, when SQLite commits.
"""

import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..errors import DweError, Errors
from .entity import Alias, Entity

FILE_NAME = "entities.sqlite"
_CHUNK = 500
_MMAP_BYTES = 1 << 40
"""SQLite lowers it to its own limit; reading pages in place saves a third."""

_SCHEMA = """
CREATE TABLE entities (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    prior REAL,
    images TEXT,
    url TEXT,
    extra TEXT,
    added INTEGER NOT NULL,
    removed INTEGER
);
CREATE INDEX entities_by_id ON entities (id);
CREATE INDEX tombstones ON entities (row) WHERE removed IS NOT NULL;
CREATE TABLE aliases (
    row INTEGER NOT NULL,
    position INTEGER NOT NULL,
    alias TEXT NOT NULL,
    prior REAL,
    PRIMARY KEY (row, position)
) WITHOUT ROWID;
CREATE TABLE versions (
    version INTEGER PRIMARY KEY,
    generation TEXT NOT NULL,
    meta TEXT NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class Version:
    """A committed state of a KB.

    number (int): counts up from 1.
    generation (str): folder below names/ that belongs to it.
    meta (dict[str, Any]): counts and the description of the vector sets.
    """

    number: int
    generation: str
    meta: dict[str, Any]


class EntityStore:
    """Reads one version of the entities. Safe to use from several threads and after
    a fork: each gets a connection of its own."""

    def __init__(self, path: Path) -> None:
        """path (Path): the KB's folder."""
        self.path = path / FILE_NAME
        if not self.path.is_file():
            raise DweError(Errors.E104.format(path=path, file=FILE_NAME))
        self._local = threading.local()
        self._version: Version | None = None
        try:
            self._version = self._last_version()
            self.removed = self._tombstones()
        except sqlite3.DatabaseError as error:
            raise DweError(
                Errors.E105.format(path=path, file=FILE_NAME, reason=error)
            ) from None

    @property
    def version(self) -> Version:
        assert self._version is not None
        return self._version

    def entities(self, rows: Sequence[int]) -> list[Entity]:
        """RETURNS (list[Entity]): the entities of the given rows."""
        aliases: dict[int, list[Alias]] = {}
        found = self._select("row, position, alias, prior", "aliases", "row", rows)
        for row, _, alias, prior in sorted(found, key=lambda line: line[:2]):
            aliases.setdefault(row, []).append(Alias(alias, prior))
        columns = "row, id, title, description, prior, images, url, extra"
        by_row = {
            line[0]: _entity(line, tuple(aliases.get(line[0], ())))
            for line in self._select(columns, "entities", "row", rows)
        }
        return [by_row[row] for row in rows]

    def titles(self, rows: Sequence[int]) -> list[tuple[str, str, str]]:
        """RETURNS (list[tuple[str, str, str]]): id, title and description a row."""
        found = self._select("row, id, title, description", "entities", "row", rows)
        by_row = {line[0]: line[1:] for line in found}
        return [by_row[row] for row in rows]

    def ids(self, rows: Sequence[int]) -> list[str]:
        """RETURNS (list[str]): the id of each row."""
        by_row = dict(self._select("row, id", "entities", "row", rows))
        return [by_row[row] for row in rows]

    def rows_of(self, ids: Sequence[str]) -> np.ndarray:
        """RETURNS (np.ndarray): the live row of each id, -1 where there is none.
        Shape: (len(ids),), int32"""
        found = self._select("id, row, added, removed", "entities", "id", ids)
        by_id = {line[0]: line[1] for line in found if self._lives(*line[2:])}
        return np.array([by_id.get(name, -1) for name in ids], dtype=np.int32)

    def __iter__(self) -> Iterator[tuple[int, Entity]]:
        """YIELDS (tuple[int, Entity]): row and entity, of the live ones, in order."""
        number = self.version.number
        live = "added <= ? AND (removed IS NULL OR removed > ?)"
        last = -1
        while True:
            lines = self._connection().execute(
                f"SELECT row FROM entities WHERE row > ? AND {live} "
                f"ORDER BY row LIMIT {_CHUNK}",
                (last, number, number),
            )
            rows = [row for (row,) in lines]
            if not rows:
                return
            yield from zip(rows, self.entities(rows))
            last = rows[-1]

    def live_ids(self) -> Iterator[str]:
        """YIELDS (str): the ids of all live entities."""
        number = self.version.number
        lines = self._connection().execute(
            "SELECT id FROM entities "
            "WHERE added <= ? AND (removed IS NULL OR removed > ?) ORDER BY row",
            (number, number),
        )
        for (name,) in lines:
            yield name

    def close(self) -> None:
        """Close this thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None and self._local.process == os.getpid():
            connection.close()
        self._local.connection = None

    def _lives(self, added: int, removed: int | None) -> bool:
        number = self.version.number
        return added <= number and (removed is None or removed > number)

    def _select(
        self, columns: str, table: str, key: str, values: Sequence[Any]
    ) -> list[tuple[Any, ...]]:
        connection = self._connection()
        found: list[tuple[Any, ...]] = []
        for start in range(0, len(values), _CHUNK):
            chunk = values[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            found += connection.execute(
                f"SELECT {columns} FROM {table} WHERE {key} IN ({marks})", chunk
            ).fetchall()
        return found

    def _connection(self) -> sqlite3.Connection:
        local = self._local
        process = os.getpid()
        if getattr(local, "connection", None) is None or local.process != process:
            local.connection = _connect(self.path)
            local.process = process
            if self._version is not None:
                self._check_unchanged()
        connection: sqlite3.Connection = local.connection
        return connection

    def _check_unchanged(self) -> None:
        line = self._local.connection.execute(
            "SELECT generation FROM versions WHERE version = ?", (self.version.number,)
        ).fetchone()
        if line != (self.version.generation,):
            self.close()
            raise DweError(Errors.E106.format(path=self.path.parent))

    def _last_version(self) -> Version:
        line = (
            self._connection()
            .execute(
                "SELECT version, generation, meta FROM versions "
                "ORDER BY version DESC LIMIT 1"
            )
            .fetchone()
        )
        if line is None:
            raise DweError(
                Errors.E105.format(
                    path=self.path.parent, file=FILE_NAME, reason="no version in it"
                )
            )
        return Version(line[0], line[1], json.loads(line[2]))

    def _tombstones(self) -> np.ndarray:
        lines = self._connection().execute(
            "SELECT row FROM entities WHERE removed IS NOT NULL AND removed <= ? "
            "ORDER BY row",
            (self.version.number,),
        )
        return np.array([row for (row,) in lines], dtype=np.int32)


class StoreWriter:
    """Writes a new store, locked until `commit`; nothing can be read from it before."""

    def __init__(self, path: Path) -> None:
        """path (Path): the KB's folder, which holds no store yet."""
        self._connection = sqlite3.connect(path / FILE_NAME, isolation_level=None)
        self._connection.executescript(f"PRAGMA journal_mode = DELETE;{_SCHEMA}")
        self._connection.execute("BEGIN EXCLUSIVE")
        self._rows = 0

    def add(self, entities: Iterable[Entity], version: int) -> None:
        """Append entities, a row each."""
        lines = []
        aliases = []
        for row, entity in enumerate(entities, start=self._rows):
            lines.append((row, *_columns(entity), version))
            aliases += [
                (row, position, alias.alias, alias.prior)
                for position, alias in enumerate(entity.aliases)
            ]
        self._rows += len(lines)
        self._connection.executemany(
            "INSERT INTO entities VALUES (?,?,?,?,?,?,?,?,?,NULL)", lines
        )
        self._connection.executemany("INSERT INTO aliases VALUES (?,?,?,?)", aliases)

    def commit(self, version: Version) -> None:
        """Make a version, and with it all that was added, readable."""
        meta = json.dumps(version.meta, ensure_ascii=False)
        self._connection.execute(
            "INSERT INTO versions VALUES (?,?,?)",
            (version.number, version.generation, meta),
        )
        self._connection.execute("COMMIT")

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def is_locked(path: Path) -> bool:
    """RETURNS (bool): whether a process is writing the store of a KB's folder."""
    connection = sqlite3.connect(path / FILE_NAME, timeout=0, isolation_level=None)
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.DatabaseError:
        return True
    finally:
        connection.close()
    return False


class _Connection(sqlite3.Connection):
    """Closes itself with its thread; from Python 3.13 on, leaving that to the garbage
    collector is a warning."""

    def __del__(self) -> None:
        self.close()


def _connect(path: Path) -> sqlite3.Connection:
    # On read-only media SQLite cannot create the lock files it wants beside the
    # database; elsewhere they are what keeps readers and a writer apart.
    writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    mode = "mode=ro" if writable else "mode=ro&immutable=1"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}",
        uri=True,
        check_same_thread=False,
        factory=_Connection,
    )
    connection.execute(f"PRAGMA mmap_size = {_MMAP_BYTES}")
    return connection


def _columns(entity: Entity) -> tuple[Any, ...]:
    return (
        entity.id,
        entity.title,
        entity.description,
        entity.prior,
        json.dumps(entity.images, ensure_ascii=False) if entity.images else None,
        entity.url,
        json.dumps(dict(entity.extra), ensure_ascii=False) if entity.extra else None,
    )


def _entity(line: tuple[Any, ...], aliases: tuple[Alias, ...]) -> Entity:
    _, name, title, description, prior, images, url, extra = line
    return Entity(
        id=name,
        title=title,
        description=description,
        aliases=aliases,
        prior=prior,
        images=tuple(json.loads(images)) if images else (),
        url=url,
        extra=json.loads(extra) if extra else {},
    )
