"""Encoder outputs on disk, shared by training, evaluation and later runs.

One SQLite file in a folder. A feature is written in one transaction, so a process that
dies leaves no half of one, and several processes read and write at the same time.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..errors import DweError, Errors
from .cache import Feature, FeatureCache, FeatureKey, MemoryStore
from .protocol import MentionFeatures, MentionText
from .visual.findings import VisualEvidence

VARIABLE = "DWE_FEATURE_CACHE"
"""Names the folder where a pipeline's config does not."""

FILE_NAME = "features.sqlite"
FORMAT = 1

MAX_BYTES = 20 << 30
"""Bound of the disk, unless another is given."""
MEMORY_BYTES = 1 << 30
"""Bound of what is held in memory as well."""
KEPT_SHARE = 0.9
"""What stays when the bound is reached; the least recently used goes."""
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


def feature_cache(folder: str | Path | None = None) -> FeatureCache:
    """A cache of encoder outputs.

    folder (str | Path | None): None = the one that the variable DWE_FEATURE_CACHE
        names.
    RETURNS (FeatureCache): in memory alone where no folder is named.
    """
    folder = folder or os.environ.get(VARIABLE)
    return FeatureCache(DiskStore(folder) if folder else None)


class DiskStore:
    """Keeps encoder outputs in a folder, and the latest of them in memory as well.

    A `FeatureStore`. Vectors come back bit by bit; findings in pictures are held in
    memory alone. What was used least recently makes
    way when the folder reaches its bound.

    folder (str | Path): made if need be.
    max_bytes (int): bound on the outputs on disk.
    memory_bytes (int): bound on those that are held in memory.
    RAISES (DweError): the folder cannot be written, or holds another kind of file under
        the store's name.
    """

    def __init__(
        self,
        folder: str | Path,
        max_bytes: int = MAX_BYTES,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self._memory = MemoryStore(memory_bytes)
        self._local = threading.local()
        with self._told():
            self.folder.mkdir(parents=True, exist_ok=True)
        self._do(lambda db: None)

    def __reduce__(self) -> tuple[Any, ...]:
        """A worker process opens the same folder."""
        return type(self), (self.folder, self.max_bytes, self._memory.max_bytes)

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
        feature = self._do(lambda db: _read(db, digest, now))
        if feature is not None:
            self._memory.put(key, feature)
        return feature

    def put(self, key: FeatureKey, feature: Feature) -> None:
        self._memory.put(key, feature)
        if isinstance(feature, VisualEvidence):
            return
        data, now = _to_bytes(feature), int(time.time())
        if len(data) <= self.max_bytes:
            self._do(lambda db: _write(db, _digest(key), now, data, self.max_bytes))

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
        db.execute(
            "INSERT OR IGNORE INTO features VALUES (?, ?, ?, ?)",
            (digest, now, len(data), data),
        )
        if _total(db) > max_bytes:
            _make_room(db, int(KEPT_SHARE * max_bytes))


def _make_room(db: sqlite3.Connection, kept: int) -> None:
    excess = _total(db) - kept
    query = "SELECT key, size FROM features ORDER BY used, rowid"
    out = []
    for key, size in db.execute(query):
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


def _to_bytes(feature: np.ndarray | MentionFeatures) -> bytes:
    from safetensors.numpy import save

    if isinstance(feature, MentionFeatures):
        rows = np.array([feature.mention.start, feature.mention.stop], np.int64)
        arrays = {
            "pooled": feature.pooled,
            "states": feature.states,
            "mention": rows,
            "edges": feature.edges,
        }
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
        return MentionFeatures(
            arrays["pooled"],
            arrays["states"],
            slice(*arrays["mention"].tolist()),
            arrays["edges"],
        )
    except (SafetensorError, KeyError, ValueError) as error:
        raise sqlite3.DatabaseError(f"damaged entry ({error})") from None
