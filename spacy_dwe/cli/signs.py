"""`python -m spacy dwe signs`: what a linker's Top-1 does not tell."""

from collections.abc import Iterator, Sequence
from functools import partial
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import BAR_DELAY, DweError, Errors
from .errors import warning_lines
from .options import (
    ImageRootOption,
    KBOption,
    SeedOption,
    load_linking_pipeline,
    takes_code,
)

if TYPE_CHECKING:
    from ..evaluation.evaluate import Evaluation
    from ..evaluation.outcomes import Outcome
    from ..evaluation.signs import Trial


@takes_code
def signs_cli(
    pipelines: Annotated[
        list[str],
        typer.Argument(
            metavar="PIPELINE...",
            help="Folders or names of pipelines: one, or several that differ in the "
            "seed of their training alone",
        ),
    ],
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="Labelled documents, .jsonl or .spacy"),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write it here (JSON)")
    ] = None,
    kb: KBOption = None,
    image_root: ImageRootOption = None,
    draws: Annotated[
        int, typer.Option("--draws", min=100, help="Draws of the 95 % intervals")
    ] = 10_000,
    seed: SeedOption = 0,
) -> None:
    """Show three signs of trouble: by how much Top-5 is above Top-1, how much training
    again changes, and what is lost without attributes, without all that was found on
    pictures, and without pictures.

    Every pipeline links the documents once as it is, and once for each thing taken
    away. Intervals are drawn over documents, of the mean over the pipelines.
    """
    signs(
        pipelines,
        data,
        output=output,
        kb=kb,
        image_root=image_root,
        draws=draws,
        seed=seed,
        silent=False,
    )


def signs(
    pipelines: Sequence[str | Path],
    data: Path,
    *,
    output: Path | None = None,
    kb: Path | None = None,
    image_root: Path | None = None,
    draws: int = 10_000,
    seed: int = 0,
    silent: bool = True,
) -> dict[str, Any]:
    """Look for signs of trouble, see `signs_cli`.

    RETURNS (dict[str, Any]): what `signs_of_trouble` gives, and `notes`, a sentence on
        each sign.
    RAISES (DweError): pipelines link different mentions.
    """
    from wasabi import Printer

    from ..evaluation.signs import signs_of_trouble
    from ..files import require_file, require_writable, write_json

    names = [str(pipeline) for pipeline in pipelines]
    if len({*names}) < len(names):
        raise typer.BadParameter("a pipeline is given twice")
    require_file(data)
    if output is not None:
        require_writable(output)
    with warning_lines(silent=silent):
        trial = _tried(names, data, kb, image_root, silent)
    found = signs_of_trouble(trial, draws=draws, seed=seed)
    found["notes"] = [gap_note(found), seeds_note(found), *without_notes(found)]
    msg = Printer(no_print=silent, pretty=not silent)
    for title, header, rows in _tables(found):
        msg.divider(title)
        aligns = ("l", *("r" for _ in header[1:]))
        msg.table(rows, header=header, divider=True, aligns=aligns)
    for note in found["notes"]:
        msg.text(note)
    if output is not None:
        write_json(output, found)
        msg.good(f"Wrote {output}")
    return found


def _tried(
    names: Sequence[str],
    data: Path,
    kb: Path | None,
    image_root: Path | None,
    silent: bool,
) -> "Trial":
    from ..evaluation.ranking import mention_key
    from ..evaluation.signs import Trial

    trial: Trial | None = None
    keys: list[Any] = []
    for name in names:
        for what, outcomes in _linked(name, data, kb, image_root, silent):
            own = [mention_key(outcome) for outcome in outcomes]
            if trial is None:
                trial, keys = Trial.of(outcomes), own
            elif own != keys:
                reason = "they link different mentions"
                raise DweError(
                    Errors.E434.format(left=names[0], right=name, reason=reason)
                )
            if what is None:
                trial.whole[name] = trial.decided(outcomes)
            else:
                trial.without.setdefault(what, []).append(trial.decided(outcomes))
    assert trial is not None, "there is a pipeline"
    n = len(names)
    trial.without = {w: runs for w, runs in trial.without.items() if len(runs) == n}
    return trial


def _linked(
    name: str, data: Path, kb: Path | None, image_root: Path | None, silent: bool
) -> "Iterator[tuple[str | None, list[Outcome]]]":
    """YIELDS (tuple): what was taken away, and the outcomes then; first nothing."""
    from tqdm import tqdm

    from ..documents import labelled_docs
    from ..evaluation.evaluate import evaluate_docs
    from ..evaluation.signs import switches, taken_away

    nlp, linker = load_linking_pipeline(name, kb)

    def linked(done: str) -> "Evaluation":
        bar = partial(tqdm, unit=" docs", delay=BAR_DELAY, leave=False, disable=silent)
        with bar(desc=done) as shown:
            return evaluate_docs(
                nlp,
                linker,
                labelled_docs(nlp, data, image_root),
                keep=0,
                draws=0,
                source=str(data),
                progress=shown.update,
            )

    evaluation = linked(name)
    yield None, evaluation.outcomes
    reads_pictures = evaluation.metrics["inputs"] != "text"
    del evaluation
    for what in switches(linker) if reads_pictures else ():
        with taken_away(linker, what):
            outcomes = linked(f"{name} without {what}").outcomes
        yield what, outcomes


def gap_note(found: dict[str, Any]) -> str:
    """RETURNS (str): what the first sign means."""
    gap = found["gap"]["mean"]["gap"]
    if gap["value"] is None:
        return "No mention is labelled with an entity, so that there is no Top-1."
    return (
        f"Top-5 is {_points(gap)} points above Top-1: of so many mentions the right "
        "entity was found and is near, and what chooses among the best puts another "
        "first. What is missing above Top-5, no better choice would win."
    )


def seeds_note(found: dict[str, Any]) -> str:
    """RETURNS (str): what the second sign means."""
    seeds = found["seeds"]
    if seeds is None:
        return (
            "One pipeline says nothing of seeds: train others that differ in "
            "--system.seed alone, and name them all."
        )
    if None in seeds["top1"]:
        return "Without a Top-1 nothing can be said of seeds."
    deviation = seeds["deviation"]
    note = (
        f"From seed to seed Top-1 has a deviation of {100 * deviation:.2f} points "
        f"({seeds['n']} runs), and {_points(seeds['changed'])} % of the mentions are "
        "not linked alike by all: between two single runs, a difference below some "
        f"{100 * 2 * sqrt(2) * deviation:.1f} points may be luck."
    )
    few = " With fewer than five runs the deviation itself is known badly."
    return note + (few if seeds["n"] < 5 else "")


def without_notes(found: dict[str, Any]) -> list[str]:
    """RETURNS (list[str]): what the third sign means, for each thing taken away."""
    from ..evaluation.signs import ATTRIBUTES

    without, notes = found["without"], []
    if not without:
        return ["No picture is read here: there is nothing to take away."]
    if ATTRIBUTES not in without:
        notes.append(
            "The linker reads no attributes: only the head 'dwe' does, where scenes "
            "were looked for in training. Instead:"
        )
    for what, measured in without.items():
        lost, changed = measured["lost"], measured["changed"]
        if lost["value"] is None:
            continue
        low, high = lost["interval"]
        if low > 0:
            meaning = "it leans on them"
        elif high < 0:
            meaning = "it is better without them"
        else:
            meaning = "that it needs them is not shown"
        notes.append(
            f"Without {what} it loses {_points(lost)} points of Top-1, and "
            f"{_points(changed)} % of the links change: {meaning}."
        )
    return notes


Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]


def _tables(found: dict[str, Any]) -> "Iterator[Table]":
    gap = found["gap"]
    rows = [*gap["linkers"].items()]
    rows += [("mean", gap["mean"])] if len(rows) > 1 else []
    yield (
        f"near, and not first: {found['n']:,} mentions",
        ("", "Top-1", "Top-5", "gap"),
        [(name, *map(_points, own.values())) for name, own in rows],
    )
    seeds = found["seeds"]
    if seeds is not None and None not in seeds["top1"]:
        values = (seeds[key] for key in ("deviation", "lowest", "highest"))
        cells = (*(f"{100 * value:.2f}" for value in values), _points(seeds["changed"]))
        yield (
            "trained again",
            ("", "deviation", "lowest", "highest", "links that differ"),
            [("Top-1", *cells)],
        )
    if found["without"]:
        yield (
            "taken away",
            ("without", "Top-1", "lost", "links that change"),
            [(what, *map(_points, o.values())) for what, o in found["without"].items()],
        )


def _points(measured: dict[str, Any]) -> str:
    """RETURNS (str): percent, and the interval."""
    if measured["value"] is None:
        return "–"
    low, high = measured["interval"]
    return f"{100 * measured['value']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
