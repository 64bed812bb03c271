"""The share of mentions that a KB covers, from probabilities alone."""

import numpy as np
import pytest

from spacy_dwe.evaluation.coverage import estimate_coverage
from spacy_dwe.model.combiner import log_odds

PER_DOCUMENT = 4


def made(share, n=6_000, assumed=0.4, seed=0):
    """Log-odds by one clue, right for the share that they assume."""
    rng = np.random.default_rng(seed)
    inside = rng.random(n) < share
    clue = rng.normal(np.where(inside, 1.0, -1.0))
    return 2 * clue + log_odds(assumed), np.arange(n) // PER_DOCUMENT


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("assumed", [0.2, 0.7])
def test_the_share_is_found_whatever_was_assumed(share, assumed):
    odds, documents = made(share, assumed=assumed)
    found = estimate_coverage(odds, assumed, documents, draws=200)
    error = (found.high - found.low) / (2 * 1.96)
    assert 0 < error < 0.02
    assert abs(found.share - share) < 3 * error
    assert (found.n_mentions, found.n_documents) == (6_000, 1_500)


def test_it_is_where_the_em_ends():
    odds, documents = made(0.15, n=500, assumed=0.6)
    p = 1 / (1 + np.exp(-odds))
    share = 0.6
    for _ in range(2_000):
        ours, theirs = p * share / 0.6, (1 - p) * (1 - share) / (1 - 0.6)
        share = (ours / (ours + theirs)).mean()
    found = estimate_coverage(odds, 0.6, documents, draws=1)
    assert found.share == pytest.approx(share, abs=1e-4)


def test_the_interval_holds_the_share_as_often_as_it_says():
    held = 0
    for seed in range(60):
        odds, documents = made(0.3, n=400, seed=seed)
        found = estimate_coverage(odds, 0.4, documents, draws=100, seed=seed)
        held += found.low <= 0.3 <= found.high
    assert held >= 50


@pytest.mark.parametrize("odds, share", [(-np.inf, 0.0), (50.0, 1.0)])
def test_mentions_that_all_say_the_same(odds, share):
    """Without any candidate, or sure beyond what float32 can say."""
    found = estimate_coverage(np.full(9, odds), 0.3, np.arange(9), draws=5)
    assert (found.share, found.low, found.high) == (share, share, share)


def test_one_mention_without_a_candidate_is_outside():
    odds, documents = made(0.5, n=200)
    more = np.append(odds, [-np.inf] * 200)
    whole = estimate_coverage(more, 0.4, np.append(documents, documents), draws=1)
    part = estimate_coverage(odds, 0.4, documents, draws=1)
    assert whole.share < 0.7 * part.share
