"""Forms of names: marked strings that a mention may have in common with a name though
no word is equal.

Spelling is compared by what is left of a word when one letter is taken out, of either
side, so that a look-up costs the same whatever the number of words in the KB.
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

from .normalisation import initials

CACHED = 1 << 16
"""Words that something is remembered of."""
PREFIX = 4
"""Letters of a beginning."""
SPELT_LETTERS, SPELT_BYTES = 4, 9
"""A word needs as many letters, or bytes (three signs of Hangul), to be looked for
under other spellings."""
LONGEST_SPELT = 24
"""Letters of the longest word that is."""
INITIALS = range(2, 7)
"""Letters of an abbreviation such as JFK."""
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
    for length in SMALL_WORDS:
        short = initials([word for word in words if len(word) > length])
        if len(short) in INITIALS:
            yield f"={short}"
    if len(words) > 1:
        yield f"{words[0][0]}={words[-1]}"


def abbreviations(words: list[str]) -> list[str]:
    """Forms of the names that a mention may abbreviate: JFK, J. F. K., J. Kennedy."""
    short = "".join(words)
    if len(short) in INITIALS and len(words) in (1, len(short)):
        return [f"={short}"]
    if len(words) < 2:
        return []
    ends = ((words[0], words[-1]), (words[-1], words[0]))
    return [f"{letter}={word}" for letter, word in ends if len(letter) == 1 < len(word)]


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
