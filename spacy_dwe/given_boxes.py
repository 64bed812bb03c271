"""Boxes that come with a picture, by whoever drew them."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from .errors import DweError, Errors


class GivenBox(NamedTuple):
    """A rectangle in pixels of the upright picture; right and bottom are outside.

    label (str): what it shows; empty if nobody said.
    """

    left: float
    top: float
    right: float
    bottom: float
    label: str = ""

    @property
    def row(self) -> list[Any]:
        """RETURNS (list[Any]): its JSON form, of which `given_boxes` makes it again."""
        return list(self if self.label else self[:4])


def given_boxes(value: Any, name: str) -> tuple[GivenBox, ...]:
    """Boxes from what a caller gives.

    value (Any): a list of (left, top, right, bottom) or (left, top, right, bottom,
        label); None = no boxes.
    name (str): what an error calls the picture.
    RAISES (DweError): with the box that is none.
    """
    if value is None:
        return ()
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        raise _refused(value, name)
    return tuple(_given_box(box, name) for box in value)


def _given_box(box: Any, name: str) -> GivenBox:
    if not isinstance(box, Sequence) or isinstance(box, (str, bytes)):
        raise _refused(box, name)
    if len(box) not in (4, 5):
        raise _refused(box, name)
    try:
        left, top, right, bottom = (float(x) for x in box[:4])
    except (TypeError, ValueError):
        raise _refused(box, name) from None
    label = box[4] if len(box) == 5 else ""
    sides = left, top, right, bottom
    if not (all(map(math.isfinite, sides)) and left < right and top < bottom):
        raise _refused(box, name)
    if not isinstance(label, str):
        raise _refused(box, name)
    return GivenBox(*sides, " ".join(label.split()))


def _refused(box: Any, name: str) -> DweError:
    return DweError(Errors.E209.format(name=name, box=box))
