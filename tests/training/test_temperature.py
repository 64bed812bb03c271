"""One number that makes probabilities right as often as they say."""

import numpy as np
import pytest
import torch

from spacy_dwe.model.channels import FeatureLayout
from spacy_dwe.model.combiner import Combiner
from spacy_dwe.model.scoring import ScoredMention, softmax_with_nil
from spacy_dwe.training.temperature import fit_temperature


def scored(scores, nil_score):
    """A mention whose candidates are the rows 0, 1, …"""
    scores = np.asarray(scores, dtype=np.float32)
    probabilities, nil = softmax_with_nil(scores, nil_score)
    n = len(scores)
    return ScoredMention(
        doc=0,
        start=0,
        end=1,
        text="a",
        rows=np.arange(n, dtype=np.int32),
        found_by=np.zeros(n, np.uint8),
        places=np.arange(n, dtype=np.int32),
        scores=scores,
        probabilities=probabilities,
        nil_score=nil_score,
        nil_probability=nil,
        contributions={},
    )


@pytest.mark.parametrize("factor", [0.25, 1.0, 3.0])
def test_the_factor_that_spoilt_probabilities_is_found(factor):
    """Golds are drawn by the softmax of logits; the linker has them too large."""
    rng = np.random.default_rng(0)
    mentions, golds = [], []
    for _ in range(20_000):
        logits = rng.normal(size=rng.integers(1, 6))
        nil = float(rng.normal())
        chances = np.exp([*logits, nil])
        drawn = rng.choice(len(chances), p=chances / chances.sum())
        golds.append(-1 if drawn == len(logits) else drawn)
        mentions.append(scored(factor * logits, factor * nil))
    assert fit_temperature(mentions, np.array(golds)) == pytest.approx(factor, rel=0.05)


def test_a_gold_that_was_not_found_counts_as_nil():
    mentions = [scored([2.0, 0.0], 0.0)] * 3
    missing = fit_temperature(mentions, np.array([0, 0, 7]))
    assert missing == fit_temperature(mentions, np.array([0, 0, -1]))


def test_no_candidate_and_no_mention():
    assert fit_temperature([], np.zeros(0)) == 1.0
    assert np.isfinite(fit_temperature([scored([], 1.0)], np.array([-1])))


def test_all_logits_are_divided():
    torch.manual_seed(0)
    layout = FeatureLayout.of(["name", "facts"])
    combiner = Combiner(layout)
    with torch.no_grad():
        for parameter in combiner.parameters():
            parameter += torch.randn_like(parameter)
    shape = (4, 3, len(layout))
    inputs = (
        torch.randn(shape),
        torch.rand(shape) < 0.8,
        torch.ones(shape[:2], dtype=torch.bool),
        torch.rand(shape[:2]) < 0.5,
    )
    before = combiner(*inputs)
    combiner.divide_logits(2.5)
    after = combiner(*inputs)
    assert torch.allclose(after.logits, before.logits / 2.5, atol=1e-5)
    assert torch.allclose(after.nil, before.nil / 2.5, atol=1e-5)
