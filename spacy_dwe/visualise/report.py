"""The page of one evaluation: how well it went, and why what was wrong was wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..about import __version__
from ..evaluation.error_analysis import ErrorAnalysis, analyse
from ..files import write_json, write_text
from .examples import Examples, LinkedDocuments, Look, cause_views
from .page import lay_out
from .photographs import Compare, Photographs
from .plots import causes_plot, hits_plot, open_world_plot, reliability_plot
from .tables import (
    Baseline,
    baselines_table,
    breakdown_tables,
    headlines,
    open_world_table,
    outvoted_table,
    run_facts,
    tags_table,
    votes_table,
)

if TYPE_CHECKING:
    from ..documents import Document
    from ..evaluation.evaluate import Evaluation
    from ..kb.knowledge_base import DweKnowledgeBase

PAGE, ANALYSIS = "index.html", "analysis.json"
N_EXAMPLES = 4


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """A page and what it was made from.

    page (str): HTML that needs no other file and no script.
    analysis (dict[str, Any]): see `ErrorAnalysis.to_json`.
    """

    page: str
    analysis: dict[str, Any]

    def write(self, folder: str | Path) -> tuple[Path, Path]:
        """Write index.html and analysis.json.

        RETURNS (tuple[Path, Path]): their paths.
        """
        page, analysis = Path(folder) / PAGE, Path(folder) / ANALYSIS
        write_json(analysis, self.analysis)
        write_text(page, self.page)
        return page, analysis


@dataclass(frozen=True, slots=True)
class Plot:
    """svg (str): markup, safe as it stands."""

    svg: str
    title: str
    note: str


def build_evaluation_report(
    evaluation: "Evaluation",
    kb: "DweKnowledgeBase",
    documents: "Mapping[str, Document]",
    *,
    title: str = "Evaluation",
    lead: str = "",
    baselines: Sequence[Baseline] = (),
    image_root: str | Path = "",
    look: Look | None = None,
    compare: Compare | None = None,
    n_examples: int = N_EXAMPLES,
) -> EvaluationReport:
    """Analyse the misses of an evaluation and lay out its page.

    evaluation (Evaluation): see `evaluate_docs`.
    kb (DweKnowledgeBase): the KB that was linked to.
    documents (Mapping[str, Document]): what was linked, by id.
    title, lead (str): what the page is of.
    baselines (Sequence[Baseline]): rows of comparison, in order.
    image_root (str | Path): where relative pictures of entities start.
    look (Look | None): shows what the linker saw on pictures.
    compare (Compare | None): tells what pictures decided, see
        `DweLinker.picture_vectors`.
    n_examples (int): misses shown of each cause.
    RETURNS (EvaluationReport): page and analysis.
    """
    analysis = analyse(evaluation, kb, documents)
    metrics, n_misses = evaluation.metrics, len(analysis.misses)
    examples = Examples(kb, Path(image_root), look)
    linked = LinkedDocuments(evaluation, documents)
    photographs = compare and Photographs(linked, examples, compare)
    page = lay_out(
        "evaluation.html",
        version=__version__,
        title=title,
        lead=lead,
        facts=run_facts(metrics, len(kb)),
        headlines=headlines(metrics, n_misses),
        baselines=baselines_table(metrics, baselines),
        photographs=photographs.sections() if photographs else [],
        breakdowns=breakdown_tables(metrics),
        plots=_plots(evaluation),
        open_world=open_world_table(metrics) if "open_world" in metrics else None,
        open_world_plot=_open_world_plot(metrics),
        n=analysis.n,
        n_misses=n_misses,
        causes_plot=_causes_plot(analysis) if n_misses else None,
        causes=cause_views(analysis, linked, examples, n_examples=n_examples),
        votes=votes_table(analysis) if analysis.channels() else None,
        outvoted=outvoted_table(analysis) if analysis.outvoted() else None,
        tags=tags_table(analysis) if n_misses else None,
    )
    return EvaluationReport(page, analysis.to_json())


def _plots(evaluation: "Evaluation") -> list[Plot]:
    plots = []
    ranked = [o for o in evaluation.outcomes if o.rank is not None]
    if ranked:
        retrieved = sum(outcome.retrieved for outcome in ranked)
        svg = hits_plot([o.rank for o in ranked if o.rank is not None], retrieved)
        note = (
            "Share of mentions whose entity is among the k best; ties share the middle "
            "of their ranks."
        )
        plots.append(Plot(svg, "Accuracy by rank", note))
    bins = evaluation.metrics.get("reliability")
    if bins and any(one["n"] for one in bins):
        svg = reliability_plot(bins, evaluation.metrics.get("ece"))
        note = (
            "How often decisions of a stated probability are right; on the dashed line "
            "they are right as often as they say."
        )
        plots.append(Plot(svg, "Reliability", note))
    return plots


def _open_world_plot(metrics: Mapping[str, Any]) -> Plot | None:
    measured = metrics.get("open_world")
    if not measured or not measured["n_inside"] or not measured["linker"]["curve"]:
        return None
    svg = open_world_plot(measured["linker"], measured["name_equality"])
    note = (
        "The share of links that are right, as more are made. A lower threshold moves "
        "along the solid line; the dotted one needs lower odds of NIL."
    )
    return Plot(svg, "Precision and right links", note)


def _causes_plot(analysis: ErrorAnalysis) -> Plot:
    counts = [(count.title, count.n) for count in analysis.causes()]
    note = f"{len(analysis.misses):,} misses, each with one main cause."
    return Plot(causes_plot(counts), "Misses by cause", note)
