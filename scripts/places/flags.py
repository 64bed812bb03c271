"""Flags from compact specifications: drawing, wording and comparing them.

The specification's language is `layers.py`; this is what the rest of the sample uses.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from places.drawing import draw
from places.layers import COLOURS, Flag, parse_flag
from places.wording import Element, caption, describe, elements

__all__ = [
    "COLOURS",
    "Element",
    "Flag",
    "FlagSpec",
    "caption",
    "describe",
    "distance",
    "draw",
    "elements",
    "layout",
    "layout_distance",
    "parse_flag",
]

FlagSpec: TypeAlias = Mapping[str, Any] | Flag

GRID = 12, 8


def distance(a: FlagSpec, b: FlagSpec) -> float:
    """How differently two flags lay out their colours, after a centre crop.

    RETURNS (float): 0 (equal) to 1 (black against white). Below some .1 people
        confuse two flags in a bad photograph; a charge alone makes some .1 to .3.
    """
    return float(layout_distance(layout(a), layout(b)))


def layout(spec: FlagSpec) -> np.ndarray:
    """A flag's mean colours on a coarse grid, its outermost tenth cropped away.

    RETURNS (np.ndarray): in [0, 1]. Shape: (8, 12, 3), float32
    """
    return _layout(parse_flag(spec))


@lru_cache(maxsize=1024)
def _layout(flag: Flag) -> np.ndarray:
    image = draw(flag, 20)
    width, height = image.size
    box = (0.1 * width, 0.1 * height, 0.9 * width, 0.9 * height)
    small = image.resize(GRID, Image.Resampling.BOX, box=box)
    return np.asarray(small, dtype=np.float32) / 255


def layout_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Root of the mean squared difference of two layouts, or of stacks of them.

    a, b (np.ndarray): Shape: (…, 8, 12, 3)
    RETURNS (np.ndarray): Shape: (…)
    """
    return np.sqrt(np.mean((a - b) ** 2, axis=(-3, -2, -1)))
