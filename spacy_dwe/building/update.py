"""Changing a KnowledgeBase in place: atomically, while others read it.

A KB that is open keeps its version; what was changed is seen when it is opened again.
Only entities whose text or pictures are new are encoded.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from tqdm import tqdm

from ..errors import BAR_DELAY, DweError, Errors, Warnings
from ..images import resolve
from ..kb.entity import Entity, kept_by, with_descriptions
from ..kb.knowledge_base import DweKnowledgeBase
from ..kb.storage.folder import OLDEST, databases_in, is_of_earlier_format
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


class Encoding(TypedDict, total=False):
    """How the vectors of a KB that is there are made.

    text_encoder, clip, encoders: the encoders of the KB's vectors, as in `build_kb`,
        where they cannot be found as the KB remembers them.
    image_root (str | Path | None): folder that pictures' paths are relative to; None
        means the one of `build_kb`.
    device (str): where to run the KB's own encoders: "auto", "cpu", "cuda".
    show_progress (bool): show progress bars on stderr.
    """

    text_encoder: "TextEncoder | None"
    clip: TextAndImageEncoder | None
    encoders: Encoders | None
    image_root: str | Path | None
    device: str
    show_progress: bool


def add_entities(
    path: str | Path,
    entities: Iterable[Entity],
    *,
    on_conflict: Conflict = "error",
    total: int | None = None,
    **encoding: Unpack[Encoding],
) -> Changes:
    """Add entities to a KB, or change those that it has.

    path (str | Path): the KB's folder.
    entities (Iterable[Entity]): the entities, read once; ids are distinct.
    on_conflict (Conflict): what to do where the KB has an entity with this id: "error",
        "keep" it, or "replace" it as a whole.
    total (int | None): how many entities there are, for the progress bar.
    **encoding: see `Encoding`.
    RETURNS (Changes): what was done.
    RAISES (DweError): an id is there already (with "error") or occurs twice; an
        encoder is not the one of the KB's vectors; another process writes to the KB.
        The KB is then as it was.
    """
    own = _Encoding(**encoding)
    with Revision(_folder(path)) as revision:
        plans = own.plans(revision.kb, revision.last.meta)
        addition = _Addition(revision, on_conflict, own.show_progress)
        addition.add_all(entities, own.root(revision.last.meta), total)
        addition.publish(plans)
    return addition.changes


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
        if changes.removed:
            revision.publish()
    return changes


def merge_kbs(
    path: str | Path,
    others: Sequence[str | Path],
    *,
    on_conflict: Conflict = "error",
    **encoding: Unpack[Encoding],
) -> Changes:
    """Add the entities of other KBs to a KB. Vectors of the same encoder are taken
    over.

    path (str | Path): folder of the KB that is changed.
    others (Sequence[str | Path]): folders of the KBs to take entities from.
    on_conflict (Conflict): see `add_entities`.
    **encoding: see `Encoding`; without `image_root`, each KB has the one it was built
        with.
    RETURNS (Changes): what was done.
    RAISES (DweError): see `add_entities`.
    """
    own = _Encoding(**encoding)
    folders = [_folder(other) for other in others]
    stores = [EntityStore(folder) for folder in folders]
    with Revision(_folder(path)) as revision:
        plans = own.plans(revision.kb, revision.last.meta)
        addition = _Addition(revision, on_conflict, own.show_progress)
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
            entities = (entity for _, entity in store)
            addition.add_all(entities, own.root(meta), meta["entities"])
        addition.publish(plans, folders)
    return addition.changes


def encode_kb(path: str | Path, **encoding: Unpack[Encoding]) -> None:
    """Give a KB vectors, or replace those of another encoder. What was encoded when
    this was stopped is not encoded again.

    path (str | Path): the KB's folder.
    **encoding: see `Encoding`, without `device`: only the encoders that are given make
        vectors, and they need not be the KB's.
    """
    own = _Encoding(**encoding)
    with Revision(_folder(path)) as revision:
        root = own.root(revision.last.meta)
        revision.publish(
            plan_sets(own.by_space, root),
            replace=True,
            meta={"image_root": str(root)},
            show_progress=own.show_progress,
        )


def rebuild_kb(
    path: str | Path,
    *,
    vectors: Literal["reuse", "encode", "drop"] = "reuse",
    **encoding: Unpack[Encoding],
) -> DweKnowledgeBase:
    """Make everything but the entities again: names, facts and vectors. It repairs a
    KB whose database is whole, and drops the rows of removed entities. One of an
    earlier format gets names anew and keeps all its vectors ("reuse"): their pictures
    may be out of reach.

    path (str | Path): the KB's folder.
    vectors ("reuse" | "encode" | "drop"): keep the vectors that are sound and encode
        the rest; encode all again; or go without.
    **encoding: see `Encoding`.
    RETURNS (DweKnowledgeBase): the KB, opened.
    """
    own, folder = _Encoding(**encoding), _folder(path)
    with writer_lock(folder):
        store = EntityStore(folder, OLDEST)
        meta = store.version.meta
        if vectors == "reuse" and is_of_earlier_format(folder, meta["format"]):
            with Revision(folder, lock=False, renew=True) as revision:
                revision.publish(show_progress=own.show_progress)
            return DweKnowledgeBase(folder)
        return build_from(
            (entity for _, entity in store),
            folder,
            plans=() if vectors == "drop" else own.plans(folder, meta),
            image_root=own.root(meta),
            descriptions=kept_by(meta),
            overwrite=True,
            total=meta["entities"],
            show_progress=own.show_progress,
            take_over=vectors == "reuse",
            lock=False,
        )


@dataclass(frozen=True, slots=True)
class _Encoding:
    """What an `Encoding` says, and what follows from it for a KB."""

    text_encoder: "TextEncoder | None" = None
    clip: TextAndImageEncoder | None = None
    encoders: Encoders | None = None
    image_root: str | Path | None = None
    device: str = "auto"
    show_progress: bool = False

    @property
    def by_space(self) -> Encoders:
        return by_space(self.text_encoder, self.clip, self.encoders)

    def root(self, meta: Mapping[str, Any]) -> Path:
        """RETURNS (Path): folder that pictures' paths are relative to."""
        return Path(self.image_root or meta["image_root"]).expanduser().absolute()

    def plans(self, kb: Path, meta: Mapping[str, Any]) -> Sequence[SetPlan]:
        """RETURNS (Sequence[SetPlan]): of the sets that a KB has, and of the encoders
        that are given."""
        return plans_of(
            meta["vectors"],
            encoders=self.by_space,
            device=self.device,
            image_root=self.root(meta),
            base=kb,
        )


@dataclass(frozen=True, slots=True)
class _Addition:
    """Entities that join a KB in one revision."""

    revision: Revision
    on_conflict: Conflict
    show_progress: bool
    changes: Changes = field(default_factory=Changes)

    def add_all(
        self, entities: Iterable[Entity], root: Path, total: int | None
    ) -> None:
        """root (Path): folder that the paths of their pictures are relative to."""
        meta, first_row = self.revision.last.meta, self.revision.store.n_rows
        if root.resolve() != Path(meta["image_root"]).resolve():
            entities = (_rooted(entity, root) for entity in entities)
        with tqdm(
            total=total,
            unit=" entities",
            delay=BAR_DELAY,
            disable=not self.show_progress,
        ) as progress:
            for batch in batches(with_descriptions(entities, kept_by(meta)), BATCH):
                self._add(batch, first_row)
                progress.update(len(batch))

    def publish(self, plans: Sequence[SetPlan], donors: Sequence[Path] = ()) -> None:
        """Commit, if there is anything new."""
        if not self.revision.is_empty:
            self.revision.publish(
                plans, donors=donors, show_progress=self.show_progress
            )

    def _add(self, batch: list[Entity], first_row: int) -> None:
        """first_row (int): rows from there on are of the same source as the batch."""
        store, changes = self.revision.store, self.changes
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
            elif self.on_conflict == "keep":
                changes.kept += 1
                continue
            elif self.on_conflict == "replace":
                changes.replaced += 1
                self.revision.remove([there[entity.id]])
            else:
                raise DweError(Errors.E116.format(id=entity.id, path=self.revision.kb))
            new.append(entity)
        self.revision.add(new)


def _rooted(entity: Entity, root: Path) -> Entity:
    """RETURNS (Entity): with paths of pictures that hold from any folder."""
    paths = (ref.path or "" for ref in resolve(entity.images, root))
    return replace(entity, images=tuple(paths))


def _folder(path: str | Path) -> Path:
    folder = Path(path).expanduser().absolute()
    if not folder.exists():
        raise DweError(Errors.E001.format(path=folder))
    if not databases_in(folder):
        raise DweError(Errors.E103.format(path=folder))
    return folder
