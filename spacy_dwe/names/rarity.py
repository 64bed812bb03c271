"""How rare words are in text.

In a small KB every word is rare: "Games" is so among forty names, but not in
newspapers. common_words.txt lists words by level, in steps of 1 / LEVELS; it was
counted in encyclopedia sentences and captions (`scripts/fit_names.py`).
"""

from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import takewhile
from pathlib import Path

from .forms import CACHED

LEVELS = 32
NUMBER = 0.6
"""Rarity of a number: it tells one of a series from another, but no series."""
LETTER = 0.35
"""Of a single letter or ideograph."""
_listed = str.split
BEFORE_NAMES = frozenset(
    _listed("""
    mr mrs ms miss mister dr doctor prof professor sir dame lord lady rev reverend
    former late president chancellor premier minister senator governor mayor judge
    king queen prince princess emperor empress pope bishop cardinal saint general
    colonel captain major admiral sergeant lieutenant secretary chairman herr frau
    monsieur madame don dona senor senora signor
    """)
)
AFTER_NAMES = frozenset(
    _listed("""
    junior senior esq phd md inc incorporated corp corporation co company ltd limited
    llc llp plc ag gmbh kg sa spa nv bv oy ab
    """)
)
MINOR = 0.1
"""What a word of these counts of another one: it says little of whose the name is."""
OF_WHICH = 0.5
"""What words after "of" count where several stand before it: Henry VIII of England."""
WORDS = Path(__file__).with_name("common_words.txt")


def weights(words: Sequence[str]) -> list[float]:
    """RETURNS (list[float]): what each word of a name says: its rarity, or little of it
    for what merely stands before or after names."""
    own = [rarity(word) for word in words]
    last = len(words) - 1
    for place in takewhile(lambda i: words[i] in BEFORE_NAMES, range(last)):
        own[place] *= MINOR
    if last > 0 and words[last] in AFTER_NAMES:
        own[last] *= MINOR
    if "of" in words[2:]:
        for place in range(words.index("of"), len(words)):
            own[place] *= OF_WHICH
    return own


def last_word(words: Sequence[str]) -> str:
    """RETURNS (str): the last one, but for what merely stands after names."""
    return words[-2] if len(words) > 1 and words[-1] in AFTER_NAMES else words[-1]


@lru_cache(CACHED)
def rarity(word: str) -> float:
    """RETURNS (float): 0 for the commonest normalised words, 1 for all not listed."""
    if len(word) == 1 and word.isalpha():
        return LETTER
    return NUMBER if word.isdigit() else common_words().get(word, LEVELS) / LEVELS


@cache
def common_words() -> dict[str, int]:
    """RETURNS (dict[str, int]): level of each listed word, below `LEVELS`."""
    lines = (line.split() for line in WORDS.read_text(encoding="utf-8").splitlines())
    return {word: int(level) for level, *words in lines for word in words}
