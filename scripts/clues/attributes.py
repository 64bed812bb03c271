"""What descriptions say of colours, and of which namesakes it is true."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

COLOURS = (
    *("black", "white", "grey", "brown", "buff", "rufous", "red", "orange"),
    *("yellow", "olive", "green", "blue", "purple", "pink"),
)
ALIKE = (
    {"brown", "buff", "rufous"},
    {"yellow", "orange"},
    {"red", "rufous"},
    {"olive", "green"},
    {"blue", "purple"},
)
"""Colours that one may call by each other's names."""

_ANY = "|".join(COLOURS)
_SAID = re.compile(
    r"\b(?!(?:is|are|and|mostly)\b)([a-z]+)(?: is| are)? "
    rf"((?:{_ANY})(?:(?:,| and) (?:{_ANY}))*)(?=[,.;]| and)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, order=True)
class Clue:
    """A colour on a part, such as yellow on a throat."""

    part: str
    colour: str


Colours = Mapping[str, frozenset[str]]
"""Those of an entity, by part."""


def colours_in(description: str) -> Colours:
    """RETURNS (Colours): what sentences such as "throat yellow and white, bill black."
    or "Its throat is yellow." say."""
    return {
        part.lower(): frozenset(re.findall(_ANY, said))
        for part, said in _SAID.findall(description)
    }


@dataclass(frozen=True, slots=True)
class Namesakes:
    """Entities that share a noun.

    noun (str): the noun.
    colours (Mapping[str, Colours]): of each, by id.
    """

    noun: str
    colours: Mapping[str, Colours]

    def clues(self) -> list[Clue]:
        """RETURNS (list[Clue]): those that narrow the namesakes to two or three."""
        said = {
            Clue(part, colour)
            for own in self.colours.values()
            for part, colours in own.items()
            for colour in colours
        }
        return sorted(clue for clue in said if 2 <= len(self.true_of(clue)) <= 3)

    def true_of(self, clue: Clue) -> list[str]:
        """RETURNS (list[str]): whose description says so."""
        return [
            id_
            for id_, own in self.colours.items()
            if clue.colour in own.get(clue.part, ())
        ]

    def false_of(self, clue: Clue) -> set[str]:
        """RETURNS (set[str]): whose description tells other colours of that part, none
        of which one would call so."""
        alike = set(chain(*(some for some in ALIKE if clue.colour in some)))
        return {
            id_
            for id_, own in self.colours.items()
            if clue.part in own and not own[clue.part] & (alike | {clue.colour})
        }


def namesakes_of(
    entities: Iterable[tuple[str, Sequence[str], str]],
) -> list[Namesakes]:
    """entities (Iterable): id, aliases and description of each.
    RETURNS (list[Namesakes]): three or more that share an alias, with clues; two cannot
        be told of by what is true of both."""
    by_noun: dict[str, dict[str, Colours]] = {}
    for id_, aliases, description in entities:
        for alias in dict.fromkeys(aliases):
            by_noun.setdefault(alias, {})[id_] = colours_in(description)
    found = [Namesakes(noun, own) for noun, own in by_noun.items() if len(own) > 2]
    return [namesakes for namesakes in found if namesakes.clues()]
