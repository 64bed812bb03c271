"""Names and descriptions as flat arrays, so that features are computed by gathering.

Lists of different lengths lie one after the other with an array of offsets beside
them; all are memory-mapped, so opening costs nothing and processes share the pages.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np

from .arrays import map_array
from .entity import Entity
from .normalisation import (
    BUCKETS,
    gram_buckets,
    initials,
    normalise,
    text_hash,
    text_hashes,
    word_buckets,
)

YEARS = range(1000, 2100)
_YEAR = re.compile(r"(?<!\d)(1\d{3}|20\d{2})(?!\d)")
FACT_WORDS = 48
"""Words kept of a description; bounds what a pair costs, whatever its length."""
_CHUNK = 4096
_NO_INITIALS = np.uint64(0)


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The arrays of one index generation. N entities (rows), M names.

    Names: an entity's title comes first, then its distinct aliases.
    entity_names: entity r has names `entity_names[r]:entity_names[r + 1]`. (N + 1,)
    name_entity: the entity of each name. (M,) int32
    name_hash: hash of the normalised name. (M,) uint64
    name_initials: hash of the initials, 0 for a single word. (M,) uint64
    name_prior: NaN where there is none. (M,) float32
    sorted_hash, sorted_name: `name_hash` in order, and whose it is. (M,)
    grams, gram_offsets: character n-grams of each name. uint32, (M + 1,) int64
    gram_norm: length of the name's weighted n-gram vector. (M,) float32
    gram_weight: rarity of each n-gram. (BUCKETS,) float32
    words, word_offsets: distinct words of each name. uint32, (M + 1,) int64
    name_ends: first and last word of each name. (M, 2) uint32
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
    name_prior: np.ndarray
    sorted_hash: np.ndarray
    sorted_name: np.ndarray
    grams: np.ndarray
    gram_offsets: np.ndarray
    gram_norm: np.ndarray
    gram_weight: np.ndarray
    words: np.ndarray
    word_offsets: np.ndarray
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
    def open(cls, kb: Path, folder: str) -> Self:
        """Map the arrays of a generation into memory.

        kb (Path): the KB's folder.
        folder (str): the generation's, below it.
        RETURNS (Lexicon): the arrays.
        """
        names = [field.name for field in fields(cls)]
        return cls(**{name: map_array(kb, f"{folder}/{name}.npy") for name in names})

    @property
    def n_rows(self) -> int:
        return len(self.entity_prior)

    @property
    def n_described(self) -> int:
        return int(np.count_nonzero(self.description_length))

    @property
    def has_priors(self) -> bool:
        given = (self.entity_prior, self.name_prior)
        return any(bool((~np.isnan(priors)).any()) for priors in given)

    def save(self, folder: Path) -> None:
        """Write one file an array."""
        for field in fields(self):
            np.save(folder / f"{field.name}.npy", getattr(self, field.name))


class LexiconBuilder:
    """Collects entities, in the order of their rows, for `build`."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self._ids: list[str] = []
        self._parts: dict[str, list[np.ndarray]] = {}
        self._counts: dict[str, list[np.ndarray]] = {}

    def add(self, entities: Sequence[Entity]) -> None:
        """Append entities, a row each."""
        for start in range(0, len(entities), _CHUNK):
            chunk = entities[start : start + _CHUNK]
            keys = self._add_names(chunk)
            self._add_facts(chunk, keys)
            self._ids += [entity.id for entity in chunk]

    def build(self) -> Lexicon:
        """RETURNS (Lexicon): the arrays, in memory."""
        array = {name: np.concatenate(parts) for name, parts in self._parts.items()}
        offsets = {name: _offsets(parts) for name, parts in self._counts.items()}
        n_rows, n_names = len(self._ids), len(self.keys)
        gram_weight = 1 + np.log(
            (1 + n_names) / (1 + _frequency(array["grams"], BUCKETS))
        )
        squares = np.square(gram_weight)[array["grams"]]
        order = np.argsort(array["name_hash"], kind="stable")
        sort_key = np.empty(n_rows, dtype=np.int32)
        sort_key[sorted(range(n_rows), key=self._ids.__getitem__)] = np.arange(n_rows)
        described = int(np.count_nonzero(array["description_length"]))
        fact_rarity = _rarity(_frequency(array["facts"], BUCKETS), described)
        array["facts"] = _rarest(array["facts"], offsets["facts"], fact_rarity)
        return Lexicon(
            **array,
            entity_names=offsets["names"],
            name_entity=np.repeat(
                np.arange(n_rows, dtype=np.int32), np.diff(offsets["names"])
            ),
            sorted_hash=array["name_hash"][order],
            sorted_name=order.astype(np.int32),
            gram_offsets=offsets["grams"],
            gram_norm=np.sqrt(np.add.reduceat(squares, offsets["grams"][:-1])).astype(
                np.float32
            ),
            gram_weight=gram_weight.astype(np.float32),
            word_offsets=offsets["words"],
            word_rarity=_rarity(_frequency(array["words"], BUCKETS), n_names),
            fact_rarity=np.append(fact_rarity, np.float32(0)),
            year_offsets=offsets["years"],
            sort_key=sort_key,
        )

    def _add_names(self, entities: Sequence[Entity]) -> list[set[str]]:
        per_entity = [_names(entity) for entity in entities]
        keys = [key for own in per_entity for key, _ in own]
        priors = [prior for own in per_entity for _, prior in own]
        split = [key.split() for key in keys]
        distinct = [list(dict.fromkeys(words)) for words in split]
        grams, gram_offsets = gram_buckets(keys)
        self.keys += keys
        self._put("name_hash", text_hashes(keys))
        self._put("title_hash", text_hashes([e.title.strip() for e in entities]))
        self._put(
            "name_initials",
            np.array([initials_hash(words) for words in split], dtype=np.uint64),
        )
        self._put("name_prior", np.array(priors, dtype=np.float32))
        self._put("grams", grams)
        self._put("words", word_buckets([w for words in distinct for w in words]))
        ends = word_buckets([w for words in split for w in (words[0], words[-1])])
        self._put("name_ends", ends.reshape(-1, 2))
        self._count("names", [len(own) for own in per_entity])
        self._count("grams", np.diff(gram_offsets))
        self._count("words", [len(words) for words in distinct])
        return [{word for key, _ in own for word in key.split()} for own in per_entity]

    def _add_facts(self, entities: Sequence[Entity], own_words: list[set[str]]) -> None:
        words = [
            list(
                dict.fromkeys(
                    w for w in description_words(e.description) if w not in own
                )
            )
            for e, own in zip(entities, own_words)
        ]
        years = [years_in(entity.description) for entity in entities]
        lengths = [len(entity.description.strip()) for entity in entities]
        self._put("facts", word_buckets([w for line in words for w in line]))
        self._put("years", np.array([y for line in years for y in line], np.int16))
        self._put("description_length", np.array(lengths, dtype=np.int32))
        self._put("sitelinks", np.array([_sitelinks(e) for e in entities], np.float32))
        priors = [np.nan if e.prior is None else e.prior for e in entities]
        self._put("entity_prior", np.array(priors, dtype=np.float32))
        self._count("facts", [len(line) for line in words])
        self._count("years", [len(line) for line in years])

    def _put(self, name: str, values: np.ndarray) -> None:
        self._parts.setdefault(name, []).append(values)

    def _count(self, name: str, counts: Iterable[int] | np.ndarray) -> None:
        values = np.fromiter(counts, dtype=np.int64)
        self._counts.setdefault(name, []).append(values)


def years_in(text: str) -> list[int]:
    """RETURNS (list[int]): the distinct years that a text names, in order."""
    return sorted({int(year) for year in _YEAR.findall(text)})


def description_words(text: str) -> list[str]:
    """RETURNS (list[str]): normalised words that can be shared with a context;
    years and other numbers apart."""
    return [word for word in normalise(text).split() if not word.isdigit()]


def initials_hash(words: Sequence[str]) -> int:
    """RETURNS (int): hash of the initials of several words, 0 for a single one."""
    letters = initials(words)
    return text_hash(letters) if letters else int(_NO_INITIALS)


def _names(entity: Entity) -> list[tuple[str, float]]:
    """RETURNS (list[tuple[str, float]]): the entity's distinct normalised names, the
    title first, each with the highest prior that an equal alias gives it."""
    names = {normalise(entity.title): np.nan}
    for alias in entity.aliases:
        prior = np.nan if alias.prior is None else alias.prior
        key = normalise(alias.alias)
        names[key] = np.fmax(names.get(key, np.nan), prior)
    return list(names.items())


def _sitelinks(entity: Entity) -> float:
    value = entity.extra.get("sitelinks")
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return float("nan")
    return float(value)


def _frequency(buckets: np.ndarray, n_buckets: int) -> np.ndarray:
    return np.bincount(buckets, minlength=n_buckets)


def _rarity(frequency: np.ndarray, total: int) -> np.ndarray:
    scale = np.log(total + 1) or 1.0
    return np.clip(1 - np.log(frequency + 1) / scale, 0, 1).astype(np.float32)


def _rarest(words: np.ndarray, offsets: np.ndarray, rarity: np.ndarray) -> np.ndarray:
    """RETURNS (np.ndarray): the rarest FACT_WORDS words of each row, in an array just
    wide enough. Shape: (n_rows, width), int32"""
    counts = np.diff(offsets)
    owner = np.repeat(np.arange(len(counts)), counts)
    words = words[np.lexsort((words, -rarity[words], owner))]
    place = np.arange(len(words)) - offsets[owner]
    width = min(int(counts.max(initial=0)), FACT_WORDS)
    out = np.full((len(counts), width), BUCKETS, dtype=np.int32)
    kept = place < width
    out[owner[kept], place[kept]] = words[kept]
    return out


def _offsets(counts: list[np.ndarray]) -> np.ndarray:
    lengths = np.concatenate(counts)
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets
