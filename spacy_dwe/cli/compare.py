"""`python -m spacy dwe compare`: which run is better, and is that chance."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import DweError, Errors
from .options import SeedOption


def compare_cli(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Two or more files that `evaluate --predictions` wrote; the others "
            "are compared with the first"
        ),
    ],
    all_pairs: Annotated[
        bool, typer.Option("--all-pairs", help="Compare each with each")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the table here (JSON)")
    ] = None,
    draws: Annotated[
        int, typer.Option("--draws", min=100, help="Draws of bootstrap and p")
    ] = 10_000,
    seed: SeedOption = 0,
) -> None:
    """Compare runs over the same mentions by Top-1 and MRR.

    95 % intervals by paired bootstrap over documents, p by paired randomisation, with
    Holm's correction over the table. A difference that is not significant is "not
    shown"; `detectable` is the smallest one that data such as these would show.
    """
    compare(
        runs, all_pairs=all_pairs, output=output, draws=draws, seed=seed, silent=False
    )


def compare(
    runs: list[Path],
    *,
    all_pairs: bool = False,
    output: Path | None = None,
    draws: int = 10_000,
    seed: int = 0,
    silent: bool = True,
) -> list[dict[str, Any]]:
    """Compare files of predictions, see `compare_cli`.

    RETURNS (list[dict[str, Any]]): the comparisons.
    """
    from wasabi import Printer

    from ..evaluation.predictions import read_predictions
    from ..evaluation.ranking import paired_values
    from ..evaluation.significance import compare_runs
    from ..files import require_writable, write_json

    if len(set(runs)) < 2:
        raise typer.BadParameter("expected two files or more")
    if output is not None:
        require_writable(output)
    read = {path: read_predictions(path) for path in runs}
    first = runs[0]
    for path, (protocol, outcomes) in read.items():
        if protocol != read[first][0]:
            reason = f"their protocols are {read[first][0]!r} and {protocol!r}"
            raise DweError(Errors.E434.format(left=first, right=path, reason=reason))
        try:
            paired_values(read[first][1], outcomes)
        except DweError as error:
            raise DweError(
                Errors.E434.format(left=first, right=path, reason=error)
            ) from None
    comparisons = compare_runs(
        {str(path): outcomes for path, (_, outcomes) in read.items()},
        all_pairs=all_pairs,
        draws=draws,
        seed=seed,
    )
    records = [comparison.to_json() for comparison in comparisons]
    if output is not None:
        write_json(output, {"protocol": read[first][0], "comparisons": records})
    msg = Printer(no_print=silent, pretty=not silent)
    header = ("", "than", "by", "points", "95 %", "p (Holm)", "detectable", "")
    rows = [
        (
            c.left,
            c.right,
            c.metric,
            f"{100 * c.difference:+.2f}",
            f"{100 * c.interval[0]:+.2f} to {100 * c.interval[1]:+.2f}",
            f"{c.p_holm:.4f}",
            f"{100 * c.detectable:.2f}",
            c.verdict,
        )
        for c in comparisons
    ]
    msg.table(rows, header=header, divider=True, aligns=tuple("lllrrrrl"))
    if output is not None:
        msg.good(f"Wrote {output}")
    return records
