"""Painting a flag: one function a layer kind, on a canvas four times too large."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from PIL import Image, ImageDraw

from places import layers as kinds
from places.layers import COLOURS, Flag, Layer, Point, parse_flag
from places.silhouettes import SILHOUETTES

SUPERSAMPLING = 4


def draw(spec: Mapping[str, Any] | Flag, height: int = 128) -> Image.Image:
    """Draw a flag, anti-aliased.

    spec (Mapping | Flag): what `parse_flag` reads.
    height (int): in pixels; the width follows from the flag's ratio.
    RETURNS (Image): RGB.
    """
    flag = parse_flag(spec)
    width = max(1, round(height * flag.ratio[1] / flag.ratio[0]))
    large = _paint(flag.layers, width * SUPERSAMPLING, height * SUPERSAMPLING)
    return large.resize((width, height), Image.Resampling.BOX)


def _paint(layers: Iterable[Layer], width: int, height: int) -> Image.Image:
    area = Area(Image.new("RGB", (width, height), COLOURS["white"]))
    for layer in layers:
        PAINTERS[type(layer)](area, layer)
    return area.image


class Area:
    """A canvas on which positions are fractions of its sides and lengths fractions
    of its height."""

    def __init__(self, image: Image.Image) -> None:
        self.image = image
        self.pen = ImageDraw.Draw(image)
        self.width, self.height = image.size

    def place(self, point: Point) -> Point:
        return point[0] * self.width, point[1] * self.height

    def polygon(self, points: Iterable[Point], colour: str) -> None:
        """Fill a polygon given in pixels."""
        self.pen.polygon(list(points), fill=COLOURS[colour])

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: str) -> None:
        """Fill a box given in fractions."""
        corners = (x0, y0), (x1, y0), (x1, y1), (x0, y1)
        self.polygon((self.place(corner) for corner in corners), colour)

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: str) -> None:
        """Fill an ellipse given in pixels."""
        self.pen.ellipse((x - rx, y - ry, x + rx, y + ry), fill=COLOURS[colour])

    def line(self, points: list[Point], width: float, colour: str) -> None:
        """Draw a line with round ends, given in pixels."""
        self.pen.line(points, COLOURS[colour], max(1, round(width)), joint="curve")
        for x, y in points:
            self.ellipse(x, y, width / 2, width / 2, colour)

    def straight(self, start: Point, end: Point, width: float, colour: str) -> None:
        """A straight band with square ends, given in pixels, overlong by its width."""
        length = math.dist(start, end) or 1.0
        dx, dy = (end[0] - start[0]) / length, (end[1] - start[1]) / length
        (x0, y0), (x1, y1), w = start, end, width / 2
        x0, y0, x1, y1 = x0 - dx * w, y0 - dy * w, x1 + dx * w, y1 + dy * w
        nx, ny = -dy * w, dx * w
        self.polygon(
            [(x0 + nx, y0 + ny), (x1 + nx, y1 + ny), (x1 - nx, y1 - ny),
             (x0 - nx, y0 - ny)],
            colour,
        )  # fmt: skip

    def star(self, at: Point, r: float, points: int, colour: str) -> None:
        """A star of `points` points with one straight up; `at` and `r` as fractions."""
        inner = 0.382 if points == 5 else 0.55 if points <= 8 else 0.7
        self.polygon(_rays(self.place(at), r * self.height, inner, points), colour)


def _rays(centre: Point, r: float, inner: float, n: int) -> list[Point]:
    radii = (r if i % 2 == 0 else r * inner for i in range(2 * n))
    return [
        _polar(centre, radius, math.pi * i / n - math.pi / 2)
        for i, radius in enumerate(radii)
    ]


def _polar(centre: Point, r: float, angle: float) -> Point:
    return centre[0] + r * math.cos(angle), centre[1] + r * math.sin(angle)


def _field(area: Area, layer: kinds.Plain) -> None:
    area.box(0, 0, 1, 1, layer.color)


def _stripes(area: Area, layer: kinds.Stripes) -> None:
    weights = layer.weights or (1.0,) * len(layer.colors)
    start, total = 0.0, sum(weights)
    for colour, weight in zip(layer.colors, weights, strict=True):
        end = start + weight / total
        if layer.direction == "horizontal":
            area.box(0, start, 1, end, colour)
        elif layer.direction == "vertical":
            area.box(start, 0, end, 1, colour)
        else:
            a, b = 2 * start, 2 * end
            corners = (a, 0), (b, 0), (b - 2, 2), (a - 2, 2)
            area.polygon((area.place(corner) for corner in corners), colour)
        start = end


def _cross(area: Area, layer: kinds.Cross) -> None:
    if layer.border:
        _arms(area, layer, layer.width * 1.6, layer.border)
    _arms(area, layer, layer.width, layer.color)


def _arms(area: Area, layer: kinds.Cross, width: float, colour: str) -> None:
    x, y = area.place(layer.centre)
    w = width * area.height
    if layer.r is not None:
        reach = layer.r * area.height
        extra = (width - layer.width) * area.height / 2
        if layer.style == "saltire":
            d = reach * math.sqrt(0.5)
            area.straight((x - d, y - d), (x + d, y + d), w, colour)
            area.straight((x - d, y + d), (x + d, y - d), w, colour)
        else:
            _plus(area, (x, y), reach + extra, w, colour)
    elif layer.style == "saltire":
        for top, bottom in ((0, area.width), (area.width, 0)):
            area.straight((top, 0), (bottom, area.height), w, colour)
    else:
        half = w / 2 / area.height
        area.box(0, layer.centre[1] - half, 1, layer.centre[1] + half, colour)
        half = w / 2 / area.width
        area.box(layer.centre[0] - half, 0, layer.centre[0] + half, 1, colour)


def _plus(area: Area, at: Point, reach: float, width: float, colour: str) -> None:
    (x, y), r, w = at, reach, width / 2
    area.polygon(
        [(x - r, y - w), (x + r, y - w), (x + r, y + w), (x - r, y + w)], colour
    )
    area.polygon(
        [(x - w, y - r), (x + w, y - r), (x + w, y + r), (x - w, y + r)], colour
    )


def _crosses(area: Area, layer: kinds.Crosses) -> None:
    for at in layer.at:
        r = layer.r * area.height
        _plus(area, area.place(at), r, 0.65 * r, layer.color)


def _triangle(area: Area, layer: kinds.Triangle) -> None:
    d = layer.depth
    corners = {
        "left": ((0, 0), (d, 0.5), (0, 1)),
        "right": ((1, 0), (1 - d, 0.5), (1, 1)),
        "top": ((0, 0), (0.5, d), (1, 0)),
        "bottom": ((0, 1), (0.5, 1 - d), (1, 1)),
    }[layer.side]
    area.polygon((area.place(corner) for corner in corners), layer.color)


def _canton(area: Area, layer: kinds.Canton) -> None:
    width = max(1, round(layer.size[0] * area.width))
    height = max(1, round(layer.size[1] * area.height))
    left = 0 if "left" in layer.corner else area.width - width
    top = 0 if "top" in layer.corner else area.height - height
    area.image.paste(_paint(layer.layers, width, height), (left, top))


def _disc(area: Area, layer: kinds.Disc) -> None:
    r = layer.r * area.height
    area.ellipse(*area.place(layer.at), r, r, layer.color)


def _ring(area: Area, layer: kinds.Ring) -> None:
    (x, y), r = area.place(layer.at), layer.r * area.height
    area.pen.ellipse(
        (x - r, y - r, x + r, y + r),
        outline=COLOURS[layer.color],
        width=max(1, round(layer.width * area.height)),
    )


def _star(area: Area, layer: kinds.Star) -> None:
    area.star(layer.at, layer.r, layer.points, layer.color)


def _stars(area: Area, layer: kinds.Stars) -> None:
    for at in star_places(layer, area.width / area.height):
        area.star(at, layer.r, layer.points, layer.color)


def star_places(layer: kinds.Stars, aspect: float) -> list[Point]:
    """RETURNS (list[Point]): where the stars stand, in fractions of the area."""
    (x, y), n = layer.center, layer.n
    if layer.layout == "list":
        return list(layer.at)
    if layer.layout == "grid":
        rows, cols = layer.rows or 1, layer.cols or 1
        return [
            ((col + 0.5) / cols, (row + 0.5) / rows)
            for row in range(rows)
            for col in range(cols)
        ]
    if layer.layout == "row":
        step = 2 * layer.radius / max(n - 1, 1)
        return [(x + (i - (n - 1) / 2) * step / aspect, y) for i in range(n)]
    if layer.layout == "arc":
        angles = [math.pi * (1 + (i + 0.5) / n) for i in range(n)]
    else:
        angles = [2 * math.pi * i / n - math.pi / 2 for i in range(n)]
    return [
        (x + layer.radius * math.cos(a) / aspect, y + layer.radius * math.sin(a))
        for a in angles
    ]


def _crescent(area: Area, layer: kinds.Crescent) -> None:
    outer = layer.r * area.height
    inner, shift = 0.8 * outer, 0.38 * outer
    turn = {"right": 0.0, "up": -math.pi / 2, "left": math.pi}[layer.opening]
    centre = area.place(layer.at)
    # The angle at which the two circles meet, seen from either centre.
    meet = math.acos((outer**2 + shift**2 - inner**2) / (2 * outer * shift))
    hole = math.acos((outer**2 - shift**2 - inner**2) / (2 * inner * shift))
    second = _polar(centre, shift, turn)
    steps = range(49)
    outside = (meet + (2 * math.pi - 2 * meet) * i / 48 for i in steps)
    inside = (2 * math.pi - hole - (2 * math.pi - 2 * hole) * i / 48 for i in steps)
    area.polygon(
        [_polar(centre, outer, turn + a) for a in outside]
        + [_polar(second, inner, turn + a) for a in inside],
        layer.color,
    )


def _sun(area: Area, layer: kinds.Sun) -> None:
    centre, r = area.place(layer.at), layer.r * area.height
    area.polygon(_rays(centre, r, 0.55, layer.rays), layer.color)
    area.ellipse(*centre, 0.6 * r, 0.6 * r, layer.color)


def _diamond(area: Area, layer: kinds.Diamond) -> None:
    (x, y), (w, h) = layer.at, layer.size
    corners = (x, y - h / 2), (x + w / 2, y), (x, y + h / 2), (x - w / 2, y)
    area.polygon((area.place(corner) for corner in corners), layer.color)


def _rectangle(area: Area, layer: kinds.Rectangle) -> None:
    area.box(*layer.box, layer.color)


def _band(area: Area, layer: kinds.Band) -> None:
    start, end = area.place(layer.from_), area.place(layer.to)
    area.straight(start, end, layer.width * area.height, layer.color)


def _border(area: Area, layer: kinds.Border) -> None:
    high, wide = layer.width, layer.width * area.height / area.width
    area.box(0, 0, 1, high, layer.color)
    area.box(0, 1 - high, 1, 1, layer.color)
    area.box(0, 0, wide, 1, layer.color)
    area.box(1 - wide, 0, 1, 1, layer.color)


def _chequers(area: Area, layer: kinds.Chequers) -> None:
    x0, y0, x1, y1 = layer.box
    wide, high = (x1 - x0) / layer.cols, (y1 - y0) / layer.rows
    for row in range(layer.rows):
        for col in range(layer.cols):
            x, y = x0 + col * wide, y0 + row * high
            area.box(x, y, x + wide, y + high, layer.colors[(row + col) % 2])


def _figure(area: Area, layer: kinds.Animal | kinds.Plant | kinds.Object) -> None:
    (x, y), r = area.place(layer.at), layer.r * area.height

    def placed(points: Iterable[Point]) -> list[Point]:
        return [(x + px * r, y + py * r) for px, py in points]

    for part in SILHOUETTES[layer.shape]:
        if isinstance(part, list):
            area.polygon(placed(part), layer.color)
        elif part[0] == "ellipse":
            (centre,) = placed([(part[1], part[2])])
            area.ellipse(*centre, part[3] * r, part[4] * r, layer.color)
        else:
            area.line(placed(part[2]), part[1] * r, layer.color)


def _shield(area: Area, layer: kinds.Shield) -> None:
    (x, y), r = area.place(layer.at), layer.r * area.height
    left = [(0, -1), (-0.8, -1), (-0.8, 0.1), (-0.65, 0.5), (-0.35, 0.8), (0, 1)]
    for side, colour in ((1, layer.color), (-1, layer.color2 or layer.color)):
        area.polygon(((x + side * px * r, y + py * r) for px, py in left), colour)


PAINTERS: dict[type[Layer], Callable[[Area, Any], None]] = {
    kinds.Plain: _field,
    kinds.Stripes: _stripes,
    kinds.Cross: _cross,
    kinds.Crosses: _crosses,
    kinds.Triangle: _triangle,
    kinds.Canton: _canton,
    kinds.Disc: _disc,
    kinds.Ring: _ring,
    kinds.Star: _star,
    kinds.Stars: _stars,
    kinds.Crescent: _crescent,
    kinds.Sun: _sun,
    kinds.Diamond: _diamond,
    kinds.Rectangle: _rectangle,
    kinds.Band: _band,
    kinds.Border: _border,
    kinds.Chequers: _chequers,
    kinds.Animal: _figure,
    kinds.Plant: _figure,
    kinds.Object: _figure,
    kinds.Shield: _shield,
}
