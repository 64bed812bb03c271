"""Probabilities that are right as often as they say: a temperature, and NIL's logit."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..linking.annotate import ScoredMention, softmax_with_nil

SHARPEST = 100.0
"""Largest factor of the logits, and one over the smallest."""
HALVINGS = 60
"""Of the interval: more than float64 can tell apart."""
ITERATIONS = 100
ENOUGH_NIL = 20
"""Mentions that are NIL, or of entities that the KB lacks, from which on it is fitted
when to choose NIL."""
FOLDS = 5
DEVIATION = 2.0
"""How far weights of NIL, and the temperature's logarithm, are expected to be from the
trained ones. It counts against few mentions and hardly against many."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """temperature (float): what to divide the candidates' logits by.
    nil (np.ndarray | None): NIL's bias and weights for the logits before that; None =
        NIL's logit is divided as the others are. Shape: (8,)
    """

    temperature: float
    nil: np.ndarray | None = None

    def apply(self, mention: ScoredMention) -> ScoredMention:
        """RETURNS (ScoredMention): the mention with calibrated probabilities."""
        scores = mention.scores / self.temperature
        nil_score = mention.nil_score / self.temperature
        if self.nil is not None:
            nil_score = float(self.nil[0] + mention.nil_features @ self.nil[1:])
        probabilities, nil_probability = softmax_with_nil(scores, nil_score)
        return replace(
            mention,
            scores=scores,
            probabilities=probabilities,
            nil_score=nil_score,
            nil_probability=nil_probability,
        )


def calibrate_scores(
    scored: Sequence[ScoredMention],
    gold_rows: np.ndarray,
    nil: np.ndarray,
    documents: np.ndarray,
) -> tuple[Calibration, list[ScoredMention]]:
    """Fit a calibration to labelled mentions, and see what it is worth: cut into folds,
    documents are calibrated by what was fitted to those of the other folds.

    scored (Sequence[ScoredMention]): with all their candidates.
    gold_rows (np.ndarray): KB row of each gold, -1 for NIL. Shape: (n,)
    nil (np.ndarray): the trained bias and weights of NIL.
    documents (np.ndarray): document of each mention, a number. Shape: (n,)
    RETURNS (tuple[Calibration, list[ScoredMention]]): what fits all mentions, and the
        mentions as they are calibrated while their document is held out; unchanged
        where there is no other document.
    """
    enough_nil = (gold_rows < 0).sum() >= ENOUGH_NIL

    def fitted(which: np.ndarray) -> Calibration:
        some = [scored[i] for i in which.tolist()]
        if not enough_nil:
            return Calibration(fit_temperature(some, gold_rows[which]))
        return fit_calibration(some, gold_rows[which], nil)

    names, numbers = np.unique(documents, return_inverse=True)
    fold_of = np.random.default_rng(0).permutation(len(names)) % FOLDS
    folds = fold_of[numbers]
    held_out = list(scored)
    for fold in np.unique(folds) if len(names) > 1 else ():
        others = fitted(np.flatnonzero(folds != fold))
        for i in np.flatnonzero(folds == fold).tolist():
            held_out[i] = others.apply(scored[i])
    return fitted(np.arange(len(scored))), held_out


def surprise(scored: Sequence[ScoredMention], gold_rows: np.ndarray) -> float:
    """RETURNS (float): mean negative log-likelihood of the golds; one that was not
    found counts as NIL. Arguments as of `fit_temperature`."""
    logits, places = _padded(scored, gold_rows)
    golds = np.take_along_axis(logits, places[:, None], axis=1)[:, 0]
    return float((np.logaddexp.reduce(logits, axis=1) - golds).mean())


def fit_temperature(scored: Sequence[ScoredMention], gold_rows: np.ndarray) -> float:
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
    logits, places = _padded(scored, gold_rows)
    logits -= logits.max(axis=1, keepdims=True)
    golds = np.take_along_axis(logits, places[:, None], axis=1)[:, 0]

    def slope(factor: float) -> float:
        weights = np.exp(factor * logits)
        finite = np.where(weights > 0, logits, 0.0)
        expected = (weights * finite).sum(axis=1) / weights.sum(axis=1)
        return float((expected - golds).mean())

    low, high = np.log(1 / SHARPEST), np.log(SHARPEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if slope(float(np.exp(middle))) < 0:
            low = middle
        else:
            high = middle
    return float(np.exp(-(low + high) / 2))


def fit_calibration(
    scored: Sequence[ScoredMention], gold_rows: np.ndarray, nil: np.ndarray
) -> Calibration:
    """Fit the temperature together with the weights of NIL's logit. A linker has learnt
    its training golds, whose scores therefore tell NIL apart too well.

    The likelihood is that of `fit_temperature`; L-BFGS finds its maximum.

    scored (Sequence[ScoredMention]): with all their candidates, some of them NIL.
    gold_rows (np.ndarray): KB row of each gold, -1 for NIL. Shape: (n,)
    nil (np.ndarray): the trained bias and weights of NIL. Shape: (8,)
    RETURNS (Calibration): with weights of NIL.
    """
    import torch

    logits, places = _padded(scored, gold_rows)
    candidates = torch.from_numpy(logits[:, :-1])
    golds = torch.from_numpy(places)
    features = np.stack([mention.nil_features for mention in scored])
    best = torch.from_numpy(features.astype(np.float64))
    start = torch.from_numpy(nil.astype(np.float64))
    cooling = torch.zeros((), dtype=torch.float64, requires_grad=True)
    weights = start.clone().requires_grad_()
    # The NIL column stands last; candidates without one are -inf and stay so.
    there = torch.isfinite(candidates)
    finite = torch.where(there, candidates, 0.0)
    optimiser = torch.optim.LBFGS(
        [cooling, weights], max_iter=ITERATIONS, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        scaled = (cooling.exp() * finite).masked_fill(~there, -torch.inf)
        own = weights[0] + best @ weights[1:]
        joined = torch.cat([scaled, own.unsqueeze(1)], dim=1)
        loss = torch.nn.functional.cross_entropy(joined, golds, reduction="sum")
        pull = ((weights - start) ** 2).sum() + cooling**2
        total = (loss + pull / (2 * DEVIATION**2)) / len(golds)
        total.backward()
        return total

    optimiser.step(closure)
    return Calibration(float(np.exp(-cooling.item())), weights.detach().numpy())


def _padded(
    scored: Sequence[ScoredMention], gold_rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """RETURNS (tuple[np.ndarray, np.ndarray]): logits of candidates, -inf where there
    is none, with NIL's last, (n, most candidates + 1); and the column of each gold."""
    size = max(len(mention.scores) for mention in scored)
    logits = np.full((len(scored), size + 1), -np.inf)
    places = np.full(len(scored), size, dtype=np.int64)
    for index, (mention, row) in enumerate(zip(scored, gold_rows.tolist())):
        logits[index, : len(mention.scores)] = mention.scores
        logits[index, size] = mention.nil_score
        if row >= 0 and row in mention.rows:
            places[index] = mention.rows.tolist().index(row)
    return logits, places
