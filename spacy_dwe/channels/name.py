"""How well a mention matches an entity's names, computed for all pairs of a batch at
once. Each column lies in [0, 1] but for `match`, a logit. It depends on one mention in
its context and one entity, and on how rare words are in the KB.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..kb.candidates import Candidates
from ..kb.index.lexicon import Lexicon, candidate_names, equal_names
from ..names.likeness import gram_cosines, ragged
from ..names.normalisation import (
    BUCKETS,
    bare,
    normalise,
    text_hashes,
    word_buckets,
)
from .matching import (
    MentionWords,
    equal_ends,
    match_features,
    match_logits,
    named_around,
)

if TYPE_CHECKING:
    from .base import CandidateView, MentionView, Values

PARTLY = 0.2
"""What it counts that the context names a candidate in full, if its names have the
mention's words and are not equal: who is meant by a surname may be another one."""
_PAIRS = 1 << 14
"""Pairs computed together; bounds the memory of intermediate arrays."""


class NameChannel:
    """The mention · title and aliases; "spacy-dwe.NameChannel.v1"."""

    columns: Mapping[str, float] = {
        "ngram_cosine": 0.0,
        "exact": 0.0,
        "exact_title": 0.0,
        "mention_coverage": 0.0,
        "title_coverage": 0.0,
        "first_token": 0.0,
        "last_token": 0.0,
        "rarity": 0.0,
        "initials": 0.0,
        "match": 1.0,
        "named": 16.0,
    }
    reads = ()

    def compute(
        self, mentions: "MentionView", candidates: Candidates, kb: "CandidateView"
    ) -> "Values":
        return name_columns(
            kb.lexicon, mentions.texts, candidates, mentions.contexts
        ), True


def name_columns(
    lexicon: Lexicon,
    mentions: Sequence[str],
    candidates: Candidates,
    contexts: Sequence[str] | None = None,
) -> np.ndarray:
    """How well mentions match the best name of each candidate, the one with the
    highest n-gram cosine (an equal one first, then one that is abbreviated).

    contexts (Sequence[str] | None): what the mentions stand in; None = nothing is known
        of it.
    RETURNS (np.ndarray): values in [0, 1]; those of `match` are logits.
        Shape: (total, len(NameChannel.columns)), float32
    """
    out = np.zeros((len(candidates.rows), len(NameChannel.columns)), dtype=np.float32)
    for start, end in candidates.runs(_PAIRS):
        own = slice(candidates.offsets[start], candidates.offsets[end])
        if own.start < own.stop:
            some = candidates.span(start, end)
            around = [""] * (end - start) if contexts is None else contexts[start:end]
            out[own] = _columns(lexicon, mentions[start:end], around, some)
    return out


def _columns(
    lexicon: Lexicon,
    mentions: Sequence[str],
    contexts: Sequence[str],
    candidates: Candidates,
) -> np.ndarray:
    compared = Compared(lexicon, mentions, contexts, candidates)
    owner, names = compared.owner, compared.names
    matches = _WordMatches(lexicon, compared.keys, names, owner)
    coverage = matches.mention_coverage()
    first, last = equal_ends(lexicon, compared.words, names, owner).T
    texts = text_hashes([mention.strip() for mention in mentions])
    return np.stack(
        [
            compared.cosine,
            compared.equal,
            lexicon.title_hash[candidates.rows] == texts[owner],
            coverage,
            matches.title_coverage(),
            first,
            last,
            matches.rarity(),
            # The mention abbreviates the name, or its words abbreviate the name's.
            lexicon.name_initials[names, 0] == compared.words.joined[owner],
            match_logits(compared.features()),
            compared.named() * np.where(compared.equal, 1, PARTLY * (coverage >= 1)),
        ],
        axis=1,
        dtype=np.float32,
        casting="unsafe",
    )


class Compared:
    """Mentions beside the best name of each candidate: an equal one first, then one
    that is equal but for spaces or that it abbreviates, then by n-gram cosine.

    keys (list[str]): the mentions, normalised.
    owner (np.ndarray): mention of each pair. Shape: (n,)
    names (np.ndarray): the name. Shape: (n,)
    cosine, equal (np.ndarray): n-gram cosine, and whether it equals. Shape: (n,)
    """

    def __init__(
        self,
        lexicon: Lexicon,
        mentions: Sequence[str],
        contexts: Sequence[str],
        candidates: Candidates,
    ) -> None:
        self.lexicon, self.rows = lexicon, candidates.rows
        self.keys = [normalise(bare(mention)) for mention in mentions]
        self.owner = candidates.mentions
        self.words = words = MentionWords(mentions, self.keys, contexts)
        names, pairs, starts = candidate_names(lexicon, candidates.rows)
        self._all_names, self._pairs = names, pairs
        of = self.owner[pairs]
        cosine = gram_cosines(lexicon, self.keys, names, of)
        equal = equal_names(lexicon, names, mentions, of)
        close = lexicon.name_joined[names] == words.joined[of]
        close |= (lexicon.name_initials[names] == words.abbreviation[of, None]).any(1)
        best = _first_maximum(cosine + equal + (equal | close), pairs, starts)
        self.names, self.cosine, self.equal = names[best], cosine[best], equal[best]

    def features(self) -> np.ndarray:
        """RETURNS (np.ndarray): see `match_features`."""
        titles = self.lexicon.entity_names[self.rows]
        return match_features(
            *(self.lexicon, self.words, self.names, titles, self.owner),
            *(self.cosine, self.equal),
        )

    def named(self) -> np.ndarray:
        """RETURNS (np.ndarray): see `named_around`. Shape: (n,)"""
        return named_around(
            self.lexicon, self.words, self._all_names, self._pairs, self.owner
        )


class _WordMatches:
    """Compares the words of mentions with those of one name a pair."""

    def __init__(
        self, lexicon: Lexicon, keys: list[str], names: np.ndarray, owner: np.ndarray
    ) -> None:
        """names (np.ndarray): a name a pair. owner (np.ndarray): its mention."""
        self.owner = owner
        distinct = [list(dict.fromkeys(key.split())) for key in keys]
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

    def rarity(self) -> np.ndarray:
        """The rarest word that both have."""
        return np.maximum(np.maximum.reduceat(self.weight, self.starts) - 1, 0)


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
