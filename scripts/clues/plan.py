"""From rings to documents: who is photographed where, and what is said of them."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

from clues.attributes import Clue
from clues.rings import Ring
from clues.sentences import WORDINGS, sentence

BESIDE = 1 / 3
"""Share of the rings whose canvases show a third namesake, who is not asked for, where
there is one."""
TRIES = 50
"""Rings drawn in vain, one after another, before a split is as large as it gets."""

Photographs = Mapping[str, Sequence[str]]
"""Paths, by id of who is on them."""


@dataclass(frozen=True, slots=True)
class Question:
    """A mention to be.

    gold (str): id of who is asked for.
    clue (Clue): by what.
    start (int): where the noun stands in the text.
    allowed (tuple[str, ...]): ids of all of whom the clue is true.
    """

    gold: str
    clue: Clue
    start: int
    allowed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Planned:
    """A document to be.

    pictured (tuple[str, ...]): ids, from left to right.
    photographs (tuple[str, ...]): of each of them.
    """

    text: str
    noun: str
    pictured: tuple[str, ...]
    photographs: tuple[str, ...]
    questions: tuple[Question, ...]


def planned(
    rings: Sequence[Ring],
    photographs: Photographs,
    split: str,
    *,
    n_mentions: int,
    together: bool,
    seed: int,
) -> list[Planned]:
    """Documents of a split.

    rings (Sequence[Ring]): to draw from; each noun has its turn.
    photographs (Photographs): of the split.
    split (str): whose wording is used.
    n_mentions (int): mentions wanted; there are fewer where photographs do not suffice,
        as nobody is asked for twice on one canvas.
    together (bool): both questions of a canvas in one document.
    seed (int): draws rings, photographs and wordings.
    RETURNS (list[Planned]): whole rings of them.
    """
    draw = random.Random(f"{seed} {split} {together}")
    by_noun: dict[str, list[Ring]] = {}
    for ring in rings:
        by_noun.setdefault(ring.namesakes.noun, []).append(ring)
    found: list[Planned] = []
    seen: set[frozenset[str]] = set()
    n, in_vain = 0, dict.fromkeys(by_noun, 0)
    for noun in cycle(by_noun):
        if n >= n_mentions or min(in_vain.values()) >= TRIES:
            return found
        if in_vain[noun] >= TRIES:
            continue
        ring = draw.choice(by_noun[noun])
        canvases = _canvases(ring, photographs, draw)
        keys = {frozenset(paths.values()) for paths in canvases}
        if len(keys) < len(canvases) or keys & seen:
            in_vain[noun] += 1
            continue
        in_vain[noun] = 0
        seen |= keys
        found += _documents(ring, canvases, split, together, draw)
        n += 2 * len(canvases)
    return found


def _canvases(
    ring: Ring, photographs: Photographs, draw: random.Random
) -> list[dict[str, str]]:
    """RETURNS (list[dict[str, str]]): who is on each canvas, from left to right, and
    the photograph of them."""
    place = draw.randrange(3) if draw.random() < BESIDE else None
    turned = draw.random() < 0.5
    canvases = []
    for index, pair in enumerate(ring.canvases):
        ids = [*reversed(pair)] if turned else [*pair]
        others = [other for other in ring.others(index) if other in photographs]
        if place is not None and others:
            ids.insert(place, draw.choice(others))
        canvases.append({id_: draw.choice(photographs[id_]) for id_ in ids})
    return canvases


def _documents(
    ring: Ring,
    canvases: Sequence[Mapping[str, str]],
    split: str,
    together: bool,
    draw: random.Random,
) -> Iterator[Planned]:
    words = WORDINGS[split]
    templates = words.two if together else words.one
    wordings = [(draw.choice(templates), draw.choice(words.clues)) for _ in ring.clues]
    backwards = draw.random() < 0.5
    for index, (asked, photographs) in enumerate(zip(ring.canvases, canvases)):
        both = sorted(zip(ring.asked(index), asked), reverse=backwards)
        for golds in [both] if together else [[one] for one in both]:
            clues = tuple(ring.clues[i] for i, _ in golds)
            noun = ring.namesakes.noun
            # Of a ring of two canvases both say the same of the same clues.
            template, wording = wordings[golds[0][0]]
            text, starts = sentence(template, wording, noun, clues)
            yield Planned(
                text,
                noun,
                tuple(photographs),
                tuple(photographs.values()),
                tuple(
                    Question(gold, clue, start, tuple(ring.namesakes.true_of(clue)))
                    for (_, gold), clue, start in zip(golds, clues, starts)
                ),
            )
