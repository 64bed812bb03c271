"""Pictures that show no flag: a plain drawing of a landscape."""

import random

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]


def scene(rng: random.Random, size: tuple[int, int]) -> Image.Image:
    """Draw a landscape with hills, perhaps a house, and trees.

    size (tuple[int, int]): width and height in pixels.
    RETURNS (Image): RGB.
    """
    width, height = size
    image = Image.new("RGB", size, _near(rng, (165, 200, 230)))
    pen = ImageDraw.Draw(image)
    horizon = height * rng.uniform(0.45, 0.7)
    for _ in range(rng.randint(1, 3)):
        x, r = width * rng.random(), width * rng.uniform(0.15, 0.45)
        top = horizon - r * rng.uniform(0.3, 0.7)
        pen.ellipse((x - r, top, x + r, top + 2 * r), _near(rng, (120, 140, 110)))
    pen.rectangle((0, horizon, width, height), _near(rng, (110, 130, 70)))
    if rng.random() < 0.6:
        _house(pen, rng, width * rng.uniform(0.2, 0.7), horizon, height * 0.3)
    for _ in range(rng.randint(1, 5)):
        foot = horizon + (height - horizon) * rng.random() * 0.6
        _tree(pen, rng, width * rng.random(), foot, height * rng.uniform(0.15, 0.35))
    return image


def _house(
    pen: ImageDraw.ImageDraw, rng: random.Random, x: float, foot: float, size: float
) -> None:
    wall, roof = _near(rng, (200, 180, 150)), _near(rng, (120, 70, 60))
    pen.rectangle((x, foot - size * 0.5, x + size, foot + size * 0.2), wall)
    corners = (x - 2, foot - size * 0.5), (x + size / 2, foot - size)
    pen.polygon((*corners, (x + size + 2, foot - size * 0.5)), roof)
    door = x + size * rng.uniform(0.2, 0.6)
    box = door, foot - size * 0.15, door + size * 0.18, foot + size * 0.2
    pen.rectangle(box, _near(rng, (80, 60, 50)))


def _tree(
    pen: ImageDraw.ImageDraw, rng: random.Random, x: float, foot: float, size: float
) -> None:
    trunk = x - size * 0.06, foot - size * 0.5, x + size * 0.06, foot
    pen.rectangle(trunk, _near(rng, (95, 70, 50)))
    r = size * 0.32
    pen.ellipse(
        (x - r, foot - size, x + r, foot - size * 0.35), _near(rng, (60, 95, 50))
    )


def _near(rng: random.Random, colour: Colour) -> Colour:
    red, green, blue = (min(255, max(0, c + rng.randint(-28, 28))) for c in colour)
    return red, green, blue
