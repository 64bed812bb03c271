"""What all stages over dumps share: the dump as a stream that is entered anywhere, and
the database that keeps their work.

A packed dump, gzip or bzip2, is often many packed members one after the other. A reader
that continues starts at the member that holds its place: what lies before is not even
unpacked.
"""

import bz2
import json
import sqlite3
import zlib
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Self

from tqdm import tqdm

from ..errors import BAR_DELAY, DweError, Errors

if TYPE_CHECKING:
    _Unpacker = bz2.BZ2Decompressor | zlib._Decompress

_CHUNK = 1 << 17
"""Bytes read at once. Dumps unpack to ten times as much."""
_GZIP, _BZIP2 = b"\x1f\x8b", b"BZh"
SUFFIX = ".work"
"""Of the database beside an output."""
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


class Place(NamedTuple):
    """Where a reader stands.

    member (int): where a packed member starts in the file; 0 if it is not packed.
    skip (int): bytes before the place, counted from there when unpacked.
    """

    member: int = 0
    skip: int = 0


class DumpFile:
    """Reads a dump in pieces. What the file is, its first bytes say, not its name.

    consumed (int): bytes of the file, packed as they are, that have been read.
    """

    def __init__(self, path: Path, place: Place | None = None) -> None:
        """place (Place | None): where to start; None is the beginning."""
        self.path = path
        self._start = place or Place()
        with path.open("rb") as file:
            self._is_packed = file.read(3).startswith((_GZIP, _BZIP2))
        start = self._start
        self.consumed = start.member if self._is_packed else start.skip
        self._position = self._start.skip
        self._unpacked = 0
        self._members: deque[tuple[int, int]] = deque()

    @property
    def place(self) -> Place:
        """RETURNS (Place): the end of the last piece that was handed out."""
        while len(self._members) > 1 and self._members[1][0] <= self._position:
            self._members.popleft()
        if not self._members:
            return self._start
        unpacked, member = self._members[0]
        return Place(member, self._position - unpacked)

    def shown_pieces(self, separator: bytes, name: str, show: bool) -> Iterator[bytes]:
        """As `pieces`, with a progress bar of the bytes consumed.

        name (str): what the bar says that is read.
        show (bool): show it, on stderr.
        """
        with tqdm(
            desc=name,
            total=self.path.stat().st_size,
            initial=self.consumed,
            unit="B",
            unit_scale=True,
            delay=BAR_DELAY,
            disable=not show,
        ) as bar:
            for piece in self.pieces(separator):
                yield piece
                if self.consumed != bar.n:
                    bar.update(self.consumed - bar.n)

    def pieces(self, separator: bytes) -> Iterator[bytes]:
        """YIELDS (bytes): what lies between separators, without them; at the end what
        follows the last one, if there is anything.
        RAISES (DweError): the file is damaged or ends within a packed member.
        """
        rest = b""
        for chunk in self._chunks():
            parts = (rest + chunk).split(separator)
            rest = parts.pop()
            for part in parts:
                self._position += len(part) + len(separator)
                yield part
        if rest:
            self._position += len(rest)
            yield rest

    def _chunks(self) -> Iterator[bytes]:
        skip = self._start.skip
        with self.path.open("rb") as file:
            if not self._is_packed:
                yield from self._plain(file)
                return
            file.seek(self._start.member)
            for chunk in self._members_of(file):
                if skip < len(chunk):
                    yield chunk[skip:] if skip else chunk
                    skip = 0
                else:
                    skip -= len(chunk)

    def _plain(self, file: IO[bytes]) -> Iterator[bytes]:
        self._members.append((0, 0))
        file.seek(self._start.skip)
        while chunk := file.read(_CHUNK):
            self.consumed = file.tell()
            yield chunk

    def _members_of(self, file: IO[bytes]) -> Iterator[bytes]:
        unpacker: _Unpacker | None = None
        data = file.read(_CHUNK)
        while data:
            self.consumed = file.tell()
            if unpacker is None:
                # A header may lie across two chunks; tapes and some writers pad.
                data = data.lstrip(b"\0") or file.read(_CHUNK).lstrip(b"\0")
                data += file.read(_CHUNK) if len(data) < len(_BZIP2) else b""
                if not data:
                    break
                unpacker = self._unpacker(data)
                self._members.append((self._unpacked, file.tell() - len(data)))
            try:
                chunk = unpacker.decompress(data)
            except (OSError, zlib.error) as error:
                raise self._damaged(error) from None
            self._unpacked += len(chunk)
            if chunk:
                yield chunk
            if unpacker.eof:
                data = unpacker.unused_data or file.read(_CHUNK)
                unpacker = None
            else:
                data = file.read(_CHUNK)
        if unpacker is not None:
            raise DweError(Errors.E131.format(path=self.path))

    def _unpacker(self, data: bytes) -> "_Unpacker":
        if data.startswith(_BZIP2):
            return bz2.BZ2Decompressor()
        if data.startswith(_GZIP):
            return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        raise self._damaged("what follows there is not packed")

    def _damaged(self, reason: Any) -> DweError:
        return DweError(
            Errors.E130.format(path=self.path, offset=self.consumed, reason=reason)
        )


def head(path: Path, size: int = 1 << 16) -> bytes:
    """RETURNS (bytes): the first bytes of a dump, unpacked."""
    found = b""
    for chunk in DumpFile(path)._chunks():
        found += chunk
        if len(found) >= size:
            break
    return found[:size]


def file_state(path: Path) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): what a file is known by as the same."""
    stat = path.stat()
    return {"file": path.name, "size": stat.st_size, "mtime": stat.st_mtime_ns}


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

        place (Any): where a later run goes on; a JSON value.
        """
        self.place = place
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

    def item(self, wiki: str, title: str) -> int | None:
        """RETURNS (int | None): the number of the item that has a wiki's page."""
        found = self.db.execute(
            "SELECT item FROM titles WHERE wiki = ? AND title = ?", (wiki, title)
        ).fetchone()
        return None if found is None else found[0]

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
