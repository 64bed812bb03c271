"""`python -m spacy dwe calibrate`: the temperature of a linker's probabilities."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import BAR_DELAY, DweError, Errors
from .errors import warning_lines
from .options import ImageRootOption, load_linking_pipeline, takes_code

WEIGHTS = "model.safetensors"
ENOUGH_NIL = 20
"""Mentions labelled NIL from which on it is fitted when to choose NIL."""
NAMES = {
    "ece": "Expected calibration error",
    "accuracy": "Right decisions, NIL among them",
}


@takes_code
def calibrate_cli(
    pipeline: Annotated[Path, typer.Argument(help="Folder of a trained pipeline")],
    data: Annotated[
        Path,
        typer.Argument(help="Labelled documents it was not trained on, such as dev"),
    ],
    image_root: ImageRootOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Measure, and leave the pipeline as it is")
    ] = False,
) -> None:
    """Fit a trained linker's probabilities to documents it has not seen.

    One temperature divides the scores of candidates, whose order stays as it is. Where
    documents are labelled NIL, when NIL is chosen is fitted with it; elsewhere NIL's
    score is divided, too, and with the threshold 0 no link changes. Only the file with
    the linker's weights is replaced.
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

    RETURNS (dict[str, Any]): temperature, whether NIL was fitted, and accuracy and
        expected calibration error before and after.
    RAISES (DweError): no pipeline was trained and saved there, or the data
        has no label.
    """
    import torch
    from tqdm import tqdm
    from wasabi import Printer

    from ..documents import labelled_docs
    from ..evaluation.evaluate import evaluate_docs
    from ..files import replacing, require_file
    from ..training.calibration import Calibration, fit_calibration, fit_temperature

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
        combiner = linker.network_shim.network.combiner
        golds = [outcome.gold for outcome in measured.outcomes]
        rows = kb.rows_of([gold or "" for gold in golds])
        if golds.count(None) >= ENOUGH_NIL:
            nil = combiner.nil.detach().cpu().numpy()
            fitted = fit_calibration(measured.scored, rows, nil)
        else:
            fitted = Calibration(fit_temperature(measured.scored, rows))
        nil_weights = None if fitted.nil is None else torch.from_numpy(fitted.nil)
        combiner.divide_logits(fitted.temperature, nil_weights)
        again = evaluate_docs(
            nlp, linker, labelled_docs(nlp, data, image_root), keep=0, draws=0
        )
    if not dry_run:
        with replacing(weights) as draft:
            draft.write_bytes(linker.network_shim.to_bytes())
    result = {"temperature": fitted.temperature, "nil": fitted.nil is not None}
    for name in ("ece", "accuracy"):
        result[f"{name}_before"] = measured.metrics[name]
        result[f"{name}_after"] = again.metrics[name]
    msg = Printer(no_print=not show_progress, pretty=show_progress)
    msg.text(
        f"Temperature {fitted.temperature:.3f}"
        f"{' and when NIL is chosen' if result['nil'] else ''}, fitted to "
        f"{len(golds)} mentions"
    )
    for name, what in NAMES.items():
        was, is_now = result[f"{name}_before"], result[f"{name}_after"]
        msg.text(f"{what}: {was:.4f} before, {is_now:.4f} after")
    if not dry_run:
        msg.good(f"Calibrated {pipeline}")
    return result
