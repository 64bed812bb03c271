"""What encoders share: the device, the fingerprint of weights, texts in batches, tokens
in windows, unit vectors."""

import hashlib
import json
import logging
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch

from ..errors import DweError, Errors

SAMPLE = 256
"""Values read from each tensor in order."""

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}

VERSION = 1
"""Raised when this package changes the vectors of unchanged weights."""

LEFT_SHARE = 0.5
"""Share of the tokens beside a mention that its left context gets, when both sides
have more than fits. The left must not be starved: under a causal mask the mention's
own states see nothing else."""

Item = TypeVar("Item", bound=Hashable)


def resolve_device(device: str) -> torch.device:
    """ "auto" is the GPU where torch sees one, else the CPU."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(device)
    except RuntimeError:
        choices = "auto, cpu, cuda, cuda:1"
        raise DweError(
            Errors.E226.format(what="device", value=device, choices=choices)
        ) from None
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise DweError(Errors.E227.format(device=device))
    return found


def resolve_precision(
    precision: str, device: torch.device
) -> Callable[[], AbstractContextManager[Any]]:
    """RETURNS (Callable): makes the context that a forward pass runs in. Lower
    precisions are for GPUs.
    RAISES (DweError): there is no such precision."""
    if precision not in PRECISIONS:
        choices = ", ".join(PRECISIONS)
        raise DweError(
            Errors.E226.format(what="precision", value=precision, choices=choices)
        )
    dtype = PRECISIONS[precision] if device.type == "cuda" else None
    if dtype is None:
        return nullcontext
    return partial(torch.autocast, device.type, dtype=dtype)


@contextmanager
def quiet_hub() -> Iterator[None]:
    """Hide the retries of the Hugging Face hub's client, whose failure is reported
    once, as an error."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def fingerprint(config: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> str:
    """Tell encoders apart by what they are made of, wherever they are stored.

    Covers the configuration and, of every tensor, its name, type, shape, the exact sum
    of its bits (so a change anywhere shows) and an evenly spaced sample of its values
    (so a change of order shows). Costs one pass over the weights. Not covered: device,
    batch size, precision of the forward pass, versions of the libraries.

    config (Mapping[str, Any]): what else shapes a vector; JSON.
    weights (Mapping[str, torch.Tensor]): on the CPU.
    RETURNS (str): 16 hexadecimal digits.
    """
    digest = hashlib.sha256()
    header = {"version": VERSION, "config": dict(config)}
    digest.update(json.dumps(header, sort_keys=True, default=str).encode())
    for name in sorted(weights):
        tensor = weights[name].detach()
        bits = _bits(tensor)
        step = max(1, bits.numel() // SAMPLE)
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(int(bits.sum()).to_bytes(8, "little", signed=True))
        digest.update(bits[::step].contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor's bits as whole numbers, whose sum is exact in any order."""
    kinds = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    flat = tensor.contiguous().reshape(-1)
    if flat.dtype == torch.bool:
        return flat.to(torch.uint8)
    return flat.view(kinds[flat.element_size()])


def distinct(items: Sequence[Item]) -> tuple[list[Item], np.ndarray]:
    """Each distinct item once, in order of first appearance.

    RETURNS (tuple[list[Item], np.ndarray]): the distinct items and, for each input, the
        position of its item among them. Shape: (len(items),), int64
    """
    positions: dict[Item, int] = {}
    index = [positions.setdefault(item, len(positions)) for item in items]
    return list(positions), np.asarray(index, dtype=np.int64)


def length_batches(lengths: Sequence[int], max_tokens: int) -> Iterator[np.ndarray]:
    """Batches of similar length, longest first, none with more than `max_tokens` tokens
    (padding included) unless it is a single item.

    lengths (Sequence[int]): tokens of each item.
    YIELDS (np.ndarray): positions of the items of one batch, int64
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    start = 0
    while start < len(order):
        longest = max(int(lengths[order[start]]), 1)
        size = max(1, max_tokens // longest)
        yield order[start : start + size]
        start += size


def window(n_left: int, n_mention: int, n_right: int, budget: int) -> tuple[int, int]:
    """How much context fits beside a mention. A side that is short gives its share to
    the other.

    n_left, n_mention, n_right (int): tokens before, in and after the mention.
    budget (int): tokens in all.
    RETURNS (tuple[int, int]): tokens to keep directly before and directly after.
    """
    free = max(0, budget - n_mention)
    left = min(n_left, max(int(free * LEFT_SHARE), free - n_right))
    return left, min(n_right, free - left)


def mention_rows(before: int, inside: int, total: int) -> slice:
    """The rows that are the mention. A mention without tokens of its own (a control
    character, say) gets its neighbour's, so that the slice is never empty.

    before (int): tokens before the mention.
    inside (int): tokens of the mention.
    total (int): tokens in all, at least one.
    """
    start = min(before, total - 1)
    return slice(start, min(total, start + max(1, inside)))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to unit length. Shape: (n, dim), float32"""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: np.ndarray = (vectors / np.maximum(norms, 1e-12)).astype(np.float32)
    return scaled


def unit_vectors(
    batches: "Iterable[tuple[np.ndarray, torch.Tensor, Any, Any]]",
    index: np.ndarray,
    dim: int,
    progress: Callable[[int], None] | None,
) -> np.ndarray:
    """Collect the pooled vectors of distinct texts, batch by batch.

    batches (Iterable): positions of a batch, and its vectors, (n, dim).
    index (np.ndarray): the distinct text of each text, see `distinct`.
    progress (Callable | None): is told how many texts are done.
    RETURNS (np.ndarray): of unit length. Shape: (len(index), dim), float32
    """
    counts = np.bincount(index)
    vectors = np.zeros((len(counts), dim), dtype=np.float32)
    for batch, pooled, _, _ in batches:
        vectors[batch] = pooled.to(torch.float32).cpu().numpy()
        if progress is not None:
            progress(int(counts[batch].sum()))
    return unit(vectors)[index]
