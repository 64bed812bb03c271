"""The differences of a study as one picture, for papers and people."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spacy_dwe.files import replacing
from spacy_dwe.visualise.plots import (
    BLUE,
    INK,
    LINE,
    MUTED,
    ORANGE,
    STYLE,
    require_matplotlib,
)
from study.markdown import column_name
from study.table import ALL, Cell, StudyTable

ROW_HEIGHT, HEAD_HEIGHT = 0.27, 1.5
PANEL_WIDTH, NAME_WIDTH = 2.7, 2.6
MAX_PANELS = 4
DPI = 160
WORSE, BETTER, NOT_SHOWN = ORANGE, BLUE, MUTED


def write_study_plot(path: Path, title: str, table: StudyTable) -> None:
    """Write a forest plot: a line for each comparison, a panel for each metric.

    Colour and filling say whether a difference is shown, the form of the mark whether
    the variant was trained again or switched off at test. A tick marks what would have
    been detectable.

    path (Path): .png, .svg or .pdf.
    title (str): heading.
    table (StudyTable): with at least one difference.
    RAISES (DweError): matplotlib is not installed.
    """
    require_matplotlib()
    import matplotlib
    from matplotlib.figure import Figure

    panels = _panels(table.differences)
    lines = _lines(table.differences)
    settings: Any = {**matplotlib.rcParamsDefault, **STYLE}
    with matplotlib.rc_context(settings):
        size = (
            NAME_WIDTH + PANEL_WIDTH * len(panels),
            HEAD_HEIGHT + ROW_HEIGHT * len(lines),
        )
        figure = Figure(figsize=size, layout="constrained")
        figure.suptitle(title, color=INK)
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axis, (metric, part) in zip(axes, panels):
            _draw(axis, lines, metric, part, table.differences)
        axes[0].set_ylim(-0.7, len(lines) - 0.3)
        axes[0].invert_yaxis()
        axes[0].set_yticks(range(len(lines)), [_label(line) for line in lines])
        for label, line in zip(axes[0].get_yticklabels(), lines):
            label.set_color(INK)
            label.set_fontweight("bold" if isinstance(line, str) else "normal")
        figure.legend(
            handles=_legend(), loc="outside lower center", ncols=6, fontsize="small"
        )
        with replacing(path) as draft:
            figure.savefig(
                draft, format=path.suffix.lstrip("."), dpi=DPI, facecolor="white"
            )


Line = str | tuple[str, str]
"""A heading, or a comparison: variant and what it is compared with."""


def _panels(cells: Sequence[Cell]) -> list[tuple[str, str]]:
    """RETURNS (list): Top-1 and NIL F1 over all mentions, then Top-1 of parts."""
    known = list(dict.fromkeys((cell.metric, cell.part) for cell in cells))
    order = {"top1": 0, "nil_f1": 1, "mrr": 3}
    ranked = sorted(known, key=lambda k: (order[k[0]] + 2 * (k[1] != ALL), k[0]))
    wanted = [k for k in ranked if k[0] != "mrr"] or ranked
    return wanted[:MAX_PANELS]


def _lines(cells: Sequence[Cell]) -> list[Line]:
    lines: list[Line] = []
    for question in dict.fromkeys(cell.question for cell in cells):
        if question:
            lines.append(question)
        own = [cell for cell in cells if cell.question == question]
        lines += dict.fromkeys((cell.name, cell.against or "") for cell in own)
    return lines


def _draw(
    axis: Any, lines: Sequence[Line], metric: str, part: str, cells: Sequence[Cell]
) -> None:
    axis.axvline(0, color=MUTED, linewidth=0.9, zorder=1)
    axis.set_title(column_name(metric, part), fontsize="medium", color=INK)
    axis.set_xlabel("points")
    axis.grid(axis="x", color=LINE)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    found = {
        (cell.name, cell.against or ""): cell
        for cell in cells
        if (cell.metric, cell.part) == (metric, part)
    }
    for place, line in enumerate(lines):
        cell = None if isinstance(line, str) else found.get(line)
        if cell is not None:
            _draw_cell(axis, place, cell)
    low, high = axis.get_xlim()
    axis.set_xlim(min(low, -0.5), max(high, 0.5))


def _draw_cell(axis: Any, place: int, cell: Cell) -> None:
    estimate = cell.estimate
    colour = {"better": BETTER, "worse": WORSE}.get(cell.verdict or "", NOT_SHOWN)
    low, high = (100 * bound for bound in estimate.interval)
    axis.plot([low, high], [place, place], color=colour, linewidth=1.6, zorder=2)
    axis.plot(
        [100 * estimate.value],
        [place],
        marker=_form(cell.kind),
        color=colour,
        markerfacecolor=colour if cell.verdict != "not shown" else "white",
        markersize=6,
        zorder=3,
    )
    detectable = 100 * (cell.detectable or 0.0)
    if detectable and cell.verdict == "not shown":
        axis.plot(
            [-detectable, detectable],
            [place, place],
            linestyle="",
            marker="|",
            color=MUTED,
            markersize=7,
            zorder=2,
        )


def _form(kind: str) -> str:
    return "s" if kind.startswith("switched") else "o"


def _label(line: Line) -> str:
    return line if isinstance(line, str) else f"{line[0]} − {line[1]}"


def _legend() -> list[Any]:
    from matplotlib.lines import Line2D

    def mark(label: str, **style: Any) -> Line2D:
        return Line2D(
            [], [], **{"linestyle": "", "markersize": 6, **style}, label=label
        )

    return [
        mark("trained", marker="o", color=INK),
        mark("switched off at test", marker="s", color=INK),
        mark("better", marker="o", color=BETTER),
        mark("worse", marker="o", color=WORSE),
        mark("not shown", marker="o", color=NOT_SHOWN, markerfacecolor="white"),
        mark("detectable", marker="|", color=MUTED, markersize=8),
    ]
