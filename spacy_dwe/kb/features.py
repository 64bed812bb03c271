"""Features of mention-entity pairs, computed for all pairs of a batch at once.

Each lies in [0, 1] and depends on one mention and one entity (and on how rare words
are in the KB), never on the other candidates.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from .candidates import Candidates
from .lexical import (
    YEARS,
    Lexicon,
    description_words,
    years_in,
)
from .normalisation import (
    BUCKETS,
    gram_buckets,
    normalise,
    text_hash,
    text_hashes,
    word_buckets,
)

NAME_FEATURES = (
    "ngram_cosine",
    "exact",
    "exact_title",
    "mention_coverage",
    "title_coverage",
    "first_token",
    "last_token",
    "rarity",
    "initials",
)
FACT_FEATURES = (
    "year_overlap",
    "year_conflict",
    "shared_words",
    "description_length",
    "sitelinks",
)

LONG_DESCRIPTION = 2000
"""Characters at which `description_length` reaches 1."""
MANY_SITELINKS = 300
"""Wikipedias at which `sitelinks` reaches 1; there are some 340."""
LIFE_SPAN = 100
"""Years that an entity is taken to last whose description names one year only."""
CONFLICT_HALF = 20
"""Years outside an entity's time at which `year_conflict` is one half."""
SHARED_HALF = 1.0
"""Rarity-weighted shared words at which `shared_words` is one half."""

_PAIRS = 1 << 14
"""Pairs computed together; bounds the memory of intermediate arrays."""
_MENTIONS = 32
"""Mentions whose names' n-grams are compared together: they stay in a core's cache."""


def name_features(
    lexicon: Lexicon, mentions: Sequence[str], candidates: Candidates
) -> np.ndarray:
    """How well mentions match the best name of each candidate, the one with the
    highest n-gram cosine (an exact match first).

    RETURNS (np.ndarray): values in [0, 1].
        Shape: (total, len(NAME_FEATURES)), float32
    """
    out = np.zeros((len(candidates.rows), len(NAME_FEATURES)), dtype=np.float32)
    for start, end in _chunks(candidates.offsets):
        own = slice(candidates.offsets[start], candidates.offsets[end])
        out[own] = _name_features(
            lexicon, mentions[start:end], candidates.span(start, end)
        )
    return out


def fact_features(
    lexicon: Lexicon, contexts: Sequence[str], candidates: Candidates
) -> tuple[np.ndarray, np.ndarray]:
    """What mentions' contexts and the candidates' descriptions have in common, and how
    well known the candidates are.

    RETURNS (tuple[np.ndarray, np.ndarray]): values in [0, 1], and which of them there
        are. Shapes: (total, len(FACT_FEATURES)), float32 and bool
    """
    rows = candidates.rows
    values = np.zeros((len(rows), len(FACT_FEATURES)), dtype=np.float32)
    present = np.zeros(values.shape, dtype=bool)
    lengths = lexicon.description_length[rows]
    sitelinks = lexicon.sitelinks[rows]
    _fill_years(lexicon, contexts, candidates, values[:, :2], present[:, :2])
    values[:, 2] = _shared_words(lexicon, contexts, candidates)
    values[:, 3] = _log_scaled(lengths, LONG_DESCRIPTION)
    values[:, 4] = _log_scaled(np.nan_to_num(sitelinks), MANY_SITELINKS)
    present[:, 2] = present[:, 3] = lengths > 0
    present[:, 4] = ~np.isnan(sitelinks)
    return values, present


def priors(
    lexicon: Lexicon, mentions: Sequence[str], candidates: Candidates
) -> np.ndarray:
    """RETURNS (np.ndarray): prior of the mention for each candidate, else the
    candidate's own, else NaN. Shape: (total,), float32"""
    values = lexicon.entity_prior[candidates.rows]
    keys = text_hashes([normalise(mention) for mention in mentions])
    names, pairs, _ = _names_of(lexicon, candidates.rows)
    found = lexicon.name_prior[names]
    wanted = np.repeat(keys, candidates.lengths)[pairs]
    match = (lexicon.name_hash[names] == wanted) & ~np.isnan(found)
    best = np.full(len(values), -1, dtype=np.float32)
    np.maximum.at(best, pairs[match], found[match])
    return np.where(best >= 0, best, values)


def _name_features(
    lexicon: Lexicon, mentions: Sequence[str], candidates: Candidates
) -> np.ndarray:
    keys = [normalise(mention) for mention in mentions]
    owner = candidates.mentions
    names, pairs, starts = _names_of(lexicon, candidates.rows)
    cosine = gram_cosines(lexicon, keys, names, owner[pairs])
    exact = lexicon.name_hash[names] == text_hashes(keys)[owner[pairs]]
    best = _first_maximum(cosine + exact, pairs, starts)
    chosen = names[best]
    words = _WordMatches(lexicon, keys, chosen, owner)
    texts = text_hashes([mention.strip() for mention in mentions])
    return np.stack(
        [
            cosine[best],
            exact[best],
            lexicon.title_hash[candidates.rows] == texts[owner],
            words.mention_coverage(),
            words.title_coverage(),
            words.first_token(),
            words.last_token(),
            words.rarity(),
            words.initials(),
        ],
        axis=1,
        dtype=np.float32,
        casting="unsafe",
    )


class _WordMatches:
    """Compares the words of mentions with those of one name a pair."""

    def __init__(
        self, lexicon: Lexicon, keys: list[str], names: np.ndarray, owner: np.ndarray
    ) -> None:
        """names (np.ndarray): a name a pair. owner (np.ndarray): its mention."""
        self.lexicon, self.names, self.owner = lexicon, names, owner
        self.split = [key.split() for key in keys]
        distinct = [list(dict.fromkeys(words)) for words in self.split]
        self.n_words = np.array([len(words) for words in distinct], dtype=np.int64)
        buckets = word_buckets([word for words in distinct for word in words])
        vocabulary, local = np.unique(buckets, return_inverse=True)
        # Column 0 stands for every word that no mention has.
        column = np.zeros(BUCKETS, dtype=np.int32)
        column[vocabulary] = np.arange(1, len(vocabulary) + 1)
        weight = np.zeros((len(keys), len(vocabulary) + 1), dtype=np.float32)
        rows = np.repeat(np.arange(len(keys)), self.n_words)
        weight[rows, local + 1] = 1 + lexicon.word_rarity[buckets]
        self.starts, flat, pairs = ragged(lexicon.word_offsets, names)
        self.weight = weight[owner[pairs], column[lexicon.words[flat]]]
        self.shared = np.add.reduceat(self.weight > 0, self.starts, dtype=np.int64)

    def mention_coverage(self) -> np.ndarray:
        return np.minimum(self.shared / np.maximum(self.n_words, 1)[self.owner], 1)

    def title_coverage(self) -> np.ndarray:
        return self.shared / np.diff(np.append(self.starts, len(self.weight)))

    def first_token(self) -> np.ndarray:
        return self._equal_ends(0)

    def last_token(self) -> np.ndarray:
        return self._equal_ends(-1)

    def rarity(self) -> np.ndarray:
        """The rarest word that both have."""
        return np.maximum(np.maximum.reduceat(self.weight, self.starts) - 1, 0)

    def initials(self) -> np.ndarray:
        """The mention abbreviates the name, or its words abbreviate the name's."""
        short = np.array(
            [text_hash("".join(words)) if words else 1 for words in self.split],
            dtype=np.uint64,
        )
        return self.lexicon.name_initials[self.names] == short[self.owner]

    def _equal_ends(self, end: int) -> np.ndarray:
        own = [words[end] if words else "" for words in self.split]
        return self.lexicon.name_ends[self.names, end] == word_buckets(own)[self.owner]


def gram_cosines(
    lexicon: Lexicon, keys: list[str], names: np.ndarray, owner: np.ndarray
) -> np.ndarray:
    """RETURNS (np.ndarray): cosine of each name with its mention, `owner` ascending."""
    own, offsets = gram_buckets(keys)
    squares = np.square(lexicon.gram_weight[own])
    norms = np.sqrt(np.bincount(_owners(offsets), squares, minlength=len(keys)))
    norms = np.where(norms > 0, norms, 1)[owner] * lexicon.gram_norm[names]
    dots = np.empty(len(names), dtype=np.float32)
    bounds = np.searchsorted(owner, np.arange(len(keys) + 1))
    table = np.zeros(BUCKETS, dtype=np.float32)
    for first in range(0, len(keys), _MENTIONS):
        end = min(first + _MENTIONS, len(keys))
        part = slice(bounds[first], bounds[end])
        if part.start == part.stop:
            continue
        starts, flat = slices(lexicon.gram_offsets, names[part])
        theirs = lexicon.grams.take(flat)
        own_offsets = offsets[first : end + 1]
        shared = values_of(
            own, squares, own_offsets, theirs, starts, owner[part] - first, table
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
        _look_up(table, theirs[pairs], out[pairs])
        table[known] = 0
    return out


def _fill_years(
    lexicon: Lexicon,
    contexts: Sequence[str],
    candidates: Candidates,
    values: np.ndarray,
    present: np.ndarray,
) -> None:
    """Overlap: share of the context's years that the description names. Conflict: by
    how much they miss the time from its first to its last year; after a single year,
    a birth or a founding, that time lasts a century."""
    years = [years_in(context) for context in contexts]
    share = np.zeros((len(contexts), len(YEARS)), dtype=np.float32)
    ends = np.zeros((len(contexts), 2), dtype=np.int64)
    for mention, line in enumerate(years):
        if line:
            share[mention, [year - YEARS.start for year in line]] = 1 / len(line)
            ends[mention] = line[0], line[-1]
    owner = candidates.mentions
    offsets = lexicon.year_offsets
    named = offsets[candidates.rows + 1] > offsets[candidates.rows]
    pairs = np.flatnonzero(named & (ends[owner, 0] > 0))
    if not len(pairs):
        return
    owner = owner[pairs]
    starts, flat, inner = ragged(offsets, candidates.rows[pairs])
    described = lexicon.years[flat]
    overlap = share[owner[inner], described - YEARS.start]
    first = described[starts]
    last = described[np.append(starts[1:], len(described)) - 1]
    last = np.where(first == last, first + LIFE_SPAN, last)
    gap = np.maximum(first - ends[owner, 0], ends[owner, 1] - last)
    gap = np.maximum(gap, 0)
    values[pairs, 0] = np.minimum(np.add.reduceat(overlap, starts), 1)
    values[pairs, 1] = gap / (gap + CONFLICT_HALF)
    present[pairs] = True


def _shared_words(
    lexicon: Lexicon, contexts: Sequence[str], candidates: Candidates
) -> np.ndarray:
    words = [description_words(context) for context in contexts]
    buckets = word_buckets([word for line in words for word in line])
    weights = np.square(lexicon.fact_rarity[buckets])
    ends = np.cumsum([0, *map(len, words)])
    out = np.zeros(len(candidates.rows), dtype=np.float32)
    table = np.zeros(len(lexicon.fact_rarity), dtype=np.float32)
    for mention in range(len(contexts)):
        mine = buckets[ends[mention] : ends[mention + 1]]
        table[mine] = weights[ends[mention] : ends[mention + 1]]
        theirs = lexicon.facts.take(candidates[mention], axis=0)
        shared = np.empty(theirs.shape, dtype=np.float32)
        _look_up(table, theirs, shared).sum(
            axis=1,
            out=out[candidates.offsets[mention] : candidates.offsets[mention + 1]],
        )
        table[mine] = 0
    return out / (out + SHARED_HALF)


def _chunks(offsets: np.ndarray) -> Iterator[tuple[int, int]]:
    """YIELDS (tuple[int, int]): runs of mentions with about _PAIRS candidates."""
    start = 0
    while start < len(offsets) - 1:
        limit = offsets[start] + _PAIRS
        end = max(int(np.searchsorted(offsets, limit, side="right")) - 1, start + 1)
        if offsets[start] < offsets[end]:
            yield start, end
        start = end


def _look_up(table: np.ndarray, buckets: np.ndarray, out: np.ndarray) -> np.ndarray:
    # All buckets are in range: clipping them is quicker than checking.
    return table.take(buckets, mode="clip", out=out)


def _owners(offsets: np.ndarray) -> np.ndarray:
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def _names_of(
    lexicon: Lexicon, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """RETURNS (tuple): names of all candidates, the pair each belongs to, and where a
    pair's names start. Every entity has a name."""
    starts, names, pairs = ragged(lexicon.entity_names, rows)
    return names, pairs, starts


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


def _first_maximum(
    values: np.ndarray, pairs: np.ndarray, starts: np.ndarray
) -> np.ndarray:
    """RETURNS (np.ndarray): index of the largest value of each pair, the first of equal
    ones. Shape: (n_pairs,)"""
    if len(values) == len(starts):
        return starts
    highest = np.maximum.reduceat(values, starts)[pairs]
    index = np.where(values == highest, np.arange(len(values)), len(values))
    return np.minimum.reduceat(index, starts)


def _log_scaled(values: np.ndarray, full: int) -> np.ndarray:
    return np.minimum(np.log1p(values) / np.log1p(full), 1)
