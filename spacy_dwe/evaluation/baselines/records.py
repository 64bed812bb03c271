"""Baselines as METRICS.json has them, each compared with the linker."""

from collections.abc import Sequence
from typing import Any

from ..outcomes import Outcome
from ..significance import compare_runs
from .result import BaselineResult

LINKER = "this linker"
LEFT_OUT = ("breakdowns", "by", "reliability")
"""Keys of a row's metrics that only the linker's own are written with."""


def baseline_records(
    outcomes: Sequence[Outcome],
    baselines: Sequence[BaselineResult],
    draws: int,
    seed: int,
) -> list[dict[str, Any]]:
    """One record a row.

    outcomes (Sequence[Outcome]): of the linker.
    baselines (Sequence[BaselineResult]): the rows.
    draws, seed (int): of the comparisons; without draws there are none.
    RETURNS (list[dict[str, Any]]): `name`, `note`, `metrics` (None where it was not
        measured, for the `reason`), and `difference`: Top-1 of the row minus that of
        the linker, see `Comparison`, corrected for the number of rows.
    """
    compared = {row.name: row.outcomes for row in baselines if row.outcomes}
    differences = {}
    if draws and compared:
        runs = {LINKER: outcomes, **compared}
        found = compare_runs(runs, metrics=["top1"], draws=draws, seed=seed)
        differences = {comparison.left: comparison.to_json() for comparison in found}
    return [
        {
            "name": row.name,
            "note": row.note,
            "reason": row.reason,
            "metrics": None
            if row.metrics is None
            else {k: v for k, v in row.metrics.items() if k not in LEFT_OUT},
            "difference": differences.get(row.name),
        }
        for row in baselines
    ]
