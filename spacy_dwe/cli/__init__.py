"""`python -m spacy dwe …`. Every `python -m spacy` imports this: it stays light."""

from typing import Any

import typer

from .account import account_cli
from .bundle import bundle_cli
from .calibrate import calibrate_cli
from .compare import compare_cli
from .convert import convert_cli
from .coverage import coverage_cli
from .errors import clear_dwe_errors, clear_errors
from .evaluate import evaluate_cli
from .init_config import init_config_cli
from .kb import kb_cli
from .link import link_cli
from .look import look_cli
from .moved import SCRIPTS, moved_cli
from .signs import signs_cli

# What a command does not know itself are overrides of the config, as in spaCy.
OVERRIDES: dict[str, Any] = {"allow_extra_args": True, "ignore_unknown_options": True}

dwe_cli = typer.Typer(
    name="dwe",
    help="Multimodal entity linking: KnowledgeBases, linking, evaluation",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
dwe_cli.add_typer(kb_cli)
for name, command, settings in (
    ("init-config", init_config_cli, {}),
    ("link", link_cli, OVERRIDES),
    ("evaluate", evaluate_cli, OVERRIDES),
    ("calibrate", calibrate_cli, {}),
    ("coverage", coverage_cli, OVERRIDES),
    ("compare", compare_cli, {}),
    ("signs", signs_cli, {}),
    ("convert", convert_cli, {}),
    ("account", account_cli, {}),
    ("look", look_cli, {}),
    ("bundle", bundle_cli, {}),
):
    dwe_cli.command(name, context_settings=settings, no_args_is_help=True)(
        clear_errors(command)
    )


for name in SCRIPTS:
    dwe_cli.command(
        name, context_settings=OVERRIDES, hidden=True, add_help_option=False
    )(moved_cli)


def setup_cli() -> None:
    """Mount the commands on spaCy's, and let those show our errors as ours do. The
    entry point imports this module and calls nothing, so it happens at import: only
    where the command line runs, not where spaCy's functions are called."""
    from spacy.cli._util import app

    if all(group.typer_instance is not dwe_cli for group in app.registered_groups):
        _clear_errors_of(app)
        app.add_typer(dwe_cli)


def _clear_errors_of(app: typer.Typer) -> None:
    for command in app.registered_commands:
        if command.callback is not None:
            command.callback = clear_dwe_errors(command.callback)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            _clear_errors_of(group.typer_instance)


setup_cli()
