"""Picture encoders without a text tower: pictures to unit vectors of a space of their
own."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from ..errors import DweError, Errors
from .backbone import Backbone, Wanted
from .inference import fingerprint, resolve_device, resolve_precision, unit
from .names import LOCAL_DIR, PICTURE_LIBRARIES
from .protocol import Progress
from .views import cropped

_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
"""Of names that are no tag's."""


class PictureEncoder:
    """A frozen image model: pictures to unit vectors.

    spec (dict): the config block, see `registry.picture_encoder`, which also explains
        the other arguments.
    """

    def __init__(
        self,
        spec: dict[str, Any],
        device: str = "auto",
        batch_size: int = 64,
        precision: str = "fp32",
    ) -> None:
        self.spec = spec
        self.device = resolve_device(device)
        self.batch_size = batch_size
        self._precision = resolve_precision(precision, self.device)
        backbone = _load(spec)
        backbone.module.eval().float().requires_grad_(False)
        self.fingerprint = fingerprint(backbone.config, backbone.module.state_dict())
        self.input_size = backbone.input_size
        # Twice as fast on CPUs, where convolutions are depthwise.
        self._layout = (
            torch.channels_last
            if self.device.type == "cpu"
            else torch.contiguous_format
        )
        backbone.module.to(self.device).to(memory_format=self._layout)
        self._backbone = backbone
        self.dim = self._width()

    def preprocess(self, image: Image) -> Tensor:
        """The pixels that the model reads of a decoded RGB picture; any thread may make
        them ahead. Shape: (3, height, width), float32"""
        return self._backbone.preprocess(cropped(image))

    def encode_images(
        self, images: Sequence[Image], progress: Progress | None = None
    ) -> np.ndarray:
        """Unit vectors of decoded RGB pictures. Shape: (len(images), dim), float32"""
        vectors = np.zeros((len(images), self.dim), dtype=np.float32)
        for start in range(0, len(images), self.batch_size):
            some = images[start : start + self.batch_size]
            pixels = [self.preprocess(image) for image in some]
            vectors[start : start + len(some)] = self.encode_pixels(pixels)
            if progress is not None:
                progress(len(some))
        return vectors

    def encode_pixels(self, pixels: Sequence[Tensor]) -> np.ndarray:
        """Unit vectors of pictures that `preprocess` has read.

        pixels (Sequence[Tensor]): Shape of each: (3, height, width)
        RETURNS (np.ndarray): Shape: (len(pixels), dim), float32
        """
        vectors = np.zeros((len(pixels), self.dim), dtype=np.float32)
        for start in range(0, len(pixels), self.batch_size):
            some = pixels[start : start + self.batch_size]
            pooled = self._pooled(torch.stack([*some]))
            vectors[start : start + len(some)] = pooled.float().cpu().numpy()
        return unit(vectors)

    def _width(self) -> int:
        height, width = self.input_size
        try:
            return self._pooled(torch.zeros((1, 3, height, width))).shape[-1]
        except (ValueError, RuntimeError, AssertionError) as error:
            reason = f"it cannot read {height} x {width} pixels: "
            reason += " ".join(str(error).split())[:200]
            name = self.spec["name"]
            raise DweError(Errors.E241.format(name=name, reason=reason)) from None

    def _pooled(self, pixels: Tensor) -> Tensor:
        with torch.inference_mode(), self._precision():
            pixels = pixels.to(self.device, memory_format=self._layout)
            return self._backbone.pool(pixels)


def _load(spec: dict[str, Any]) -> Backbone:
    library, name = _library(spec["name"])
    weights, wanted = spec.get("weights"), _wanted(spec)
    if (
        weights
        and weights.endswith(_SUFFIXES)
        and not Path(weights).expanduser().is_file()
    ):
        raise DweError(Errors.E001.format(path=weights))
    if library == "timm":
        from . import timm_models

        return timm_models.load(name, weights, wanted)
    if library == "torchvision":
        from . import torchvision_models

        return torchvision_models.load(name, weights, wanted)
    from . import vision_transformers

    return vision_transformers.load(name, weights, wanted)


def _wanted(spec: dict[str, Any]) -> Wanted:
    """What a config block says of the preprocessing, checked."""
    size = spec.get("size")
    wanted = {
        "mean": spec.get("mean"),
        "std": spec.get("std"),
        "size": (size, size) if isinstance(size, int) else size,
    }
    sound = {
        "mean": (3, "three numbers", lambda value: True),
        "std": (3, "three numbers above 0", lambda value: value > 0),
        "size": (2, "a side in pixels, or height and width", lambda value: value > 0),
    }
    for what, (length, expected, holds) in sound.items():
        value = wanted[what]
        if value is None or (len(value) == length and all(map(holds, value))):
            continue
        raise DweError(
            Errors.E245.format(
                what=what, value=spec[what], name=spec["name"], expected=expected
            )
        )
    sides = wanted["size"]
    return Wanted(wanted["mean"], wanted["std"], tuple(sides) if sides else None)


def _library(name: str) -> tuple[str, str]:
    """RETURNS (tuple[str, str]): the library that has the model, and its name there."""
    prefix, _, rest = name.partition(":")
    if prefix in PICTURE_LIBRARIES:
        return prefix, rest
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise DweError(Errors.E240.format(name=name, reason="no folder is called so"))
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = f"its config.json cannot be read ({error})"
        raise DweError(Errors.E240.format(name=name, reason=reason)) from None
    if "architecture" in config:
        return "timm", f"{LOCAL_DIR}{folder}"
    if "model_type" in config:
        return "transformers", str(folder)
    reason = "its config.json has neither `architecture` (timm) nor `model_type`"
    raise DweError(Errors.E240.format(name=name, reason=f"{reason} (transformers)"))
