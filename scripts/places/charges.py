"""What A-Align is tried on where nobody's face is to be seen: parts of flags, told in
words, in the place of faces told in phrases. For `--code`."""

from typing import TYPE_CHECKING, Any

import spacy

from spacy_dwe.encoders.visual.faces import Detection, FaceFinder
from spacy_dwe.encoders.visual.objects import GridRegions

if TYPE_CHECKING:
    from PIL.Image import Image


class ChargeFinder(FaceFinder):
    """Takes the quarters of a picture and its middle for faces: CLIP says of each what
    of a bank it shows, such as "red cross", and the network gets that beside the region
    around it, as it gets "old man, smiling" beside a face."""

    @property
    def settings(self) -> dict[str, Any]:
        return {**super().settings, "detector": "grid"}

    def detect(self, image: "Image") -> list[Detection]:
        return [(box, 1.0) for box in GridRegions.boxes(image.size)]


@spacy.registry.misc("places.ChargeFinder.v1")
def charge_finder(
    bank: str, max_faces: int = 5, min_probability: float = 0.0
) -> ChargeFinder:
    """bank (str): what may stand on a flag, see `encoders.visual.banks`.
    max_faces (int): parts of a picture.
    min_probability (float): of what a part shows, among all of the bank; a part that
        shows nothing is a "face" like any other.
    """
    return ChargeFinder(
        bank=bank, max_faces=max_faces, margin=0.0, min_probability=min_probability
    )
