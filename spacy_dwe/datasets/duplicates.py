"""Texts that occur twice, or nearly."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

SHINGLE_WORDS = 3
SIMILAR = 0.8
"""Jaccard similarity of their shingles from which on two texts are near-duplicates."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Repeats:
    """Texts of one collection that another one has, too.

    equal (int): but for case, punctuation and white space.
    similar (int): nearly, see `SIMILAR`, and not equal.
    """

    equal: int
    similar: int


def words_of(text: str) -> tuple[str, ...]:
    """RETURNS (tuple[str, ...]): what is compared of a text."""
    return tuple(_WORD.findall(text.casefold()))


def repeats_within(texts: Iterable[tuple[str, ...]]) -> int:
    """RETURNS (int): texts that have an equal one before them."""
    return sum(count - 1 for count in Counter(texts).values())


def repeats_between(
    texts: Sequence[tuple[str, ...]], others: Sequence[tuple[str, ...]]
) -> Repeats:
    """Count the texts that stand among others. Exact: two texts are compared when they
    share a shingle among the rarest of either, as similar ones must.

    texts, others (Sequence[tuple[str, ...]]): as `words_of` gives them.
    RETURNS (Repeats): of `texts`; one that repeats several others counts once.
    """
    known = set(others)
    new = [text for text in texts if text not in known]
    sets = [_shingles(text) for text in known]
    frequency = Counter(shingle for shingles in sets for shingle in shingles)
    index: dict[Hashable, list[int]] = defaultdict(list)
    for i, shingles in enumerate(sets):
        for shingle in _rarest(shingles, frequency):
            index[shingle].append(i)
    similar = 0
    for text in new:
        own = _shingles(text)
        near = {
            i for shingle in _rarest(own, frequency) for i in index.get(shingle, ())
        }
        similar += any(_jaccard(own, sets[i]) >= SIMILAR for i in near)
    return Repeats(len(texts) - len(new), similar)


def _shingles(words: tuple[str, ...]) -> set[Hashable]:
    n = max(len(words) - SHINGLE_WORDS + 1, 1)
    return {words[i : i + SHINGLE_WORDS] for i in range(n)}


def _rarest(shingles: set[Hashable], frequency: Counter[Hashable]) -> list[Hashable]:
    """The shingles of which two similar sets have at least one in common."""
    n = len(shingles) - math.ceil(SIMILAR * len(shingles)) + 1
    return sorted(shingles, key=lambda shingle: (frequency[shingle], shingle))[:n]


def _jaccard(a: set[Hashable], b: set[Hashable]) -> float:
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared)
