"""The registered factories of visual attributes. Light: nothing is loaded or read."""

from pathlib import Path

from .banks import FACES, OBJECTS, SCENES
from .faces import FaceFinder
from .objects import DetectorRegions, GivenRegions, Limits, ObjectFinder, PatchRegions
from .scenes import SceneAttributes
from .visual import VisualExtractor


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
