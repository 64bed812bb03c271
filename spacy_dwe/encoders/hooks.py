"""What goes through a part of a network while it runs."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def seen(module: nn.Module, *, at_input: bool = False) -> Iterator[list[Any]]:
    """What leaves a module in this thread; others may run it meanwhile.

    module (nn.Module): the part.
    at_input (bool): what enters it instead, its first argument.
    YIELDS (list[Any]): one item a call, in order.
    """
    owner, noted = threading.get_ident(), []

    def note(_: nn.Module, inputs: tuple[Any, ...], output: Any = None) -> None:
        if threading.get_ident() == owner:
            noted.append(inputs[0] if at_input else output)

    hook: Any
    if at_input:
        hook = module.register_forward_pre_hook(note)
    else:
        hook = module.register_forward_hook(note)
    try:
        yield noted
    finally:
        hook.remove()
