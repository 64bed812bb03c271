import numpy as np
import pytest

from spacy_dwe.evaluation.bootstrap import calibration


def test_error_is_the_distance_of_confidence_and_accuracy_by_bins_of_equal_mass():
    probability = np.array([0.9] * 15 + [0.5] * 15)
    correct = np.array([True] * 15 + [False] * 12 + [True] * 3)
    measured = calibration(probability, correct)
    assert [row["n"] for row in measured["reliability"]] == [2] * 15
    # Half the mass says .9 and is always right; the other says .5, one in five right.
    by_hand = sum(
        2 / 30 * abs(row["confidence"] - row["accuracy"])
        for row in measured["reliability"]
    )
    assert measured["ece"] == pytest.approx(by_hand, abs=1e-6)
    highest = measured["reliability"][-1]
    assert (highest["confidence"], highest["accuracy"]) == (0.9, 1.0)


def test_a_calibrated_run_has_an_error_of_next_to_nothing():
    rng = np.random.default_rng(0)
    probability = rng.random(60_000)
    correct = rng.random(60_000) < probability
    assert calibration(probability, correct)["ece"] < 0.01
    assert calibration(probability, ~correct)["ece"] > 0.3


def test_without_mentions_there_is_no_error():
    assert calibration(np.zeros(0), np.zeros(0)) == {"ece": None, "reliability": []}
