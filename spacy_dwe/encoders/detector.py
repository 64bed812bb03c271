"""Object detectors of torchvision: all that knows them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image

from ..errors import DweError, Errors
from .boxes import Box

BATCH = 4
"""Pictures in one pass; detectors scale each to some 800 pixels."""


def load_detector(name: str, weights: str | None, device: torch.device) -> Any:
    """RETURNS (nn.Module): in eval mode.
    RAISES (DweError): torchvision has no such detector, or its weights cannot be had.
    """
    from torchvision.models import detection as detectors
    from torchvision.models import get_model, list_models

    known = list_models(module=detectors)
    if name not in known:
        raise DweError(Errors.E208.format(name=name, known=", ".join(known)))
    path = Path(weights).expanduser() if weights else None
    try:
        if path is not None and path.is_file():
            model = get_model(name, weights=None, weights_backbone=None)
            model.load_state_dict(
                torch.load(path, map_location="cpu", weights_only=True)
            )
        elif weights:
            model = get_model(name, weights=weights)
        else:
            raise ValueError("no weights are named")
    except Exception as error:
        # What fails is a network, a file or a state dict: any kind of exception.
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise DweError(
            Errors.E214.format(name=name, weights=weights, reason=reason)
        ) from None
    model.eval().requires_grad_(False)
    return model.to(device)


def detect(
    model: Any, images: Sequence[Image], device: torch.device
) -> Iterator[list[tuple[Box, float]]]:
    """YIELDS (list[tuple[Box, float]]): boxes of each picture in its pixels, and their
    scores, best first."""
    from torchvision.transforms.functional import pil_to_tensor

    for start in range(0, len(images), BATCH):
        pixels = [
            (pil_to_tensor(image).float() / 255).to(device)
            for image in images[start : start + BATCH]
        ]
        with torch.inference_mode():
            results = model(pixels)
        for result in results:
            boxes, scores = result["boxes"].tolist(), result["scores"].tolist()
            order = sorted(range(len(scores)), key=lambda i: -scores[i])
            yield [(Box(*boxes[i]), float(scores[i])) for i in order]
