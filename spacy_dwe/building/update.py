"""Changing a KnowledgeBase in place: atomically, while others read it.

A KB that is open keeps its version; what was changed is seen when it is opened again.
Only entities whose text or pictures are new are encoded.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tqdm import tqdm

from ..errors import BAR_DELAY, DweError, Errors, Warnings
from ..images import resolve
from ..kb.entity import Entity, kept_by, with_descriptions
from ..kb.knowledge_base import DweKnowledgeBase
from ..kb.storage.folder import databases_in
from ..kb.storage.manifest import writer_lock
from ..kb.storage.store import BATCH, EntityStore, batches
from .build import build_from
from .plans import (
    Encoders,
    SetPlan,
    TextAndImageEncoder,
    by_space,
    plan_sets,
    plans_of,
)
from .revision import Revision

if TYPE_CHECKING:
    from ..encoders.protocol import TextEncoder

Conflict = Literal["error", "keep", "replace"]
"""What to do with an entity whose id is there: refuse all of them, keep the old one,
or take the new one."""


@dataclass(slots=True)
class Changes:
    """What a change did, in entities."""

    added: int = 0
    replaced: int = 0
    kept: int = 0
    unchanged: int = 0
    removed: int = 0


def add_entities(
    path: str | Path,
    entities: Iterable[Entity],
    *,
    on_conflict: Conflict = "error",
    text_encoder: "TextEncoder | None" = None,
    clip: TextAndImageEncoder | None = None,
    encoders: Encoders | None = None,
    image_root: str | Path | None = None,
    device: str = "auto",
    total: int | None = None,
    show_progress: bool = False,
) -> Changes:
    """Add entities to a KB, or change those that it has.

    path (str | Path): the KB's folder.
    entities (Iterable[Entity]): the entities, read once; ids are distinct.
    on_conflict (Conflict): what to do where the KB has an entity with this id: "error",
        "keep" it, or "replace" it as a whole.
    text_encoder, clip, encoders: the encoders of the KB's vectors, as in `build_kb`,
        where they cannot be found as the KB remembers them.
    image_root (str | Path | None): folder that pictures' paths are relative to; None
        means the one of `build_kb`.
    device (str): where to run the KB's own encoders: "auto", "cpu", "cuda".
    total (int | None): how many entities there are, for the progress bar.
    show_progress (bool): show progress bars on stderr.
    RETURNS (Changes): what was done.
    RAISES (DweError): an id is there already (with "error") or occurs twice; an
        encoder is not the one of the KB's vectors; another process writes to the KB.
        The KB is then as it was.
    """

    def add_all(revision: Revision, changes: Changes) -> None:
        rooted = _rooted(entities, _image_root(revision, image_root), revision)
        _add_all(revision, changes, rooted, on_conflict, total, show_progress)

    return _change(
        path,
        add_all,
        by_space(text_encoder, clip, encoders),
        image_root=image_root,
        device=device,
        show_progress=show_progress,
    )


def remove_entities(path: str | Path, ids: Iterable[str]) -> Changes:
    """Remove entities from a KB.

    path (str | Path): the KB's folder.
    ids (Iterable[str]): ids of entities that the KB has.
    RETURNS (Changes): what was done.
    RAISES (DweError): the KB has no entity of an id, or would be empty; it is then as
        it was.
    """
    changes = Changes()
    with Revision(_folder(path)) as revision:
        for names in batches(dict.fromkeys(ids), BATCH):
            rows = revision.store.live(names)
            missing = [name for name in names if name not in rows]
            if missing:
                raise DweError(Errors.E107.format(id=missing[0], path=revision.kb))
            revision.remove(list(rows.values()))
            changes.removed += len(rows)
        if changes.removed == revision.last.meta["entities"]:
            raise DweError(Errors.E115.format(path=revision.kb))
        _publish(revision, ())
    return changes


def merge_kbs(
    path: str | Path,
    others: Sequence[str | Path],
    *,
    on_conflict: Conflict = "error",
    text_encoder: "TextEncoder | None" = None,
    clip: TextAndImageEncoder | None = None,
    encoders: Encoders | None = None,
    image_root: str | Path | None = None,
    device: str = "auto",
    show_progress: bool = False,
) -> Changes:
    """Add the entities of other KBs to a KB. Vectors of the same encoder are taken
    over.

    path (str | Path): folder of the KB that is changed.
    others (Sequence[str | Path]): folders of the KBs to take entities from.
    image_root (str | Path | None): folder that pictures' paths are relative to; None
        means, for each KB, the one it was built with.
    RETURNS (Changes): what was done.
    RAISES (DweError): see `add_entities`.
    """
    folders = [_folder(other) for other in others]
    stores = [EntityStore(folder) for folder in folders]

    def add_all(revision: Revision, changes: Changes) -> None:
        for store in stores:
            meta = store.version.meta
            missing = meta["vectors"].keys() - revision.last.meta["vectors"].keys()
            if missing:
                sets = ", ".join(sorted(missing))
                warnings.warn(
                    Warnings.W101.format(
                        other=store.path.parent, sets=sets, kb=revision.kb
                    ),
                    stacklevel=2,
                )
            root = Path(image_root or meta["image_root"])
            entities = _rooted((entity for _, entity in store), root, revision)
            total = meta["entities"]
            _add_all(revision, changes, entities, on_conflict, total, show_progress)

    return _change(
        path,
        add_all,
        by_space(text_encoder, clip, encoders),
        image_root=image_root,
        device=device,
        donors=folders,
        show_progress=show_progress,
    )


def encode_kb(
    path: str | Path,
    *,
    text_encoder: "TextEncoder | None" = None,
    clip: TextAndImageEncoder | None = None,
    encoders: Encoders | None = None,
    image_root: str | Path | None = None,
    show_progress: bool = False,
) -> None:
    """Give a KB vectors, or replace those of another encoder. What was encoded when
    this was stopped is not encoded again.

    path (str | Path): the KB's folder.
    text_encoder (TextEncoder | None): makes the vectors of description@text.
    clip (TextAndImageEncoder | None): makes the vectors of description@clip and
        image@clip.
    encoders (Encoders | None): more encoders, by space, as in `build_kb`.
    image_root (str | Path | None): folder that pictures' paths are relative to; None
        means the one of `build_kb`.
    """
    with Revision(_folder(path)) as revision:
        root = _image_root(revision, image_root)
        revision.publish(
            plan_sets(by_space(text_encoder, clip, encoders), root),
            replace=True,
            meta={"image_root": str(root)},
            show_progress=show_progress,
        )


def rebuild_kb(
    path: str | Path,
    *,
    text_encoder: "TextEncoder | None" = None,
    clip: TextAndImageEncoder | None = None,
    encoders: Encoders | None = None,
    image_root: str | Path | None = None,
    device: str = "auto",
    vectors: Literal["reuse", "encode", "drop"] = "reuse",
    show_progress: bool = False,
) -> DweKnowledgeBase:
    """Make everything but the entities again: names, facts and vectors. It repairs a
    KB whose database is whole, and drops the rows of removed entities.

    path (str | Path): the KB's folder.
    text_encoder, clip, encoders: the encoders of the KB's vectors, as in `build_kb`,
        where they cannot be found as the KB remembers them.
    image_root (str | Path | None): folder that pictures' paths are relative to; None
        means the one of `build_kb`.
    device (str): where to run the KB's own encoders: "auto", "cpu", "cuda".
    vectors ("reuse" | "encode" | "drop"): keep the vectors that are sound and encode
        the rest; encode all again; or go without.
    show_progress (bool): show progress bars on stderr.
    RETURNS (DweKnowledgeBase): the KB, opened.
    """
    folder = _folder(path)
    with writer_lock(folder):
        store = EntityStore(folder)
        meta = store.version.meta
        root = Path(image_root or meta["image_root"]).expanduser().absolute()
        plans: Sequence[SetPlan] = ()
        if vectors != "drop" and meta["vectors"]:
            plans = plans_of(
                meta["vectors"],
                encoders=by_space(text_encoder, clip, encoders),
                device=device,
                image_root=root,
                base=folder,
            )
        return build_from(
            (entity for _, entity in store),
            folder,
            plans=plans,
            image_root=root,
            descriptions=kept_by(meta),
            overwrite=True,
            total=meta["entities"],
            show_progress=show_progress,
            take_over=vectors == "reuse",
            lock=False,
        )


def _change(
    path: str | Path,
    work: Callable[[Revision, Changes], None],
    encoders: Encoders,
    *,
    image_root: str | Path | None,
    device: str,
    show_progress: bool,
    donors: Sequence[Path] = (),
) -> Changes:
    changes = Changes()
    with Revision(_folder(path)) as revision:
        meta = revision.last.meta
        root = _image_root(revision, image_root)
        plans: Sequence[SetPlan] = ()
        if meta["vectors"]:
            plans = plans_of(
                meta["vectors"],
                encoders=encoders,
                device=device,
                image_root=root,
                base=revision.kb,
            )
        work(revision, changes)
        _publish(revision, plans, donors, show_progress)
    return changes


def _publish(
    revision: Revision,
    plans: Sequence[SetPlan],
    donors: Sequence[Path] = (),
    show_progress: bool = False,
) -> None:
    if not revision.is_empty:
        revision.publish(plans, donors=donors, show_progress=show_progress)


def _add_all(
    revision: Revision,
    changes: Changes,
    entities: Iterable[Entity],
    on_conflict: Conflict,
    total: int | None,
    show_progress: bool,
) -> None:
    with tqdm(
        total=total, unit=" entities", delay=BAR_DELAY, disable=not show_progress
    ) as progress:
        first_row = revision.store.n_rows
        entities = with_descriptions(entities, kept_by(revision.last.meta))
        for batch in batches(entities, BATCH):
            _add(revision, changes, batch, on_conflict, first_row)
            progress.update(len(batch))


def _add(
    revision: Revision,
    changes: Changes,
    batch: list[Entity],
    on_conflict: Conflict,
    first_row: int,
) -> None:
    """first_row (int): rows from there on are of the same source as the batch."""
    store = revision.store
    ids = [entity.id for entity in batch]
    if len({*ids}) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise DweError(Errors.E112.format(id=twice))
    there = store.live(ids)
    for name, row in there.items():
        if row >= first_row:
            raise DweError(Errors.E112.format(id=name))
    old = dict(zip(there, store.entities(list(there.values()))))
    new = []
    for entity in batch:
        before = old.get(entity.id)
        if before is None:
            changes.added += 1
        elif before == entity:
            changes.unchanged += 1
            continue
        elif on_conflict == "keep":
            changes.kept += 1
            continue
        elif on_conflict == "replace":
            changes.replaced += 1
            revision.remove([there[entity.id]])
        else:
            raise DweError(Errors.E116.format(id=entity.id, path=revision.kb))
        new.append(entity)
    revision.add(new)


def _rooted(
    entities: Iterable[Entity], root: Path, revision: Revision
) -> Iterator[Entity]:
    """YIELDS (Entity): the entities; where pictures lie in another folder than the
    KB's other ones, with paths that hold from any folder."""
    is_same = root.resolve() == _image_root(revision, None).resolve()
    for entity in entities:
        if is_same or not entity.images:
            yield entity
        else:
            paths = (ref.path or "" for ref in resolve(entity.images, root))
            yield replace(entity, images=tuple(paths))


def _image_root(revision: Revision, image_root: str | Path | None) -> Path:
    if image_root is None:
        return Path(revision.last.meta["image_root"])
    return Path(image_root).expanduser().absolute()


def _folder(path: str | Path) -> Path:
    folder = Path(path).expanduser().absolute()
    if not folder.exists():
        raise DweError(Errors.E001.format(path=folder))
    if not databases_in(folder):
        raise DweError(Errors.E103.format(path=folder))
    return folder
