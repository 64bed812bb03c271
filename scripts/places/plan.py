"""What the sample will hold: which sentence, of which place, with which picture.

Planning draws everything but pixels, so that its rules can be checked in a moment.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from places.data import Place, Places
from places.flags import layout, layout_distance
from places.sentences import (
    SPLITS,
    UNDECIDABLE,
    Sentence,
    decidable,
    elsewhere,
    paired,
    undecidable,
)

UNLIKE = 0.25
"""An irrelevant flag is at least this far from those of all that the name may mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How many sentences a split has of each place, and how many without a place."""

    undecidable: int
    ambiguous: int
    other: int
    elsewhere: int


SIZES: Mapping[str, Sizes] = {
    "train": Sizes(undecidable=9, ambiguous=4, other=5, elsewhere=90),
    "dev": Sizes(undecidable=2, ambiguous=1, other=1, elsewhere=20),
    "test": Sizes(undecidable=4, ambiguous=3, other=2, elsewhere=55),
}
UNSEEN = Sizes(undecidable=7, ambiguous=4, other=0, elsewhere=0)
"""The unseen places stand in test only, instead of its other sizes."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What a picture shows: the flag of `subject`, or a landscape when that is None.

    purpose (str): its split, or what else it is for. Each has its own randomness.
    number (int): tells two pictures of one subject apart.
    """

    subject: str | None
    purpose: str
    number: int


@dataclass(frozen=True, slots=True)
class Mention:
    """start, end (int): in characters; gold (str | None): an id, None when in no KB."""

    start: int
    end: int
    gold: str | None
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """swapped_to (str | None): the namesake whose flag has been put in."""

    id: str
    text: str
    mentions: tuple[Mention, ...]
    picture: Picture | None
    swapped_to: str | None = None


@dataclass(frozen=True)
class Plan:
    """documents: by file stem; pictures: of the entities that have one, by id."""

    documents: Mapping[str, Sequence[Document]]
    pictures: Mapping[str, Picture]


def plan_sample(places: Places, seed: int = 0, scale: float = 1.0) -> Plan:
    """Plan the sample.

    seed (int): the same seed gives the same plan.
    scale (float): of all sizes; below 1 for a quick look.
    """
    pictures = _entity_pictures(places, random.Random(f"{seed} entities"))
    documents: dict[str, Sequence[Document]] = {}
    for split in SPLITS:
        rng = random.Random(f"{seed} {split}")
        writer = Writer(places, split, rng, pictures, scale)
        documents[split] = writer.write()
    rng = random.Random(f"{seed} controls")
    documents["test-permuted"] = permuted(documents["test"], rng)
    documents["test-swapped"] = list(swapped(documents["test"], places))
    return Plan(documents, pictures)


def _entity_pictures(places: Places, rng: random.Random) -> dict[str, Picture]:
    """Half of the seen and half of the unseen names get a picture for each place."""
    chosen: list[Place] = []
    for unseen in (False, True):
        for ambiguous in (False, True):
            names = [
                name
                for name, places_of in places.namesakes.items()
                if places_of[0].unseen == unseen and (len(places_of) > 1) == ambiguous
            ]
            rng.shuffle(names)
            for name in names[::2]:
                chosen.extend(places.namesakes[name])
    return {place.id: Picture(place.id, "entities", 0) for place in chosen}


class Writer:
    """Plans the documents of one split."""

    def __init__(
        self,
        places: Places,
        split: str,
        rng: random.Random,
        pictured: Mapping[str, Picture],
        scale: float,
    ) -> None:
        self.split, self.rng, self.scale = split, rng, scale
        self.places, self.pictured = places, pictured
        self.usable = [p for p in places.rows if split == "test" or not p.unseen]
        self.layouts = {place.id: layout(place.flag) for place in places.rows}
        self.taken = 0

    def write(self) -> list[Document]:
        """RETURNS (list[Document]): in random order, numbered afterwards."""
        documents = [*self._undecidable(), *self._decidable(), *self._elsewhere()]
        self.rng.shuffle(documents)
        return [
            replace(document, id=f"{self.split}-{number}")
            for number, document in enumerate(documents)
        ]

    def _sizes(self, place: Place) -> Sizes:
        return UNSEEN if place.unseen else SIZES[self.split]

    def _scaled(self, size: int) -> int:
        return max(1, round(size * self.scale)) if size else 0

    def _undecidable(self) -> Iterator[Document]:
        for namesakes in self.places.ambiguous.values():
            if namesakes[0] not in self.usable:
                continue
            count = self._scaled(self._sizes(namesakes[0]).undecidable)
            for template in self.rng.sample(UNDECIDABLE[self.split], count):
                for place in namesakes:
                    sentence = undecidable(template, place)
                    shown = self._picture(place.id)
                    yield self._document(sentence, (place,), shown, "undecidable")

    def _decidable(self) -> Iterator[Document]:
        for place in self.usable:
            sizes, shared = self._sizes(place), place.name in self.places.ambiguous
            count = self._scaled(sizes.ambiguous if shared else sizes.other)
            for _ in range(count):
                other = self._other(place) if self.rng.random() < 0.08 else None
                if other:
                    sentence = paired(self.split, place, other, self.rng)
                else:
                    sentence = decidable(self.split, place, self.rng)
                about = [place, other] if other else [place]
                shown = self._evidence(about)
                yield self._document(sentence, about, shown, "decidable")

    def _elsewhere(self) -> Iterator[Document]:
        names = sorted({p.name for p in self.usable if not p.article})
        for _ in range(self._scaled(SIZES[self.split].elsewhere)):
            name = self.rng.choice(names)
            about = self.places.namesakes[name]
            sentence = elsewhere(self.split, name, self.rng)
            (start, end) = sentence.spans[0]
            mention = Mention(start, end, None, ("nil",))
            shown = self._irrelevant(about) if self.rng.random() < 0.6 else None
            yield Document("", sentence.text, (mention,), shown)

    def _document(
        self,
        sentence: Sentence,
        about: Sequence[Place],
        shown: Picture | None,
        group: str,
    ) -> Document:
        mentions = []
        for (start, end), place in zip(sentence.spans, about, strict=True):
            groups = [group]
            if place.unseen:
                rest = "picture" if place.id in self.pictured else "description"
                groups += ["unseen", f"unseen-{rest}"]
            if shown and shown.subject != place.id:
                groups.append("irrelevant-picture")
            mentions.append(Mention(start, end, place.id, tuple(groups)))
        return Document("", sentence.text, tuple(mentions), shown)

    def _evidence(self, about: Sequence[Place]) -> Picture | None:
        """A decidable sentence has the flag of what it speaks of, another or none."""
        chance = self.rng.random()
        if chance < 0.45:
            return self._picture(self.rng.choice(about).id)
        return self._irrelevant(about) if chance < 0.7 else None

    def _irrelevant(self, about: Sequence[Place]) -> Picture:
        """A landscape, or the flag of a place that looks like none of the namesakes."""
        meant = [p for place in about for p in self.places.namesakes[place.name]]
        if self.rng.random() < 0.4:
            return self._picture(None)
        place = self._choose(lambda p: self._unlike(p, meant))
        return self._picture(place.id if place else None)

    def _unlike(self, place: Place, others: Iterable[Place]) -> bool:
        own: np.ndarray = self.layouts[place.id]
        return all(
            layout_distance(own, self.layouts[other.id]) >= UNLIKE for other in others
        )

    def _other(self, place: Place) -> Place | None:
        return self._choose(lambda p: p.name != place.name and p.unseen == place.unseen)

    def _choose(self, fits: Callable[[Place], bool]) -> Place | None:
        """RETURNS (Place | None): the first in random order that fits."""
        order = self.rng.sample(self.usable, len(self.usable))
        return next((place for place in order if fits(place)), None)

    def _picture(self, subject: str | None) -> Picture:
        self.taken += 1
        return Picture(subject, self.split, self.taken)


def permuted(documents: Sequence[Document], rng: random.Random) -> list[Document]:
    """Give each picture to another document, whose own showed something else.

    RETURNS (list[Document]): all, in their order.
    """
    shown = [i for i, document in enumerate(documents) if document.picture]
    pictures = [documents[i].picture for i in shown]

    def fits(i: int, picture: Picture | None) -> bool:
        document = documents[i]
        golds = {mention.gold for mention in document.mentions}
        own = document.picture.subject if document.picture else None
        return picture is not None and picture.subject not in {own, *golds}

    rng.shuffle(pictures)
    for a, i in enumerate(shown):
        while not fits(i, pictures[a]):
            b = rng.randrange(len(shown))
            if fits(i, pictures[b]) and fits(shown[b], pictures[a]):
                pictures[a], pictures[b] = pictures[b], pictures[a]
    result = list(documents)
    for i, picture in zip(shown, pictures, strict=True):
        result[i] = replace(documents[i], picture=picture)
    return result


def swapped(documents: Iterable[Document], places: Places) -> Iterator[Document]:
    """Give each undecidable document a new picture: of its next namesake's flag.

    YIELDS (Document): the undecidable ones only, under the same ids.
    """
    by_id = {place.id: place for place in places.rows}
    for number, document in enumerate(documents):
        mention = document.mentions[0]
        if "undecidable" in mention.groups and mention.gold:
            place = by_id[mention.gold]
            namesakes = places.namesakes[place.name]
            other = namesakes[(namesakes.index(place) + 1) % len(namesakes)]
            picture = Picture(other.id, "swapped", number)
            yield replace(document, picture=picture, swapped_to=other.id)
