"""Writing the arrays of a `Lexicon`, whole or by appending rows."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...names.forms import SMALL_WORDS
from ...names.normalisation import (
    BUCKETS,
    gram_buckets,
    normalise,
    text_hashes,
    without_qualifier,
    word_buckets,
)
from ...names.rarity import last_word
from ..arrays import ArrayWriter
from ..entity import Entity
from .lexicon import (
    AXES,
    FACT_WORDS,
    Lexicon,
    acronym_hashes,
    description_words,
    word_weights,
    years_in,
)

_CHUNK = 4096
"""Entities worked on together."""
_NAMES = 1 << 16
"""Names worked on together."""
_VALUES = 1 << 22
"""Entries of a flat array counted together."""
_FACT_WORDS_FILE = "fact_words"

_DTYPES: dict[str, Any] = {
    "entity_names": np.int64,
    "year_offsets": np.int64,
    "title_hash": np.uint64,
    "entity_prior": np.float32,
    "description_length": np.int32,
    "sitelinks": np.float32,
    "gram_offsets": np.int64,
    "word_offsets": np.int64,
    "text_offsets": np.int64,
    "name_entity": np.int32,
    "name_hash": np.uint64,
    "name_initials": np.uint64,
    "name_joined": np.uint64,
    "name_prior": np.float32,
    "name_ends": np.uint32,
    "grams": np.uint32,
    "words": np.uint32,
    "word_weights": np.uint8,
    "name_text": np.uint8,
    "years": np.int16,
}
"""Arrays that are appended to as entities come; the rest is made by `finish`."""
_TAILS = {"name_ends": (2,), "name_initials": (len(SMALL_WORDS),)}
"""Shapes of their entries, where they are no numbers."""
_OFFSETS = (*AXES["row offsets"], *AXES["name offsets"])


class LexiconWriter:
    """Writes the arrays of a new snapshot, or appends to those of an older one.

    How rare words and n-grams are is counted once, when a snapshot is made: entities
    that join later are weighed by the same numbers, so that nobody's scores move.
    """

    def __init__(self, folder: Path, base: Lexicon | None = None) -> None:
        """folder (Path): where the files are.
        base (Lexicon | None): what they hold already; None for a new snapshot.
        """
        self.folder = folder
        self.base = base
        self.n_rows = self.first_row = 0 if base is None else base.n_rows
        self.n_names = self.first_name = 0 if base is None else base.n_names
        self._ends: dict[str, int] = {}
        self._files = {name: self._open(name) for name in _DTYPES}
        if base is None:
            for name in _OFFSETS:
                self._files[name].append(np.zeros(1, dtype=np.int64))
        self._fact_words = ArrayWriter(folder / f"{_FACT_WORDS_FILE}.npy", np.uint32)
        self._fact_counts: list[np.ndarray] = []

    def add(self, entities: Sequence[Entity | None]) -> list[str]:
        """Append entities, a row each; None stands for a removed one.

        RETURNS (list[str]): the new names, normalised; the first one's number is
            `n_names` before the call.
        """
        keys = []
        for start in range(0, len(entities), _CHUNK):
            keys += self._add(entities[start : start + _CHUNK])
        return keys

    def finish(
        self, removed: np.ndarray, leaving: np.ndarray, by_id: np.ndarray
    ) -> dict[str, Any]:
        """Complete the files.

        removed (np.ndarray): rows that are no more. Shape: (n_removed,)
        leaving (np.ndarray): those of them whose names `base` still finds.
            Shape: (n_leaving,)
        by_id (np.ndarray): all rows in the order of their ids. Shape: (n_rows,)
        RETURNS (dict[str, Any]): counts for the KB's meta.
        """
        for file in (*self._files.values(), self._fact_words):
            file.close()
        if self.base is None:
            self._count_rarity()
        self._write_norms()
        self._write_facts()
        (self.folder / f"{_FACT_WORDS_FILE}.npy").unlink()
        self._replace("sort_key", _places(by_id))
        self._write_sorted(leaving)
        live = np.ones(self.n_rows, dtype=bool)
        live[removed] = False
        lengths = self._map("description_length")
        priors = self._map("name_prior"), self._map("entity_prior")[live]
        return {
            "entities": int(live.sum()),
            "rows": self.n_rows,
            "names": len(self._map("sorted_name")),
            "descriptions": int(np.count_nonzero(lengths[live])),
            "priors": any(bool((~np.isnan(p)).any()) for p in priors),
        }

    @property
    def fits(self) -> bool:
        """RETURNS (bool): whether the longest new description has room in `facts`."""
        if self.base is None or not self._fact_counts:
            return True
        longest = max(int(counts.max(initial=0)) for counts in self._fact_counts)
        return min(longest, FACT_WORDS) <= self.base.facts.shape[1]

    def close(self) -> None:
        """Give up."""
        for file in (*self._files.values(), self._fact_words):
            file.abandon()

    def _open(self, name: str) -> ArrayWriter:
        tail = _TAILS.get(name, ())
        length = 0 if self.base is None else len(getattr(self.base, name))
        return ArrayWriter(
            self.folder / f"{name}.npy", _DTYPES[name], tail, length=length
        )

    def _add(self, entities: Sequence[Entity | None]) -> list[str]:
        per_entity = [[] if e is None else names_of(e) for e in entities]
        keys = [key for own in per_entity for key, _ in own]
        priors = [prior for own in per_entity for _, prior in own]
        split = [key.split() for key in keys]
        distinct = [list(dict.fromkeys(words)) for words in split]
        grams, gram_offsets = gram_buckets(keys)
        counts = np.array([len(own) for own in per_entity], dtype=np.int64)
        rows = np.arange(self.n_rows, self.n_rows + len(entities), dtype=np.int32)
        ends = word_buckets(
            [w for words in split for w in (words[0], last_word(words))]
        )
        self._put("name_entity", np.repeat(rows, counts))
        self._put("name_hash", text_hashes(keys))
        acronyms = np.array([*map(acronym_hashes, split)], dtype=np.uint64)
        self._put("name_initials", acronyms.reshape(-1, len(SMALL_WORDS)))
        self._put("name_joined", text_hashes(["".join(words) for words in split]))
        self._put("name_prior", np.array(priors, dtype=np.float32))
        self._put("grams", grams)
        flat = [word for words in distinct for word in words]
        self._put("words", word_buckets(flat))
        codes = [code for words in distinct for code in word_weights(words)]
        self._put("word_weights", np.array(codes, dtype=np.uint8))
        texts = [key.encode() for key in keys]
        self._put("name_text", np.frombuffer(b"".join(texts), dtype=np.uint8))
        self._put_offsets("text_offsets", [*map(len, texts)])
        self._put("name_ends", ends.reshape(-1, 2))
        self._put_offsets("entity_names", counts)
        self._put_offsets("gram_offsets", np.diff(gram_offsets))
        self._put_offsets("word_offsets", [len(words) for words in distinct])
        self._add_facts(
            entities,
            [{word for key, _ in own for word in key.split()} for own in per_entity],
        )
        self.n_rows += len(entities)
        self.n_names += len(keys)
        return keys

    def _add_facts(
        self, entities: Sequence[Entity | None], own_words: list[set[str]]
    ) -> None:
        texts = ["" if e is None else e.description for e in entities]
        words = [
            [w for w in dict.fromkeys(description_words(text)) if w not in own]
            for text, own in zip(texts, own_words)
        ]
        years = [years_in(text) for text in texts]
        self._fact_words.append(word_buckets([w for line in words for w in line]))
        self._fact_counts.append(np.array([*map(len, words)], dtype=np.int64))
        self._put("years", np.array([y for line in years for y in line], np.int16))
        self._put_offsets("year_offsets", [len(line) for line in years])
        self._put("description_length", np.array([len(t.strip()) for t in texts]))
        titles = ["" if e is None else e.title.strip() for e in entities]
        self._put("title_hash", text_hashes(titles))
        self._put("sitelinks", np.array([*map(_sitelinks, entities)], np.float32))
        priors = [np.nan if e is None or e.prior is None else e.prior for e in entities]
        self._put("entity_prior", np.array(priors, dtype=np.float32))

    def _put(self, name: str, values: np.ndarray) -> None:
        self._files[name].append(values)

    def _put_offsets(self, name: str, counts: Sequence[int] | np.ndarray) -> None:
        if name not in self._ends:
            self._ends[name] = 0 if self.base is None else getattr(self.base, name)[-1]
        ends = self._ends[name] + np.cumsum(counts, dtype=np.int64)
        if len(ends):
            self._ends[name] = int(ends[-1])
        self._put(name, ends)

    # After all entities have been added

    def _map(self, name: str) -> np.ndarray:
        return np.asarray(np.load(self.folder / f"{name}.npy", mmap_mode="r"))

    def _replace(self, name: str, values: np.ndarray) -> None:
        """Write an array of this snapshot alone: an older one's file may be linked
        under the same name."""
        path = self.folder / f"{name}.npy"
        path.unlink(missing_ok=True)
        with ArrayWriter(path, values.dtype, values.shape[1:]) as file:
            file.append(values)

    def _count_rarity(self) -> None:
        names = self.n_names
        described = int(np.count_nonzero(self._map("description_length")))
        n_grams = _frequency(self._map("grams"))
        weight = 1 + np.log((1 + names) / (1 + n_grams))
        self._replace("gram_weight", weight.astype(np.float32))
        self._replace("word_rarity", _rarity(_frequency(self._map("words")), names))
        facts = _rarity(_frequency(self._map(_FACT_WORDS_FILE)), described)
        self._replace("fact_rarity", np.append(facts, np.float32(0)))

    def _write_norms(self) -> None:
        squares = np.square(self._map("gram_weight").astype(np.float64))
        grams, offsets = self._map("grams"), self._map("gram_offsets")
        path = self.folder / "gram_norm.npy"
        with ArrayWriter(path, np.float32, length=self.first_name) as file:
            for first, last in _ranges(self.first_name, self.n_names, _NAMES):
                bounds = offsets[first : last + 1]
                own = squares[grams[bounds[0] : bounds[-1]]]
                sums = np.add.reduceat(own, bounds[:-1] - bounds[0])
                file.append(np.sqrt(sums).astype(np.float32))

    def _write_facts(self) -> None:
        rarity = self._map("fact_rarity")
        words = self._map(_FACT_WORDS_FILE)
        counts = np.concatenate([np.zeros(0, np.int64), *self._fact_counts])
        ends = np.cumsum(counts)
        if self.base is None:
            width = min(int(counts.max(initial=0)), FACT_WORDS)
        else:
            width = self.base.facts.shape[1]
        path = self.folder / "facts.npy"
        with ArrayWriter(path, np.int32, (width,), length=self.first_row) as file:
            for first, last in _ranges(0, len(counts), _CHUNK):
                own = slice(ends[first] - counts[first], ends[last - 1])
                file.append(_rarest(words[own], counts[first:last], rarity, width))

    def _write_sorted(self, leaving: np.ndarray) -> None:
        new_hash = self._map("name_hash")[self.first_name : self.n_names]
        order = np.argsort(new_hash, kind="stable")
        names = (order + self.first_name).astype(np.int32)
        hashes = new_hash[order]
        if self.base is not None:
            where = np.searchsorted(self.base.sorted_hash, hashes, side="right")
            hashes = np.insert(self.base.sorted_hash, where, hashes)
            names = np.insert(self.base.sorted_name, where, names)
        if len(leaving):
            live = ~np.isin(self._map("name_entity")[names], leaving)
            hashes, names = hashes[live], names[live]
        self._replace("sorted_hash", hashes)
        self._replace("sorted_name", names)


LINKED = frozenset(
    name
    for names in AXES.values()
    for name in names
    if name not in ("sorted_hash", "sorted_name", "sort_key")
)
"""Arrays that a snapshot shares with the one it extends."""


def names_of(entity: Entity) -> list[tuple[str, float]]:
    """RETURNS (list[tuple[str, float]]): the entity's distinct normalised names, the
    title first, each with the highest prior that an equal alias gives it."""
    names = {normalise(entity.title): np.nan}
    names.setdefault(normalise(without_qualifier(entity.title)), np.nan)
    for alias in entity.aliases:
        prior = np.nan if alias.prior is None else alias.prior
        key = normalise(alias.alias)
        names[key] = np.fmax(names.get(key, np.nan), prior)
    return list(names.items())


def _sitelinks(entity: Entity | None) -> float:
    value = None if entity is None else entity.extra.get("sitelinks")
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return float("nan")
    return float(value)


def _frequency(buckets: np.ndarray) -> np.ndarray:
    counts = np.zeros(BUCKETS, dtype=np.int64)
    for first, last in _ranges(0, len(buckets), _VALUES):
        counts += np.bincount(buckets[first:last], minlength=BUCKETS)
    return counts


def _rarity(frequency: np.ndarray, total: int) -> np.ndarray:
    scale = np.log(total + 1) or 1.0
    return np.clip(1 - np.log(frequency + 1) / scale, 0, 1).astype(np.float32)


def _rarest(
    words: np.ndarray, counts: np.ndarray, rarity: np.ndarray, width: int
) -> np.ndarray:
    """RETURNS (np.ndarray): the rarest words of each row, at most `width`, filled up
    with bucket BUCKETS. Shape: (len(counts), width), int32"""
    owner = np.repeat(np.arange(len(counts)), counts)
    words = words[np.lexsort((words, -rarity[words], owner))]
    place = np.arange(len(words)) - np.repeat(np.cumsum(counts) - counts, counts)
    out = np.full((len(counts), width), BUCKETS, dtype=np.int32)
    kept = place < width
    out[owner[kept], place[kept]] = words[kept]
    return out


def _places(rows: np.ndarray) -> np.ndarray:
    """RETURNS (np.ndarray): where each row stands in the given order, int32"""
    places = np.empty(len(rows), dtype=np.int32)
    places[rows] = np.arange(len(rows), dtype=np.int32)
    return places


def _ranges(first: int, last: int, size: int) -> Iterator[tuple[int, int]]:
    for start in range(first, last, size):
        yield start, min(start + size, last)
