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

import os
MODE=os.environ.get("VM","max")
A_DEVIATION = 1.5
"""What a `PictureScale` says where random pairs would say one deviation."""
CLIP_CROSS_MEAN, CLIP_CROSS_STD = 0.2, 0.04
"""Cosine of a picture and another entity's description in CLIP ViT-B/32's space, for
a KB that has no pictures to measure it on."""


class ImageChannel:
    """The nearest picture of the mention · the description, and · the entity's nearest
    picture; once more where the pictures are the mention's own and not its document's.
    `shown` is how much likelier the pictures are if they show the entity, as a
    logarithm, where the KB's own pictures tell: NIL reads it, see
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
    pictures: Mapping[str, Sequence[np.ndarray]],
) -> tuple[np.ndarray, np.ndarray]:
    """Pictures beside descriptions, and beside pictures of entities: `picture_picture`
    and `shown`. Each is a mean over the spaces that tell.

    vector_sets (Mapping[SetName, VectorSet]): of the KB.
    pictures (Mapping[str, Sequence[np.ndarray]]): unit vectors of each mention's, by
        space. Shape of each: (n_pictures, dim)
    RETURNS (tuple[np.ndarray, np.ndarray]): as `Values`, of three columns.
    """
    values = np.zeros((len(candidates.rows), 3), dtype=np.float32)
    counts = np.zeros(values.shape, dtype=np.int64)
    for space, own in pictures.items():
        for column, field in enumerate((DESCRIPTION, IMAGE)):
            vectors = vector_sets.get(SetName(field, space))
            if vectors is None:
                continue
            if MODE.startswith("boxonly"): own=[o[1:] if len(o)>1 else o for o in own]
            best, there = best_cosines(vectors, candidates, own)
            if MODE=="two" and vectors.scale is not None:
                b1,_=best_cosines(vectors, candidates, [o[:1] for o in own])
                own2=[o[1:] if len(o)>1 else o for o in own]
                b2,_=best_cosines(vectors, candidates, own2)
                sh=np.where(there,(vectors.scale(np.where(there,b1,0))+vectors.scale(np.where(there,b2,0)))/2,0)
                values[:,2]+=sh; counts[:,2]+=there; values[:,column]+=sh/A_DEVIATION; counts[:,column]+=there
                continue
            if MODE.startswith("lme") and vectors.scale is not None:
                a=np.zeros(len(best)); ks=np.array([max(1,len(o)) for o in own])[candidates.mentions]
                for n in range(ks.max()):
                    b, th = best_cosines(vectors, candidates, [o[n:n+1] for o in own])
                    a += np.where(th & (ks>n), np.exp(np.where(th, vectors.scale(np.where(th,b,0)), 0)), 0)
                sh = np.where(there, np.log(np.maximum(a,1e-9)/ks), 0.)
                if MODE=="lme1": sh = np.where(there, np.log(np.maximum(a,1e-9)/np.sqrt(ks)), 0.)
                values[:,2]+=sh; counts[:,2]+=there; values[:,column]+=sh/A_DEVIATION; counts[:,column]+=there
                continue
            if MODE.startswith("maxcorr") and vectors.scale is not None:
                ks=np.array([max(1,len(o)) for o in own])[candidates.mentions]
                sh=np.where(there, vectors.scale(np.where(there,best,0))-float(MODE[7:])*np.log(ks), 0.)
                values[:,2]+=sh; counts[:,2]+=there; values[:,column]+=sh/A_DEVIATION; counts[:,column]+=there
                continue
            if vectors.scale is None:
                said = standardised(best, there, *_scale(vectors))[0][:, 0]
            else:
                shown = np.where(there, vectors.scale(best), 0.0)
                values[:, 2] += shown
                counts[:, 2] += there
                said = shown / A_DEVIATION
            values[:, column] += said
            counts[:, column] += there
    return values / np.maximum(counts, 1), counts > 0


def _scale(vectors: "VectorSet") -> tuple[float, float]:
    if vectors.field == IMAGE:
        return vectors.mean, vectors.std
    if vectors.cross_mean is None or vectors.cross_std is None:
        return CLIP_CROSS_MEAN, CLIP_CROSS_STD
    return vectors.cross_mean, vectors.cross_std
