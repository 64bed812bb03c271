"""What was found on a picture: vectors for the network, words for people."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .boxes import Box


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the picture that stands out.

    box (Box): in pixels of the upright picture.
    score (float): how sure the finder is, from 0 to 1; 1 for a box that was given.
    words (str): the label that came with the box, else the nearest entry of the bank
        of objects; empty where there is neither.
    similarity (float): cosine of region and words.
    vector (np.ndarray): unit image vector in CLIP's space. Shape: (dim,), float32
    source (str): "patches" (the vector is the mean of the patches in the box), or
        "detector", "grid" and "given" (it is that of the crop).
    """

    box: Box
    score: float
    words: str
    similarity: float
    vector: np.ndarray
    source: str

    @property
    def is_view(self) -> bool:
        """RETURNS (bool): whether its vector is that of a picture, as entities have
        them. Patches that were no picture misled more often than they told."""
        return self.source != "patches"


class Attribute(NamedTuple):
    """What one group of the bank of faces says: its most probable words."""

    group: str
    words: str
    probability: float


@dataclass(frozen=True, slots=True)
class Face:
    """
    box (Box): the face alone, in pixels of the upright picture.
    score (float): of the detector, in its own measure.
    phrase (str): such as "old man, smiling, glasses".
    attributes (tuple[Attribute, ...]): what the phrase is made of.
    vector (np.ndarray): unit text vector of the phrase. Shape: (dim,), float32
    crop (np.ndarray): unit image vector of the face with its margin. Shape: as vector
    """

    box: Box
    score: float
    phrase: str
    attributes: tuple[Attribute, ...]
    vector: np.ndarray
    crop: np.ndarray


@dataclass(frozen=True, slots=True)
class Scene:
    """
    words (str): adjective and noun, or a kind of place.
    kind (str): the group of the bank that they are of.
    score (float): by how many deviations the picture is nearer to the words than to
        the mean of their group.
    similarity (float): cosine of picture and words.
    vector (np.ndarray): unit text vector of the words. Shape: (dim,), float32
    """

    words: str
    kind: str
    score: float
    similarity: float
    vector: np.ndarray


@dataclass(frozen=True, slots=True)
class PictureSlots:
    """A picture as the network takes it: S ≥ 1 slots, K ≥ 0 scene attributes.

    objects (np.ndarray): image vectors. Shape: (S, dim), float32
    faces (np.ndarray): text vectors of facial phrases, zeros where the mask is False.
        Shape: (S, dim), float32
    face_mask (np.ndarray): slots with a face. Shape: (S,), bool
    scenes (np.ndarray): text vectors. Shape: (K, dim), float32
    """

    objects: np.ndarray
    faces: np.ndarray
    face_mask: np.ndarray
    scenes: np.ndarray


@dataclass(frozen=True, slots=True)
class VisualEvidence:
    """All that was found on one picture.

    size (tuple[int, int]): width and height of the upright picture in pixels.
    pooled (np.ndarray): unit vector of the whole picture. Shape: (dim,), float32
    """

    size: tuple[int, int]
    pooled: np.ndarray
    regions: tuple[Region, ...] = ()
    faces: tuple[Face, ...] = ()
    scenes: tuple[Scene, ...] = ()

    def slots(self) -> PictureSlots:
        """Pair faces with regions: a face goes to the smallest region that holds its
        centre, the one with the higher score first; a face without a region, or whose
        region has a face, opens a slot with its own crop. A picture on which no region
        was found is one region as a whole."""
        dim = len(self.pooled)
        whole = Box(0, 0, *self.size)
        parts = [(r.box, r.vector) for r in self.regions] or [(whole, self.pooled)]
        objects = [vector for _, vector in parts]
        paired: dict[int, np.ndarray] = {}
        for face in sorted(self.faces, key=lambda face: -face.score):
            around = [
                i
                for i, (box, _) in enumerate(parts)
                if i not in paired and box.holds(face.box.centre)
            ]
            if around:
                slot = min(around, key=lambda i: parts[i][0].area)
            else:
                slot = len(objects)
                objects.append(face.crop)
            paired[slot] = face.vector
        faces = np.zeros((len(objects), dim), dtype=np.float32)
        mask = np.zeros(len(objects), dtype=bool)
        for slot, vector in paired.items():
            faces[slot], mask[slot] = vector, True
        scenes = [scene.vector for scene in self.scenes]
        return PictureSlots(_stacked(objects, dim), faces, mask, _stacked(scenes, dim))

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """RETURNS (tuple[dict[str, Any], dict[str, np.ndarray]]): everything but the
        vectors, JSON, and the vectors."""
        vectors = [region.vector for region in self.regions]
        vectors += [v for face in self.faces for v in (face.vector, face.crop)]
        vectors += [scene.vector for scene in self.scenes]
        found = _stacked(vectors, len(self.pooled))
        said = {
            "size": list(self.size),
            "regions": [
                [*r.box, r.score, r.words, r.similarity, r.source] for r in self.regions
            ],
            "faces": [
                [*face.box, face.score, face.phrase, [list(a) for a in face.attributes]]
                for face in self.faces
            ],
            "scenes": [[s.words, s.kind, s.score, s.similarity] for s in self.scenes],
        }
        return said, {"pooled": self.pooled, "found": found}

    @classmethod
    def from_arrays(
        cls, said: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> "VisualEvidence":
        """said, arrays: what `to_arrays` gave.
        RETURNS (VisualEvidence): the same."""
        vectors = iter(arrays["found"])
        width, height = said["size"]
        return cls(
            size=(width, height),
            pooled=arrays["pooled"],
            regions=tuple(
                Region(Box(*box), score, words, similarity, next(vectors), source)
                for *box, score, words, similarity, source in said["regions"]
            ),
            faces=tuple(
                Face(
                    Box(*box),
                    score,
                    phrase,
                    tuple(Attribute(*each) for each in attributes),
                    vector=next(vectors),
                    crop=next(vectors),
                )
                for *box, score, phrase, attributes in said["faces"]
            ),
            scenes=tuple(
                Scene(words, kind, score, similarity, next(vectors))
                for words, kind, score, similarity in said["scenes"]
            ),
        )

    @property
    def nbytes(self) -> int:
        """RETURNS (int): memory of its vectors."""
        n_vectors = 1 + len(self.regions) + 2 * len(self.faces) + len(self.scenes)
        return n_vectors * self.pooled.nbytes

    def words(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): what was found without its vectors, JSON."""
        return {
            "size": list(self.size),
            "regions": [
                {
                    "box": [round(x) for x in region.box],
                    "words": region.words,
                    "score": round(region.score, 3),
                    "similarity": round(region.similarity, 3),
                    "source": region.source,
                }
                for region in self.regions
            ],
            "faces": [
                {
                    "box": [round(x) for x in face.box],
                    "phrase": face.phrase,
                    "score": round(face.score, 3),
                    "attributes": {
                        a.group: [a.words, round(a.probability, 3)]
                        for a in face.attributes
                    },
                }
                for face in self.faces
            ],
            "scenes": [
                {
                    "words": scene.words,
                    "kind": scene.kind,
                    "score": round(scene.score, 3),
                    "similarity": round(scene.similarity, 3),
                }
                for scene in self.scenes
            ],
        }


def _stacked(vectors: list[np.ndarray], dim: int) -> np.ndarray:
    if not vectors:
        return np.zeros((0, dim), dtype=np.float32)
    return np.stack(vectors).astype(np.float32)
