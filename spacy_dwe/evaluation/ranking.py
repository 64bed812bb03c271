"""Ranking metrics with confidence intervals by bootstrap over documents."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import DweError, Errors
from .outcomes import RECALL_AT, Outcome

TOP_K = (1, 3, 5, 10, 20)
DRAWS = 2000
LEVEL = 0.95
BLOCK_CELLS = 4_000_000


def metrics(
    outcomes: Sequence[Outcome],
    *,
    protocol: str,
    channels: Sequence[str],
    inputs: str,
    n_unlabelled: int = 0,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Any]:
    """METRICS.json: what was run, the metrics over all mentions, and by group.

    protocol (str): "candidates" (the best by name), "full" (all of the KB).
    channels (Sequence[str]): the scoring channels that were on.
    inputs (str): "text" or "text+image".
    n_unlabelled (int): mentions without a label, which are in no metric.
    draws (int): bootstrap draws.
    seed (int): seed of the draws.
    RETURNS (dict[str, Any]): fractions, not percent; None where a metric is undefined.
    """
    groups = sorted({group for outcome in outcomes for group in outcome.groups})
    return {
        "protocol": protocol,
        "injected": False,
        "channels": list(channels),
        "inputs": inputs,
        "n_unlabelled": n_unlabelled,
        **measure(outcomes, draws=draws, seed=seed),
        "by": {
            group: measure(
                [o for o in outcomes if group in o.groups], draws=draws, seed=seed
            )
            for group in groups
        },
    }


def measure(
    outcomes: Sequence[Outcome], *, draws: int = DRAWS, seed: int = 0
) -> dict[str, Any]:
    """Metrics of one set of mentions.

    * `n`, `topK`, `mrr`: over the mentions whose gold is an entity. The rank is among
      entities only; a gold that is not in the KB or was not retrieved is a miss (rank
      ∞). Equal scores share the middle of their ranks, so a tie at the top is no hit.
    * `recall@K`: share of these whose gold is in a list of K candidates.
    * `n_not_in_kb`: how many of these the KB does not hold.
    * `chance`: mean Top-1 of a blind draw among the entities of the mention's name.
    * `accuracy`: share of right decisions over all mentions, NIL among the decisions.
    * `nil_precision`, `nil_recall`, `nil_f1`: NIL as the class that is looked for.
    * `intervals`: 95 % bootstrap intervals, documents drawn with replacement.

    RETURNS (dict[str, Any]): None where nothing was there to be measured.
    """
    ranked = [outcome for outcome in outcomes if outcome.rank is not None]
    ranks = _ranks(ranked)
    found = np.array([o.found_within for o in ranked], dtype=np.float64)
    intervals = bootstrap_intervals(ranked, RANK_METRICS, draws=draws, seed=seed)
    return {
        "n": len(ranked),
        "n_documents": len({outcome.document for outcome in outcomes}),
        "n_nil": len(outcomes) - len(ranked),
        "n_not_in_kb": sum(not outcome.in_kb for outcome in ranked),
        **{f"top{k}": _mean(ranks <= k) for k in TOP_K},
        "mrr": _mean(1 / ranks),
        **{f"recall@{k}": _mean(found <= k) for k in RECALL_AT},
        "chance": _mean([outcome.chance for outcome in ranked]),
        "accuracy": _mean([outcome.correct for outcome in outcomes]),
        **_nil_metrics(outcomes),
        "intervals": intervals,
    }


Contribution = Callable[[np.ndarray], np.ndarray]

RANK_METRICS: dict[str, Contribution] = {
    "top1": lambda ranks: (ranks <= 1).astype(np.float64),
    "mrr": lambda ranks: 1 / ranks,
}
"""What each mention adds to a metric that is a mean over mentions."""


def bootstrap_intervals(
    ranked: Sequence[Outcome],
    contributions: dict[str, Contribution],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, list[float]]:
    """95 % intervals of means over mentions, by drawing documents with replacement:
    the mentions of one document are not independent of each other.

    RETURNS (dict[str, list[float]]): low and high by metric; empty without mentions or
        without draws.
    """
    if not ranked or not draws:
        return {}
    ranks = _ranks(ranked)
    values = np.stack([of_rank(ranks) for of_rank in contributions.values()])
    low, high = _bootstrap(values, _document_index(ranked), draws, seed)
    return {
        name: [round(float(a), 6), round(float(b), 6)]
        for name, a, b in zip(contributions, low, high)
    }


def paired_difference(
    left: Sequence[Outcome],
    right: Sequence[Outcome],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Any]:
    """How much better `left` is than `right` on the same mentions, with 95 % intervals
    from documents drawn together for both.

    RETURNS (dict[str, Any]): by metric `{"difference", "interval"}`, and `n`.
    """
    left = [outcome for outcome in left if outcome.rank is not None]
    right = [outcome for outcome in right if outcome.rank is not None]
    if [_key(outcome) for outcome in left] != [_key(outcome) for outcome in right]:
        raise DweError(Errors.E412.format(left=len(left), right=len(right)))
    result: dict[str, Any] = {"n": len(left)}
    if not left:
        return result
    left_ranks, right_ranks = _ranks(left), _ranks(right)
    values = np.stack(
        [of(left_ranks) - of(right_ranks) for of in RANK_METRICS.values()]
    )
    low, high = _bootstrap(values, _document_index(left), draws, seed)
    for i, name in enumerate(RANK_METRICS):
        result[name] = {
            "difference": round(float(values[i].mean()), 6),
            "interval": [round(float(low[i]), 6), round(float(high[i]), 6)],
        }
    return result


def flip_rate(
    outcomes: Sequence[Outcome],
    targets: Sequence[str | None],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Any]:
    """How often the link follows a picture that was put in place of the right one.

    outcomes (Sequence[Outcome]): of the documents with swapped pictures.
    targets (Sequence[str | None]): the entity whose picture each mention was given;
        None: not swapped, left out.
    RETURNS (dict[str, Any]): `flip_rate`, the share of swapped mentions that are linked
        to the target, its `interval`, and `n`.
    """
    swapped = [(o, t) for o, t in zip(outcomes, targets) if t is not None]
    if not swapped:
        return {"n": 0, "flip_rate": None, "interval": None}
    values = np.array([[float(o.predicted == t) for o, t in swapped]])
    documents = _document_index([o for o, _ in swapped])
    low, high = _bootstrap(values, documents, draws, seed)
    return {
        "n": len(swapped),
        "flip_rate": round(float(values.mean()), 6),
        "interval": [round(float(low[0]), 6), round(float(high[0]), 6)],
    }


def _bootstrap(
    values: np.ndarray, document: np.ndarray, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Interval of the mean of each row of values.

    values (np.ndarray): Shape: (n_metrics, n_mentions)
    document (np.ndarray): document of each mention, 0..n_documents-1.
        Shape: (n_mentions,)
    RETURNS (tuple): low and high. Shape of each: (n_metrics,)
    """
    n_documents = int(document.max()) + 1
    totals = np.stack(
        [
            np.bincount(document, weights=row)
            for row in (*values, np.ones(len(document)))
        ]
    )
    rng = np.random.default_rng(seed)
    block = max(1, BLOCK_CELLS // n_documents)
    means: list[np.ndarray] = []
    for first in range(0, draws, block):
        size = min(block, draws - first)
        drawn = rng.integers(n_documents, size=(size, n_documents))
        drawn += np.arange(size)[:, None] * n_documents
        times = np.bincount(drawn.ravel(), minlength=size * n_documents)
        sums = totals @ times.reshape(size, n_documents).T.astype(np.float64)
        means.append(sums[:-1] / sums[-1])
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(np.concatenate(means, axis=1), [tail, 1 - tail], axis=1)
    return low, high


def _document_index(outcomes: Sequence[Outcome]) -> np.ndarray:
    names = [outcome.document for outcome in outcomes]
    return np.unique(names, return_inverse=True)[1].ravel()


def _key(outcome: Outcome) -> tuple[str, int, int, str | None]:
    return outcome.document, outcome.start, outcome.end, outcome.gold


def _ranks(ranked: Sequence[Outcome]) -> np.ndarray:
    return np.array([outcome.rank for outcome in ranked], dtype=np.float64)


def _mean(values: Any) -> float | None:
    values = np.asarray(values, dtype=np.float64)
    return round(float(values.mean()), 6) if len(values) else None


def _nil_metrics(outcomes: Sequence[Outcome]) -> dict[str, float | None]:
    """Undefined (None) where neither a label nor a decision is NIL."""
    gold = np.array([outcome.gold is None for outcome in outcomes], dtype=bool)
    predicted = np.array([outcome.predicted is None for outcome in outcomes], bool)
    hits = int((gold & predicted).sum())
    n_gold, n_predicted = int(gold.sum()), int(predicted.sum())
    return {
        "nil_precision": _ratio(hits, n_predicted),
        "nil_recall": _ratio(hits, n_gold),
        "nil_f1": _ratio(2 * hits, n_gold + n_predicted),
    }


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None
