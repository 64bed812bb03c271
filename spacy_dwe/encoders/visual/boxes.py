"""Boxes in pixels, and boxes of cells on a grid."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

SIDES = (1 / 8, 1 / 6, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 5 / 6, 1.0)
"""Sides of grid boxes, as shares of the grid's; on a 7 x 7 grid these are all."""

MIN_SIDE = 8
"""Pixels; what is smaller shows nothing."""


class Box(NamedTuple):
    """A rectangle in pixels of the upright picture; right and bottom are outside."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def area(self) -> float:
        return max(0.0, self.width) * max(0.0, self.height)

    @property
    def centre(self) -> tuple[float, float]:
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def holds(self, point: tuple[float, float]) -> bool:
        return self.left <= point[0] < self.right and self.top <= point[1] < self.bottom

    def within(self, size: tuple[int, int]) -> "Box":
        """RETURNS (Box): its part on a picture of a width and height, in whole pixels;
        without area where it lies beside the picture."""
        width, height = size
        left, right = (min(max(0, round(x)), width) for x in (self.left, self.right))
        top, bottom = (min(max(0, round(y)), height) for y in (self.top, self.bottom))
        return Box(left, top, max(left, right), max(top, bottom))

    def grown(self, margin: float) -> "Box":
        """margin (float): to add on each side, as a share of that side's length."""
        x, y = margin * self.width, margin * self.height
        return Box(self.left - x, self.top - y, self.right + x, self.bottom + y)


def part_of(image: "Image", box: Box) -> "Image":
    """RETURNS (Image): the part of a picture in a box, of one pixel at least."""
    left, top, right, bottom = (int(x) for x in box.within(image.size))
    left, top = min(left, image.size[0] - 1), min(top, image.size[1] - 1)
    return image.crop((left, top, max(right, left + 1), max(bottom, top + 1)))


class GridBoxes(NamedTuple):
    """All boxes of cells on a grid that can be a region, and their surroundings.

    corners (np.ndarray): left, top, right, bottom in cells. Shape: (n, 4), int64
    contrast (np.ndarray): weights of the cells in the mean of a box, less those in the
        mean of the ring around it. Shape: (n, rows * cols), float32
    window (np.ndarray): in the mean of box and ring together. Shape: as contrast
    share (np.ndarray): of the window that is box. Shape: (n,), float32
    edges (np.ndarray): sides on the edge of the grid, 0 to 4. Shape: (n,), float32
    overlaps (np.ndarray): intersection over union. Shape: (n, n), float64
    """

    corners: np.ndarray
    contrast: np.ndarray
    window: np.ndarray
    share: np.ndarray
    edges: np.ndarray
    overlaps: np.ndarray


@lru_cache(maxsize=16)
def grid_boxes(rows: int, cols: int, min_area: float, max_area: float) -> GridBoxes:
    """
    min_area, max_area (float): of a box, as shares of the grid's.
    """
    import torch
    from torchvision.ops import box_iou

    corners = np.array(
        [
            (left, top, right, bottom)
            for top, bottom in _spans(rows)
            for left, right in _spans(cols)
            if min_area <= (right - left) * (bottom - top) / (rows * cols) <= max_area
        ],
        dtype=np.int64,
    ).reshape(-1, 4)
    inside = _cells(corners, rows, cols)
    reach = np.maximum(1, (corners[:, 2:] - corners[:, :2] + 1) // 2)
    wide = np.concatenate([corners[:, :2] - reach, corners[:, 2:] + reach], axis=1)
    window = _cells(np.clip(wide, 0, [cols, rows, cols, rows]), rows, cols)
    ring = window & ~inside
    n_inside, n_ring = inside.sum(axis=1), np.maximum(1, ring.sum(axis=1))
    n_window = np.maximum(1, window.sum(axis=1))
    exact = torch.from_numpy(corners).double()
    contrast = inside / n_inside[:, None] - ring / n_ring[:, None]
    return GridBoxes(
        corners,
        contrast.astype(np.float32),
        (window / n_window[:, None]).astype(np.float32),
        (n_inside / n_window).astype(np.float32),
        (corners == [0, 0, cols, rows]).sum(axis=1).astype(np.float32),
        box_iou(exact, exact).numpy(),
    )


def _spans(n: int) -> list[tuple[int, int]]:
    """RETURNS (list[tuple[int, int]]): start and end of each side on n cells; long
    ones a third of their length apart."""
    sides = sorted({max(1, math.floor(share * n + 0.5)) for share in SIDES})
    if n <= 8:
        sides = list(range(1, n + 1))
    spans = []
    for side in sides:
        step = 1 if n <= 8 else max(1, side // 3)
        starts = {*range(0, n - side + 1, step), n - side}
        spans += [(start, start + side) for start in sorted(starts)]
    return spans


def _cells(corners: np.ndarray, rows: int, cols: int) -> np.ndarray:
    """RETURNS (np.ndarray): the cells of each box. Shape: (n, rows * cols), bool"""
    y, x = np.divmod(np.arange(rows * cols), cols)
    left, top, right, bottom = (corners[:, i, None] for i in range(4))
    cells: np.ndarray = (left <= x) & (x < right) & (top <= y) & (y < bottom)
    return cells


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Which regions are worth a slot.

    max_regions (int): of a picture.
    min_area, max_area (float): of a region, as shares of what the encoder sees.
    max_overlap (float): intersection over union with a better region.
    """

    max_regions: int = 8
    min_area: float = 0.03
    max_area: float = 0.7
    max_overlap: float = 0.5

    @property
    def settings(self) -> list[float]:
        """RETURNS (list[float]): the limits, for a finder's settings."""
        return [getattr(self, name) for name in Limits.__slots__]

    def keep(
        self, boxes: Sequence[Box], size: tuple[int, int], min_side: int = MIN_SIDE
    ) -> list[tuple[int, Box]]:
        """The first boxes that are worth a look: not small, not doubled, on the
        picture.

        boxes (Sequence[Box]): best first.
        size (tuple[int, int]): width and height of the picture.
        min_side (int): pixels that a box has at least, in both directions.
        RETURNS (list[tuple[int, Box]]): position among `boxes`, and the box cut to the
            picture.
        """
        import torch
        from torchvision.ops import nms

        cut = [(i, box.within(size)) for i, box in enumerate(boxes)]
        large = [(i, box) for i, box in cut if min(box.width, box.height) >= min_side]
        corners = torch.tensor([box for _, box in large], dtype=torch.float64)
        ranks = -torch.arange(len(large), dtype=torch.float64)
        chosen = nms(corners.reshape(-1, 4), ranks, self.max_overlap)
        return [large[i] for i in chosen[: self.max_regions].tolist()]
