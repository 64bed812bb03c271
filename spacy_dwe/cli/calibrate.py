"""`python -m spacy dwe calibrate`: the temperature of a linker's probabilities."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import BAR_DELAY, DweError, Errors
from .errors import warning_lines
from .options import (
    ImageRootOption,
    load_linking_pipeline,
    takes_code,
    tell_features,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from ..linking.annotate import ScoredMention

STATE = "cfg"
WEIGHTS = "model.safetensors"
NAMES = {
    "surprise": "Negative log-likelihood",
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
    force: Annotated[
        bool, typer.Option("--force", help="Calibrate even where it does not help")
    ] = False,
) -> None:
    """Fit a trained linker's probabilities to documents it has not seen.

    One temperature divides the scores of candidates, whose order stays as it is. Where
    documents are labelled NIL, or with entities that the KB lacks, when NIL is chosen
    is fitted with it, and the share of the others becomes what `kb_coverage` starts
    from; elsewhere NIL's score is divided, too, and with the threshold 0 no link
    changes.

    What it is worth is measured on documents held out, five times a fifth of them.
    Where it does not help there, the pipeline stays as it is.
    """
    calibrate(
        pipeline,
        data,
        image_root=image_root,
        dry_run=dry_run,
        force=force,
        show_progress=True,
    )


def calibrate(
    pipeline: Path,
    data: Path,
    *,
    image_root: Path | None = None,
    dry_run: bool = False,
    force: bool = False,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Calibrate a pipeline in its folder, see `calibrate_cli`.

    RETURNS (dict[str, Any]): temperature; whether NIL was fitted, and the coverage
        then; negative log-likelihood (surprise), accuracy and expected calibration
        error, before and after, on documents held out; whether that helps.
    RAISES (DweError): no pipeline was trained and saved there, the data has no label,
        or it does not help, and is neither forced nor a dry run.
    """
    import torch
    from tqdm import tqdm
    from wasabi import Printer

    from ..documents import labelled_docs
    from ..evaluation.bootstrap import document_index
    from ..evaluation.evaluate import evaluate_docs, linker_settings
    from ..files import require_file
    from ..training.calibration import calibrate_scores

    require_file(data)
    with warning_lines():
        nlp, linker = load_linking_pipeline(pipeline)
        folder = Path(pipeline) / linker.name
        if not (folder / WEIGHTS).is_file():
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
        # What the weights say, unmoved by the coverage that users set beside them.
        with linker_settings(linker, {"kb_coverage": None}):
            measured = evaluate_docs(
                nlp, linker, docs, keep=linker.n_candidates, draws=0, source=str(data)
            )
    kb = linker.kb
    assert kb is not None, "a linking pipeline has one"
    combiner = linker.network_shim.network.combiner
    rows = kb.rows_of([outcome.gold or "" for outcome in measured.outcomes])
    fitted, held_out = calibrate_scores(
        measured.scored,
        rows,
        combiner.nil.detach().cpu().numpy(),
        document_index([outcome.document for outcome in measured.outcomes]),
    )
    fits_nil = fitted.nil is not None
    result: dict[str, Any] = {
        "temperature": fitted.temperature,
        "nil": fits_nil,
        "coverage": float((rows >= 0).mean()) if fits_nil else None,
    }
    for when, mentions in (("before", measured.scored), ("after", held_out)):
        for name, value in _quality(mentions, rows, linker.threshold).items():
            result[f"{name}_{when}"] = value
    result["helps"] = result["surprise_after"] < result["surprise_before"]
    _show(result, len(rows), show_progress)
    msg = Printer(no_print=not show_progress, pretty=show_progress)
    tell_features(msg, linker)
    if dry_run:
        return result
    if not (result["helps"] or force):
        raise DweError(Errors.E542.format(pipeline=pipeline))
    nil = None if fitted.nil is None else torch.from_numpy(fitted.nil)
    combiner.divide_logits(fitted.temperature, nil)
    _save(folder, linker.network_shim.to_bytes(), result["coverage"])
    msg.good(f"Calibrated {pipeline}")
    return result


def _quality(
    scored: "Sequence[ScoredMention]", rows: "np.ndarray", threshold: float
) -> dict[str, float]:
    """What probabilities are worth; of an entity that the KB lacks NIL is right."""
    import numpy as np

    from ..evaluation.bootstrap import calibration
    from ..evaluation.outcomes import is_linked
    from ..training.calibration import surprise

    links = np.array([is_linked(mention, threshold) for mention in scored])
    chosen = np.array([m.rows[0] if link else -1 for m, link in zip(scored, links)])
    said = np.array(
        [
            m.probabilities[0] if link else m.nil_probability
            for m, link in zip(scored, links)
        ]
    )
    right = chosen == rows
    return {
        "surprise": surprise(scored, rows),
        "ece": calibration(said, right)["ece"],
        "accuracy": float(right.mean()),
    }


def _show(result: dict[str, Any], n: int, show_progress: bool) -> None:
    from wasabi import Printer

    msg = Printer(no_print=not show_progress, pretty=show_progress)
    msg.text(
        f"Temperature {result['temperature']:.3f}"
        f"{' and when NIL is chosen' if result['nil'] else ''}, fitted to {n} mentions"
    )
    if result["nil"]:
        msg.text(f"The KB holds the entities of {result['coverage']:.1%} of them")
    msg.text("On documents held out, five times a fifth:")
    for name, what in NAMES.items():
        was, is_now = result[f"{name}_before"], result[f"{name}_after"]
        msg.text(f"{what}: {was:.4f} before, {is_now:.4f} after")


def _save(folder: Path, weights: bytes, coverage: float | None) -> None:
    """Replace the weights, and the state that says what they were fitted to: both are
    complete before either takes its place."""
    from ..files import replacing
    from ..training.state import COVERAGE

    state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    if coverage is not None:
        state[COVERAGE] = coverage
    with replacing(folder / STATE) as cfg, replacing(folder / WEIGHTS) as draft:
        cfg.write_text(json.dumps(state, indent=2), encoding="utf-8")
        draft.write_bytes(weights)
