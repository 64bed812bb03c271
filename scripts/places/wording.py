"""A flag in plain English: phrases, one sentence, and (colour, element) pairs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from places import layers as kinds
from places.layers import Flag, Layer, Point, parse_flag


class Element(NamedTuple):
    """What can be asked of a flag: is there a `colour` `name` in it?"""

    colour: str
    name: str


def describe(spec: Mapping[str, Any] | Flag) -> list[str]:
    """Name a flag's elements, from the ground up.

    RETURNS (list[str]): such as `["a red cross on a white field", "four small red
        crosses"]`.
    """
    return list(_phrases(parse_flag(spec).layers, "field"))


def caption(spec: Mapping[str, Any] | Flag) -> str:
    """RETURNS (str): all of a flag's phrases as one sentence."""
    return sentence(describe(spec))


def sentence(phrases: Sequence[str]) -> str:
    """RETURNS (str): `The flag shows …, … and ….` of some of a flag's phrases."""
    *first, last = phrases
    return (
        f"The flag shows {', '.join(first)} and {last}."
        if first
        else (f"The flag shows {last}.")
    )


def elements(spec: Mapping[str, Any] | Flag) -> list[Element]:
    """RETURNS (list[Element]): each colour of each kind of element once."""
    return list(dict.fromkeys(_elements(parse_flag(spec).layers, "field")))


def _elements(layers: Iterable[Layer], ground: str) -> Iterator[Element]:
    for layer in layers:
        match layer:
            case kinds.Plain():
                yield Element(layer.color, ground)
            case kinds.Stripes():
                yield from (Element(colour, "stripe") for colour in layer.colors)
            case kinds.Chequers():
                yield from (Element(colour, "chequers") for colour in layer.colors)
            case kinds.Canton():
                yield from _elements(layer.layers, "canton")
            case _:
                yield Element(layer.color, _noun(layer))


def _phrases(layers: Sequence[Layer], ground: str) -> Iterator[str]:
    """One phrase a layer; a plain ground is told with the first thing on it."""
    plain: str | None = None
    stripes: kinds.Stripes | None = None
    later = "" if ground == "field" else f" in the {ground}"
    for layer in layers:
        match layer:
            case kinds.Plain():
                plain, stripes = layer.color, None
                continue
            case kinds.Stripes():
                stripes = layer
                yield _striped(layer) + (later and f" as the {ground}")
                continue
            case kinds.Canton():
                inside = list(_phrases(layer.layers, _corner(layer)))
            case _:
                inside = [_charge(layer) + _where(layer, stripes) + later]
        if plain:
            on = "on" if ground == "field" else "in"
            inside[0] = f"{inside[0].removesuffix(later)} {on} {a(f'{plain} {ground}')}"
            plain = None
        yield from inside
    if plain:
        yield a(f"plain {plain} {ground}")


def _corner(layer: kinds.Canton) -> str:
    if layer.corner == "top left":
        return "canton"
    return layer.corner.replace("top", "upper").replace("bottom", "lower") + " canton"


def _striped(layer: kinds.Stripes) -> str:
    colours, n = layer.colors, len(layer.colors)
    if n > 4 and all(c == colours[i % 2] for i, c in enumerate(colours)):
        pair = f"alternating {colours[0]} and {colours[1]}"
        return f"{number(n)} {pair} {layer.direction} stripes"
    return f"{number(n)} {layer.direction} stripes of {_list(colours)}"


def _charge(layer: Layer) -> str:
    """RETURNS (str): a layer's own phrase, without where it is."""
    noun = _noun(layer)
    match layer:
        case kinds.Cross(border=str(border)):
            return f"{a(f'{layer.color} {noun}')} edged in {border}"
        case kinds.Crosses():
            return _many(len(layer.at), f"small {layer.color}", noun)
        case kinds.Star():
            return a(f"{_pointed(layer)}{layer.color} star")
        case kinds.Stars():
            small = "small " if layer.r < 0.1 else ""
            many = _many(layer.count, f"{small}{_pointed(layer)}{layer.color}", noun)
            layout = {"circle": " in a circle", "arc": " in an arc", "row": " in a row"}
            return many + layout.get(layer.layout, "")
        case kinds.Chequers():
            return f"{_list(layer.colors)} chequers"
        case kinds.Shield(color2=str(second)):
            return a(f"{layer.color} and {second} shield")
        case kinds.Canton() | kinds.Stripes():
            raise TypeError(f"{type(layer).__name__} is no charge")
        case _:
            return a(f"{layer.color} {noun}")


def _noun(layer: Layer) -> str:
    match layer:
        case kinds.Cross(style="saltire"):
            return "saltire"
        case kinds.Cross(style="nordic"):
            return "Nordic cross"
        case kinds.Cross() | kinds.Crosses():
            return "cross"
        case kinds.Star() | kinds.Stars():
            return "star"
        case kinds.Animal() | kinds.Plant() | kinds.Object():
            return {"palm": "palm tree"}.get(layer.shape, layer.shape)
        case kinds.Band(from_=(x0, y0), to=(x1, y1)):
            straight = abs(x0 - x1) < 0.05 or abs(y0 - y1) < 0.05
            return "band" if straight else "diagonal band"
        case _:
            return type(layer).__name__.lower()


def _pointed(layer: kinds.Star | kinds.Stars) -> str:
    return "" if layer.points == 5 else f"{number(layer.points)}-pointed "


def _where(layer: Layer, stripes: kinds.Stripes | None) -> str:
    """RETURNS (str): the stripe that a charge stands on, else its part of the flag."""
    if isinstance(layer, kinds.Triangle):
        at = "at" if layer.side in ("top", "bottom") else "on"
        return f" {at} the {layer.side}"
    spot = _spot(layer)
    if spot is None:
        return ""
    (x, y), reach = spot
    if stripes and stripes.direction != "diagonal":
        colour = _stripe_under(stripes, (x, y), reach)
        if colour:
            return f" on the {colour} stripe"
    side = "left" if x < 0.4 else "right" if x > 0.6 else ""
    level = "upper" if y < 0.4 else "lower" if y > 0.6 else ""
    if side and level:
        return f" at the {level} {side}"
    if level:
        return " at the top" if level == "upper" else " at the bottom"
    return f" on the {side}" if side else ""


def _spot(layer: Layer) -> tuple[Point, float] | None:
    """RETURNS (tuple): a charge's middle and its reach up and down; None for one that
    spans the flag."""
    match layer:
        case kinds.Stars(layout="list"):
            xs, ys = zip(*layer.at)
            spread = max(max(xs) - min(xs), max(ys) - min(ys))
            if spread > 0.5 and len(layer.at) > 1:
                return None
            middle = sum(xs) / len(xs), sum(ys) / len(ys)
            return middle, (max(ys) - min(ys)) / 2 + layer.r
        case kinds.Stars(layout="row"):
            return layer.center, layer.r
        case kinds.Stars(layout="circle" | "arc"):
            return layer.center, layer.radius
        case kinds.Cross(r=float(r)):
            return layer.centre, r
        case kinds.Diamond():
            return layer.at, layer.size[1] / 2
        case kinds.Rectangle(box=(x0, y0, x1, y1)):
            return ((x0 + x1) / 2, (y0 + y1) / 2), (y1 - y0) / 2
        case (
            kinds.Disc()
            | kinds.Ring()
            | kinds.Star()
            | kinds.Crescent()
            | kinds.Sun()
            | kinds.Animal()
            | kinds.Plant()
            | kinds.Object()
            | kinds.Shield()
        ):
            return layer.at, layer.r
        case _:
            return None


def _stripe_under(stripes: kinds.Stripes, at: Point, reach: float) -> str | None:
    """RETURNS (str | None): the colour of the stripe that all but holds a charge."""
    weights = stripes.weights or (1.0,) * len(stripes.colors)
    across = stripes.direction == "vertical"
    middle = at[0 if across else 1]
    # A flag is some one and a half times as wide as high.
    reach = reach / 1.5 if across else reach
    start, total = 0.0, sum(weights)
    for colour, weight in zip(stripes.colors, weights, strict=True):
        end = start + weight / total
        if start - 0.04 <= middle - reach and middle + reach <= end + 0.04:
            return colour
        start = end
    return None


NUMBERS = (
    *("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen"),
    *("seventeen", "eighteen", "nineteen", "twenty"),
)
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty")


def number(n: int) -> str:
    """RETURNS (str): a number up to 99 in words."""
    if n < len(NUMBERS):
        return NUMBERS[n]
    tens = (*TENS, "ninety")[n // 10]
    return f"{tens}-{NUMBERS[n % 10]}" if n % 10 else tens


def a(noun: str) -> str:
    """RETURNS (str): with its indefinite article."""
    return f"{'an' if noun[0] in 'aeio' else 'a'} {noun}"


def _many(n: int, adjectives: str, noun: str) -> str:
    if n == 1:
        return a(f"{adjectives} {noun}")
    return f"{number(n)} {adjectives} {noun}{'es' if noun.endswith('s') else 's'}"


def _list(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
