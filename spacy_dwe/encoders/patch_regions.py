"""Boxes of patches that stand out from what is around them; all that needs torch."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .boxes import GridBoxes, grid_boxes

if TYPE_CHECKING:
    from .objects import Limits

MAX_ELEMENTS = 1 << 24
"""Of an array of boxes by patches, for the pictures that are worked on together."""

MIN_VARIANCE = 1e-3
"""Of the unit vectors of the patches in a window: below, it shows nothing, and what
differs is rounding."""

Found = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Corners in cells (k, 4), scores (k,) and unit vectors (k, dim) of a picture."""


def best_boxes(
    patches: Tensor, limits: "Limits", min_score: float, n: int
) -> list[Found]:
    """The best boxes of each picture, none overlapping a better one too much.

    patches (Tensor): unit vectors. Shape: (batch, rows, cols, dim), float32
    n (int): at most, of a picture.
    """
    rows, cols = patches.shape[1:3]
    boxes = grid_boxes(rows, cols, limits.min_area, limits.max_area)
    if not len(boxes.corners) or not len(patches):
        dim = patches.shape[-1]
        nothing = np.zeros((0, 4)), np.zeros(0), np.zeros((0, dim), dtype=np.float32)
        return [nothing] * len(patches)
    size = max(1, MAX_ELEMENTS // boxes.contrast.size)
    return [
        found
        for some in patches.flatten(1, 2).split(size)
        for found in _best(some, boxes, limits.max_overlap, min_score, n)
    ]


def _best(
    patches: Tensor, boxes: GridBoxes, max_overlap: float, min_score: float, n: int
) -> list[Found]:
    """patches (Tensor): Shape: (batch, rows * cols, dim)"""
    device = patches.device
    contrast, window, share = (
        torch.from_numpy(array).to(device)
        for array in (boxes.contrast, boxes.window, boxes.share)
    )
    with torch.inference_mode():
        gram = patches @ patches.transpose(1, 2)
        between = share * (1 - share) * _quadratic(contrast, gram)
        total = 1 - _quadratic(window, gram)
        scores = torch.where(total > MIN_VARIANCE, between / total, 0.0)
        chosen, values = _greedy(scores, boxes.overlaps, max_overlap, n)
        inside = torch.from_numpy(_inside(boxes)).to(device)
        vectors = F.normalize(inside[chosen] @ patches, dim=-1)
    chosen_rows, all_values = chosen.cpu().numpy(), values.cpu().numpy()
    results = []
    for picks, own, means in zip(chosen_rows, all_values, vectors.cpu().numpy()):
        good = own >= min_score
        results.append((boxes.corners[picks[good]], own[good], means[good].copy()))
    return results


def _quadratic(weights: Tensor, gram: Tensor) -> Tensor:
    """RETURNS (Tensor): w · G · w of each row of weights. Shape: (batch, n)"""
    return ((weights @ gram) * weights).sum(dim=-1)


def _inside(boxes: GridBoxes) -> np.ndarray:
    return np.maximum(boxes.contrast, 0)


def _greedy(
    scores: Tensor, overlaps: np.ndarray, max_overlap: float, n: int
) -> tuple[Tensor, Tensor]:
    """RETURNS (tuple[Tensor, Tensor]): positions and scores of the best, in all
    pictures at once; a score of -1 where no box is left. Shapes: (batch, n)"""
    near = torch.from_numpy(overlaps > max_overlap).to(scores.device)
    near.fill_diagonal_(True)
    picks, values = [], []
    for _ in range(min(n, scores.shape[1])):
        best, position = scores.max(dim=1)
        picks.append(position)
        values.append(best)
        scores = scores.masked_fill(near[position], -1.0)
    return torch.stack(picks, dim=1), torch.stack(values, dim=1)
