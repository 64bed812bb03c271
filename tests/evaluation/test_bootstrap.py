import numpy as np

from spacy_dwe.evaluation.bootstrap import ratio_draws, ratio_intervals


def test_a_draw_is_the_ratio_over_whole_documents():
    """Two documents: any draw has both, or one of them twice."""
    values = np.array([[1.0, 1.0, 0.0]])
    ones = np.ones((1, 3))
    documents = np.array([0, 0, 1])
    drawn = ratio_draws(values, ones, documents, draws=400, seed=0)
    assert {round(v, 6) for v in drawn[0].tolist()} == {0.0, round(2 / 3, 6), 1.0}


def test_a_part_that_some_draws_miss_has_an_interval_from_the_others():
    values = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    bottoms = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    low, high = ratio_intervals(values, bottoms, np.array([0, 1]), draws=200)
    assert (low[0], high[0]) == (1.0, 1.0)
    assert (low[1], high[1]) == (1.0, 1.0)
    assert np.isnan([low[2], high[2]]).all()
