"""Where encoders run, and how their weights arrive."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..errors import DweError, Errors


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
