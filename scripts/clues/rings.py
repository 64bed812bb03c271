"""Which namesakes are pictured together and asked for by which clue, such that neither
tells.

Two namesakes are on a canvas, and each is asked for by a clue that is true of it and
false of the other. Each clue asks on two canvases, for two namesakes. So canvases and
clues go round in a ring:

    canvas 0 (a, b) · clue of b and c · canvas 1 (c, d) · clue of d and a · canvas 0

Whoever knows the canvas and not the clue is right about one of its two questions, and
whoever knows the clue and not the canvas about one of its two.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import NamedTuple

from clues.attributes import Clue, Namesakes

MOST_CANVASES = 3
"""In a ring."""


class Link(NamedTuple):
    """A clue, who is asked for by it on one canvas as its last, and on the next one as
    its first."""

    clue: Clue
    last: str
    first: str


@dataclass(frozen=True, slots=True)
class Ring:
    """Canvases and clues, in their order.

    namesakes (Namesakes): whom it is of.
    canvases (tuple[tuple[str, str], ...]): ids of who is on each.
    clues (tuple[Clue, ...]): clue i asks for the second of canvas i and for the first
        of the one after it.
    """

    namesakes: Namesakes
    canvases: tuple[tuple[str, str], ...]
    clues: tuple[Clue, ...]

    def asked(self, canvas: int) -> tuple[int, int]:
        """RETURNS (tuple[int, int]): the clues that ask for the first and for the
        second of a canvas."""
        return (canvas - 1) % len(self.clues), canvas

    def others(self, canvas: int) -> list[str]:
        """RETURNS (list[str]): namesakes of whom neither clue of a canvas is true."""
        first, second = (self.clues[i] for i in self.asked(canvas))
        of = self.namesakes
        return sorted(of.false_of(first) & of.false_of(second))


def rings_of(
    namesakes: Namesakes, pictured: Collection[str], most: int = MOST_CANVASES
) -> list[Ring]:
    """All rings of two canvases and more.

    namesakes (Namesakes): who share a noun.
    pictured (Collection[str]): ids that have photographs.
    most (int): canvases in a ring. In one of two, all questions of a canvas together
        tell no more than each of them.
    RETURNS (list[Ring]): none, if the descriptions do not allow any.
    """
    clues = namesakes.clues()
    false = {clue: namesakes.false_of(clue) for clue in clues}
    links = [
        Link(clue, last, first)
        for clue in clues
        for last, first in permutations(namesakes.true_of(clue), 2)
        if {last, first} <= set(pictured)
    ]
    next_ones = {
        link: [
            other
            for other in links
            # They meet on a canvas, where each clue must be false of the other's.
            if other.last in false[link.clue] and link.first in false[other.clue]
        ]
        for link in links
    }

    def walk(path: list[Link]) -> Iterator[list[Link]]:
        if len(path) > 1 and path[0] in next_ones[path[-1]]:
            yield path
        if len(path) < most:
            for link in next_ones[path[-1]]:
                # A ring may begin anywhere: here, with its least link.
                if link > path[0]:
                    yield from walk([*path, link])

    return [_ring(namesakes, path) for link in links for path in walk([link])]


def _ring(namesakes: Namesakes, path: Sequence[Link]) -> Ring:
    canvases = tuple((path[i - 1].first, path[i].last) for i in range(len(path)))
    return Ring(namesakes, canvases, tuple(link.clue for link in path))
