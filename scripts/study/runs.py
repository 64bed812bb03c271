"""Training and evaluating the variants of a study, seed by seed."""

import gc
import shutil
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spacy_dwe.errors import DweError
from spacy_dwe.files import require_writable, write_json, write_jsonl, write_text
from study import records
from study.errors import Errors
from study.records import RunFolder, run_settings
from study.study_file import Study, Variant
from study.table import VariantRuns

if TYPE_CHECKING:
    from spacy_dwe.evaluation.evaluate import Evaluation

LOCK = ".lock"
FEATURES = "features"
"""Folder of encoder outputs, which runs share where the config names no other."""


@dataclass(slots=True)
class StudyRuns:
    """variants (list[VariantRuns]): with the outcomes of the finished runs.
    failed (dict[str, str]): why a run failed, by "variant, seed N".
    done, kept (int): runs that were done now, and that were there already.
    """

    variants: list[VariantRuns] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    done: int = 0
    kept: int = 0


@dataclass(frozen=True, slots=True)
class RunOptions:
    """overrides (Mapping[str, Any]): config values of every training, by dotted name.
    gpu_id (int): GPU to train on, -1 for none.
    keep_last (bool): keep the last checkpoint beside the best.
    """

    overrides: Mapping[str, Any] = field(default_factory=dict)
    gpu_id: int = -1
    keep_last: bool = False


def run_study(
    study: Study,
    out: Path,
    *,
    seeds: Sequence[int] | None = None,
    only: Sequence[str] = (),
    options: RunOptions = RunOptions(),
    on_message: Callable[[str], None] = lambda message: None,
) -> StudyRuns:
    """Do what is not done. A run that fails is told, and the others go on.

    study (Study): what to run.
    out (Path): folder of the study.
    seeds (Sequence[int] | None): None = those of the study.
    only (Sequence[str]): variants, with those that they need; none = all.
    on_message (Callable[[str], None]): told what begins, and what failed.
    RETURNS (StudyRuns): what came of it.
    RAISES (DweError): the study cannot begin: settings are wrong, the KB of a variant
        is missing, or another process writes to the same folder.
    """
    variants = study.selected(only)
    for kb in {study.kbs[variant.kb] for variant in variants}:
        if not kb.exists():
            raise DweError(Errors.E001.format(path=kb))
    seeds = study.seeds if seeds is None else seeds
    planned = [
        (variant, RunFolder(out, variant.name, seed))
        for seed in seeds
        for variant in variants
    ]
    settings = {
        folder: run_settings(study, variant, folder.seed, options.overrides)
        for variant, folder in planned
    }
    result = StudyRuns()
    with _locked(out):
        clock = _Clock([variant.model is None for variant, _ in planned])
        seen = _golds(study)
        for number, (variant, folder) in enumerate(planned, start=1):
            name = f"{variant.name}, seed {folder.seed}"
            if folder.is_of(settings[folder]):
                result.kept += 1
                clock.skip()
                continue
            on_message(f"Run {number} of {len(planned)}: {name}{clock.left()}")
            began = time.monotonic()
            try:
                _do(study, variant, folder, settings[folder], options, seen)
                result.done += 1
            except Exception as error:
                reason = _one_line(error)
                result.failed[name] = reason
                write_text(folder.failure, traceback.format_exc())
                on_message(f"Failed: {name}: {reason}")
            clock.tick(time.monotonic() - began)
            gc.collect()
        result.variants = [
            VariantRuns(
                variant.name,
                variant.kind,
                variant.question,
                variant.against,
                {
                    folder.seed: folder.outcomes()
                    for _, folder in planned
                    if folder.variant == variant.name and folder.is_of(settings[folder])
                },
            )
            for variant in study.variants
            if variant in variants
        ]
    return result


def _do(
    study: Study,
    variant: Variant,
    folder: RunFolder,
    settings: dict[str, Any],
    options: RunOptions,
    seen: set[str],
) -> None:
    """Make the folder of a run; it appears when it is complete."""
    draft = folder.draft
    for old in (draft, folder.path):
        shutil.rmtree(old, ignore_errors=True)
    folder.failure.unlink(missing_ok=True)
    draft.mkdir(parents=True)
    began = time.monotonic()
    try:
        test_settings: Mapping[str, Any] = {}
        if variant.model is None:
            model = _train(study, draft, settings["settings"], options, folder.out)
        else:
            model = RunFolder(folder.out, variant.model, folder.seed).model
            if not model.exists():
                raise DweError(Errors.E277.format(name=variant.model, seed=folder.seed))
            test_settings = variant.settings
        trained = time.monotonic()
        _evaluate(study, variant, model, test_settings, draft, folder.out, seen)
        record = {
            "variant": variant.name,
            "kind": variant.kind,
            "fingerprint": records.fingerprint(settings),
            "seconds": {
                "training": round(trained - began, 1),
                "evaluation": round(time.monotonic() - trained, 1),
            },
            **settings,
        }
        write_json(draft / records.RECORD, record)
        draft.rename(folder.path)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _train(
    study: Study,
    draft: Path,
    changes: Mapping[str, Any],
    options: RunOptions,
    out: Path,
) -> Path:
    """RETURNS (Path): the best checkpoint."""
    from spacy.cli._util import setup_gpu
    from spacy.training.initialize import init_nlp
    from spacy.training.loop import train
    from spacy.util import load_config

    name = records.linker_name(records.read_config(study.config, changes), study.config)
    cache = f"components.{name}.feature_cache"
    config = load_config(study.config, overrides=dict(changes), interpolate=False)
    if config["components"][name].get("feature_cache") is None:
        overrides = {**changes, cache: str(out / FEATURES)}
        config = load_config(study.config, overrides=overrides, interpolate=False)
    setup_gpu(options.gpu_id, silent=True)
    checkpoints = draft / "checkpoints"
    checkpoints.mkdir()
    with (draft / records.LOG).open("w", encoding="utf-8") as log:
        nlp = init_nlp(config, use_gpu=options.gpu_id)
        train(nlp, checkpoints, use_gpu=options.gpu_id, stdout=log, stderr=log)
    (checkpoints / "model-best").rename(draft / records.MODEL)
    if options.keep_last:
        (checkpoints / "model-last").rename(draft / f"{records.MODEL}-last")
    shutil.rmtree(checkpoints)
    return draft / records.MODEL


def _evaluate(
    study: Study,
    variant: Variant,
    model: Path,
    settings: Mapping[str, Any],
    draft: Path,
    out: Path,
    seen: set[str],
) -> None:
    from spacy_dwe.evaluation.predictions import prediction_records

    evaluation, kb = _linked(study, variant, model, settings, out, seen)
    write_json(draft / records.METRICS, evaluation.metrics)
    write_jsonl(draft / records.PREDICTIONS, prediction_records(kb, evaluation))


def _linked(
    study: Study,
    variant: Variant,
    model: Path,
    settings: Mapping[str, Any],
    out: Path,
    seen: set[str],
) -> "tuple[Evaluation, Any]":
    """RETURNS (tuple[Evaluation, DweKnowledgeBase]): what was measured, and the KB that
    the rows are of."""
    import spacy

    from spacy_dwe.documents import labelled_docs
    from spacy_dwe.encoders.store import feature_cache
    from spacy_dwe.evaluation.evaluate import evaluate_docs

    nlp = spacy.load(model, config=dict(settings))
    name = records.linker_name(nlp.config, model)
    linker: Any = nlp.get_pipe(name)
    linker.load_kb(study.kbs[variant.kb])
    named = linker.feature_cache
    linker.cache = feature_cache(out / FEATURES if named is None else named)
    evaluation = evaluate_docs(
        nlp,
        linker,
        labelled_docs(nlp, study.test, study.image_root),
        protocol=study.protocol,
        candidates=study.candidates,
        seen=seen,
        draws=0,
        source=str(study.test),
    )
    return evaluation, linker.kb


def _golds(study: Study) -> set[str]:
    """RETURNS (set[str]): labels of the training data."""
    import spacy

    from spacy_dwe.evaluation.outcomes import gold_ids

    language = records.read_config(study.config, {}).get("nlp", {}).get("lang", "xx")
    return gold_ids(spacy.blank(language), [study.train], study.image_root)


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Keep other studies out of a folder, which is made if need be."""
    from filelock import FileLock, Timeout

    require_writable(out / "study.json")
    lock = FileLock(out / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise DweError(Errors.E274.format(path=out)) from None
    try:
        yield
    finally:
        lock.release()


class _Clock:
    """Says how much time is left, by how long the runs of either kind took."""

    def __init__(self, trains: Sequence[bool]) -> None:
        self._left = list(trains)
        self._took: dict[bool, list[float]] = {True: [], False: []}

    def skip(self) -> None:
        self._left.pop(0)

    def tick(self, seconds: float) -> None:
        self._took[self._left.pop(0)].append(seconds)

    def left(self) -> str:
        every = [*self._took[True], *self._took[False]]
        if not every:
            return ""
        seconds = 0.0
        for kind, took in self._took.items():
            each = took or every
            seconds += self._left.count(kind) * sum(each) / len(each)
        return f", about {_duration(seconds)} left"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, DweError) else f"{type(error).__name__}: {text}"
