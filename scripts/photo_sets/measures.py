"""Shares of a trial's mentions that several linkers link, or link rightly, and which
differences between linkers are more than chance."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from photo_sets.documents import RIGHT
from photo_sets.errors import Errors
from spacy_dwe.errors import DweError
from spacy_dwe.evaluation.bootstrap import document_index
from spacy_dwe.evaluation.outcomes import Outcome
from spacy_dwe.evaluation.ranking import mention_key
from spacy_dwe.evaluation.significance import ALPHA, holm
from study.estimates import Ratios, difference_over_seeds, mean_over_seeds

Runs = Mapping[str, Sequence[Sequence[Outcome]]]
"""Outcomes by linker, of each of its seeds, which are one or as many as of others."""
UNDECIDABLE = "undecidable"
FOREIGN, OTHER_SET = "foreign:noun", "foreign:set"
"""Groups of undecidable mentions whose picture was exchanged: for one of another noun
of their set, and for one of another set."""
WRONG = frozenset({"picture:unrelated", "picture:namesake"})
SURE = 0.9


@dataclass(frozen=True, slots=True)
class Measure:
    """A share of mentions.

    groups (tuple[str, ...]): groups that a mention is in, all of them.
    wrong (bool): of mentions with a wrong picture alone.
    hit (Callable): whether a mention counts.
    """

    name: str
    groups: tuple[str, ...]
    hit: Callable[[Outcome], bool]
    wrong: bool = False

    def asks(self, outcome: Outcome) -> bool:
        own = set(outcome.groups)
        return own.issuperset(self.groups) and not (
            self.wrong and own.isdisjoint(WRONG)
        )


def _first(outcome: Outcome) -> bool:
    return outcome.rank is not None and outcome.rank <= 1


def _rightly(outcome: Outcome) -> bool:
    return outcome.correct and outcome.predicted is not None


def _linked(outcome: Outcome) -> bool:
    return outcome.predicted is not None


def _surely(outcome: Outcome) -> bool:
    return outcome.predicted is not None and outcome.probability >= SURE


MEASURES = (
    Measure("undecidable: Top-1", (UNDECIDABLE,), _first),
    Measure("undecidable, seen names: Top-1", (UNDECIDABLE, "name:seen"), _first),
    Measure("undecidable, unseen names: Top-1", (UNDECIDABLE, "name:unseen"), _first),
    Measure("undecidable: linked rightly", (UNDECIDABLE,), _rightly),
    Measure("text, right picture: linked rightly", ("text", RIGHT), _rightly),
    Measure("text, wrong picture: linked rightly", ("text",), _rightly, wrong=True),
    Measure(
        "text, a namesake's picture: linked rightly",
        ("text", "picture:namesake"),
        _rightly,
    ),
    Measure("undecidable, picture of another noun: linked", (FOREIGN,), _linked),
    Measure(f"undecidable, picture of another noun: p ≥ {SURE}", (FOREIGN,), _surely),
    Measure("undecidable, picture of another set: linked", (OTHER_SET,), _linked),
    Measure(f"undecidable, picture of another set: p ≥ {SURE}", (OTHER_SET,), _surely),
)
"""Top-1 ranks entities alone. A link is one that is made: NIL is none."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A measure of one linker.

    n (int): mentions that are asked for.
    value (float): mean over seeds.
    interval (tuple[float, float]): 95 %, over documents and seeds.
    against (str | None): the linker that it is compared with, for what follows.
    p_holm (float | None): p corrected for all differences of the table (Holm, 1979).
    shown (bool | None): the difference is more than chance.
    """

    measure: str
    n: int
    linker: str
    value: float
    interval: tuple[float, float]
    by_seed: list[float]
    against: str | None = None
    difference: float | None = None
    difference_interval: tuple[float, float] | None = None
    p: float | None = None
    p_holm: float | None = None
    shown: bool | None = None

    def to_json(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): what there is of it."""
        return {k: v for k, v in asdict(self).items() if v is not None}


def measured(runs: Runs, *, draws: int, seed: int) -> list[Cell]:
    """Measure linkers, and compare each with the first.

    draws, seed (int): of intervals and p.
    RETURNS (list[Cell]): by measure, then linker; no measure without mentions, or
        over all the mentions of another.
    RAISES (DweError): linkers did not see the same mentions.
    """
    every = [outcomes for seeds in runs.values() for outcomes in seeds]
    keys = {tuple(map(mention_key, outcomes)) for outcomes in every}
    if len(keys) != 1 or () in keys:
        reason = "the linkers saw no mentions, or not the same"
        raise DweError(Errors.E289.format(reason=reason))
    cells = list(_cells(runs, draws, seed))
    compared = [cell for cell in cells if cell.p is not None]
    corrected = holm([cell.p for cell in compared if cell.p is not None])
    judged = {
        id(cell): replace(cell, p_holm=p, shown=p < ALPHA)
        for cell, p in zip(compared, corrected)
    }
    return [judged.get(id(cell), cell) for cell in cells]


def _cells(runs: Runs, draws: int, seed: int) -> Iterator[Cell]:
    first, *_ = runs
    outcomes = runs[first][0]
    documents = document_index([outcome.document for outcome in outcomes])
    told = set()
    for measure in MEASURES:
        asked = np.array([measure.asks(outcome) for outcome in outcomes], np.float64)
        what = (asked.tobytes(), measure.hit)
        if not asked.any() or what in told:
            continue
        told.add(what)
        ratios = {
            name: _ratios(seeds, measure, asked, documents)
            for name, seeds in runs.items()
        }
        for name, own in ratios.items():
            mean = mean_over_seeds(own, draws=draws, seed=seed)
            assert mean is not None, "mentions were asked for"
            n = int(asked.sum())
            values = (measure.name, n, name, mean.value, mean.interval, mean.by_seed)
            cell = Cell(*values)
            if name != first:
                pair = _paired(own, ratios[first])
                apart = difference_over_seeds(*pair, draws=draws, seed=seed)
                assert apart is not None, "mentions were asked for"
                cell = replace(
                    cell,
                    against=first,
                    difference=apart.value,
                    difference_interval=apart.interval,
                    p=apart.p,
                )
            yield cell


def _ratios(
    seeds: Sequence[Sequence[Outcome]],
    measure: Measure,
    asked: np.ndarray,
    documents: np.ndarray,
) -> Ratios:
    """asked, documents (np.ndarray): of each mention. Shape of each: (n_mentions,)"""
    hits = [asked * [measure.hit(outcome) for outcome in own] for own in seeds]
    tops = [np.bincount(documents, weights=own) for own in hits]
    bottom = np.bincount(documents, weights=asked)
    return Ratios(np.array(tops), np.tile(bottom, (len(seeds), 1)))


def _paired(left: Ratios, right: Ratios) -> tuple[Ratios, Ratios]:
    """RETURNS (tuple[Ratios, Ratios]): of the same seeds; a linker that was given once,
    such as an untrained one, stands beside each seed of the other."""
    n_seeds = max(len(left.tops), len(right.tops))
    return _repeated(left, n_seeds), _repeated(right, n_seeds)


def _repeated(ratios: Ratios, n_seeds: int) -> Ratios:
    shape = (n_seeds, ratios.tops.shape[1])
    return Ratios(
        np.broadcast_to(ratios.tops, shape), np.broadcast_to(ratios.bottoms, shape)
    )
