"""The sample's sentences. No template and no sentence is used in two splits.

`{name}` is the mention. An undecidable sentence fits every place, whatever its kind and
age, and is said of all namesakes alike; a decidable one names two clues. None names
anything that could be on a flag, which a test checks.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from places.data import Place

SPLITS = "train", "dev", "test"

UNDECIDABLE: Mapping[str, Sequence[str]] = {
    "train": (
        "The delegation from {name} arrived late in the evening.",
        "Nobody in the room had ever been to {name}.",
        "She wrote three long letters about {name} to her sister.",
        "For many years the family had talked of moving to {name}.",
        "The museum set aside a small room for visitors from {name}.",
        "He asked the librarian for everything she had on {name}.",
        "The speaker thanked the guests from {name} for their patience.",
        "A photograph taken in {name} hangs above the desk.",
        "The committee will hear the report on {name} in the afternoon.",
        "Two of the prizes went to people born in {name}.",
        "His grandfather had left {name} as a young man.",
        "The lecture on {name} drew more people than expected.",
        "They served a soup that the cook had learned to make in {name}.",
        "What happened in {name} was discussed for hours.",
        "The parcel had been sent from {name} and was badly damaged.",
        "An envoy of {name} waited in the corridor.",
        "The choir sang a song in praise of {name}.",
        "Most of what he knew about {name} was wrong.",
        "The team representing {name} was the last to enter the hall.",
        "The old atlas falls open at the page on {name}.",
    ),
    "dev": (
        "The first question after the talk was about {name}.",
        "Her friends gave her a calendar with views of {name}.",
        "The stamp on the letter shows that it came from {name}.",
        "He promised to return to {name} before the end of his life.",
        "The exhibition devotes its second part to {name}.",
        "A group from {name} took the seats at the back.",
        "The radio programme about {name} was repeated twice.",
        "They named their boat after {name}.",
    ),
    "test": (
        "The visitors from {name} were received with music.",
        "An old poster advertised journeys to {name}.",
        "In the evening the talk turned to {name} once more.",
        "The chairman had prepared a few remarks on {name}.",
        "Her first novel is set in {name}.",
        "The dancers from {name} were applauded for a long time.",
        "Nothing in the archive was as well preserved as the papers from {name}.",
        "The quiz ended with a question about {name}.",
        "His collection of coins from {name} was sold last.",
        "The athletes of {name} walked past without a word.",
        "A teacher from {name} stayed with us that summer.",
        "The article about {name} was shortened by half.",
        "They could not agree on how to spell {name}.",
        "The widow kept a handful of soil from {name}.",
    ),
}

DECIDABLE: Mapping[str, Sequence[str]] = {
    "train": (
        "Her notes from {name} mention {one} and {two}.",
        "The chapter on {name} begins with {one} and ends with {two}.",
        "Speaking of {name}, he described {one} and later {two}.",
        "The film about {name} shows {one}, then {two}.",
        "In his memoirs of {name} there is much about {one} and little about {two}.",
        "Few essays on {name} leave out {one} or {two}.",
        "When she thinks of {name}, she thinks of {one} and {two}.",
        "Readers of the magazine wanted {name} covered, above all {one} and {two}.",
        "The exam on {name} asked about {one} as well as {two}.",
        "A slide show on {name} went from {one} to {two}.",
        "Everyone who knows {name} has heard of {one} and of {two}.",
        "The encyclopedia treats {name} at length, with {one} and {two}.",
    ),
    "dev": (
        "The podcast on {name} spends ten minutes on {one} and ten on {two}.",
        "Her thesis deals with {name}, especially {one} and {two}.",
        "The pupils prepared a talk on {name} and chose {one} and {two}.",
        "About {name} he remembered only {one} and {two}.",
        "The brochure for {name} praises {one} and {two}.",
    ),
    "test": (
        "The series on {name} opened with {one} and closed with {two}.",
        "A long article on {name} compares {one} with {two}.",
        "What the author says of {name} concerns {one} and {two}.",
        "Asked about {name}, the professor spoke of {one} and {two}.",
        "Her drawings of {name} include {one} and {two}.",
        "The reporter sent two stories from {name}, on {one} and on {two}.",
        "No history of {name} is complete without {one} and {two}.",
        "The panel on {name} could not finish with {one} and never reached {two}.",
        "In a speech about {name} she praised {one} and {two}.",
        "Letters about {name} often return to {one} and {two}.",
    ),
}

PAIRED: Mapping[str, Sequence[str]] = {
    "train": (
        "He lectured on {name}, with a word on {one}, and then on {name2} and {two}.",
        "The first volume covers {name} and {one}, the second {name2} and {two}.",
        "She compared {name}, where she had studied {one}, with {name2} and {two}.",
    ),
    "dev": ("One essay treats {name} and {one}, another {name2} and {two}.",),
    "test": (
        "From {name} they brought tales of {one}, from {name2} tales of {two}.",
        "The winter term was given to {name} and {one}, the summer to {name2} and "
        "{two}.",
    ),
}

# What a name can also mean: people, teams, animals and things of our own, in no KB.
ELSEWHERE: Mapping[str, Sequence[tuple[str, str]]] = {
    "train": (
        ("{name} Harlow", "{mention} won the sack race at the school fair."),
        ("{name} Pickett", "The violin was played by {mention} until her retirement."),
        ("{name} Rovers", "{mention} lost again and stayed at the foot of the league."),
        ("{name}", "The vet examined {mention}, a lame old donkey."),
        ("{name}", "Our neighbours called their parrot {mention}."),
        ("Café {name}", "We met for breakfast at {mention}, opposite the cinema."),
    ),
    "dev": (
        ("{name} Ashby", "{mention} repaired my bicycle and charged nothing."),
        ("{name} Wanderers", "{mention} signed a goalkeeper in the summer break."),
        ("{name}", "The kitten they named {mention} slept in a drawer."),
    ),
    "test": (
        ("{name} Lockwood", "{mention} was the only juror who disagreed."),
        ("{name} Tremaine", "The bridesmaid, {mention}, had forgotten the time."),
        ("{name} Athletic", "{mention} were relegated after a goalless draw."),
        ("{name}", "The new perfume is called {mention} and smells of cloves."),
        ("{name}", "A greyhound by the name of {mention} won the third race."),
        ("Hotel {name}", "{mention} has closed its swimming pool for repairs."),
    ),
}


@dataclass(frozen=True, slots=True)
class Sentence:
    """A text and where its mentions stand in it.

    spans (tuple): start and end of each mention in characters.
    """

    text: str
    spans: tuple[tuple[int, int], ...]


def undecidable(template: str, place: Place) -> Sentence:
    """RETURNS (Sentence): the same for all namesakes of a place."""
    return _fill(template, {"name": place}, {})


def decidable(split: str, place: Place, rng: random.Random) -> Sentence:
    """RETURNS (Sentence): one that tells by two clues which place is meant."""
    one, two = rng.sample(place.clues, 2)
    clues = {"one": one, "two": two}
    return _fill(rng.choice(DECIDABLE[split]), {"name": place}, clues)


def paired(split: str, first: Place, second: Place, rng: random.Random) -> Sentence:
    """RETURNS (Sentence): one that speaks of two places, with a clue for each, taken
    from what their descriptions say too."""
    clues = {"one": _known(first, rng), "two": _known(second, rng)}
    names = {"name": first, "name2": second}
    return _fill(rng.choice(PAIRED[split]), names, clues)


def elsewhere(split: str, name: str, rng: random.Random) -> Sentence:
    """RETURNS (Sentence): one in which the name means something that no KB holds."""
    mention, template = rng.choice(ELSEWHERE[split])
    mention = mention.format(name=name)
    start = template.index("{mention}")
    text = template.replace("{mention}", mention)
    return Sentence(text, ((start, start + len(mention)),))


def _known(place: Place, rng: random.Random) -> str:
    words = set(_words(place.description))
    known = [clue for clue in place.clues if words & set(_words(clue))]
    return rng.choice(known or list(place.clues))


def _words(text: str) -> list[str]:
    stripped = (word.strip(".,;()").removesuffix("'s") for word in text.split())
    return [word for word in stripped if len(word) > 3]


def _fill(
    template: str, names: Mapping[str, Place], clues: Mapping[str, str]
) -> Sentence:
    text = ""
    spans = []
    for part in template.replace("}", "{").split("{"):
        if part in names:
            place = names[part]
            if place.article:
                text += f"{place.article} " if text else f"{place.article.title()} "
            spans.append((len(text), len(text) + len(place.name)))
            text += place.name
        else:
            text += clues.get(part, part)
    return Sentence(text, tuple(spans))
