"""How rare words are in text.

In a small KB every word is rare: "Games" is so among forty names, but not in
newspapers. common_words.txt lists words by level, in steps of 1 / LEVELS; it was
counted in encyclopedia sentences and captions (`scripts/fit_names.py`).
"""

from functools import cache, lru_cache
from pathlib import Path

from .forms import CACHED

LEVELS = 32
NUMBER = 0.6
"""Rarity of a number: it tells one of a series from another, but no series."""
WORDS = Path(__file__).with_name("common_words.txt")


@lru_cache(CACHED)
def rarity(word: str) -> float:
    """RETURNS (float): 0 for the commonest normalised words, 1 for all not listed."""
    return NUMBER if word.isdigit() else common_words().get(word, LEVELS) / LEVELS


@cache
def common_words() -> dict[str, int]:
    """RETURNS (dict[str, int]): level of each listed word, below `LEVELS`."""
    lines = (line.split() for line in WORDS.read_text(encoding="utf-8").splitlines())
    return {word: int(level) for level, *words in lines for word in words}
