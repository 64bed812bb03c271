"""What is on a flag as adjective and noun, such as "red cross": the words that a
picture of it should be found by, and all words that compete for it."""

from places.flags import FlagSpec, elements
from places.layers import ANIMALS, COLOURS, OBJECTS, PLANTS

GROUNDS = "field", "stripe", "canton", "chequers"
SHAPES = (
    *("cross", "saltire", "Nordic cross", "triangle", "disc", "ring", "star"),
    *("crescent", "sun", "diamond", "rectangle", "band", "diagonal band", "border"),
    "shield",
)
NOUNS = (
    *GROUNDS,
    *SHAPES,
    *(noun.replace("palm", "palm tree") for noun in (*ANIMALS, *PLANTS, *OBJECTS)),
)


def pairs(spec: FlagSpec) -> list[str]:
    """RETURNS (list[str]): of a flag's specification, each pair once."""
    return [f"{element.colour} {element.name}" for element in elements(spec)]


def all_pairs() -> list[str]:
    """RETURNS (list[str]): every colour with every noun that a specification has."""
    return [f"{colour} {noun}" for colour in COLOURS for noun in NOUNS]
