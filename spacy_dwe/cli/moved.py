"""Commands that are scripts of the spaCy project now: they say where they went."""

from typing import Annotated

import typer

from ..errors import DweError, Errors
from .errors import clear_errors

SCRIPTS = {
    "sample": Errors.E490.format(name="sample", script="scripts/sample.py"),
    "study": Errors.E490.format(name="study", script="scripts/run_study.py"),
    "report": Errors.E491,
}


@clear_errors
def moved_cli(
    ctx: typer.Context,
    arguments: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
) -> None:
    """Moved to the scripts of the spaCy project."""
    raise DweError(SCRIPTS[str(ctx.info_name)])
