"""How like a name is to a mention: cosines of character n-grams, computed for all
pairs of a batch at once, and the ragged arrays that names are kept in."""

from itertools import pairwise
from typing import Protocol

import numpy as np

from .normalisation import BUCKETS, gram_buckets

_MENTIONS = 32
"""Mentions whose names' n-grams are compared together: they stay in a core's cache."""


class GramTable(Protocol):
    """The n-grams of some names, see `kb.index.lexicon.Lexicon`."""

    @property
    def grams(self) -> np.ndarray: ...

    @property
    def gram_offsets(self) -> np.ndarray: ...

    @property
    def gram_weight(self) -> np.ndarray: ...

    @property
    def gram_norm(self) -> np.ndarray: ...


def gram_cosines(
    table: GramTable, keys: list[str], names: np.ndarray, owner: np.ndarray
) -> np.ndarray:
    """RETURNS (np.ndarray): cosine of each name with its mention, `owner` ascending."""
    own, offsets = gram_buckets(keys)
    squares = np.square(table.gram_weight[own])
    norms = np.sqrt(np.bincount(_owners(offsets), squares, minlength=len(keys)))
    norms = np.where(norms > 0, norms, 1)[owner] * table.gram_norm[names]
    dots = np.empty(len(names), dtype=np.float32)
    bounds = np.searchsorted(owner, np.arange(len(keys) + 1))
    zeros = np.zeros(BUCKETS, dtype=np.float32)
    for first in range(0, len(keys), _MENTIONS):
        end = min(first + _MENTIONS, len(keys))
        part = slice(bounds[first], bounds[end])
        if part.start == part.stop:
            continue
        starts, flat = slices(table.gram_offsets, names[part])
        theirs = table.grams.take(flat)
        own_offsets = offsets[first : end + 1]
        shared = values_of(
            own, squares, own_offsets, theirs, starts, owner[part] - first, zeros
        )
        np.add.reduceat(shared, starts, out=dots[part])
    return np.minimum(dots / norms, 1).astype(np.float32)


def values_of(
    buckets: np.ndarray,
    values: np.ndarray,
    offsets: np.ndarray,
    theirs: np.ndarray,
    starts: np.ndarray,
    owner: np.ndarray,
    table: np.ndarray | None = None,
) -> np.ndarray:
    """What the words or n-grams of names are worth to mentions.

    buckets (np.ndarray): those of all mentions; the last of equal ones counts.
        Shape: (total,)
    values (np.ndarray): what each is worth. Shape: (total,)
    offsets (np.ndarray): where each mention's start. Shape: (n_mentions + 1,)
    theirs (np.ndarray): buckets of the names of all mentions. Shape: (n,), uint32
    starts (np.ndarray): where each name's start. Shape: (n_names,)
    owner (np.ndarray): mention of each name, ascending. Shape: (n_names,)
    table (np.ndarray | None): zeros to work with, which are zeros again in the end.
        Shape: (BUCKETS,)
    RETURNS (np.ndarray): 0 for what the mention lacks. Shape: (n,)
    """
    out = np.empty(len(theirs), dtype=values.dtype)
    if table is None:
        table = np.zeros(BUCKETS, dtype=values.dtype)
    first_names = np.searchsorted(owner, np.arange(len(offsets)))
    ends = np.append(starts, len(theirs))[first_names]
    # Indices and numbers that NumPy need not convert: the pieces are small.
    buckets = buckets.astype(np.intp)
    for mine, own in zip(pairwise(offsets.tolist()), pairwise(ends.tolist())):
        pairs = slice(*own)
        known = buckets[slice(*mine)]
        table[known] = values[slice(*mine)]
        look_up(table, theirs[pairs], out[pairs])
        table[known] = 0
    return out


def look_up(table: np.ndarray, buckets: np.ndarray, out: np.ndarray) -> np.ndarray:
    """RETURNS (np.ndarray): `out`. Clipping is quicker than checking the buckets."""
    return table.take(buckets, mode="clip", out=out)


def _owners(offsets: np.ndarray) -> np.ndarray:
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def ragged(
    offsets: np.ndarray, which: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flatten the slices `offsets[i]:offsets[i + 1]` of the given i.

    RETURNS (tuple[np.ndarray, np.ndarray, np.ndarray]): where each slice starts in the
        flat order, the positions it holds, and which of the given i each belongs to.
    """
    starts, flat = slices(offsets, which)
    counts = np.diff(starts, append=len(flat))
    return starts, flat, np.repeat(np.arange(len(which)), counts)


def slices(offsets: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """RETURNS (tuple[np.ndarray, np.ndarray]): the first two of `ragged`."""
    first = offsets[which]
    counts = offsets[which + 1] - first
    ends = np.cumsum(counts)
    starts = ends - counts
    flat = np.arange(ends[-1] if len(ends) else 0)
    flat += np.repeat(first - starts, counts)
    return starts, flat
