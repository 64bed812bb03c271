"""How commands fail: one line that names the thing, exit code 1, no traceback."""

import functools
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, ParamSpec, TypeVar

from ..errors import DweError

P = ParamSpec("P")
R = TypeVar("R")

INTERRUPTED = 130
"""Exit code of a command that the user stopped, as shells count it."""

MAX_WARNINGS = 20
"""Lines of warnings a command prints; the rest are counted."""


def clear_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Decorate a command so that mistakes of the user end it with one line on stderr.

    Anything else is a mistake of ours and keeps its traceback.
    """

    run_with_our_errors = clear_dwe_errors(command)

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        from click import ClickException

        try:
            return run_with_our_errors(*args, **kwargs)
        except OSError as error:
            reason = error.strerror or str(error)
            _fail(f"{error.filename}: {reason}" if error.filename else reason)
        except ClickException as error:
            # spaCy's override parser raises those of click, typer has its own.
            _fail(error.format_message())
        except KeyboardInterrupt:
            sys.stderr.write("\nStopped\n")
            sys.exit(INTERRUPTED)

    return run


def clear_dwe_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Decorate a command of spaCy's: our errors end it with one line on stderr, all
    else is as it was."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except DweError as error:
            _fail(str(error))

    return run


@contextmanager
def warning_lines(
    on_warning: Callable[[str], None] | None = None, silent: bool = False
) -> Iterator[None]:
    """Show warnings as lines above a progress bar, and stop at `MAX_WARNINGS`.

    on_warning (Callable[[str], None] | None): also told of each.
    silent (bool): leave showing them to Python.
    """
    from tqdm import tqdm

    shown = 0
    with warnings.catch_warnings():
        python_show = warnings.showwarning

        def show(message: Warning | str, *args: Any, **kwargs: Any) -> None:
            nonlocal shown
            shown += 1
            if on_warning is not None:
                on_warning(str(message))
            if silent:
                python_show(message, *args, **kwargs)
            elif shown <= MAX_WARNINGS:
                tqdm.write(str(message), file=sys.stderr)

        if not silent:
            warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield
    if shown > MAX_WARNINGS and not silent:
        sys.stderr.write(f"… and {shown - MAX_WARNINGS:,} warnings more\n")


def _fail(message: str) -> NoReturn:
    from wasabi import Printer

    line = " ".join(message.split())
    text = Printer(pretty=sys.stderr.isatty(), no_print=True).fail(line)
    sys.stderr.write(f"{text}\n")
    sys.exit(1)
