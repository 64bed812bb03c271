"""Objects, faces and scenes of pictures, from one CLIP pass of each and few others."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...images import GivenBox
from ..cache import FeatureCache
from .faces import FaceFinder
from .findings import VisualEvidence
from .objects import GivenRegions, GridRegions, ObjectFinder, PatchRegions
from .scenes import SceneAttributes

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..protocol import PictureReader

PHRASE_BYTES = 1 << 24
"""Vectors of facial phrases that an extractor keeps; there are few different ones."""


VERSION = 1
"""Raised when this package finds something else by unchanged settings and weights."""


class VisualExtractor:
    """Finds what is asked for. Loads nothing until it is called.

    objects, faces, scenes: their finders; None = not looked for.
    """

    def __init__(
        self,
        objects: ObjectFinder | None = None,
        faces: FaceFinder | None = None,
        scenes: SceneAttributes | None = None,
    ) -> None:
        self.objects, self.faces, self.scenes = objects, faces, scenes
        self._phrases = FeatureCache(max_bytes=PHRASE_BYTES)

    @property
    def finds_views(self) -> bool:
        """RETURNS (bool): whether it finds regions that count beside whole pictures,
        see `Region.is_view`."""
        found = self.objects is not None
        return found and not isinstance(self.objects, PatchRegions | GivenRegions)

    @property
    def grid(self) -> GridRegions | None:
        """RETURNS (GridRegions | None): what says where to look, if nothing else is
        looked for: that needs no CLIP."""
        alone = self.faces is None and self.scenes is None
        return self.objects if alone and isinstance(self.objects, GridRegions) else None

    @property
    def fingerprint(self) -> str:
        """RETURNS (str): of all settings and banks, beside those of the encoder."""
        parts: dict[str, Any] = {
            "version": VERSION,
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
        given = [()] * len(images) if boxes is None else boxes
        found: list[VisualEvidence] = []
        for start in range(0, len(images), encoder.batch_size):
            part = slice(start, start + encoder.batch_size)
            found += self._batch(encoder, images[part], given[part])
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
