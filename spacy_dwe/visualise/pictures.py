"""What a linker saw on a picture, as pages show it: frames to draw, and words."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..encoders.visual.boxes import Box
    from ..encoders.visual.findings import VisualEvidence

LABEL_WIDTH = 14


@dataclass(frozen=True, slots=True)
class Frame:
    """A box to draw, in percent of the picture's sides.

    kind (str): "region" or "face".
    shift (int): pixels to the right for a label whose corner others have, too.
    """

    kind: str
    label: str
    left: float
    top: float
    width: float
    height: float
    shift: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """kind (str): "region 1", "face" or the kind of a scene attribute."""

    kind: str
    words: str
    score: str


@dataclass(frozen=True, slots=True)
class SeenView:
    """Frames and, in the same order and then for scenes, lines of words."""

    frames: list[Frame]
    lines: list[Line]


def seen_view(evidence: "VisualEvidence") -> SeenView:
    """RETURNS (SeenView): regions are numbered, faces have their phrase."""
    lines = [
        Line(f"region {n}", region.words, f"{region.score:.2f}")
        for n, region in enumerate(evidence.regions, 1)
    ]
    lines += [Line("face", f.phrase, f"{f.score:.1f}") for f in evidence.faces]
    lines += [Line(s.kind, s.words, f"{s.score:.1f}") for s in evidence.scenes]
    return SeenView(frames(evidence), lines)


def frames(evidence: "VisualEvidence") -> list[Frame]:
    """RETURNS (list[Frame]): of regions, then of faces."""
    drawn = [
        _frame("region", str(n), region.box, evidence.size)
        for n, region in enumerate(evidence.regions, 1)
    ]
    drawn += [_frame("face", f.phrase, f.box, evidence.size) for f in evidence.faces]
    return list(_apart(drawn))


def _apart(drawn: list[Frame]) -> Iterator[Frame]:
    """YIELDS (Frame): the same, with no label on another's."""
    n_at: Counter[tuple[float, float]] = Counter()
    for frame in drawn:
        corner = frame.left, frame.top
        yield replace(frame, shift=LABEL_WIDTH * n_at[corner])
        n_at[corner] += 1


def _frame(kind: str, label: str, box: "Box", size: tuple[int, int]) -> Frame:
    across, down = 100 / size[0], 100 / size[1]
    return Frame(
        kind,
        label,
        box.left * across,
        box.top * down,
        box.width * across,
        box.height * down,
    )
