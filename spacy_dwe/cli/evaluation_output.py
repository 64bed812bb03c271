"""What `evaluate` prints and writes."""

from pathlib import Path
from typing import Any

COLUMNS = {
    "n": "n",
    "Top-1": "top1",
    "Top-5": "top5",
    "Top-10": "top10",
    "Top-20": "top20",
    "MRR": "mrr",
    "R@10": "recall@10",
    "R@100": "recall@100",
    "NIL F1": "nil_f1",
    "ECE": "ece",
    "chance": "chance",
}


def metrics_row(name: str, metrics: dict[str, Any]) -> list[str]:
    """A line of the table: percent, the interval behind Top-1."""
    row = [name]
    for key in COLUMNS.values():
        value = metrics[key]
        if key == "n":
            row.append(f"{value:,}")
            continue
        cell = _percent(value)
        bounds = metrics["intervals"].get(key)
        if key == "top1" and bounds:
            cell += f" [{100 * bounds[0]:.1f}, {100 * bounds[1]:.1f}]"
        row.append(cell)
    return row


def print_metrics(msg: Any, metrics: dict[str, Any]) -> None:
    what = (
        f"{metrics['protocol']}, {metrics['inputs']}, {','.join(metrics['channels'])}"
    )
    rows = [metrics_row("all", metrics)]
    rows += [metrics_row(group, values) for group, values in metrics["by"].items()]
    aligns = ["l"] + ["r"] * len(COLUMNS)
    msg.divider(what)
    msg.table(rows, header=["", *COLUMNS], divider=True, aligns=aligns)
    if metrics["n_nil"] or metrics["n_unlabelled"]:
        msg.info(
            f"{metrics['n_nil']:,} mentions labelled NIL, {metrics['n_unlabelled']:,} "
            "without a label"
        )
    for kind, parts in metrics["breakdowns"].items():
        if len(parts) > 1:
            rows = [metrics_row(value, own) for value, own in parts.items()]
            msg.divider(f"by {kind}")
            msg.table(rows, header=["", *COLUMNS], divider=True, aligns=aligns)
    if metrics["n_injected"]:
        msg.warn(
            f"The right entity was put among the candidates of "
            f"{metrics['n_injected']:,} mentions (protocol paper)"
        )
    if "baselines" in metrics:
        _print_baselines(msg, metrics)
    if "end_to_end" in metrics:
        msg.divider("end to end, mentions as the pipeline finds them")
        msg.table(_end_to_end_rows(metrics["end_to_end"]), header=END_TO_END)


END_TO_END = ("", "precision", "recall", "F1")


def _end_to_end_rows(measured: dict[str, Any]) -> list[list[str]]:
    names = {"mention": "mentions", "micro": "links", "nil": "NIL"}
    return [
        [name, *(_percent(measured[f"{prefix}_{letter}"]) for letter in "prf")]
        for prefix, name in names.items()
    ]


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _print_baselines(msg: Any, metrics: dict[str, Any]) -> None:
    rows = [metrics_row("this linker", metrics)]
    for record in metrics["baselines"]:
        if record["metrics"] is None:
            rows.append([record["name"], record["reason"]])
        else:
            rows.append(metrics_row(record["name"], record["metrics"]))
    aligns = ["l"] + ["r"] * len(COLUMNS)
    msg.divider("baselines, same mentions and candidates")
    measured = [row for row in rows if len(row) > 2]
    msg.table(measured, header=["", *COLUMNS], divider=True, aligns=aligns)
    for name, reason in (row for row in rows if len(row) == 2):
        msg.text(f"{name}: not measured, {reason}")


def write_report(
    folder: Path,
    linker: Any,
    evaluation: Any,
    baselines: list[Any],
    data: Path,
    image_root: Path | None,
) -> list[Path]:
    """RETURNS (list[Path]): what was written."""
    from ..datasets.documents import documents_by_id
    from ..evaluation.evaluation_report import build_evaluation_report

    saw_pictures = evaluation.metrics["inputs"] != "text"
    report = build_evaluation_report(
        evaluation,
        linker.kb,
        documents_by_id(data, image_root),
        title=f"{data.parent.name}/{data.name}" if data.parent.name else data.name,
        baselines=baselines,
        image_root=image_root or data.parent,
        look=linker.look if linker.looks and saw_pictures else None,
    )
    return list(report.write(folder))


def write_results(
    linker: Any,
    evaluation: Any,
    texts: dict[str, str],
    output: Path | None,
    predictions: Path | None,
    trec: Path | None,
    nif: Path | None,
) -> list[Path]:
    """RETURNS (list[Path]): what was written."""
    from ..evaluation.nif import write_nif
    from ..evaluation.predictions import prediction_records, write_trec
    from ..files import write_json, write_jsonl

    if nif is not None:
        write_nif(nif, evaluation.outcomes, texts)
    if trec is not None:
        write_trec(trec, linker.kb, evaluation, linker.n_candidates)
    if predictions is not None:
        write_jsonl(predictions, prediction_records(linker.kb, evaluation))
    if output is not None:
        write_json(output, evaluation.metrics)
    return [path for path in (output, predictions, trec, nif) if path is not None]
