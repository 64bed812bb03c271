"""Options that several `kb` commands share."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ..errors import DweError, Errors
from ..files import require_file

if TYPE_CHECKING:
    from spacy.language import Language

    from ..encoders.registry import LazyClipEncoder, LazyTextEncoder
    from ..pipeline import DweLinker

_LOCAL_DIR = "local-dir:"

KBArgument = Annotated[
    Path, typer.Argument(metavar="KB", help="Folder of the KnowledgeBase")
]
TextEncoderOption = Annotated[
    str | None,
    typer.Option(
        "--text-encoder",
        help="Sentence encoder for descriptions: folder, or name on the hub",
    ),
]
ClipOption = Annotated[
    str | None,
    typer.Option(
        "--clip",
        help="CLIP model for descriptions and pictures: open_clip's name for it, or "
        "local-dir:PATH",
    ),
]
ClipWeightsOption = Annotated[
    str | None,
    typer.Option("--clip-weights", help="open_clip's pretrained tag, or a file"),
]
ImageRootOption = Annotated[
    Path | None,
    typer.Option(
        "--image-root", help="Where relative pictures start; else beside the entities"
    ),
]
CodeOption = Annotated[
    Path | None,
    typer.Option(
        "--code", help="Python file with registered functions of yours, loaded first"
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1")]


def import_code(code: Path | None) -> None:
    """Run a Python file, so that what it registers is known; None = nothing to run."""
    if code is None:
        return
    from spacy.util import import_file

    import_file("python_code", require_file(code))


def chosen_encoders(
    text_encoder: str | None, clip: str | None, clip_weights: str | None, device: str
) -> "tuple[LazyTextEncoder | None, LazyClipEncoder | None]":
    """RETURNS (tuple): the encoders that the options name. No weights are loaded."""
    from ..encoders.registry import clip_encoder
    from ..encoders.registry import text_encoder as make_text_encoder

    text = None
    if text_encoder is not None:
        text = make_text_encoder(_absolute(text_encoder), device=device)
    both = None
    if clip is not None:
        weights = _absolute(clip_weights) if clip_weights else None
        both = clip_encoder(_absolute_model(clip), weights, device=device)
    elif clip_weights:
        raise DweError(Errors.E420.format(option="--clip-weights", needed="--clip"))
    return text, both


def _absolute(name: str) -> str:
    """The KB remembers its encoders: a path must hold from any folder. What names no
    file is a model's name."""
    path = Path(name).expanduser()
    return str(path.absolute()) if path.exists() else name


def _absolute_model(name: str) -> str:
    """As `_absolute`, for open_clip's names of models."""
    if not name.startswith(_LOCAL_DIR):
        return name
    return _LOCAL_DIR + _absolute(name.removeprefix(_LOCAL_DIR))


FACTORY = "dwe_linker"
BLANK = "blank:"
COMPONENTS = "components."

KBOption = Annotated[
    Path | None,
    typer.Option("--kb", help="KnowledgeBase to use instead of the pipeline's own"),
]
ChannelsOption = Annotated[
    str | None,
    typer.Option(
        "--channels", help="Evidence to use, such as name,prior,facts,text,image,dwe"
    ),
]


def load_linking_pipeline(
    pipeline: str | Path,
    kb: str | Path | None = None,
    channels: Sequence[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> "tuple[Language, DweLinker]":
    """Load a pipeline that can link. One without a linker gets an untrained one, which
    works zero-shot; it then needs `kb`.

    pipeline (str | Path): folder, installed package or `blank:xx`.
    kb (str | Path | None): KnowledgeBase to use instead of the pipeline's own.
    channels (Sequence[str] | None): the scoring channels to use; None leaves the
        pipeline's own.
    overrides (Mapping[str, Any] | None): config values by dotted name, such as
        `{"components.dwe_linker.threshold": 0.3}`.
    RETURNS (tuple[Language, DweLinker]): the pipeline and its linker.
    """
    linker_config, pipeline_config = _split_overrides(overrides or {})
    _check_settings(pipeline_config)
    if kb is not None and not Path(kb).exists():
        raise DweError(Errors.E001.format(path=kb))
    name = str(pipeline)
    try:
        nlp = _load(name, kb, linker_config, pipeline_config)
    except DweError:
        raise
    except (OSError, ImportError, ValueError) as error:
        raise DweError(Errors.E400.format(pipeline=name, reason=_line(error))) from None
    linker = cast("DweLinker", nlp.get_pipe(_linker_name(nlp) or FACTORY))
    if kb is not None:
        linker.load_kb(kb)
    if linker.kb is None:
        raise DweError(Errors.E401.format(pipeline=name))
    if channels is not None:
        linker.channels = list(channels)
    return nlp, linker


def parse_overrides(arguments: Sequence[str]) -> dict[str, Any]:
    """Config overrides from the arguments a command did not know itself.

    arguments (Sequence[str]): such as `["--components.dwe_linker.threshold", "0.3"]`.
    RETURNS (dict[str, Any]): the values by dotted name.
    """
    from click import NoSuchOption
    from spacy.cli._util import parse_config_overrides

    for argument in arguments:
        if argument.startswith("-"):
            break
        raise DweError(Errors.E402.format(option=argument))
    try:
        return parse_config_overrides(list(arguments))
    except NoSuchOption as error:
        raise DweError(Errors.E402.format(option=error.option_name)) from None


def parse_channels(channels: str | None) -> list[str] | None:
    """`"name, prior"` → `["name", "prior"]`; None stays None."""
    if channels is None:
        return None
    names = [name.strip() for name in channels.split(",") if name.strip()]
    if not names:
        raise DweError(Errors.E403.format(channels=channels))
    return names


def _load(
    name: str,
    kb: str | Path | None,
    linker_config: Mapping[str, Any],
    pipeline_config: Mapping[str, Any],
) -> "Language":
    import spacy

    if name.startswith(BLANK):
        for key in pipeline_config:
            if key.startswith(COMPONENTS):
                raise DweError(Errors.E402.format(option=f"--{key}"))
        nlp = spacy.blank(name.removeprefix(BLANK), config=_nested(pipeline_config))
    else:
        config = dict(pipeline_config)
        if _has_linker(name):
            config |= {COMPONENTS + key: v for key, v in linker_config.items()}
        nlp = spacy.load(name, config=config)
    if _linker_name(nlp) is None:
        if kb is None:
            raise DweError(Errors.E401.format(pipeline=name))
        settings = _nested(linker_config).get(FACTORY, {})
        nlp.add_pipe(FACTORY, config=settings)
    return nlp


def _has_linker(name: str) -> bool:
    """Whether the config of a saved or installed pipeline names a linker."""
    from spacy.util import get_package_path, is_package, load_config

    if is_package(name):
        configs = sorted(get_package_path(name).glob("*/config.cfg"))
    else:
        configs = [path] if (path := Path(name) / "config.cfg").exists() else []
    if not configs:
        return False
    components = load_config(configs[-1]).get("components", {})
    return any(block.get("factory") == FACTORY for block in components.values())


def _linker_name(nlp: "Language") -> str | None:
    for name in nlp.pipe_names:
        if nlp.get_pipe_meta(name).factory == FACTORY:
            return name
    return None


def _split_overrides(
    overrides: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Overrides of components, without that prefix, and all others."""
    components: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for key, value in overrides.items():
        if key.startswith(f"{COMPONENTS}{FACTORY}."):
            components[key.removeprefix(COMPONENTS)] = value
        else:
            rest[key] = value
    return components, rest


def _check_settings(overrides: Mapping[str, Any]) -> None:
    """Refuse [nlp] settings that there are none of, which spaCy passes over."""
    from spacy.language import Language

    for key in overrides:
        section, _, name = key.partition(".")
        known = Language.default_config["nlp"]
        if section == "nlp" and name.partition(".")[0] not in known:
            raise DweError(Errors.E402.format(option=f"--{key}"))


def _nested(dotted: Mapping[str, Any]) -> dict[str, Any]:
    from spacy.util import dot_to_dict

    return dot_to_dict(dict(dotted))


def _line(error: BaseException) -> str:
    """What went wrong on one line; a config error without the config it shows."""
    errors = getattr(error, "errors", None)
    if isinstance(errors, list) and errors:
        places = (".".join(map(str, e.get("loc", ()))) for e in errors)
        return "; ".join(f"{p}: {e.get('msg', '')}" for p, e in zip(places, errors))
    return " ".join(str(error).split())
