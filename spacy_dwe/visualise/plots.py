"""Plots of one evaluation as SVG that stands inside the page.

Colours are those of the page's style sheet, so that plots follow its dark mode; every
plot also tells its parts apart by form, not by colour alone.
"""

import html
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DweError, Errors

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 4.6
"""Inches; text of `FONT_SIZE` stays readable when the plot fills a phone's width."""
HEIGHT = 3.3
ROW_HEIGHT = 0.3
FONT_SIZE = 9.5
RANKS = (1, 2, 3, 5, 10, 20, 50, 100)

INK, MUTED, LINE = "#1b2227", "#5b6770", "#e2e5e6"
BLUE, SOFT, ORANGE = "#1d5f8c", "#a9c3d6", "#b4560a"
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    LINE: "--line",
    BLUE: "--accent",
    SOFT: "--bar",
    ORANGE: "--contrast",
}
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "spacy-dwe",
    "font.family": "sans-serif",
    "font.size": FONT_SIZE,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "text.parse_math": False,
}


def hits_plot(ranks: Sequence[float], n_retrievable: int | None = None) -> str:
    """Share of mentions whose right entity is among the k best, by k.

    ranks (Sequence[float]): rank of each right entity, inf where it was no candidate;
        at least one.
    n_retrievable (int | None): of these, how many had the right entity among their
        candidates, drawn as a ceiling.
    RETURNS (str): SVG.
    """
    values = np.array(ranks, dtype=np.float64)
    at = np.arange(1, RANKS[-1] + 1)
    share = np.array([np.mean(values <= k) for k in at])
    shown = {k: share[k - 1] for k in RANKS}
    with _axes("hits", HEIGHT) as (figure, axes):
        axes.set_xscale("log")
        axes.plot(at, 100 * share, color=BLUE, linewidth=1.8, zorder=3)
        axes.plot(
            list(shown),
            [100 * value for value in shown.values()],
            "o",
            color=BLUE,
            markersize=4.5,
            zorder=4,
        )
        for k in (1, 5, 20, 100):
            axes.annotate(
                f"{100 * shown[k]:.1f}",
                (k, 100 * shown[k]),
                textcoords="offset points",
                xytext=(0, -13),
                ha="center",
                color=INK,
            )
        if n_retrievable is not None and len(values):
            ceiling = 100 * n_retrievable / len(values)
            axes.axhline(ceiling, color=ORANGE, linestyle="--", linewidth=1.3)
            axes.annotate(
                f"among the candidates {ceiling:.1f}",
                (1, ceiling),
                textcoords="offset points",
                xytext=(2, 4),
                color=ORANGE,
            )
        axes.set_xticks(RANKS, [str(k) for k in RANKS])
        axes.set_xticks([], minor=True)
        low = 100 * float(share[0])
        axes.set_ylim(max(0.0, np.floor((low - 12) / 10) * 10), 104)
        axes.grid(axis="y")
        axes.set_xlabel("k, entities looked at")
        axes.set_ylabel("mentions, percent")
        listed = ", ".join(f"{100 * v:.1f} at {k}" for k, v in shown.items())
        return _svg(figure, "hits", "Accuracy by rank", f"Percent: {listed}.")


def reliability_plot(bins: Sequence[Mapping[str, Any]], ece: float | None) -> str:
    """How often links of a stated probability are right, over how many there are.

    bins (Sequence[Mapping]): of "low", "high", "n", "confidence" and "accuracy".
    ece (float | None): expected calibration error.
    RETURNS (str): SVG.
    """
    filled = [b for b in bins if b["n"]]
    with _axes("reliability", HEIGHT + 0.5, rows=(3, 1)) as (figure, both):
        axes, histogram = both
        axes.plot([0, 100], [0, 100], color=MUTED, linestyle="--", linewidth=1)
        confidence = [100 * b["confidence"] for b in filled]
        accuracy = [100 * b["accuracy"] for b in filled]
        axes.vlines(confidence, confidence, accuracy, color=ORANGE, linewidth=1.6)
        axes.plot(confidence, accuracy, "o-", color=BLUE, markersize=4.5, linewidth=1.4)
        axes.set_ylim(-3, 103)
        axes.set_ylabel("right, percent")
        axes.grid(axis="y")
        axes.tick_params(labelbottom=False)
        note = "" if ece is None else f"calibration error {100 * ece:.1f}"
        axes.annotate(note, (2, 92), color=INK)
        axes.annotate("surer than right ↓", (98, 8), color=MUTED, ha="right")
        for b in filled:
            width = 100 * (b["high"] - b["low"])
            histogram.bar(
                100 * b["low"],
                b["n"],
                width,
                align="edge",
                color=SOFT,
                edgecolor=MUTED,
                linewidth=0.5,
            )
        histogram.set_xlim(-2, 102)
        histogram.set_ylabel("mentions")
        histogram.set_xlabel("probability of the decision, percent")
        listed = "; ".join(
            f"{100 * b['low']:.0f} to {100 * b['high']:.0f}: {b['n']} mentions, "
            f"{100 * b['accuracy']:.1f} right"
            for b in filled
        )
        return _svg(figure, "reliability", "Reliability", f"By probability: {listed}.")


def open_world_plot(linker: Mapping[str, Any], equal: Mapping[str, Any]) -> str:
    """Share of links that are right, over the share of mentions in the KB that are
    linked rightly; marked are the settings as they are, and equal names.

    linker, equal (Mapping): see `evaluation.open_world.measure_open_world`.
    RETURNS (str): SVG.
    """
    curve = np.array(
        [[100 * p["right_links"], 100 * p["precision"]] for p in linker["curve"]]
    )
    n_reached = sum(point["threshold"] is not None for point in linker["curve"])
    said = [f"area {100 * linker['average_precision']:.1f}"]
    with _axes("open-world", HEIGHT) as (figure, axes):
        axes.plot(*curve[:n_reached].T, color=BLUE, linewidth=1.8)
        beyond = curve[max(0, n_reached - 1) :]
        axes.plot(*beyond.T, color=BLUE, linewidth=1.3, linestyle=":")
        axes.annotate(said[0], (2, 4), color=INK)
        marks = ((linker, "this run", BLUE, "o"), (equal, "equal names", ORANGE, "D"))
        for measured, name, colour, mark in marks:
            if measured["precision"] is None:
                continue
            x, y = 100 * measured["right_links"], 100 * measured["precision"]
            said.append(f"{name} {y:.1f} right with {x:.1f} linked rightly")
            axes.plot(x, y, mark, color=colour, markersize=6.5, zorder=3)
            axes.annotate(
                f"{name} {y:.0f}",
                (x, y),
                textcoords="offset points",
                xytext=(8, 3) if x < 60 else (-8, -13),
                ha="left" if x < 60 else "right",
                color=colour,
            )
        axes.set_xlim(0, 102)
        axes.set_ylim(0, 104)
        axes.grid()
        axes.set_xlabel("linked rightly, percent of the mentions in the KB")
        axes.set_ylabel("right, percent of the links")
        title = "Precision and right links"
        return _svg(figure, "open-world", title, f"Percent: {'; '.join(said)}.")


def causes_plot(counts: Sequence[tuple[str, int]]) -> str:
    """Misses by main cause.

    counts (Sequence[tuple[str, int]]): title and misses of each cause, in order.
    RETURNS (str): SVG.
    """
    total = max(1, sum(n for _, n in counts))
    with _axes("causes", 0.7 + ROW_HEIGHT * len(counts)) as (figure, axes):
        places = np.arange(len(counts))[::-1]
        numbers = [n for _, n in counts]
        axes.barh(places, numbers, height=0.66, color=BLUE)
        for place, n in zip(places, numbers):
            axes.annotate(
                f"{n:,} · {100 * n / total:.0f} %",
                (n, place),
                textcoords="offset points",
                xytext=(4, 0),
                va="center",
            )
        axes.set_yticks(places, [title for title, _ in counts], color=INK)
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(0, 1.5 * max(numbers, default=1))
        axes.spines["bottom"].set_visible(False)
        axes.set_xticks([])
        listed = ", ".join(f"{title} {n}" for title, n in counts)
        return _svg(figure, "causes", "Misses by cause", f"{listed}.")


def require_matplotlib() -> None:
    """RAISES (DweError): matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        raise DweError(Errors.E462)


@contextmanager
def _axes(
    name: str, height: float, rows: tuple[int, ...] = ()
) -> "Iterator[tuple[Figure, Any]]":
    """A figure with one pair of axes, or one a row of the given relative heights."""
    require_matplotlib()
    import matplotlib
    from matplotlib.figure import Figure

    settings: Any = {**matplotlib.rcParamsDefault, **STYLE}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        figure.patch.set_alpha(0)
        if rows:
            axes: Any = figure.subplots(
                len(rows), sharex=True, height_ratios=list(rows)
            )
        else:
            axes = figure.subplots()
        for one in np.ravel(axes):
            one.patch.set_alpha(0)
        yield figure, axes


def _svg(figure: "Figure", name: str, title: str, description: str) -> str:
    """The figure as an element of a page: described, as wide as its place, with ids
    that no other plot has."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    unwanted = r"<metadata>.*?</metadata>|<!--.*?-->\n?|<style.*?</style>"
    svg = re.sub(unwanted, "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'((?:xlink:)?href="#|url\(#)', rf"\g<1>{name}-", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    view_box = re.search(r'viewBox="[^"]*"', svg)
    assert view_box is not None, "matplotlib writes one"
    head = (
        f'<svg class="plot" {view_box[0]} role="img" '
        f'aria-labelledby="{name}-title {name}-desc" '
        'xmlns="http://www.w3.org/2000/svg" '
        'xmlns:xlink="http://www.w3.org/1999/xlink">\n'
        f'<title id="{name}-title">{html.escape(title)}</title>\n'
        f'<desc id="{name}-desc">{html.escape(description)}</desc>'
    )
    return re.sub(r"<svg[^>]*>", lambda match: head, svg, count=1)
