"""How alike two entities are, and how well a mention fits an entity's names."""

import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from ..kb.normalisation import normalise

if TYPE_CHECKING:
    from ..kb.entity import Entity

SIMILAR_TITLE = 0.9
"""Matching characters (`difflib`) of two titles that are nearly the same."""
SIMILAR_DESCRIPTION = 0.8
"""Shared words among all words of two descriptions that are nearly the same."""

_BRACKETED = re.compile(r"\s*[(（][^()（）]*[)）]\s*$")


def bears(entity: "Entity", mention: str) -> bool:
    """RETURNS (bool): whether the mention is, normalised, a name of the entity."""
    wanted = normalise(mention)
    return any(normalise(name) == wanted for name in _names(entity))


def shared_words(mention: str, entity: "Entity") -> float:
    """RETURNS (float): share of the mention's words that one name of the entity has, as
    they stand but for case and diacritics, or as an initial."""
    return max(_coverage(mention, name) for name in _names(entity))


def same_title(first: str, second: str) -> bool:
    """RETURNS (bool): whether titles are equal but for what a bracket at the end says,
    case, diacritics and punctuation."""
    return _bare(first) == _bare(second)


def nearly_same(first: "Entity", second: "Entity") -> bool:
    """RETURNS (bool): whether neither title nor description tells entities apart, see
    `SIMILAR_TITLE` and `SIMILAR_DESCRIPTION`."""
    words = [set(normalise(e.description).split()) for e in (first, second)]
    if not all(words) or _alike(_bare(first.title), _bare(second.title)) < (
        SIMILAR_TITLE
    ):
        return False
    shared = len(words[0] & words[1]) / len(words[0] | words[1])
    return shared >= SIMILAR_DESCRIPTION


def _names(entity: "Entity") -> list[str]:
    return [entity.title, *(alias.alias for alias in entity.aliases)]


def _bare(title: str) -> str:
    return normalise(_BRACKETED.sub("", title) or title)


def _alike(first: str, second: str) -> float:
    return SequenceMatcher(None, first, second, autojunk=False).ratio()


def _coverage(mention: str, name: str) -> float:
    words, parts = _words(mention), normalise(name).split()
    return sum(any(_is_form(w, p) for p in parts) for w in words) / len(words)


def _words(mention: str) -> list[str]:
    """Words without the s of a possessive."""
    words = normalise(mention).split()
    return words[:-1] if len(words) > 1 and words[-1] == "s" else words


def _is_form(word: str, part: str) -> bool:
    """Whether a word is a part of a name or its initial."""
    return word == part or (len(word) == 1 and part.startswith(word))
