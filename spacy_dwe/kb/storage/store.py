"""Entities and versions of a KB in SQLite: the source of truth and the commit point.

A row is written once; a changed entity is a tombstone and a new row. The last row of
`versions` names the index snapshot and the vector files that belong to it, so
everything becomes visible, or nothing does, when SQLite commits.
"""

import json
import os
import sqlite3
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np

from ...errors import DweError, Errors
from ..entity import Alias, Entity
from .folder import FORMAT, database_of, require_format

_CHUNK = 500
_MMAP_BYTES = 1 << 40
"""SQLite lowers it to its own limit; reading pages in place saves a third."""
_PATIENCE = 60.0
"""Seconds to wait while another process commits."""

_PLAIN = frozenset({"id", "title", "description", "prior", "url"})
"""Keys of an entity whose value is a column as it stands."""

_TABLES = f"""
PRAGMA user_version = {FORMAT};
CREATE TABLE entities (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    prior REAL,
    images TEXT,
    url TEXT,
    extra TEXT,
    checksum INTEGER NOT NULL,
    added INTEGER NOT NULL,
    removed INTEGER
);
CREATE TABLE aliases (
    row INTEGER NOT NULL,
    position INTEGER NOT NULL,
    alias TEXT NOT NULL,
    prior REAL,
    extra TEXT,
    PRIMARY KEY (row, position)
) WITHOUT ROWID;
CREATE TABLE versions (
    version INTEGER PRIMARY KEY,
    generation TEXT NOT NULL,
    meta TEXT NOT NULL
);
CREATE TABLE files (
    path TEXT PRIMARY KEY,
    bytes INTEGER NOT NULL,
    checksum INTEGER NOT NULL
) WITHOUT ROWID;
"""
_INDEXES = (
    "CREATE INDEX entities_by_id ON entities (id)",
    "CREATE INDEX tombstones ON entities (row) WHERE removed IS NOT NULL",
)


@dataclass(frozen=True, slots=True)
class Version:
    """A committed state of a KB.

    number (int): counts up from 1.
    snapshot (str): folder below names/ that belongs to it.
    meta (dict[str, Any]): counts and the description of the vector sets.
    """

    number: int
    snapshot: str
    meta: dict[str, Any]


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What a version knows of one of its files.

    path (str): below the KB's folder.
    n_bytes (int): those that belong to the version; a growing array's header is none
        of them.
    checksum (int): CRC-32 of these bytes.
    """

    path: str
    n_bytes: int
    checksum: int


class _Tables:
    """What can be read of the tables through a connection."""

    def entities(self, rows: Sequence[int]) -> list[Entity]:
        """RETURNS (list[Entity]): the entities of the given rows."""
        aliases: dict[int, list[Alias]] = {}
        columns = "row, position, alias, prior, extra"
        found = self._select(columns, "aliases", "row", rows)
        for row, _, alias, prior, extra in sorted(found, key=lambda line: line[:2]):
            own = aliases.setdefault(row, [])
            own.append(Alias(alias, prior, json.loads(extra) if extra else {}))
        columns = "row, id, title, description, prior, images, url, extra"
        by_row = {
            line[0]: _entity(line, tuple(aliases.get(line[0], ())))
            for line in self._select(columns, "entities", "row", rows)
        }
        return [by_row[row] for row in rows]

    def values(self, key: str, rows: Sequence[int]) -> list[Any]:
        """RETURNS (list[Any]): what entities.jsonl says of each row under a key, None
        where it says nothing."""
        column = key if key in _PLAIN else "extra"
        found = dict(self._select(f"row, {column}", "entities", "row", rows))
        if column != "extra":
            return [found.get(row) for row in rows]
        texts = (found.get(row) for row in rows)
        return [json.loads(text).get(key) if text else None for text in texts]

    def checksums(self, rows: Sequence[int]) -> list[int]:
        """RETURNS (list[int]): what `entity_checksum` gave when each row was added."""
        by_row = dict(self._select("row, checksum", "entities", "row", rows))
        return [by_row[row] for row in rows]

    def live_rows(self, number: int, first: int = 0) -> Iterator[list[int]]:
        """YIELDS (list[int]): the rows of a version from `first` on, some at a time."""
        live = "added <= ? AND (removed IS NULL OR removed > ?)"
        last = first - 1
        while True:
            lines = self._execute(
                f"SELECT row FROM entities WHERE row > ? AND {live} "
                f"ORDER BY row LIMIT {_CHUNK}",
                (last, number, number),
            )
            if not lines:
                return
            yield [row for (row,) in lines]
            last = lines[-1][0]

    def last_version(self) -> Version:
        """RETURNS (Version): the last one that was committed."""
        lines = self._execute(
            "SELECT version, generation, meta FROM versions "
            "ORDER BY version DESC LIMIT 1"
        )
        if not lines:
            raise sqlite3.DatabaseError("no version in it")
        return Version(lines[0][0], lines[0][1], json.loads(lines[0][2]))

    def files(self) -> list[FileRecord]:
        """RETURNS (list[FileRecord]): the files of the last version."""
        lines = self._execute("SELECT path, bytes, checksum FROM files")
        return [FileRecord(*line) for line in lines]

    def _tombstones(self, number: int) -> np.ndarray:
        lines = self._execute(
            "SELECT row FROM entities WHERE removed IS NOT NULL AND removed <= ? "
            "ORDER BY row",
            (number,),
        )
        return np.array([row for (row,) in lines], dtype=np.int32)

    def _select(
        self, columns: str, table: str, key: str, values: Sequence[Any]
    ) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        for start in range(0, len(values), _CHUNK):
            chunk = values[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            found += self._execute(
                f"SELECT {columns} FROM {table} WHERE {key} IN ({marks})", chunk
            )
        return found

    def _execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        raise NotImplementedError


class EntityStore(_Tables):
    """Reads one version of the entities. Safe to use from several threads and after
    a fork: each gets a connection of its own."""

    def __init__(self, path: Path, oldest: int = FORMAT) -> None:
        """path (Path): the KB's folder.
        oldest (int): the lowest format that will do.
        RAISES (DweError): the store is missing or damaged, or of another format.
        """
        self.path = database_of(path, oldest)
        while not self.path.is_file():
            # A build may have replaced it in this moment.
            missing, self.path = self.path, database_of(path, oldest)
            if missing == self.path:
                raise DweError(Errors.E104.format(path=path, file=missing.name))
        self._local = threading.local()
        self._version: Version | None = None
        try:
            self._check_file(oldest)
            self._version = self.last_version()
            self.removed = self._tombstones(self._version.number)
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from None

    @property
    def version(self) -> Version:
        assert self._version is not None
        return self._version

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
        for rows in self.live_rows(self.version.number):
            yield from zip(rows, self.entities(rows))

    def live_ids(self) -> Iterator[str]:
        """YIELDS (str): the ids of all live entities."""
        for rows in self.live_rows(self.version.number):
            yield from self.ids(rows)

    def integrity_problems(self) -> list[str]:
        """RETURNS (list[str]): what SQLite finds wrong with its file."""
        lines = [line for (line,) in self._execute("PRAGMA integrity_check")]
        return [line for line in lines if line != "ok"]

    def close(self) -> None:
        """Close this thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None and self._local.process == os.getpid():
            connection.close()
        self._local.connection = None

    def _lives(self, added: int, removed: int | None) -> bool:
        number = self.version.number
        return added <= number and (removed is None or removed > number)

    def _execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._connection().execute(sql, values).fetchall()
        except sqlite3.DatabaseError as error:
            if self._version is None:
                raise
            raise self._damaged(error) from None

    def _connection(self) -> sqlite3.Connection:
        local = self._local
        process = os.getpid()
        if getattr(local, "connection", None) is None or local.process != process:
            if self._version is not None and not self.path.exists():
                raise DweError(Errors.E106.format(path=self.path.parent))
            local.connection = _connect(self.path)
            local.process = process
            if self._version is not None:
                self._check_unchanged(local.connection)
        connection: sqlite3.Connection = local.connection
        return connection

    def _check_unchanged(self, connection: sqlite3.Connection) -> None:
        line = connection.execute(
            "SELECT generation FROM versions WHERE version = ?", (self.version.number,)
        ).fetchone()
        if line != (self.version.snapshot,):
            self.close()
            raise DweError(Errors.E106.format(path=self.path.parent))

    def _check_file(self, oldest: int) -> None:
        ((pages,),) = self._execute("PRAGMA page_count")
        ((page_bytes,),) = self._execute("PRAGMA page_size")
        found = self.path.stat().st_size
        if not pages or found < pages * page_bytes:
            raise sqlite3.DatabaseError(
                f"{found:,} bytes where {pages * page_bytes:,} belong"
            )
        ((number,),) = self._execute("PRAGMA user_version")
        require_format(self.path.parent, number, oldest)

    def _damaged(self, error: sqlite3.Error) -> DweError:
        kb, file = self.path.parent, self.path.name
        if isinstance(error, sqlite3.OperationalError):
            return DweError(Errors.E117.format(path=kb, reason=error))
        return DweError(Errors.E105.format(path=kb, file=file, reason=error))


class StoreWriter(_Tables):
    """Changes a store. Nothing is seen of it before `commit`; nothing remains of it
    without."""

    def __init__(self, database: Path, *, create: bool = False) -> None:
        """database (Path): the file.
        create (bool): make a new store, locked until it is committed.
        """
        self._connection = _connect(database, "rwc" if create else "rw")
        # Pages that do not fit into the cache would be written early, and lock out
        # readers for as long as the change takes.
        if create:
            self._connection.executescript(f"PRAGMA journal_mode = DELETE;{_TABLES}")
            self._connection.execute("BEGIN EXCLUSIVE")
        else:
            self._connection.execute("PRAGMA cache_spill = OFF")
            self._connection.execute("BEGIN IMMEDIATE")
        self.n_rows = self._next_row()

    def add(self, entities: Iterable[Entity], version: int) -> None:
        """Append entities, a row each."""
        lines = []
        aliases = []
        for row, entity in enumerate(entities, start=self.n_rows):
            if not (entity.id.strip() and entity.title.strip()):
                name = f"entity {entity.id!r}"
                problem = "its id or title is empty"
                raise DweError(Errors.E100.format(source=name, problem=problem))
            lines.append((row, *_columns(entity), entity_checksum(entity), version))
            aliases += [
                (row, position, alias.alias, alias.prior, _json(alias.extra))
                for position, alias in enumerate(entity.aliases)
            ]
        self.n_rows += len(lines)
        self._connection.executemany(
            "INSERT INTO entities VALUES (?,?,?,?,?,?,?,?,?,?,NULL)", lines
        )
        self._connection.executemany("INSERT INTO aliases VALUES (?,?,?,?,?)", aliases)

    def remove(self, rows: Iterable[int], version: int) -> None:
        """Make rows tombstones."""
        self._connection.executemany(
            "UPDATE entities SET removed = ? WHERE row = ?",
            [(version, row) for row in rows],
        )

    def index(self) -> None:
        """Make what looks entities up by id. A new store is filled quicker without.
        RAISES (DweError): an id occurs twice.
        """
        for statement in _INDEXES:
            self._connection.execute(statement)
        twice = self._execute(
            "SELECT id FROM entities WHERE removed IS NULL "
            "GROUP BY id HAVING count(*) > 1 LIMIT 1"
        )
        if twice:
            raise DweError(Errors.E112.format(id=twice[0][0]))

    def live(self, ids: Sequence[str]) -> dict[str, int]:
        """RETURNS (dict[str, int]): row by id, of those that there are."""
        found = self._select("id, row, removed", "entities", "id", ids)
        return {name: row for name, row, removed in found if removed is None}

    def removed(self, version: int) -> np.ndarray:
        """RETURNS (np.ndarray): tombstones of a version, ascending.
        Shape: (n,), int32"""
        return self._tombstones(version)

    def rows_by_id(self) -> np.ndarray:
        """RETURNS (np.ndarray): all rows in the order of their ids.
        Shape: (n_rows,), int32"""
        lines = self._connection.execute("SELECT row FROM entities ORDER BY id, row")
        return np.fromiter((row for (row,) in lines), np.int32, count=self.n_rows)

    def commit(self, version: Version, files: Iterable[FileRecord]) -> None:
        """Make a version, and with it all that was changed, readable."""
        meta = json.dumps(version.meta, ensure_ascii=False)
        connection = self._connection
        # Only the last version is opened; the others are kept to be recognised.
        connection.execute("UPDATE versions SET meta = ''")
        connection.execute(
            "INSERT INTO versions VALUES (?,?,?)",
            (version.number, version.snapshot, meta),
        )
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute("DELETE FROM files")
        connection.executemany(
            "INSERT INTO files VALUES (?,?,?)",
            [(file.path, file.n_bytes, file.checksum) for file in files],
        )
        connection.execute("COMMIT")

    def close(self) -> None:
        self._connection.close()

    def _next_row(self) -> int:
        ((last,),) = self._execute("SELECT max(row) FROM entities")
        return 0 if last is None else last + 1

    def _execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, values).fetchall()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def entity_checksum(entity: Entity) -> int:
    """RETURNS (int): CRC-32 of all that an entity holds."""
    return zlib.crc32(json.dumps(entity.to_json(), ensure_ascii=False).encode())


class _Connection(sqlite3.Connection):
    """Closes itself with its thread; from Python 3.13 on, leaving that to the garbage
    collector is a warning."""

    def __del__(self) -> None:
        self.close()


def _connect(path: Path, mode: str | None = None) -> sqlite3.Connection:
    # Who may write may also undo what a killed writer left half done.
    readable = "rw" if os.access(path, os.W_OK) else "ro"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode or readable}",
        uri=True,
        timeout=_PATIENCE,
        isolation_level=None,
        check_same_thread=False,
        factory=_Connection,
    )
    connection.execute(f"PRAGMA mmap_size = {_MMAP_BYTES}")
    if mode is None:
        connection.execute("PRAGMA query_only = ON")
    return connection


def _columns(entity: Entity) -> tuple[Any, ...]:
    return (
        entity.id,
        entity.title,
        entity.description,
        entity.prior,
        json.dumps(entity.images, ensure_ascii=False) if entity.images else None,
        entity.url,
        _json(entity.extra),
    )


def _json(values: Mapping[str, Any]) -> str | None:
    return json.dumps(dict(values), ensure_ascii=False) if values else None


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


Item = TypeVar("Item")

BATCH = 512
"""Entities worked on together."""


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """YIELDS (list[Item]): the items, at most `size` at a time."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
