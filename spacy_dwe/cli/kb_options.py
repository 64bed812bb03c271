"""Options that several `kb` commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import DweError, Errors

if TYPE_CHECKING:
    from ..encoders.lazy import LazyClipEncoder, LazyTextEncoder

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
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1")]


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
