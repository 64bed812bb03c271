"""The table of a study as Markdown, for people."""

from collections.abc import Iterator, Mapping, Sequence

from study.table import Cell, StudyTable

NAMES = {"top1": "Top-1", "mrr": "MRR", "nil_f1": "NIL F1"}
FEW_SEEDS = 3
HEADS = (
    *("variant", "kind", "than", "by", "n", "seeds", "points", "p", "p (Holm)"),
    *("detectable", ""),
)


def study_markdown(
    title: str,
    table: StudyTable,
    *,
    setting: str = "",
    failed: Mapping[str, str] | None = None,
) -> str:
    """RETURNS (str): the results and the differences of a study, and how to read them.

    title (str): heading.
    setting (str): a line that says by what protocol and on what was measured.
    failed (Mapping[str, str] | None): why runs failed, by name.
    """
    lines = [f"# {title}", ""]
    if setting:
        lines += [setting, ""]
    lines += [*_notes(table, failed or {}), "", "## Variants", ""]
    lines += [*_means(table.means), "", "## Differences", ""]
    lines += _differences(table.differences)
    return "\n".join(lines).rstrip() + "\n"


def _notes(table: StudyTable, failed: Mapping[str, str]) -> Iterator[str]:
    n_seeds = [len(cell.seeds) for cell in table.means]
    seeds = _range(n_seeds)
    yield (
        f"Percent, mean over {seeds} seeds; {table.n_mentions:,} mentions in "
        f"{table.n_documents:,} documents. In brackets the 95 % interval: "
        f"{table.draws:,} draws of seeds and documents, paired in differences, the "
        "wider the fewer seeds there are. p by randomisation, Holm's correction over "
        f"all {len(table.differences):,} differences. Detectable is the smallest "
        "difference that this table would show four times out of five. What is not "
        "significant is not shown; that does not say that there is no difference."
    )
    if min(n_seeds, default=FEW_SEEDS) < FEW_SEEDS:
        yield ""
        yield (
            f"**Fewer than {FEW_SEEDS} seeds**: how much training again would change "
            "is known badly, and with one seed not at all; the interval is then of the "
            "documents alone."
        )
    for name, reason in failed.items():
        yield ""
        yield f"**Failed**: {name}: {reason}"


def _means(cells: Sequence[Cell]) -> Iterator[str]:
    columns = list(dict.fromkeys((cell.metric, cell.part) for cell in cells))
    heads = ["variant", "kind", "seeds", *(column_name(*column) for column in columns)]
    yield _row(heads)
    yield _row(["---", "---", "---:", *("---:" for _ in columns)])
    by_name: dict[str, dict[tuple[str, str], Cell]] = {}
    for cell in cells:
        by_name.setdefault(cell.name, {})[cell.metric, cell.part] = cell
    for name, own in by_name.items():
        first = next(iter(own.values()))
        shown = [_interval(own[column]) if column in own else "" for column in columns]
        yield _row([name, first.kind, str(len(first.seeds)), *shown])


def _differences(cells: Sequence[Cell]) -> Iterator[str]:
    for question in dict.fromkeys(cell.question for cell in cells):
        if question:
            yield f"### {question}"
            yield ""
        yield _row(HEADS)
        yield _row([*["---"] * 4, *["---:"] * 6, "---"])
        for cell in cells:
            if cell.question == question:
                *cells_of, verdict = difference_row(cell)
                shown = verdict if verdict == "not shown" else f"**{verdict}**"
                yield _row([*cells_of, shown])
        yield ""


def difference_row(cell: Cell) -> list[str]:
    """RETURNS (list[str]): a difference under `HEADS`."""
    estimate = cell.estimate
    assert estimate.p is not None and cell.detectable is not None
    assert cell.p_holm is not None and cell.verdict is not None
    return [
        cell.name,
        cell.kind,
        cell.against or "",
        column_name(cell.metric, cell.part),
        f"{cell.n:,}",
        str(len(cell.seeds)),
        _interval(cell, sign="+"),
        f"{estimate.p:.4f}",
        f"{cell.p_holm:.4f}",
        f"{100 * cell.detectable:.2f}",
        cell.verdict,
    ]


def _interval(cell: Cell, sign: str = "") -> str:
    low, high = (100 * bound for bound in cell.estimate.interval)
    digits = 2 if sign else 1
    value = 100 * cell.estimate.value
    return f"{value:{sign}.{digits}f} [{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]"


def column_name(metric: str, part: str) -> str:
    """RETURNS (str): what tables and plots call a metric of a part."""
    names = {"all": "", "gold:seen": "gold seen", "gold:unseen": "gold unseen"}
    where = names.get(part, part)
    return f"{NAMES[metric]}, {where}" if where else NAMES[metric]


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers, default=0), max(numbers, default=0)
    return str(low) if low == high else f"{low} to {high}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
