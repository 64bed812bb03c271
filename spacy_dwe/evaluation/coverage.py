"""How much of the world a KB covers, by what a linker says of unlabelled mentions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..linking.annotate import ScoredMention
from ..model.combiner import log_odds
from .bootstrap import TAILS

GRID = np.linspace(-8.0, 8.0, 161)
"""Log-odds of shares that the likelihood is looked at for."""
DRAWS = 1_000
BLOCK = 4_096
"""Mentions at a time: bounds memory."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """share (float): of the mentions, those whose entity the KB holds; `low` and `high`
    are its 95 % interval, by drawing documents. n_mentions, n_documents (int): seen."""

    share: float
    low: float
    high: float
    n_mentions: int
    n_documents: int


def estimate_coverage(
    linkable: np.ndarray,
    assumed: float,
    documents: np.ndarray,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Coverage:
    """The share of mentions whose entity is in the KB, where nobody labelled them, by
    the EM of Saerens, Latinne & Decaestecker (2002, Neural Computation 14): mentions
    are weighed by their probabilities, moved from the share that these assume to the
    one estimated, whose mean is the next estimate. What that climbs, the likelihood of
    the share, is concave, so it is looked up where its slope falls through 0.

    It holds as far as the probabilities do, and as far as mentions differ from those
    that they were fitted to in this share alone.

    linkable (np.ndarray): log-odds that a mention is not NIL, -inf where it has no
        candidate. Shape: (n,)
    assumed (float): the share that they were made for.
    documents (np.ndarray): document of each mention, 0..n_documents - 1. Shape: (n,)
    draws, seed (int): of the bootstrap.
    RETURNS (Coverage): the estimate.
    """
    n_documents = int(documents.max()) + 1
    slopes = np.zeros((n_documents, len(GRID)))
    neutral = linkable - log_odds(assumed)
    for first in range(0, len(neutral), BLOCK):
        part = slice(first, first + BLOCK)
        np.add.at(slopes, documents[part], _slopes(neutral[part]))
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(draws):
        which = rng.integers(n_documents, size=n_documents)
        times = np.bincount(which, minlength=n_documents)
        drawn.append(_top(times @ slopes))
    low, high = np.quantile(drawn, TAILS).tolist()
    return Coverage(_top(slopes.sum(axis=0)), low, high, len(linkable), n_documents)


def log_odds_of_links(scored: Sequence[ScoredMention]) -> np.ndarray:
    """RETURNS (np.ndarray): log-odds that a mention is one of its candidates and not
    NIL, exact where the probability rounds to 1. Shape: (n,)"""
    links = [np.logaddexp.reduce(m.scores.astype(np.float64)) for m in scored]
    return np.array(links) - [m.nil_score for m in scored]


def _slopes(neutral: np.ndarray) -> np.ndarray:
    """Slope of each mention's log-likelihood, along the log-odds of the share.

    neutral (np.ndarray): log-odds that it is in the KB if half of all were. Shape: (n,)
    RETURNS (np.ndarray): Shape: (n, len(GRID))
    """
    inside = np.exp(-np.logaddexp(0, -neutral))[:, None]
    share = 1 / (1 + np.exp(-GRID))
    joint = inside * share
    return joint / (joint + (1 - inside) * (1 - share)) - share


def _top(slopes: np.ndarray) -> float:
    """RETURNS (float): share where a slope falls through 0; 0 or 1 where none does."""
    falling = np.flatnonzero(slopes <= 0)
    if not len(falling):
        return 1.0
    place = int(falling[0])
    if not place:
        return 0.0
    before, after = slopes[place - 1], slopes[place]
    at = GRID[place - 1] + (GRID[1] - GRID[0]) * before / (before - after)
    return float(1 / (1 + np.exp(-at)))
