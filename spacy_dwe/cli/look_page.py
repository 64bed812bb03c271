"""The page of `look`: each picture with the boxes drawn on it, as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..about import __version__
from ..evaluation import report
from ..evaluation.seen_views import Frame, frames
from ..images import ImageRef

if TYPE_CHECKING:
    from ..encoders.findings import VisualEvidence

PICTURE_SIZE = (900, 700)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A picture with what was found on it; `picture` is a data URI."""

    name: str
    picture: str | None
    evidence: "VisualEvidence"
    frames: list[Frame]


def look_page(seen: "Sequence[tuple[Path, VisualEvidence]]", model: str) -> str:
    """RETURNS (str): HTML with its style and pictures inside, no script."""
    from jinja2 import Environment, FileSystemLoader

    folders = Path(__file__).parent, Path(report.__file__).parent
    environment = Environment(
        loader=FileSystemLoader([folder / "templates" for folder in folders]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sheets = [_sheet(path, evidence) for path, evidence in seen]
    template = environment.get_template("look.html")
    return template.render(sheets=sheets, model=model, version=__version__)


def _sheet(path: Path, evidence: "VisualEvidence") -> Sheet:
    picture = report.data_uri(ImageRef(path=str(path)), PICTURE_SIZE)
    return Sheet(path.name, picture, evidence, frames(evidence))
