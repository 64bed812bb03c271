"""Search by name: what an index finds, ranked by how well the names match."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .candidates import Candidates, FoundBy
from .features import gram_cosines, ragged
from .lexical import Lexicon
from .names import NameHits, NameIndex
from .normalisation import normalise, word_buckets

MENTIONS = 256
"""Mentions ranked together; bounds the memory for what is found."""
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
    best = [Candidates.from_lists([[]])] * len(keys)
    pending = list(range(len(keys)))
    while pending:
        unfinished = []
        for start in range(0, len(pending), MENTIONS):
            chunk = pending[start : start + MENTIONS]
            own = [mentions[i] for i in chunk]
            hits = index.find(
                [mention.key for mention in own],
                [mention.around for mention in own],
                n_names,
            )
            equal = Candidates.from_lists((exact[i] for i in chunk), FoundBy.EXACT)
            ranked = _ranked(lexicon, own, hits, equal, is_live)
            for place, i in enumerate(chunk):
                best[i] = ranked.span(place, place + 1)
                if hits.is_full[place] and len(best[i].rows) < n:
                    unfinished.append(i)
        # Several names of the same entities may have filled the search.
        n_names *= MORE
        pending = unfinished if n_names <= MOST * n else []
    return Candidates.concatenated(best).head(n)


@dataclass(frozen=True, slots=True)
class _Mention:
    """key, words: the mention, normalised. around: the other words of its context."""

    key: str
    words: list[str]
    around: list[str]


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
    # Equal names, then names that resemble the mention, then those it says nothing of.
    tier = (found_by != FoundBy.CONTEXT).astype(np.int8)
    return _by_entity(
        np.concatenate([exact.mentions, owner]),
        np.concatenate([exact.rows, lexicon.name_entity[names]]),
        np.concatenate([exact.found_by, found_by]),
        np.concatenate([np.full(len(exact.rows), 2, dtype=np.int8), tier]),
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
    starts, flat, which = ragged(lexicon.word_offsets, names)
    words = lexicon.words[flat]
    pairs = _pairs(owner[which], words)
    own = _is_among(pairs, [mention.words for mention in mentions])
    near = _is_among(pairs, [mention.around for mention in mentions])
    there = np.stack([near & ~own, ~own]).astype(np.float32)
    there *= COMMON_WORD + lexicon.word_rarity[words]
    shared, whole = np.add.reduceat(there, starts, axis=1)
    return shared / (whole + HALF_NAMED)


def _is_among(pairs: np.ndarray, words: Sequence[Sequence[str]]) -> np.ndarray:
    """RETURNS (np.ndarray): pairs of mention and word whose word is one of the
    mention's. Shape: (len(pairs),), bool"""
    counts = [len(own) for own in words]
    flat = word_buckets([word for own in words for word in own])
    known = np.sort(_pairs(np.repeat(np.arange(len(words)), counts), flat))
    if not len(known):
        return np.zeros(len(pairs), dtype=bool)
    place = np.searchsorted(known, pairs)
    return known[np.minimum(place, len(known) - 1)] == pairs


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
    scores = np.maximum.reduceat(scores[live][order], starts).round(DECIMALS)
    best = np.lexsort((sort_key[rows], -scores, -tier, owner))
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
