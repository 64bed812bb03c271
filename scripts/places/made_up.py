"""Made-up flags: a tiny CLIP learns from them to read elements, not to know places."""

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from places.flags import FlagSpec, layout, layout_distance
from places.layers import ANIMALS, COLOURS, OBJECTS, PLANTS, Point

NEAR = 0.12
"""Made-up flags keep at least this `distance` from the excluded ones."""

Spec = dict[str, Any]

# How often flags have a colour, roughly as the world's do.
FREQUENCIES = {
    "red": 16,
    "white": 16,
    "blue": 11,
    "green": 10,
    "yellow": 11,
    "black": 7,
    "light blue": 5,
    "dark blue": 5,
    "orange": 4,
    "gold": 4,
    "maroon": 2,
    "dark green": 3,
    "brown": 2,
    "purple": 2,
    "grey": 1,
}


def random_flag(rng: random.Random, exclude: Sequence[FlagSpec] = ()) -> Spec:
    """Make up a plausible flag from the whole language of specifications.

    rng (random.Random): the only source of chance.
    exclude (Sequence[FlagSpec]): flags of which none may come near.
    RETURNS (dict): a specification that `parse_flag` accepts.
    """
    kept_away = np.stack([layout(spec) for spec in exclude]) if exclude else None
    while True:
        spec = {"ratio": rng.choice(RATIOS), "layers": rng.choice(GROUNDS)(rng)}
        if kept_away is None or layout_distance(kept_away, layout(spec)).min() >= NEAR:
            return spec


RATIOS = [[2, 3]] * 5 + [[1, 2], [3, 5], [5, 8], [3, 4], [10, 19]]


def _pick(rng: random.Random, *beside: str) -> str:
    """RETURNS (str): a colour that stands out from those beside it."""
    fit = [
        colour
        for colour in FREQUENCIES
        if all(math.dist(COLOURS[colour], COLOURS[other]) > 105 for other in beside)
    ]
    return rng.choices(fit, [FREQUENCIES[colour] for colour in fit])[0]


def _plain(rng: random.Random) -> list[Spec]:
    ground = _pick(rng)
    layers = [{"kind": "field", "color": ground}]
    return layers + rng.choice([*[_emblem_on] * 3, *SPANNING])(rng, ground)


def _horizontal(rng: random.Random) -> list[Spec]:
    return _stripes(rng, "horizontal", rng.choice([2, 3, 3, 3, 4, 5]))


def _vertical(rng: random.Random) -> list[Spec]:
    return _stripes(rng, "vertical", rng.choice([2, 3, 3]))


def _diagonal(rng: random.Random) -> list[Spec]:
    return _stripes(rng, "diagonal", rng.choice([2, 3]))


def _stripes(rng: random.Random, direction: str, n: int) -> list[Spec]:
    colors = [_pick(rng)]
    while len(colors) < n:
        colors.append(_pick(rng, colors[-1]))
    if n in (3, 5) and rng.random() < 0.4:
        colors[n // 2 + 1 :] = colors[: n // 2][::-1]
    stripes: Spec = {"kind": "stripes", "direction": direction, "colors": colors}
    if n == 3 and rng.random() < 0.35:
        stripes["weights"] = rng.choice([[1, 2, 1], [2, 1, 2], [1, 3, 1], [2, 1, 1]])
    chance = rng.random()
    if chance < 0.3 or direction == "diagonal":
        return [stripes, *(_emblem(rng, colors) if chance < 0.15 else [])]
    if chance < 0.45 and direction == "horizontal":
        return [stripes, *_triangle(rng, *colors)]
    if chance < 0.57:
        return [stripes, *_canton(rng, *colors)]
    return [stripes, _charge_on_stripe(rng, stripes)]


def _charge_on_stripe(rng: random.Random, stripes: Spec) -> Spec:
    """A charge on the middle stripe, or over all of them when it is large."""
    colors, weights = stripes["colors"], stripes.get("weights", [1, 2, 1])
    if stripes["direction"] == "vertical" and len(colors) == 3:
        which = rng.choice([0, 1, 1, 1])
        middle = (which + 0.5) / 3 if "weights" not in stripes else 0.5
        beside = colors[which if "weights" not in stripes else 1]
        wide = 0.35 * weights[1] / sum(weights) * 2
        return _charge(rng, (middle, 0.5), min(0.3, wide), beside)
    if stripes["direction"] == "horizontal" and len(colors) == 3:
        share = stripes.get("weights", [1, 1, 1])
        top, own = share[0] / sum(share), share[1] / sum(share)
        spot = (rng.choice([0.25, 0.5, 0.5]), top + own / 2)
        return _charge(rng, spot, own * 0.45, colors[1])
    return _charge(rng, (0.5, 0.5), rng.uniform(0.2, 0.38), *colors)


def _many_stripes(rng: random.Random) -> list[Spec]:
    first = _pick(rng)
    pair = [first, _pick(rng, first)]
    n = rng.choice([5, 6, 7, 9, 11, 13])
    colors = [pair[i % 2] for i in range(n)]
    stripes = {"kind": "stripes", "direction": "horizontal", "colors": colors}
    chance = rng.random()
    over = _canton(rng, *pair) if chance < 0.5 else []
    if chance > 0.7:
        over = _triangle(rng, *pair) if chance > 0.85 else _emblem(rng, pair)
    return [stripes, *over]


def _quarters(rng: random.Random) -> list[Spec]:
    first = _pick(rng)
    second = _pick(rng, first)
    third = rng.choice([second, _pick(rng, first, second)])
    return [
        {"kind": "field", "color": first},
        *(
            {"kind": "canton", "corner": corner, "layers": layers}
            for corner, layers in (
                ("top left", _ground_with_charge(rng, second)),
                ("bottom right", [{"kind": "field", "color": third}]),
            )
        ),
    ]


def _chequered(rng: random.Random) -> list[Spec]:
    ground = _pick(rng)
    colors = [ground, _pick(rng, ground)]
    if rng.random() < 0.4:
        return [{"kind": "chequers", "colors": colors, "rows": 4, "cols": 6}]
    x, y, half = rng.choice([0.25, 0.5]), 0.5, rng.uniform(0.15, 0.22)
    box = [x - half * 0.7, y - half, x + half * 0.7, y + half]
    stripes = _stripes(rng, "horizontal", 3)[:1]
    return [*stripes, {"kind": "chequers", "colors": colors, "box": box}]


def _emblem_on(rng: random.Random, ground: str) -> list[Spec]:
    return _emblem(rng, [ground])


def _emblem(rng: random.Random, grounds: Sequence[str]) -> list[Spec]:
    """One emblem, perhaps on a disc, in a ring, or with stars about it."""
    spot = rng.choice([(0.5, 0.5)] * 5 + [(0.35, 0.5), (0.22, 0.27), (0.68, 0.5)])
    r = rng.uniform(0.15, 0.2) if spot[1] < 0.4 else rng.uniform(0.22, 0.42)
    chance = rng.random()
    if chance < 0.14:
        disc = _pick(rng, *grounds)
        under = {"kind": "disc", "color": disc, "at": list(spot), "r": r}
        return [under, _charge(rng, spot, 0.7 * r, disc)]
    if chance < 0.2 and r > 0.2:
        ring = {
            "kind": "ring",
            "at": list(spot),
            "r": r,
            "width": rng.uniform(0.03, 0.07),
        }
        ring["color"] = _pick(rng, *grounds)
        return [ring, _charge(rng, spot, 0.6 * r, *grounds)]
    if chance < 0.32:
        return _crescent_and_star(rng, spot, r, grounds)
    if chance < 0.46:
        return _constellation(rng, grounds)
    emblem = _charge(rng, spot, r, *grounds)
    if chance > 0.85 and spot == (0.5, 0.5):
        return [emblem, _charge(rng, (0.17, 0.22), 0.13, *grounds)]
    return [emblem]


def _charge(rng: random.Random, at: Point, r: float, *beside: str) -> Spec:
    spec: Spec = {"color": _pick(rng, *beside), "at": [round(x, 3) for x in at]}
    spec["r"] = round(r, 3)
    kind = rng.choices(list(CHARGES), list(CHARGES.values()))[0]
    spec["kind"] = kind
    if kind == "star":
        spec["points"] = rng.choice([5, 5, 5, 5, 6, 7, 8])
    elif kind == "sun":
        spec["rays"] = rng.choice([8, 12, 16, 20])
    elif kind == "cross":
        spec |= {
            "width": round(0.6 * r, 3),
            "style": rng.choice(["centred", "saltire"]),
        }
    elif kind == "crescent":
        spec["opening"] = rng.choice(["right", "right", "left", "up"])
    elif kind == "shield" and rng.random() < 0.5:
        spec["color2"] = _pick(rng, spec["color"])
    elif kind in SHAPES:
        spec["shape"] = rng.choice(SHAPES[kind])
    return spec


CHARGES = {
    "star": 16,
    "disc": 10,
    "sun": 9,
    "crescent": 6,
    "cross": 5,
    "ring": 2,
    "shield": 7,
    "animal": 20,
    "plant": 11,
    "object": 18,
}
SHAPES = {"animal": ANIMALS, "plant": PLANTS, "object": OBJECTS}


def _crescent_and_star(
    rng: random.Random, at: Point, r: float, grounds: Sequence[str]
) -> list[Spec]:
    colour = _pick(rng, *grounds)
    star = rng.choice([colour, _pick(rng, *grounds)])
    beside = [round(at[0] + 0.55 * r, 3), at[1]]
    return [
        {"kind": "crescent", "color": colour, "at": list(at), "r": round(r, 3)},
        {"kind": "star", "color": star, "at": beside, "r": round(0.4 * r, 3)},
    ]


def _constellation(rng: random.Random, grounds: Sequence[str]) -> list[Spec]:
    stars: Spec = {"kind": "stars", "color": _pick(rng, *grounds)}
    stars["layout"] = rng.choice(["circle", "circle", "row", "arc", "list", "grid"])
    if stars["layout"] == "grid":
        rows, cols = rng.choice([(2, 3), (3, 4), (4, 5)])
        return [stars | {"rows": rows, "cols": cols, "r": 0.3 / rows}]
    stars["r"] = rng.choice([0.05, 0.07, 0.1])
    if stars["layout"] == "list":
        spots = [[0.3, 0.3], [0.7, 0.3], [0.5, 0.5], [0.3, 0.7], [0.7, 0.7], [0.5, 0.2]]
        return [stars | {"at": rng.sample(spots, rng.choice([2, 3, 4, 5]))}]
    n = rng.choice([3, 4, 5] if stars["layout"] == "row" else [4, 5, 6, 7, 8, 10, 12])
    layers = [stars | {"n": n, "radius": round(rng.uniform(0.25, 0.36), 2)}]
    if stars["layout"] != "row" and rng.random() < 0.3:
        layers.append(_charge(rng, (0.5, 0.5), 0.15, *grounds))
    return layers


def _ground_with_charge(rng: random.Random, ground: str) -> list[Spec]:
    layers: list[Spec] = [{"kind": "field", "color": ground}]
    if rng.random() < 0.6:
        layers.append(_charge(rng, (0.5, 0.5), 0.35, ground))
    return layers


def _cross(rng: random.Random, *grounds: str) -> list[Spec]:
    style = rng.choice(["centred", "nordic", "nordic", "saltire"])
    cross: Spec = {"kind": "cross", "style": style, "color": _pick(rng, *grounds)}
    cross["width"] = round(rng.uniform(0.12, 0.24), 2)
    if rng.random() < 0.3:
        cross["border"] = _pick(rng, cross["color"], *grounds)
    if style == "centred" and rng.random() < 0.35:
        corners = [[0.22, 0.22], [0.78, 0.22], [0.22, 0.78], [0.78, 0.78]]
        small = {
            "color": rng.choice([cross["color"], _pick(rng, *grounds)]),
            "at": corners,
        }
        kind = rng.choice(["crosses", "crosses", "stars"])
        return [cross, small | {"kind": kind, "r": 0.1}]
    return [cross]


def _triangle(rng: random.Random, *grounds: str) -> list[Spec]:
    side = rng.choice(["left"] * 6 + ["right", "top", "bottom"])
    colour = _pick(rng, *grounds)
    depth = round(rng.uniform(0.3, 0.55), 2)
    layers: list[Spec] = [
        {"kind": "triangle", "color": colour, "side": side, "depth": depth}
    ]
    if side == "left" and rng.random() < 0.4:
        layers.append(_charge(rng, (depth / 3, 0.5), 0.15, colour))
    return layers


def _canton(rng: random.Random, *grounds: str) -> list[Spec]:
    colour = _pick(rng, *grounds)
    layers: list[Spec] = [{"kind": "field", "color": colour}]
    chance = rng.random()
    if chance < 0.3:
        layers += _constellation(rng, [colour])[:1]
    elif chance < 0.5:
        layers += _cross(rng, colour)
    else:
        layers.append(_charge(rng, (0.5, 0.5), rng.uniform(0.3, 0.42), colour))
    size = [round(rng.uniform(0.35, 0.5), 2), round(rng.uniform(0.45, 0.55), 2)]
    canton: Spec = {"kind": "canton", "size": size, "layers": layers}
    over: list[Spec] = []
    if len(grounds) == 1 and rng.random() < 0.35:
        over.append(_charge(rng, (0.75, 0.5), rng.uniform(0.2, 0.3), *grounds))
    return [canton, *over]


def _band(rng: random.Random, *grounds: str) -> list[Spec]:
    colour, width = _pick(rng, *grounds), round(rng.uniform(0.15, 0.3), 2)
    ends = rng.choice([([0, 1], [1, 0]), ([0, 0], [1, 1]), ([0, 0.5], [1, 0.5])])
    band = {"kind": "band", "from": ends[0], "to": ends[1]}
    layers: list[Spec] = [band | {"color": colour, "width": width}]
    if rng.random() < 0.4:
        edge = _pick(rng, colour, *grounds)
        layers.insert(0, band | {"color": edge, "width": round(width * 1.4, 2)})
    if rng.random() < 0.4:
        layers.append(_charge(rng, (0.2, 0.25), 0.15, *grounds))
    return layers


def _diamond(rng: random.Random, *grounds: str) -> list[Spec]:
    colour = _pick(rng, *grounds)
    size = [round(rng.uniform(0.5, 0.85), 2), round(rng.uniform(0.6, 0.85), 2)]
    diamond: Spec = {"kind": "diamond", "color": colour, "size": size}
    inside = [_charge(rng, (0.5, 0.5), 0.2, colour)] if rng.random() < 0.7 else []
    return [diamond, *inside]


def _border(rng: random.Random, *grounds: str) -> list[Spec]:
    border: Spec = {"kind": "border", "color": _pick(rng, *grounds)}
    border["width"] = round(rng.uniform(0.08, 0.16), 2)
    return [border, _charge(rng, (0.5, 0.5), rng.uniform(0.2, 0.3), *grounds)]


def _bar(rng: random.Random, *grounds: str) -> list[Spec]:
    box, middle = rng.choice(BARS)
    bar = {"kind": "rectangle", "color": _pick(rng, *grounds), "box": box}
    return [bar, _charge(rng, middle, rng.uniform(0.2, 0.3), *grounds)]


# A bar along each side, with the middle of what it leaves.
BARS = [
    ([0, 0.75, 1, 1], (0.5, 0.375)),
    ([0, 0, 1, 0.25], (0.5, 0.625)),
    ([0, 0, 0.3, 1], (0.65, 0.5)),
    ([0.7, 0, 1, 1], (0.35, 0.5)),
]
SPANNING: list[Callable[..., list[Spec]]] = [
    _cross,
    _cross,
    _triangle,
    _canton,
    _canton,
    _band,
    _diamond,
    _border,
    _bar,
]
GROUNDS: list[Callable[[random.Random], list[Spec]]] = [
    *[_plain] * 10,
    *[_horizontal] * 5,
    *[_vertical] * 3,
    _diagonal,
    _many_stripes,
    _quarters,
    _chequered,
]
