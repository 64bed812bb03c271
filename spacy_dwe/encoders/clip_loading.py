"""CLIP models by name, by tag, by file or by folder: how open_clip loads them."""

import difflib
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import open_clip
from open_clip.tokenizer import SimpleTokenizer

from ..errors import DweError, Errors, Warnings
from .checkpoints import is_openai_clip
from .hub import fetch_weights, hub_guard, is_on_hub
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
            _fetch(name, tag)
        elif pretrained is not None:
            _check_activation(name, Path(pretrained).expanduser())
    with _quiet():
        try:
            with hub_guard(name, _asks_hub(name, pretrained)):
                model = open_clip.create_model(
                    name,
                    pretrained=pretrained,
                    force_quick_gelu=quick_gelu,
                    require_pretrained=True,
                    precision="fp32",
                    device="cpu",
                )
                config = open_clip.get_model_config(name)
        except DweError:
            raise
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
    RAISES (DweError): it cannot be loaded.
    """
    where = LOCAL_DIR if name.startswith(LOCAL_DIR) else name
    key = where, json.dumps(config.get("text_cfg"), sort_keys=True)
    tokenizer: Any = _tokenizers.get(key)
    if tokenizer is None:
        try:
            with hub_guard(name, _tokenizer_asks_hub(name, config)):
                tokenizer = open_clip.get_tokenizer(name)
        except DweError:
            raise
        except Exception as error:
            # What fails is a network or a file: any kind of exception.
            raise _load_error(name, None, error) from None
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


def _asks_hub(name: str, pretrained: str | None) -> bool:
    """Whether a model, or the text tower within it, is loaded from the hub."""
    if name.startswith(LOCAL_DIR):
        file = Path(name.removeprefix(LOCAL_DIR)) / "open_clip_config.json"
        try:
            config = json.loads(file.read_text(encoding="utf-8"))["model_cfg"]
        except (OSError, ValueError, KeyError):
            return False
    elif ":" in name:
        return True
    else:
        config = open_clip.get_model_config(name)
        if pretrained in open_clip.list_pretrained_tags_by_model(name):
            tag = open_clip.get_pretrained_cfg(name, pretrained)
            if tag.get("hf_hub"):
                return True
    return is_on_hub(config["text_cfg"].get("hf_model_name") or ".")


def _tokenizer_asks_hub(name: str, config: dict[str, Any]) -> bool:
    if name.startswith(LOCAL_DIR):
        return False
    tokenizer = config["text_cfg"].get("hf_tokenizer_name") or "."
    # Its name alone makes open_clip take SigLIP's tokenizer.
    return ":" in name or "siglip" in name.lower() or is_on_hub(tokenizer)


def _fetch(name: str, tag: Mapping[str, Any]) -> None:
    """Download weights that are not on the hub to where open_clip looks for them."""
    url = str(tag.get("url") or "")
    if url and not tag.get("hf_hub"):
        target = Path("~/.cache/clip").expanduser() / url.rpartition("/")[2]
        fetch_weights(name, url, target)


def _check_activation(name: str, file: Path) -> None:
    """Warn of OpenAI's weights in a model with another activation than theirs: a file,
    unlike a tag, does not say which it needs."""
    other = f"{name}-quickgelu"
    if other in open_clip.list_models() and is_openai_clip(file):
        warnings.warn(
            Warnings.W242.format(path=file, name=name, other=other), stacklevel=2
        )


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
    """open_clip reports each step of loading, and failures, to the root logger: one
    error at the end says it all."""
    folder = str(Path(open_clip.__file__).parent)

    def is_foreign(record: logging.LogRecord) -> bool:
        return not record.pathname.startswith(folder)

    root, handler = logging.getLogger(), logging.NullHandler()
    root.addFilter(is_foreign)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.removeFilter(is_foreign)
