"""`python -m spacy dwe calibrate`: the temperature of a linker's probabilities."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import DweError, Errors
from .errors import warning_lines
from .pipelines import load_linking_pipeline

WEIGHTS = "model.safetensors"


def calibrate_cli(
    pipeline: Annotated[Path, typer.Argument(help="Folder of a trained pipeline")],
    data: Annotated[
        Path,
        typer.Argument(help="Labelled documents it was not trained on, such as dev"),
    ],
    image_root: Annotated[
        Path | None, typer.Option("--image-root", help="Where relative pictures start")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Measure, and leave the pipeline as it is")
    ] = False,
) -> None:
    """Fit the temperature of a trained linker's probabilities.

    One number divides all its scores, NIL's too, so that no order of candidates
    changes, and with the threshold 0 no link. Only the file with the linker's weights
    is replaced.
    """
    calibrate(
        pipeline, data, image_root=image_root, dry_run=dry_run, show_progress=True
    )


def calibrate(
    pipeline: Path,
    data: Path,
    *,
    image_root: Path | None = None,
    dry_run: bool = False,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Calibrate a pipeline in its folder, see `calibrate_cli`.

    RETURNS (dict[str, Any]): temperature, and expected calibration error before
        and after.
    RAISES (DweError): no pipeline was trained and saved there, or the data
        has no label.
    """
    from tqdm import tqdm
    from wasabi import Printer

    from ..datasets.documents import labelled_docs
    from ..evaluation.evaluate import evaluate_docs
    from ..files import replacing, require_file
    from ..training.temperature import fit_temperature
    from .errors import BAR_DELAY

    require_file(data)
    with warning_lines():
        nlp, linker = load_linking_pipeline(pipeline)
        weights = Path(pipeline) / linker.name / WEIGHTS
        if not weights.is_file():
            raise DweError(Errors.E540.format(pipeline=pipeline))
        if not linker.network_shim.is_built:
            raise DweError(Errors.E541.format(pipeline=pipeline))
        docs = tqdm(
            labelled_docs(nlp, data, image_root),
            unit=" documents",
            delay=BAR_DELAY,
            leave=False,
            disable=not show_progress,
        )
        measured = evaluate_docs(
            nlp, linker, docs, keep=linker.n_candidates, draws=0, source=str(data)
        )
        kb = linker.kb
        assert kb is not None, "a linking pipeline has one"
        golds = [outcome.gold or "" for outcome in measured.outcomes]
        temperature = fit_temperature(measured.scored, kb.rows_of(golds))
        linker.network_shim.network.combiner.divide_logits(temperature)
        again = evaluate_docs(
            nlp, linker, labelled_docs(nlp, data, image_root), keep=0, draws=0
        )
    if not dry_run:
        with replacing(weights) as draft:
            draft.write_bytes(linker.network_shim.to_bytes())
    before, after = measured.metrics["ece"], again.metrics["ece"]
    msg = Printer(no_print=not show_progress, pretty=show_progress)
    msg.text(
        f"Temperature {temperature:.3f}, expected calibration error {before:.4f} "
        f"before and {after:.4f} after, of {len(measured.outcomes)} mentions"
    )
    if not dry_run:
        msg.good(f"Calibrated {pipeline}")
    return {"temperature": temperature, "ece_before": before, "ece_after": after}
