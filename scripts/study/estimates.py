"""Intervals and tests over seeds and documents: how well a way of training links, not
how well one network does.

Runs of several seeds read the same documents. So a draw has seeds and documents, both
drawn with replacement, and the documents are the same for all of its seeds: what is
hard in a document does not average out by training again. Two ways of training are
compared within each draw.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import hypot, sqrt

import numpy as np

from spacy_dwe.evaluation.bootstrap import DRAWS, LEVEL, ratio_draws

POWER = 0.8
BLOCK_CELLS = 4_000_000


@dataclass(frozen=True, slots=True)
class Ratios:
    """A metric of several runs as Σ top / Σ bottom over documents.

    tops, bottoms (np.ndarray): what each document adds. Shape: (n_seeds, n_documents)
    """

    tops: np.ndarray
    bottoms: np.ndarray

    @property
    def by_seed(self) -> np.ndarray:
        """RETURNS (np.ndarray): the metric of each run. Shape: (n_seeds,)"""
        return self.tops.sum(axis=1) / self.bottoms.sum(axis=1)


@dataclass(frozen=True, slots=True)
class Estimate:
    """value (float): mean over seeds, or difference of two such means.
    interval (tuple[float, float]): low and high, 95 %.
    by_seed (list[float]): of each seed.
    error (float): standard error, of seeds and documents together.
    seed_error (float | None): the part of it that is the seeds'; None with one seed.
    p (float | None): two-sided, of a difference.
    """

    value: float
    interval: tuple[float, float]
    by_seed: list[float]
    error: float
    seed_error: float | None
    p: float | None = None

    @property
    def freedom(self) -> float:
        """RETURNS (float): degrees of freedom of the error, by Satterthwaite (1946):
        few seeds say little about how seeds differ."""
        if not self.seed_error:
            return np.inf
        return (len(self.by_seed) - 1) * (self.error / self.seed_error) ** 4

    def detectable(self, alpha: float = 1 - LEVEL) -> float:
        """RETURNS (float): smallest true difference that such data would show, at a
        two-sided level of alpha, four times out of five."""
        levels = t_quantiles([1 - alpha / 2, POWER], self.freedom)
        return float(levels.sum() * self.error)


def mean_over_seeds(
    runs: Ratios, *, draws: int = DRAWS, seed: int = 0
) -> Estimate | None:
    """A metric of one way of training.

    RETURNS (Estimate | None): without p; None where a run has nothing to measure.
    """
    if not (runs.bottoms.sum(axis=1) > 0).all():
        return None
    return _estimate([(runs, 1)], draws, seed)


def difference_over_seeds(
    left: Ratios, right: Ratios, *, draws: int = DRAWS, seed: int = 0
) -> Estimate | None:
    """How much better one way of training is than another; seeds are paired.

    p is the share of draws under no difference that are as large: documents change
    sides at random, both runs of a seed and all seeds at once (Smucker et al., CIKM
    2007), and a draw is moved by as much as the mean of so few seeds is (Student's t).

    left, right (Ratios): of the same seeds and documents.
    RETURNS (Estimate | None): of left minus right; None where a run has nothing to
        measure.
    """
    for runs in (left, right):
        if not (runs.bottoms.sum(axis=1) > 0).all():
            return None
    estimate = _estimate([(left, 1), (right, -1)], draws, seed)
    spread = estimate.seed_error or 0.0
    return replace(estimate, p=_randomisation_p(left, right, spread, draws, seed))


def t_quantiles(levels: Sequence[float], freedom: float) -> np.ndarray:
    """Quantiles of Student's t.

    levels (Sequence[float]): between 0 and 1, not near to them.
    freedom (float): degrees of freedom, at least 1, whole or not.
    RETURNS (np.ndarray): shape (len(levels),)
    """
    # With t = √f tan θ, the density is that of cos θ to the power of f - 1.
    freedom = min(freedom, 1e6)
    widest = min(np.pi / 2, 40 / sqrt(freedom))
    angles = np.linspace(-widest, widest, 20_001)
    mass = np.cos(angles) ** (freedom - 1)
    below = np.cumsum((mass[1:] + mass[:-1]) / 2, dtype=np.float64)
    below = np.concatenate([[0.0], below]) / below[-1]
    return sqrt(freedom) * np.tan(np.interp(levels, below, angles))


def _estimate(sides: Sequence[tuple[Ratios, int]], draws: int, seed: int) -> Estimate:
    """RETURNS (Estimate): of the sum of the sides by their signs."""
    by_seed = np.sum([sign * runs.by_seed for runs, sign in sides], axis=0)
    value = float(by_seed.mean())
    drawn = _document_draws(sides, draws, seed)
    over_documents = drawn.mean(axis=0)
    document_error = float(np.nanstd(over_documents))
    seed_error = _seed_error(sides, by_seed)
    deviations = over_documents - value
    if seed_error:
        deviations += _seed_draws(drawn, by_seed, seed_error, seed)
    estimate = Estimate(
        value,
        (value, value),
        by_seed.tolist(),
        error=hypot(document_error, seed_error or 0.0),
        seed_error=seed_error,
    )
    tail = (1 - LEVEL) / 2
    few, many = (
        t_quantiles([1 - tail], freedom)[0] for freedom in (estimate.freedom, np.inf)
    )
    low, high = value + few / many * np.nanquantile(deviations, [tail, 1 - tail])
    return replace(estimate, interval=(float(low), float(high)))


def _document_draws(
    sides: Sequence[tuple[Ratios, int]], draws: int, seed: int
) -> np.ndarray:
    """RETURNS (np.ndarray): the sum of the sides by seed, of each draw of documents,
    which all runs share. Shape: (n_seeds, draws)"""
    tops = np.concatenate([runs.tops for runs, _ in sides])
    bottoms = np.concatenate([runs.bottoms for runs, _ in sides])
    documents = np.arange(tops.shape[1])
    ratios = ratio_draws(tops, bottoms, documents, draws=draws, seed=seed)
    parts = np.split(ratios, len(sides))
    return np.sum([sign * part for part, (_, sign) in zip(parts, sides)], axis=0)


def _seed_draws(
    drawn: np.ndarray, by_seed: np.ndarray, seed_error: float, seed: int
) -> np.ndarray:
    """How far the mean of drawn seeds is from that of all, on the drawn documents.

    Draws of n seeds vary by (n - 1) / n too little, and seeds differ by what documents
    do in each of them, which the draws of documents hold already: both is set right.
    """
    rng = np.random.default_rng([seed, 1])
    n_seeds, draws = drawn.shape
    times = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=draws).T
    off = (times * drawn).mean(axis=0) - drawn.mean(axis=0)
    return off * seed_error / float(by_seed.std() / sqrt(n_seeds))


def _seed_error(
    sides: Sequence[tuple[Ratios, int]], by_seed: np.ndarray
) -> float | None:
    """Standard error of the mean of seeds by what differs between them beyond what
    chance in documents explains.

    RETURNS (float | None): None with one seed, which does not say.
    """
    n_seeds = len(by_seed)
    if n_seeds < 2:
        return None
    influence = np.sum([sign * _influence(runs) for runs, sign in sides], axis=0)
    n_documents = influence.shape[1]
    apart = influence - influence.mean(axis=0)
    by_chance = (apart**2).sum() / ((n_seeds - 1) * max(1, n_documents - 1))
    excess = by_seed.var(ddof=1) - by_chance / n_documents
    return sqrt(max(0.0, float(excess)) / n_seeds)


def _influence(runs: Ratios) -> np.ndarray:
    """RETURNS (np.ndarray): what each document moves the metric by, times their number;
    its mean is zero. Shape: (n_seeds, n_documents)"""
    n_documents = runs.tops.shape[1]
    off = runs.tops - runs.by_seed[:, None] * runs.bottoms
    return n_documents * off / runs.bottoms.sum(axis=1, keepdims=True)


def _randomisation_p(
    left: Ratios, right: Ratios, seed_error: float, draws: int, seed: int
) -> float:
    """See `difference_over_seeds`. RETURNS (float): never 0: the data itself is one of
    the draws."""
    observed = abs(float((left.by_seed - right.by_seed).mean()))
    tops, bottoms = left.tops - right.tops, left.bottoms - right.bottoms
    # A document that is alike on both sides may change sides or not.
    unlike = (tops != 0).any(axis=0) | (bottoms != 0).any(axis=0)
    tops, bottoms = tops[:, unlike].T, bottoms[:, unlike].T
    all_tops = (left.tops + right.tops).sum(axis=1)
    all_bottoms = (left.bottoms + right.bottoms).sum(axis=1)
    rng = np.random.default_rng([seed, 2])
    n_seeds, block = len(all_tops), max(1, BLOCK_CELLS // max(1, len(tops)))
    as_large = 0
    for first in range(0, draws, block):
        size = min(block, draws - first)
        signs = rng.integers(0, 2, size=(size, len(tops))) * 2.0 - 1.0
        top, bottom = signs @ tops, signs @ bottoms
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn = (all_tops + top) / (all_bottoms + bottom)
            drawn -= (all_tops - top) / (all_bottoms - bottom)
        moved = np.nan_to_num(drawn).mean(axis=1)
        if seed_error:
            moved += seed_error * rng.standard_t(n_seeds - 1, size=size)
        as_large += int((np.abs(moved) >= observed - 1e-12).sum())
    return (as_large + 1) / (draws + 1)
