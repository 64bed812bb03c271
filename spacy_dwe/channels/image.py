"""What the pictures of a mention say: their vectors beside those of descriptions and of
the entities' own pictures, in a space of both."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..kb.vectors.sets import DESCRIPTION, IMAGE, SetName
from .base import READ_PICTURES
from .text import best_cosines, standardised

if TYPE_CHECKING:
    from ..kb.candidates import Candidates
    from ..kb.vectors.sets import VectorSet
    from .base import CandidateView, MentionView, Values

CLIP_CROSS_MEAN, CLIP_CROSS_STD = 0.2, 0.04
"""Cosine of a picture and another entity's description in CLIP ViT-B/32's space, for
a KB that has no pictures to measure it on."""


class ImageChannel:
    """The nearest picture of the mention · the description, and · the entity's picture;
    "spacy-dwe.ImageChannel.v1"."""

    columns: Mapping[str, float] = {"picture_description": 1.5, "picture_picture": 1.5}
    reads = (READ_PICTURES,)

    def compute(
        self, mentions: "MentionView", candidates: "Candidates", kb: "CandidateView"
    ) -> "Values":
        values = np.zeros((len(candidates.rows), 2), dtype=np.float32)
        present = np.zeros(values.shape, dtype=bool)
        pictures = mentions.picture_vectors()
        for column, field in enumerate((DESCRIPTION, IMAGE)):
            name = SetName(field, mentions.picture_space or "")
            if name in kb.vector_sets:
                vectors = kb.vector_sets[name]
                best, there = best_cosines(vectors, candidates, pictures)
                own = slice(column, column + 1)
                values[:, own], present[:, own] = standardised(
                    best, there, *_scale(vectors)
                )
        return values, present


def _scale(vectors: "VectorSet") -> tuple[float, float]:
    if vectors.field == IMAGE:
        return vectors.mean, vectors.std
    if vectors.cross_mean is None or vectors.cross_std is None:
        return CLIP_CROSS_MEAN, CLIP_CROSS_STD
    return vectors.cross_mean, vectors.cross_std
