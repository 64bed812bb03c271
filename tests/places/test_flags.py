"""Flags are drawn, worded and compared from compact specifications."""

import random

import pytest

from places.flags import (
    COLOURS,
    caption,
    describe,
    distance,
    draw,
    elements,
    parse_flag,
)
from places.layers import ANIMALS, LAYERS, OBJECTS, PLANTS
from places.made_up import NEAR, random_flag
from places.silhouettes import SILHOUETTES
from spacy_dwe.errors import DweError

GEORGIA = {
    "ratio": [2, 3],
    "layers": [
        {"kind": "field", "color": "white"},
        {"kind": "cross", "color": "red", "width": 0.2},
        {
            "kind": "crosses",
            "color": "red",
            "at": [[0.2, 0.2], [0.8, 0.2], [0.2, 0.8], [0.8, 0.8]],
            "r": 0.1,
        },
    ],
}
USA = {
    "ratio": [10, 19],
    "layers": [
        {
            "kind": "stripes",
            "direction": "horizontal",
            "colors": ["red", "white"] * 6 + ["red"],
        },
        {
            "kind": "canton",
            "size": [0.4, 0.54],
            "layers": [
                {"kind": "field", "color": "dark blue"},
                {
                    "kind": "stars",
                    "color": "white",
                    "layout": "grid",
                    "rows": 5,
                    "cols": 10,
                },
            ],
        },
    ],
}
INDIA = {
    "layers": [
        {
            "kind": "stripes",
            "direction": "horizontal",
            "colors": ["orange", "white", "green"],
        },
        {"kind": "object", "shape": "wheel", "color": "blue", "r": 0.14},
    ]
}


def tricolour(*colors: str) -> dict:
    layer = {"kind": "stripes", "direction": "vertical", "colors": list(colors)}
    return {"ratio": [2, 3], "layers": [layer]}


def test_a_drawing_has_its_colours_where_the_specification_puts_them():
    image = draw(GEORGIA, height=100)
    assert image.size == (150, 100)
    assert image.getpixel((75, 50)) == COLOURS["red"]
    assert image.getpixel((30, 20)) == COLOURS["red"]
    assert image.getpixel((50, 35)) == COLOURS["white"]


def test_a_canton_has_its_own_coordinates():
    image = draw(USA, height=130)
    assert image.getpixel((2, 2)) == COLOURS["dark blue"]
    assert image.getpixel((200, 5)) == COLOURS["red"]
    assert image.getpixel((200, 15)) == COLOURS["white"]
    assert image.getpixel((2, 125)) == COLOURS["red"]


def test_edges_are_smooth():
    layers = [{"kind": "field", "color": "white"}, {"kind": "disc", "color": "black"}]
    colours = draw({"layers": layers}, height=60).getcolors()
    assert colours is not None and len(colours) > 10


@pytest.mark.parametrize("shape", [*ANIMALS, *PLANTS, *OBJECTS])
def test_every_shape_has_a_silhouette_of_its_own(shape):
    kind = "animal" if shape in ANIMALS else "plant" if shape in PLANTS else "object"
    charge = {"kind": kind, "shape": shape, "color": "black", "r": 0.45}
    spec = {"layers": [{"kind": "field", "color": "white"}, charge]}
    assert shape in SILHOUETTES
    assert shape in caption(spec)
    assert distance(spec, {"layers": spec["layers"][:1]}) > 0.05


@pytest.mark.parametrize(
    ("spec", "phrases"),
    [
        (GEORGIA, ["a red cross on a white field", "four small red crosses"]),
        (
            USA,
            [
                "thirteen alternating red and white horizontal stripes",
                "fifty small white stars in a dark blue canton",
            ],
        ),
        (
            INDIA,
            [
                "three horizontal stripes of orange, white and green",
                "a blue wheel on the white stripe",
            ],
        ),
        ({"layers": [{"kind": "field", "color": "orange"}]}, ["a plain orange field"]),
    ],
)
def test_phrases_name_each_element_once(spec, phrases):
    assert describe(spec) == phrases


def test_caption_is_one_sentence():
    assert caption(INDIA) == (
        "The flag shows three horizontal stripes of orange, white and green and "
        "a blue wheel on the white stripe."
    )


def test_elements_are_colours_with_what_has_them():
    assert elements(GEORGIA) == [("white", "field"), ("red", "cross")]
    assert ("white", "star") in elements(USA)
    assert ("dark blue", "canton") in elements(USA)
    assert ("green", "stripe") in elements(INDIA)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({"kind": "blob"}, r"layers\[0\] \(blob\): kind must be one of field"),
        ({"kind": "field", "color": "pink"}, r"\(field\): color: 'pink' is not one of"),
        ({"kind": "field"}, r"\(field\): 'color' is missing"),
        ({"kind": "disc", "color": "red", "radius": 1}, "unknown key 'radius'"),
        ({"kind": "disc", "color": "red", "at": [0.5]}, "at: two numbers"),
        ({"kind": "stars", "color": "red", "layout": "list"}, "places in 'at'"),
        (
            {"kind": "canton", "layers": [{"kind": "animal", "color": "red"}]},
            r"layers\[0\] \(animal\): 'shape' is missing",
        ),
        (
            {
                "kind": "stripes",
                "direction": "vertical",
                "colors": ["red"],
                "weights": [1, 2],
            },
            "weights must be as many",
        ),
    ],
)
def test_a_wrong_layer_is_named(layer, message):
    with pytest.raises(DweError, match=message):
        parse_flag({"layers": [layer]})


def test_near_twins_are_near_and_others_far():
    chad = tricolour("dark blue", "yellow", "red")
    romania = tricolour("blue", "yellow", "red")
    assert distance(chad, chad) == 0
    assert distance(chad, romania) < NEAR
    assert distance(chad, GEORGIA) > 2 * NEAR
    assert distance(chad, tricolour("green", "white", "orange")) > 2 * NEAR


def test_made_up_flags_repeat_with_their_seed_and_use_the_whole_language():
    one, two = random.Random(3), random.Random(3)
    flags = [random_flag(one) for _ in range(400)]
    assert flags == [random_flag(two) for _ in range(400)]
    used = {layer["kind"] for flag in flags for layer in flag["layers"]}
    assert used == set(LAYERS)
    assert len({caption(flag) for flag in flags}) > 380


def test_made_up_flags_keep_away_from_excluded_ones():
    rng = random.Random(5)
    plain = [{"layers": [{"kind": "field", "color": c}]} for c in ("red", "blue")]
    flags = [random_flag(rng, exclude=plain) for _ in range(50)]
    assert min(distance(flag, other) for flag in flags for other in plain) >= NEAR
