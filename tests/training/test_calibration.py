"""One number that makes probabilities right as often as they say."""

import numpy as np
import pytest
import torch
from columns import columns

from spacy_dwe.linking.annotate import ScoredMention, softmax_with_nil
from spacy_dwe.model.combiner import Combiner
from spacy_dwe.training.calibration import (
    calibrate_scores,
    fit_calibration,
    fit_temperature,
    surprise,
)


def scored(scores, nil_score, nil_features=(0, 0, 0, 0)):
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
        nil_features=np.array(nil_features, np.float32),
        contributions={},
    )


@pytest.mark.parametrize("factor", [0.25, 1.0, 3.0])
def test_the_factor_that_spoilt_probabilities_is_found(factor):
    """Golds are drawn by the softmax of logits; the linker has them too large."""
    rng = np.random.default_rng(0)
    mentions, golds = [], []
    for _ in range(6_000):
        logits = rng.normal(size=rng.integers(1, 6))
        nil = float(rng.normal())
        chances = np.exp([*logits, nil])
        drawn = rng.choice(len(chances), p=chances / chances.sum())
        golds.append(-1 if drawn == len(logits) else drawn)
        mentions.append(scored(factor * logits, factor * nil))
    assert fit_temperature(mentions, np.array(golds)) == pytest.approx(factor, rel=0.08)


def test_a_gold_that_was_not_found_counts_as_nil():
    mentions = [scored([2.0, 0.0], 0.0)] * 3
    missing = fit_temperature(mentions, np.array([0, 0, 7]))
    assert missing == fit_temperature(mentions, np.array([0, 0, -1]))


def test_no_candidate_and_no_mention():
    assert fit_temperature([], np.zeros(0)) == 1.0
    assert np.isfinite(fit_temperature([scored([], 1.0)], np.array([-1])))


def test_a_fit_is_measured_on_documents_that_it_has_not_seen():
    """Golds are drawn by logits that are twice as large."""
    rng = np.random.default_rng(0)
    mentions, golds = [], []
    for _ in range(200):
        logits = rng.normal(size=3)
        chances = np.exp(2 * logits)
        golds.append(rng.choice(3, p=chances / chances.sum()))
        mentions.append(scored(np.sort(logits)[::-1], -9.0))
        golds[-1] = np.flatnonzero(np.argsort(-logits) == golds[-1])[0]
    rows, documents = np.array(golds), np.arange(200) // 4
    fitted, held_out = calibrate_scores(mentions, rows, np.zeros(5), documents)
    assert fitted.nil is None and fitted.temperature == pytest.approx(0.5, rel=0.25)
    within = [fitted.apply(mention) for mention in mentions]
    before = surprise(mentions, rows)
    assert surprise(within, rows) < surprise(held_out, rows) < before
    assert held_out[0].probabilities.sum() == pytest.approx(1.0, abs=1e-3)
    _, alone = calibrate_scores(mentions, rows, np.zeros(5), np.zeros(200))
    assert alone == mentions, "there is no other document"


def test_all_logits_are_divided():
    torch.manual_seed(0)
    layout = columns(["name", "facts"])
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


def test_weights_of_nil_are_found_with_the_temperature():
    """NIL is drawn by other weights than the linker has."""
    rng = np.random.default_rng(0)
    right = np.array([0.5, 0.3, -0.8, 1.0, -0.5, 0.7])
    mentions, golds = [], []
    for _ in range(6_000):
        logits = np.sort(rng.normal(size=3))[::-1]
        best = [logits[0], logits[0] - logits[1], rng.random(), rng.integers(2)]
        best.append(rng.normal())
        chances = np.exp([*logits, right @ [1, *best]])
        drawn = rng.choice(4, p=chances / chances.sum())
        golds.append(-1 if drawn == 3 else drawn)
        doubled = [2 * best[0], 2 * best[1], *best[2:]]
        mentions.append(scored(2 * logits, 0.0, doubled))
    found = fit_calibration(mentions, np.array(golds), np.zeros(6))
    assert found.temperature == pytest.approx(2.0, rel=0.08)
    expected = right / [1, 2, 2, 1, 1, 1]
    assert found.nil == pytest.approx(expected, abs=0.2)


def test_fitted_weights_of_nil_give_its_logit_after_the_division():
    layout = columns(["name"])
    combiner, nil = (
        Combiner(layout),
        torch.tensor([0.5, 0.3, -0.8, 1, -0.5, 0.7, -0.6, 0.2, 0.4]),
    )
    shape = (4, 3, len(layout))
    inputs = (
        torch.randn(shape),
        torch.ones(shape, dtype=torch.bool),
        torch.ones(shape[:2], dtype=torch.bool),
        torch.rand(shape[:2]) < 0.5,
    )
    before = combiner(*inputs)
    combiner.divide_logits(2.5, nil)
    after = combiner(*inputs)
    assert torch.allclose(after.logits, before.logits / 2.5, atol=1e-5)
    expected = nil[0] + before.nil_features @ nil[1:]
    assert torch.allclose(after.nil, expected, atol=1e-4)
