"""What a text tower says of tokens before its last layers.

Those are trained to put the sense of a whole text into one vector. Whether a few words
are a name or an expression is told better further down.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from .hooks import seen

HEIGHT = 2 / 3
"""Share of the layers below."""

Result = TypeVar("Result")


class MiddleReader:
    """Reads token states off a layer in the middle of a tower.

    tower (nn.Module): has its layers in one list, or runs one layer repeatedly. Of
        another kind, it has no middle that can be read.
    """

    def __init__(self, tower: nn.Module) -> None:
        stacks = [part for part in tower.modules() if isinstance(part, nn.ModuleList)]
        layers = max(stacks, key=len, default=nn.ModuleList())
        self._layer: nn.Module | None = None
        if len(layers):
            self._layer = layers[_below(len(layers))]

    def __call__(self, run: Callable[[], Result]) -> tuple[Result, Tensor | None]:
        """
        run (Callable): one forward pass of the tower.
        RETURNS (tuple[Any, Tensor | None]): what it returns, and states of all tokens.
            Shape: (n, n_tokens, width)
        """
        if self._layer is None:
            return run(), None
        with seen(self._layer) as outputs:
            result = run()
        if not outputs:
            return result, None
        states: Any = outputs[_below(len(outputs))]
        if isinstance(states, tuple):
            states = states[0]
        return result, states if isinstance(states, Tensor) else None


def middle_states(middle: Tensor | None, states: Tensor) -> np.ndarray:
    """
    middle (Tensor | None): what `MiddleReader` saw, which may end with a class token.
    states (Tensor): the last ones. Shape: (n, n_tokens, width)
    RETURNS (np.ndarray): states in the middle, or the last ones where a tower has none
        of the same shape. Shape: as `states`, float32
    """
    if middle is not None:
        middle = middle[:, : states.shape[1]]
    if middle is None or middle.shape != states.shape:
        middle = states
    array: np.ndarray = middle.to(torch.float32).cpu().numpy()
    return array


def _below(n: int) -> int:
    return max(0, round(HEIGHT * n) - 1)
