"""Names and descriptions as flat arrays, so that features are computed by gathering.

Lists of different lengths lie one after the other with an array of offsets beside
them; all are memory-mapped, so opening costs nothing and processes share the pages.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from ...names.forms import acronyms
from ...names.likeness import ragged
from ...names.normalisation import bare, normalise, text_hash, text_hashes
from ...names.rarity import weights
from ..arrays import map_array
from ..candidates import Candidates

YEARS = range(1000, 2100)
_YEAR = re.compile(r"(?<!\d)(1\d{3}|20\d{2})(?!\d)")
WHOLE_WEIGHT, NUMBER_BIT = 127, 128
FACT_WORDS = 48
"""Words kept of a description; bounds what a pair costs, whatever its length."""


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The arrays of one index snapshot. N entities (rows), M names.

    Names: an entity's title comes first, then its distinct aliases.
    entity_names: entity r has names `entity_names[r]:entity_names[r + 1]`; a removed
        one may have none. (N + 1,)
    name_entity: the entity of each name. (M,) int32
    name_hash: hash of the normalised name. (M,) uint64
    name_initials: hashes of its `acronyms`, 0 for a single word. (M, 3) uint64
    name_joined: hash of the normalised name without spaces. (M,) uint64
    name_text, text_offsets: the normalised name, UTF-8. uint8, (M + 1,) int64
    name_prior: NaN where there is none. (M,) float32
    sorted_hash, sorted_name: `name_hash` of the live names in order, and the name.
    grams, gram_offsets: character n-grams of each name. uint32, (M + 1,) int64
    gram_norm: length of the name's weighted n-gram vector. (M,) float32
    gram_weight: rarity of each n-gram. (BUCKETS,) float32
    words, word_offsets: distinct words of each name. uint32, (M + 1,) int64
    word_weights: `names.rarity.weights`, 127 for 1; numbers have 128 added. uint8
    name_ends: first and `last_word` of each name. (M, 2) uint32
    word_rarity: 0 for a word that all names have, 1 for a new one. (BUCKETS,)
    title_hash: hash of the title as written. (N,) uint64
    entity_prior: NaN where there is none. (N,) float32
    facts: the rarest words of the description but for the entity's own names; bucket
        BUCKETS fills the rest of a row. (N, at most FACT_WORDS) int32
    fact_rarity: as word_rarity, over descriptions; the filler has none.
        (BUCKETS + 1,) float32
    years, year_offsets: distinct years of the description. int16, (N + 1,) int64
    description_length: in characters. (N,) int32
    sitelinks: NaN where unknown. (N,) float32
    sort_key: place of the entity's id among all ids. (N,) int32
    """

    entity_names: np.ndarray
    name_entity: np.ndarray
    name_hash: np.ndarray
    name_initials: np.ndarray
    name_joined: np.ndarray
    name_text: np.ndarray
    text_offsets: np.ndarray
    name_prior: np.ndarray
    sorted_hash: np.ndarray
    sorted_name: np.ndarray
    grams: np.ndarray
    gram_offsets: np.ndarray
    gram_norm: np.ndarray
    gram_weight: np.ndarray
    words: np.ndarray
    word_offsets: np.ndarray
    word_weights: np.ndarray
    name_ends: np.ndarray
    word_rarity: np.ndarray
    title_hash: np.ndarray
    entity_prior: np.ndarray
    facts: np.ndarray
    fact_rarity: np.ndarray
    years: np.ndarray
    year_offsets: np.ndarray
    description_length: np.ndarray
    sitelinks: np.ndarray
    sort_key: np.ndarray

    @classmethod
    def open(cls, kb: Path, folder: str, n_rows: int) -> Self:
        """Map the arrays of a snapshot into memory.

        kb (Path): the KB's folder.
        folder (str): the snapshot's, below it.
        n_rows (int): rows of the version that is read; the files may have grown since.
        RETURNS (Lexicon): the arrays.
        RAISES (DweError): one is missing or damaged.
        """
        arrays: dict[str, np.ndarray] = {}
        for axis, names in AXES.items():
            # What an axis measures is the last entry of offsets that came before it.
            length = _length(arrays, axis, n_rows)
            for name in names:
                arrays[name] = map_array(kb, f"{folder}/{name}.npy", length)
        return cls(**arrays)

    def texts_of(self, names: np.ndarray) -> list[str]:
        """RETURNS (list[str]): names, normalised."""
        text = self.name_text.data
        starts, ends = self.text_offsets[names], self.text_offsets[names + 1]
        bounds = zip(starts.tolist(), ends.tolist())
        return [str(text[start:end], "utf-8") for start, end in bounds]

    @property
    def n_rows(self) -> int:
        return len(self.entity_prior)

    @property
    def n_names(self) -> int:
        return len(self.name_hash)


AXES: dict[str, tuple[str, ...]] = {
    "row offsets": ("entity_names", "year_offsets"),
    "rows": (
        *("title_hash", "entity_prior", "facts", "description_length"),
        *("sitelinks", "sort_key"),
    ),
    "name offsets": ("gram_offsets", "word_offsets", "text_offsets"),
    "names": (
        *("name_entity", "name_hash", "name_initials", "name_joined", "name_prior"),
        *("gram_norm", "name_ends"),
    ),
    "grams": ("grams",),
    "words": ("words", "word_weights"),
    "texts": ("name_text",),
    "years": ("years",),
    "whole": (
        *("sorted_hash", "sorted_name"),
        *("gram_weight", "word_rarity", "fact_rarity"),
    ),
}
"""The arrays by what their first axis counts."""


def _length(arrays: dict[str, np.ndarray], axis: str, n_rows: int) -> int | None:
    if axis == "rows":
        return n_rows
    if axis == "row offsets":
        return n_rows + 1
    if axis == "whole":
        return None
    if axis in ("grams", "words", "texts", "years"):
        return int(arrays[f"{axis[:-1]}_offsets"][-1])
    n_names = int(arrays["entity_names"][-1])
    return n_names + 1 if axis == "name offsets" else n_names


def years_in(text: str) -> list[int]:
    """RETURNS (list[int]): the distinct years that a text names, in order."""
    return sorted({int(year) for year in _YEAR.findall(text)})


def description_words(text: str) -> list[str]:
    """RETURNS (list[str]): normalised words that can be shared with a context;
    years and other numbers apart."""
    return [word for word in normalise(text).split() if not word.isdigit()]


def word_weights(words: Sequence[str]) -> list[int]:
    """RETURNS (list[int]): what stands in `Lexicon.word_weights` for a name."""
    return [
        round(weight * WHOLE_WEIGHT) | (NUMBER_BIT if word.isdigit() else 0)
        for word, weight in zip(words, weights(words))
    ]


def acronym_hashes(words: Sequence[str]) -> list[int]:
    """RETURNS (list[int]): of the `acronyms` of a name, 0 for an empty one."""
    return [text_hash(letters) if letters else 0 for letters in acronyms(words)]


def priors(
    lexicon: Lexicon, mentions: Sequence[str], candidates: Candidates
) -> np.ndarray:
    """RETURNS (np.ndarray): prior of the mention for each candidate, else the
    candidate's own, else NaN. Shape: (total,), float32"""
    values = lexicon.entity_prior[candidates.rows]
    names, pairs, _ = candidate_names(lexicon, candidates.rows)
    found = lexicon.name_prior[names]
    match = equal_names(lexicon, names, mentions, candidates.mentions[pairs])
    match &= ~np.isnan(found)
    best = np.full(len(values), -1, dtype=np.float32)
    np.maximum.at(best, pairs[match], found[match])
    return np.where(best >= 0, best, values)


def equal_names(
    lexicon: Lexicon, names: np.ndarray, mentions: Sequence[str], owner: np.ndarray
) -> np.ndarray:
    """RETURNS (np.ndarray): whether each name equals its owner, one of the mentions,
    whole or bare. Shape: (len(names),), bool"""
    wholes = text_hashes([normalise(mention) for mention in mentions])
    cut = text_hashes([normalise(bare(mention)) for mention in mentions])
    hashes = lexicon.name_hash[names]
    return np.asarray((hashes == wholes[owner]) | (hashes == cut[owner]))


def candidate_names(
    lexicon: Lexicon, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """RETURNS (tuple): names of all candidates, the pair each belongs to, and where a
    pair's names start. Every entity has a name."""
    starts, names, pairs = ragged(lexicon.entity_names, rows)
    return names, pairs, starts
