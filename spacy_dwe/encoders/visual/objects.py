"""Finders of regions on pictures: by CLIP's own patches, by a detector of torchvision,
or as the caller says."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from PIL.Image import Image

from ...errors import DweError, Errors
from ...images import GivenBox
from .banks import OBJECTS, bank_vectors, file_digest, read_bank
from .boxes import Box, Limits, part_of
from .findings import Region
from .patch_regions import best_boxes

if TYPE_CHECKING:
    from ..protocol import PictureBatch, PictureReader

BATCH = 4
"""Pictures in one pass; detectors scale each to some 800 pixels."""

GRID = ((0, 0), (0.5, 0), (0, 0.5), (0.5, 0.5), (0.25, 0.25))
"""Left and top of the regions of `GridRegions`, as shares of the picture's sides; each
has half of these."""

CROP_GRID = 4
"""Rows and columns of crops that stand in for patches where a tower has none."""

CROP_REACH = 0.5
"""How far such a crop reaches beyond its cell, as a share of the cell's side."""


@runtime_checkable
class ObjectFinder(Protocol):
    """Finds regions on pictures, best first, at most a bounded number of each. On a
    picture that comes with boxes, these are its regions."""

    @property
    def settings(self) -> dict[str, Any]:
        """All that shapes the outcome, JSON."""
        ...

    def __call__(
        self,
        encoder: "PictureReader",
        images: "Sequence[Image]",
        batch: "PictureBatch",
        given: Sequence[Sequence[GivenBox]],
    ) -> list[list[Region]]:
        """
        images (Sequence[Image]): decoded RGB pictures.
        batch (PictureBatch): what the encoder said of them.
        given (Sequence[Sequence[GivenBox]]): the caller's boxes of each.
        """
        ...


class _Finder:
    """What the finders share: where a picture comes with boxes, these stand in place of
    what is found; and each region has the words of a label or of the bank."""

    kind: ClassVar[str]
    bank: str | Path | None

    @property
    def limits(self) -> Limits:
        """RETURNS (Limits): those that the finder has as attributes, and defaults."""
        own = [name for name in Limits.__slots__ if hasattr(self, name)]
        return Limits(**{name: getattr(self, name) for name in own})

    @property
    def settings(self) -> dict[str, Any]:
        bank = read_bank(self.bank or OBJECTS).fingerprint
        return {"finder": self.kind, "bank": bank, "limits": self.limits.settings}

    def __call__(
        self,
        encoder: "PictureReader",
        images: "Sequence[Image]",
        batch: "PictureBatch",
        given: Sequence[Sequence[GivenBox]],
    ) -> list[list[Region]]:
        regions = self._found(encoder, images, batch)
        regions = _given_instead(encoder, images, given, self.limits, regions)
        return _named(encoder, self.bank, regions)

    def _found(
        self, encoder: "PictureReader", images: "Sequence[Image]", batch: "PictureBatch"
    ) -> list[list[Region]]:
        return [[] for _ in images]


@dataclass(frozen=True)
class PatchRegions(_Finder):
    """Regions from CLIP's own patches: no detector, no further pass.

    A box of patches is a region if it differs from the ring around it and is alike
    within, which is Otsu's criterion: the share of the variance of box and ring
    together that falls between the two. What a patch says by its place alone, as of a
    plain grey picture, is taken off first, and a box loses a little for each side on
    the edge, where backgrounds lie. All boxes on the grid are scored at once by
    products of the patches' similarities; the best that do not overlap are kept. The
    vector of a region is the mean of its patches.

    Where a tower has no patches, overlapping crops on a grid of 4 x 4 take their place:
    the same method, at 16 more passes a picture.

    bank (str | Path | None): file with words for regions; None = the one in this
        package.
    max_regions, min_area, max_area, max_overlap: see `Limits`.
    min_score (float): share of the variance that a region must explain.
    """

    kind = "patches"
    bank: str | Path | None = None
    max_regions: int = 8
    min_area: float = 0.03
    max_area: float = 0.7
    max_overlap: float = 0.5
    min_score: float = 0.2

    @property
    def settings(self) -> dict[str, Any]:
        return {**super().settings, "min_score": self.min_score}

    def _found(
        self, encoder: "PictureReader", images: "Sequence[Image]", batch: "PictureBatch"
    ) -> list[list[Region]]:
        patches, blank, views = batch.patches, batch.blank, batch.views
        if patches is None:
            patches, blank = _crop_grid(encoder, images), None
            views = [Box(0, 0, *image.size) for image in images]
        found = best_boxes(patches, blank, self.limits, self.min_score)
        rows, cols = patches.shape[1:3]
        regions = []
        for image, view, (corners, scores, vectors) in zip(
            images, views, found, strict=True
        ):
            cell = view.width / cols, view.height / rows
            boxes = [_pixels(view, corner, cell) for corner in corners]
            regions.append(
                [
                    Region(box, float(scores[i]), "", 0.0, vectors[i], "patches")
                    for i, box in self.limits.keep(boxes, image.size)
                ]
            )
        return regions


@dataclass(frozen=True)
class GivenRegions(_Finder):
    """Only boxes that come with a picture; the vector of a region is that of its crop.
    The other finders take these too, where a picture has any, in place of what they
    find.

    bank, max_regions: as of `PatchRegions`.
    """

    kind = "given"
    bank: str | Path | None = None
    max_regions: int = 8
    max_overlap = 0.9


@dataclass(frozen=True)
class GridRegions(_Finder):
    """The four quarters of a picture and its middle, for pictures with several things
    on them where nothing better finds these. Works with any encoder of pictures; the
    vector of a region is that of its crop.

    bank: as of `PatchRegions`.
    """

    kind = "grid"
    bank: str | Path | None = None

    @staticmethod
    def boxes(size: tuple[int, int]) -> list[Box]:
        """size (tuple[int, int]): width and height of a picture.
        RETURNS (list[Box]): what to look at on it."""
        parts = [Box(x, y, x + 0.5, y + 0.5) for x, y in GRID]
        width, height = size
        return [
            Box(p.left * width, p.top * height, p.right * width, p.bottom * height)
            for p in parts
        ]

    def _found(
        self, encoder: "PictureReader", images: "Sequence[Image]", batch: "PictureBatch"
    ) -> list[list[Region]]:
        found = [
            [
                (box, 1.0)
                for _, box in self.limits.keep(self.boxes(image.size), image.size)
            ]
            for image in images
        ]
        return _cropped(encoder, images, found, self.kind)


class DetectorRegions(_Finder):
    """Regions of a torchvision detector; the vector of a region is that of its crop.

    model (str): torchvision's name, such as "fasterrcnn_mobilenet_v3_large_fpn".
    weights (str | None): a file with a state dict, or a name of torchvision's weights
        such as "DEFAULT", which are downloaded at first use.
    bank, max_regions, max_overlap: as of `PatchRegions`.
    min_score (float): of a detection.
    """

    kind = "detector"

    def __init__(
        self,
        model: str,
        weights: str | None = "DEFAULT",
        bank: str | Path | None = None,
        max_regions: int = 8,
        max_overlap: float = 0.7,
        min_score: float = 0.5,
    ) -> None:
        self._arguments = model, weights, bank, max_regions, max_overlap, min_score
        self.model, self.weights, self.bank = model, weights, bank
        self.max_regions, self.max_overlap = max_regions, max_overlap
        self.min_score = min_score
        self._detector: Any = None
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._arguments

    @property
    def settings(self) -> dict[str, Any]:
        weights = self.weights and file_digest(self.weights)
        own = {"model": [self.model, weights], "min_score": self.min_score}
        return {**super().settings, **own}

    def _found(
        self, encoder: "PictureReader", images: "Sequence[Image]", batch: "PictureBatch"
    ) -> list[list[Region]]:
        with self._lock:
            if self._detector is None:
                self._detector = load_detector(self.model, self.weights, encoder.device)
        found = []
        for image, detections in zip(
            images, detect(self._detector, images, encoder.device), strict=True
        ):
            sure = [
                (box, score) for box, score in detections if score >= self.min_score
            ]
            boxes = [box for box, _ in sure]
            found.append(
                [(box, sure[i][1]) for i, box in self.limits.keep(boxes, image.size)]
            )
        return _cropped(encoder, images, found, "detector")


def _pixels(view: Box, corner: Iterable[float], cell: tuple[float, float]) -> Box:
    left, top, right, bottom = (float(x) for x in corner)
    return Box(
        view.left + left * cell[0],
        view.top + top * cell[1],
        view.left + right * cell[0],
        view.top + bottom * cell[1],
    )


def _crop_grid(encoder: "PictureReader", images: "Sequence[Image]") -> Any:
    """RETURNS (Tensor): unit vectors of overlapping crops, in place of patches.
    Shape: (n, CROP_GRID, CROP_GRID, dim), float32"""
    crops = []
    for image in images:
        whole = Box(0, 0, *image.size)
        side = whole.width / CROP_GRID, whole.height / CROP_GRID
        for row, col in product(range(CROP_GRID), repeat=2):
            cell = _pixels(whole, (col, row, col + 1, row + 1), side)
            crops.append(part_of(image, cell.grown(CROP_REACH)))
    vectors = encoder.encode_images(crops)
    shape = len(images), CROP_GRID, CROP_GRID, -1
    return torch.from_numpy(vectors).reshape(shape).to(encoder.device)


def _given_instead(
    encoder: "PictureReader",
    images: "Sequence[Image]",
    given: Sequence[Sequence[GivenBox]],
    limits: Limits,
    found: list[list[Region]],
) -> list[list[Region]]:
    """RETURNS (list[list[Region]]): the caller's boxes of pictures that have any, what
    was found on the others."""
    if not any(given):
        return found
    chosen: list[list[tuple[Box, float]]] = []
    labels: list[str] = []
    for image, boxes in zip(images, given, strict=True):
        kept_boxes = limits.keep([Box(*box[:4]) for box in boxes], image.size)
        chosen.append([(box, 1.0) for _, box in kept_boxes])
        labels += [boxes[position].label for position, _ in kept_boxes]
    by_hand = _labelled(encoder, _cropped(encoder, images, chosen, "given"), labels)
    return [own if boxes else rest for own, boxes, rest in zip(by_hand, given, found)]


def _labelled(
    encoder: "PictureReader", regions: list[list[Region]], labels: Sequence[str]
) -> list[list[Region]]:
    """labels (Sequence[str]): of all regions in order, empty where nobody said."""
    if not any(labels):
        return regions
    vectors, rows = encoder.encode_texts(labels), iter(range(len(labels)))
    return [
        [
            _saying(r, labels[i], vectors[i]) if labels[i] else r
            for r, i in zip(own, rows)
        ]
        for own in regions
    ]


def _cropped(
    encoder: "PictureReader",
    images: "Sequence[Image]",
    found: Sequence[Sequence[tuple[Box, float]]],
    source: str,
) -> list[list[Region]]:
    crops = [part_of(image, box) for image, own in zip(images, found) for box, _ in own]
    vectors = iter(encoder.encode_images(crops))
    return [
        [Region(box, score, "", 0.0, next(vectors), source) for box, score in own]
        for own in found
    ]


def _named(
    encoder: "PictureReader", path: str | Path | None, regions: list[list[Region]]
) -> list[list[Region]]:
    """Give each region without a label the nearest words of a bank."""
    if not any(regions):
        return regions
    bank = read_bank(path or OBJECTS)
    texts = bank_vectors(encoder, bank)
    vectors = np.stack([region.vector for own in regions for region in own])
    nearest = iter((vectors @ texts.T).argmax(axis=1).tolist())
    return [
        [
            r if r.words else _saying(r, bank.entries[i].words, texts[i])
            for r, i in zip(own, nearest)
        ]
        for own in regions
    ]


def _saying(region: Region, words: str, vector: np.ndarray) -> Region:
    """vector (np.ndarray): of the words. Shape: (dim,)"""
    return replace(region, words=words, similarity=float(region.vector @ vector))


def load_detector(name: str, weights: str | None, device: torch.device) -> Any:
    """RETURNS (nn.Module): in eval mode.
    RAISES (DweError): torchvision has no such detector, or its weights cannot be had.
    """
    from torchvision.models import detection as detectors
    from torchvision.models import get_model, get_model_weights, list_models

    from ..torchvision_models import fetch

    known = list_models(module=detectors)
    if name not in known:
        raise DweError(Errors.E208.format(name=name, known=", ".join(known)))
    path = Path(weights).expanduser() if weights else None
    try:
        if path is not None and path.is_file():
            model = get_model(name, weights=None, weights_backbone=None)
            model.load_state_dict(
                torch.load(path, map_location="cpu", weights_only=True)
            )
        elif weights:
            tag = get_model_weights(name)[weights]
            fetch(name, tag)
            model = get_model(name, weights=tag)
        else:
            raise ValueError("no weights are named")
    except DweError:
        raise
    except Exception as error:
        # What fails is a network, a file or a state dict: any kind of exception.
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise DweError(
            Errors.E214.format(name=name, weights=weights, reason=reason)
        ) from None
    model.eval().requires_grad_(False)
    return model.to(device)


def detect(
    model: Any, images: Sequence[Image], device: torch.device
) -> Iterator[list[tuple[Box, float]]]:
    """YIELDS (list[tuple[Box, float]]): boxes of each picture in its pixels, and their
    scores, best first."""
    from torchvision.transforms.functional import pil_to_tensor

    for start in range(0, len(images), BATCH):
        pixels = [
            (pil_to_tensor(image).float() / 255).to(device)
            for image in images[start : start + BATCH]
        ]
        with torch.inference_mode():
            results = model(pixels)
        for result in results:
            boxes, scores = result["boxes"].tolist(), result["scores"].tolist()
            order = sorted(range(len(scores)), key=lambda i: -scores[i])
            yield [(Box(*boxes[i]), float(scores[i])) for i in order]
