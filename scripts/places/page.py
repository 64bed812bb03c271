"""The page of the places report: what it shows, and its layout."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spacy_dwe.about import __version__
from spacy_dwe.visualise.page import ExampleView, Headline, Table, lay_out

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a chart; value and interval are fractions."""

    label: str
    value: float
    interval: Sequence[float] | None
    main: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """A chart of one group of mentions."""

    title: str
    n: int
    chance: float | None
    bars: list[Bar]


@dataclass(frozen=True, slots=True)
class SwapView:
    original: ExampleView
    swapped: ExampleView


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    note: str
    examples: list[ExampleView]


@dataclass(slots=True)
class Report:
    """Everything the page shows, ready to be laid out."""

    title: str
    lead: str
    knowledge_base: str
    headlines: list[Headline] = field(default_factory=list)
    panels: list[Panel] = field(default_factory=list)
    by_group: Table | None = None
    tables: list[Table] = field(default_factory=list)
    differences: list[dict[str, Any]] = field(default_factory=list)
    controls: list[Headline] = field(default_factory=list)
    swaps: list[SwapView] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    version: str = __version__


def render(report: Report) -> str:
    """Lay out a report.

    RETURNS (str): HTML with its style and pictures inside, no script.
    """
    return lay_out("places.html", TEMPLATES, report=report)
