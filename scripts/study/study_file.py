"""A study as a file: what is trained, what is switched off, and what is compared."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from spacy_dwe.errors import DweError
from spacy_dwe.files import require_file
from study.errors import Errors
from study.table import METRICS

TRAINED, RETRAINED, SWITCHED = "trained", "retrained", "switched off at test"
DEFAULT_KB = "kb"
"""Name of the KB of a study that has one."""

_VARIABLE = re.compile(r"\$\{vars\.([\w-]+)\}")
_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_KEYS = {
    "study": {
        *("title", "config", "vars", "data", "kb", "seeds", "settings"),
        *("evaluation", "variants"),
    },
    '"data"': {"train", "dev", "test", "image_root"},
    '"evaluation"': {"protocol", "candidates", "metrics", "parts"},
    "variant": {"name", "question", "against", "kb", "retrain", "test", "model"},
}


@dataclass(frozen=True, slots=True)
class Variant:
    """One way of training, or of using what was trained.

    name (str): also that of its folder.
    question (str): heading that its comparison stands under.
    against (str | None): the variant that it is compared with.
    kb (str): name of its KB.
    settings (Mapping[str, Any]): config values by dotted name, in training, or, where a
        model is named, when that is loaded to be evaluated.
    model (str | None): the variant whose model it uses; None: it trains its own.
    """

    name: str
    question: str = ""
    against: str | None = None
    kb: str = DEFAULT_KB
    settings: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None

    @property
    def kind(self) -> str:
        """RETURNS (str): how it differs from what it is compared with."""
        if self.model is not None:
            return SWITCHED
        return TRAINED if self.against is None else RETRAINED


@dataclass(frozen=True, slots=True)
class Study:
    """What to run. Paths are relative to the working directory.

    path (Path): of the file.
    config (Path): of spaCy, to train by.
    train, dev, test (Path): labelled documents: to learn from, to choose the checkpoint
        by, and to evaluate.
    image_root (Path | None): where relative pictures start; None: beside each file.
    kbs (Mapping[str, Path]): KnowledgeBases by name.
    settings (Mapping[str, Any]): config values by dotted name, of every training.
    protocol, candidates (str | None): see `evaluate_docs`.
    metrics (Sequence[str]), parts (Sequence[str] | None): see `study_table`.
    """

    path: Path
    title: str
    config: Path
    train: Path
    dev: Path
    test: Path
    image_root: Path | None
    kbs: Mapping[str, Path]
    seeds: Sequence[int]
    settings: Mapping[str, Any]
    protocol: str | None
    candidates: str | None
    metrics: Sequence[str]
    parts: Sequence[str] | None
    variants: Sequence[Variant]

    def variant(self, name: str) -> Variant:
        """RETURNS (Variant): the one of that name.
        RAISES (DweError): there is none."""
        for variant in self.variants:
            if variant.name == name:
                return variant
        known = ", ".join(variant.name for variant in self.variants)
        raise DweError(Errors.E272.format(path=self.path, name=name, known=known))

    def selected(self, names: Sequence[str]) -> list[Variant]:
        """RETURNS (list[Variant]): those named and those that they need, in the order
        in which they can be run; all, if none is named."""
        wanted = set(names or [variant.name for variant in self.variants])
        for name in list(wanted):
            self.variant(name)
        while True:
            needed = {
                other
                for name in wanted
                for other in (self.variant(name).against, self.variant(name).model)
                if other is not None
            }
            if needed <= wanted:
                break
            wanted |= needed
        chosen = [variant for variant in self.variants if variant.name in wanted]
        return sorted(chosen, key=lambda variant: variant.model is not None)


def read_study(path: str | Path, variables: Mapping[str, Any] | None = None) -> Study:
    """Read and check a study.

    path (str | Path): JSON.
    variables (Mapping[str, Any] | None): values for `${vars.NAME}`, before those of
        the file.
    RETURNS (Study): the study.
    RAISES (DweError): the file, or one that it names, is missing or malformed.
    """
    path = require_file(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _wrong(path, f"it is no JSON ({error})") from None
    if not isinstance(data, dict):
        raise _wrong(path, "it is no object in {}")
    own = data.get("vars", {})
    if not isinstance(own, dict):
        raise _wrong(path, '"vars" is no object of values')
    unknown = sorted((variables or {}).keys() - own.keys())
    if unknown:
        known = ", ".join(own) or "none"
        raise _wrong(
            path, f"it has no variable {unknown[0]}, its variables are {known}"
        )
    values = {**own, **(variables or {})}
    return _Reader(path)({key: _filled(data[key], values, path) for key in data})


@dataclass(frozen=True, slots=True)
class _Reader:
    path: Path

    def __call__(self, data: dict[str, Any]) -> Study:
        self.check_keys(data, "study", "it")
        files = self.object(data, "data", required=True)
        self.check_keys(files, '"data"', '"data"')
        evaluation = self.object(data, "evaluation")
        self.check_keys(evaluation, '"evaluation"', '"evaluation"')
        root = files.get("image_root")
        kbs = data.get("kb")
        if isinstance(kbs, str):
            kbs = {DEFAULT_KB: kbs}
        if not isinstance(kbs, dict) or not kbs:
            self.fail('"kb" is no path, nor an object of paths by name')
        variants = self.variants(data.get("variants"), kbs)
        metrics = evaluation.get("metrics", list(METRICS))
        if not isinstance(metrics, list) or not set(metrics) <= set(METRICS):
            self.fail(f'"metrics" is no list of {", ".join(METRICS)}')
        parts = evaluation.get("parts")
        if parts is not None and not isinstance(parts, list):
            self.fail('"parts" is no list of groups')
        return Study(
            path=self.path,
            title=str(data.get("title", self.path.stem)),
            config=self.file(data, "config"),
            train=self.file(files, "train"),
            dev=self.file(files, "dev"),
            test=self.file(files, "test"),
            image_root=None if root is None else Path(root),
            kbs={name: self.folder(kb) for name, kb in kbs.items()},
            seeds=checked_seeds(data.get("seeds", [0, 1, 2])),
            settings=self.object(data, "settings"),
            protocol=evaluation.get("protocol", "candidates"),
            candidates=evaluation.get("candidates"),
            metrics=metrics,
            parts=parts,
            variants=variants,
        )

    def variants(self, data: Any, kbs: Mapping[str, Any]) -> list[Variant]:
        if not isinstance(data, list) or not data:
            self.fail('"variants" is no list of objects')
        variants = [self.variant(one, kbs) for one in data]
        by_name = {variant.name: variant for variant in variants}
        # Folders are named after them, and some systems tell no case.
        if len({name.casefold() for name in by_name}) < len(variants):
            self.fail("two variants have the same name")
        for variant in variants:
            for other in (variant.against, variant.model):
                if other is not None and other not in by_name:
                    self.fail(f"{variant.name} names {other!r}, which is no variant")
            if variant.against == variant.name:
                self.fail(f"{variant.name} is compared with itself")
            model = by_name.get(variant.model or "")
            if model is not None and model.model is not None:
                self.fail(f"{variant.name} uses {model.name}, which trains no model")
        kb_of = {variant.name: variant.kb for variant in variants}
        return [
            variant if variant.kb else replace(variant, kb=kb_of[variant.model or ""])
            for variant in variants
        ]

    def variant(self, data: Any, kbs: Mapping[str, Any]) -> Variant:
        name = data.get("name") if isinstance(data, dict) else None
        if not isinstance(name, str) or not _FOLDER.fullmatch(name):
            self.fail(f"a variant has the name {name!r}, which no folder can have")
        self.check_keys(data, "variant", name)
        against, model = data.get("against"), data.get("model")
        if "test" in data and "retrain" in data:
            self.fail(f'{name} has both "test" and "retrain"')
        if "test" in data:
            model = model or against
            if model is None:
                self.fail(f'{name} names no "model" to switch something off in')
        elif model is not None:
            self.fail(f'{name} has a "model" and no "test" settings')
        kb = data.get("kb", "" if model else next(iter(kbs)))
        if kb and kb not in kbs:
            self.fail(f"{name} names the KB {kb!r}, there are {', '.join(kbs)}")
        settings = self.object(data, "test" if model else "retrain")
        for key in settings:
            if "." not in key:
                self.fail(f"{name} sets {key!r}, which is no dotted name of a setting")
        return Variant(
            name, str(data.get("question", "")), against, kb, settings, model
        )

    def object(
        self, data: Mapping[str, Any], key: str, required: bool = False
    ) -> dict[str, Any]:
        value = data.get(key, None if required else {})
        if not isinstance(value, dict):
            self.fail(f'"{key}" is no object in {{}}')
        return value

    def file(self, data: Mapping[str, Any], key: str) -> Path:
        value = data.get(key)
        if not isinstance(value, str) or not value:
            self.fail(f'"{key}" is no path')
        return require_file(value)

    def folder(self, value: Any) -> Path:
        if not isinstance(value, str) or not value:
            self.fail(f"{value!r} is no path of a KnowledgeBase")
        return Path(value)

    def check_keys(self, data: Mapping[str, Any], kind: str, name: str) -> None:
        unknown = sorted(data.keys() - _KEYS[kind])
        if unknown:
            known = ", ".join(sorted(_KEYS[kind]))
            self.fail(f"{name} has the key {unknown[0]!r}, known are {known}")

    def fail(self, reason: str) -> NoReturn:
        raise _wrong(self.path, reason)


def checked_seeds(value: Any) -> list[int]:
    """RETURNS (list[int]): seeds, from a list or from text such as "0,1,2".
    RAISES (DweError): they are something else."""
    seeds = value
    if isinstance(value, str):
        seeds = [int(s) if s.strip().isdecimal() else None for s in value.split(",")]
    if not isinstance(seeds, list) or not seeds or len({*seeds}) < len(seeds):
        raise DweError(Errors.E275.format(value=value))
    if any(type(number) is not int or number < 0 for number in seeds):
        raise DweError(Errors.E275.format(value=value))
    return seeds


def _filled(value: Any, variables: Mapping[str, Any], path: Path) -> Any:
    """Put variables in, and into these others. One that is all of a text keeps its
    type."""

    def of(match: re.Match[str]) -> Any:
        if match[1] not in variables:
            raise DweError(Errors.E271.format(path=path, name=match[1]))
        others = {name: own for name, own in variables.items() if name != match[1]}
        return _filled(variables[match[1]], others, path)

    if isinstance(value, dict):
        return {key: _filled(each, variables, path) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, variables, path) for each in value]
    if not isinstance(value, str):
        return value
    if whole := _VARIABLE.fullmatch(value):
        return of(whole)
    return _VARIABLE.sub(lambda match: str(of(match)), value)


def _wrong(path: Path, reason: str) -> DweError:
    return DweError(Errors.E270.format(path=path, reason=reason))
