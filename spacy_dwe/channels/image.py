"""What the pictures of a mention say: their vectors beside those of descriptions and of
the entities' own pictures, in a space of both."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..kb.vectors.sets import DESCRIPTION, IMAGE, SetName
from ..kb.vectors.standard import SUREST
from .base import READ_PICTURES
from .text import cosines_of

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
            said, shown, there = _best_view(vectors, candidates, own)
            if shown is not None:
                values[:, 2] += shown
                counts[:, 2] += there
            values[:, column] += said
            counts[:, column] += there
    return values / np.maximum(counts, 1), counts > 0


def chance(n_views: np.ndarray | int) -> np.ndarray:
    """RETURNS (np.ndarray): what a picture's best view says too much, as a logarithm:
    if one of so many shows the entity, each has that share of the chances. The best of
    several looks like something more often than a single one does."""
    return np.log(np.maximum(n_views, 1))


def _best_view(
    vectors: "VectorSet", candidates: "Candidates", pictures: Sequence[PictureViews]
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """What the view that says most for a candidate says.

    RETURNS (tuple): in deviations; as `shown`, None without a `PictureScale`; and
        whether there is one. Shape of each: (n_candidates,)
    """
    scale, (mean, std) = vectors.scale, _scale(vectors)
    best = np.full(len(candidates.rows), -np.inf, dtype=np.float32)
    shown = best.copy()
    there = np.zeros(len(best), dtype=bool)
    n_views = [len(views) for own in pictures for views in own]
    less = np.repeat(chance(np.array(n_views, dtype=np.int64)), n_views)
    joined = [np.concatenate(own) if len(own) else _NO_VIEWS for own in pictures]
    cohort = None
    for pairs, views, which in _each_view(candidates, joined):
        rows = candidates.rows[pairs]
        cosines, found = cosines_of(vectors, rows, views, which)
        if scale is None:
            said = (cosines - mean) / std - less[which] / A_DEVIATION
        else:
            said = scale(cosines) - less[which]
            if cohort is None:
                cohort = _Cohort(vectors, views)
            behind = scale.slope * (cosines - cohort.nearest(which, rows))
            _raise(shown, pairs, said + np.minimum(behind, 0.0), found)
            said = said / A_DEVIATION
        _raise(best, pairs, said, found)
        there[pairs] |= found
    shown = np.where(there, np.maximum(shown, -SUREST), 0.0)
    return np.where(there, best, 0.0), None if scale is None else shown, there


def _each_view(
    candidates: "Candidates", views: Sequence[np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Compare every candidate with every view of its mention.

    views (Sequence[np.ndarray]): of each mention. Shape of each: (n_views, dim)
    YIELDS (tuple): for the first view of each mention, the second and so on: which
        candidates have one to be compared with, (n,); all views, (n_views, dim); and
        which of them each is compared with, (n,).
    """
    owners = candidates.mentions
    counts = np.array([len(own) for own in views])
    if not counts.sum():
        return
    together = np.concatenate([own for own in views if len(own)])
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    for nth in range(counts.max()):
        pairs = np.flatnonzero(counts[owners] > nth)
        yield pairs, together, first[owners[pairs]] + nth


def _raise(
    highest: np.ndarray, where: np.ndarray, to: np.ndarray, which: np.ndarray
) -> None:
    """Raise some of the highest numbers so far, where there are higher ones."""
    highest[where] = np.where(which, np.maximum(highest[where], to), highest[where])


class _Cohort:
    """How like pictures are to other entities of the KB, as far as some of its pictures
    tell: what shows another one better does not show a candidate (test normalisation:
    Auckenthaler, Carey & Lloyd-Thomas, 2000, Digital Signal Processing 10).

    vectors (VectorSet): of the KB.
    views (np.ndarray): of pictures. Shape: (n_views, dim)
    """

    def __init__(self, vectors: "VectorSet", views: np.ndarray) -> None:
        pictures, rows = vectors.cohort
        cosines = views @ pictures.T
        nearest = cosines.argmax(axis=1)
        self._row = rows[nearest]
        self._first = cosines[np.arange(len(views)), nearest]
        of_others = np.where(rows == self._row[:, None], -1.0, cosines)
        self._second = of_others.max(axis=1)

    def nearest(self, views: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """RETURNS (np.ndarray): cosine of each view with the nearest picture of another
        entity than the one beside it. Shape: (n,)"""
        own = self._row[views] == rows
        return np.where(own, self._second[views], self._first[views])


def _scale(vectors: "VectorSet") -> tuple[float, float]:
    if vectors.field == IMAGE:
        return vectors.mean, vectors.std
    if vectors.cross_mean is None or vectors.cross_std is None:
        return CLIP_CROSS_MEAN, CLIP_CROSS_STD
    return vectors.cross_mean, vectors.cross_std
