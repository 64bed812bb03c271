"""One row of the table of baselines."""

from dataclasses import dataclass, field

from ..evaluation_tables import Baseline
from ..outcomes import Outcome


@dataclass(frozen=True, slots=True)
class BaselineResult(Baseline):
    """One row: what it looks at and what it was fitted to, and its metrics.

    outcomes (list[Outcome]): one for each labelled mention; empty where ranks are only
        expected ones, or where the row could not be run.
    """

    outcomes: list[Outcome] = field(default_factory=list)


class Impossible(Exception):
    """Why a row cannot be run."""
