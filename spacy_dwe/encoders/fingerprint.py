"""A short name for a set of weights and the way they are used."""

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

SAMPLE = 256
"""Values read from each tensor in order."""

VERSION = 1
"""Raised when this package changes the vectors of unchanged weights."""


def fingerprint(
    config: Mapping[str, Any], weights: "Mapping[str, torch.Tensor]"
) -> str:
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


def _bits(tensor: "torch.Tensor") -> "torch.Tensor":
    """The tensor's bits as whole numbers, whose sum is exact in any order."""
    import torch

    kinds = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    flat = tensor.contiguous().reshape(-1)
    if flat.dtype == torch.bool:
        return flat.to(torch.uint8)
    return flat.view(kinds[flat.element_size()])
