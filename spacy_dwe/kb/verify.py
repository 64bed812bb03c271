"""Finding corruption: what a KB's files hold against what its store says of them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from ..errors import BAR_DELAY, DweError
from ..names.normalisation import text_hashes
from .entity import Entity
from .index.lexicon import Lexicon
from .index.lexicon_writer import names_of
from .knowledge_base import DweKnowledgeBase, check_format
from .storage.manifest import problem
from .storage.store import BATCH, EntityStore, batches, entity_checksum

Item = TypeVar("Item")


def kb_problems(path: str | Path, *, show_progress: bool = False) -> Iterator[str]:
    """Read all of a KB and compare: the database with its own structure, every file
    with its checksum, names and facts with the entities they were made from, vectors
    with what vectors must be.

    path (str | Path): the KB's folder.
    show_progress (bool): show progress bars on stderr.
    YIELDS (str): what is wrong, a line each; nothing for a sound KB.
    RAISES (DweError): the path is no KB, or one of a newer spacy-dwe.
    """
    folder = Path(path).expanduser().absolute()
    check_format(folder)
    try:
        store = EntityStore(folder)
        found = store.integrity_problems()
        yield from (f"{store.path.name}: {line}" for line in found)
        for record in _shown(store.files(), "files", show_progress):
            if reason := problem(folder, record):
                found.append(reason)
                yield reason
        if not found:
            kb = DweKnowledgeBase(folder)
            yield from _in_names(kb, show_progress)
            yield from _in_vectors(kb, show_progress)
    except DweError as error:
        yield str(error)


def _in_names(kb: DweKnowledgeBase, show_progress: bool) -> Iterator[str]:
    lexicon, store = kb.lexicon, kb.store
    entities = _shown(store, "entities", show_progress, len(kb))
    n_live = n_names = 0
    for batch in batches(entities, BATCH):
        rows = [row for row, _ in batch]
        checksums = dict(zip(rows, store.checksums(rows)))
        for row, entity in batch:
            n_live += 1
            n_names += lexicon.entity_names[row + 1] - lexicon.entity_names[row]
            if entity_checksum(entity) != checksums[row]:
                yield f"{store.path.name}: entity {entity.id} has been altered"
            elif not _agrees(lexicon, row, entity):
                yield f"the names and facts of entity {entity.id} are not its own"
    for what, counted in (("entities", n_live), ("names", n_names)):
        if counted != kb.meta[what]:
            yield f"{counted:,} {what} where the meta counts {kb.meta[what]:,}"
    if len(lexicon.sorted_name) != n_names or (np.diff(lexicon.sorted_name) == 0).any():
        yield "the list of sorted names is incomplete"
    if kb.n_indexed != n_names:
        yield f"the index holds {kb.n_indexed:,} names of {n_names:,}"


def _agrees(lexicon: Lexicon, row: int, entity: Entity) -> bool:
    names = names_of(entity)
    own = slice(int(lexicon.entity_names[row]), int(lexicon.entity_names[row + 1]))
    hashes = text_hashes([key for key, _ in names])
    priors = np.array([prior for _, prior in names], dtype=np.float32)
    return (
        np.array_equal(lexicon.name_hash[own], hashes)
        and np.array_equal(lexicon.name_prior[own], priors, equal_nan=True)
        and bool((lexicon.name_entity[own] == row).all())
        and lexicon.title_hash[row] == text_hashes([entity.title.strip()])[0]
        and lexicon.description_length[row] == len(entity.description.strip())
    )


def _in_vectors(kb: DweKnowledgeBase, show_progress: bool) -> Iterator[str]:
    live = np.ones(kb.n_rows, dtype=bool)
    live[kb.store.removed] = False
    for name, vectors in kb.vector_sets.items():
        yield from vectors.problems(live)
        if vectors.field == "description":
            for row in vectors.stale(_shown(kb.store, "vectors", show_progress)):
                yield f"{name}: the vector of row {row} belongs to another text"


def _shown(
    items: Iterable[Item], unit: str, show_progress: bool, total: int | None = None
) -> Iterable[Item]:
    shown: Iterable[Item] = tqdm(
        items,
        total=total,
        unit=f" {unit}",
        delay=BAR_DELAY,
        disable=not show_progress,
        leave=False,
    )
    return shown
