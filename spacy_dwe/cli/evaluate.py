"""`python -m spacy dwe evaluate`: how well a pipeline links a labelled file."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import BAR_DELAY
from ..files import require_file, require_writable
from ..visualise.page import percent
from .errors import warning_lines
from .options import (
    ChannelsOption,
    ImageRootOption,
    KBOption,
    PipelineArgument,
    SeedOption,
    load_linking_pipeline,
    parse_channels,
    parse_overrides,
    takes_code,
    tell_features,
)

if TYPE_CHECKING:
    from spacy.tokens import Doc

KEPT = 10
"""Best candidates of a mention in a file of predictions."""
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
END_TO_END = ("", "precision", "recall", "F1")


@takes_code
def evaluate_cli(
    ctx: typer.Context,
    pipeline: PipelineArgument,
    data: Annotated[Path, typer.Argument(help="Labelled documents, .jsonl or .spacy")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the metrics here (JSON)"),
    ] = None,
    kb: KBOption = None,
    channels: ChannelsOption = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            help="candidates (the linker's own), full (ranks the whole KB) or paper "
            "(100 by fuzzy name, the right entity put in)",
        ),
    ] = None,
    candidates: Annotated[
        str | None,
        typer.Option(
            "--candidates",
            help="names (similar ones), exact (equal ones), dense (nearest by "
            "vectors; a trained linker's own queries), hybrid (names and dense), "
            "fuzzy (WRatio) or all (the whole KB)",
        ),
    ] = None,
    train: Annotated[
        list[Path] | None,
        typer.Option(
            "--train",
            help="Training documents: golds are then told apart by whether they were "
            "seen there. May be repeated",
        ),
    ] = None,
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines",
            help="Measure chance, each channel, fitted features, a linear head, "
            "spaCy's EntityLinker and others beside it; some learn from --train",
        ),
    ] = False,
    dev: Annotated[
        Path | None,
        typer.Option(
            "--dev",
            help="Documents that choose settings of baselines [default: a tenth of "
            "--train]",
        ),
    ] = None,
    image_root: ImageRootOption = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions", help="Write each mention with its candidates here (JSONL)"
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            help="Write index.html and analysis.json into this folder: what was "
            "measured, plots, and a cause for every miss",
        ),
    ] = None,
    trec: Annotated[
        Path | None,
        typer.Option("--trec", help="Write run.txt and qrels.txt into this folder"),
    ] = None,
    nif: Annotated[
        Path | None, typer.Option("--nif", help="Write links here as NIF (Turtle)")
    ] = None,
    end_to_end: Annotated[
        bool,
        typer.Option(
            "--end-to-end", help="Link the mentions that the pipeline finds, too"
        ),
    ] = False,
    open_world: Annotated[
        bool,
        typer.Option(
            "--open-world",
            help="Measure wrong links of mentions whose entity is not in the KB, and "
            "right links of the others, along the threshold",
        ),
    ] = False,
    no_images: Annotated[
        bool, typer.Option("--no-images", help="Take the pictures away")
    ] = False,
    draws: Annotated[
        int,
        typer.Option("--draws", min=0, help="Bootstrap draws for the 95 % intervals"),
    ] = 10_000,
    seed: SeedOption = 0,
) -> None:
    """Link the labelled mentions of a file and measure Top-k, MRR, recall and NIL.

    The mentions are those of the file, a label of null is NIL, and the right entity is
    never added to the candidates, unless by --protocol paper, which the metrics state.
    Settings of the pipeline are overridden by their dotted name, such as
    --components.dwe_linker.threshold 0.3
    """
    evaluate(
        pipeline,
        data,
        output=output,
        kb=kb,
        channels=parse_channels(channels),
        protocol=protocol,
        candidates=candidates,
        train=train or (),
        baselines=baselines,
        dev=dev,
        image_root=image_root,
        predictions=predictions,
        report=report,
        trec=trec,
        nif=nif,
        end_to_end=end_to_end,
        open_world=open_world,
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
    protocol: str | None = None,
    candidates: str | None = None,
    train: Sequence[Path] = (),
    baselines: bool = False,
    dev: Path | None = None,
    image_root: Path | None = None,
    predictions: Path | None = None,
    report: Path | None = None,
    trec: Path | None = None,
    nif: Path | None = None,
    end_to_end: bool = False,
    open_world: bool = False,
    use_images: bool = True,
    overrides: dict[str, Any] | None = None,
    draws: int = 10_000,
    seed: int = 0,
    silent: bool = True,
) -> dict[str, Any]:
    """Evaluate a pipeline on a labelled file, see `evaluate_cli`.

    RETURNS (dict[str, Any]): what METRICS.json holds.
    """
    from tqdm import tqdm
    from wasabi import Printer

    from ..documents import labelled_docs
    from ..evaluation.baselines.results import baseline_records
    from ..evaluation.end_to_end import evaluate_end_to_end
    from ..evaluation.evaluate import evaluate_docs, require_known
    from ..evaluation.open_world import measure_open_world, require_open_world
    from ..evaluation.outcomes import gold_ids

    wanted: dict[str, Any] = {"protocol": protocol, "candidates": candidates}
    require_known(**wanted)
    if open_world:
        require_open_world(protocol)
    sources = [data, *train, *([dev] if dev else [])]
    for source in sources:
        require_file(source)
    results = _Results(output, predictions, report, trec, nif)
    results.check()
    nlp, linker = load_linking_pipeline(pipeline, kb, channels, overrides)

    def docs(*paths: Path) -> "list[Doc]":
        return [doc for path in paths for doc in labelled_docs(nlp, path, image_root)]

    texts: dict[str, str] = {}
    bar = partial(tqdm, unit=" docs", delay=BAR_DELAY, disable=silent)
    options: dict[str, Any] = {"use_images": use_images, "draws": draws, "seed": seed}
    with warning_lines(silent=silent):
        with bar(desc="Linking") as linked:
            evaluation = evaluate_docs(
                nlp,
                linker,
                _noting(labelled_docs(nlp, data, image_root), texts),
                seen=gold_ids(nlp, train) if train else None,
                keep=linker.n_candidates if trec else KEPT,
                source=str(data),
                progress=linked.update,
                **wanted,
                **options,
            )
        if open_world:
            assert linker.kb is not None, "load_linking_pipeline requires one"
            evaluation.metrics["open_world"] = measure_open_world(
                evaluation, linker.kb, draws=draws, seed=seed
            )
        rows = []
        if baselines:
            from ..evaluation.baselines.table import run_baselines

            with bar(desc="Baselines", unit=" rows", delay=0) as ran:

                def advance(name: str) -> None:
                    ran.set_postfix_str(name)
                    ran.update(1)

                rows = run_baselines(
                    nlp,
                    linker,
                    docs(data),
                    train=docs(*train) or None,
                    dev=docs(dev) if dev else None,
                    progress=advance,
                    **wanted,
                    **options,
                )
            evaluation.metrics["baselines"] = baseline_records(
                evaluation.outcomes, rows, draws, seed
            )
        if end_to_end:
            with bar(desc="End to end") as linked:
                evaluation.metrics["end_to_end"] = evaluate_end_to_end(
                    nlp,
                    labelled_docs(nlp, data, image_root),
                    progress=linked.update,
                    **options,
                )
    written = results.write(linker, evaluation, texts)
    if report is not None:
        written += write_report(report, linker, evaluation, rows, data, image_root)
    msg = Printer(no_print=silent, pretty=not silent)
    print_metrics(msg, evaluation.metrics)
    tell_features(msg, linker)
    for path in written:
        msg.good(f"Wrote {path}")
    return evaluation.metrics


@dataclass(frozen=True, slots=True)
class _Results:
    """Where results are written, see `evaluate_cli`; None: they are not."""

    output: Path | None
    predictions: Path | None
    report: Path | None
    trec: Path | None
    nif: Path | None

    def check(self) -> None:
        """Everything that can be known to fail, before the work."""
        from ..evaluation.predictions import require_rdflib
        from ..visualise.plots import require_matplotlib

        page = self.report and self.report / "index.html"
        run = self.trec and self.trec / "run.txt"
        for path in (page, run, self.predictions, self.output, self.nif):
            if path is not None:
                require_writable(path)
        if self.report is not None:
            require_matplotlib()
        if self.nif is not None:
            require_rdflib()

    def write(self, linker: Any, evaluation: Any, texts: dict[str, str]) -> list[Path]:
        """Write all but the report.

        RETURNS (list[Path]): what was written.
        """
        from ..evaluation.predictions import prediction_records, write_nif, write_trec
        from ..files import write_json, write_jsonl

        if self.nif is not None:
            write_nif(self.nif, evaluation.outcomes, texts)
        if self.trec is not None:
            write_trec(self.trec, linker.kb, evaluation, linker.n_candidates)
        if self.predictions is not None:
            write_jsonl(self.predictions, prediction_records(linker.kb, evaluation))
        if self.output is not None:
            write_json(self.output, evaluation.metrics)
        places = (self.output, self.predictions, self.trec, self.nif)
        return [path for path in places if path is not None]


def _noting(docs: "Iterable[Doc]", texts: dict[str, str]) -> "Iterator[Doc]":
    """The documents, whose texts are noted by id as they pass."""
    from ..tokens import DOCUMENT_ID

    for number, doc in enumerate(docs, start=1):
        texts[str(doc.user_data.get(DOCUMENT_ID, f"number {number}"))] = doc.text
        yield doc


def metrics_row(name: str, metrics: dict[str, Any]) -> list[str]:
    """A line of the table: percent, the interval behind Top-1."""
    row = [name]
    for key in COLUMNS.values():
        value = metrics[key]
        if key == "n":
            row.append(f"{value:,}")
            continue
        cell = percent(value)
        bounds = metrics["intervals"].get(key)
        if key == "top1" and bounds:
            cell += f" [{percent(bounds[0])}, {percent(bounds[1])}]"
        row.append(cell)
    return row


def print_metrics(msg: Any, metrics: dict[str, Any]) -> None:
    what = (
        f"{metrics['protocol']}, {metrics['inputs']}, {','.join(metrics['channels'])}"
    )
    _print_rows(msg, what, [("all", metrics), *metrics["by"].items()])
    if metrics["n_nil"] or metrics["n_unlabelled"]:
        msg.info(
            f"{metrics['n_nil']:,} mentions labelled NIL, {metrics['n_unlabelled']:,} "
            "without a label"
        )
    if metrics["n_left_out"]:
        msg.info(f"{metrics['n_left_out']:,} mentions left out by their labels")
    for kind, parts in metrics["breakdowns"].items():
        if len(parts) > 1:
            _print_rows(msg, f"by {kind}", parts.items())
    if metrics["n_injected"]:
        msg.warn(
            f"The right entity was put among the candidates of "
            f"{metrics['n_injected']:,} mentions (protocol paper)"
        )
    if "baselines" in metrics:
        rows = [(row["name"], row["metrics"]) for row in metrics["baselines"]]
        rows = [("this linker", metrics), *((n, m) for n, m in rows if m is not None)]
        _print_rows(msg, "baselines, same mentions and candidates", rows)
        for row in metrics["baselines"]:
            if row["metrics"] is None:
                msg.text(f"{row['name']}: not measured, {row['reason']}")
    if "open_world" in metrics:
        _print_open_world(msg, metrics)
    if "end_to_end" in metrics:
        msg.divider("end to end, mentions as the pipeline finds them")
        msg.table(_end_to_end_rows(metrics["end_to_end"]), header=END_TO_END)


def _print_rows(
    msg: Any, title: str, measured: Iterable[tuple[str, dict[str, Any]]]
) -> None:
    rows = [metrics_row(name, metrics) for name, metrics in measured]
    aligns = ["l"] + ["r"] * len(COLUMNS)
    msg.divider(title)
    msg.table(rows, header=["", *COLUMNS], divider=True, aligns=aligns)


def _print_open_world(msg: Any, metrics: dict[str, Any]) -> None:
    from ..visualise.tables import open_world_table

    table = open_world_table(metrics)
    rows = [[row.name, *(cell.value for cell in row.cells)] for row in table.rows]
    aligns = ["l"] + ["r"] * len(table.columns)
    header = [table.lines, *table.columns]
    msg.divider(table.title.lower())
    msg.table(rows, header=header, divider=True, aligns=aligns)
    msg.info(table.note)
    if not metrics["open_world"]["n_outside"]:
        msg.warn(
            "Every labelled entity is in the KB, so no link of another can be wrong: "
            "`convert open-world` cuts a KB for such a test"
        )


def _end_to_end_rows(measured: dict[str, Any]) -> list[list[str]]:
    names = {"mention": "mentions", "micro": "links", "nil": "NIL"}
    return [
        [name, *(percent(measured[f"{prefix}_{letter}"]) for letter in "prf")]
        for prefix, name in names.items()
    ]


def write_report(
    folder: Path,
    linker: Any,
    evaluation: Any,
    baselines: list[Any],
    data: Path,
    image_root: Path | None,
) -> list[Path]:
    """RETURNS (list[Path]): what was written."""
    from ..documents import documents_by_id
    from ..visualise.report import build_evaluation_report

    saw_pictures = evaluation.metrics["inputs"] != "text"
    report = build_evaluation_report(
        evaluation,
        linker.kb,
        documents_by_id(data, image_root, linker.spans_key),
        title=f"{data.parent.name}/{data.name}" if data.parent.name else data.name,
        baselines=baselines,
        image_root=image_root or data.parent,
        look=linker.look if linker.looks and saw_pictures else None,
        compare=linker.picture_vectors if saw_pictures else None,
    )
    return list(report.write(folder))
