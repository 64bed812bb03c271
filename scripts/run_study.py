"""`python scripts/run_study.py`: variants over seeds, one table and one plot."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spacy_dwe.cli.errors import clear_errors, warning_lines
from spacy_dwe.cli.options import parse_overrides, takes_code
from spacy_dwe.errors import DweError
from study.errors import Errors, Warnings

if TYPE_CHECKING:
    from study.runs import StudyRuns
    from study.study_file import Study
    from study.table import StudyTable

VARIABLES = "vars."
OWN = ("paths.train", "paths.dev", "paths.kb", "paths.image_root")
"""Settings that the study file says by other means, beside seeds."""


@takes_code
def study_cli(
    ctx: typer.Context,
    study: Annotated[Path, typer.Argument(help="What to run (JSON)")],
    out: Annotated[Path, typer.Argument(help="Folder for runs, table and plot")],
    seeds: Annotated[
        str | None, typer.Option("--seeds", help="Such as 0,1,2, not those of STUDY")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            help="Run this variant and those that it needs. May be repeated",
        ),
    ] = None,
    gpu_id: Annotated[
        int, typer.Option("--gpu-id", "-g", help="GPU to train on, -1 for none")
    ] = -1,
    keep_last: Annotated[
        bool, typer.Option("--keep-last", help="Keep last checkpoints beside the best")
    ] = False,
    plot: Annotated[
        bool, typer.Option("--plot/--no-plot", help="Draw study.png")
    ] = True,
    draws: Annotated[
        int, typer.Option("--draws", min=100, help="Draws of intervals and p")
    ] = 10_000,
) -> None:
    """Train and evaluate variants with several seeds, and say which differences are
    more than chance.

    OUT gets runs/VARIANT/SEED, study.json, study.md and study.png. The same command
    goes on where it was stopped: what is done, by the same settings and data, is not
    done again. Paths in STUDY are relative to the working directory; its variables are
    set by --vars.NAME VALUE, and config values of every training by their dotted name,
    such as --training.max_steps 500
    """
    study_runs(
        study,
        out,
        seeds=seeds,
        only=only or [],
        gpu_id=gpu_id,
        keep_last=keep_last,
        plot=plot,
        draws=draws,
        overrides=parse_overrides(ctx.args),
        silent=False,
    )


def study_runs(
    path: Path,
    out: Path,
    *,
    seeds: str | list[int] | None = None,
    only: list[str] | None = None,
    gpu_id: int = -1,
    keep_last: bool = False,
    plot: bool = True,
    draws: int = 10_000,
    overrides: dict[str, Any] | None = None,
    silent: bool = True,
) -> dict[str, Any]:
    """Run a study, see `study_cli`.

    RETURNS (dict[str, Any]): what study.json holds.
    RAISES (DweError): it cannot begin, or a run failed; then all else is done.
    """
    from wasabi import Printer

    from spacy_dwe.visualise.plots import require_matplotlib
    from study.runs import RunOptions, run_study
    from study.study_file import checked_seeds, read_study
    from study.table import study_table

    if plot:
        require_matplotlib()
    variables, settings = _split(overrides or {}, path)
    study = read_study(path, variables)
    numbers = checked_seeds(study.seeds if seeds is None else seeds)
    msg = Printer(no_print=silent, pretty=not silent)
    with warning_lines(silent=silent):
        if len(numbers) < 3:
            warnings.warn(Warnings.W160.format(n=len(numbers)), stacklevel=2)
        runs = run_study(
            study,
            out,
            seeds=numbers,
            only=only or (),
            options=RunOptions(settings, gpu_id, keep_last),
            on_message=msg.text,
        )
        if runs.failed and not any(v.outcomes for v in runs.variants):
            raise _failed(runs, out)
        msg.text(f"{runs.done} runs done, {runs.kept} there already")
        table = study_table(
            runs.variants, metrics=study.metrics, parts=study.parts, draws=draws
        )
        _check_draws(table)
    record = _write(study, out, table, runs.failed, plot, numbers)
    _print(msg, table)
    drawn = ["study.png"] if plot and table.differences else []
    for name in ("study.json", "study.md", *drawn):
        msg.good(f"Wrote {out / name}")
    if runs.failed:
        raise _failed(runs, out)
    return record


def _failed(runs: "StudyRuns", out: Path) -> DweError:
    return DweError(
        Errors.E273.format(
            n=len(runs.failed),
            total=runs.done + runs.kept + len(runs.failed),
            names="; ".join(runs.failed),
            folder=out / "runs",
        )
    )


def _split(
    overrides: dict[str, Any], path: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """RETURNS (tuple): variables of the study, and settings of every training."""
    variables, settings = {}, {}
    for key, value in overrides.items():
        if key.startswith(VARIABLES):
            variables[key.removeprefix(VARIABLES)] = value
        elif key in OWN or key in ("system.seed", "training.seed"):
            raise DweError(Errors.E276.format(option=key, path=path))
        else:
            settings[key] = value
    return variables, settings


def _check_draws(table: "StudyTable") -> None:
    n = len(table.differences)
    needed = 40 * n
    if table.draws < 20 * n:
        warnings.warn(
            Warnings.W161.format(draws=table.draws, n=n, needed=needed), stacklevel=2
        )


def _write(
    study: "Study",
    out: Path,
    table: "StudyTable",
    failed: dict[str, str],
    plot: bool,
    seeds: list[int],
) -> dict[str, Any]:
    from spacy_dwe.files import write_json, write_text
    from study.markdown import study_markdown
    from study.plot import write_study_plot

    setting = f"Protocol: {study.protocol}. Test data: {study.test}."
    record = {
        "title": study.title,
        "protocol": study.protocol,
        "test": str(study.test),
        "seeds": seeds,
        "n_mentions": table.n_mentions,
        "n_documents": table.n_documents,
        "draws": table.draws,
        "means": [cell.to_json() for cell in table.means],
        "differences": [cell.to_json() for cell in table.differences],
        "failed": failed,
    }
    write_json(out / "study.json", record)
    text = study_markdown(study.title, table, setting=setting, failed=failed)
    write_text(out / "study.md", text)
    if plot and table.differences:
        write_study_plot(out / "study.png", study.title, table)
    return record


def _print(msg: Any, table: "StudyTable") -> None:
    """Differences over all mentions; those of parts are in the files."""
    from study.markdown import HEADS, difference_row
    from study.table import ALL

    rows = [difference_row(cell) for cell in table.differences if cell.part == ALL]
    if rows:
        aligns = tuple("llll" + "r" * 6 + "l")
        msg.table(rows, header=HEADS, divider=True, aligns=aligns)


study_app = typer.Typer(add_completion=False, rich_markup_mode=None)
study_app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    no_args_is_help=True,
)(clear_errors(study_cli))

if __name__ == "__main__":
    study_app()
