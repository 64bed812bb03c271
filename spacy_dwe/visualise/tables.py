"""Tables and main figures of the page of one evaluation."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..evaluation.baselines.results import Baseline
from ..evaluation.causes import TAG_TITLES, title_and_meaning
from ..evaluation.error_analysis import ErrorAnalysis
from ..evaluation.misses import ChannelVotes
from .page import Cell, Headline, Table, TableRow, interval, percent, signed

COLUMNS = {
    "Top-1": "top1",
    "Top-5": "top5",
    "Top-10": "top10",
    "MRR": "mrr",
    "recall@100": "recall@100",
    "NIL F1": "nil_f1",
}
THIS_RUN = "this run"
OPEN_WORLD = {
    "wrong": "wrong_link_rate",
    "right": "right_links",
    "precision": "precision",
    "area": "average_precision",
    "right at 1 %": "right_at_1",
    "5 %": "right_at_5",
    "9 %": "right_at_9",
}
OPEN_WORLD_SYSTEMS = {"linker": THIS_RUN, "name_equality": "equal names"}
BREAKDOWNS = {
    "type": "By type of mention",
    "ambiguity": "By how many entities bear the mention’s name",
    "image": "By picture",
    "seen": "By whether the entity was seen in training",
}


def run_facts(metrics: Mapping[str, Any], n_entities: int) -> list[tuple[str, str]]:
    """RETURNS (list[tuple[str, str]]): what was run, by name."""
    n_nil, unlabelled = metrics["n_nil"], metrics["n_unlabelled"]
    mentions = f"{metrics['n']:,} with an entity"
    if n_nil:
        mentions += f", {n_nil:,} labelled NIL"
    if unlabelled:
        mentions += f", {unlabelled:,} without a label left out"
    injected = metrics.get("injected", False)
    return [
        ("Protocol", metrics["protocol"]),
        (
            "Right entity added to the candidates",
            "yes: recall and ranks are those of a given list" if injected else "no",
        ),
        ("Inputs", metrics["inputs"]),
        ("Channels", ", ".join(metrics["channels"])),
        ("Mentions", mentions),
        ("Documents", f"{metrics['n_documents']:,}"),
        ("KnowledgeBase", f"{n_entities:,} entities"),
    ]


def headlines(metrics: Mapping[str, Any], n_misses: int) -> list[Headline]:
    """RETURNS (list[Headline]): the main figures with their intervals."""
    shown = []
    names = {"Top-1": "top1", "MRR": "mrr", "recall@100": "recall@100"}
    for label, key in names.items():
        if metrics.get(key) is None:
            continue
        shown.append(Headline(label, percent(metrics[key]), _bounds(metrics, key)))
    accuracy = metrics["accuracy"]
    note = _bounds(metrics, "accuracy") or "NIL among the decisions"
    shown.append(Headline("Right decisions", percent(accuracy), note))
    if metrics["nil_f1"] is not None and metrics["n_nil"]:
        parts = (percent(metrics["nil_precision"]), percent(metrics["nil_recall"]))
        note = "precision {}, recall {}".format(*parts)
        shown.append(Headline("NIL F1", percent(metrics["nil_f1"]), note))
    if metrics.get("ece") is not None:
        note = "0 where probabilities are right as often as they say"
        shown.append(Headline("Calibration error", percent(metrics["ece"]), note))
    total = metrics["n"] + metrics["n_nil"]
    note = f"wrong of {total:,} decisions"
    shown.append(Headline("Misses", f"{n_misses:,}", note))
    return shown


def baselines_table(metrics: Mapping[str, Any], baselines: Sequence[Baseline]) -> Table:
    """The run beside its baselines."""
    rows = [_metrics_row(THIS_RUN, metrics, "main"), *map(_baseline_row, baselines)]
    if not baselines:
        return Table("Metrics", "percent", ["n", *COLUMNS], rows, lines="Run")
    rows[0].cells.append(Cell(""))
    columns = ["n", *COLUMNS, "Note"]
    return Table("This run and its baselines", "percent", columns, rows, lines="Run")


def breakdown_tables(metrics: Mapping[str, Any]) -> list[Table]:
    """One table for each way to split the mentions, and one for their groups."""
    splits = {
        title: metrics.get("breakdowns", {}).get(key, {})
        for key, title in BREAKDOWNS.items()
    }
    splits["By group"] = metrics.get("by", {})
    tables = []
    for title, parts in splits.items():
        rows = [_metrics_row(str(part), measured) for part, measured in parts.items()]
        if rows:
            rows.append(_metrics_row("all", metrics, "main"))
            table = Table(title, "percent", ["n", *COLUMNS], rows, lines="Mentions")
            tables.append(table)
    return tables


def open_world_table(metrics: Mapping[str, Any]) -> Table:
    """Right and wrong links of the run, beside those of equal names."""
    measured = metrics["open_world"]
    rows = [
        TableRow(f"{part}, {name}" if part else name, _open_world_cells(of[key]), kind)
        for part, of in (("", measured), *measured["by"].items())
        for (key, name), kind in zip(
            OPEN_WORLD_SYSTEMS.items(), ("" if part else "main", "")
        )
    ]
    note = (
        f"percent; wrong: links of {measured['n_outside']:,} mentions whose entity is "
        f"not in the KB; right: right links of {measured['n_inside']:,} whose entity "
        "is; area: under precision over right links; then right with at most 1, 5 and "
        f"9 % wrong. {metrics['n_unlabelled']:,} mentions without a label are left out"
    )
    return Table("Open world", note, list(OPEN_WORLD), rows, lines="Run")


def votes_table(analysis: ErrorAnalysis) -> Table:
    """How often each channel voted for the gold, on misses and on hits."""
    rows = []
    for channel in analysis.channels():
        misses = analysis.votes.on_misses.get(channel, ChannelVotes())
        hits = analysis.votes.on_hits.get(channel, ChannelVotes())
        rows.append(TableRow(channel, [*_votes(misses), *_votes(hits)]))
    columns = [
        f"{what}, {where}"
        for where in ("misses", "hits")
        for what in ("for", "against", "silent", "mean")
    ]
    n_misses = max((v.n for v in analysis.votes.on_misses.values()), default=0)
    n_hits = max((v.n for v in analysis.votes.on_hits.values()), default=0)
    note = (
        f"percent of {n_misses:,} misses with the right entity among the candidates "
        f"(against its rival) and of {n_hits:,} hits (against the runner-up); mean "
        "difference in logits"
    )
    return Table("Votes of the channels", note, columns, rows, lines="Channel")


def outvoted_table(analysis: ErrorAnalysis) -> Table:
    """Which channel for the gold was outvoted by which."""
    pairs = {(voter, by): n for voter, by, n in analysis.outvoted()}
    columns = [c for c in analysis.channels() if any(by == c for _, by in pairs)]
    rows = [
        TableRow(voter, [Cell(f"{pairs.get((voter, by), 0):,}") for by in columns])
        for voter in analysis.channels()
        if any(v == voter for v, _ in pairs)
    ]
    note = "misses, by who voted for the right entity and who most strongly against it"
    heads = [f"by {column}" for column in columns]
    return Table("Outvoted", note, heads, rows, lines="For the right entity")


def tags_table(analysis: ErrorAnalysis) -> Table:
    """All that applies to the misses; one miss may have several."""
    total = len(analysis.misses)
    rows = [
        TableRow(tag_title(tag), [Cell(f"{n:,}"), Cell(percent(n / total))])
        for tag, n in analysis.tags().items()
    ]
    note = "a miss may have several"
    return Table("Everything that applies", note, ["n", "percent"], rows, lines="Tag")


def tag_title(tag: str) -> str:
    """RETURNS (str): a tag in words."""
    kind, _, channel = tag.partition(":")
    if channel:
        words = {"for": "for the gold", "against": "against the gold"}
        return f"{channel} {words.get(kind, 'is the strongest evidence')}"
    return TAG_TITLES.get(tag) or title_and_meaning(tag)[0]


def _baseline_row(baseline: Baseline) -> TableRow:
    if baseline.metrics is None:
        unknown = [Cell("–")] * (len(COLUMNS) + 1)
        reason = Cell(baseline.reason or "not measured", baseline.note)
        return TableRow(baseline.name, [*unknown, reason], "control")
    row = _metrics_row(baseline.name, baseline.metrics)
    row.cells.append(Cell(baseline.note))
    return row


def _metrics_row(name: str, metrics: Mapping[str, Any], kind: str = "") -> TableRow:
    cells = [Cell(f"{metrics['n']:,}")]
    for key in COLUMNS.values():
        undefined = key == "nil_f1" and not metrics["n_nil"]
        value = None if undefined else metrics.get(key)
        bounds = metrics.get("intervals", {}).get(key)
        cells.append(Cell(percent(value), interval(bounds)))
    return TableRow(name, cells, kind)


def _open_world_cells(measured: Mapping[str, Any]) -> list[Cell]:
    bounds = measured["intervals"]
    return [
        Cell(percent(measured[key]), interval(bounds.get(key)))
        for key in OPEN_WORLD.values()
    ]


def _bounds(metrics: Mapping[str, Any], key: str) -> str:
    bounds = metrics.get("intervals", {}).get(key)
    return f"interval {interval(bounds)}" if bounds else ""


def _votes(votes: ChannelVotes) -> list[Cell]:
    if not votes.n:
        return [Cell("–")] * 4
    counts = (votes.n_for, votes.n_against, votes.n_silent)
    mean = Cell(signed(votes.total / votes.n, 2))
    return [*(Cell(percent(count / votes.n)) for count in counts), mean]
