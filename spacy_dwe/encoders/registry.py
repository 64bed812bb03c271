"""Encoders as config blocks: which registered function makes one, and which paths the
blocks of our own hold. In a KB that carries its encoders a path begins with "kb:", the
KB's folder, so that it holds wherever the KB is."""

import inspect
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from ..errors import DweError, Errors
from .names import LOCAL_DIR, PICTURE_LIBRARIES

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from torch import Tensor

    from .clip import ClipEncoder
    from .picture import PictureEncoder
    from .protocol import (
        MentionFeatures,
        MentionText,
        PictureBatch,
        Progress,
        TextEncoder,
    )
    from .text import SentenceEncoder

CLIP = "spacy-dwe.ClipEncoder.v1"
TEXT = "spacy-dwe.TextEncoder.v1"
PICTURE = "spacy-dwe.PictureEncoder.v1"

INSIDE = "kb:"


def encoder_paths(spec: Mapping[str, Any], base: str | Path | None) -> dict[str, Path]:
    """The folders and files of weights that a config block names.

    spec (Mapping[str, Any]): an encoder's `spec`.
    base (str | Path | None): the folder that "kb:" stands for.
    RETURNS (dict[str, Path]): by the block's keys; none for a model that is known by
        its name. What lies nowhere is a path if it begins at the root.
    """
    paths = {}
    for key, (_, text) in _places(spec).items():
        if text.startswith(INSIDE) and base is not None:
            paths[key] = Path(base) / text.removeprefix(INSIDE)
            continue
        path = Path(text).expanduser() if text else Path()
        if path.is_absolute() or (text and path.exists()):
            paths[key] = path.absolute()
    return paths


def with_encoder_paths(
    spec: Mapping[str, Any], paths: Mapping[str, str | Path]
) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): the config block with other paths at its keys."""
    places = _places(spec)
    return {**spec, **{key: f"{places[key][0]}{path}" for key, path in paths.items()}}


def spec_from(spec: Mapping[str, Any], base: str | Path | None) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): the config block with "kb:" replaced by `base`."""
    if base is None:
        return dict(spec)
    places = _places(spec)
    inside = {
        key: path
        for key, path in encoder_paths(spec, base).items()
        if places[key][1].startswith(INSIDE)
    }
    return with_encoder_paths(spec, inside)


def spec_inside(spec: Mapping[str, Any], base: str | Path) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): the opposite of `spec_from`: paths below `base` then
    begin with "kb:", other ones stay."""
    folder = Path(base).resolve()
    below = {
        key: f"{INSIDE}{path.resolve().relative_to(folder).as_posix()}"
        for key, path in encoder_paths(spec, base).items()
        if path.resolve().is_relative_to(folder)
    }
    return with_encoder_paths(spec, below)


def absolute_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): the config block with paths that hold from any
    folder."""
    return with_encoder_paths(spec, encoder_paths(spec, None))


def _places(spec: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """RETURNS (dict[str, tuple[str, str]]): the keys that may name a path: what stands
    before the path in their value, and the rest of it. What the keys of other people's
    blocks mean is not known here."""
    function = spec.get("@misc")
    if function == TEXT:
        return {"name": ("", str(spec.get("name") or ""))}
    if function == CLIP:
        model = str(spec.get("model") or "")
        if model.startswith(LOCAL_DIR):
            return {"model": (LOCAL_DIR, model.removeprefix(LOCAL_DIR))}
        return {"pretrained": ("", str(spec.get("pretrained") or ""))}
    if function == PICTURE:
        places = {"weights": ("", str(spec.get("weights") or ""))}
        prefix, name = _picture_place(str(spec.get("name") or ""))
        return places if name is None else {"name": (prefix, name), **places}
    return {}


def _picture_place(name: str) -> tuple[str, str | None]:
    """RETURNS (tuple[str, str | None]): what stands before a path, and the path; None
    where the name is a library's own."""
    library, _, rest = name.partition(":")
    if library not in PICTURE_LIBRARIES:
        return "", name
    if library == "transformers":
        return f"{library}:", rest
    if rest.startswith(LOCAL_DIR):
        return f"{library}:{LOCAL_DIR}", rest.removeprefix(LOCAL_DIR)
    return f"{library}:", None


class Loaded(Protocol):
    """An encoder with its weights in memory."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def dim(self) -> int: ...

    @property
    def device(self) -> Any: ...

    @property
    def batch_size(self) -> int: ...


class LazyEncoder:
    """An encoder whose weights are loaded at first use.

    spec (dict): the JSON config block that builds this encoder again.
    load (Callable): module-level function that loads it: load(spec, **options).
    options (dict): what changes speed and not vectors: device, batch_size, precision.
    """

    def __init__(
        self, spec: dict[str, Any], load: Callable[..., Loaded], **options: Any
    ) -> None:
        self.spec = spec
        self._load = load
        self._options = options
        self._lock = threading.Lock()
        self._loaded: Loaded | None = None
        self._pid = 0

    @property
    def fingerprint(self) -> str:
        return self._encoder().fingerprint

    @property
    def dim(self) -> int:
        return self._encoder().dim

    @property
    def device(self) -> Any:
        return self._encoder().device

    @property
    def batch_size(self) -> int:
        return self._encoder().batch_size

    @property
    def is_loaded(self) -> bool:
        return self._loaded is not None

    def _encoder(self) -> Loaded:
        if self._loaded is None:
            import torch

            # Weights are drawn before those of the file replace them. What a training
            # run draws then must not hang on whether a cache spared it the loading.
            with self._lock, torch.random.fork_rng(devices=()):
                if self._loaded is None:
                    _single_threaded_after_fork()
                    self._loaded = self._load(self.spec, **self._options)
                    self._pid = os.getpid()
        if self._pid != os.getpid() and self._loaded.device.type == "cuda":
            raise DweError(
                Errors.E224.format(name=self._name, device=self._loaded.device)
            )
        return self._loaded

    @property
    def _name(self) -> str:
        return str(self.spec.get("model") or self.spec.get("name"))

    def __repr__(self) -> str:
        state = "loaded" if self.is_loaded else "not loaded"
        return f"<{type(self).__name__} {self._name} ({state})>"

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), **self._options), (self.spec, self._load)

    def __deepcopy__(self, memo: dict[int, Any]) -> "LazyEncoder":
        return self


class LazyTextEncoder(LazyEncoder):
    """A TextEncoder, loaded at first use."""

    @property
    def width(self) -> int:
        return self._text.width

    @property
    def max_tokens(self) -> int:
        return self._text.max_tokens

    def encode_texts(
        self, texts: Sequence[str], progress: "Progress | None" = None
    ) -> "np.ndarray":
        return self._text.encode_texts(texts, progress)

    def encode_mentions(
        self, mentions: "Sequence[MentionText]"
    ) -> "list[MentionFeatures]":
        return self._text.encode_mentions(mentions)

    @property
    def _text(self) -> "TextEncoder":
        return cast("TextEncoder", self._encoder())


class LazyClipEncoder(LazyTextEncoder):
    """A TextEncoder and ImageEncoder in one, loaded at first use."""

    def encode_images(
        self, images: "Sequence[Image]", progress: "Progress | None" = None
    ) -> "np.ndarray":
        return self._clip.encode_images(images, progress)

    def encode_pictures(self, images: "Sequence[Image]") -> "PictureBatch":
        return self._clip.encode_pictures(images)

    @property
    def input_size(self) -> tuple[int, int]:
        return self._clip.input_size

    def resized(self, image: "Image") -> "Image":
        return self._clip.resized(image)

    @property
    def logit_scale(self) -> float:
        return self._clip.logit_scale

    @property
    def _clip(self) -> "ClipEncoder":
        return cast("ClipEncoder", self._encoder())


class LazyPictureEncoder(LazyEncoder):
    """An ImageEncoder without a text tower, loaded at first use."""

    def encode_images(
        self, images: "Sequence[Image]", progress: "Progress | None" = None
    ) -> "np.ndarray":
        return self._picture.encode_images(images, progress)

    def encode_pixels(self, pixels: "Sequence[Tensor]") -> "np.ndarray":
        return self._picture.encode_pixels(pixels)

    def preprocess(self, image: "Image") -> "Tensor":
        return self._picture.preprocess(image)

    @property
    def input_size(self) -> tuple[int, int]:
        return self._picture.input_size

    @property
    def _picture(self) -> "PictureEncoder":
        return cast("PictureEncoder", self._encoder())


_fork_hook = threading.Lock()


def _single_threaded_after_fork() -> None:
    """torch's thread pool does not survive a fork: a forked worker of `nlp.pipe` hangs
    in its first matrix product unless it keeps to one thread."""
    import torch

    if hasattr(os, "register_at_fork") and _fork_hook.acquire(blocking=False):
        os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def clip_encoder(
    model: str,
    pretrained: str | None = None,
    device: str = "auto",
    batch_size: int = 64,
    precision: str = "fp32",
) -> LazyClipEncoder:
    """A CLIP model of open_clip, for texts and pictures in one space.

    model (str): an open_clip model name, or `local-dir:PATH`, a folder with
        open_clip_config.json and the weights.
    pretrained (str | None): a pretrained tag of that model, or a file with weights;
        not used with local-dir.
    device (str): "auto" (the GPU where torch sees one), "cpu", "cuda", "cuda:1".
    batch_size (int): full-length texts, or pictures, in one forward pass.
    precision (str): "fp32", or "bf16" and "fp16", which are used on a GPU only.
    """
    spec = {"@misc": CLIP, "model": model, "pretrained": pretrained}
    return LazyClipEncoder(
        spec, _load_clip, device=device, batch_size=batch_size, precision=precision
    )


def text_encoder(
    name: str,
    device: str = "auto",
    max_tokens: int = 96,
    batch_size: int = 64,
    pooling: str | None = None,
) -> LazyTextEncoder:
    """A sentence encoder that transformers can load (extra `text`).

    name (str): a folder, or a name on the Hugging Face hub.
    device (str): "auto" (the GPU where torch sees one), "cpu", "cuda", "cuda:1".
    max_tokens (int): longer texts are cut, mentions in context around the mention.
    batch_size (int): full-length texts in one forward pass.
    pooling (str | None): "mean", "cls", "max" or "lasttoken"; None reads what the
        model's folder says, and is "mean" where it says nothing.
    """
    spec = {"@misc": TEXT, "name": name, "max_tokens": max_tokens, "pooling": pooling}
    return LazyTextEncoder(spec, _load_text, device=device, batch_size=batch_size)


def picture_encoder(
    name: str,
    weights: str | None = None,
    device: str = "auto",
    batch_size: int = 64,
    precision: str = "fp32",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    size: int | Sequence[int] | None = None,
) -> LazyPictureEncoder:
    """An image model of timm, torchvision or transformers (extra `text`), for pictures
    in a space of their own.

    name (str): `timm:NAME`, with timm's `hf-hub:…` and `local-dir:PATH`;
        `torchvision:NAME`; `transformers:NAME`, a folder or a name on the Hugging Face
        hub; or a folder whose config.json is timm's or transformers'.
    weights (str | None): a file, or a tag of timm's or torchvision's weights, or a
        revision on the hub; None for the library's own.
    device (str): "auto" (the GPU where torch sees one), "cpu", "cuda", "cuda:1".
    batch_size (int): pictures in one forward pass.
    precision (str): "fp32", or "bf16" and "fp16", which are used on a GPU only.
    mean, std (Sequence[float] | None): of the three channels, on a scale of 0 to 1;
        None reads what the weights' configuration says.
    size (int | Sequence[int] | None): side, or height and width, that pictures are
        scaled and cropped to; None reads what the weights' configuration says.
    """
    spec: dict[str, Any] = {"@misc": PICTURE, "name": name, "weights": weights}
    own = {"mean": mean, "std": std, "size": size}
    for key, value in own.items():
        if value is not None:
            spec[key] = value if isinstance(value, int) else list(value)
    return LazyPictureEncoder(
        spec, _load_picture, device=device, batch_size=batch_size, precision=precision
    )


def encoder_from_spec(
    spec: Mapping[str, Any], device: str = "auto", base: str | Path | None = None
) -> Any:
    """The encoder that a config block describes, such as a KB's meta.json keeps.

    spec (Mapping[str, Any]): an encoder's `spec`: its "@misc" names a function of
        spaCy's registry, the rest are arguments of it.
    device (str): where to run it, if the function has an argument of this name.
    base (str | Path | None): folder of the KB whose block it is, which may carry the
        encoder.
    RETURNS (TextEncoder | ImageEncoder): what the function made; for a ClipEncoder's
        block a LazyClipEncoder.
    RAISES (DweError): nobody registered the function, it does not take these arguments,
        or what it makes is no encoder.
    """
    from spacy.util import registry
    from thinc.api import ConfigValidationError

    def problem(reason: str) -> DweError:
        return DweError(Errors.E225.format(spec=dict(spec), reason=reason))

    block = spec_from(spec, base)
    name = block.get("@misc", "")
    if not registry.has("misc", name):
        raise problem(
            f"{name!r} is not registered: pass the file that does so with --code FILE, "
            "or import it first"
        )
    if "device" in inspect.signature(registry.get("misc", name)).parameters:
        block["device"] = device
    try:
        encoder = registry.resolve({"encoder": block})["encoder"]
    except ConfigValidationError as error:
        raise problem(", ".join(str(each["msg"]) for each in error.errors)) from None
    if not (hasattr(encoder, "encode_texts") or hasattr(encoder, "encode_images")):
        raise problem("what it makes has neither encode_texts nor encode_images")
    return encoder


def _load_clip(spec: dict[str, Any], **options: Any) -> "ClipEncoder":
    from .clip import ClipEncoder

    return ClipEncoder(spec, **options)


def _load_picture(spec: dict[str, Any], **options: Any) -> "PictureEncoder":
    from .picture import PictureEncoder

    return PictureEncoder(spec, **options)


def _load_text(spec: dict[str, Any], **options: Any) -> "SentenceEncoder":
    from .text import SentenceEncoder

    return SentenceEncoder(spec, **options)
