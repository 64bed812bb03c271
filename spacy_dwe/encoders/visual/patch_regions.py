"""Boxes of patches that stand out from what is around them; all that needs torch."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .boxes import GridBoxes, grid_boxes

if TYPE_CHECKING:
    from .boxes import Limits

MAX_ELEMENTS = 1 << 24
"""Of an array of boxes by patches, for the pictures that are worked on together."""

MIN_VARIANCE = 1e-5
"""Of the unit vectors of the patches in a window: below, it shows nothing, and what
differs is rounding."""

MIN_LENGTH = 0.05
"""Of the difference between the unit vectors of a patch and of its blank."""

EDGE = 0.15
"""Share of its score that a box loses for each side on the edge of the grid."""

Found = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Corners in cells (k, 4), scores (k,) and unit vectors (k, dim) of a picture."""


def best_boxes(
    patches: Tensor, blank: Tensor | None, limits: "Limits", min_score: float
) -> list[Found]:
    """The best boxes of each picture, none overlapping a better one too much; some more
    than will be kept, as padding and cropped sides take some away.

    patches (Tensor): unit vectors. Shape: (batch, rows, cols, dim), float32
    blank (Tensor | None): those of a plain picture. Shape: (rows, cols, dim), float32
    """
    rows, cols = patches.shape[1:3]
    boxes = grid_boxes(rows, cols, limits.min_area, limits.max_area)
    if not len(boxes.corners) or not len(patches):
        dim = patches.shape[-1]
        nothing = np.zeros((0, 4)), np.zeros(0), np.zeros((0, dim), dtype=np.float32)
        return [nothing] * len(patches)
    size = max(1, MAX_ELEMENTS // boxes.contrast.size)
    by_place = 0.0 if blank is None else blank.flatten(0, 1)
    return [
        found
        for some in patches.flatten(1, 2).split(size)
        for found in _best(some, by_place, boxes, limits, min_score)
    ]


def _best(
    patches: Tensor,
    by_place: Tensor | float,
    boxes: GridBoxes,
    limits: "Limits",
    min_score: float,
) -> list[Found]:
    """patches (Tensor): Shape: (batch, rows * cols, dim)"""
    device = patches.device
    contrast, window, share, edges = (
        torch.from_numpy(array).to(device)
        for array in (boxes.contrast, boxes.window, boxes.share, boxes.edges)
    )
    with torch.inference_mode():
        shown = _unlike_blank(patches - by_place)
        gram = shown @ shown.transpose(1, 2)
        between = share * (1 - share) * _quadratic(contrast, gram)
        own = gram.diagonal(dim1=1, dim2=2) @ window.T
        total = own - _quadratic(window, gram)
        scores = torch.where(total > MIN_VARIANCE, between / total, 0.0)
        scores = scores * (1 - EDGE * edges)
        n = 2 * limits.max_regions
        chosen, values = _greedy(scores, boxes.overlaps, limits.max_overlap, n)
        vectors = F.normalize(contrast.clamp(min=0)[chosen] @ patches, dim=-1)
    chosen_rows, all_values = chosen.cpu().numpy(), values.cpu().numpy()
    results = []
    for picks, own, means in zip(chosen_rows, all_values, vectors.cpu().numpy()):
        good = own >= min_score
        results.append((boxes.corners[picks[good]], own[good], means[good].copy()))
    return results


def _unlike_blank(patches: Tensor) -> Tensor:
    """Unit vectors, but zeros for patches that show nothing."""
    lengths = patches.norm(dim=-1, keepdim=True)
    return torch.where(lengths > MIN_LENGTH, patches / lengths, 0.0)


def _quadratic(weights: Tensor, gram: Tensor) -> Tensor:
    """RETURNS (Tensor): w · G · w of each row of weights. Shape: (batch, n)"""
    return ((weights @ gram) * weights).sum(dim=-1)


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
