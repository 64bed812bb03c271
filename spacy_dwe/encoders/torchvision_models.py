"""Picture encoders by torchvision: all that knows its classification models."""

import difflib
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn
from torchvision.models import get_model, get_model_weights, list_models
from torchvision.transforms._presets import ImageClassification

from ..errors import DweError, Errors
from .backbone import Backbone, Wanted, flat
from .checkpoints import load_into, read_checkpoint
from .hub import fetch_weights

_AUXILIARY = ("aux1", "aux2", "AuxLogits")
"""Classifiers that are read in training only."""
_TOLD = 300


def load(name: str, weights: str | None, wanted: Wanted) -> Backbone:
    """
    name (str): as `torchvision.models.get_model` takes it.
    weights (str | None): a file, or a name among the model's weights; None for those
        that torchvision prefers.
    wanted (Wanted): the preprocessing.
    RAISES (DweError): it cannot be loaded.
    """
    known = list_models(module=torchvision.models)
    if name not in known:
        close = ", ".join(difflib.get_close_matches(name, known, n=3, cutoff=0.0))
        reason = f"torchvision knows no model {name!r}, such as {close}"
        raise DweError(Errors.E240.format(name=f"torchvision:{name}", reason=reason))
    file = Path(weights).expanduser() if weights else None
    if file is not None and file.is_file():
        tag = _tag_of_file(name, file)
        model = get_model(name, weights=None, **_without_drawing(name))
        head = _classifier(model)
        load_into(
            model,
            read_checkpoint(file),
            file,
            f"torchvision:{name}",
            (head,),
            optional=_AUXILIARY,
        )
    else:
        tag = _tag(name, weights)
        model = _download(name, tag)
        head = _classifier(model)
    _remove(model, head)
    return _backbone(model.eval(), name, tag, wanted)


def _backbone(model: nn.Module, name: str, tag: Any, wanted: Wanted) -> Backbone:
    own = tag.transforms()
    crop, resize = own.crop_size[0], own.resize_size[0]
    mean, std, size = wanted.over(
        f"torchvision:{name}", own.mean, own.std, (crop, crop)
    )
    shorter = max(round(resize * min(size) / crop), *size)
    preprocess = ImageClassification(
        crop_size=crop,
        resize_size=shorter,
        mean=mean,
        std=std,
        interpolation=own.interpolation,
        antialias=own.antialias,
    )
    preprocess.crop_size = list(size)
    config = {
        "crop": list(size),
        "resize": shorter,
        "mean": mean,
        "std": std,
        "interpolation": own.interpolation.value,
    }
    return Backbone(
        module=model,
        pool=lambda pixels: flat(model(pixels)),
        preprocess=preprocess,
        input_size=size,
        config={"torchvision": name, "preprocess": config},
    )


def _tag(name: str, weights: str | None) -> Any:
    tags = get_model_weights(name)
    if weights is None:
        return tags.DEFAULT
    try:
        return tags[weights]
    except KeyError:
        reason = f"its weights are {', '.join(tags.__members__)}, and no file is called"
        raise DweError(
            Errors.E240.format(
                name=f"torchvision:{name}", reason=f"{reason} {weights!r}"
            )
        ) from None


def _tag_of_file(name: str, file: Path) -> Any:
    """The weights whose file has this name, which tell of its preprocessing."""
    tags = get_model_weights(name)
    same = [tag for tag in tags if tag.url.rpartition("/")[2] == file.name]
    return same[0] if same else tags.DEFAULT


def _without_drawing(name: str) -> dict[str, Any]:
    """Two models take long to draw weights that are replaced at once."""
    return {"init_weights": False} if name in ("googlenet", "inception_v3") else {}


def _download(name: str, tag: Any) -> nn.Module:
    shown = f"torchvision:{name}"
    fetch(shown, tag)
    try:
        return get_model(name, weights=tag)
    except Exception as error:
        # What fails is a network, a file or a state dict: any kind of exception.
        reason = " ".join(str(error).split())[:_TOLD] or type(error).__name__
        raise DweError(Errors.E241.format(name=shown, reason=reason)) from None


def fetch(name: str, tag: Any) -> None:
    """Download weights to where torchvision looks for them.

    name (str): of the model, for messages.
    tag (WeightsEnum): of a model of any kind.
    RAISES (DweError): they cannot be had.
    """
    file = tag.url.rpartition("/")[2]
    fetch_weights(name, tag.url, Path(torch.hub.get_dir()) / "checkpoints" / file)


def _classifier(model: nn.Module) -> str:
    """RETURNS (str): the layer that tells classes apart, the last one to be made."""
    layers = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and not name.startswith(_AUXILIARY)
    ]
    return layers[-1]


def _remove(model: nn.Module, layer: str) -> None:
    parent, _, name = layer.rpartition(".")
    setattr(model.get_submodule(parent), name, nn.Identity())
