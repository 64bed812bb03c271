"""What the pictures of a mention say: their vectors beside those of descriptions and of
the entities' own pictures, in a space of both."""

from collections.abc import Mapping, Sequence
from math import log
from typing import TYPE_CHECKING

import numpy as np

from ..kb.vectors.sets import DESCRIPTION, IMAGE, SetName
from ..kb.vectors.standard import SUREST
from .base import READ_PICTURES
from .text import cosines_of, each_query, standardised

if TYPE_CHECKING:
    from ..kb.candidates import Candidates
    from ..kb.vectors.sets import VectorSet
    from ..kb.vectors.standard import PictureScale
    from .base import CandidateView, MentionView, Values

PictureViews = Sequence[np.ndarray]
"""Unit vectors of the views of each picture of a mention. Shape of each:
(n_views, dim)"""
_NO_VIEWS = np.zeros((0, 0), dtype=np.float32)

A_DEVIATION = 1.5
"""What a `PictureScale` says where random pairs would say one deviation."""
CLIP_CROSS_MEAN, CLIP_CROSS_STD = 0.2, 0.04
"""Cosine of a picture and another entity's description in CLIP ViT-B/32's space, for
a KB that has no pictures to measure it on."""


class ImageChannel:
    """The nearest picture of the mention · the description, and · the entity's nearest
    picture; once more where the pictures are the mention's own and not its document's.
    A picture is as near as the nearest of its views, the whole and its regions, less
    what so many chances are worth, see `chance`. `shown` is how much likelier the
    pictures are if they show the entity, as a logarithm, and below that if they show
    another one better, where the KB's own pictures tell: NIL reads it, see
    `model.combiner`. "spacy-dwe.ImageChannel.v1"."""

    columns: Mapping[str, float] = {
        "picture_description": 1.5,
        "picture_picture": 1.5,
        "own_picture_description": 0.75,
        "own_picture_picture": 0.75,
        "shown": 0.0,
    }
    reads = (READ_PICTURES,)

    def compute(
        self, mentions: "MentionView", candidates: "Candidates", kb: "CandidateView"
    ) -> "Values":
        pictures = {s: mentions.picture_views(s) for s in mentions.picture_spaces}
        values, present = picture_columns(kb.vector_sets, candidates, pictures)
        owned = np.asarray(mentions.owns_pictures, dtype=bool)
        own = owned[candidates.mentions][:, None]
        fits, there = values[:, :2], present[:, :2]
        return (
            np.hstack([fits, fits * own, values[:, 2:]]),
            np.hstack([there, there & own, present[:, 2:]]),
        )


def picture_columns(
    vector_sets: "Mapping[SetName, VectorSet]",
    candidates: "Candidates",
    pictures: Mapping[str, Sequence[PictureViews]],
) -> tuple[np.ndarray, np.ndarray]:
    """Pictures beside descriptions, and beside pictures of entities: `picture_picture`
    and `shown`. Each is a mean over the spaces that tell.

    vector_sets (Mapping[SetName, VectorSet]): of the KB.
    pictures (Mapping[str, Sequence[PictureViews]]): those of each mention, by space.
    RETURNS (tuple[np.ndarray, np.ndarray]): as `Values`, of three columns.
    """
    values = np.zeros((len(candidates.rows), 3), dtype=np.float32)
    counts = np.zeros(values.shape, dtype=np.int64)
    for space, own in pictures.items():
        for column, field in enumerate((DESCRIPTION, IMAGE)):
            vectors = vector_sets.get(SetName(field, space))
            if vectors is None:
                continue
            said, there = _best_view(vectors, candidates, own)
            if vectors.scale is not None:
                values[:, 2] += _shown(vectors, vectors.scale, candidates, own)
                counts[:, 2] += there
            values[:, column] += said
            counts[:, column] += there
    return values / np.maximum(counts, 1), counts > 0


def chance(n_views: int) -> float:
    """RETURNS (float): what the best of a picture's views says too much, as a
    logarithm. If one of so many shows the entity, each has that share of the chances:
    the best of several looks like something more often than a single one does."""
    return log(n_views)


def _best_view(
    vectors: "VectorSet", candidates: "Candidates", pictures: Sequence[PictureViews]
) -> tuple[np.ndarray, np.ndarray]:
    """RETURNS (tuple[np.ndarray, np.ndarray]): what the view that says most for a
    candidate says, in deviations, and whether any does. Shape of each: (n_candidates,)
    """
    best = np.full(len(candidates.rows), -np.inf, dtype=np.float32)
    there = np.zeros(len(best), dtype=bool)
    views, less = _views(pictures)
    for pairs, together, which in each_query(candidates, views):
        rows = candidates.rows[pairs]
        cosines, found = cosines_of(vectors, rows, together, which)
        if vectors.scale is None:
            said = standardised(cosines, found, *_scale(vectors))[0][:, 0]
        else:
            said = vectors.scale(cosines) / A_DEVIATION
        said = np.maximum(best[pairs], said - less[which] / A_DEVIATION)
        best[pairs] = np.where(found, said, best[pairs])
        there[pairs] |= found
    return np.where(there, best, 0.0), there


def _views(pictures: Sequence[PictureViews]) -> tuple[list[np.ndarray], np.ndarray]:
    """RETURNS (tuple): all views of each mention, and what each of them says too much,
    see `chance`. Shapes: (n_views, dim) of each, and (n_views of all,)"""
    together = [np.concatenate(own) if own else _NO_VIEWS for own in pictures]
    counts = [len(views) for own in pictures for views in own]
    less = np.repeat([chance(n) for n in counts], counts).astype(np.float32)
    return together, less


def _shown(
    vectors: "VectorSet",
    scale: "PictureScale",
    candidates: "Candidates",
    pictures: Sequence[PictureViews],
) -> np.ndarray:
    """What pictures say for each candidate, less how much better they show another
    entity of the KB, as far as a cohort of its pictures tells (test normalisation:
    Auckenthaler, Carey & Lloyd-Thomas, 2000, Digital Signal Processing 10).

    RETURNS (np.ndarray): 0 where there is nothing to compare.
        Shape: (n_candidates,), float32
    """
    shown = np.full(len(candidates.rows), -np.inf, dtype=np.float32)
    views, less = _views(pictures)
    for pairs, together, which in each_query(candidates, views):
        rows = candidates.rows[pairs]
        cosines, found = cosines_of(vectors, rows, together, which)
        first, second, row = _nearest_in_cohort(vectors, together)
        other = np.where(row[which] == rows, second[which], first[which])
        behind = np.minimum(scale.slope * (cosines - other), 0.0)
        said = np.maximum(scale(cosines) + behind, -SUREST) - less[which]
        shown[pairs] = np.where(found, np.maximum(shown[pairs], said), shown[pairs])
    return np.where(np.isfinite(shown), shown, 0.0)


def _nearest_in_cohort(
    vectors: "VectorSet", queries: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """RETURNS (tuple): of each query, the highest cosine with a picture of the cohort,
    the highest with one of another entity than that, and the row of the former.
    Shape of each: (n_queries,)"""
    pictures, rows = vectors.cohort
    cosines = queries @ pictures.T
    nearest = cosines.argmax(axis=1)
    row = rows[nearest]
    first = cosines[np.arange(len(queries)), nearest]
    second = np.where(rows == row[:, None], -1.0, cosines).max(axis=1)
    return first, second, row


def _scale(vectors: "VectorSet") -> tuple[float, float]:
    if vectors.field == IMAGE:
        return vectors.mean, vectors.std
    if vectors.cross_mean is None or vectors.cross_std is None:
        return CLIP_CROSS_MEAN, CLIP_CROSS_STD
    return vectors.cross_mean, vectors.cross_std
