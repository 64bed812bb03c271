"""Sentences with a noun and a clue. No split has a sentence or a wording of a clue that
another one has."""

from dataclasses import dataclass

from clues.attributes import Clue

MENTION = "{mention}"


@dataclass(frozen=True, slots=True)
class Wording:
    """What a split is worded with.

    clues (tuple[str, ...]): a clue, behind the noun.
    one (tuple[str, ...]): sentences about one entity.
    two (tuple[str, ...]): sentences about two.
    """

    clues: tuple[str, ...]
    one: tuple[str, ...]
    two: tuple[str, ...]


WORDINGS = {
    "train": Wording(
        clues=(
            "{mention} with {colour} on its {part}",
            "{mention} that has {colour} on the {part}",
            "{mention} with some {colour} on the {part}",
        ),
        one=(
            "We are looking for the name of the {about}.",
            "The {about} came back on Monday.",
            "Nobody had noticed the {about} before.",
            "My notes of that day begin with the {about}.",
            "Only the {about} is in focus here.",
            "She pointed at the {about}.",
            "Does anybody know the {about}?",
            "I would like to read more about the {about}.",
            "Two of us had come for the {about}.",
            "Have you got a better photograph of the {about}?",
        ),
        two=(
            "The {first} stood next to the {second}.",
            "I saw the {first} before the {second}.",
            "We compared the {first} with the {second}.",
            "Here are the {first} and the {second}.",
            "Besides the {first} we found the {second}.",
        ),
    ),
    "dev": Wording(
        clues=(
            "{mention} showing {colour} on its {part}",
            "{mention} marked by {colour} on the {part}",
        ),
        one=(
            "He had waited a year for the {about}.",
            "The {about} was the first to leave.",
            "Please write to us if you recognise the {about}.",
            "Everyone asked about the {about}.",
        ),
        two=(
            "The {first} arrived together with the {second}.",
            "Neither the {first} nor the {second} was new to her.",
        ),
    ),
    "test": Wording(
        clues=(
            "{mention} wearing {colour} on its {part}",
            "{mention} where there is {colour} on the {part}",
        ),
        one=(
            "What do you call the {about}?",
            "It was the {about} that caught my eye.",
            "This story is about the {about}.",
            "Our guide told us all about the {about}.",
            "There has been a long dispute about the {about}.",
            "They named the boat after the {about}.",
        ),
        two=(
            "The {first} took no notice of the {second}.",
            "Between the {first} and the {second} was little room.",
            "They drew the {first} and later the {second}.",
        ),
    ),
}


def sentence(
    template: str, wording: str, noun: str, clues: tuple[Clue, ...]
) -> tuple[str, list[int]]:
    """Put a noun and its clues into a sentence.

    template (str): one of `Wording.one` or `Wording.two`, for as many clues.
    wording (str): one of `Wording.clues`.
    RETURNS (tuple[str, list[int]]): text, and where the noun of each clue begins.
    """
    abouts = [
        wording.format(mention=MENTION, colour=c.colour, part=c.part) for c in clues
    ]
    names = ("about",) if len(clues) == 1 else ("first", "second")
    parts = template.format(**dict(zip(names, abouts, strict=True))).split(MENTION)
    starts, text = [], parts[0]
    for part in parts[1:]:
        starts.append(len(text))
        text += noun + part
    return text, starts
