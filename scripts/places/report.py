"""The report of the places sample, made from the rows' results."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from places.page import Bar, Panel, Report, Section, SwapView
from places.rows import (
    DWE,
    PERMUTED,
    ROWS,
    SWAPPED,
    TEXT_ONLY,
    UNDECIDABLE,
    UNSEEN,
    RowResult,
    swap_targets,
)
from spacy_dwe.visualise.examples import Examples, Linked, Look
from spacy_dwe.visualise.page import (
    Cell,
    ExampleView,
    Headline,
    Table,
    TableRow,
    interval,
    percent,
)

if TYPE_CHECKING:
    from spacy_dwe.kb.knowledge_base import DweKnowledgeBase

ALL = "all mentions"
CONTROLS = (PERMUTED, SWAPPED)
COLUMNS = {
    "Top-1": "top1",
    "Top-5": "top5",
    "Top-10": "top10",
    "Top-20": "top20",
    "MRR": "mrr",
    "recall@100": "recall@100",
    "NIL F1": "nil_f1",
}
WITH_INTERVAL = ("top1", "mrr")
N_SWAPS = 6
N_EXAMPLES = 6

Results = Mapping[str, RowResult]


def build_report(
    results: Results,
    kb: "DweKnowledgeBase",
    image_root: Path,
    look: Look | None = None,
) -> Report:
    """What the page shows of the sample.

    results (Mapping[str, RowResult]): by row name, see `run_rows`.
    kb (DweKnowledgeBase): the KB that was linked to.
    image_root (Path): where relative pictures of entities start.
    look (Look | None): shows what the linker saw on pictures.
    """
    groups = ordered_groups(results[DWE].evaluation.metrics)
    examples = Examples(kb, image_root, look)
    names: set[str] = set()
    return Report(
        title="Places linked by their pictures",
        lead=_lead(results),
        knowledge_base=_describe(kb),
        headlines=list(_headlines(results)),
        panels=[_panel(results, group) for group in groups[:3]],
        by_group=_by_group(results, groups),
        tables=[_table(results, group) for group in groups],
        differences=_differences(results, groups),
        controls=list(_controls(results)),
        swaps=list(_swaps(results, examples, names)),
        sections=list(_sections(results, examples, names)),
        runs=[_run(result) for result in results.values()],
    )


def ordered_groups(metrics: Mapping[str, Any]) -> list[str]:
    """All mentions first, then undecidable and unseen, then the others by name."""
    first = [group for group in (UNDECIDABLE, UNSEEN) if group in metrics["by"]]
    return [ALL, *first, *(group for group in metrics["by"] if group not in first)]


def of_group(result: RowResult, group: str) -> Mapping[str, Any] | None:
    """RETURNS (Mapping[str, Any] | None): the row's metrics over a group."""
    metrics = result.evaluation.metrics
    return metrics if group == ALL else metrics["by"].get(group)


def _lead(results: Results) -> str:
    metrics = results[DWE].evaluation.metrics
    lead = "Most places of this sample share their name with another."
    undecidable = of_group(results[DWE], UNDECIDABLE)
    if undecidable is None:
        return lead
    share = undecidable["n"] / max(1, metrics["n"])
    return (
        f"{lead} Of the {metrics['n']:,} mentions tested here {share:.0%} are "
        "undecidable by words: the same sentence is said of two or more places, and "
        "only the picture tells which one is meant."
    )


def _describe(kb: "DweKnowledgeBase") -> str:
    sets = ", ".join(sorted(map(str, kb.vector_sets))) or "none"
    return f"KnowledgeBase of {len(kb):,} entities; vector sets: {sets}."


def _headlines(results: Results) -> Iterator[Headline]:
    for group, label in ((UNDECIDABLE, "Undecidable by words"), (UNSEEN, "Unseen")):
        metrics = of_group(results[DWE], group)
        text_only = of_group(results[TEXT_ONLY], group)
        if metrics is not None and text_only is not None:
            yield Headline(
                f"{label}, Top-1",
                percent(metrics["top1"]) + " %",
                f"text-only {percent(text_only['top1'])}, "
                f"chance {percent(metrics['chance'])}",
            )
    everything = results[DWE].evaluation.metrics
    yield Headline(
        "All mentions, Top-1",
        percent(everything["top1"]) + " %",
        f"{everything['n']:,} mentions, interval "
        f"{interval(everything['intervals'].get('top1'))}",
    )
    swap = results[SWAPPED].evaluation.metrics["swap"]
    yield Headline(
        "Links that follow a swapped picture",
        percent(swap["flip_rate"]) + " %",
        f"{swap['n']:,} mentions, interval {interval(swap['interval'])}",
    )


def _panel(results: Results, group: str) -> Panel:
    bars, chance, n = [], None, 0
    for row in ROWS:
        metrics = of_group(results[row.name], group)
        if metrics is None or metrics["top1"] is None or row.name in CONTROLS:
            continue
        bounds = metrics["intervals"].get("top1")
        bars.append(Bar(row.name, metrics["top1"], bounds, main=row.name == DWE))
        if row.name == DWE:
            chance, n = metrics["chance"], metrics["n"]
    return Panel(title=group, n=n, chance=chance, bars=bars)


def _by_group(results: Results, groups: Sequence[str]) -> Table:
    """Top-1, a line for each group of mentions."""
    shown = [row.name for row in ROWS if row.name != SWAPPED]
    rows = []
    for group in groups:
        dwe = of_group(results[DWE], group)
        if dwe is None or not dwe["n"]:
            continue
        measured = [of_group(results[name], group) for name in shown]
        cells = [Cell(percent(m["top1"] if m else None)) for m in measured]
        cells = [Cell(f"{dwe['n']:,}"), *cells, Cell(percent(dwe["chance"]))]
        rows.append(TableRow(group, cells))
    return Table("Top-1", "percent", ["n", *shown, "chance"], rows, lines="Mentions")


def _table(results: Results, group: str) -> Table:
    rows = []
    for row in ROWS:
        metrics = of_group(results[row.name], group)
        if metrics is None:
            continue
        cells = []
        for key in COLUMNS.values():
            bounds = metrics["intervals"].get(key) if key in WITH_INTERVAL else None
            cells.append(Cell(percent(metrics[key]), interval(bounds)))
        kind = "main" if row.name == DWE else "control" * (row.name in CONTROLS)
        rows.append(TableRow(row.name, cells, kind))
    dwe = of_group(results[DWE], group) or {}
    blanks = [Cell("")] * (len(COLUMNS) - 1)
    chance = [Cell(percent(dwe.get("chance"))), *blanks]
    rows.append(TableRow("chance", chance, "control"))
    note = f"n = {dwe.get('n', 0):,}, percent"
    return Table(group, note, list(COLUMNS), rows)


def _differences(results: Results, groups: Iterable[str]) -> list[dict[str, Any]]:
    difference = results[DWE].evaluation.metrics["difference"]
    rows = []
    for group in groups:
        measured = difference if group == ALL else difference["by"].get(group, {})
        if "top1" not in measured:
            continue
        row = {"group": group, "n": f"{measured['n']:,}"}
        for key in WITH_INTERVAL:
            row[key] = percent(measured[key]["difference"], sign=True)
            row[f"{key}_interval"] = interval(measured[key]["interval"], sign=True)
        rows.append(row)
    return rows


def _controls(results: Results) -> Iterator[Headline]:
    dwe = of_group(results[DWE], UNDECIDABLE)
    text_only = of_group(results[TEXT_ONLY], UNDECIDABLE)
    permuted = of_group(results[PERMUTED], UNDECIDABLE)
    if dwe is None or text_only is None or permuted is None:
        return
    yield Headline(
        "Chance, undecidable",
        percent(dwe["chance"]),
        "Top-1 of a blind draw among the entities that bear the name.",
    )
    yield Headline(
        "text-only, undecidable",
        percent(text_only["top1"]),
        "Words cannot tell these mentions apart, so this should be near chance.",
    )
    yield Headline(
        "Pictures permuted, undecidable",
        percent(permuted["top1"]),
        f"With everybody’s pictures mixed up, dwe falls from {percent(dwe['top1'])} "
        "to this.",
    )
    swap = results[SWAPPED].evaluation.metrics["swap"]
    yield Headline(
        "Pictures swapped, links that follow",
        percent(swap["flip_rate"]),
        "Share of undecidable mentions that are linked to the namesake whose picture "
        f"was put in; interval {interval(swap['interval'])}.",
    )


def _swaps(results: Results, examples: Examples, names: set[str]) -> Iterator[SwapView]:
    """Pairs of the same sentence with the two pictures, a pair for each name.

    names (set[str]): those shown already; gets those that are shown now.
    """
    swapped, original = results[SWAPPED], results[DWE]
    by_sentence: dict[tuple[Any, ...], int] = {
        _sentence(original, i): i for i in range(len(original.evaluation.outcomes))
    }
    for i, target in enumerate(swap_targets(swapped)):
        outcome = swapped.evaluation.outcomes[i]
        pair = by_sentence.get(_sentence(swapped, i))
        undecidable = UNDECIDABLE in outcome.groups
        if target is None or pair is None or outcome.text in names or not undecidable:
            continue
        names.add(outcome.text)
        yield SwapView(
            original=examples.view(original, pair, n_candidates=2),
            swapped=swapped_view(examples, swapped, i, target),
        )
        if len(names) == N_SWAPS:
            return


def swapped_view(
    examples: Examples, result: Linked, index: int, target: str
) -> ExampleView:
    """RETURNS (ExampleView): a mention for whose picture that of another entity was put
    in: a link to that entity is what is hoped for."""
    follows = result.evaluation.outcomes[index].predicted == target
    return replace(
        examples.view(result, index, n_candidates=2),
        good=follows,
        verdict="follows the picture" if follows else "did not follow the picture",
        note=f"picture of {examples.name(target)}",
    )


def _sentence(result: RowResult, index: int) -> tuple[Any, ...]:
    outcome = result.evaluation.outcomes[index]
    text = result.documents[outcome.document].text
    return text, outcome.start, outcome.end, outcome.gold


def _sections(
    results: Results, examples: Examples, names: set[str]
) -> Iterator[Section]:
    dwe = results[DWE]
    outcomes = dwe.evaluation.outcomes
    rule = "The first mention of each name not shown yet, whatever came of it."
    groups = dwe.evaluation.metrics["by"]
    irrelevant = next((group for group in groups if "irrelevant" in group), None)
    chosen: list[tuple[str, str, Callable[[int], bool]]] = [
        (
            "Undecidable by words",
            f"Only the picture tells which place is meant. {rule}",
            lambda i: UNDECIDABLE in outcomes[i].groups,
        ),
        (
            "Unseen places",
            "Neither CLIP nor the linker was trained on these places or on any other "
            f"of their name. {rule}",
            lambda i: UNSEEN in outcomes[i].groups,
        ),
        (
            "Pictures that say nothing",
            f"The picture shows something else, so the words must win. {rule}",
            lambda i: irrelevant is not None and irrelevant in outcomes[i].groups,
        ),
        (
            "Misses",
            "The first wrong link of each name not shown yet.",
            lambda i: not outcomes[i].correct,
        ),
    ]
    for title, note, belongs in chosen:
        views: list[ExampleView] = []
        for i, outcome in enumerate(outcomes):
            if outcome.text not in names and belongs(i) and len(views) < N_EXAMPLES:
                names.add(outcome.text)
                views.append(examples.view(dwe, i))
        if views:
            yield Section(title, note, views)


def _run(result: RowResult) -> dict[str, Any]:
    metrics = result.evaluation.metrics
    keys = ("protocol", "inputs", "n", "n_nil", "n_unlabelled")
    return {
        "name": result.row.name,
        "note": result.row.note,
        "channels": ", ".join(metrics["channels"]),
        **{key: metrics[key] for key in keys},
    }
