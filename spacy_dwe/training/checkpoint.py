"""The optimizer's state beside the weights: in model-last, and nowhere else."""

from collections.abc import Callable
from pathlib import Path

from spacy.training.loop import DIR_MODEL_BEST, DIR_MODEL_LAST

OPTIMIZER_FILE = "optimizer.safetensors"


def write_optimizer(path: Path, state: Callable[[], bytes]) -> None:
    """Write the state if the pipeline is saved as `spacy train` saves its last one;
    otherwise leave none there, as it would not belong to the weights beside it.

    spaCy tells no component what it is saved for, and makes model-best a copy of
    model-last right after saving it. So the copy is cleared when model-last is saved
    the next time, which spaCy does once more at the end of every run.

    path (Path): the file, in the folder of the component.
    state (Callable[[], bytes]): gives the state; empty = there is none.
    """
    path.unlink(missing_ok=True)
    component = path.parent.resolve()
    pipeline = component.parent
    if pipeline.name != DIR_MODEL_LAST:
        return
    best = pipeline.with_name(DIR_MODEL_BEST)
    (best / component.name / path.name).unlink(missing_ok=True)
    data = state()
    if data:
        path.write_bytes(data)


def read_optimizer(path: Path) -> bytes:
    """RETURNS (bytes): the state; empty where there is none."""
    return path.read_bytes() if path.exists() else b""
