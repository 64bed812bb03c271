"""What a flag is made of: a ratio and layers painted in order, read from JSON.

Coordinates are fractions of (width, height) of the enclosing area, radii and widths
fractions of its height. `kind` names the layer; the fields of its class below are the
other keys, with their defaults.
"""

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import (
    Annotated,
    Any,
    Literal,
    TypeAlias,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from places.errors import Errors
from spacy_dwe.errors import DweError

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (206, 17, 38),
    "blue": (0, 71, 171),
    "green": (0, 140, 69),
    "yellow": (252, 215, 22),
    "white": (255, 255, 255),
    "black": (20, 20, 20),
    "orange": (255, 130, 0),
    "light blue": (108, 180, 238),
    "dark blue": (0, 30, 98),
    "maroon": (128, 0, 32),
    "brown": (121, 68, 28),
    "purple": (110, 38, 140),
    "gold": (212, 160, 23),
    "dark green": (0, 84, 48),
    "grey": (140, 140, 140),
}

Point: TypeAlias = tuple[float, float]
Box: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Flag:
    """ratio (tuple[float, float]): height to width, as in vexillology: (2, 3)."""

    ratio: Point
    layers: tuple["Layer", ...]


def parse_flag(spec: "Mapping[str, Any] | Flag") -> Flag:
    """Read a flag specification.

    spec (Mapping): `{"ratio": [2, 3], "layers": [{"kind": …}, …]}`
    RETURNS (Flag): the same, checked, with defaults filled in.
    RAISES (DweError): naming the layer and the key that is wrong.
    """
    if isinstance(spec, Flag):
        return spec
    if not isinstance(spec, Mapping):
        raise _error("flag", f"an object was expected, not {spec!r}")
    unknown = set(spec) - {"ratio", "layers"}
    if unknown:
        raise _error("flag", f"unknown key {sorted(unknown)[0]!r}")
    try:
        height, width = _point(spec.get("ratio", (2, 3)))
        layers = _layers(spec.get("layers"))
    except ValueError as err:
        raise _error("flag", str(err)) from None
    if height <= 0 or width <= 0 or not 0.2 <= height / width <= 5:
        raise _error("flag", "ratio must be two positive numbers, height to width")
    return Flag((height, width), layers)


def _error(where: str, reason: str) -> DweError:
    return DweError(Errors.E300.format(where=where, reason=reason))


def _layers(value: Any) -> tuple["Layer", ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise ValueError("layers must be a list of at least one layer")
    layers = []
    for i, entry in enumerate(value):
        kind = entry.get("kind") if isinstance(entry, Mapping) else None
        where = f"layers[{i}] ({kind})"
        if kind not in LAYERS:
            raise _error(where, f"kind must be one of {', '.join(LAYERS)}")
        layers.append(_layer(LAYERS[kind], entry, where))
    return tuple(layers)


def _layer(cls: type, entry: Mapping[str, Any], where: str) -> "Layer":
    wanted = {f.name.rstrip("_"): f for f in fields(cls)}
    readers = _readers(cls)
    unknown = set(entry) - set(wanted) - {"kind"}
    if unknown:
        raise _error(where, f"unknown key {sorted(unknown)[0]!r}")
    values = {}
    for key, f in wanted.items():
        if key in entry:
            try:
                values[f.name] = readers[f.name](entry[key])
            except ValueError as err:
                raise _error(where, f"{key}: {err}") from None
        elif f.default is MISSING:
            raise _error(where, f"{key!r} is missing")
    layer: Layer = cls(**values)
    check = getattr(layer, "check", None)
    problem = check() if check else None
    if problem:
        raise _error(where, problem)
    return layer


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"a number was expected, not {value!r}")
    return float(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 99:
        raise ValueError(f"a whole number from 1 to 99 was expected, not {value!r}")
    return value


def _numbers(value: Any) -> tuple[float, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ValueError(f"a list of numbers was expected, not {value!r}")
    return tuple(_number(v) for v in value)


def _point(value: Any) -> Point:
    numbers = _numbers(value)
    if len(numbers) != 2:
        raise ValueError(f"two numbers were expected, not {value!r}")
    return numbers[0], numbers[1]


def _points(value: Any) -> tuple[Point, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ValueError(f"a list of points was expected, not {value!r}")
    return tuple(_point(v) for v in value)


def _box(value: Any) -> Box:
    numbers = _numbers(value)
    if len(numbers) != 4 or numbers[0] >= numbers[2] or numbers[1] >= numbers[3]:
        raise ValueError(f"a box [x0, y0, x1, y1] was expected, not {value!r}")
    return numbers[0], numbers[1], numbers[2], numbers[3]


def _colour(value: Any) -> str:
    if value not in COLOURS:
        raise ValueError(f"{value!r} is not one of {', '.join(COLOURS)}")
    return str(value)


def _colours(value: Any) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise ValueError(f"a list of colours was expected, not {value!r}")
    return tuple(_colour(v) for v in value)


def _one_of(*options: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in options:
            raise ValueError(f"{value!r} is not one of {', '.join(options)}")
        return str(value)

    return read


@cache
def _readers(cls: type) -> dict[str, Callable[[Any], Any]]:
    hints = get_type_hints(cls, include_extras=True)
    return {name: _reader(hint) for name, hint in hints.items()}


def _reader(hint: Any) -> Callable[[Any], Any]:
    """A field's type says how its JSON value is read."""
    origin = get_origin(hint)
    if origin is Annotated:
        read: Callable[[Any], Any] = get_args(hint)[1]
        return read
    if origin is Literal:
        return _one_of(*get_args(hint))
    if origin in (Union, types.UnionType):
        return _reader(get_args(hint)[0])
    raise TypeError(f"no way to read {hint!r}")


Colour: TypeAlias = Annotated[str, _colour]
Colours: TypeAlias = Annotated[tuple[str, ...], _colours]
Number: TypeAlias = Annotated[float, _number]
Numbers: TypeAlias = Annotated[tuple[float, ...], _numbers]
Count: TypeAlias = Annotated[int, _count]
Place: TypeAlias = Annotated[Point, _point]
Places: TypeAlias = Annotated[tuple[Point, ...], _points]
Extent: TypeAlias = Annotated[Box, _box]
Layers: TypeAlias = Annotated[tuple["Layer", ...], _layers]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """`field`: one colour over the whole area."""

    color: Colour


@dataclass(frozen=True, slots=True, kw_only=True)
class Stripes:
    """Diagonal stripes run from the lower left to the upper right."""

    direction: Literal["horizontal", "vertical", "diagonal"]
    colors: Colours
    weights: Numbers | None = None

    def check(self) -> str | None:
        weights = self.weights
        if weights and (len(weights) != len(self.colors) or min(weights) <= 0):
            return "weights must be as many positive numbers as there are colors"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cross:
    """Reaches the area's edges, or with `r` stands free with arms of that length."""

    color: Colour
    width: Number = 0.2
    at: Place | None = None
    style: Literal["centred", "nordic", "saltire"] = "centred"
    border: Colour | None = None
    r: Number | None = None

    @property
    def centre(self) -> Point:
        return self.at or ((0.37, 0.5) if self.style == "nordic" else (0.5, 0.5))


@dataclass(frozen=True, slots=True, kw_only=True)
class Crosses:
    """Small free-standing crosses."""

    color: Colour
    at: Places
    r: Number = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Triangle:
    """Its base is the whole of one side; `depth` is a fraction of the other way."""

    color: Colour
    side: Literal["left", "right", "top", "bottom"] = "left"
    depth: Number = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Canton:
    layers: Layers
    size: Place = (0.5, 0.5)
    corner: Literal["top left", "top right", "bottom left", "bottom right"] = "top left"


@dataclass(frozen=True, slots=True, kw_only=True)
class Disc:
    color: Colour
    at: Place = (0.5, 0.5)
    r: Number = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    color: Colour
    at: Place = (0.5, 0.5)
    r: Number = 0.3
    width: Number = 0.06


@dataclass(frozen=True, slots=True, kw_only=True)
class Star:
    color: Colour
    at: Place = (0.5, 0.5)
    r: Number = 0.2
    points: Count = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Stars:
    """`at` lists the stars; else `n` of them stand on a circle or an arc (its upper
    half) of `radius` about `center`, in a row `radius` to either side of it, or in a
    grid of `rows` times `cols` over the area."""

    color: Colour
    layout: Literal["circle", "grid", "row", "arc", "list"] = "list"
    n: Count = 5
    at: Places = ()
    r: Number = 0.06
    points: Count = 5
    center: Place = (0.5, 0.5)
    radius: Number = 0.3
    rows: Count | None = None
    cols: Count | None = None

    def check(self) -> str | None:
        if self.layout == "list" and not self.at:
            return "layout 'list' wants the stars' places in 'at'"
        if self.layout == "grid" and not (self.rows and self.cols):
            return "layout 'grid' wants 'rows' and 'cols'"
        return None

    @property
    def count(self) -> int:
        if self.layout == "grid":
            return (self.rows or 0) * (self.cols or 0)
        return len(self.at) if self.layout == "list" else self.n


@dataclass(frozen=True, slots=True, kw_only=True)
class Crescent:
    """`opening` is where the horns point."""

    color: Colour
    at: Place = (0.5, 0.5)
    r: Number = 0.25
    opening: Literal["right", "left", "up"] = "right"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sun:
    color: Colour
    at: Place = (0.5, 0.5)
    r: Number = 0.25
    rays: Count = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Diamond:
    color: Colour
    at: Place = (0.5, 0.5)
    size: Place = (0.6, 0.7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rectangle:
    color: Colour
    box: Extent


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A straight line of some width between two points."""

    color: Colour
    from_: Place
    to: Place
    width: Number = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Border:
    color: Colour
    width: Number = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Chequers:
    colors: Colours
    rows: Count = 5
    cols: Count = 5
    box: Extent = (0.0, 0.0, 1.0, 1.0)

    def check(self) -> str | None:
        return None if len(self.colors) == 2 else "colors must be two"


AnimalShape: TypeAlias = Literal[
    "lion", "eagle", "dragon", "bird", "bear", "bull", "horse", "fish", "snake"
]
PlantShape: TypeAlias = Literal["tree", "leaf", "palm", "wreath", "flower"]
ObjectShape: TypeAlias = Literal[
    "tower",
    "ship",
    "key",
    "sword",
    "crown",
    "wheel",
    "castle",
    "mountain",
    "triskelion",
    "book",
    "anchor",
]
ANIMALS: tuple[str, ...] = get_args(AnimalShape)
PLANTS: tuple[str, ...] = get_args(PlantShape)
OBJECTS: tuple[str, ...] = get_args(ObjectShape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Animal:
    """A silhouette of `silhouettes.py` that fits a circle; so are the next two."""

    color: Colour
    shape: AnimalShape
    at: Place = (0.5, 0.5)
    r: Number = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    color: Colour
    shape: PlantShape
    at: Place = (0.5, 0.5)
    r: Number = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Object:
    color: Colour
    shape: ObjectShape
    at: Place = (0.5, 0.5)
    r: Number = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Shield:
    """`color2` fills its right half."""

    color: Colour
    color2: Colour | None = None
    at: Place = (0.5, 0.5)
    r: Number = 0.25


Layer: TypeAlias = (
    Plain
    | Stripes
    | Cross
    | Crosses
    | Triangle
    | Canton
    | Disc
    | Ring
    | Star
    | Stars
    | Crescent
    | Sun
    | Diamond
    | Rectangle
    | Band
    | Border
    | Chequers
    | Animal
    | Plant
    | Object
    | Shield
)

LAYERS: dict[str, type[Layer]] = {
    "field": Plain,
    "stripes": Stripes,
    "cross": Cross,
    "crosses": Crosses,
    "triangle": Triangle,
    "canton": Canton,
    "disc": Disc,
    "ring": Ring,
    "star": Star,
    "stars": Stars,
    "crescent": Crescent,
    "sun": Sun,
    "diamond": Diamond,
    "rectangle": Rectangle,
    "band": Band,
    "border": Border,
    "chequers": Chequers,
    "animal": Animal,
    "plant": Plant,
    "object": Object,
    "shield": Shield,
}
