"""A pipeline that carries what it otherwise refers to: KnowledgeBases and encoders."""

import json
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spacy.util import get_package_path, is_package, load_config
from thinc.api import Config
from tqdm import tqdm

from .building.copying import (
    EncoderCopies,
    Progress,
    carry_encoders,
    copy_kb,
    copy_tree,
    vector_specs,
    write_specs,
)
from .encoders.registry import CLIP, PICTURE, TEXT, encoder_from_spec, encoder_paths
from .errors import BAR_DELAY, DweError, Errors, Warnings
from .files import replacing_folder, write_json
from .kb.knowledge_base import DweKnowledgeBase
from .kb.storage.folder import kb_path
from .settings import FACTORY
from .training.state import OPTIMIZER_FILE

KB_FOLDER = "kb"
"""The KB's folder, below that of the first linker that uses it."""

_CONFIG, _META, _STATE = "config.cfg", "meta.json", "cfg"
_FACTORIES = {"text_encoder": (TEXT,), "clip": (CLIP, PICTURE)}
"""The linker's settings for encoders, and the functions that make ours."""
_VARIABLE = re.compile(r"\$\{([\w.]+)[.:](\w+)\}")


@dataclass(frozen=True, slots=True)
class Bundle:
    """What was bundled.

    path (Path): the new pipeline.
    pipeline_bytes (int): size of what is neither KB nor encoder.
    kbs (dict[Path, int]): the KBs that were copied, and their sizes.
    encoders (dict[Path, int]): the encoders that were copied, and their sizes.
    named (set[str]): encoders that are known by name only, and come from a cache or
        a download where the pipeline is used.
    """

    path: Path
    pipeline_bytes: int
    kbs: dict[Path, int] = field(default_factory=dict)
    encoders: dict[Path, int] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)


def bundle(
    pipeline: str | Path,
    out: str | Path,
    *,
    kb: str | Path | None = None,
    encoders: bool = True,
    overwrite: bool = False,
    show_progress: bool = False,
) -> Bundle:
    """Copy a pipeline together with the KBs of its linkers, so that it can be moved and
    packaged. It is made in a hidden folder beside `out` and renamed when complete.

    pipeline (str | Path): folder that `nlp.to_disk` wrote, or an installed package.
    out (str | Path): the new pipeline's folder.
    kb (str | Path | None): KB for all its linkers; None means those they have.
    encoders (bool): also copy encoders that lie in a folder or file; with False it is
        a warning what has to be where the pipeline is used.
    overwrite (bool): replace a pipeline at `out`.
    show_progress (bool): show a progress bar on stderr.
    RETURNS (Bundle): what was copied.
    RAISES (DweError): there is nothing to bundle, something is missing, or `out` cannot
        be written.
    """
    source = _pipeline_folder(pipeline)
    config, values = _read_config(source, pipeline)
    linkers = _linkers(source, values.get("components", {}), pipeline, kb)
    out = Path(out).expanduser().resolve()
    _check_output(out, [source, *(linker.kb.path for linker in linkers)], overwrite)
    with (
        replacing_folder(out) as draft,
        tqdm(
            unit="B",
            unit_scale=True,
            delay=BAR_DELAY,
            desc="Copying",
            leave=False,
            disable=not show_progress,
        ) as bar,
    ):
        skip = {path for linker in linkers for path in linker.replaced(source)}
        n_bytes = copy_tree(source, draft, skip, bar.update)
        result = Bundle(out, n_bytes)
        by_kb: dict[Path, list[_Linker]] = {}
        for linker in linkers:
            by_kb.setdefault(linker.kb.path, []).append(linker)
        for users in by_kb.values():
            _add_kb(users, config, draft, result, encoders, bar.update)
        config.to_disk(draft / _CONFIG, interpolate=False)
    return result


@dataclass(frozen=True, slots=True)
class _Linker:
    """A linker of the pipeline.

    name (str): of the component.
    state (dict[str, Any]): what it saved beside its weights.
    kb (DweKnowledgeBase): its KB.
    """

    name: str
    state: dict[str, Any]
    kb: DweKnowledgeBase

    def replaced(self, source: Path) -> Iterator[Path]:
        """YIELDS (Path): what of the pipeline its copy needs no more."""
        yield source / self.name / KB_FOLDER
        yield source / self.name / OPTIMIZER_FILE
        yield self.kb.path
        if self.state["kb"]:
            yield (source / self.state["kb"]).resolve()


def _add_kb(
    users: list[_Linker],
    config: Config,
    draft: Path,
    result: Bundle,
    encoders: bool,
    progress: Progress,
) -> None:
    """Copy a KB and make its linkers use the copy."""
    kb = users[0].kb
    target = draft / users[0].name / KB_FOLDER
    result.kbs[kb.path] = copy_kb(kb.path, target, progress)
    specs, settings = vector_specs(kb), _settings(kb)
    used = dict(specs)
    for linker in users:
        used |= _specs_of_config(config["components"][linker.name], settings)
    if encoders:
        copies = EncoderCopies(target, progress)
        write_specs(target, carry_encoders(used, copies, kb.path))
        result.encoders.update(copies.sizes)
        for linker in users:
            block = config["components"][linker.name]
            _leave_encoders_to_kb(block, linker.name, settings)
    else:
        write_specs(target, specs)
        _warn_of_left_out(users[0].name, used, settings, result.path)
    result.named.update(_names_of(used))
    reference = target.relative_to(draft).as_posix()
    for linker in users:
        _warn_of_files(config["components"][linker.name], linker.name, result.path)
        _forget_kb(config, linker.name)
        state = {**linker.state, "kb": reference, "configured_kb": None}
        write_json(draft / linker.name / _STATE, state)


def _names_of(specs: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """YIELDS (str): what encoders that are no folder or file are called."""
    for spec in specs.values():
        if not encoder_paths(spec, None):
            ours = spec.get("@misc") in (CLIP, TEXT, PICTURE)
            keys = ("name", "model", "pretrained", "weights") if ours else ("@misc",)
            yield " ".join(str(spec[key]) for key in keys if spec.get(key))


# Encoders that a linker's config names


def _settings(kb: DweKnowledgeBase) -> dict[str, str]:
    """RETURNS (dict[str, str]): the linker's setting for the encoder of each vector set
    that it reads."""
    names = dict.fromkeys(kb.picture_spaces[:1], "clip")
    if kb.text_set is not None:
        names.setdefault(kb.text_set.space, "text_encoder")
    return {str(n): names[n.space] for n in kb.vector_sets if n.space in names}


def _specs_of_config(
    block: Mapping[str, Any], settings: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """RETURNS (dict[str, dict[str, Any]]): config blocks, by vector set, of encoders
    that the linker names by a path. They make the same vectors as the KB's own."""
    found = {}
    for name, setting in settings.items():
        own = _encoder_by_path(block, setting)
        if own is not None:
            found[name] = encoder_from_spec(_vectors_of(own)).spec
    return found


def _leave_encoders_to_kb(
    block: dict[str, Any], linker: str, settings: Mapping[str, str]
) -> None:
    for setting in settings.values():
        own = _encoder_by_path(block, setting)
        if own is None:
            continue
        options = own.keys() - _vectors_of(own).keys() - {"device"}
        if options:
            listed = ", ".join(sorted(options))
            warnings.warn(
                Warnings.W144.format(name=linker, setting=setting, options=listed),
                stacklevel=4,
            )
        block[setting] = None


def _encoder_by_path(
    block: Mapping[str, Any], setting: str
) -> Mapping[str, Any] | None:
    """RETURNS (Mapping | None): the linker's own encoder by a setting, if it is one of
    ours that lies in a folder or file."""
    own = block.get(setting)
    if not isinstance(own, Mapping) or own.get("@misc") not in _FACTORIES[setting]:
        return None
    return own if encoder_paths(own, None) else None


def _vectors_of(block: Mapping[str, Any]) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): what changes vectors, without what changes speed."""
    fast = ("device", "batch_size", "precision")
    return {key: value for key, value in block.items() if key not in fast}


def _warn_of_left_out(
    name: str,
    specs: Mapping[str, Mapping[str, Any]],
    settings: Mapping[str, str],
    out: Path,
) -> None:
    told: set[Path] = set()
    for vectors, spec in specs.items():
        for path in set(encoder_paths(spec, None).values()) - told:
            told.add(path)
            setting = settings.get(vectors, "text_encoder")
            warnings.warn(
                Warnings.W143.format(path=path, out=out, name=name, setting=setting),
                stacklevel=4,
            )


def _warn_of_files(block: Mapping[str, Any], name: str, out: Path) -> None:
    """Banks of words and detectors are not carried."""
    visual = block.get("visual")
    for finder in visual.values() if isinstance(visual, Mapping) else ():
        if not isinstance(finder, Mapping):
            continue
        for setting in ("bank", "detector", "weights"):
            value = finder.get(setting)
            if isinstance(value, str) and Path(value).expanduser().is_file():
                warnings.warn(
                    Warnings.W143.format(
                        path=value, out=out, name=name, setting="visual"
                    ),
                    stacklevel=4,
                )


# What comes in


def _pipeline_folder(pipeline: str | Path) -> Path:
    folder = Path(pipeline).expanduser()
    if not folder.exists() and is_package(str(pipeline)):
        found = sorted(get_package_path(str(pipeline)).glob(f"*/{_CONFIG}"))
        folder = found[-1].parent if found else folder
    if not _is_pipeline(folder):
        raise DweError(Errors.E150.format(pipeline=pipeline))
    return folder.resolve()


def _is_pipeline(folder: Path) -> bool:
    return (folder / _CONFIG).is_file() and (folder / _META).is_file()


def _read_config(source: Path, pipeline: str | Path) -> tuple[Config, Config]:
    """RETURNS (tuple[Config, Config]): as it is written, and with its variables' values
    in it."""
    try:
        config = load_config(source / _CONFIG, interpolate=False)
        return config, config.interpolate()
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise DweError(Errors.E400.format(pipeline=pipeline, reason=reason)) from None


def _linkers(
    source: Path,
    components: Mapping[str, Mapping[str, Any]],
    pipeline: str | Path,
    kb: str | Path | None,
) -> list[_Linker]:
    linkers = []
    for name, block in components.items():
        if block.get("factory") != FACTORY:
            continue
        state = _read_state(source / name / _STATE, name, pipeline)
        path = _kb_of(block, state, source) if kb is None else Path(kb).expanduser()
        if path is None:
            raise DweError(Errors.E152.format(name=name, pipeline=pipeline))
        if not path.exists():
            raise DweError(Errors.E153.format(name=name, kb=path))
        linkers.append(_Linker(name, state, DweKnowledgeBase(path)))
    if not linkers:
        raise DweError(Errors.E151.format(pipeline=pipeline))
    return linkers


def _read_state(path: Path, name: str, pipeline: str | Path) -> dict[str, Any]:
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        return {**state, "kb": state["kb"], "configured_kb": state["configured_kb"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DweError(
            Errors.E158.format(name=name, pipeline=pipeline, reason=reason)
        ) from None


def _kb_of(
    block: Mapping[str, Any], state: Mapping[str, Any], source: Path
) -> Path | None:
    """RETURNS (Path | None): the KB that the linker has when the pipeline is loaded."""
    configured = block.get("kb")
    if configured != state["configured_kb"]:
        return Path(configured).expanduser().absolute() if configured else None
    here = kb_path("")
    if here:
        return Path(here).expanduser().absolute()
    return source / state["kb"] if state["kb"] else None


# What goes out


def _check_output(out: Path, sources: list[Path], overwrite: bool) -> None:
    for source in sources:
        if out != source and out.is_relative_to(source):
            raise DweError(Errors.E156.format(path=out, source=source))
        if out != sources[0] and source != out and source.is_relative_to(out):
            raise DweError(Errors.E159.format(path=out, source=source))
    if out.exists():
        if not _is_pipeline(out):
            raise DweError(Errors.E110.format(path=out, what="pipeline"))
        if not overwrite:
            raise DweError(Errors.E109.format(path=out))


def _forget_kb(config: Config, name: str) -> None:
    """Let the config name no KB, which the linker's state does now."""
    _clear(config, config["components"][name], "kb")
    initialize = config.get("initialize", {}).get("components", {}).get(name, {})
    loader = initialize.get("kb_loader")
    if isinstance(loader, dict):
        _clear(config, loader, "path")
    elif loader is not None:
        _clear(config, initialize, "kb_loader")


def _clear(config: Config, block: dict[str, Any], key: str) -> None:
    """Set a value to null; where it is a variable, that variable."""
    value = block.get(key)
    variable = _VARIABLE.fullmatch(value) if isinstance(value, str) else None
    if variable is None:
        block[key] = None
        return
    section, option = variable.groups()
    for part in section.split("."):
        config = config[part]
    config[option] = None
