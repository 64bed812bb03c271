"""Two rows over the same mentions, and links that follow swapped pictures."""

import numpy as np
import pytest
from made_outcomes import outcome

from places.comparison import flip_rate, paired_difference
from spacy_dwe.errors import DweError
from spacy_dwe.evaluation.ranking import measure


def test_paired_difference_is_tighter_than_two_separate_intervals():
    rng = np.random.default_rng(1)
    base = [1 if hit else 2 for hit in rng.random(200) < 0.5]
    better = [1 if i % 10 == 0 else rank for i, rank in enumerate(base)]
    left = [outcome(rank, document=str(i)) for i, rank in enumerate(better)]
    right = [outcome(rank, document=str(i)) for i, rank in enumerate(base)]
    result = paired_difference(left, right)
    low, high = result["top1"]["interval"]
    assert result["top1"]["difference"] == pytest.approx(
        np.mean(np.array(better) <= 1) - np.mean(np.array(base) <= 1)
    )
    assert 0 < low < result["top1"]["difference"] < high
    separate = measure(left)["intervals"]["top1"]
    assert high - low < separate[1] - separate[0]


def test_paired_difference_refuses_runs_over_other_mentions():
    with pytest.raises(DweError, match="differ in their mentions"):
        paired_difference([outcome(1)], [outcome(1, document="other")])


def test_links_to_the_namesake_whose_picture_was_put_in_are_counted():
    followed = outcome(1, predicted="Q2", document="1")
    kept, not_swapped = outcome(1, document="2"), outcome(1, document="3")
    swap = flip_rate([followed, kept, not_swapped], ["Q2", "Q2", None])
    assert (swap["n"], swap["flip_rate"]) == (2, 0.5)
    assert flip_rate([kept], [None])["flip_rate"] is None
