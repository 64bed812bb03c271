"""Whether one run is better than another, or only luckier in its documents."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from .bootstrap import DRAWS, TAILS, ratio_draws
from .outcomes import Outcome
from .ranking import PAIRED, paired_values

ALPHA = 0.05
POWER_Z = 0.8416
"""z of 80 % power."""
ALPHA_Z = 1.9600
"""z of a two-sided test at 5 %."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One run against another by one metric.

    left, right (str): names of the runs.
    metric (str): what was compared.
    n (int): mentions whose gold is an entity.
    difference (float): left minus right.
    interval (list[float]): low and high, 95 %, documents drawn for both together.
    p (float): two-sided, see `compare_runs`.
    p_holm (float): p corrected for the number of comparisons in the table (Holm, 1979).
    detectable (float): smallest true difference that data such as these would show, at
        5 %, four times out of five.
    verdict (str): "better", "worse", or "not shown".
    """

    left: str
    right: str
    metric: str
    n: int
    difference: float
    interval: list[float]
    p: float
    p_holm: float = 1.0
    detectable: float = 0.0
    verdict: str = "not shown"

    def to_json(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): the fields."""
        return asdict(self)


def compare_runs(
    runs: Mapping[str, Sequence[Outcome]],
    *,
    all_pairs: bool = False,
    metrics: Sequence[str] = PAIRED,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[Comparison]:
    """Compare runs over the same mentions.

    The interval is a paired bootstrap over documents. p is that of a paired
    randomisation test over documents: how often a difference as large, either way,
    appears when each document's difference gets a random sign (Smucker et al., CIKM
    2007). Holm's correction counts all comparisons that are returned.

    runs (Mapping[str, Sequence[Outcome]]): by name; the first is the one that the
        others are compared with.
    all_pairs (bool): compare each with each.
    metrics (Sequence[str]): of `ranking.PAIRED`.
    draws, seed (int): of bootstrap and randomisation.
    RETURNS (list[Comparison]): by pair, then metric.
    RAISES (DweError): runs differ in their mentions.
    """
    names = list(runs)
    pairs = list(combinations(names, 2))
    if not all_pairs:
        pairs = [(other, names[0]) for other in names[1:]]
    found = []
    for left, right in pairs:
        differences, documents = paired_values(runs[left], runs[right])
        for metric in metrics:
            values = differences[metric]
            tested = _test(values, documents, draws, seed)
            found.append(Comparison(left, right, metric, len(values), **tested))
    corrected = holm([comparison.p for comparison in found])
    return [
        replace(comparison, p_holm=p, verdict=verdict_of(comparison.difference, p))
        for comparison, p in zip(found, corrected)
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction.

    p_values (Sequence[float]): of several tests.
    RETURNS (list[float]): corrected, in the same order, at most 1.
    """
    order = np.argsort(p_values, kind="stable")
    corrected = np.zeros(len(p_values))
    worst = 0.0
    for place, index in enumerate(order):
        worst = max(worst, min(1.0, (len(p_values) - place) * p_values[index]))
        corrected[index] = worst
    return corrected.tolist()


def randomisation_p(
    values: np.ndarray, documents: np.ndarray, draws: int, seed: int
) -> float:
    """Two-sided p of a mean of paired differences, by random signs of documents.

    values (np.ndarray): difference of each mention. Shape: (n,)
    documents (np.ndarray): document of each mention. Shape: (n,)
    RETURNS (float): never 0: the data itself is one of the draws.
    """
    sums = np.bincount(documents, weights=values)
    sums = sums[sums != 0]
    observed = abs(sums.sum())
    if not len(sums):
        return 1.0
    rng = np.random.default_rng(seed)
    block = max(1, 2_000_000 // len(sums))
    as_large = 0
    for first in range(0, draws, block):
        size = (min(block, draws - first), len(sums))
        signs = rng.integers(0, 2, size=size, dtype=np.int8) * 2 - 1
        as_large += int((np.abs(signs @ sums) >= observed - 1e-12).sum())
    return (as_large + 1) / (draws + 1)


def verdict_of(difference: float, p: float) -> str:
    """RETURNS (str): "better", "worse", or, if p is not below `ALPHA`, "not shown"."""
    if p >= ALPHA:
        return "not shown"
    return "better" if difference > 0 else "worse"


def _test(
    values: np.ndarray, documents: np.ndarray, draws: int, seed: int
) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): what a comparison tells of differences alone."""
    if not len(values):
        return {"difference": 0.0, "interval": [0.0, 0.0], "p": 1.0, "detectable": 0.0}
    ones = np.ones((1, len(values)))
    drawn = ratio_draws(values[None], ones, documents, draws=draws, seed=seed)[0]
    detectable = (ALPHA_Z + POWER_Z) * drawn.std()
    return {
        "difference": round(float(values.mean()), 6),
        "interval": [round(bound, 6) for bound in np.quantile(drawn, TAILS).tolist()],
        "p": randomisation_p(values, documents, draws, seed),
        "detectable": round(float(detectable), 6),
    }
