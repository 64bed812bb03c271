"""What stands in the folder of a run, and whether it is what the study asks for."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import srsly
from spacy.util import load_config

from spacy_dwe import about
from spacy_dwe.errors import DweError, Errors
from spacy_dwe.evaluation.outcomes import Outcome
from spacy_dwe.evaluation.predictions import read_predictions
from spacy_dwe.kb.storage.folder import META_FILE
from spacy_dwe.settings import FACTORY
from study.study_file import Study, Variant

RECORD, METRICS = "run.json", "metrics.json"
PREDICTIONS, MODEL, LOG = "predictions.jsonl", "model", "train.log"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one variant and seed, complete or absent.

    out (Path): of the study.
    """

    out: Path
    variant: str
    seed: int

    @property
    def path(self) -> Path:
        return self.out / "runs" / self.variant / str(self.seed)

    @property
    def draft(self) -> Path:
        """RETURNS (Path): where it is made."""
        return self.path.with_name(f".{self.seed}.draft")

    @property
    def failure(self) -> Path:
        """RETURNS (Path): where it is written why the run failed."""
        return self.path.with_name(f"{self.seed}.log")

    @property
    def model(self) -> Path:
        return self.path / MODEL

    def record(self) -> dict[str, Any] | None:
        """RETURNS (dict[str, Any] | None): what `run.json` holds; None if there is no
        whole one."""
        try:
            record = srsly.read_json(self.path / RECORD)
        except (OSError, ValueError):
            return None
        return record if isinstance(record, dict) else None

    def outcomes(self) -> list[Outcome]:
        """RETURNS (list[Outcome]): every mention of the test data."""
        return read_predictions(self.path / PREDICTIONS)[1]

    def is_of(self, settings: Mapping[str, Any]) -> bool:
        """RETURNS (bool): whether the run is finished and has these settings."""
        record = self.record()
        if record is None or record.get("fingerprint") != fingerprint(settings):
            return False
        needed = [self.path / PREDICTIONS]
        if settings["model"] is None:
            needed.append(self.model / "config.cfg")
        return all(path.is_file() for path in needed)


def run_settings(
    study: Study, variant: Variant, seed: int, overrides: Mapping[str, Any]
) -> dict[str, Any]:
    """All that a run depends on. Files count by their contents, pictures by their
    paths, a KB by its version.

    overrides (Mapping[str, Any]): of every training of the study.
    RETURNS (dict[str, Any]): JSON.
    RAISES (DweError): the config cannot be read.
    """
    shared = {
        "spacy_dwe": about.__version__,
        "seed": seed,
        "test": contents(study.test),
        "train": contents(study.train),
        "image_root": None if study.image_root is None else str(study.image_root),
        "kb": contents(study.kbs[variant.kb] / META_FILE),
        "protocol": study.protocol,
        "candidates": study.candidates,
    }
    if variant.model is not None:
        model = run_settings(study, study.variant(variant.model), seed, overrides)
        return {
            **shared,
            "settings": dict(variant.settings),
            "model": {"variant": variant.model, "fingerprint": fingerprint(model)},
        }
    changes = training_overrides(study, variant, seed, overrides)
    return {
        **shared,
        "dev": contents(study.dev),
        "settings": changes,
        "config": read_config(study.config, changes),
        "model": None,
    }


def training_overrides(
    study: Study, variant: Variant, seed: int, overrides: Mapping[str, Any]
) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): config values by dotted name of one training."""
    paths = {
        "paths.train": str(study.train),
        "paths.dev": str(study.dev),
        "paths.kb": str(study.kbs[variant.kb]),
    }
    if study.image_root is not None:
        paths["paths.image_root"] = str(study.image_root)
    seeds = {"system.seed": seed, "training.seed": seed}
    return {**study.settings, **variant.settings, **overrides, **paths, **seeds}


def read_config(path: Path, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): a config with its variables put in.
    RAISES (DweError): it cannot be read, or has no place for an override."""
    try:
        config = load_config(path, overrides=dict(overrides), interpolate=True)
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise DweError(
            Errors.E233.format(path=path, what="config", reason=reason)
        ) from None
    return json.loads(json.dumps(config))


def linker_name(config: Mapping[str, Any], path: Path) -> str:
    """RETURNS (str): name of the linker among a config's components.
    RAISES (DweError): there is none."""
    for name, block in config.get("components", {}).items():
        if block.get("factory") == FACTORY:
            return str(name)
    reason = f"no component is a {FACTORY}"
    raise DweError(Errors.E233.format(path=path, what="config", reason=reason))


def fingerprint(settings: Mapping[str, Any]) -> str:
    """RETURNS (str): 16 hexadecimal digits that stand for settings."""
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def contents(path: Path) -> str:
    """RETURNS (str): 16 hexadecimal digits that stand for the contents of a file."""
    try:
        stat = path.stat()
        return _digest(path, stat.st_mtime_ns, stat.st_size)
    except FileNotFoundError:
        raise DweError(Errors.E001.format(path=path)) from None


@cache
def _digest(path: Path, changed: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
