import numpy as np
import pytest
from made_outcomes import outcome

from spacy_dwe.errors import DweError
from spacy_dwe.evaluation.significance import compare_runs, holm, randomisation_p


def run(hits):
    return [outcome(1 if hit else 2, document=str(i)) for i, hit in enumerate(hits)]


@pytest.fixture
def base():
    return np.random.default_rng(0).random(300) < 0.6


def test_holm_by_hand():
    # Smallest times 3, next times 2, largest times 1, never falling.
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_p_is_that_of_all_sign_patterns():
    """Four documents, each better by one: of 16 patterns two are as extreme."""
    p = randomisation_p(np.ones(4), np.arange(4), draws=40_000, seed=0)
    assert p == pytest.approx(2 / 16, abs=0.01)
    assert randomisation_p(np.zeros(4), np.arange(4), draws=100, seed=0) == 1.0


def test_mentions_of_one_document_change_sign_together():
    apart = randomisation_p(np.ones(12), np.arange(12), draws=5000, seed=0)
    together = randomisation_p(np.ones(12), np.repeat([0, 1], 6), draws=5000, seed=0)
    assert apart < 0.01 < together


def test_a_better_run_is_told_from_an_equal_one(base):
    better = base.copy()
    better[np.flatnonzero(~base)[:40]] = True
    other = base.copy()
    other[[np.flatnonzero(base)[0], np.flatnonzero(~base)[0]]] ^= True
    table = compare_runs(
        {"base": run(base), "better": run(better), "other": run(other)}, draws=2000
    )
    assert [(c.left, c.right, c.metric) for c in table] == [
        ("better", "base", "top1"),
        ("better", "base", "mrr"),
        ("other", "base", "top1"),
        ("other", "base", "mrr"),
    ]
    top1 = table[0]
    assert top1.difference == pytest.approx(40 / 300, abs=1e-6)
    assert top1.interval[0] > 0 and top1.p_holm < 0.01 and top1.verdict == "better"
    assert top1.p_holm >= top1.p
    assert [c.verdict for c in table[2:]] == ["not shown", "not shown"]


def test_all_pairs(base):
    runs = {"a": run(base), "b": run(~base), "c": run(base)}
    table = compare_runs(runs, all_pairs=True, metrics=["top1"], draws=200)
    assert [(c.left, c.right) for c in table] == [("a", "b"), ("a", "c"), ("b", "c")]


def test_the_detectable_difference_is_found_four_times_out_of_five():
    """A difference of that size, drawn again and again, is shown in about 80 %."""
    rng = np.random.default_rng(1)
    n, rate = 400, 0.2
    left = rng.random(n) < rate
    (measured,) = compare_runs(
        {"a": run(np.zeros(n, bool)), "b": run(left)}, metrics=["top1"], draws=1000
    )
    # Hits one way only: the standard error of a share of `rate`.
    expected = (1.96 + 0.8416) * np.sqrt(left.mean() * (1 - left.mean()) / n)
    assert measured.detectable == pytest.approx(expected, rel=0.1)


def test_runs_over_other_mentions_are_refused(base):
    with pytest.raises(DweError, match="differ in their mentions"):
        compare_runs({"a": run(base), "b": run(base[:-1])})
