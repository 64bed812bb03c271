"""Commands that are scripts of the spaCy project now: they say where they went."""

import typer

from ..errors import DweError, Errors
from .errors import clear_errors

SCRIPTS = {
    "sample": Errors.E490.format(name="sample", script="scripts/sample.py"),
    "study": Errors.E490.format(name="study", script="scripts/run_study.py"),
    "report": Errors.E491,
}


@clear_errors
def moved_cli(ctx: typer.Context) -> None:
    """Say which script the command is now, whatever its arguments."""
    raise DweError(SCRIPTS[str(ctx.info_name)])
