"""Options that several commands share."""

import functools
import inspect
import json
import re
import traceback
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ..errors import DweError, Errors
from ..files import require_file
from ..settings import FACTORY

if TYPE_CHECKING:
    from spacy.language import Language
    from wasabi import Printer

    from ..pipeline import DweLinker

KBArgument = Annotated[
    Path, typer.Argument(metavar="KB", help="Folder of the KnowledgeBase")
]
EntitiesArgument = Annotated[
    Path,
    typer.Argument(
        metavar="ENTITIES", help="One JSON object a line (.jsonl, .jsonl.gz)"
    ),
]
EntitiesOut = Annotated[
    Path, typer.Argument(metavar="OUT", help="Entities to write (.jsonl, .jsonl.gz)")
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
        "--image-root",
        help="Where relative pictures start; else beside the file that names them",
    ),
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace what is at OUT")
]
PipelineArgument = Annotated[
    str, typer.Argument(help="Folder or name of a pipeline, or blank:xx with --kb")
]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of the draws")]
EncoderOption = Annotated[
    list[str] | None,
    typer.Option(
        "--encoder",
        metavar="SPACE=NAME",
        help="Registered encoder, and what to call its space; for one with arguments a "
        'JSON object {"@misc": NAME, …} in place of NAME. May be repeated',
    ),
]
PictureEncoderOption = Annotated[
    list[str] | None,
    typer.Option(
        "--picture-encoder",
        metavar="[SPACE=]NAME",
        help="Image model for pictures: timm:NAME, torchvision:NAME, "
        "transformers:NAME, a folder or a registered encoder, in a space called "
        "pictures unless named. May be repeated",
    ),
]
PictureWeightsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--picture-weights",
        metavar="[SPACE=]WEIGHTS",
        help="Weights of --picture-encoder: a file, or a tag of its library",
    ),
]
CodeOption = Annotated[
    Path | None,
    typer.Option(
        "--code",
        "-c",
        help="Python file with registered functions of yours, loaded first",
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1")]


def takes_code(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command that loads a pipeline, a KB's encoders, or anything that is
    registered: it gets the option --code."""

    @functools.wraps(command)
    def run(*args: Any, code: Path | None = None, **kwargs: Any) -> Any:
        if code is not None:
            _import_code(code)
        return command(*args, **kwargs)

    return with_options(run, command, code=(CodeOption, None))


def takes_encoders(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command that needs encoders: it gets the options that name them, and
    --code; its arguments are `encoders` by space, and `device` if it asks for it."""

    options = {
        "text_encoder": (TextEncoderOption, None),
        "clip": (ClipOption, None),
        "clip_weights": (ClipWeightsOption, None),
        "picture_encoder": (PictureEncoderOption, None),
        "picture_weights": (PictureWeightsOption, None),
        "encoder": (EncoderOption, None),
        "device": (DeviceOption, "auto"),
    }

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        chosen = {name: kwargs.pop(name) for name in options}
        if "device" in inspect.signature(command).parameters:
            kwargs["device"] = chosen["device"]
        return command(*args, encoders=chosen_encoders(**chosen), **kwargs)

    return takes_code(with_options(run, command, {"encoders"}, **options))


def with_options(
    run: Callable[..., Any],
    command: Callable[..., Any],
    given: Container[str] = (),
    **options: tuple[Any, Any],
) -> Callable[..., Any]:
    """Let a command's wrapper show the command's parameters, without those that are
    `given` by the wrapper, and these options, each with its type and default."""
    signature = inspect.signature(command)
    shown = [
        parameter
        for name, parameter in signature.parameters.items()
        if name not in options and name not in given
    ]
    shown += [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind
        )
        for name, (kind, default) in options.items()
    ]
    run.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]
    return run


def _import_code(code: Path) -> None:
    from spacy.util import import_file

    require_file(code)
    try:
        if code.suffix != ".py":
            raise DweError("its name does not end in .py")
        import_file("python_code", code)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        lines = [
            frame.lineno
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename == str(code)
        ]
        where = f" (line {lines[-1]})" if lines else ""
        raise DweError(Errors.E404.format(path=code, reason=reason + where)) from error


def chosen_encoders(
    text_encoder: str | None,
    clip: str | None,
    clip_weights: str | None,
    device: str,
    encoder: Sequence[str] | None = None,
    picture_encoder: Sequence[str] | None = None,
    picture_weights: Sequence[str] | None = None,
) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): the encoders that the options name, by space. No
    weights of ours are loaded."""
    from ..encoders.registry import clip_encoder
    from ..encoders.registry import text_encoder as make_text_encoder
    from ..kb.vectors.sets import CLIP_SPACE, TEXT_SPACE

    chosen: dict[str, Any] = {}
    if text_encoder is not None:
        chosen[TEXT_SPACE] = make_text_encoder(_absolute(text_encoder), device=device)
    if clip is not None:
        weights = _absolute(clip_weights) if clip_weights else None
        chosen[CLIP_SPACE] = clip_encoder(_absolute_model(clip), weights, device=device)
    elif clip_weights:
        raise DweError(Errors.E420.format(option="--clip-weights", needed="--clip"))
    named = [
        *_picture_encoders(picture_encoder or (), picture_weights or (), device),
        *(_registered_encoder(each, device) for each in encoder or ()),
    ]
    for space, made in named:
        if space in chosen:
            raise DweError(Errors.E246.format(space=space))
        chosen[space] = made
    return chosen


def _picture_encoders(
    names: Sequence[str], weights: Sequence[str], device: str
) -> Iterator[tuple[str, Any]]:
    """YIELDS (tuple[str, Any]): the space and the encoder of each option."""
    from spacy.util import registry

    from ..encoders.registry import absolute_spec, encoder_from_spec, picture_encoder

    by_space: dict[str, str] = {}
    for space, own in map(_in_space, weights):
        if by_space.setdefault(space, own) is not own:
            expected = f"one value for the space {space}"
            raise DweError(
                Errors.E135.format(
                    option="--picture-weights", expected=expected, value=own
                )
            )
    for space, name in map(_in_space, names):
        file = by_space.pop(space, None)
        if registry.has("misc", name):
            spec = {"@misc": name, **({"weights": file} if file else {})}
        else:
            spec = absolute_spec(picture_encoder(name, file).spec)
        yield space, encoder_from_spec(spec, device)
    for space in by_space:
        needed = f"--picture-encoder {space}=NAME"
        raise DweError(Errors.E420.format(option="--picture-weights", needed=needed))


def _in_space(option: str) -> tuple[str, str]:
    """RETURNS (tuple[str, str]): the space that an option of pictures is for, and the
    rest of it."""
    from ..kb.vectors.sets import PICTURES_SPACE

    space, equals, value = option.partition("=")
    # A path may hold a sign of equality, behind what no space is called.
    if not equals or not re.fullmatch(r"[\w-]+", space):
        return PICTURES_SPACE, option
    return space, value


def _registered_encoder(option: str, device: str) -> tuple[str, Any]:
    from ..encoders.registry import encoder_from_spec

    space, _, value = option.partition("=")
    try:
        block = json.loads(value) if value.startswith("{") else {"@misc": value}
    except ValueError:
        value = ""
    if not space or not value:
        expected = 'SPACE=NAME or SPACE={"@misc": NAME, …}'
        raise DweError(
            Errors.E135.format(option="--encoder", expected=expected, value=option)
        )
    return space, encoder_from_spec(block, device)


def _absolute(name: str) -> str:
    """The KB remembers its encoders: a path must hold from any folder. What names no
    file is a model's name."""
    path = Path(name).expanduser()
    return str(path.absolute()) if path.exists() else name


def _absolute_model(name: str) -> str:
    """As `_absolute`, for open_clip's names of models."""
    from ..encoders.names import LOCAL_DIR

    if not name.startswith(LOCAL_DIR):
        return name
    return LOCAL_DIR + _absolute(name.removeprefix(LOCAL_DIR))


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
    linker.keep_features()
    return nlp, linker


def tell_features(msg: "Printer", linker: "DweLinker") -> None:
    """Say where encoder outputs are kept for later commands, and how large they are."""
    place = "" if linker.cache is None else linker.cache.place
    if place:
        msg.info(f"Encoder outputs: {place}")


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
    """As `split_commas`; None stays None."""
    if channels is None:
        return None
    names = split_commas(channels)
    if not names:
        raise DweError(Errors.E403.format(channels=channels))
    return names


def split_commas(values: str) -> list[str]:
    """`"name, prior"` → `["name", "prior"]`."""
    return [part.strip() for part in values.split(",") if part.strip()]


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
    text = " ".join(str(error).split())
    unknown, _, _ = text.partition(" Available names")
    if unknown != text:
        return f"{unknown} Pass the file that registers it with --code FILE"
    return text
