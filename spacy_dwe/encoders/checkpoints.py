"""Files of weights: read without running code from them, and fitted to a model."""

import argparse
import pickle
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import DweError, Errors, Warnings

WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model", "teacher")
"""Keys under which training scripts put the weights that are meant to be used."""

_HEADS = {"head", "heads", "head_dist", "fc", "classifier", "last_linear", "aux"}
_HEADS |= {"_fc", "linear", "logits", "aux1", "aux2", "AuxLogits", "decode_head"}
_UNUSED = ("num_batches_tracked", "relative_position_index", "attn_mask", "mask_token")
"""Last parts of names: what such tensors hold shapes no vector here."""
_OPENAI_KEYS = {"input_resolution", "context_length", "vocab_size"}
_OPENAI_FILES = {"RN50.pt", "RN101.pt", "RN50x4.pt", "RN50x16.pt", "RN50x64.pt"}
_OPENAI_FILES |= {f"ViT-{size}.pt" for size in ("B-32", "B-16", "L-14", "L-14-336px")}
_KINDS = {"weight", "bias", "running_mean", "running_var"}


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, by name, in the file's order.

    path (Path): .safetensors, or what `torch.save` wrote.
    RAISES (DweError): it cannot be read, or holds no weights.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # Training scripts keep their arguments beside the weights.
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        reason = "it holds other things than tensors, which could run code: save it "
        reason += "again as a state dict"
        raise DweError(Errors.E242.format(path=path, reason=reason)) from None
    except Exception as error:
        told = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        reason = f"it is damaged, or of another kind than its name says ({told})"
        raise DweError(Errors.E242.format(path=path, reason=reason)) from None
    weights = _unwrapped(content)
    if not weights:
        reason = "it holds no tensors by name"
        raise DweError(Errors.E242.format(path=path, reason=reason))
    return weights


def is_openai_clip(path: Path) -> bool:
    """Whether a file of weights is OpenAI's CLIP as OpenAI published it, or a state
    dict that was made of one."""
    if path.name in _OPENAI_FILES:
        return True
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return bool(set(file.keys()) >= _OPENAI_KEYS)
        with zipfile.ZipFile(path) as archive:
            if any("/code/" in name for name in archive.namelist()):
                return True
        content = torch.load(path, map_location="meta", weights_only=True)
    except Exception:
        # What it is instead is told by who loads it.
        return False
    return isinstance(content, Mapping) and content.keys() >= _OPENAI_KEYS


def load_into(
    module: nn.Module,
    weights: Mapping[str, Tensor],
    path: Path,
    name: str,
    heads: Sequence[str] = (),
    optional: Sequence[str] = (),
    convert: Callable[[dict[str, Tensor]], Mapping[str, Tensor]] = dict,
) -> None:
    """Put weights into a model: by their names, or, where these are others, in order if
    all tensors agree one for one.

    module (nn.Module): changed in place.
    weights (Mapping[str, Tensor]): of `read_checkpoint`.
    path (Path): where they are from, for messages.
    name (str): of the model, for messages.
    heads (Sequence[str]): names of the modules that classify, which are not used.
    optional (Sequence[str]): names of other modules that may be left as they are.
    convert (Callable): from the names that the model's authors gave to the library's.
    RAISES (DweError): they do not fit.
    """
    left_out = (*heads, *optional)
    own = {
        key: tensor
        for key, tensor in module.state_dict().items()
        if not _within(key, left_out) and not key.endswith(_UNUSED)
    }
    named = convert(_unprefixed(own, weights))
    fitted, differing = _by_name(own, named, left_out)
    if fitted is None:
        fitted, by_order = _by_order(own, weights)
        if fitted is None or path.suffix == ".safetensors":
            # Such files keep no order: equal layers would be mixed up.
            reason = differing or by_order or f"it has no {next(iter(own))!r}"
            raise DweError(Errors.E243.format(path=path, name=name, reason=reason))
        theirs, ours = next(iter(weights)), next(iter(own))
        warnings.warn(
            Warnings.W240.format(path=path, name=name, theirs=theirs, ours=ours),
            stacklevel=2,
        )
    module.load_state_dict(fitted, strict=False)


def _unwrapped(content: Any) -> dict[str, Tensor]:
    while isinstance(content, Mapping):
        inner = [key for key in WRAPPERS if isinstance(content.get(key), Mapping)]
        if not inner:
            break
        content = content[inner[0]]
    if not isinstance(content, Mapping):
        return {}
    return {
        str(key): value for key, value in content.items() if isinstance(value, Tensor)
    }


def _by_name(
    own: Mapping[str, Tensor], weights: Mapping[str, Tensor], left_out: Sequence[str]
) -> tuple[dict[str, Tensor] | None, str]:
    """RETURNS (tuple[dict[str, Tensor] | None, str]): the weights by the model's names,
    or why they do not fit; empty where hardly a name is the same."""
    missing = [key for key in own if key not in weights]
    if 2 * len(missing) > len(own):
        return None, ""
    if missing:
        return None, f"it lacks {listed(missing)}"
    for key, tensor in own.items():
        if weights[key].shape != tensor.shape:
            return None, (
                f"{key!r} is {tuple(weights[key].shape)} in it and "
                f"{tuple(tensor.shape)} in the model"
            )
    extra = [
        key
        for key in weights.keys() - own.keys()
        if not _within(key, left_out)
        and key.partition(".")[0] not in _HEADS
        and not key.endswith(_UNUSED)
    ]
    if extra:
        return None, f"it also has {listed(sorted(extra))}"
    return {key: weights[key] for key in own}, ""


def _unprefixed(
    own: Mapping[str, Tensor], weights: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Without what wrappers such as DistributedDataParallel put before all names."""
    first = next(iter(own))
    found = [key.removesuffix(first) for key in weights if key.endswith(f".{first}")]
    prefix = "" if first in weights or not found else min(found, key=len)
    return {
        key.removeprefix(prefix): tensor
        for key, tensor in weights.items()
        if key.startswith(prefix)
    }


def _by_order(
    own: Mapping[str, Tensor], weights: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor] | None, str]:
    """RETURNS (tuple[dict[str, Tensor] | None, str]): the weights by the model's names,
    or why they do not fit."""
    theirs = {k: v for k, v in weights.items() if not k.endswith(_UNUSED)}
    pairs = list(zip(own.items(), theirs.items()))
    for (ours, tensor), (key, their) in pairs:
        if tensor.shape != their.shape or not _same_kind(ours, key):
            return None, (
                f"in order, its {key!r}, {tuple(their.shape)}, stands where the model "
                f"has {ours!r}, {tuple(tensor.shape)}"
            )
    behind = list(theirs.values())[len(own) :]
    if len(theirs) < len(own) or not _is_classifier(behind):
        return None, f"it has {len(theirs)} tensors, the model {len(own)}"
    return {ours: their for (ours, _), (_, their) in pairs}, ""


def _same_kind(ours: str, theirs: str) -> bool:
    kinds = {ours.rpartition(".")[2], theirs.rpartition(".")[2]}
    return len(kinds) == 1 or not kinds <= _KINDS


def _is_classifier(tensors: Sequence[Tensor]) -> bool:
    if not tensors:
        return True
    weight, *rest = tensors
    is_weight = weight.ndim >= 2 and weight.shape[:2].numel() == weight.numel()
    return is_weight and [tuple(t.shape) for t in rest] in ([], [(len(weight),)])


def _within(key: str, modules: Sequence[str]) -> bool:
    return any(key.startswith(f"{module}.") for module in modules)


def listed(keys: Sequence[str]) -> str:
    """RETURNS (str): the first of some names, and how many more there are."""
    more = f" and {len(keys) - 1:,} more" if len(keys) > 1 else ""
    return f"{keys[0]!r}{more}"
