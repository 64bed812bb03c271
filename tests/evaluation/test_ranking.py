import numpy as np
import pytest
from made_outcomes import outcome

from spacy_dwe.evaluation.outcomes import MISS
from spacy_dwe.evaluation.ranking import measure, metrics


def test_top_k_and_mrr_count_a_missing_gold_as_a_miss():
    ranks = [1, 2, 4, MISS]
    measured = measure([outcome(r, document=str(i)) for i, r in enumerate(ranks)])
    assert measured["top1"] == 0.25
    assert measured["top3"] == 0.5
    assert measured["top5"] == 0.75
    assert measured["top20"] == 0.75
    assert measured["mrr"] == pytest.approx((1 + 1 / 2 + 1 / 4) / 4)
    assert measured["recall@10"] == 0.75
    assert measured["n"] == 4
    assert measured["n_not_in_kb"] == 1
    assert measured["chance"] == 0.5


def test_nil_has_no_rank_and_is_measured_apart():
    outcomes = [
        outcome(1),
        outcome(1, predicted=None, start=10),
        outcome(None, gold=None, predicted=None, start=20),
        outcome(None, gold=None, predicted="Q2", start=30),
    ]
    measured = measure(outcomes)
    assert measured["n"] == 2
    assert measured["n_nil"] == 2
    assert measured["top1"] == 1.0
    assert measured["nil_precision"] == 0.5
    assert measured["nil_recall"] == 0.5
    assert measured["nil_f1"] == 0.5
    assert measured["accuracy"] == 0.5


def test_undefined_metrics_are_none_and_never_nan():
    nothing = measure([])
    assert nothing["top1"] is None
    assert nothing["nil_f1"] is None
    assert nothing["intervals"] == {}
    assert measure([outcome(1)])["nil_f1"] is None


def test_each_group_has_the_same_keys_as_the_whole():
    outcomes = [outcome(1, groups=("unseen",)), outcome(3, start=10)]
    result = metrics(
        outcomes,
        protocol="candidates",
        channels=["name"],
        inputs="text",
        n_unlabelled=2,
    )
    assert result["protocol"] == "candidates"
    assert result["injected"] is False
    assert result["n_unlabelled"] == 2
    assert result["by"].keys() == {"unseen"}
    assert result["by"]["unseen"]["top1"] == 1.0
    assert set(result["by"]["unseen"]) == set(measure(outcomes))


def test_interval_draws_documents_so_mentions_of_one_document_move_together():
    rng = np.random.default_rng(0)
    right = rng.random(60) < 0.5
    apart = [outcome(1 if r else 2, document=str(i)) for i, r in enumerate(right)]
    together = [
        outcome(1 if r else 2, document=str(i), start=10 * copy)
        for i, r in enumerate(right)
        for copy in range(5)
    ]
    low, high = measure(apart)["intervals"]["top1"]
    standard_error = np.sqrt(right.mean() * (1 - right.mean()) / len(right))
    assert high - low == pytest.approx(2 * 1.96 * standard_error, rel=0.1)
    assert measure(together)["intervals"]["top1"] == [low, high]


def test_same_seed_same_interval():
    outcomes = [outcome(1 + i % 3, document=str(i)) for i in range(50)]
    some = {"draws": 500}
    assert measure(outcomes, seed=3, **some) == measure(outcomes, seed=3, **some)
    assert measure(outcomes, seed=3, **some) != measure(outcomes, seed=4, **some)


def test_interval_of_many_documents_is_drawn_in_blocks():
    outcomes = [outcome(1 + i % 4, document=str(i)) for i in range(6000)]
    measured = measure(outcomes)
    low, high = measured["intervals"]["top1"]
    assert low < measured["top1"] < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.25 * 0.75 / 6000), rel=0.1)
