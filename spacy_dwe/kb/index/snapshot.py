"""A snapshot: everything that is derived from the names and facts of one version.

It is a folder below names/ that no other version writes to. One that extends another
starts as hard links to its files; those are appended to behind the length that the
older version knows of, or replaced.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..entity import Entity
from .lexicon import Lexicon
from .lexicon_writer import LINKED, LexiconWriter

FOLDER = "names"
INDEX_FOLDER = "index"

ALWAYS_NEW = 2000
"""Rows up to which a snapshot is made anew at every change, which takes less than a
second and counts afresh how rare words are."""
GROWTH = 0.25
"""Share of rows that may join or leave before rarity is counted afresh."""


class SnapshotWriter:
    """Makes one snapshot from entities as they come."""

    def __init__(self, kb: Path, name: str, base: tuple[str, int] | None = None):
        """kb (Path): the KB's folder.
        name (str): of the snapshot.
        base (tuple[str, int] | None): snapshot to extend, and its number of rows.
        """
        from .names import NamesWriter

        self.folder = kb / FOLDER / name
        lexicon = None
        if base is None:
            self.folder.mkdir(parents=True)
        else:
            old, n_rows = base
            lexicon = Lexicon.open(kb, f"{FOLDER}/{old}", n_rows)
            _link_folder(kb / FOLDER / old, self.folder)
        self._lexicon = LexiconWriter(self.folder, lexicon)
        self._names = NamesWriter(self.folder / INDEX_FOLDER)

    def add(self, entities: Sequence[Entity | None]) -> None:
        """Append entities, a row each; None stands for a removed one."""
        first = self._lexicon.n_names
        self._names.add(first, self._lexicon.add(entities))

    def finish(
        self, removed: np.ndarray, leaving: np.ndarray, by_id: np.ndarray
    ) -> dict[str, Any] | None:
        """Complete the snapshot.

        removed (np.ndarray): rows that are no more. Shape: (n_removed,)
        leaving (np.ndarray): those of them that were in the version that is extended.
            Shape: (n_leaving,)
        by_id (np.ndarray): all rows in the order of their ids. Shape: (n_rows,)
        RETURNS (dict[str, Any] | None): counts for the KB's meta; None if the files
            that were extended have no room for the new entities: make it anew.
        """
        if not self._lexicon.fits:
            self.discard()
            return None
        base = self._lexicon.base
        if base is not None:
            bounds = base.entity_names
            numbers = [
                number
                for row in leaving.tolist()
                for number in range(int(bounds[row]), int(bounds[row + 1]))
            ]
            self._names.remove(numbers)
        meta = self._lexicon.finish(removed, leaving, by_id)
        self._names.commit()
        return meta

    def discard(self) -> None:
        """Give up, and remove the files."""
        self._lexicon.close()
        self._names.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def is_worn(joined: int, left: int, counted: int) -> bool:
    """Whether a snapshot should be made anew instead of extended.

    joined, left (int): rows that came and entities that went since the rarity of words
        was counted.
    counted (int): rows at that time.
    """
    return counted + joined <= ALWAYS_NEW or joined + left > GROWTH * counted


def shared_files() -> frozenset[str]:
    """RETURNS (frozenset[str]): files that a snapshot appends to, where it extends
    another."""
    return frozenset(f"{name}.npy" for name in LINKED)


def _link_folder(source: Path, target: Path) -> None:
    (target / INDEX_FOLDER).mkdir(parents=True)
    for name in sorted(LINKED):
        _link(source / f"{name}.npy", target / f"{name}.npy")
    for file in (source / INDEX_FOLDER).iterdir():
        if not file.name.endswith(".lock"):
            _link(file, target / INDEX_FOLDER / file.name)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        # Not every file system has hard links.
        shutil.copyfile(source, target)
