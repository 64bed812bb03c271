"""A row of the table of baselines, and the rows as METRICS.json has them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from spacy.tokens import Doc

from ...tokens import has_images, replace_images
from ..outcomes import Outcome
from ..significance import compare_runs

LINKER = "this linker"
LEFT_OUT = ("breakdowns", "by", "reliability")
"""Keys of a row's metrics that only the linker's own are written with."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """A row that the run is compared with.

    name, note (str): what it looks at and what it was fitted to.
    metrics (Mapping[str, Any] | None): as METRICS.json has them; None: not measured.
    reason (str): why it was not measured.
    outcomes (list[Outcome]): one for each labelled mention; empty where ranks are only
        expected ones, or where the row could not be run.
    """

    name: str
    note: str = ""
    metrics: Mapping[str, Any] | None = None
    reason: str = ""
    outcomes: list[Outcome] = field(default_factory=list)


class Impossible(Exception):
    """Why a row cannot be run."""


def baseline_records(
    outcomes: Sequence[Outcome],
    baselines: Sequence[Baseline],
    draws: int,
    seed: int,
) -> list[dict[str, Any]]:
    """One record a row.

    outcomes (Sequence[Outcome]): of the linker.
    baselines (Sequence[Baseline]): the rows.
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


def shuffled_pictures(docs: Sequence[Doc], seed: int = 0) -> Iterator[Doc]:
    """The same documents with each other's pictures: those of all documents that have
    any go round in a random circle, so that none keeps its own.

    docs (Sequence[Doc]): documents; they stay as they are.
    seed (int): of the circle.
    YIELDS (Doc): copies, in order.
    RAISES (Impossible): fewer than two documents have pictures.
    """
    pictured = [i for i, doc in enumerate(docs) if has_images(doc)]
    if len(pictured) < 2:
        raise Impossible("fewer than two documents have pictures")
    order = np.random.default_rng(seed).permutation(pictured).tolist()
    source = dict(zip(order, order[1:] + order[:1]))
    for i, doc in enumerate(docs):
        copy = doc.copy()
        copy.user_data = dict(doc.user_data)
        if i in source:
            replace_images(copy, docs[source[i]])
        yield copy
