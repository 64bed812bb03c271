"""`python -m spacy dwe report`: the rows of the places sample and their page."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .errors import warning_lines
from .evaluation_output import COLUMNS, metrics_row
from .pipelines import load_linking_pipeline, share_features


def report_cli(
    corpus: Annotated[
        Path,
        typer.Argument(
            help="Folder with test.jsonl, test-permuted.jsonl and test-swapped.jsonl"
        ),
    ],
    dwe: Annotated[str, typer.Option("--dwe", help="Pipeline trained with everything")],
    no_dwe: Annotated[
        str, typer.Option("--no-dwe", help="Pipeline trained without dwe")
    ],
    text_only: Annotated[
        str, typer.Option("--text-only", help="Pipeline trained without pictures")
    ],
    metrics: Annotated[
        Path, typer.Option("--metrics", help="Folder for ROW.json")
    ] = Path("metrics"),
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for index.html")
    ] = Path("report"),
    kb: Annotated[
        Path | None,
        typer.Option("--kb", help="KnowledgeBase to use instead of the pipelines' own"),
    ] = None,
    image_root: Annotated[
        Path | None,
        typer.Option(
            "--image-root", help="Where relative pictures start [default: CORPUS]"
        ),
    ] = None,
    draws: Annotated[
        int,
        typer.Option("--draws", min=0, help="Bootstrap draws for the 95 % intervals"),
    ] = 2000,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the draws")] = 0,
) -> None:
    """Evaluate every row of the places sample and write the report."""
    report(
        corpus,
        {"dwe": dwe, "no-dwe": no_dwe, "text-only": text_only},
        metrics=metrics,
        output=output,
        kb=kb,
        image_root=image_root,
        draws=draws,
        seed=seed,
        silent=False,
    )


def report(
    corpus: Path,
    pipelines: dict[str, str],
    *,
    metrics: Path,
    output: Path,
    kb: Path | None = None,
    image_root: Path | None = None,
    draws: int = 2000,
    seed: int = 0,
    silent: bool = True,
) -> dict[str, dict[str, Any]]:
    """Evaluate every row, write `metrics/ROW.json` and `output/index.html`.

    pipelines (dict[str, str]): by name: dwe, no-dwe, text-only.
    RETURNS (dict[str, dict]): the metrics by row.
    """
    from tqdm import tqdm
    from wasabi import Printer

    from ..evaluation.report import render
    from ..evaluation.sample_report import build_report
    from ..evaluation.sample_rows import PERMUTED, ROWS, SWAPPED, TEST, run_rows
    from ..files import require_file, require_writable, write_json, write_text

    for name in (TEST, PERMUTED, SWAPPED):
        require_file(corpus / f"{name}.jsonl")
    require_writable(output / "index.html")
    loaded = {
        name: load_linking_pipeline(pipeline, kb)
        for name, pipeline in pipelines.items()
    }
    share_features(linker for _, linker in loaded.values())
    with (
        tqdm(total=len(ROWS), desc="Rows", disable=silent) as bar,
        warning_lines(silent=silent),
    ):

        def advance(name: str) -> None:
            bar.set_postfix_str(name)
            bar.update(1)

        results = run_rows(
            loaded,
            corpus,
            image_root=image_root,
            draws=draws,
            seed=seed,
            progress=advance,
        )
    linker = loaded["dwe"][1]
    assert linker.kb is not None
    look = linker.look if linker.looks else None
    page = render(build_report(results, linker.kb, image_root or corpus, look))
    by_row = {name: result.evaluation.metrics for name, result in results.items()}
    for name, measured in by_row.items():
        write_json(metrics / f"{name}.json", measured)
    write_text(output / "index.html", page)
    msg = Printer(no_print=silent, pretty=not silent)
    _print(msg, by_row)
    msg.good(f"Wrote {output / 'index.html'} and {len(by_row)} files in {metrics}")
    return by_row


def _print(msg: Any, by_row: dict[str, dict[str, Any]]) -> None:
    from ..evaluation.sample_report import ALL, ordered_groups

    everything = by_row["dwe"]
    for group in ordered_groups(everything):
        rows = [
            metrics_row(name, metrics if group == ALL else metrics["by"][group])
            for name, metrics in by_row.items()
            if group == ALL or group in metrics["by"]
        ]
        msg.divider(group)
        aligns = ["l"] + ["r"] * len(COLUMNS)
        msg.table(rows, header=["", *COLUMNS], divider=True, aligns=aligns)
        difference = everything["difference"]
        measured = difference if group == ALL else difference["by"][group]
        if "top1" in measured:
            low, high = (100 * bound for bound in measured["top1"]["interval"])
            points = 100 * measured["top1"]["difference"]
            msg.text(f"dwe − no-dwe, Top-1: {points:+.1f} [{low:+.1f}, {high:+.1f}]")
    swap = by_row["test-swapped"]["swap"]
    if swap["flip_rate"] is not None:
        low, high = (100 * bound for bound in swap["interval"])
        msg.text(
            f"Links that follow a swapped picture: {100 * swap['flip_rate']:.1f} "
            f"[{low:.1f}, {high:.1f}] of {swap['n']:,} undecidable mentions"
        )
