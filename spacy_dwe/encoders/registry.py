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

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from .clip import ClipEncoder
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

INSIDE = "kb:"
LOCAL_DIR = "local-dir:"
"""open_clip's own scheme for a folder with a model."""


def encoder_path(spec: Mapping[str, Any], base: str | Path | None) -> Path | None:
    """The folder, or the file of weights, that a config block names.

    spec (Mapping[str, Any]): an encoder's `spec`.
    base (str | Path | None): the folder that "kb:" stands for.
    RETURNS (Path | None): None for a model that is known by its name. What lies
        nowhere is a path if it begins at the root.
    """
    _, _, text = _place(spec)
    if text.startswith(INSIDE) and base is not None:
        return Path(base) / text.removeprefix(INSIDE)
    path = Path(text).expanduser() if text else Path()
    if path.is_absolute() or (text and path.exists()):
        return path.absolute()
    return None


def with_encoder_path(spec: Mapping[str, Any], path: str | Path) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): the config block with another path in it."""
    key, prefix, _ = _place(spec)
    return {**spec, key: f"{prefix}{path}"}


def spec_from(spec: Mapping[str, Any], base: str | Path | None) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): the config block with "kb:" replaced by `base`."""
    if base is None or not _place(spec)[2].startswith(INSIDE):
        return dict(spec)
    return with_encoder_path(spec, encoder_path(spec, base) or "")


def spec_inside(spec: Mapping[str, Any], base: str | Path) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): the opposite of `spec_from`: a path below `base` then
    begins with "kb:", other ones stay."""
    path, folder = encoder_path(spec, base), Path(base).resolve()
    if path is None or not path.resolve().is_relative_to(folder):
        return dict(spec)
    below = path.resolve().relative_to(folder).as_posix()
    return with_encoder_path(spec, f"{INSIDE}{below}")


def _place(spec: Mapping[str, Any]) -> tuple[str, str, str]:
    """RETURNS (tuple[str, str, str]): the key that may name a path, what stands before
    the path in its value, and the rest of the value. What the keys of other people's
    blocks mean is not known here."""
    if spec.get("@misc") not in (CLIP, TEXT):
        return "", "", ""
    if "model" not in spec:
        return "name", "", str(spec.get("name") or "")
    model = str(spec["model"])
    if model.startswith(LOCAL_DIR):
        return "model", LOCAL_DIR, model.removeprefix(LOCAL_DIR)
    return "pretrained", "", str(spec.get("pretrained") or "")


class Loaded(Protocol):
    """An encoder with its weights in memory."""

    @property
    def device(self) -> Any: ...


class LazyTextEncoder:
    """A TextEncoder whose weights are loaded at first use.

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
        return self._text.fingerprint

    @property
    def dim(self) -> int:
        return self._text.dim

    @property
    def width(self) -> int:
        return self._text.width

    @property
    def max_tokens(self) -> int:
        return self._text.max_tokens

    @property
    def is_loaded(self) -> bool:
        return self._loaded is not None

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

    def __deepcopy__(self, memo: dict[int, Any]) -> "LazyTextEncoder":
        return self


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
    def device(self) -> Any:
        return self._clip.device

    @property
    def batch_size(self) -> int:
        return self._clip.batch_size

    @property
    def logit_scale(self) -> float:
        return self._clip.logit_scale

    @property
    def _clip(self) -> "ClipEncoder":
        return cast("ClipEncoder", self._encoder())


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


def _load_text(spec: dict[str, Any], **options: Any) -> "SentenceEncoder":
    from .text import SentenceEncoder

    return SentenceEncoder(spec, **options)
