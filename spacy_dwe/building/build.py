"""Building a KnowledgeBase: all of it appears at once, or nothing does."""

import glob
import secrets
import shutil
import sqlite3
from collections.abc import Iterable, Sequence, Sized
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from ..errors import BAR_DELAY, DweError, Errors
from ..kb.entity import FULL, META_KEY, Entity, with_descriptions
from ..kb.index.snapshot import FOLDER as NAMES_FOLDER
from ..kb.index.snapshot import SnapshotWriter
from ..kb.knowledge_base import DweKnowledgeBase
from ..kb.storage.folder import (
    META_FILE,
    database_of,
    databases_in,
    new_database,
    remove_databases,
    write_meta,
)
from ..kb.storage.manifest import FILE_NAME as LOCK_FILE
from ..kb.storage.manifest import file_records, is_locked, writer_lock
from ..kb.storage.store import BATCH, FORMAT, StoreWriter, Version, batches
from ..kb.vectors.sets import FOLDER as VECTORS_FOLDER
from .plans import Encoders, SetPlan, TextAndImageEncoder, by_space, plan_sets
from .revision import Revision

if TYPE_CHECKING:
    from ..encoders.protocol import TextEncoder


def build_kb(
    entities: Iterable[Entity],
    out: str | Path,
    *,
    text_encoder: "TextEncoder | None" = None,
    clip: TextAndImageEncoder | None = None,
    encoders: Encoders | None = None,
    image_root: str | Path | None = None,
    descriptions: str = FULL,
    overwrite: bool = False,
    total: int | None = None,
    show_progress: bool = False,
) -> DweKnowledgeBase:
    """Build a KB from entities. It is made in a folder beside `out` and put in place
    when it is complete.

    Vectors are known by what they were made from: those that the KB at `out` has, or
    that a build of it had made when it was stopped, are taken over.

    entities (Iterable[Entity]): the entities, read once; ids are distinct.
    out (str | Path): the KB's folder.
    text_encoder (TextEncoder | None): makes the vectors of description@text.
    clip (TextAndImageEncoder | None): makes the vectors of description@clip and
        image@clip.
    encoders (Encoders | None): more encoders, by what the KB is to call their spaces:
        each makes the vectors of descriptions if it has `encode_texts`, and those of
        pictures if it has `encode_images`.
    image_root (str | Path | None): folder that pictures' paths are relative to; None
        means the current one.
    descriptions (str): how much of them is kept, see `descriptions.KINDS`. The KB
        remembers it for entities that are added later.
    overwrite (bool): replace a KB that is there. Readers keep the old one until they
        open it again.
    total (int | None): how many entities there are, for the progress bar.
    show_progress (bool): show progress bars on stderr.
    RETURNS (DweKnowledgeBase): the new KB, opened.
    RAISES (DweError): an id occurs twice, there are no entities, or `out` cannot be
        written.
    """
    if total is None and isinstance(entities, Sized):
        total = len(entities)
    root = Path(image_root or ".").expanduser().absolute()
    return build_from(
        with_descriptions(entities, descriptions),
        Path(out).expanduser().absolute(),
        plans=plan_sets(by_space(text_encoder, clip, encoders), root),
        image_root=root,
        descriptions=descriptions,
        overwrite=overwrite,
        total=total,
        show_progress=show_progress,
    )


def build_from(
    entities: Iterable[Entity],
    out: Path,
    *,
    plans: Sequence[SetPlan],
    image_root: Path,
    descriptions: str,
    overwrite: bool,
    total: int | None,
    show_progress: bool,
    take_over: bool = True,
    lock: bool = True,
) -> DweKnowledgeBase:
    """Build a KB, see `build_kb`.

    entities (Iterable[Entity]): with as much of their descriptions as is kept.
    plans (Sequence[SetPlan]): how its vectors are made.
    descriptions (str): how much of them that is.
    take_over (bool): use vectors that the KB at `out` has.
    lock (bool): False if the caller holds the lock of the KB at `out`.
    """
    check_output(out, overwrite)
    snapshot = secrets.token_hex(4)
    out = out.resolve()
    draft = _beside(out) / f".{out.name}.{snapshot}.draft"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        draft.mkdir()
    except OSError as error:
        raise DweError(
            Errors.E006.format(path=out, reason=error.strerror or error)
        ) from None
    abandoned = _abandoned(out)
    try:
        with writer_lock(draft):
            with tqdm(
                total=total,
                unit=" entities",
                delay=BAR_DELAY,
                disable=not show_progress,
            ) as progress:
                further = {"image_root": str(image_root)}
                if descriptions != FULL:
                    further[META_KEY] = descriptions
                _write(entities, draft, out, further, snapshot, progress)
            if plans:
                donors = [*abandoned, *([out] if take_over and out.exists() else [])]
                with Revision(draft, lock=False) as revision:
                    revision.publish(
                        plans, donors=donors, home=out, show_progress=show_progress
                    )
            with writer_lock(out) if lock and out.exists() else nullcontext():
                _publish(draft, out)
    except BaseException as error:
        # Vectors are dear: those of a build that was stopped serve the next one.
        if not _holds_vectors(draft):
            shutil.rmtree(draft, ignore_errors=True)
        if isinstance(error, sqlite3.Error):
            raise DweError(Errors.E006.format(path=out, reason=error)) from None
        raise
    for folder in (draft, *abandoned):
        shutil.rmtree(folder, ignore_errors=True)
    return DweKnowledgeBase(out)


def _write(
    entities: Iterable[Entity],
    draft: Path,
    out: Path,
    further: dict[str, Any],
    name: str,
    progress: Any,
) -> None:
    """Write a KB without vectors.

    further (dict[str, Any]): more entries of its meta.
    """
    database = new_database(name)
    with StoreWriter(draft / database, create=True) as store:
        snapshot = SnapshotWriter(draft, name)
        try:
            for batch in batches(entities, BATCH):
                store.add(batch, version=1)
                snapshot.add(batch)
                progress.update(len(batch))
            if not store.n_rows:
                raise DweError(Errors.E111.format(path=out))
            store.index()
            none = np.zeros(0, dtype=np.int32)
            counts = snapshot.finish(none, none, store.rows_by_id())
        except BaseException:
            snapshot.discard()
            raise
        meta = {
            "format": FORMAT,
            "version": 1,
            **(counts or {}),
            "counted_rows": store.n_rows,
            "counted_removed": 0,
            **further,
            "vectors": {},
        }
        store.commit(Version(1, name, meta), file_records(draft, name, {}))
    write_meta(draft, meta, database)


def check_output(out: Path, overwrite: bool) -> None:
    """RAISES (DweError): no KB can be built there."""
    if not out.exists() and not out.is_symlink():
        return
    if not databases_in(out):
        raise DweError(Errors.E110.format(path=out, what="KnowledgeBase"))
    if not overwrite:
        raise DweError(Errors.E109.format(path=out))


def _beside(out: Path) -> Path:
    """RETURNS (Path): where drafts can be renamed from: beside a KB, but in one that is
    a mount point."""
    if out.is_dir() and out.stat().st_dev != out.parent.stat().st_dev:
        return out
    return out.parent


def _abandoned(out: Path) -> list[Path]:
    """RETURNS (list[Path]): drafts of the same KB whose builds were stopped. A build
    that is alive holds the lock of its draft."""
    drafts = _beside(out).glob(f".{glob.escape(out.name)}.*.draft")
    return [
        draft
        for draft in sorted(drafts)
        if (draft / LOCK_FILE).is_file() and not is_locked(draft)
    ]


def _holds_vectors(draft: Path) -> bool:
    folder = draft / VECTORS_FOLDER
    return any(file.stat().st_size > 128 for file in folder.glob("*.keys.npy"))


def _publish(draft: Path, out: Path) -> None:
    if not out.exists():
        draft.rename(out)
        return
    # The new files lie beside the old ones until meta.json, which names the database
    # that counts, is replaced: a kill before leaves the old KB, one after the new.
    database = database_of(draft)
    new = []
    for folder in (NAMES_FOLDER, VECTORS_FOLDER):
        (out / folder).mkdir(exist_ok=True)
        for item in sorted((draft / folder).glob("*")):
            item.rename(out / folder / item.name)
            new.append(out / folder / item.name)
    database.rename(out / database.name)
    (draft / META_FILE).replace(out / META_FILE)
    for folder in (NAMES_FOLDER, VECTORS_FOLDER):
        for item in (out / folder).iterdir():
            if item not in new:
                _remove(item)
    remove_databases(out, out / database.name)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()
