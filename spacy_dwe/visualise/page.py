"""What pages are made of: one HTML file each, which needs no other."""

import base64
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DweError
from ..images import ImageRef, load

if TYPE_CHECKING:
    from ..encoders.visual.boxes import Box
    from ..encoders.visual.findings import VisualEvidence

TEMPLATES = Path(__file__).parent / "templates"
PICTURE_SIZE = (324, 228)
THUMBNAIL_SIZE = (90, 60)
LABEL_WIDTH = 14
"""Pixels of the label of a frame."""


@dataclass(frozen=True, slots=True)
class Headline:
    label: str
    value: str
    note: str


@dataclass(frozen=True, slots=True)
class Cell:
    value: str
    interval: str = ""


@dataclass(frozen=True, slots=True)
class TableRow:
    name: str
    cells: list[Cell]
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """lines (str): what a line is of, the head of the first column."""

    title: str
    note: str
    columns: list[str]
    rows: list[TableRow]
    lines: str = "Row"


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one channel added to a candidate's score.

    lead (float): how much more than it added to the other candidates shown.
    heat (int): strength of the colour, percent.
    """

    channel: str
    value: float
    lead: float
    heat: int

    @property
    def text(self) -> str:
        return signed(self.value, 1).replace("−0.0", "+0.0")


@dataclass(frozen=True, slots=True)
class ShownCandidate:
    """An entity beside a mention.

    id (str): empty for NIL.
    probability (float | None): None: it was no candidate.
    right (bool): it is marked as the right one.
    """

    id: str
    title: str
    probability: float | None
    description: str = ""
    linked: bool = False
    picture: str | None = None
    contributions: list[Contribution] = field(default_factory=list)
    right: bool = False


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


@dataclass(frozen=True, slots=True)
class ExampleView:
    """A mention in its text with its picture, link and candidates; pictures are data
    URIs.

    seen (SeenView | None): what was seen on its picture, if somebody looked.
    """

    before: str
    mention: str
    after: str
    picture: str | None
    linked: str
    good: bool
    verdict: str
    note: str
    candidates: list[ShownCandidate]
    seen: SeenView | None = None


def lay_out(template: str, *folders: Path, **values: Any) -> str:
    """Fill in a template; text is escaped.

    template (str): its file name.
    folders (Path): where templates are looked for, beside this package's.
    """
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def data_uri(ref: ImageRef, size: tuple[int, int]) -> str | None:
    """A picture, made small, for the page.

    size (tuple[int, int]): largest width and height in pixels.
    RETURNS (str | None): data URI; None if the picture cannot be read.
    """
    try:
        _, image = load(ref)
    except DweError:
        return None
    image.thumbnail(size)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=85)
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/jpeg;base64,{encoded}"


def percent(value: float | None, sign: bool = False) -> str:
    """`0.9421` → `94.2`; `–` where nothing was measured."""
    if value is None:
        return "–"
    text = f"{100 * value:+.1f}" if sign else f"{100 * value:.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def signed(value: float, digits: int) -> str:
    """`-0.251` → `−0.25`; a sign stands before every number."""
    return f"{value:+.{digits}f}".replace("-", "−")


def interval(bounds: Sequence[float] | None, sign: bool = False) -> str:
    """`[0.92, 0.96]` → `92.0 to 96.0`."""
    if bounds is None:
        return ""
    low, high = (percent(bound, sign) for bound in bounds)
    return f"{low} to {high}"


def text_around(text: str, start: int, end: int, width: int = 220) -> Iterator[str]:
    """The text before, of and after a mention, cut to about `width` characters on
    either side.

    RETURNS (Iterator[str]): three strings.
    """
    before, after = text[:start], text[end:]
    yield "…" + before[-width:] if len(before) > width else before
    yield text[start:end]
    yield after[:width] + "…" if len(after) > width else after


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
