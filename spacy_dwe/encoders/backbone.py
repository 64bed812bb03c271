"""What a picture encoder is made of, whichever library it comes from."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from PIL.Image import Image
from torch import Tensor, nn

from ..errors import Warnings

_SAME = 0.02
"""Difference of means and deviations that vectors hardly show: (x - 127) / 128 is the
.5 and .5 of others."""


@dataclass(frozen=True, slots=True)
class Backbone:
    """A frozen image model without its classifier.

    module (nn.Module): in eval mode on the CPU.
    pool (Callable): pixels, (n, 3, height, width), to pooled features, (n, dim).
    preprocess (Callable): an RGB picture to pixels. Shape: (3, height, width), float32
    input_size (tuple[int, int]): height and width of the pixels.
    config (dict[str, Any]): what shapes the vectors beside the weights; JSON.
    """

    module: nn.Module
    pool: Callable[[Tensor], Tensor]
    preprocess: Callable[[Image], Tensor]
    input_size: tuple[int, int]
    config: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a config block asks of the preprocessing, None for what it leaves to the
    weights' own.

    mean, std (Sequence[float] | None): of the three channels, on a scale of 0 to 1.
    size (tuple[int, int] | None): height and width.
    """

    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    size: tuple[int, int] | None = None

    def over(
        self,
        name: str,
        mean: Sequence[float],
        std: Sequence[float],
        size: tuple[int, int],
    ) -> tuple[list[float], list[float], tuple[int, int]]:
        """Decide on the preprocessing, with a warning where the weights say otherwise.

        name (str): of the encoder.
        mean, std, size: the weights' own.
        RETURNS (tuple): mean, std and size to use.
        """
        asked = {"mean": self.mean, "std": self.std, "size": self.size}
        own = {"mean": mean, "std": std, "size": size}
        for what, given in asked.items():
            if given is not None and not _close(given, own[what]):
                warnings.warn(
                    Warnings.W241.format(
                        name=name, what=what, given=list(given), own=list(own[what])
                    ),
                    stacklevel=3,
                )
        return (
            list(self.mean if self.mean is not None else mean),
            list(self.std if self.std is not None else std),
            self.size if self.size is not None else size,
        )


def flat(features: Tensor) -> Tensor:
    """Maps averaged, (n, dim, rows, cols), and vectors, (n, dim, 1, 1), as vectors.

    RETURNS (Tensor): Shape: (n, dim)
    """
    return features.flatten(2).mean(-1) if features.ndim > 2 else features


def _close(given: Sequence[float], own: Sequence[float]) -> bool:
    return all(abs(a - b) <= _SAME for a, b in zip(given, own, strict=True))
