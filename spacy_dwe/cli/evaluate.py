"""`python -m spacy dwe evaluate`: how well a pipeline links a labelled file."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import DweError, Errors
from .errors import BAR_DELAY, warning_lines
from .pipelines import (
    ChannelsOption,
    KBOption,
    load_linking_pipeline,
    parse_channels,
    parse_overrides,
)

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
    "chance": "chance",
}


def evaluate_cli(
    ctx: typer.Context,
    pipeline: Annotated[
        str, typer.Argument(help="Folder or name of a pipeline, or blank:xx with --kb")
    ],
    data: Annotated[Path, typer.Argument(help="Labelled documents, .jsonl or .spacy")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the metrics here (JSON)"),
    ] = None,
    kb: KBOption = None,
    channels: ChannelsOption = None,
    candidates: Annotated[
        str | None,
        typer.Option(
            "--candidates",
            help="names (similar ones), exact (equal ones), dense (nearest "
            "descriptions), hybrid (names and dense) or all (the whole KB)",
        ),
    ] = None,
    image_root: Annotated[
        Path | None, typer.Option("--image-root", help="Where relative pictures start")
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions", help="Write each mention with its candidates here (JSONL)"
        ),
    ] = None,
    no_images: Annotated[
        bool, typer.Option("--no-images", help="Take the pictures away")
    ] = False,
    draws: Annotated[
        int,
        typer.Option("--draws", min=0, help="Bootstrap draws for the 95 % intervals"),
    ] = 2000,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the draws")] = 0,
) -> None:
    """Link the labelled mentions of a file and measure Top-k, MRR, recall and NIL.

    The mentions are those of the file, a label of null is NIL, and the right entity is
    never added to the candidates. Settings of the pipeline are overridden by their
    dotted name, such as --components.dwe_linker.threshold 0.3
    """
    evaluate(
        pipeline,
        data,
        output=output,
        kb=kb,
        channels=parse_channels(channels),
        candidates=candidates,
        image_root=image_root,
        predictions=predictions,
        use_images=not no_images,
        overrides=parse_overrides(ctx.args),
        draws=draws,
        seed=seed,
        silent=False,
    )


def evaluate(
    pipeline: str | Path,
    data: Path,
    *,
    output: Path | None = None,
    kb: Path | None = None,
    channels: list[str] | None = None,
    candidates: str | None = None,
    image_root: Path | None = None,
    predictions: Path | None = None,
    use_images: bool = True,
    overrides: dict[str, Any] | None = None,
    draws: int = 2000,
    seed: int = 0,
    silent: bool = True,
) -> dict[str, Any]:
    """Evaluate a pipeline on a labelled file, see `evaluate_cli`.

    RETURNS (dict[str, Any]): what METRICS.json holds.
    """
    from tqdm import tqdm
    from wasabi import Printer

    from ..datasets.documents import labelled_docs
    from ..evaluation.evaluate import GENERATORS, evaluate_docs, prediction_records
    from ..files import require_file, require_writable, write_json, write_jsonl

    if candidates is not None and candidates not in GENERATORS:
        what, choices = "--candidates", ", ".join(GENERATORS)
        raise DweError(Errors.E413.format(what=what, value=candidates, choices=choices))
    require_file(data)
    for path in (output, predictions):
        if path is not None:
            require_writable(path)
    nlp, linker = load_linking_pipeline(pipeline, kb, channels, overrides)
    docs = labelled_docs(nlp, data, image_root)
    with (
        tqdm(desc="Linking", unit=" docs", delay=BAR_DELAY, disable=silent) as bar,
        warning_lines(silent=silent),
    ):
        evaluation = evaluate_docs(
            nlp,
            linker,
            docs,
            candidates=candidates,
            use_images=use_images,
            draws=draws,
            seed=seed,
            source=str(data),
            progress=bar.update,
        )
    if predictions is not None:
        write_jsonl(predictions, prediction_records(linker, evaluation))
    if output is not None:
        write_json(output, evaluation.metrics)
    msg = Printer(no_print=silent, pretty=not silent)
    _print(msg, evaluation.metrics)
    for path in (output, predictions):
        if path is not None:
            msg.good(f"Wrote {path}")
    return evaluation.metrics


def metrics_row(name: str, metrics: dict[str, Any]) -> list[str]:
    """A line of the table: percent, the interval behind Top-1."""
    row = [name]
    for key in COLUMNS.values():
        value = metrics[key]
        if key == "n":
            row.append(f"{value:,}")
            continue
        cell = "–" if value is None else f"{100 * value:.1f}"
        bounds = metrics["intervals"].get(key)
        if key == "top1" and bounds:
            cell += f" [{100 * bounds[0]:.1f}, {100 * bounds[1]:.1f}]"
        row.append(cell)
    return row


def _print(msg: Any, metrics: dict[str, Any]) -> None:
    what = (
        f"{metrics['protocol']}, {metrics['inputs']}, {','.join(metrics['channels'])}"
    )
    rows = [metrics_row("all", metrics)]
    rows += [metrics_row(group, values) for group, values in metrics["by"].items()]
    msg.divider(what)
    msg.table(
        rows, header=["", *COLUMNS], divider=True, aligns=["l"] + ["r"] * len(COLUMNS)
    )
    if metrics["n_nil"] or metrics["n_unlabelled"]:
        msg.info(
            f"{metrics['n_nil']:,} mentions labelled NIL, {metrics['n_unlabelled']:,} "
            "without a label"
        )
