"""Intervals and tests over seeds and documents, against slow and obvious ones, and
against what is true in made-up data."""

from itertools import product

import numpy as np
import pytest

from spacy_dwe.evaluation.bootstrap import ratio_intervals
from study.estimates import Ratios, difference_over_seeds, mean_over_seeds, t_quantiles


def means(values):
    """Runs over documents of one mention each."""
    values = np.asarray(values, dtype=np.float64)
    return Ratios(values, np.ones_like(values))


def test_quantiles_of_students_t_are_those_of_printed_tables():
    at = [0.8, 0.975]
    assert t_quantiles(at, 1) == pytest.approx([1.376, 12.706], abs=2e-3)
    assert t_quantiles(at, 2) == pytest.approx([1.061, 4.303], abs=1e-3)
    assert t_quantiles(at, 10) == pytest.approx([0.879, 2.228], abs=1e-3)
    assert t_quantiles(at, np.inf) == pytest.approx([0.842, 1.960], abs=1e-3)


def test_one_seed_has_the_interval_of_its_documents():
    random = np.random.default_rng(0)
    values = (random.random((1, 200)) < 0.7).astype(np.float64)
    estimate = mean_over_seeds(means(values), draws=2000)
    low, high = ratio_intervals(
        values, np.ones_like(values), np.arange(200), draws=2000
    )
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.interval == pytest.approx((low[0], high[0]))
    assert estimate.seed_error is None


def test_where_documents_are_alike_the_interval_is_that_of_a_t_test():
    """Three seeds, 10, 20 and 30 everywhere: 20 ± 4.303 · 10 / √3."""
    estimate = mean_over_seeds(means(np.repeat([[10.0], [20.0], [30.0]], 50, axis=1)))
    assert estimate.seed_error == pytest.approx(10 / np.sqrt(3))
    low, high = estimate.interval
    # Only ten different draws of three seeds: coarse.
    assert high - 20 == pytest.approx(20 - low)
    assert high - 20 == pytest.approx(4.303 * 10 / np.sqrt(3), rel=0.2)


def test_what_differs_between_seeds_by_chance_in_documents_is_not_counted_twice():
    """Slowly: variance of seeds' means, less what independent documents would give."""
    random = np.random.default_rng(1)
    values = random.normal(size=(4, 30)) + np.array([[0.0], [1.0], [2.0], [1.0]])
    rest = [
        values[s, d] - values[s].mean() - values[:, d].mean() + values.mean()
        for s, d in product(range(4), range(30))
    ]
    chance = sum(r**2 for r in rest) / (3 * 29) / 30
    expected = np.sqrt((values.mean(axis=1).var(ddof=1) - chance) / 4)
    assert mean_over_seeds(means(values), draws=100).seed_error == pytest.approx(
        expected
    )


def test_p_is_that_of_all_ways_to_change_sides():
    """A ratio such as F1, eight documents, two equal seeds: 256 ways, counted."""
    random = np.random.default_rng(2)
    tops = random.integers(0, 3, size=(2, 8)).astype(np.float64)
    bottoms = tops + random.integers(1, 3, size=(2, 8))

    def difference(swapped):
        left, right = np.where(swapped, 1, 0), np.where(swapped, 0, 1)
        columns = np.arange(8)
        ratios = [
            tops[side, columns].sum() / bottoms[side, columns].sum()
            for side in (left, right)
        ]
        return abs(ratios[0] - ratios[1])

    observed = difference(np.zeros(8, dtype=bool))
    ways = [difference(np.array(s)) for s in product([False, True], repeat=8)]
    expected = np.mean([way >= observed - 1e-12 for way in ways])
    runs = [Ratios(tops[[i, i]], bottoms[[i, i]]) for i in (0, 1)]
    p = difference_over_seeds(*runs, draws=20_000).p
    assert p == pytest.approx(expected, abs=0.01)


def test_equal_runs_do_not_differ():
    values = np.random.default_rng(3).random((3, 40))
    estimate = difference_over_seeds(means(values), means(values), draws=200)
    assert (estimate.value, estimate.interval) == (0, (0, 0))
    assert estimate.p == 1.0 and estimate.detectable() == 0


def test_what_has_nothing_to_measure_has_no_estimate():
    nothing = Ratios(np.zeros((2, 5)), np.zeros((2, 5)))
    assert mean_over_seeds(nothing) is None
    assert difference_over_seeds(nothing, nothing) is None


NOISE = {
    "documents": (1.0, 0.0, 0.0),
    "each run its own": (0.0, 1.0, 0.0),
    "seeds": (0.1, 0.1, 0.5),
    "all": (1.0, 1.0, 0.15),
}


def simulated(noise, random, shift=0.0, n_seeds=3, n_documents=80):
    """What two ways of training differ by, as values of the one beside zeros."""
    of_documents, of_runs, of_seeds = noise
    shape = (n_seeds, n_documents)
    values = random.normal(0, 1, n_documents) * of_documents
    values = values + random.normal(0, 1, shape) * of_runs
    values = values + random.normal(0, 1, (n_seeds, 1)) * of_seeds
    return means(values + shift), means(np.zeros(shape))


@pytest.mark.parametrize("kind", NOISE)
def test_the_interval_covers_and_p_is_even_without_a_difference(kind):
    random = np.random.default_rng(4)
    found = [
        difference_over_seeds(*simulated(NOISE[kind], random), draws=200, seed=i)
        for i in range(300)
    ]
    covered = np.mean([e.interval[0] <= 0 <= e.interval[1] for e in found])
    assert 0.90 <= covered <= 0.99
    p = np.array([e.p for e in found])
    # Even, or, where parts of the noise must be told apart, on the safe side.
    assert np.mean(p <= 0.05) <= 0.075
    assert 0.10 <= np.mean(p <= 0.2) <= 0.25
    assert 0.38 <= np.mean(p <= 0.5) <= 0.57


def test_the_detectable_difference_is_found_four_times_out_of_five():
    random = np.random.default_rng(5)
    noise = NOISE["documents"]
    # Standard error 1/√80 each time: 2.8 of these.
    shift = (1.96 + 0.8416) / np.sqrt(80)
    found = [
        difference_over_seeds(*simulated(noise, random, shift), draws=300, seed=i)
        for i in range(200)
    ]
    assert np.mean([e.detectable() for e in found]) == pytest.approx(shift, rel=0.05)
    assert 0.7 <= np.mean([e.p < 0.05 for e in found]) <= 0.9
