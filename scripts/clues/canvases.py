"""Photographs side by side on one picture, and documents about them."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clues.plan import Planned

GREY = (127, 127, 127)
SIDE = 448
"""Pixels of a canvas. It is square, as encoders cut off the sides of wide pictures."""
QUALITY = 90


class Canvases:
    """Draws canvases, each once.

    folder (Path): of the pictures, whose names are their content's hashes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._drawn: dict[tuple[str, ...], str] = {}
        folder.mkdir()

    def path(self, photographs: Sequence[str]) -> str:
        """RETURNS (str): of the canvas of some photographs, as documents name it.
        RAISES (DweError): one of them is no picture."""
        key = tuple(photographs)
        if key not in self._drawn:
            self._drawn[key] = self._draw(key)
        return f"../{self._folder.name}/{self._drawn[key]}"

    def _draw(self, photographs: Sequence[str]) -> str:
        from PIL import Image, ImageOps

        from spacy_dwe.images import content_hash, decode

        canvas = Image.new("RGB", (SIDE, SIDE), GREY)
        for path, box in zip(photographs, boxes_of(len(photographs)), strict=True):
            left, top, right, bottom = box
            image = decode(Path(path).read_bytes(), path)
            fitted = ImageOps.fit(image, (right - left, bottom - top))
            canvas.paste(fitted, (left, top))
        file = io.BytesIO()
        canvas.save(file, "JPEG", quality=QUALITY)
        name = f"{content_hash(file.getvalue())}.jpg"
        (self._folder / name).write_bytes(file.getvalue())
        return name


def boxes_of(n: int) -> list[tuple[int, int, int, int]]:
    """RETURNS (list[tuple[int, int, int, int]]): left, top, right and bottom of each of
    n photographs on a canvas."""
    side = SIDE // n
    top = (SIDE - side) // 2
    return [(i * side, top, (i + 1) * side, top + side) for i in range(n)]


def record(
    name: str, planned: Planned, canvases: Canvases, *, boxes: bool, unseen: bool
) -> dict[str, Any]:
    """A line of documents.jsonl.

    name (str): id of the document.
    boxes (bool): say where on the canvas the photographs are.
    unseen (bool): the noun is not in train.
    """
    image: Any = canvases.path(planned.photographs)
    n = len(planned.pictured)
    if boxes:
        image = {"path": image, "boxes": [list(box) for box in boxes_of(n)]}
    common = [
        "partial",
        f"pictured:{n}",
        f"name:{'unseen' if unseen else 'seen'}",
        f"noun:{planned.noun}",
    ]
    return {
        "id": name,
        "text": planned.text,
        "images": [image],
        "mentions": [
            {
                "start": question.start,
                "end": question.start + len(planned.noun),
                "kb_id": question.gold,
                "groups": [
                    *common,
                    f"allowed:{len(question.allowed)}",
                    f"attribute:{question.clue.part}",
                ],
            }
            for question in planned.questions
        ],
        "pictured": list(planned.pictured),
    }
