"""How well a mention matches an entity's names, computed for all pairs of a batch at
once. Each column lies in [0, 1] and depends on one mention and one entity, and on how
rare words are in the KB.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..kb.candidates import Candidates
from ..kb.index.lexicon import Lexicon, candidate_names
from ..names.likeness import gram_cosines, ragged
from ..names.normalisation import (
    BUCKETS,
    normalise,
    text_hash,
    text_hashes,
    word_buckets,
)

if TYPE_CHECKING:
    from .base import CandidateView, MentionView, Values

_PAIRS = 1 << 14
"""Pairs computed together; bounds the memory of intermediate arrays."""


class NameChannel:
    """The mention · title and aliases; "spacy-dwe.NameChannel.v1"."""

    columns: Mapping[str, float] = {
        "ngram_cosine": 2.0,
        "exact": 0.5,
        "exact_title": 0.5,
        "mention_coverage": 5.0,
        "title_coverage": 1.0,
        "first_token": 1.5,
        "last_token": 3.0,
        "rarity": 2.5,
        "initials": 1.0,
    }
    reads = ()

    def compute(
        self, mentions: "MentionView", candidates: Candidates, kb: "CandidateView"
    ) -> "Values":
        return name_columns(kb.lexicon, mentions.texts, candidates), True


def name_columns(
    lexicon: Lexicon, mentions: Sequence[str], candidates: Candidates
) -> np.ndarray:
    """How well mentions match the best name of each candidate, the one with the
    highest n-gram cosine (an exact match first).

    RETURNS (np.ndarray): values in [0, 1].
        Shape: (total, len(NameChannel.columns)), float32
    """
    out = np.zeros((len(candidates.rows), len(NameChannel.columns)), dtype=np.float32)
    for start, end in candidates.runs(_PAIRS):
        own = slice(candidates.offsets[start], candidates.offsets[end])
        if own.start < own.stop:
            some = candidates.span(start, end)
            out[own] = _columns(lexicon, mentions[start:end], some)
    return out


def _columns(
    lexicon: Lexicon, mentions: Sequence[str], candidates: Candidates
) -> np.ndarray:
    keys = [normalise(mention) for mention in mentions]
    owner = candidates.mentions
    names, pairs, starts = candidate_names(lexicon, candidates.rows)
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
