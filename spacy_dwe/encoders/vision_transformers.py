"""Picture encoders by transformers: all that knows its image models (extra `text`)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from PIL.Image import Image
from PIL.Image import new as new_image
from torch import Tensor, nn

from ..errors import DweError, Errors
from .backbone import Backbone, Wanted, flat
from .checkpoints import listed, read_checkpoint
from .hub import hub_guard, is_on_hub

CLS_TYPES = frozenset(
    {
        "vit",
        "deit",
        "vit_msn",
        "vit_mae",
        "dinov2",
        "dinov2_with_registers",
        "dinov3_vit",
    }
)
"""Model types whose authors compare pictures by the class token after the last norm:
their pooler, if there is one, is a layer that few checkpoints have trained."""
MEAN_TYPES = frozenset({"ijepa"})
"""Those whose authors compare the mean of the patches: they have no class token."""
_PARTLY = {"vit_mae": "mask_ratio"}
"""Settings by which a model leaves out some of a picture, also when it is only read."""
_TEXT_PARTS = ("text_model", "text_projection")
_TOLD = 300


def load(name: str, weights: str | None, wanted: Wanted) -> Backbone:
    """
    name (str): a folder, or a name on the Hugging Face hub.
    weights (str | None): a file, or a revision of the model on the hub; None for the
        newest, or those of the folder.
    wanted (Wanted): the preprocessing.
    RAISES (DweError): it cannot be loaded.
    """
    shown = f"transformers:{name}"
    model, processor, missing = _read(name, weights, shown)
    for part in _TEXT_PARTS:
        if hasattr(model, part):
            setattr(model, part, nn.Identity())
    pooling = _pooling(model, has_pooler=not missing)
    if pooling in ("cls", "mean") and hasattr(model, "pooler"):
        # Drawn at random where no weights are there, it would tell fingerprints apart.
        model.pooler = None
    preprocess, size, used = _preprocessing(shown, processor, wanted)
    return Backbone(
        module=model,
        pool=partial(_POOLINGS[pooling], model),
        preprocess=preprocess,
        input_size=size,
        config={
            "transformers": _architecture(model.config),
            "pooling": pooling,
            "preprocess": used,
        },
    )


def _read(name: str, weights: str | None, shown: str) -> tuple[Any, Any, list[str]]:
    """RETURNS (tuple[Any, Any, list[str]]): the model, its image processor, and what of
    its pooler no weights were there for."""
    try:
        from transformers import (
            MODEL_MAPPING,
            AutoConfig,
            AutoImageProcessor,
            AutoModel,
        )
    except ImportError:
        raise DweError(Errors.E244.format(name=shown)) from None
    path = str(Path(name).expanduser())
    file = Path(weights).expanduser() if weights else None
    own = None if file is None or not file.is_file() else read_checkpoint(file)
    options = {} if own is not None or weights is None else {"revision": weights}
    try:
        with hub_guard(shown, is_on_hub(name)), _quiet():
            config = AutoConfig.from_pretrained(path, **options)
            if config.model_type in _PARTLY:
                setattr(config, _PARTLY[config.model_type], 0.0)
            processor = AutoImageProcessor.from_pretrained(path, **options)
            kind: Any = AutoModel if own is None else MODEL_MAPPING[type(config)]
            model, info = kind.from_pretrained(
                path if own is None else None,
                config=config,
                state_dict=own,
                output_loading_info=True,
                **options,
            )
    except DweError:
        raise
    except Exception as error:
        # What fails is a network, a file or a state dict: any kind of exception.
        reason = " ".join(str(error).split())[:_TOLD] or type(error).__name__
        raise DweError(Errors.E241.format(name=shown, reason=reason)) from None
    missing = sorted(info["missing_keys"])
    untrained = [key for key in missing if "pooler" not in key.split(".")]
    if untrained:
        reason = f"it lacks {listed(untrained)}"
        where = path if own is None else file
        raise DweError(Errors.E243.format(path=where, name=shown, reason=reason))
    return model, processor, missing


def _pooling(model: Any, has_pooler: bool) -> str:
    kind = model.config.model_type
    if hasattr(model, "get_image_features"):
        return "features"
    if kind in CLS_TYPES:
        return "cls"
    if kind in MEAN_TYPES or not has_pooler:
        return "mean"
    return "pooler"


def _of_features(model: Any, pixels: Tensor) -> Tensor:
    found = model.get_image_features(pixel_values=pixels)
    return found if isinstance(found, Tensor) else _tensor(found.pooler_output)


def _of_cls(model: Any, pixels: Tensor) -> Tensor:
    return _tensor(model(pixel_values=pixels).last_hidden_state[:, 0])


def _of_mean(model: Any, pixels: Tensor) -> Tensor:
    states = _tensor(model(pixel_values=pixels).last_hidden_state)
    return states.mean(1) if states.ndim == 3 else flat(states)


def _of_pooler(model: Any, pixels: Tensor) -> Tensor:
    output = model(pixel_values=pixels)
    pooled = getattr(output, "pooler_output", None)
    if pooled is None:
        return _of_mean(model, pixels)
    return flat(_tensor(pooled))


_POOLINGS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "features": _of_features,
    "cls": _of_cls,
    "mean": _of_mean,
    "pooler": _of_pooler,
}
"""How pooled features are read. "features" are those of a model that shares its space
with a text tower; "pooler" is the model's own pooler, or the mean where it has none."""


def _preprocessing(
    name: str, processor: Any, wanted: Wanted
) -> tuple[Callable[[Image], Tensor], tuple[int, int], dict[str, Any]]:
    options = dict(_options(name, processor, wanted))

    def preprocess(image: Image) -> Tensor:
        pixels = processor(images=image, return_tensors="pt", **options)["pixel_values"]
        return _tensor(pixels[0])

    probe = preprocess(new_image("RGB", (64, 64)))
    ignored = ("processor_class", "_processor_class", "image_processor_type", "device")
    told = processor.to_dict().items()
    used = {k: v for k, v in told if v is not None and k not in ignored}
    return preprocess, (probe.shape[1], probe.shape[2]), {**used, **options}


def _options(name: str, processor: Any, wanted: Wanted) -> dict[str, Any]:
    """What to pass to a processor for the preprocessing that is wanted."""
    size = dict(getattr(processor, "size", None) or {})
    crop = getattr(processor, "crop_size", None)
    crop = dict(crop) if crop and getattr(processor, "do_center_crop", False) else None
    own = _height_and_width(crop or size)
    mean, std, chosen = wanted.over(
        name,
        list(processor.image_mean or (0.0,) * 3),
        list(processor.image_std or (1.0,) * 3),
        own,
    )
    options: dict[str, Any] = {"image_mean": mean, "image_std": std}
    if chosen != own:
        box = {"height": chosen[0], "width": chosen[1]}
        options["crop_size" if crop else "size"] = box
        shorter = size.get("shortest_edge")
        if crop and shorter:
            scaled = round(shorter * min(chosen) / min(own))
            options["size"] = {"shortest_edge": max(scaled, *chosen)}
        elif crop:
            options["size"] = box
    return options


@contextmanager
def _quiet() -> Iterator[None]:
    """Neither bars nor reports: what is missing is told as an error."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def _height_and_width(size: dict[str, int]) -> tuple[int, int]:
    side = size.get("shortest_edge") or size.get("longest_edge") or 0
    return size.get("height") or side, size.get("width") or side


def _architecture(config: Any) -> dict[str, Any]:
    """What of a model's configuration is not the default, without its classes, and
    without what says where and by what it was saved."""
    ignored = {"_name_or_path", "transformers_version", "dtype", "torch_dtype"}
    ignored |= {"architectures", "id2label", "label2id", "problem_type"}
    return {k: v for k, v in config.to_diff_dict().items() if k not in ignored}


def _tensor(value: Any) -> Tensor:
    assert isinstance(value, Tensor)
    return value
