"""Faces, found by OpenCV and told in a phrase that CLIP chooses from a bank."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import DweError, Errors
from .banks import FACES, Bank, bank_vectors, file_digest, read_bank
from .boxes import Box, Limits, part_of
from .findings import Attribute, Face

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..cache import FeatureCache
    from ..protocol import PictureReader

CASCADE = "haarcascade_frontalface_alt2.xml"
"""Ships inside OpenCV 4."""

CASCADE_SIDE = 512
"""Longer side of what the cascade looks at: faces below some 24 pixels there show no
attribute, and time grows with the area."""

MAX_ZOOM = 2.0
"""Scaled up further, blocks of a JPEG begin to look like faces."""

MIN_FACE = 20
"""Pixels of the picture; a smaller face shows no attribute."""

CASCADE_STEP = 1.1
CASCADE_NEIGHBOURS = 4
CASCADE_FACE = 24
CASCADE_SCORE = 55.0
"""Of the last stage; on portraits faces have more, on drawn flags what looks like one
has less."""

YUNET_SIDE = 640
YUNET_SCORE = 0.7

MAX_OVERLAP = 0.3
"""Of two boxes of one detector; above, they are of one face."""

MAX_ASPECT = 16
"""No detector is asked about pictures longer than this many times their width."""

Detection = tuple[Box, float]


class FaceFinder:
    """Finds faces and says what they look like.

    The phrase has the words of each group of the bank in turn, if its best entry is
    probable enough among the group's; an entry without words keeps a group silent.

    detector (str | Path | None): YuNet's model file (.onnx), better on turned and small
        faces; None = the frontal cascade that ships inside OpenCV.
    bank (str | Path | None): file of attributes; None = the one in this package.
    max_faces (int): of a picture, largest first.
    margin (float): around a face on each side, as a share of its box, so that hair,
        beard and hat are seen.
    min_probability (float): of the words of a group.
    """

    def __init__(
        self,
        detector: str | Path | None = None,
        bank: str | Path | None = None,
        max_faces: int = 4,
        margin: float = 0.4,
        min_probability: float = 0.4,
    ) -> None:
        self.detector = Path(detector).expanduser() if detector else None
        self.bank = bank or FACES
        self.max_faces, self.margin = max_faces, margin
        self.min_probability = min_probability
        self._local = threading.local()

    def __reduce__(self) -> tuple[Any, ...]:
        state = (self.detector, self.bank, self.max_faces, self.margin)
        return type(self), (*state, self.min_probability)

    @property
    def settings(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): all that shapes the outcome, JSON."""
        return {
            "detector": file_digest(self.detector) if self.detector else CASCADE,
            "bank": read_bank(self.bank).fingerprint,
            "max_faces": self.max_faces,
            "margin": self.margin,
            "min_probability": self.min_probability,
        }

    def __call__(
        self,
        encoder: "PictureReader",
        images: "Sequence[Image]",
        texts: "FeatureCache",
    ) -> list[tuple[Face, ...]]:
        """
        images (Sequence[Image]): decoded RGB pictures.
        texts (FeatureCache): keeps the vectors of phrases.
        RETURNS (list[tuple[Face, ...]]): of each picture, largest first.
        """
        detected = [self.detect(image) for image in images]
        crops = [
            part_of(image, box.grown(self.margin))
            for image, faces in zip(images, detected)
            for box, _ in faces
        ]
        if not crops:
            return [()] * len(images)
        vectors = encoder.encode_images(crops)
        bank = read_bank(self.bank)
        attributes = self._attributes(encoder, bank, vectors)
        phrases = [phrase(own) for own in attributes]
        spoken = texts.texts(encoder, phrases)
        rows = iter(range(len(crops)))
        return [
            tuple(
                Face(box, score, phrases[i], attributes[i], spoken[i], vectors[i])
                for (box, score), i in zip(faces, rows)
            )
            for faces in detected
        ]

    def detect(self, image: "Image") -> list[Detection]:
        """RETURNS (list[tuple[Box, float]]): boxes in pixels of the picture, largest
        first, and the detector's scores."""
        width, height = image.size
        if min(width, height) < 2 or max(width, height) > MAX_ASPECT * min(
            width, height
        ):
            return []
        found = self._by_yunet(image) if self.detector else self._by_cascade(image)
        found.sort(key=lambda detection: (-detection[0].area, detection[0]))
        limits = Limits(max_regions=self.max_faces, max_overlap=MAX_OVERLAP)
        faces = limits.keep([box for box, _ in found], image.size, MIN_FACE)
        return [(box, found[i][1]) for i, box in faces]

    def _by_cascade(self, image: "Image") -> list[Detection]:
        cv2 = _opencv()
        if not hasattr(self._local, "cascade"):
            # Not safe to share between threads.
            path = Path(cv2.data.haarcascades) / CASCADE
            self._local.cascade = cv2.CascadeClassifier(str(path))
        size = _fitted(image.size, min(MAX_ZOOM, CASCADE_SIDE / max(image.size)))
        grey = cv2.equalizeHist(np.asarray(image.convert("L").resize(size)))
        boxes, _, weights = self._local.cascade.detectMultiScale3(
            grey,
            scaleFactor=CASCADE_STEP,
            minNeighbors=CASCADE_NEIGHBOURS,
            minSize=(CASCADE_FACE, CASCADE_FACE),
            outputRejectLevels=True,
        )
        return [
            (_scaled(box, image.size, size), float(weight))
            for box, weight in zip(boxes, np.ravel(weights))
            if weight >= CASCADE_SCORE
        ]

    def _by_yunet(self, image: "Image") -> list[Detection]:
        detector = self._yunet()
        size = _fitted(image.size, min(1.0, YUNET_SIDE / max(image.size)))
        detector.setInputSize(size)
        pixels = np.ascontiguousarray(np.asarray(image.resize(size))[:, :, ::-1])
        _, rows = detector.detect(pixels)
        if rows is None:
            return []
        return [(_scaled(row[:4], image.size, size), float(row[-1])) for row in rows]

    def _yunet(self) -> Any:
        if not hasattr(self._local, "yunet"):
            cv2, path = _opencv(), Path(self.detector or "")
            if not path.is_file():
                raise DweError(Errors.E001.format(path=path))
            try:
                made = cv2.FaceDetectorYN.create(str(path), "", (64, 64), YUNET_SCORE)
            except cv2.error as error:
                reason = " ".join(str(error).split())[:300]
                raise DweError(Errors.E207.format(path=path, reason=reason)) from None
            self._local.yunet = made
        return self._local.yunet

    def _attributes(
        self, encoder: "PictureReader", bank: Bank, vectors: np.ndarray
    ) -> list[tuple[Attribute, ...]]:
        """vectors (np.ndarray): of the crops. Shape: (n, dim)"""
        logits = encoder.logit_scale * (vectors @ bank_vectors(encoder, bank).T)
        chosen: list[list[Attribute]] = [[] for _ in vectors]
        for name, group in bank.groups.items():
            for own, row in zip(chosen, _softmax(logits[:, group])):
                best = int(row.argmax())
                sure = row[best] >= self.min_probability
                words = bank.entries[group.start + best].words if sure else ""
                own.append(Attribute(name, words, float(row[best])))
        return [tuple(own) for own in chosen]


def phrase(attributes: Sequence[Attribute]) -> str:
    """RETURNS (str): such as "old man, smiling, glasses"; "face" where no group has
    anything to say."""
    words = [attribute.words for attribute in attributes if attribute.words]
    return ", ".join(words) or "face"


def _fitted(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _scaled(box: Any, size: tuple[int, int], seen: tuple[int, int]) -> Box:
    x, y, width, height = (float(value) for value in box)
    across, down = size[0] / seen[0], size[1] / seen[1]
    return Box(x * across, y * down, (x + width) * across, (y + height) * down)


def _softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: np.ndarray = shifted / shifted.sum(axis=-1, keepdims=True)
    return probabilities


def _opencv() -> Any:
    try:
        import cv2
    except ImportError:
        raise DweError(Errors.E206) from None
    if not hasattr(cv2, "CascadeClassifier"):
        raise DweError(Errors.E206)
    return cv2
