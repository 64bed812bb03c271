"""What a MediaWiki answered, on disk: a run that was stopped asks nothing twice."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from ..errors import DweError, Errors

FORMAT = 1
_APPLICATION = 0x64776577
"""Marks the file for SQLite, so that no other database is taken for a cache."""

_TABLES = """
CREATE TABLE titles (
    source TEXT, language TEXT, title TEXT, answer TEXT NOT NULL,
    PRIMARY KEY (source, language, title)
) WITHOUT ROWID;
CREATE TABLE pages (
    source TEXT, language TEXT, pageid INTEGER, page TEXT NOT NULL,
    PRIMARY KEY (source, language, pageid)
);
CREATE TABLE pictures (url TEXT PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID;
"""


class PageCache:
    """Answers by language and title. One process uses it at a time.

    path (str | Path): the SQLite file, made if need be.
    source (str): who was asked, and how: other answers of the file are not seen.
    """

    def __init__(self, path: str | Path, source: str) -> None:
        self.path, self.source = Path(path), source
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

    def answer(self, language: str, title: str) -> dict[str, Any] | None:
        """RETURNS (dict[str, Any] | None): what was said of a title; None if it was not
        asked."""
        query = "SELECT answer FROM titles WHERE source=? AND language=? AND title=?"
        return self._one(query, (self.source, language, title))

    def page(self, language: str, pageid: int) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): a page that an answer names."""
        query = "SELECT page FROM pages WHERE source=? AND language=? AND pageid=?"
        page = self._one(query, (self.source, language, pageid))
        if page is None:
            raise self._unreadable(f"it lacks the page {pageid}")
        return page

    def picture(self, url: str) -> dict[str, Any] | None:
        """RETURNS (dict[str, Any] | None): what became of a picture's download."""
        return self._one("SELECT answer FROM pictures WHERE url=?", (url,))

    def put(
        self,
        language: str,
        answers: Mapping[str, Mapping[str, Any]],
        pages: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        """Keep answers by title, and the pages they name: all of them or none."""
        with self._writing() as db:
            db.executemany(
                "REPLACE INTO pages VALUES (?, ?, ?, ?)",
                [(self.source, language, p["pageid"], _dump(p)) for p in pages],
            )
            db.executemany(
                "REPLACE INTO titles VALUES (?, ?, ?, ?)",
                [(self.source, language, t, _dump(a)) for t, a in answers.items()],
            )

    def put_picture(self, url: str, answer: Mapping[str, Any]) -> None:
        with self._writing() as db:
            db.execute("REPLACE INTO pictures VALUES (?, ?)", (url, _dump(answer)))

    def forget(self, titles: Iterable[tuple[str, str]]) -> None:
        """Forget what was said of titles, each with its language, and all pictures."""
        query = "DELETE FROM titles WHERE source=? AND language=? AND title=?"
        with self._writing() as db:
            db.executemany(query, [(self.source, *title) for title in titles])
            db.execute("DELETE FROM pictures")

    def _open(self) -> None:
        # The lock lasts as long as the connection.
        self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._db.execute("BEGIN EXCLUSIVE")
        (application,) = self._db.execute("PRAGMA application_id").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        (used,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not used:
            for statement in _TABLES.split(";"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA application_id={_APPLICATION}")
            self._db.execute(f"PRAGMA user_version={FORMAT}")
        elif application != _APPLICATION:
            raise self._unreadable("another program's database")
        elif version != FORMAT:
            raise self._unreadable(f"format {version}, where {FORMAT} is known")
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
                raise DweError(Errors.E124.format(path=self.path)) from None
            if isinstance(error, sqlite3.OperationalError):
                raise DweError(
                    Errors.E006.format(path=self.path, reason=error)
                ) from None
            raise self._unreadable(str(error)) from None

    def _unreadable(self, reason: str) -> DweError:
        return DweError(Errors.E123.format(path=self.path, reason=reason))


def _dump(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
