"""Search by name: what an index finds, ranked by how well the names match."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ...names.likeness import gram_cosines, slices, values_of
from ...names.normalisation import normalise, word_buckets
from ..candidates import Candidates, FoundBy
from .lexicon import Lexicon
from .names import NameHits, NameIndex

MENTIONS = 128
"""Mentions ranked together: what is found for them stays in a core's cache."""
MORE, MOST = 4, 16
"""Times as many names are read where those of few entities filled the search, and how
many a candidate in the end."""

INITIALS_MATCH = 0.5
"""What a match by initials adds to the n-gram cosine: the two share few letters."""
COMMON_WORD = 0.1
"""Weight of a word that all names have; a new one weighs 1 more."""
HALF_NAMED = 0.5
"""Weight of the words of a name in a context at which it is half named there if it has
no others: a single common word does not count as much as a long rare name."""
DECIMALS = 5
"""Scores closer than this are ties, which fall by id."""

_NAMED, _RESEMBLES, _EQUAL = _TIERS = range(3)
"""Of names: the mention says nothing of it, resembles it, equals it."""
_OWNER_SHIFT, _PLACE_SHIFT = 54, 32
"""Of numbers that are sorted: below are a place, at most 3 * 10 ** (DECIMALS + 1), and
the 32 bits of an id's; above is room for 511 `MENTIONS`."""
_AROUND, _OWN = 1, 2
"""Kinds of a word: of the mention's context, of the mention."""


def search_names(
    lexicon: Lexicon,
    index: NameIndex,
    keys: Sequence[str],
    exact: Candidates,
    contexts: Sequence[str] | None,
    n: int,
    *,
    n_names: int,
    is_live: Callable[[np.ndarray], np.ndarray],
) -> Candidates:
    """Candidates by name. Equal names come first, then those that resemble the mention,
    by n-gram cosine and by how much of the rest of the name stands in the context; last
    those that only the context names. Ties fall by id.

    lexicon (Lexicon): words and n-grams of the names.
    index (NameIndex): finds names.
    keys (Sequence[str]): normalised mentions.
    exact (Candidates): entities with a name equal to the mention.
    contexts (Sequence[str] | None): what each mention stands in.
    n (int): most candidates a mention.
    n_names (int): names to look for at first.
    is_live (Callable): of some rows, which are not removed.
    RETURNS (Candidates): of each mention.
    """
    mentions = _mentions(keys, contexts)
    search = partial(_search, lexicon, index, is_live)
    best, is_full = search(mentions, exact, n_names)
    while True:
        # Several names of the same entities may have filled the search.
        n_names *= MORE
        pending = np.flatnonzero(is_full & (best.lengths < n)).tolist()
        if not pending or n_names > MOST * n:
            return best.head(n)
        own = [mentions[i] for i in pending]
        equal = Candidates.concatenated([exact.span(i, i + 1) for i in pending])
        more, is_full[pending] = search(own, equal, n_names)
        parts = [best.span(i, i + 1) for i in range(len(best))]
        for place, i in enumerate(pending):
            parts[i] = more.span(place, place + 1)
        best = Candidates.concatenated(parts)


@dataclass(frozen=True, slots=True)
class _Mention:
    """key, words: the mention, normalised. around: the other words of its context."""

    key: str
    words: list[str]
    around: list[str]


def _search(
    lexicon: Lexicon,
    index: NameIndex,
    is_live: Callable[[np.ndarray], np.ndarray],
    mentions: Sequence[_Mention],
    exact: Candidates,
    n_names: int,
) -> tuple[Candidates, np.ndarray]:
    """RETURNS (tuple[Candidates, np.ndarray]): all that is found among so many names,
    and of which mentions more names share words. Shape: (len(mentions),), bool"""
    parts, full = [], []
    for start in range(0, len(mentions), MENTIONS):
        own = mentions[start : start + MENTIONS]
        hits = index.find([m.key for m in own], [m.around for m in own], n_names)
        equal = exact.span(start, start + len(own))
        parts.append(_ranked(lexicon, own, hits, equal, is_live))
        full += hits.is_full
    return Candidates.concatenated(parts), np.array(full, dtype=bool)


def _mentions(keys: Sequence[str], contexts: Sequence[str] | None) -> list[_Mention]:
    split = [key.split() for key in keys]
    if contexts is None:
        return [_Mention(key, words, []) for key, words in zip(keys, split)]
    known = {text: dict.fromkeys(normalise(text).split()) for text in set(contexts)}
    return [
        _Mention(key, words, [word for word in known[text] if word not in words])
        for key, words, text in zip(keys, split, contexts)
    ]


def _ranked(
    lexicon: Lexicon,
    mentions: Sequence[_Mention],
    hits: NameHits,
    exact: Candidates,
    is_live: Callable[[np.ndarray], np.ndarray],
) -> Candidates:
    """RETURNS (Candidates): all that was found, in order."""
    owner, names, found_by = _distinct_names(hits)
    scores = _scores(lexicon, mentions, owner, names)
    scores += INITIALS_MATCH * (found_by & FoundBy.INITIALS > 0)
    tier = np.where(found_by == FoundBy.CONTEXT, _NAMED, _RESEMBLES)
    return _by_entity(
        np.concatenate([exact.mentions, owner]),
        np.concatenate([exact.rows, lexicon.name_entity[names]]),
        np.concatenate([exact.found_by, found_by]),
        np.concatenate([np.full(len(exact.rows), _EQUAL), tier]),
        np.concatenate([np.ones(len(exact.rows)), scores]),
        len(mentions),
        lexicon.sort_key,
        is_live,
    )


def _distinct_names(
    hits: NameHits,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """RETURNS (tuple[np.ndarray, np.ndarray, np.ndarray]): mention, number and
    `FoundBy` of each name found for a mention, in order of the first two."""
    order, starts = _groups(hits.owner, hits.numbers)
    first = order[starts]
    found_by = hits.found_by[order]
    if len(first):
        found_by = np.bitwise_or.reduceat(found_by, starts)
    return hits.owner[first], hits.numbers[first], found_by


def _scores(
    lexicon: Lexicon,
    mentions: Sequence[_Mention],
    owner: np.ndarray,
    names: np.ndarray,
) -> np.ndarray:
    """RETURNS (np.ndarray): how well each name fits. Shape: (len(names),), float64"""
    if not len(names):
        return np.zeros(0)
    keys = [mention.key for mention in mentions]
    scores = gram_cosines(lexicon, keys, names, owner).astype(np.float64)
    if any(mention.around for mention in mentions):
        scores += _named_around(lexicon, mentions, owner, names)
    return scores


def _named_around(
    lexicon: Lexicon,
    mentions: Sequence[_Mention],
    owner: np.ndarray,
    names: np.ndarray,
) -> np.ndarray:
    """RETURNS (np.ndarray): share of those words of each name that are not the
    mention's which its context holds, by rarity. Shape: (len(names),)"""
    starts, flat = slices(lexicon.word_offsets, names)
    words = lexicon.words[flat]
    # The mention's own words come last, so that they count where buckets are equal.
    own = [(*mention.around, *mention.words) for mention in mentions]
    buckets = word_buckets([word for line in own for word in line])
    counts = np.array([(len(m.around), len(m.words)) for m in mentions])
    kinds = np.tile(np.array([_AROUND, _OWN], dtype=np.uint8), len(mentions))
    kinds = np.repeat(kinds, counts.ravel())
    offsets = np.cumsum([0, *counts.sum(axis=1)])
    kind = values_of(buckets, kinds, offsets, words, starts, owner)
    weight = COMMON_WORD + lexicon.word_rarity[words]
    shared = np.add.reduceat(weight * (kind == _AROUND), starts)
    whole = np.add.reduceat(weight * (kind != _OWN), starts)
    return shared / (whole + HALF_NAMED)


def _by_entity(
    owner: np.ndarray,
    rows: np.ndarray,
    found_by: np.ndarray,
    tier: np.ndarray,
    scores: np.ndarray,
    n_mentions: int,
    sort_key: np.ndarray,
    is_live: Callable[[np.ndarray], np.ndarray],
) -> Candidates:
    """Entities instead of names, each by its best one: all arrays have an item a name.

    RETURNS (Candidates): by tier, score and id.
    """
    live = is_live(rows)
    owner, rows, found_by = owner[live], rows[live], found_by[live]
    if not len(rows):
        return Candidates.from_lists([[]] * n_mentions)
    order, starts = _groups(owner, rows)
    first = order[starts]
    owner, rows = owner[first], rows[first]
    found_by = np.bitwise_or.reduceat(found_by[order], starts)
    tier = np.maximum.reduceat(tier[live][order], starts)
    scores = np.maximum.reduceat(scores[live][order], starts)
    points = np.rint(scores * 10**DECIMALS).astype(np.int64)
    place = (len(_TIERS) - tier) * 10 ** (DECIMALS + 1) - points
    # One number to sort by instead of four. No score comes near to ten.
    whole = owner << _OWNER_SHIFT | place << _PLACE_SHIFT | sort_key[rows]
    best = np.argsort(whole, kind="stable")
    offsets = np.searchsorted(owner[best], np.arange(n_mentions + 1))
    return Candidates(rows[best].astype(np.int32), offsets, found_by[best])


def _groups(owner: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """RETURNS (tuple[np.ndarray, np.ndarray]): an order in which equal pairs of owner
    and item stand together, and where in it each group starts."""
    pairs = _pairs(owner, items)
    order = np.argsort(pairs, kind="stable")
    return order, np.flatnonzero(np.diff(pairs[order], prepend=-1))


def _pairs(owner: np.ndarray, items: np.ndarray) -> np.ndarray:
    """RETURNS (np.ndarray): a number for each pair, by owner first. Shape: as both"""
    return owner << np.int64(32) | items
