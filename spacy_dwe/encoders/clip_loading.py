"""CLIP models by name, by tag, by file or by folder: how open_clip loads them."""

import difflib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import open_clip
from open_clip.tokenizer import SimpleTokenizer

from ..errors import DweError, Errors
from .inference import quiet_hub
from .names import LOCAL_DIR

_tokenizers: dict[tuple[str, str], SimpleTokenizer] = {}


def cleaned(model: str) -> str:
    """RETURNS (str): the model's name as open_clip writes it, or its full path."""
    if model.startswith(LOCAL_DIR):
        return LOCAL_DIR + str(Path(model.removeprefix(LOCAL_DIR)).expanduser())
    return model.replace("/", "-") if ":" not in model else model


def load_model(name: str, pretrained: str | None) -> tuple[Any, dict[str, Any]]:
    """A frozen model.

    name (str): as of `cleaned`.
    pretrained (str | None): a tag, or a file with weights.
    RETURNS (tuple[Any, dict[str, Any]]): the model in eval mode on the CPU, and what
        else shapes its vectors.
    RAISES (DweError): it cannot be loaded.
    """
    quick_gelu = False
    if name.startswith(LOCAL_DIR):
        pretrained = None
    elif ":" not in name:
        tags = _check_name(name, pretrained)
        if pretrained in tags:
            # A tag knows which activation its weights were trained with.
            tag = open_clip.get_pretrained_cfg(name, pretrained)
            quick_gelu = bool(tag.get("quick_gelu", False))
    with _quiet():
        try:
            model = open_clip.create_model(
                name,
                pretrained=pretrained,
                force_quick_gelu=quick_gelu,
                require_pretrained=True,
                precision="fp32",
                device="cpu",
            )
            config = open_clip.get_model_config(name)
        except Exception as error:
            # What fails is a network, a file or a state dict: any kind of exception.
            raise _load_error(name, pretrained, error) from None
    model.eval().requires_grad_(False)
    used = {
        "model": config,
        "quick_gelu": quick_gelu or bool(config.get("quick_gelu", False)),
        "preprocess": model.visual.preprocess_cfg,
    }
    return model, used


def load_tokenizer(name: str, config: dict[str, Any]) -> Any:
    """The tokenizer of a model. Models that have open_clip's own share one: building
    its tables takes longer than loading a small model, and it depends on nothing but
    what its config says.

    name (str): as of `cleaned`.
    config (dict[str, Any]): of the model, as open_clip has it.
    RETURNS (Any): as of `open_clip.get_tokenizer`.
    """
    where = LOCAL_DIR if name.startswith(LOCAL_DIR) else name
    key = where, json.dumps(config.get("text_cfg"), sort_keys=True)
    tokenizer: Any = _tokenizers.get(key)
    if tokenizer is None:
        tokenizer = open_clip.get_tokenizer(name)
        if isinstance(tokenizer, SimpleTokenizer):
            _tokenizers[key] = tokenizer
    return tokenizer


def _check_name(name: str, pretrained: str | None) -> list[str]:
    models = open_clip.list_models()
    if name not in models:
        close = difflib.get_close_matches(name, models, n=3, cutoff=0.0)
        raise DweError(Errors.E213.format(model=name, close=", ".join(close)))
    tags: list[str] = open_clip.list_pretrained_tags_by_model(name)
    if pretrained is None:
        raise DweError(Errors.E210.format(model=name, tags=", ".join(tags) or "(none)"))
    return tags


def _load_error(name: str, pretrained: str | None, error: Exception) -> DweError:
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    if name.startswith(LOCAL_DIR):
        path = name.removeprefix(LOCAL_DIR)
        return DweError(Errors.E212.format(path=path, reason=reason))
    return DweError(
        Errors.E211.format(model=name, pretrained=pretrained, reason=reason)
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """open_clip reports each step of loading, and failures, to the root logger, and
    the hub's client each of its attempts: one error at the end says it all."""
    folder = str(Path(open_clip.__file__).parent)

    def is_foreign(record: logging.LogRecord) -> bool:
        return not record.pathname.startswith(folder)

    root, handler = logging.getLogger(), logging.NullHandler()
    root.addFilter(is_foreign)
    root.addHandler(handler)
    try:
        with quiet_hub():
            yield
    finally:
        root.removeHandler(handler)
        root.removeFilter(is_foreign)
