"""Forms of names: marked strings that a mention may have in common with a name though
no word is equal.

Spelling is compared by what is left of a word when one letter is taken out, of either
side, so that a look-up costs the same whatever the number of words in the KB.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise, takewhile

from .normalisation import initials, normalise

CACHED = 1 << 16
"""Words that something is remembered of."""
PREFIX = 4
"""Letters of a beginning."""
SPELT_LETTERS, SPELT_BYTES = 4, 9
"""A word needs as many letters, or bytes (three signs of Hangul), to be looked for
under other spellings."""
LEAST_ALIKE, LONG = 0.3, 7
SPELT_ALIKE, SURELY_ALIKE = (0.3, 0.3, 0.3, 0.3, 0.3, 0.5, 0.7), 0.95
"""How like words are that are spelt alike, by the letters of the shorter one, and with
more letters."""
DERIVED = ("n", "s", "i")
"""What makes another word of a name: American, Israeli."""
LONGEST_SPELT = 24
"""Letters of the longest word that is."""
INITIALS = range(2, 7)
"""Letters of an abbreviation such as JFK."""
FIRST_LETTERS = 3
"""Letters that first names are abbreviated to, at most, as in JRR Tolkien."""
SMALL_WORDS = (0, 2, 3)
"""Words of at most these lengths may be left out of an abbreviation, as in USA."""


def forms(words: list[str]) -> Iterator[str]:
    """Forms of a name. The marks +, * and = are in no normalised word."""
    for word in dict.fromkeys(words):
        yield from spellings(word)
        if start := beginning(word):
            yield start
    for left, right in pairwise(words):
        yield f"+{left}{right}"
    if len(words) > 2:
        yield f"+{''.join(words)}"
    for short in acronyms(words):
        if len(short) in INITIALS:
            yield f"={short}"
    if len(words) > 1:
        yield f"{words[0][0]}={words[-1]}"


def acronyms(words: Sequence[str]) -> list[str]:
    """RETURNS (list[str]): first letters of all words, and of those longer than each of
    `SMALL_WORDS`; empty for a single one."""
    return [initials([word for word in words if len(word) > n]) for n in SMALL_WORDS]


def abbreviations(words: list[str]) -> list[str]:
    """Forms of the names that a mention may abbreviate: JFK, J. Kennedy, JF Kennedy."""
    if len(words) < 2:
        return [f"={word}" for word in words if len(word) in INITIALS]
    ends = ((words[0], words[-1]), (words[-1], words[0]))
    return [
        f"{letters[0]}={word}"
        for letters, word in ends
        if len(letters) <= FIRST_LETTERS < len(word)
    ]


@lru_cache(CACHED)
def spellings(word: str) -> tuple[str, ...]:
    """The word and what is left of it when a letter is taken out."""
    is_long = len(word) >= SPELT_LETTERS or len(word.encode()) >= SPELT_BYTES
    if not is_long or len(word) > LONGEST_SPELT:
        return ()
    shorter = (word[:i] + word[i + 1 :] for i in range(len(word)))
    return tuple(dict.fromkeys([word, *shorter]))


def beginning(word: str) -> str:
    return f"{word[:PREFIX]}*" if len(word) >= PREFIX else ""


@lru_cache(CACHED)
def capitals(mention: str) -> frozenset[str]:
    """RETURNS (frozenset[str]): normalised words of a mention that begin with a capital
    letter, or are of a script that has none."""
    written = re.split(r"[\s\-–—/]+", mention)
    begun = (word for word in written if word[:1] == word[:1].upper() != "")
    return frozenset(normalise(" ".join(begun)).split())


@lru_cache(CACHED)
def alike(word: str, other: str) -> float:
    """How like words are that are not equal: spelt alike, which search knows, too, the
    longer the surer; or beginning alike, such as America and American.

    RETURNS (float): from 0 to 1.
    """
    shorter, longer = sorted((word, other), key=len)
    is_derived = longer.removeprefix(shorter) in DERIVED
    if not is_derived and not set(spellings(word)).isdisjoint(spellings(other)):
        if word[0] == other[0]:
            return (*SPELT_ALIKE, SURELY_ALIKE)[min(len(shorter), len(SPELT_ALIKE))]
        # Zambia is not Gambia: hardly anybody misses the first letter.
        return LEAST_ALIKE if len(shorter) > LONG else 0.0
    equal = (a == b for a, b in zip(word, other))
    shared = sum(takewhile(bool, equal))
    if shared >= max(len(shorter) - 1, PREFIX):
        return 0.45
    return 0.4 if shared > PREFIX and shared >= 0.6 * len(longer) else 0.0
