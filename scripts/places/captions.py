"""Texts for pictures of flags, as a KB's descriptions put them: a sentence or two on
the flag among sentences on geography, in which nothing says what the flag looks like.
"""

import random
from collections.abc import Sequence

from places.wording import sentence


def random_caption(rng: random.Random, phrases: Sequence[str]) -> str:
    """Tell of a flag in a sentence.

    phrases (Sequence[str]): what `describe` says of it; now and then they come in
        another order, or not all of them.
    """
    phrases = list(phrases)
    if len(phrases) > 1 and rng.random() < 0.3:
        rng.shuffle(phrases)
    if len(phrases) > 1 and rng.random() < 0.15:
        phrases.pop(rng.randrange(len(phrases)))
    return rng.choice(OPENINGS) + sentence(phrases).removeprefix("The flag shows ")


def among_prose(rng: random.Random, flag: str) -> str:
    """Describe a made-up place.

    flag (str): the sentence on its flag.
    """
    place = random_name(rng)
    facts = [
        rng.choice(kind).format(
            place=place,
            other=random_name(rng),
            third=random_name(rng),
            feature=rng.choice(FEATURES),
            side=rng.choice(SIDES),
            thing=rng.choice(THINGS),
            second=rng.choice(THINGS),
            number=f"{rng.randrange(2, 990)},{rng.randrange(1000):03}",
            year=rng.randrange(980, 2015),
        )
        for kind in (KINDS, *rng.sample(FACTS, rng.choice([0, 1, 1, 2])))
    ]
    facts.insert(rng.randrange(len(facts)) + 1, flag)
    return " ".join(facts)


def random_name(rng: random.Random) -> str:
    """RETURNS (str): a name that no place has, so that names teach nothing."""
    name = "".join(rng.choice(SYLLABLES) for _ in range(rng.choice([2, 2, 3])))
    return rng.choice(NAMES).format(name.capitalize())


OPENINGS = (
    *("The flag shows ",) * 4,
    *("Its flag shows ",) * 4,
    *("Its flag has ", "The flag has ", "The flag: ", "Flag: ", "Its flag bears "),
    *("It flies ", "Under a flag of ", "Its banner shows ", "The banner bears "),
)
SYLLABLES = (
    *("ba", "ka", "lo", "mir", "ren", "sa", "ti", "vo", "zan", "dor", "el", "fi", "gu"),
    *("har", "ista", "jo", "kem", "lin", "ma", "nor", "ost", "pe", "qua", "ri", "sten"),
    *("tur", "ul", "ver", "wes", "xi", "yar", "bur", "cor", "den", "mont", "land"),
)
NAMES = (
    *("{}",) * 6,
    *(
        "Republic of {}",
        "{} Province",
        "Kingdom of {}",
        "New {}",
        "{} County",
        "{} City",
    ),
    *(
        "North {}",
        "Democratic Republic of the {}",
        "San {}",
        "{} Department",
        "Port {}",
    ),
)
SIDES = "northern", "southern", "eastern", "western", "central", "coastal", "upper"
FEATURES = (
    *("river", "gulf", "lake", "mountains", "coast", "desert", "forest", "valley"),
    *("peninsula", "island", "plateau", "strait", "delta", "border", "sea"),
)
THINGS = (
    *("wine", "copper", "cattle", "rice", "oil", "tea", "timber", "tourism", "wool"),
    *("coffee", "olives", "fishing", "steel", "shipping", "peaches", "cork", "salt"),
    *("banking", "bauxite", "coal", "cheese", "textiles", "universities", "music"),
)
KINDS = (
    "{place} is a country on the {side} {feature} of {other}.",
    "Country in {side} {other}, between {third} and the {feature}.",
    "{place} is a province in the {side} part of {other}.",
    "A region of {other} in the {side} {feature}, with {third} as its capital.",
    "{place} is a city in {other} on the {third} {feature}.",
    "State of {other}, bounded by {third} and by a {feature}.",
    "Island nation in the {side} {other} Ocean.",
    "Town and municipality in {side} {other}.",
    "A former kingdom in {side} {other}, now divided with {third}.",
)
FACTS = (
    ("Its capital is {other}.", "{other} is the capital and {third} the largest city."),
    ("It has {number} inhabitants.", "Some {number} people live there."),
    ("It became independent in {year}.", "Founded in {year} by settlers from {other}."),
    ("It borders {other} and {third}.", "{other} lies to the north, {third} south."),
    ("It lives by {thing} and {second}.", "Known for {thing}, {second} and old towns."),
    ("The {other} {feature} crosses it.", "A {feature} divides it from {third}."),
    ("The language is {other}.", "Most people speak {other} or {third}."),
    ("Part of {other} since {year}.", "It was ruled by {other} until {year}."),
)
