"""`python scripts/sample.py …`: make the places sample and its tiny CLIP, and report
what linkers trained on it do. The project's commands, see project.yml."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spacy_dwe.cli.errors import clear_errors, warning_lines
from spacy_dwe.cli.evaluate import COLUMNS, metrics_row
from spacy_dwe.cli.options import load_linking_pipeline, takes_code

if TYPE_CHECKING:
    from spacy_dwe.pipeline import DweLinker

sample_cli = typer.Typer(
    name="sample",
    help="The places sample: make it and its tiny CLIP, report on linkers",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

COUNTED = "documents", "mentions", "pictures", "undecidable", "decidable"

PlacesFile = Annotated[
    Path, typer.Argument(help="The places, one JSON object a line: places.jsonl")
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of all that is drawn")]


@sample_cli.command("places", no_args_is_help=True)
@clear_errors
def places_cli(
    places: PlacesFile,
    out: Annotated[Path, typer.Argument(help="Folder of the sample to be")],
    seed: Seed = 0,
    scale: Annotated[
        float,
        typer.Option("--scale", min=0.01, max=1.0, help="Share of the sentences"),
    ] = 1.0,
) -> None:
    """
    Write the "places" sample: entities, sentences, photographs of drawn flags, and the
    controls with pictures permuted and swapped. An earlier sample in OUT is replaced.
    """
    from wasabi import msg

    from places.build import build_places

    account = build_places(places, out, seed, scale)
    entities = account.pop("entities")
    msg.good(
        f"{entities['entities']} places, {entities['ambiguous_names']} shared names, "
        f"{entities['unseen']} unseen places, {entities['pictures']} with a picture"
    )
    others = sorted({group for counts in account.values() for group in counts})
    columns = [*COUNTED, *(group for group in others if group not in COUNTED)]
    rows = [
        (stem, *(counts[column] for column in columns))
        for stem, counts in account.items()
    ]
    aligns = ("l", *("r" for _ in columns))
    msg.table(rows, header=("", *columns), divider=True, aligns=aligns)
    msg.info(f"Written to {out}")


@sample_cli.command("clip", no_args_is_help=True)
@clear_errors
def clip_cli(
    places: PlacesFile,
    out: Annotated[Path, typer.Argument(help="Folder of the model to be")],
    config: Annotated[
        Path, typer.Option("--config", "-c", help="The model's shape and training")
    ],
    steps: Annotated[
        int, typer.Option("--steps", min=1, help="Length of the training")
    ] = 200,
    pairs: Annotated[
        float | None,
        typer.Option(
            "--pairs",
            min=0.0,
            help='Weight of pairs such as "red cross" [default: the config\'s]',
        ),
    ] = None,
    seed: Seed = 0,
    device: Annotated[
        str, typer.Option("--device", help="auto, cpu, cuda, …")
    ] = "auto",
) -> None:
    """
    Train a tiny CLIP on drawn flags and words for them, never on an unseen place's.
    OUT is then a model for `--clip local-dir:OUT`.
    """
    from wasabi import msg

    from places.clip import train_tiny_clip

    train_tiny_clip(
        places,
        out,
        config=config,
        steps=steps,
        pairs=pairs,
        seed=seed,
        device=device,
    )
    msg.good(f"Use it as local-dir:{out}")


@sample_cli.command("report", no_args_is_help=True)
@clear_errors
@takes_code
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

    from places.page import render
    from places.report import build_report
    from places.rows import PERMUTED, ROWS, SWAPPED, TEST, run_rows
    from spacy_dwe.files import require_file, require_writable, write_json, write_text

    for name in (TEST, PERMUTED, SWAPPED):
        require_file(corpus / f"{name}.jsonl")
    require_writable(output / "index.html")
    loaded = {
        name: load_linking_pipeline(pipeline, kb)
        for name, pipeline in pipelines.items()
    }
    _share_features(linker for _, linker in loaded.values())
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


def _share_features(linkers: "Iterable[DweLinker]") -> None:
    """Let linkers share encoder outputs, so that one picture that all of them see is
    encoded once.

    linkers (Iterable[DweLinker]): linkers of one process.
    """
    first, *others = linkers
    for linker in others:
        linker.cache = first.cache


def _print(msg: Any, by_row: dict[str, dict[str, Any]]) -> None:
    from places.report import ALL, ordered_groups

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


if __name__ == "__main__":
    sample_cli()
