"""The database beside the output in which the dumps are joined.

It makes the work on dumps independent of memory, and it remembers it: a stage commits
its rows together with the place up to which its dump was read, so a command that was
killed goes on from there, and a stage that is finished is not done again.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from ...errors import DweError, Errors
from .dump_file import Place

SUFFIX = ".work"
_FORMAT = 1
_CACHE_KIB = 128 * 1024

# `titles` are pages with an item, and after the stage "links" redirects to them too.
# `anchors` come in sorted runs, so that they can be merged without a sort.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS stages (
    number INTEGER PRIMARY KEY,
    inputs TEXT NOT NULL,
    counts TEXT NOT NULL,
    place TEXT NOT NULL,
    done INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS items (
    item INTEGER PRIMARY KEY,
    entity TEXT NOT NULL,
    stage INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS titles (
    wiki TEXT NOT NULL,
    title TEXT NOT NULL,
    item INTEGER NOT NULL,
    is_name INTEGER NOT NULL,
    stage INTEGER NOT NULL,
    PRIMARY KEY (wiki, title)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS titles_by_item ON titles (item);
CREATE TABLE IF NOT EXISTS pages (
    row INTEGER PRIMARY KEY,
    item INTEGER NOT NULL,
    text TEXT NOT NULL,
    facts TEXT,
    stage INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS pages_by_item ON pages (item);
CREATE TABLE IF NOT EXISTS redirects (
    wiki TEXT NOT NULL,
    source TEXT NOT NULL,
    target TEXT NOT NULL,
    is_name INTEGER NOT NULL,
    stage INTEGER NOT NULL,
    PRIMARY KEY (wiki, source)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (
    run INTEGER PRIMARY KEY,
    wiki TEXT NOT NULL,
    stage INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS anchors (
    run INTEGER NOT NULL,
    key TEXT NOT NULL,
    anchor TEXT NOT NULL,
    target TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (run, key, anchor, target)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS names (
    row INTEGER PRIMARY KEY,
    item INTEGER NOT NULL,
    key TEXT NOT NULL,
    anchor TEXT NOT NULL,
    n INTEGER NOT NULL,
    stage INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS names_by_item ON names (item);
CREATE TABLE IF NOT EXISTS keys (
    key TEXT PRIMARY KEY,
    total INTEGER NOT NULL,
    stage INTEGER NOT NULL
) WITHOUT ROWID;
"""
_TABLES = ("items", "titles", "pages", "redirects", "runs", "names", "keys", "stages")


@dataclass
class Stage:
    """One pass over one input.

    number (int): its place in the order; each stage may use what earlier ones made.
    counts (Counter[str]): what was met so far, committed with the rows.
    place (Any): up to where its input is worked in; None before the first commit.
    done (bool): whether it is finished.
    """

    work: "Work"
    number: int
    counts: Counter[str] = field(default_factory=Counter)
    place: Any = None
    done: bool = False

    @property
    def reader_place(self) -> Place | None:
        """RETURNS (Place | None): the place, for a stage that reads a file."""
        return None if self.place is None else Place(*self.place)

    def commit(self, place: Any) -> None:
        """Make everything durable that was written since the last commit.

        place (Any): where a later run goes on; a JSON value, or a Place.
        """
        self.place = [place.member, place.skip] if isinstance(place, Place) else place
        self._save()

    def finish(self) -> None:
        self.done = True
        self._save()

    def _save(self) -> None:
        self.work.db.execute(
            "UPDATE stages SET counts = ?, place = ?, done = ? WHERE number = ?",
            (json.dumps(self.counts), json.dumps(self.place), self.done, self.number),
        )
        self.work.db.commit()


class Work:
    """Opens the database of an output, or makes it. One process at a time has it."""

    def __init__(self, out: Path) -> None:
        """out (Path): the output."""
        self.path = out.with_name(out.name + SUFFIX)
        self._out = out
        self.db = self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        with suppress(sqlite3.Error):
            self.db.close()
        if isinstance(error, sqlite3.OperationalError):
            raise DweError(Errors.E006.format(path=self.path, reason=error)) from None

    def remove(self) -> None:
        """Remove the database: the output is there."""
        self.db.close()
        self.path.unlink()

    def plan(
        self, inputs: Sequence[Mapping[str, Any]]
    ) -> tuple[list[Stage], int | None]:
        """Set out the stages. From the first one on whose input is not that of the
        work that is there, the work is thrown away.

        inputs (Sequence[Mapping[str, Any]]): what decides a stage's result: its file's
            state and its options, as JSON.
        RETURNS (tuple[list[Stage], int | None]): the stages, and the number of the
            first one that begins again though there was work of it.
        """
        wanted = [json.dumps([_FORMAT, dict(item)], sort_keys=True) for item in inputs]
        found = self.db.execute(
            "SELECT inputs, counts, place, done FROM stages ORDER BY number"
        ).fetchall()
        kept = 0
        while kept < min(len(found), len(wanted)) and found[kept][0] == wanted[kept]:
            kept += 1
        lost = kept < len(found) and (found[kept][2] != "null" or found[kept][3])
        self._discard(kept)
        stages = []
        for number, key in enumerate(wanted):
            stage = Stage(self, number)
            if number < kept:
                _, counts, place, done = found[number]
                stage.counts.update(json.loads(counts))
                stage.place, stage.done = json.loads(place), bool(done)
            else:
                self.db.execute(
                    "INSERT INTO stages VALUES (?, ?, '{}', 'null', 0)", (number, key)
                )
            stages.append(stage)
        self.db.commit()
        return stages, kept if lost and kept < len(stages) else None

    def _discard(self, kept: int) -> None:
        self.db.execute(
            "DELETE FROM anchors WHERE run IN (SELECT run FROM runs WHERE stage >= ?)",
            (kept,),
        )
        for table in _TABLES:
            column = "number" if table == "stages" else "stage"
            self.db.execute(f"DELETE FROM {table} WHERE {column} >= ?", (kept,))

    def _open(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(self.path, timeout=0)
        except (OSError, sqlite3.OperationalError) as error:
            raise DweError(Errors.E006.format(path=self.path, reason=error)) from None
        try:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            # The exclusive lock is taken with the first write.
            db.execute("BEGIN IMMEDIATE")
            db.commit()
            db.executescript(_SCHEMA)
        except sqlite3.DatabaseError as error:
            with suppress(sqlite3.Error):
                db.close()
            if "locked" in str(error):
                raise DweError(Errors.E132.format(path=self._out)) from None
            if isinstance(error, sqlite3.OperationalError):
                raise DweError(
                    Errors.E006.format(path=self.path, reason=error)
                ) from None
            raise DweError(Errors.E133.format(path=self.path, reason=error)) from None
        return db
