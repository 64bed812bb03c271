"""Making the vectors of a KB's entities, of those alone that have none yet."""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ..encoders.registry import spec_inside
from ..errors import BAR_DELAY, DweError, Errors, Warnings
from ..kb.arrays import stem_of
from ..kb.entity import Entity
from ..kb.vectors.fields import Field, field_of, require_unit, unit_length
from ..kb.vectors.files import (
    DistinctKeys,
    Header,
    KeysOfRows,
    VectorWriter,
    extend_index,
    find_keys,
    new_stem,
    places_of,
    remove_set,
    stored_sets,
    with_places,
)
from ..kb.vectors.sets import (
    CLIP_SPACE,
    DESCRIPTION,
    FOLDER,
    PICTURES_SPACE,
    TEXT_SPACE,
    SetName,
    measure,
)
from ..kb.vectors.standard import standardise
from .contents import encode_contents
from .plans import SetPlan

_SECONDS = 15.0
"""What a kill may lose: the time that a chunk is aimed at."""
_GROWTH = 4
_KEYS_BAR_DELAY = 3.0
_COPIED = 4096

EntitiesFrom = Callable[[int], Iterable[tuple[int, Entity]]]
"""The live rows from a row on, in order, with their entities."""


def chunks(entities: Iterable[Entity], field: Field) -> Iterator[list[Entity]]:
    """Split entities by the time that the caller takes between chunks. Batches of a
    long one are the more even in length; a short one is the sooner safe from a kill.

    entities (Iterable[Entity]): read chunk by chunk.
    field (Field): what of them is encoded.
    YIELDS (list[Entity]): the next ones, at least one.
    """
    size = field.first_chunk
    chunk: list[Entity] = []
    weight = 0
    for entity in entities:
        own = field.weight(entity)
        if chunk and weight + own > size:
            started = time.monotonic()
            yield chunk
            seconds = max(time.monotonic() - started, 1e-3)
            size = int(size * min(_GROWTH, _SECONDS / seconds))
            size = max(1, min(size, field.most))
            chunk, weight = [], 0
        chunk.append(entity)
        weight += own
    if chunk:
        yield chunk


def build_vectors(
    folder: Path,
    snapshot: str,
    *,
    plans: Sequence[SetPlan],
    committed: Mapping[str, Mapping[str, Any]],
    entities: EntitiesFrom,
    n_rows: int,
    donors: Sequence[Path] = (),
    replace: bool = False,
    home: Path | None = None,
    show_progress: bool = False,
) -> dict[str, dict[str, Any]]:
    """Make the vectors of a KB, or those of its new rows. Contents that are equal share
    a vector; contents whose vector is found in the folder or in a donor are not encoded
    again. What a version names is only appended to, so readers see no change.

    folder (Path): the KB's folder, or its draft; one process writes at a time.
    snapshot (str): part of the names of new files; one that no version has used.
    plans (Sequence[SetPlan]): the sets to make.
    committed (Mapping): "vectors" in the meta of the version that is extended; empty
        for a new KB. A set that is left out is made for all rows.
    entities (EntitiesFrom): the live entities; read twice if something is to be
        encoded.
    n_rows (int): rows of the new version.
    donors (Sequence[Path]): folders of other KBs, or of drafts that were given up,
        whose vectors are taken where field and encoder are the same.
    replace (bool): make a committed set anew if its plan's encoder is another one;
        without it that is an error.
    home (Path | None): where a draft will be, which may hold its encoders; None means
        `folder`.
    show_progress (bool): show progress bars on stderr.
    RETURNS (dict[str, dict[str, Any]]): each set's entry in the version's meta; sets
        without any vector are left out.
    RAISES (DweError): a set's encoder is another one now or gives no unit vectors, or
        new rows need vectors of a committed set that has no plan.
    """
    (folder / FOLDER).mkdir(exist_ok=True)
    kept = {
        SetName.read(name): with_places(folder, entry)
        for name, entry in committed.items()
    }
    if replace:
        for plan in plans:
            entry = kept.get(plan.name)
            if entry and entry["fingerprint"] != plan.encoder.fingerprint:
                del kept[plan.name]
    build = _Build(
        folder, snapshot, entities, n_rows, donors, home or folder, show_progress
    )
    keys = build.read_keys(plans, kept)
    entries = {}
    for plan in plans:
        entry = build.make(plan, kept.get(plan.name), keys[plan.field])
        if entry is not None:
            entries[plan.name] = entry
    made = {name.space for name in entries}
    for space in dict.fromkeys(plan.name.space for plan in plans):
        if space not in made:
            message = Warnings.W102.format(kb=home or folder, space=space)
            warnings.warn(message, stacklevel=2)
    for name in kept.keys() - {plan.name for plan in plans}:
        entries[name] = build.carry_over(name, kept[name])
    # Where a KB is asked for vectors of any space, those that came first serve.
    older = map(SetName.read, committed)
    first = {name: entries[name] for name in older if name in entries}
    entries = {**first, **entries}
    measure(folder, entries)
    return {str(name): entry for name, entry in entries.items()}


@dataclass(frozen=True, slots=True)
class _Build:
    """One run of `build_vectors`, which explains the fields."""

    folder: Path
    snapshot: str
    entities: EntitiesFrom
    n_rows: int
    donors: Sequence[Path]
    home: Path
    show_progress: bool

    def read_keys(
        self, plans: Sequence[SetPlan], kept: Mapping[SetName, Mapping[str, Any]]
    ) -> dict[Field, KeysOfRows]:
        """RETURNS (dict[Field, KeysOfRows]): keys of the rows that a set is to get,
        for each field."""
        firsts: dict[Field, int] = {}
        for plan in plans:
            first = kept[plan.name]["rows"] if plan.name in kept else 0
            firsts[plan.field] = min(first, firsts.get(plan.field, first))
        tables = {c: KeysOfRows(first, self.n_rows) for c, first in firsts.items()}
        start = min(firsts.values(), default=self.n_rows)
        if start >= self.n_rows:
            return tables
        for row, entity in self._bar(
            self.entities(start),
            desc="Reading entities",
            total=self.n_rows - start,
            delay=_KEYS_BAR_DELAY,
        ):
            for field, table in tables.items():
                if row >= table.first_row:
                    table.add(row, field.keys(entity))
        return tables

    def make(
        self, plan: SetPlan, entry: dict[str, Any] | None, table: KeysOfRows
    ) -> dict[str, Any] | None:
        """Make a set, or extend it.

        entry (dict[str, Any] | None): of the set as committed; None for a new one.
        table (KeysOfRows): keys of the rows it is to get.
        RETURNS (dict[str, Any] | None): its new entry; None for an empty set.
        """
        first_row = 0 if entry is None else entry["rows"]
        keys, counts = table.since(first_row)
        if not len(keys):
            return None if entry is None else self._extended(entry)
        header, stem = self._files(plan, entry)
        wanted = DistinctKeys.of(keys)
        owners = np.repeat(np.arange(len(counts)), counts)
        with VectorWriter(
            self.folder,
            stem,
            header.dim,
            committed=0 if entry is None else entry["count"],
        ) as writer:
            places = places_of(wanted.keys, writer.known_keys)
            self._copy(header, stem, wanted.keys, places, writer)
            if (places < 0).any():
                if entry is not None or plan.known is not None:
                    header = self._checked(plan, header)
                rows = first_row + owners[wanted.first[places < 0]]
                self._encode(plan, header, wanted, np.unique(rows), places, writer)
            size = len(writer)
        if not size:
            remove_set(self.folder, stem)
            return None
        used = places[wanted.inverse]
        there = used >= 0
        counts = np.bincount(owners[there], minlength=len(counts))
        extend_index(self.folder, stem, first_row, counts, used[there])
        made = {
            **(entry or {}),
            "field": plan.name.field,
            "encoder": plan.name.space,
            "spec": spec_inside(header.spec, self.home),
            "fingerprint": header.fingerprint,
            "dim": header.dim,
            "count": size,
            "rows": self.n_rows,
            "uses": int(there.sum()) + (entry["uses"] if entry else 0),
            "array": f"{stem}.npy",
        }
        if plan.standardise:
            made |= standardise(self.folder, made, entry)
        return made

    def carry_over(self, name: SetName, entry: dict[str, Any]) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): the entry of a committed set that has no plan.
        RAISES (DweError): a new row needs a vector of it."""
        field = field_of(name.field, Path())
        if entry["rows"] < self.n_rows:
            for _, entity in self.entities(entry["rows"]):
                if field.has(entity):
                    raise DweError(
                        Errors.E171.format(
                            kb=self.folder,
                            name=name,
                            id=entity.id,
                            option=_option(name.space),
                        )
                    )
        return self._extended(entry)

    def _extended(self, entry: dict[str, Any]) -> dict[str, Any]:
        """A committed set whose new rows have no vector."""
        new = np.zeros(self.n_rows - entry["rows"], dtype=np.int32)
        if len(new):
            stem = stem_of(entry)
            extend_index(self.folder, stem, entry["rows"], new, new[:0])
        return {**entry, "rows": self.n_rows}

    def _files(self, plan: SetPlan, entry: dict[str, Any] | None) -> tuple[Header, str]:
        if entry is None:
            header = plan.known or plan.header()
            return header, new_stem(self.folder, self.snapshot, header)
        stem = stem_of(entry)
        fingerprint, dim = entry["fingerprint"], entry["dim"]
        return Header(plan.name, fingerprint, dim, entry["spec"]), stem

    def _checked(self, plan: SetPlan, header: Header) -> Header:
        """The header of a set that the plan's encoder does belong to."""
        ours = plan.header()
        if ours.fingerprint != header.fingerprint:
            raise DweError(
                Errors.E170.format(
                    kb=self.folder,
                    name=plan.name,
                    theirs=header.fingerprint,
                    ours=ours.fingerprint,
                    option=_option(plan.name.space),
                )
            )
        return ours

    def _copy(
        self,
        header: Header,
        stem: str,
        wanted: np.ndarray,
        places: np.ndarray,
        writer: VectorWriter,
    ) -> None:
        """Take over vectors of other sets; fills `places`."""
        own = self.folder / f"{stem}.json"
        if (places >= 0).all():
            return
        for folder in (self.folder, *self.donors):
            for stored in stored_sets(folder, header, but=own):
                missing = np.flatnonzero(places < 0)
                there = places_of(wanted[missing], stored.keys)
                missing, there = missing[there >= 0], there[there >= 0]
                order = np.argsort(there)
                for start in range(0, len(order), _COPIED):
                    some = order[start : start + _COPIED]
                    vectors = stored.vectors[there[some]]
                    sound = unit_length(vectors)
                    copied = missing[some][sound]
                    places[copied] = writer.append(vectors[sound], wanted[copied])

    def _encode(
        self,
        plan: SetPlan,
        header: Header,
        wanted: DistinctKeys,
        rows: np.ndarray,
        places: np.ndarray,
        writer: VectorWriter,
    ) -> None:
        """Encode contents chunk by chunk.

        wanted (DistinctKeys): of the contents.
        rows (np.ndarray): rows where those are that have no place yet, in order.
        places (np.ndarray): of the contents, -1 for none; is filled.
            Shape: (n_distinct,)
        """
        field = plan.field
        what = "descriptions" if plan.name.field == DESCRIPTION else "pictures"

        def place_of(keys: Sequence[bytes]) -> np.ndarray:
            numbers = np.frombuffer(b"".join(keys), dtype=np.uint64).reshape(-1, 2)
            return find_keys(numbers, wanted.keys)

        def is_wanted(key: bytes) -> bool:
            own = int(place_of([key])[0])
            return own >= 0 and places[own] < 0

        with self._bar(
            desc=f"Encoding {what} ({plan.name.space})",
            total=len(rows),
            delay=BAR_DELAY,
            smoothing=0,
        ) as bar:
            done = 0
            for chunk in chunks(self._entities_at(rows), field):
                encoded = encode_contents(plan, chunk, is_wanted, bar.update)
                if encoded.keys:
                    require_unit(
                        encoded.vectors, header.dim, header.fingerprint, str(plan.name)
                    )
                    own = place_of(encoded.keys)
                    places[own] = writer.append(encoded.vectors, wanted.keys[own])
                done += len(chunk)
                bar.update(done - bar.n)

    def _entities_at(self, rows: np.ndarray) -> Iterator[Entity]:
        """The entities of rows in ascending order."""
        pending = 0
        for row, entity in self.entities(int(rows[0])):
            if row == rows[pending]:
                yield entity
                pending += 1
                if pending == len(rows):
                    return

    def _bar(self, *args: Any, **kwargs: Any) -> Any:
        return tqdm(*args, unit=" entities", disable=not self.show_progress, **kwargs)


def _option(space: str) -> str:
    options = {CLIP_SPACE: "--clip", TEXT_SPACE: "--text-encoder"}
    options[PICTURES_SPACE] = "--picture-encoder"
    return options.get(space, f"--encoder {space}=NAME")
