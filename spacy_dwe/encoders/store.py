"""Encoder outputs on disk, shared by training, evaluation and later runs.

One SQLite file in a folder. A feature is written in one transaction, so a process that
dies leaves no half of one, and several processes read and write at the same time.
"""

import json
import os
import shutil
import sqlite3
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..errors import DweError, Errors, Warnings
from .cache import MEMORY_BYTES, Feature, FeatureCache, FeatureKey, MemoryStore
from .protocol import NO_STATES, NOTHING, MentionFeatures, MentionText
from .visual.findings import VisualEvidence

VARIABLE = "DWE_FEATURE_CACHE"
"""Names the folder where a pipeline's config does not."""
NOWHERE = ("", "none")
"""What setting and variable say for memory alone."""
BESIDE = ".features"
"""Behind a KB's name: the folder for what is compared with it."""

FORMAT = 2
FILE_NAME = f"features.{FORMAT}.sqlite"
"""Another version has a file of its own: neither reads or harms that of the other."""

MAX_BYTES = 20 * 10**9
"""Bound of the disk, unless another is given."""
SPARED_SHARE = 0.5
"""Of what is free on the disk, so much at least is left to others."""
KEPT_SHARE = 0.9
"""What stays of the bound when room is made; the least recently used goes."""
STALE_SECONDS = 6 * 3600
"""What was used within this time is not removed: where epochs read more than there is
room for, what makes way would always be what is read next. New outputs are then not
kept."""
FRESH_SECONDS = 3600
"""Use within this time is not noted again: reading then writes nothing."""
BUSY_SECONDS = 60

_APPLICATION = 0x64776566
"""Marks the file for SQLite, so that no other database is taken for a store."""

_TABLES = f"""
CREATE TABLE features (
    key BLOB PRIMARY KEY, used INTEGER NOT NULL, size INTEGER NOT NULL, data BLOB
);
CREATE INDEX by_use ON features (used);
CREATE TABLE total (size INTEGER NOT NULL);
INSERT INTO total VALUES (0);
CREATE TRIGGER added AFTER INSERT ON features
    BEGIN UPDATE total SET size = size + new.size; END;
CREATE TRIGGER removed AFTER DELETE ON features
    BEGIN UPDATE total SET size = size - old.size; END;
PRAGMA user_version = {FORMAT};
PRAGMA application_id = {_APPLICATION};
"""

Result = TypeVar("Result")


def feature_cache(
    folder: str | Path | None = None, kb: str | Path | None = None
) -> FeatureCache:
    """A cache of encoder outputs.

    folder (str | Path | None): as the setting `feature_cache` names it; "" or "none" =
        in memory alone; None = as the variable DWE_FEATURE_CACHE says.
    kb (str | Path | None): KB that a command works with: where nobody names a folder,
        one beside it serves, if it can be written.
    RETURNS (FeatureCache): in memory alone where there is no folder.
    RAISES (DweError): the folder that is named cannot be used.
    """
    folder = os.environ.get(VARIABLE) if folder is None else folder
    if folder is not None:
        is_named = str(folder).lower() not in NOWHERE
        return FeatureCache(DiskStore(folder) if is_named else None)
    beside = None if kb is None else folder_beside(kb)
    if beside is None:
        return FeatureCache()
    try:
        return FeatureCache(DiskStore(beside, is_asked_for=False))
    except DweError as error:
        warnings.warn(Warnings.W263.format(reason=error), stacklevel=2)
        return FeatureCache()


def folder_beside(kb: str | Path) -> Path | None:
    """
    kb (str | Path): folder of a KB.
    RETURNS (Path | None): where outputs that are compared with it are kept; None where
        nothing can be written, and for a KB within a pipeline, which is to stay as it
        was packaged.
    """
    path = Path(kb).expanduser().absolute()
    if any(map(_is_pipeline, path.parents[:2])):
        return None
    folder = path.with_name(path.name + BESIDE)
    written = folder if folder.exists() else folder.parent
    return folder if os.access(written, os.W_OK) else None


def _is_pipeline(folder: Path) -> bool:
    return all((folder / name).exists() for name in ("config.cfg", "meta.json"))


class DiskStore:
    """Keeps encoder outputs in a folder, and some of them in memory as well.

    A `FeatureStore`. What it is given comes back bit by bit. What was not used for
    hours makes way when the folder reaches its bound.

    folder (str | Path): made if need be.
    max_bytes (int | None): bound on the outputs on disk; None = MAX_BYTES, or half of
        what is free there.
    memory_bytes (int): bound on those that are held in memory.
    is_asked_for (bool): somebody named the folder, and what goes wrong with it is an
        error. Otherwise it is a warning, and memory serves from then on.
    RAISES (DweError): the folder cannot be written, or holds another kind of file under
        the store's name.
    """

    def __init__(
        self,
        folder: str | Path,
        max_bytes: int | None = None,
        memory_bytes: int = MEMORY_BYTES,
        is_asked_for: bool = True,
    ) -> None:
        self.folder = Path(folder)
        self.is_asked_for = is_asked_for
        self._memory = MemoryStore(memory_bytes)
        self._local = threading.local()
        self._failed = False
        with self._told():
            self.folder.mkdir(parents=True, exist_ok=True)
        there = self._do(_total)
        self.max_bytes = self._room(there) if max_bytes is None else max_bytes

    def _room(self, there: int) -> int:
        with self._told():
            free = shutil.disk_usage(self.folder).free
        return min(MAX_BYTES, there + int((1 - SPARED_SHARE) * free))

    def __reduce__(self) -> tuple[Any, ...]:
        """A worker process opens the same folder."""
        sizes = self.max_bytes, self._memory.max_bytes
        return type(self), (self.folder, *sizes, self.is_asked_for)

    def __str__(self) -> str:
        """RETURNS (str): where outputs are kept, and how large they are; empty where
        memory serves instead."""
        size = self._try(_total)
        if size is None:
            return ""
        return (
            f"{_readable(size)} of at most {_readable(self.max_bytes)} in {self.folder}"
        )

    def __len__(self) -> int:
        return self._do(_count)

    @property
    def n_bytes(self) -> int:
        """RETURNS (int): size of the outputs on disk."""
        return self._do(_total)

    def get(self, key: FeatureKey) -> Feature | None:
        feature = self._memory.get(key)
        if feature is not None:
            return feature
        digest, now = _digest(key), int(time.time())
        feature = self._try(lambda db: _read(db, digest, now))
        if feature is not None:
            self._memory.put(key, feature)
        return feature

    def put(self, key: FeatureKey, feature: Feature) -> None:
        self._memory.put(key, feature)
        data, now = _to_bytes(feature), int(time.time())
        if len(data) <= self.max_bytes:
            self._try(lambda db: _write(db, _digest(key), now, data, self.max_bytes))

    def _try(self, work: Callable[[sqlite3.Connection], Result]) -> Result | None:
        if self._failed:
            return None
        try:
            return self._do(work)
        except DweError as error:
            if self.is_asked_for:
                raise
            self._failed = True
            warnings.warn(Warnings.W263.format(reason=error), stacklevel=4)
            return None

    def _do(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        with self._told():
            return work(self._connection())

    def _connection(self) -> sqlite3.Connection:
        """One a thread and process: SQLite's do not survive a fork, not even to be
        closed, so what was inherited is kept."""
        process = os.getpid()
        connections: dict[int, sqlite3.Connection]
        connections = self._local.__dict__.setdefault("connections", {})
        if process not in connections:
            connections[process] = _open(self.folder / FILE_NAME)
        return connections[process]

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What SQLite and the system say, as one line that names the file."""
        path = self.folder / FILE_NAME
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise DweError(Errors.E228.format(path=path, reason=reason)) from None


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        with _transaction(db):
            if not db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
                for statement in _statements(_TABLES):
                    db.execute(statement)
        marks = [
            db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("application_id", "user_version")
        ]
        if marks != [_APPLICATION, FORMAT]:
            raise sqlite3.DatabaseError("it is of another kind or version")
    except BaseException:
        db.close()
        raise
    return db


def _statements(script: str) -> Iterator[str]:
    """`executescript` would end the transaction that it stands in."""
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _read(db: sqlite3.Connection, digest: bytes, now: int) -> Feature | None:
    query = "SELECT used, data FROM features WHERE key = ?"
    row = db.execute(query, (digest,)).fetchone()
    if row is None:
        return None
    used, data = row
    if now - used > FRESH_SECONDS:
        db.execute("UPDATE features SET used = ? WHERE key = ?", (now, digest))
    return _from_bytes(data)


def _write(
    db: sqlite3.Connection, digest: bytes, now: int, data: bytes, max_bytes: int
) -> None:
    with _transaction(db):
        if _total(db) + len(data) > max_bytes:
            _make_room(db, now, int(KEPT_SHARE * max_bytes) - len(data))
        if _total(db) + len(data) <= max_bytes:
            db.execute(
                "INSERT OR IGNORE INTO features VALUES (?, ?, ?, ?)",
                (digest, now, len(data), data),
            )


def _make_room(db: sqlite3.Connection, now: int, kept: int) -> None:
    excess = _total(db) - kept
    query = "SELECT key, size FROM features WHERE used < ? ORDER BY used, rowid"
    out = []
    for key, size in db.execute(query, (now - STALE_SECONDS,)):
        if excess <= 0:
            break
        out.append((key,))
        excess -= size
    db.executemany("DELETE FROM features WHERE key = ?", out)


def _count(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM features").fetchone()[0])


def _total(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT size FROM total").fetchone()[0])


def _digest(key: FeatureKey) -> bytes:
    kind, fingerprint, content = key
    if isinstance(content, MentionText):
        parts = [content.context, str(content.start), str(content.end)]
    else:
        parts = [str(content)]
    digest = blake2b(digest_size=16)
    for part in (kind, fingerprint, *parts):
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.digest()


def _to_bytes(feature: Feature) -> bytes:
    from safetensors.numpy import save

    if isinstance(feature, VisualEvidence):
        said, arrays = feature.to_arrays()
        text = json.dumps(said, default=float).encode()
        arrays = {**arrays, "said": np.frombuffer(text, np.uint8)}
    elif isinstance(feature, MentionFeatures):
        rows = np.array([feature.mention.start, feature.mention.stop], np.int64)
        parts = {
            "states": feature.states,
            "mention": rows if len(feature.states) else NOTHING,
            "edges": feature.edges,
            "means": feature.means,
        }
        arrays = {name: array for name, array in parts.items() if array.size}
        arrays["pooled"] = feature.pooled
    else:
        arrays = {"vector": feature}
    return save({name: np.ascontiguousarray(a) for name, a in arrays.items()})


def _from_bytes(data: bytes) -> Feature:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(data)
        if "vector" in arrays:
            return arrays["vector"]
        if "said" in arrays:
            said = json.loads(arrays.pop("said").tobytes())
            return VisualEvidence.from_arrays(said, arrays)
        return MentionFeatures(
            arrays["pooled"],
            arrays.get("states", NO_STATES),
            slice(*arrays.get("mention", np.zeros(2, np.int64)).tolist()),
            arrays.get("edges", NOTHING),
            arrays.get("means", NO_STATES),
        )
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise sqlite3.DatabaseError(f"damaged entry ({error})") from None


def _readable(n_bytes: int) -> str:
    """RETURNS (str): such as "3.1 MB"."""
    size, units = float(n_bytes), ["bytes", "kB", "MB", "GB"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        units.pop(0)
    digits = 0 if units[0] == "bytes" else 1
    return f"{size:.{digits}f} {units[0]}"
