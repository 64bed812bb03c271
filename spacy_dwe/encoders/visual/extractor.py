"""Objects, faces and scenes of pictures, from one CLIP pass of each and few others."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...images import GivenBox
from ..cache import FeatureCache
from .banks import FACES, OBJECTS, SCENES
from .boxes import Limits
from .faces import FaceFinder
from .findings import VisualEvidence
from .objects import DetectorRegions, GivenRegions, ObjectFinder, PatchRegions
from .scenes import SceneAttributes

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..protocol import PictureReader
    from .objects import ObjectFinder

PHRASE_BYTES = 1 << 24
"""Vectors of facial phrases that an extractor keeps; there are few different ones."""


class VisualExtractor:
    """Finds what is asked for. Loads nothing until it is called.

    objects, faces, scenes: their finders; None = not looked for.
    """

    def __init__(
        self,
        objects: "ObjectFinder | None" = None,
        faces: "FaceFinder | None" = None,
        scenes: "SceneAttributes | None" = None,
    ) -> None:
        self.objects, self.faces, self.scenes = objects, faces, scenes
        self._phrases = FeatureCache(max_bytes=PHRASE_BYTES)

    @property
    def fingerprint(self) -> str:
        """RETURNS (str): of all settings and banks, beside those of the encoder."""
        parts: dict[str, Any] = {
            "objects": self.objects and self.objects.settings,
            "faces": self.faces and self.faces.settings,
            "scenes": self.scenes and self.scenes.settings,
        }
        return json.dumps(parts, sort_keys=True)

    def __call__(
        self,
        encoder: "PictureReader",
        images: "Sequence[Image]",
        boxes: Sequence[Sequence[GivenBox]] | None = None,
    ) -> list[VisualEvidence]:
        """
        encoder (PictureReader): CLIP.
        images (Sequence[Image]): decoded RGB pictures.
        boxes (Sequence | None): the caller's boxes of each picture.
        RETURNS (list[VisualEvidence]): one a picture; it does not depend on the others.
        """
        found: list[VisualEvidence] = []
        for start in range(0, len(images), encoder.batch_size):
            some = images[start : start + encoder.batch_size]
            given: Sequence[Sequence[GivenBox]] = [()] * len(some)
            if boxes is not None:
                given = boxes[start : start + len(some)]
            found += self._batch(encoder, some, given)
        return found

    def _batch(
        self,
        encoder: "PictureReader",
        images: "Sequence[Image]",
        given: Sequence[Sequence[GivenBox]],
    ) -> list[VisualEvidence]:
        batch = encoder.encode_pictures(images)
        regions: Sequence[Sequence[Any]] = [()] * len(images)
        faces: Sequence[Sequence[Any]] = regions
        scenes: Sequence[Sequence[Any]] = regions
        if self.objects is not None:
            regions = self.objects(encoder, images, batch, given)
        if self.faces is not None:
            faces = self.faces(encoder, images, self._phrases)
        if self.scenes is not None:
            scenes = self.scenes(encoder, batch.pooled)
        rows = zip(images, batch.pooled, regions, faces, scenes, strict=True)
        return [
            VisualEvidence(image.size, pooled.copy(), *map(tuple, parts))
            for image, pooled, *parts in rows
        ]


def visual_extractor(
    objects: ObjectFinder | None = None,
    faces: FaceFinder | None = None,
    scenes: SceneAttributes | None = None,
) -> VisualExtractor:
    """What to look for on pictures; each part is off unless its block is there."""
    return VisualExtractor(objects, faces, scenes)


def patch_regions(
    bank: str | None = None,
    max_regions: int = 8,
    min_area: float = 0.03,
    max_area: float = 0.7,
    max_overlap: float = 0.5,
    min_score: float = 0.2,
) -> PatchRegions:
    """Regions from CLIP's own patches; see `objects.PatchRegions` and `Limits`.

    bank (str | None): file with words for regions; None = the one in this package.
    """
    limits = Limits(
        max_regions=max_regions,
        min_area=min_area,
        max_area=max_area,
        max_overlap=max_overlap,
    )
    return PatchRegions(bank=_path(bank, OBJECTS), limits=limits, min_score=min_score)


def detector_regions(
    model: str,
    weights: str | None = "DEFAULT",
    bank: str | None = None,
    max_regions: int = 8,
    max_overlap: float = 0.7,
    min_score: float = 0.5,
) -> DetectorRegions:
    """Regions of a torchvision detector; see `objects.DetectorRegions`.

    model (str): torchvision's name of a detector.
    weights (str | None): a file, or a name of torchvision's weights.
    bank (str | None): file with words for regions; None = the one in this package.
    """
    return DetectorRegions(
        model,
        weights,
        bank=_path(bank, OBJECTS),
        limits=Limits(max_regions=max_regions, max_overlap=max_overlap),
        min_score=min_score,
    )


def given_regions(bank: str | None = None, max_regions: int = 8) -> GivenRegions:
    """Only boxes that come with a picture. The other finders take these too, where a
    picture has any, in place of what they find.

    bank (str | None): file with words for regions; None = the one in this package.
    """
    limits = Limits(max_regions=max_regions, max_overlap=0.9)
    return GivenRegions(bank=_path(bank, OBJECTS), limits=limits)


def face_finder(
    detector: str | None = None,
    bank: str | None = None,
    max_faces: int = 4,
    margin: float = 0.4,
    min_probability: float = 0.4,
) -> FaceFinder:
    """Faces and a phrase for each (extra `faces`); see `faces.FaceFinder`.

    detector (str | None): YuNet's model file; None = OpenCV's frontal cascade.
    bank (str | None): file of attributes; None = the one in this package.
    """
    return FaceFinder(
        Path(detector).expanduser() if detector else None,
        bank=_path(bank, FACES),
        max_faces=max_faces,
        margin=margin,
        min_probability=min_probability,
    )


def scene_attributes(
    bank: str | None = None, top_k: int = 5, margin: float = 1.5
) -> SceneAttributes:
    """Adjective-noun pairs and kinds of places; see `scenes.SceneAttributes`.

    bank (str | None): file with them; None = the one in this package.
    """
    return SceneAttributes(_path(bank, SCENES), top_k=top_k, margin=margin)


def _path(bank: str | None, default: Path) -> Path:
    return default if bank is None else Path(bank).expanduser()
