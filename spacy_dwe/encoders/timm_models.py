"""Picture encoders by timm: all that knows timm."""

import difflib
import sys
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import timm
from timm.data import create_transform, resolve_model_data_config
from timm.models._hub import get_cache_dir
from torch import Tensor, nn

from ..errors import DweError, Errors, Warnings
from .backbone import Backbone, Wanted, flat
from .checkpoints import is_openai_clip, load_into, read_checkpoint
from .hub import fetch_weights, hub_guard
from .names import LOCAL_DIR

_ELSEWHERE = (LOCAL_DIR, "hf-hub:", "hf_hub:")
_TOLD = 300


def load(name: str, weights: str | None, wanted: Wanted) -> Backbone:
    """
    name (str): as `timm.create_model` takes it.
    weights (str | None): a file, or a tag of the model's weights; None for those that
        timm has by this name.
    wanted (Wanted): the preprocessing.
    RAISES (DweError): it cannot be loaded.
    """
    file = Path(weights).expanduser() if weights else None
    if file is not None and file.is_file():
        model = _create(name, False, wanted)
        _read_file(model, file, name)
    else:
        model = _create(_tagged(name, weights), True, wanted)
    if model.num_classes:
        model.reset_classifier(0)
    config = resolve_model_data_config(model)
    mean, std, size = wanted.over(
        f"timm:{name}", config["mean"], config["std"], config["input_size"][1:]
    )
    config |= {"mean": mean, "std": std, "input_size": (3, *size)}
    return Backbone(
        module=model,
        pool=lambda pixels: flat(model(pixels)),
        preprocess=create_transform(**config, is_training=False),
        input_size=size,
        config={
            "timm": model.pretrained_cfg.get("architecture") or name,
            "pooling": str(getattr(model, "global_pool", "")),
            "preprocess": config,
        },
    )


def _create(name: str, pretrained: bool, wanted: Wanted) -> Any:
    prefix = next((each for each in _ELSEWHERE if name.startswith(each)), "")
    if prefix == LOCAL_DIR:
        path = Path(name.removeprefix(LOCAL_DIR)).expanduser()
        if not (path / "config.json").is_file():
            reason = f"{path} has no config.json"
            raise DweError(Errors.E240.format(name=f"timm:{name}", reason=reason))
        name = f"{LOCAL_DIR}{path}"
    elif not prefix:
        _check_name(name)
    options: dict[str, Any] = {}
    if wanted.size is not None and _is_fixed(name):
        options["img_size"] = wanted.size
    if pretrained:
        _fetch(name)
    try:
        # All classes first: with another number timm passes over what is missing.
        with hub_guard(f"timm:{name}", pretrained and _asks_hub(name)):
            model = timm.create_model(name, pretrained=pretrained, **options)
    except DweError:
        raise
    except Exception as error:
        # What fails is a network, a file or a state dict: any kind of exception.
        reason = " ".join(str(error).split())[:_TOLD] or type(error).__name__
        raise DweError(Errors.E241.format(name=f"timm:{name}", reason=reason)) from None
    return model


def _check_name(name: str) -> None:
    base, _, tag = name.partition(".")
    if not timm.is_model(base):
        close = difflib.get_close_matches(base, timm.list_models(), n=3, cutoff=0.0)
        reason = f"timm knows no model {base!r}, such as {', '.join(close)}"
        raise DweError(Errors.E240.format(name=f"timm:{name}", reason=reason))
    tags = [each.partition(".")[2] for each in timm.list_pretrained(f"{base}.*")]
    if tag and tag not in tags:
        known = ", ".join(tags) or "(none)"
        reason = f"there is no file {tag!r}, and the weights of {base} are {known}"
        raise DweError(Errors.E240.format(name=f"timm:{name}", reason=reason))


def _tagged(name: str, tag: str | None) -> str:
    if tag is None:
        return name
    if name.startswith(_ELSEWHERE):
        reason = f"there is no file {tag}, and a hub's model or a folder has no tags"
        raise DweError(Errors.E240.format(name=f"timm:{name}", reason=reason))
    return f"{name.partition('.')[0]}.{tag}"


def _asks_hub(name: str) -> bool:
    if name.startswith(_ELSEWHERE):
        return not name.startswith(LOCAL_DIR)
    config = timm.models.get_pretrained_cfg(name)
    return bool(config is not None and config.hf_hub_id)


def _fetch(name: str) -> None:
    """Download weights that are not on the hub."""
    config = timm.models.get_pretrained_cfg(name)
    if config is None or config.hf_hub_id or not config.url:
        return
    if isinstance(config.url, str):
        url, file = config.url, config.url.rpartition("/")[2]
    else:
        url, file = config.url
    fetch_weights(f"timm:{name}", url, Path(get_cache_dir()) / file)


def _is_fixed(name: str) -> bool:
    config = timm.models.get_pretrained_cfg(name)
    return bool(config is not None and config.fixed_input_size)


def _read_file(model: Any, file: Path, name: str) -> None:
    heads = model.pretrained_cfg.get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    convert = partial(_as_timm_has_them, model)
    other = name.replace("_clip_", "_clip_quickgelu_")
    if other != name and timm.is_model(other) and is_openai_clip(file):
        warnings.warn(
            Warnings.W242.format(path=file, name=f"timm:{name}", other=f"timm:{other}"),
            stacklevel=2,
        )
    load_into(
        model, read_checkpoint(file), file, f"timm:{name}", heads, convert=convert
    )


def _as_timm_has_them(
    model: nn.Module, weights: dict[str, Tensor]
) -> dict[str, Tensor]:
    """timm's own conversion of the weights that a model's authors published."""
    module = sys.modules[type(model).__module__]
    convert = getattr(module, "checkpoint_filter_fn", None)
    if convert is None:
        return weights
    try:
        converted = convert(dict(weights), model)
    except Exception:
        # It takes what it knows for granted; whether the rest fits is told later.
        return weights
    return dict(converted) if isinstance(converted, Mapping) else weights
