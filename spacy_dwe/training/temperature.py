"""Probabilities that are right as often as they say, by a single number."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..model.scoring import ScoredMention

SHARPEST = 100.0
"""Largest factor of the logits, and one over the smallest."""
STEPS = 60
"""Halvings of the interval: more than float64 can tell apart."""


def fit_temperature(scored: "Sequence[ScoredMention]", gold_rows: np.ndarray) -> float:
    """Temperature scaling (Guo et al., ICML-17) of the softmax over candidates and NIL.

    The mean negative log-likelihood of the golds is convex in one over the temperature;
    bisection finds where its derivative, the expected logit less the gold's, is 0. A
    gold that was not found counts as NIL, as in training.

    scored (Sequence[ScoredMention]): with all their candidates.
    gold_rows (np.ndarray): KB row of each gold, -1 for NIL. Shape: (n,)
    RETURNS (float): the temperature; 1 for no mentions.
    """
    if not len(scored):
        return 1.0
    size = max(len(mention.scores) for mention in scored) + 1
    logits = np.full((len(scored), size), -np.inf)
    golds = np.zeros(len(scored))
    for index, (mention, row) in enumerate(zip(scored, gold_rows.tolist())):
        n = len(mention.scores)
        logits[index, :n] = mention.scores
        logits[index, n] = mention.nil_score
        place = np.flatnonzero(mention.rows == row) if row >= 0 else np.zeros(0, int)
        golds[index] = mention.scores[place[0]] if len(place) else mention.nil_score
    highest = logits.max(axis=1, keepdims=True)
    # Relative to the highest, no logit is too large to be raised.
    logits, golds = logits - highest, golds - highest[:, 0]

    def slope(factor: float) -> float:
        weights = np.exp(factor * logits)
        finite = np.where(weights > 0, logits, 0.0)
        expected = (weights * finite).sum(axis=1) / weights.sum(axis=1)
        return float((expected - golds).mean())

    low, high = np.log(1 / SHARPEST), np.log(SHARPEST)
    for _ in range(STEPS):
        middle = (low + high) / 2
        if slope(float(np.exp(middle))) < 0:
            low = middle
        else:
            high = middle
    return float(np.exp(-(low + high) / 2))
