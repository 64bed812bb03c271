"""What photographs decided: a mention's picture beside the pictures that the KB has of
the entities it might mean, and why in plain words."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DweError
from ..images import ImageRef, read_bytes
from ..kb.vectors.fields import PictureField
from ..kb.vectors.sets import IMAGE, SetName
from .examples import Examples, Linked

if TYPE_CHECKING:
    from ..evaluation.outcomes import Outcome
    from ..kb.entity import Entity
    from ..kb.vectors.sets import VectorSet
    from ..linking.annotate import ScoredMention

Vectors = Mapping[str, np.ndarray]
"""Unit vectors of a picture, by space. Shape of each: (1, dim)"""
Compare = Callable[[Mapping[ImageRef, str]], Mapping[ImageRef, Vectors]]
"""Vectors of pictures as the KB's are compared with, given what messages call the
document of each."""

CHANNEL, NETWORK = "image", "dwe"
"""Channels of pictures alone, and of pictures and words."""
MOST = 4
"""Examples of each kind."""
PHOTOGRAPH, OF_KB = (520, 400), (240, 190)
"""Pixels, at most."""
MOST_OF_KB = 3
"""Pictures shown of an entity, the nearest among them."""
ALIKE = 0.1
"""Logits within which words say as much for one entity as for another."""
SPEAKS = 0.5
"""Logits from which on a picture rather shows one of two."""
RESEMBLES, UNLIKELY = -1.0, 2.0
"""Likeness from which on a picture resembles another; and deviations that only few
random pairs have."""
_SENTENCE_END = re.compile(r"[.!?]['\"”’)]*\s+")


@dataclass(frozen=True, slots=True)
class KbPicture:
    """nearest (bool): the one of the entity's that was compared."""

    picture: str
    nearest: bool


@dataclass(frozen=True, slots=True)
class ComparedEntity:
    """An entity that a mention might mean.

    likeness (float): of the nearest of its pictures, see `Photographs.likeness`.
    n_more (int): pictures of it that are not shown.
    """

    id: str
    title: str
    description: str
    probability: float
    pictures: list[KbPicture]
    likeness: float
    n_more: int
    linked: bool
    right: bool


@dataclass(frozen=True, slots=True)
class PictureStory:
    """A mention in its sentence, its picture and what came of it.

    why (str): in plain words.
    """

    before: str
    mention: str
    after: str
    picture: str
    linked: str
    good: bool
    verdict: str
    why: str
    entities: list[ComparedEntity]


@dataclass(frozen=True, slots=True)
class StorySection:
    """stories (list[list[PictureStory]]): those that belong beside each other."""

    title: str
    note: str
    stories: list[list[PictureStory]]


@dataclass(frozen=True, slots=True)
class _Case:
    """A mention whose picture speaks, and for whom.

    winner (int): place of the linked entity, or the best one, among the candidates.
    words, pictures (np.ndarray): logits of the words, and of the picture; neither has
        the network's, which reads both.
        Shape: (n_candidates,)
    """

    index: int
    outcome: "Outcome"
    scored: "ScoredMention"
    winner: int
    words: np.ndarray
    pictures: np.ndarray

    @property
    def decided(self) -> bool:
        """RETURNS (bool): words alone would not have chosen the winner."""
        others = np.delete(self.words, self.winner)
        return bool(len(others) and others.max() >= self.words[self.winner] - ALIKE)

    @property
    def links_rightly(self) -> bool:
        return self.outcome.correct and self.outcome.predicted is not None

    @property
    def shown(self) -> int:
        """RETURNS (int): the candidate that the picture resembles most."""
        return int(self.pictures.argmax())

    @property
    def contrary(self) -> bool:
        """RETURNS (bool): the picture rather shows another one than the winner."""
        best = self.pictures[self.shown]
        return bool(best - self.pictures[self.winner] >= SPEAKS)


class Photographs:
    """Tells what pictures decided in an evaluation.

    linked (Linked): the evaluation.
    examples (Examples): reads pictures; its KB and folder are used.
    compare (Compare): vectors of the documents' pictures.
    """

    def __init__(self, linked: Linked, examples: Examples, compare: Compare) -> None:
        self._linked, self._examples, self._compare = linked, examples, compare
        self._kb = examples.kb
        self._field = PictureField(examples.image_root)
        self._sets = {
            space: self._kb.vector_sets[SetName(IMAGE, space)]
            for space in self._kb.picture_spaces
            if SetName(IMAGE, space) in self._kb.vector_sets
        }

    def sections(self) -> list[StorySection]:
        """RETURNS (list[StorySection]): those that have an example; none without
        pictures on both sides."""
        if not self._sets:
            return []
        cases = list(self._cases())
        pairs = list(self._pairs(cases))
        right = [case for case in cases if case.links_rightly]
        alone = [] if pairs else [case for case in right if case.decided]
        words_won = [case for case in right if case.contrary]
        misled = [c for c in cases if not c.outcome.correct and c.outcome.in_kb]
        found = [
            StorySection(
                "Same sentence, two pictures, two links",
                "The sentence does not tell which one is meant: the picture does. Each "
                "was linked by itself, and both links are right.",
                self._told(pairs),
            ),
            StorySection(
                "The picture decided",
                "The words do not tell which one is meant.",
                self._told([case] for case in _of_different_names(alone)),
            ),
            StorySection(
                "The picture resembles another one, and the words won",
                "A picture must not mislead where the sentence says who is meant.",
                self._told([case] for case in _of_different_names(words_won)),
            ),
            StorySection(
                "Misses with a picture",
                "The first of different names; more of them are below, by cause.",
                self._told([case] for case in _of_different_names(misled)),
            ),
        ]
        return [section for section in found if section.stories]

    def _told(self, groups: Iterable[Sequence[_Case]]) -> list[list[PictureStory]]:
        """RETURNS (list[list[PictureStory]]): without those whose picture cannot be
        read."""
        told = [[self._story(case) for case in group] for group in groups]
        read = [[story for story in stories if story is not None] for stories in told]
        return [own for own, stories in zip(read, told) if len(own) == len(stories)]

    def _cases(self) -> Iterator[_Case]:
        evaluation = self._linked.evaluation
        for index, outcome in enumerate(evaluation.outcomes):
            scored = evaluation.scored[index]
            pictures = scored.contributions.get(CHANNEL)
            images = self._linked.documents[outcome.document].images
            if pictures is None or len(images) != 1 or not np.ptp(pictures):
                continue
            winner = int(scored.scores.argmax())
            if outcome.predicted is not None:
                (row,) = self._kb.rows_of([outcome.predicted])
                winner = int(np.flatnonzero(scored.rows == row)[0])
            words = scored.scores - pictures - scored.contributions.get(NETWORK, 0.0)
            yield _Case(index, outcome, scored, winner, words, pictures)

    def _pairs(self, cases: Sequence[_Case]) -> Iterator[tuple[_Case, _Case]]:
        """YIELDS (tuple[_Case, _Case]): mentions of one name in one sentence that mean
        different entities, each found by its picture; of different names."""
        by_sentence: dict[tuple[str, str, str], _Case] = {}
        names: set[str] = set()
        for case in cases:
            name = case.outcome.text.lower()
            if name in names or not (case.links_rightly and case.decided):
                continue
            first = by_sentence.setdefault(self._sentence(case), case)
            if first.outcome.gold != case.outcome.gold:
                names.add(name)
                yield first, case
                if len(names) == MOST:
                    return

    def _sentence(self, case: _Case) -> tuple[str, str, str]:
        """RETURNS (tuple[str, str, str]): the sentence before, of and after it."""
        outcome = case.outcome
        text = self._linked.documents[outcome.document].text
        ends = [found.end() for found in _SENTENCE_END.finditer(text)]
        start = max((end for end in ends if end <= outcome.start), default=0)
        end = min((end for end in ends if end >= outcome.end), default=len(text))
        before, mention = text[start : outcome.start], outcome.text
        return before, mention, text[outcome.end : end].rstrip()

    def _story(self, case: _Case) -> PictureStory | None:
        """RETURNS (PictureStory | None): None if the picture cannot be read."""
        outcome, examples = case.outcome, self._examples
        document = self._linked.documents[outcome.document]
        picture = examples.picture(document.images, PHOTOGRAPH)
        vectors = self._compare({document.images[0]: f"document {document.id}"})
        if picture is None or document.images[0] not in vectors:
            return None
        (gold_row,) = self._kb.rows_of([outcome.gold or ""])
        gold = np.flatnonzero(case.scored.rows == gold_row)[:1].tolist()
        told = list(dict.fromkeys([case.winner, *gold, case.shown]))
        best = np.argsort(-case.scored.scores, kind="stable").tolist()
        shown = list(dict.fromkeys([*told, *best]))[: max(2, len(told))]
        entities = self._kb.entities(case.scored.rows[np.array(shown)])
        compared = [
            self._compared(
                entity,
                float(case.scored.probabilities[place]),
                vectors[document.images[0]],
                outcome,
            )
            for place, entity in zip(shown, entities)
        ]
        before, mention, after = self._sentence(case)
        good, should = outcome.correct, f"should be {examples.name(outcome.gold)}"
        return PictureStory(
            before=before,
            mention=mention,
            after=after,
            picture=picture,
            linked=examples.name(outcome.predicted),
            good=good,
            verdict="right" if good else should,
            why=self._why(case, max(each.likeness for each in compared)),
            entities=compared,
        )

    def _why(self, case: _Case, likeness: float) -> str:
        rows = case.scored.rows[[case.winner, case.shown]]
        winner, shown = (title for _, title, _ in self._kb.titles(rows))
        name, outcome = case.outcome.text, case.outcome
        if outcome.predicted is None:
            return (
                f"Neither the words nor the picture tell which “{name}” it is; the "
                f"picture resembles {shown} most, but not enough."
            )
        if case.contrary and likeness < RESEMBLES:
            return f"The picture resembles none of them; the words say {winner}."
        if case.contrary:
            return f"The picture resembles {shown} more, but the words say {winner}."
        if not case.decided:
            return f"The words say {winner}, and the picture does not speak against it."
        several = outcome.ambiguity
        which = "The words do not tell which one is meant."
        if several > 1:
            which = f"“{name}” is a name of {several} entities; t{which[1:]}"
        if case.shown != case.winner:
            return f"{which} The network reads words and picture as {winner}."
        return f"{which} The picture resembles {winner} most."

    def _compared(
        self, entity: "Entity", probability: float, vectors: Vectors, outcome: "Outcome"
    ) -> ComparedEntity:
        images = list(dict.fromkeys(entity.images))
        likeness = [self.likeness(image, vectors) for image in images]
        highest = max(likeness, default=-np.inf)
        nearest = likeness.index(highest) if highest > -np.inf else None
        kept = sorted(range(len(images)), key=lambda at: -likeness[at])[:MOST_OF_KB]
        refs = [self._field.reference(images[at]) for at in sorted(kept)]
        drawn = [self._examples.picture([ref], OF_KB) for ref in refs]
        pictures = [
            KbPicture(uri, at == nearest)
            for at, uri in zip(sorted(kept), drawn)
            if uri is not None
        ]
        return ComparedEntity(
            id=entity.id,
            title=entity.title,
            description=entity.description,
            probability=probability,
            pictures=pictures,
            likeness=highest,
            n_more=len(images) - len(kept),
            linked=entity.id == outcome.predicted,
            right=entity.id == outcome.gold,
        )

    def likeness(self, image: str, vectors: Vectors) -> float:
        """How like a picture of an entity is to another, above 0 where this one rather
        shows the entity: logits as of `PictureScale`, or deviations of random pairs
        above `UNLIKELY`; a mean over the spaces that both are in.

        RETURNS (float): -inf for a picture that is in none.
        """
        try:
            key = self._field.key(read_bytes(self._field.reference(image)))
        except DweError:
            return -np.inf
        said = []
        for space, pictures in self._sets.items():
            own = _vector(pictures, key)
            if own is None or space not in vectors:
                continue
            cosine = (vectors[space] @ own).max()
            if pictures.scale is None:
                said.append((cosine - pictures.mean) / pictures.std - UNLIKELY)
            else:
                said.append(pictures.scale(cosine))
        return float(np.mean(said)) if said else -np.inf


def _vector(pictures: "VectorSet", key: bytes) -> np.ndarray | None:
    """RETURNS (np.ndarray | None): of the picture with a key. Shape: (dim,), float32"""
    halves = np.frombuffer(key, dtype=np.uint64)
    places = np.flatnonzero((pictures.keys == halves).all(axis=1))
    return pictures.array[places[0]].astype(np.float32) if len(places) else None


def _of_different_names(cases: Sequence[_Case]) -> list[_Case]:
    first: dict[str, _Case] = {}
    for case in cases:
        first.setdefault(case.outcome.text.lower(), case)
    return list(first.values())[:MOST]
