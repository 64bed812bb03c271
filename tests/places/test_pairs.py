"""Adjective-noun pairs follow from the specification that a flag is drawn from."""

import random

from places.made_up import random_flag
from places.pairs import all_pairs, pairs

GROUND = {"kind": "field", "color": "white"}


def test_each_colour_of_each_element_is_a_pair():
    cross = {"kind": "cross", "color": "red"}
    stars = {"kind": "stars", "color": "red", "layout": "row", "n": 3, "radius": 0.2}
    palm = {"kind": "plant", "color": "green", "shape": "palm"}
    spec = {"layers": [GROUND, cross, cross, palm, stars]}
    expected = ["white field", "red cross", "green palm tree", "red star"]
    assert pairs(spec) == expected


def test_every_pair_of_every_flag_competes(places):
    rng = random.Random(0)
    known = all_pairs()
    assert len(known) == len(set(known))
    flags = [place.flag for place in places.rows]
    flags += [random_flag(rng) for _ in range(200)]
    assert {pair for flag in flags for pair in pairs(flag)} <= set(known)
