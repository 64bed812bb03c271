"""Encoders that cost nothing until they are used: no heavy import, no weights.

This is what configs, pipelines and KBs hold. The first use loads the weights, in
whichever thread comes first; pickling and forking carry the recipe over.
"""

import os
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from ..errors import DweError, Errors

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from .base import (
        MentionFeatures,
        MentionText,
        PictureBatch,
        Progress,
        TextEncoder,
    )
    from .clip import ClipEncoder


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
        return _rebuild, (type(self), self.spec, self._load, self._options)

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


def _rebuild(
    kind: type[LazyTextEncoder],
    spec: dict[str, Any],
    load: Callable[..., Loaded],
    options: dict[str, Any],
) -> LazyTextEncoder:
    return kind(spec, load, **options)


_fork_hook = threading.Lock()


def _single_threaded_after_fork() -> None:
    """torch's thread pool does not survive a fork: a forked worker of `nlp.pipe` hangs
    in its first matrix product unless it keeps to one thread."""
    import torch

    if hasattr(os, "register_at_fork") and _fork_hook.acquire(blocking=False):
        os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))
