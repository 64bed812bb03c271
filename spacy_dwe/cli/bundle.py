"""`python -m spacy dwe bundle`: a pipeline with its KnowledgeBase in it."""

from pathlib import Path
from typing import Annotated

import typer

from .errors import clear_errors, warning_lines
from .options import OverwriteOption, takes_code


@clear_errors
@takes_code
def bundle_cli(
    pipeline: Annotated[
        str,
        typer.Argument(help="Folder of a pipeline, or the name of an installed one"),
    ],
    out: Annotated[Path, typer.Argument(help="Folder of the new pipeline")],
    kb: Annotated[
        Path | None,
        typer.Option(
            "--kb", help="KnowledgeBase for its linkers, instead of those they have"
        ),
    ] = None,
    encoders: Annotated[
        bool,
        typer.Option(
            "--encoders/--no-encoders",
            help="Whether to copy encoders that lie in a folder or file, too",
        ),
    ] = True,
    overwrite: OverwriteOption = False,
) -> None:
    """Copy a pipeline with its KnowledgeBase, and the encoders it was built with.

    A saved pipeline only refers to its KnowledgeBase. OUT holds it, can be moved, and
    is what `python -m spacy package` packs. It appears when it is complete.
    """
    from wasabi import Printer

    from ..bundle import bundle

    with warning_lines():
        result = bundle(
            pipeline,
            out,
            kb=kb,
            encoders=encoders,
            overwrite=overwrite,
            show_progress=True,
        )
    msg = Printer()
    msg.text(f"{_size(result.pipeline_bytes)}  pipeline {pipeline}")
    for path, n_bytes in result.kbs.items():
        msg.text(f"{_size(n_bytes)}  KnowledgeBase {path}")
    for path, n_bytes in result.encoders.items():
        msg.text(f"{_size(n_bytes)}  encoder {path}")
    for name in sorted(result.named):
        msg.info(f"Not copied, as it is known by its name: the encoder {name}")
    msg.good(f"{result.path} can be moved, and packed by `python -m spacy package`")


def _size(n_bytes: int) -> str:
    value, unit = float(n_bytes), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:7.1f} {unit:2}"
