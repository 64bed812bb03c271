"""A few entities of every kind, with two encoders small enough to check by hand."""

from small_encoders import PatchEncoder, WordEncoder

from spacy_dwe.building.build import build_kb
from spacy_dwe.kb.entity import Alias, Entity

ENTITIES = [
    Entity(
        "Q230",
        "Georgia",
        "Country in the Caucasus, independent from the Soviet Union in 1991.",
        (Alias("Sakartvelo"), Alias("Republic of Georgia", 0.9)),
        prior=0.6,
        extra={"sitelinks": 290},
    ),
    Entity(
        "Q1428",
        "Georgia",
        "State of the United States since 1788; its capital is Atlanta.",
        (Alias("Peach State", 0.95), Alias("GA")),
        prior=0.4,
    ),
    Entity("Q994", "Tbilisi", "Capital of the country, founded in 455."),
    Entity("Q9696", "John F. Kennedy", "President from 1961 to 1963, born in 1917."),
    Entity("Q1490", "東京", "Capital of Japan."),
    Entity("Q270", "Łódź"),
]


def build(folder):
    """A KB of them with vectors."""
    encoders = {"text_encoder": WordEncoder(), "clip": PatchEncoder()}
    return build_kb(ENTITIES, folder / "places.kb", **encoders)
