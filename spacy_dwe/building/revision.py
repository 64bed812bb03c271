"""A change of a KB that is there: prepared beside what readers see, then committed."""

import json
import secrets
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..errors import DweError, Errors
from ..kb.entity import Entity
from ..kb.index.snapshot import FOLDER as NAMES_FOLDER
from ..kb.index.snapshot import SnapshotWriter, is_worn
from ..kb.storage.folder import OLDEST, database_of, remove_databases, write_meta
from ..kb.storage.manifest import file_records, sync_folders, writer_lock
from ..kb.storage.store import BATCH, FORMAT, EntityStore, StoreWriter, Version, batches
from ..kb.vectors.files import files_of
from ..kb.vectors.sets import FOLDER as VECTORS_FOLDER

if TYPE_CHECKING:
    from .plans import SetPlan


class Revision:
    """One change of a KB, from the lock to the commit. Until then readers see nothing
    of it, and what a killed one leaves behind is cleared by the next."""

    def __init__(self, kb: Path, *, lock: bool = True, renew: bool = False) -> None:
        """kb (Path): the KB's folder.
        lock (bool): False if the caller holds the lock already.
        renew (bool): make all names anew; then an earlier format will do.
        """
        self.kb, self._renew = kb, renew
        oldest = OLDEST if renew else FORMAT
        self._exit = ExitStack()
        try:
            if lock:
                self._exit.enter_context(writer_lock(kb))
            EntityStore(kb, oldest).close()
            self._database = database_of(kb, oldest)
            self.store = self._exit.enter_context(_open(self._database))
        except BaseException:
            self._exit.close()
            raise
        self.last = self.store.last_version()
        self.number = self.last.number + 1
        self.first_row = self.store.n_rows
        self._leaving: list[int] = []
        self._removed = 0

    def add(self, entities: Sequence[Entity]) -> None:
        """Append entities, a row each."""
        self.store.add(entities, self.number)

    def remove(self, rows: Sequence[int]) -> None:
        """Make rows tombstones."""
        self.store.remove(rows, self.number)
        self._leaving += [row for row in rows if row < self.first_row]
        self._removed += len(rows)

    @property
    def is_empty(self) -> bool:
        """RETURNS (bool): whether no entity has come or gone, and names are good."""
        changed = self._renew or self._removed or self.store.n_rows > self.first_row
        return not changed

    def publish(
        self,
        plans: "Sequence[SetPlan]" = (),
        *,
        donors: Sequence[Path] = (),
        replace: bool = False,
        home: Path | None = None,
        meta: dict[str, Any] | None = None,
        show_progress: bool = False,
    ) -> Version:
        """Bring names and vectors up to date and commit.

        plans (Sequence[SetPlan]): how the vectors of each set are made.
        donors (Sequence[Path]): other KBs whose vectors can be taken over.
        replace (bool): make a set anew if its encoder is another one.
        home (Path | None): where a draft will be.
        meta (dict[str, Any] | None): further entries of the version's meta.
        show_progress (bool): show progress bars on stderr.
        RETURNS (Version): what was committed.
        """
        last = self.last
        snapshot, base, counts = last.snapshot, last.snapshot, last.meta
        if not self.is_empty:
            snapshot, extended, counts = self._write_names()
            base = last.snapshot if extended else ""
        vectors: dict[str, Any] = last.meta["vectors"]
        if plans or vectors:
            from .encode import build_vectors

            vectors = build_vectors(
                self.kb,
                secrets.token_hex(4),
                plans=plans,
                committed=vectors,
                entities=self._live,
                n_rows=self.store.n_rows,
                donors=donors,
                replace=replace,
                home=home,
                show_progress=show_progress,
            )
        new = {**last.meta, **counts, **(meta or {})}
        new |= {"format": FORMAT, "version": self.number, "vectors": vectors}
        version = Version(self.number, snapshot, new)
        records = file_records(
            self.kb, snapshot, vectors, self.store.files(), base or None
        )
        sync_folders(self.kb)
        self.store.commit(version, records)
        # What fails from here on changes nothing: the next writer does it again.
        with suppress(OSError):
            write_meta(self.kb, new, self._database.name)
            clear(self.kb, version, last)
        return version

    def _write_names(self) -> tuple[str, bool, dict[str, Any]]:
        """RETURNS (tuple): the new snapshot, whether it extends the last one, and
        its counts."""
        store, last = self.store, self.last
        removed = store.removed(self.number)
        by_id = store.rows_by_id()
        leaving = np.array(self._leaving, dtype=np.int32)
        counted, without = last.meta["counted_rows"], last.meta["counted_removed"]

        def write(base: tuple[str, int] | None) -> tuple[str, dict[str, Any] | None]:
            name = secrets.token_hex(4)
            writer = SnapshotWriter(self.kb, name, base)
            try:
                for batch in batches(self._slots(base[1] if base else 0), BATCH):
                    writer.add(batch)
                return name, writer.finish(removed, leaving, by_id)
            except BaseException:
                writer.discard()
                raise

        counts = None
        changes = store.n_rows - counted, len(removed) - without
        if not self._renew and not is_worn(*changes, counted):
            name, counts = write((last.snapshot, self.first_row))
        extended = counts is not None
        if counts is None:
            name, counts = write(None)
            assert counts is not None
            counted, without = store.n_rows, len(removed)
        more = {"counted_rows": counted, "counted_removed": without}
        return name, extended, {**counts, **more}

    def _slots(self, first_row: int) -> Iterator[Entity | None]:
        """YIELDS (Entity | None): what is in each row from the first one on."""
        at = first_row
        for row, entity in self._live(first_row):
            yield from (None for _ in range(row - at))
            yield entity
            at = row + 1
        yield from (None for _ in range(self.store.n_rows - at))

    def _live(self, first_row: int) -> Iterator[tuple[int, Entity]]:
        for rows in self.store.live_rows(self.number, first_row):
            yield from zip(rows, self.store.entities(rows))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, _: object) -> None:
        self._exit.close()
        if isinstance(error, sqlite3.Error):
            # A full disk, or readers that do not end.
            raise DweError(Errors.E006.format(path=self.kb, reason=error)) from None


def _open(database: Path) -> StoreWriter:
    try:
        return StoreWriter(database)
    except sqlite3.OperationalError as error:
        path = database.parent
        raise DweError(Errors.E006.format(path=path, reason=error)) from None


def clear(kb: Path, version: Version, last: Version) -> None:
    """Remove what no version needs: older snapshots, and what killed writers left.
    Readers that have these files open keep them.

    kb (Path): the KB's folder.
    version (Version): what was committed.
    last (Version): what it replaces.
    """
    for folder in (kb / NAMES_FOLDER).iterdir():
        if folder.name != version.snapshot:
            shutil.rmtree(folder, ignore_errors=True)
    remove_databases(kb, database_of(kb))
    kept = version.meta["vectors"]
    sets = [*kept.values(), *last.meta["vectors"].values()]
    known = {Path(entry["array"]).stem for entry in sets}
    finished = {(name, entry["fingerprint"]) for name, entry in kept.items()}
    named = {Path(file).name for entry in kept.values() for file in files_of(entry)}
    for file in (kb / VECTORS_FOLDER).glob("*"):
        stem = ".".join(file.name.split(".")[:2])
        if file.name in named:
            continue
        if stem in known or _made_for(file.with_name(stem)) in {*finished, None}:
            file.unlink(missing_ok=True)


def _made_for(stem: Path) -> tuple[str, str] | None:
    """RETURNS (tuple[str, str] | None): name and encoder of an unfinished vector set,
    whose vectors may be wanted yet."""
    try:
        made = json.loads(stem.with_name(f"{stem.name}.json").read_text("utf-8"))
        return made["name"], made["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
