"""What the pictures of a mention say: their vectors beside those of descriptions and of
the entities' own pictures, in a space of both."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..kb.vectors.sets import DESCRIPTION, IMAGE, SetName
from .base import READ_PICTURES
from .text import best_cosines, standardised

if TYPE_CHECKING:
    from ..kb.candidates import Candidates
    from ..kb.vectors.sets import VectorSet
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
    pictures are if they show the entity, as a logarithm, where the KB's own pictures
    tell: NIL reads it, see `model.combiner`. "spacy-dwe.ImageChannel.v1"."""

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
            said, there = _best_picture(vectors, candidates, own)
            if vectors.scale is not None:
                values[:, 2] += said
                counts[:, 2] += there
                said = said / A_DEVIATION
            values[:, column] += said
            counts[:, column] += there
    return values / np.maximum(counts, 1), counts > 0


def chance(n_views: np.ndarray | int) -> np.ndarray:
    """RETURNS (np.ndarray): what a picture's best view says too much, as a logarithm:
    if one of so many shows the entity, each has that share of the chances. The best of
    several looks like something more often than a single one does."""
    return np.log(np.maximum(n_views, 1))


def _best_picture(
    vectors: "VectorSet", candidates: "Candidates", pictures: Sequence[PictureViews]
) -> tuple[np.ndarray, np.ndarray]:
    """RETURNS (tuple[np.ndarray, np.ndarray]): what the picture that says most for a
    candidate says, as the logarithm of a `PictureScale`, or in deviations without one;
    and whether any does. Shape of each: (n_candidates,)"""
    best = np.full(len(candidates.rows), -np.inf, dtype=np.float32)
    there = np.zeros(len(best), dtype=bool)
    for nth in range(max(map(len, pictures), default=0)):
        views = [own[nth] if nth < len(own) else _NO_VIEWS for own in pictures]
        cosines, known = best_cosines(vectors, candidates, views)
        less = chance(np.array([len(own) for own in views]))[candidates.mentions]
        if vectors.scale is None:
            said = standardised(cosines, known, *_scale(vectors))[0][:, 0]
            less = less / A_DEVIATION
        else:
            said = vectors.scale(cosines)
        best[known] = np.maximum(best, said - less)[known]
        there |= known
    return np.where(there, best, 0.0), there


def _scale(vectors: "VectorSet") -> tuple[float, float]:
    if vectors.field == IMAGE:
        return vectors.mean, vectors.std
    if vectors.cross_mean is None or vectors.cross_std is None:
        return CLIP_CROSS_MEAN, CLIP_CROSS_STD
    return vectors.cross_mean, vectors.cross_std
