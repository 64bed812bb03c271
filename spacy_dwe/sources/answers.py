"""What servers said, kept in an SQLite file, so that nothing is asked twice."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

from ..errors import DweError, Errors


class AnswerFile:
    """Answers in an SQLite file. One process uses it at a time.

    tables (str): the statements that make its tables.
    application, version (int): mark the file for SQLite, so that no other database,
        and none of another version, is taken for it.
    in_use, unreadable (str): messages with `path`, and `reason`.

    path (str | Path): the file, made if need be.
    """

    tables: ClassVar[str]
    application: ClassVar[int]
    version: ClassVar[int] = 1
    in_use: ClassVar[str]
    unreadable: ClassVar[str]

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            raise DweError(Errors.E005.format(path=path))
        with self._told():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=0.1, isolation_level=None)
        try:
            with self._told():
                self._open()
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def _open(self) -> None:
        # The lock lasts as long as the connection.
        self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._db.execute("BEGIN EXCLUSIVE")
        (application,) = self._db.execute("PRAGMA application_id").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        (used,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not used:
            for statement in self.tables.split(";"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA application_id={self.application}")
            self._db.execute(f"PRAGMA user_version={self.version}")
        elif application != self.application:
            raise self._error("another program's database")
        elif version != self.version:
            raise self._error(f"format {version}, where {self.version} is known")
        self._db.execute("COMMIT")

    def _one(self, query: str, values: tuple[Any, ...]) -> dict[str, Any] | None:
        with self._told():
            row = self._db.execute(query, values).fetchone()
        if row is None:
            return None
        value: dict[str, Any] = json.loads(row[0])
        return value

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._told():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        """SQLite's errors as messages for the user."""
        try:
            yield
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                raise DweError(self.in_use.format(path=self.path)) from None
            if isinstance(error, sqlite3.OperationalError):
                raise DweError(
                    Errors.E006.format(path=self.path, reason=error)
                ) from None
            raise self._error(str(error)) from None

    def _error(self, reason: str) -> DweError:
        return DweError(self.unreadable.format(path=self.path, reason=reason))


def packed(value: Mapping[str, Any]) -> str:
    """RETURNS (str): an answer as it is kept."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
