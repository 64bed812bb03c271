"""Files and bytes of a saved component: its state as JSON, the weights of its network
and, in model-last, the state of the optimizer."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import srsly
from spacy import util

from .model.architectures import NetworkShim
from .training.checkpoint import OPTIMIZER_FILE, read_optimizer, write_optimizer

STATE = "cfg"
WEIGHTS = "model.safetensors"

GetState = Callable[[Path | None], dict[str, Any]]
"""Gives the state, for the folder of a pipeline; None = for bytes."""

SetState = Callable[[dict[str, Any], Path | None], None]
"""Takes the state back, from the folder of a pipeline; None = from bytes."""


def write_folder(
    path: str | Path, shim: NetworkShim, get_state: GetState, exclude: Iterable[str]
) -> None:
    """Write a component.

    path (str | Path): its folder, within that of the pipeline.
    shim (NetworkShim): holds the network.
    get_state (GetState): gives the rest.
    exclude (Iterable[str]): files to leave out.
    """
    util.to_disk(
        path,
        {
            STATE: lambda p: srsly.write_json(p, get_state(p.parent.parent)),
            WEIGHTS: lambda p: _write_bytes(p, shim.to_bytes()),
            OPTIMIZER_FILE: lambda p: write_optimizer(p, shim.optimizer_bytes),
        },
        exclude,
    )


def read_folder(
    path: str | Path,
    shim: NetworkShim,
    set_state: SetState,
    load_weights: Callable[[bytes], None],
    exclude: Iterable[str],
) -> None:
    """Read what `write_folder` wrote.

    path (str | Path): folder of the component.
    shim (NetworkShim): gets the state of the optimizer, if there is one.
    set_state (SetState): gets the state.
    load_weights (Callable[[bytes], None]): gets the weights, after the state.
    exclude (Iterable[str]): files to leave out.
    """
    util.from_disk(
        path,
        {
            STATE: lambda p: set_state(srsly.read_json(p), p.parent.parent),
            WEIGHTS: lambda p: load_weights(p.read_bytes()),
            OPTIMIZER_FILE: lambda p: shim.resume_optimizer(read_optimizer(p)),
        },
        exclude,
    )


def write_bytes(
    shim: NetworkShim, get_state: GetState, exclude: Iterable[str]
) -> bytes:
    """RETURNS (bytes): state and weights; see `write_folder`."""
    return util.to_bytes(
        {
            STATE: lambda: srsly.json_dumps(get_state(None)),
            WEIGHTS: shim.to_bytes,
        },
        exclude,
    )


def read_bytes(
    data: bytes,
    set_state: SetState,
    load_weights: Callable[[bytes], None],
    exclude: Iterable[str],
) -> None:
    """data (bytes): what `write_bytes` gave; see `read_folder`."""
    util.from_bytes(
        data,
        {
            STATE: lambda b: set_state(srsly.json_loads(b), None),
            WEIGHTS: load_weights,
        },
        exclude,
    )


def _write_bytes(path: Path, data: bytes) -> None:
    path.write_bytes(data)
