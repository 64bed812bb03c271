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
"""Share of the layers below. With it `cache.MENTION` has to change: stores hold what
was read before."""

Result = TypeVar("Result")


class MiddleReader:
    """Reads token states off a layer in the middle of a tower.

    tower (nn.Module): its longest list is that of its layers, or it runs one layer
        repeatedly. Of another kind, it has no middle that can be read.
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
        RETURNS (tuple[Any, Tensor | None]): what it returns, and states of all tokens,
            which may end with a class token. Shape: (n, n_tokens, width)
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

    def check(self, middle: Tensor | None, states: Tensor) -> None:
        """Read nothing from now on if states lie otherwise than the last ones do: some
        towers put the tokens first, which a batch may hide.

        middle (Tensor | None): of one text of several tokens.
        states (Tensor): its last states. Shape: (1, n_tokens, width)
        """
        if middle is None or middle[:, : states.shape[1]].shape != states.shape:
            self._layer = None


def middle_states(middle: Tensor | None, states: Tensor) -> np.ndarray:
    """
    middle (Tensor | None): what `MiddleReader` saw.
    states (Tensor): the last ones. Shape: (n, n_tokens, width)
    RETURNS (np.ndarray): states in the middle, or the last ones of a tower without.
        Shape: as `states`, float32
    """
    chosen = states if middle is None else middle[:, : states.shape[1]]
    array: np.ndarray = chosen.to(torch.float32).cpu().numpy()
    return array


def _below(n: int) -> int:
    return max(0, round(HEIGHT * n) - 1)
