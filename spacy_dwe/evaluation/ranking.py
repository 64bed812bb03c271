"""What is measured on labelled mentions, as a whole and by kinds of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DweError, Errors
from .bootstrap import DRAWS, calibration, document_index, ratio_intervals
from .outcomes import Outcome

TOP_K = (1, 3, 5, 10, 20)
RECALL_AT = (1, 10, 20, 50, 100)


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
    """METRICS.json: what was run, the metrics over all mentions, and of parts of them.

    protocol (str): "candidates" (the best by name), "full" (all of the KB), or "paper"
        (100 by fuzzy name, the gold put in).
    channels (Sequence[str]): the scoring channels that were on.
    inputs (str): "text" or "text+image".
    n_unlabelled (int): mentions without a label, which are in no metric.
    draws (int): bootstrap draws.
    seed (int): seed of the draws.
    RETURNS (dict[str, Any]): fractions, not percent; None where a metric is undefined.
        `by` holds the same keys for each group that the data names, `breakdowns` for
        each kind of mention: by type, by ambiguity of the name, with and without
        pictures, and, where the training data is known, by gold seen there or not.
    """
    kinds = {"by": _groups(outcomes), **_breakdowns(outcomes)}
    parts = [np.ones(len(outcomes), dtype=bool)]
    parts += [mask for masks in kinds.values() for mask in masks.values()]
    everything, *measured = _measure(outcomes, parts, draws, seed)
    of_parts = iter(measured)
    breakdowns = {
        kind: {value: next(of_parts) for value in masks}
        for kind, masks in kinds.items()
    }
    n_injected = sum(outcome.injected for outcome in outcomes)
    return {
        "protocol": protocol,
        "injected": protocol == "paper" or n_injected > 0,
        "n_injected": n_injected,
        "channels": list(channels),
        "inputs": inputs,
        "n_unlabelled": n_unlabelled,
        **everything,
        "by": breakdowns.pop("by"),
        "breakdowns": breakdowns,
    }


def measure(
    outcomes: Sequence[Outcome], *, draws: int = DRAWS, seed: int = 0
) -> dict[str, Any]:
    """Metrics of one set of mentions.

    * `n`, `topK`, `mrr`: over the mentions whose gold is an entity. The rank is among
      entities only; a gold that is not in the KB or was not retrieved is a miss (rank
      ∞). Equal scores share the middle of their ranks, so a tie at the top is no hit.
    * `mean_rank`, `median_rank`: over the golds that are candidates; `n_not_retrieved`
      are not.
    * `recall@K`: share of `n` whose gold is among the first K candidates, in the order
      in which they were found.
    * `n_not_in_kb`: how many of `n` the KB does not hold.
    * `chance`: mean Top-1 of a blind draw among the entities of the mention's name.
    * `accuracy`: share of right decisions over all mentions, NIL among the decisions.
    * `nil_precision`, `nil_recall`, `nil_f1`: NIL as the class that is looked for.
    * `ece`, `reliability`: see `calibration`.
    * `intervals`: 95 % bootstrap intervals, documents drawn with replacement.

    RETURNS (dict[str, Any]): None where nothing was there to be measured.
    """
    return _measure(outcomes, [np.ones(len(outcomes), dtype=bool)], draws, seed)[0]


@dataclass(frozen=True, slots=True)
class _Columns:
    """Outcomes as arrays. Shape of each: (n_mentions,)

    ranks (np.ndarray): inf for a miss; 1 for NIL, where `ranked` is False.
    """

    documents: np.ndarray
    ranked: np.ndarray
    ranks: np.ndarray
    found_within: np.ndarray
    in_kb: np.ndarray
    correct: np.ndarray
    predicted_nil: np.ndarray
    probability: np.ndarray
    chance: np.ndarray

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> "_Columns":
        ranks = [1.0 if o.rank is None else o.rank for o in outcomes]
        return cls(
            documents=document_index([o.document for o in outcomes]),
            ranked=np.array([o.rank is not None for o in outcomes], dtype=bool),
            ranks=np.array(ranks, dtype=np.float64),
            found_within=np.array([o.found_within for o in outcomes], np.float64),
            in_kb=np.array([o.in_kb for o in outcomes], dtype=bool),
            correct=np.array([o.correct for o in outcomes], dtype=bool),
            predicted_nil=np.array([o.predicted is None for o in outcomes], bool),
            probability=np.array([o.probability for o in outcomes], np.float64),
            chance=np.array([o.chance for o in outcomes], dtype=np.float64),
        )


Ratio = Callable[[_Columns], tuple[np.ndarray, np.ndarray]]
"""What each mention adds to the numerator and to the denominator of a metric."""

NIL_F1 = "nil_f1"
INTERVALS: Mapping[str, Ratio] = {
    "top1": lambda c: (c.ranked & (c.ranks <= 1), c.ranked),
    "top5": lambda c: (c.ranked & (c.ranks <= 5), c.ranked),
    "mrr": lambda c: (c.ranked / c.ranks, c.ranked),
    "accuracy": lambda c: (c.correct, np.ones_like(c.correct)),
    NIL_F1: lambda c: (
        2.0 * (~c.ranked & c.predicted_nil),
        ~c.ranked + c.predicted_nil.astype(np.float64),
    ),
}
"""Metrics that get an interval."""

PAIRED = ("top1", "mrr")
"""Metrics that two runs are compared by."""


def paired_values(
    left: Sequence[Outcome], right: Sequence[Outcome]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """How much better each mention fares in one run than in another.

    RETURNS (tuple): differences by metric, and the document of each mention, of the
        mentions whose gold is an entity. Shape of each: (n,)
    RAISES (DweError): the mentions are not the same.
    """
    left = [outcome for outcome in left if outcome.rank is not None]
    right = [outcome for outcome in right if outcome.rank is not None]
    if [mention_key(outcome) for outcome in left] != [
        mention_key(outcome) for outcome in right
    ]:
        raise DweError(Errors.E412.format(left=len(left), right=len(right)))
    ours, theirs = ratio_terms(left, PAIRED), ratio_terms(right, PAIRED)
    differences = {name: ours[name][0] - theirs[name][0] for name in PAIRED}
    return differences, document_index([outcome.document for outcome in left])


def ratio_terms(
    outcomes: Sequence[Outcome], names: Sequence[str]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What each mention adds to numerator and denominator of metrics.

    names (Sequence[str]): of `INTERVALS`.
    RETURNS (dict): by metric. Shape of each: (n_mentions,), float64
    """
    columns = _Columns.of(outcomes)
    found = {name: INTERVALS[name](columns) for name in names}
    return {
        name: (top.astype(np.float64), bottom.astype(np.float64))
        for name, (top, bottom) in found.items()
    }


def mention_key(outcome: Outcome) -> tuple[str, int, int, str | None]:
    """RETURNS (tuple): what makes two runs' mentions the same: document, offsets and
    label."""
    return outcome.document, outcome.start, outcome.end, outcome.gold


def _measure(
    outcomes: Sequence[Outcome], parts: Sequence[np.ndarray], draws: int, seed: int
) -> list[dict[str, Any]]:
    """Metrics of several parts of the outcomes, whose intervals share their draws."""
    columns = _Columns.of(outcomes)
    intervals = _intervals(columns, parts, draws, seed)
    return [
        _measure_part(columns, part) | {"intervals": own}
        for part, own in zip(parts, intervals)
    ]


def _measure_part(columns: _Columns, part: np.ndarray) -> dict[str, Any]:
    ranked = part & columns.ranked
    ranks, found = columns.ranks[ranked], columns.found_within[ranked]
    retrieved = ranks[np.isfinite(ranks)]
    return {
        "n": len(ranks),
        "n_documents": len(np.unique(columns.documents[part])),
        "n_nil": int((part & ~columns.ranked).sum()),
        "n_not_in_kb": int((ranked & ~columns.in_kb).sum()),
        "n_not_retrieved": len(ranks) - len(retrieved),
        **{f"top{k}": _mean(ranks <= k) for k in TOP_K},
        "mrr": _mean(1 / ranks),
        "mean_rank": _mean(retrieved),
        "median_rank": float(np.median(retrieved)) if len(retrieved) else None,
        **{f"recall@{k}": _mean(found <= k) for k in RECALL_AT},
        "chance": _mean(columns.chance[ranked]),
        "accuracy": _mean(columns.correct[part]),
        **_nil_metrics(~columns.ranked[part], columns.predicted_nil[part]),
        **calibration(columns.probability[part], columns.correct[part]),
    }


def _intervals(
    columns: _Columns, parts: Sequence[np.ndarray], draws: int, seed: int
) -> list[dict[str, list[float]]]:
    """RETURNS (list): low and high by metric, of each part; empty without draws."""
    if not draws or not len(columns.documents):
        return [{} for _ in parts]
    ratios = [of(columns) for of in INTERVALS.values()]
    tops = np.stack([part * top for part in parts for top, _ in ratios])
    bottoms = np.stack([part * bottom for part in parts for _, bottom in ratios])
    lows, highs = ratio_intervals(
        tops, bottoms, columns.documents, draws=draws, seed=seed
    )
    shape = (len(parts), len(ratios))
    return [
        {
            name: [_rounded(low), _rounded(high)]
            for name, low, high in zip(INTERVALS, own_lows, own_highs)
            # Without any label of NIL there is nothing to be found.
            if not np.isnan(low) and (name != NIL_F1 or (part & ~columns.ranked).any())
        }
        for part, own_lows, own_highs in zip(
            parts, lows.reshape(shape), highs.reshape(shape)
        )
    ]


def _groups(outcomes: Sequence[Outcome]) -> dict[str, np.ndarray]:
    names = sorted({group for outcome in outcomes for group in outcome.groups})
    return {name: np.array([name in o.groups for o in outcomes]) for name in names}


def _breakdowns(outcomes: Sequence[Outcome]) -> dict[str, dict[str, np.ndarray]]:
    kinds: dict[str, Callable[[Outcome], str]] = {
        "type": lambda o: o.label,
        "ambiguity": lambda o: _ambiguity(o.ambiguity),
        "image": lambda o: "with" if o.pictured else "without",
        "seen": lambda o: {None: "", True: "seen", False: "unseen"}[o.seen],
    }
    breakdowns = {}
    for kind, value_of in kinds.items():
        values = np.array([value_of(outcome) for outcome in outcomes], dtype=object)
        present = sorted({value for value in values if value})
        breakdowns[kind] = {value: values == value for value in present}
    return breakdowns


def _ambiguity(n: int) -> str:
    """Entities of the mention's exact name: the size of the choice that it leaves."""
    if n <= 1:
        return str(n)
    return "2–5" if n <= 5 else "6+"


def _nil_metrics(gold: np.ndarray, predicted: np.ndarray) -> dict[str, float | None]:
    """Undefined (None) where neither a label nor a decision is NIL."""
    hits = int((gold & predicted).sum())
    n_gold, n_predicted = int(gold.sum()), int(predicted.sum())
    return {
        "nil_precision": _ratio(hits, n_predicted),
        "nil_recall": _ratio(hits, n_gold),
        "nil_f1": _ratio(2 * hits, n_gold + n_predicted),
    }


def _mean(values: np.ndarray) -> float | None:
    return _rounded(values.mean()) if len(values) else None


def _ratio(part: int, whole: int) -> float | None:
    return _rounded(part / whole) if whole else None


def _rounded(value: float) -> float:
    return round(float(value), 12)
