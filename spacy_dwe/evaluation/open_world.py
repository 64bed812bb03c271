"""Whether links can be trusted where the KB holds a part of the world: wrong links of
mentions of what is outside, beside right links of what is inside."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DweError, Errors
from ..names.normalisation import bare
from .bootstrap import BLOCK_CELLS, DRAWS, TAILS, document_index, drawn

if TYPE_CHECKING:
    from ..kb.knowledge_base import DweKnowledgeBase
    from ..linking.annotate import ScoredMention
    from .evaluate import Evaluation

WRONG_RATES = (1, 5, 9)
"""Percent of the mentions outside that may be linked, for `right_at_1` and so on."""
CURVE_POINTS = 101
"""Points of a curve in METRICS.json, at most."""
MOST_DRAWS = 1_000
"""Bootstrap draws: a whole curve is made for each."""


@dataclass(frozen=True, slots=True)
class Links:
    """Labelled mentions and the best link of each. Shape of each: (n_mentions,)

    inside (np.ndarray): the KB holds the gold; otherwise it is NIL, or an id that the
        KB lacks.
    right (np.ndarray): the best candidate is the gold.
    linked (np.ndarray): it is linked at the settings as they are.
    score (np.ndarray): those of higher score are linked first. Above 0 it is the
        probability that `threshold` is compared with.
    documents (np.ndarray): document of each mention, 0..n_documents - 1.
    """

    inside: np.ndarray
    right: np.ndarray
    linked: np.ndarray
    score: np.ndarray
    documents: np.ndarray

    def ranked(self, part: np.ndarray) -> "Links":
        """RETURNS (Links): a part of the mentions, best first."""
        kept = np.flatnonzero(part)
        kept = kept[np.argsort(-self.score[kept], kind="stable")]
        return Links(
            inside=self.inside[kept],
            right=self.right[kept],
            linked=self.linked[kept],
            score=self.score[kept],
            documents=np.unique(self.documents[kept], return_inverse=True)[1].ravel(),
        )

    @property
    def ends(self) -> np.ndarray:
        """RETURNS (np.ndarray): last mention of each score that is ever linked."""
        last = np.append(self.score[1:] != self.score[:-1], True)[: len(self.score)]
        return np.flatnonzero(last & (self.score > -np.inf))


def measure_open_world(
    evaluation: "Evaluation",
    kb: "DweKnowledgeBase",
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Any]:
    """Right and wrong links of an evaluation, at its settings and along the threshold,
    beside those of equal names.

    * `right_links`: share of the mentions inside that are linked to their gold;
      `wrong_links`: to another entity.
    * `wrong_link_rate`: share of the mentions outside that are linked.
    * `precision`: share of right ones among all links.
    * `average_precision`: area under the curve of precision over `right_links`.
    * `right_at_1` and so on: most `right_links` with a `wrong_link_rate` of at most
      1 %. Mentions of equal score are linked together or not at all.

    evaluation (Evaluation): see `evaluate_docs`.
    kb (DweKnowledgeBase): the KB that was linked to.
    draws (int): of the 95 % intervals, documents drawn with replacement; more than
        `MOST_DRAWS` are not made.
    seed (int): of the draws.
    RETURNS (dict[str, Any]): `n_inside`, `n_outside`, and these metrics of the `linker`
        with its `thresholds` and its `curve`, and of `name_equality`; `by` has the
        same for each group of mentions. None where nothing was there to be measured.
    """
    outcomes = evaluation.outcomes
    systems = {
        "linker": linker_links(evaluation, kb),
        "name_equality": name_links(evaluation, kb),
    }

    def measured(part: np.ndarray) -> dict[str, Any]:
        parts = {name: links.ranked(part) for name, links in systems.items()}
        inside = systems["linker"].inside
        return {
            "n_inside": int((part & inside).sum()),
            "n_outside": int((part & ~inside).sum()),
            **{k: _measure(own, draws, seed) for k, own in parts.items()},
        }

    everything = measured(np.ones(len(outcomes), dtype=bool))
    linker = systems["linker"].ranked(np.ones(len(outcomes), dtype=bool))
    everything["linker"] |= _along_threshold(linker)
    groups = sorted({group for outcome in outcomes for group in outcome.groups})
    masks = {g: np.array([g in o.groups for o in outcomes]) for g in groups}
    return {**everything, "by": {group: measured(masks[group]) for group in groups}}


def require_open_world(protocol: str | None) -> None:
    """RAISES (DweError): the protocol puts golds in, which is no open world."""
    if protocol == "paper":
        raise DweError(Errors.E436)


def linker_links(evaluation: "Evaluation", kb: "DweKnowledgeBase") -> Links:
    """The linker's best links by probability, as `threshold` takes them away one by
    one; after these, by the odds against NIL, the ones that it did not make, which no
    threshold but other odds of NIL would make.

    RETURNS (Links): one for each labelled mention.
    """
    scored = evaluation.scored
    best = [int(mention.rows[0]) if len(mention.rows) else -1 for mention in scored]
    linked = [outcome.predicted is not None for outcome in evaluation.outcomes]
    return _links(evaluation, kb, best, linked, list(map(_linker_score, scored)))


def _linker_score(mention: "ScoredMention") -> float:
    if not len(mention.rows):
        return -np.inf
    probability, nil = float(mention.probabilities[0]), mention.nil_probability
    return probability if probability >= nil else probability / (probability + nil) - 1


def name_links(evaluation: "Evaluation", kb: "DweKnowledgeBase") -> Links:
    """What a look-up links: the one entity that bears the mention as a name or, if none
    does, the mention without article and possessive. Of several entities it is the one
    with the highest prior for this name, and none if two have that or none has any.

    RETURNS (Links): one for each labelled mention, all of one score.
    """
    texts = [outcome.text for outcome in evaluation.outcomes]
    counts = np.diff(kb.exact(texts, whole_only=True).offsets).tolist()
    names = [text if n else bare(text) for text, n in zip(texts, counts)]
    found = kb.exact(names, whole_only=True)
    priors = kb.priors(names, found)
    parts = (slice(*bounds) for bounds in pairwise(found.offsets.tolist()))
    best = np.array([_most_likely(found.rows[own], priors[own]) for own in parts])
    score = np.where(best >= 0, 1.0, -np.inf)
    return _links(evaluation, kb, best, best >= 0, score)


def _most_likely(rows: np.ndarray, priors: np.ndarray) -> int:
    """RETURNS (int): -1 where that is not one."""
    if len(rows) < 2:
        return int(rows[0]) if len(rows) else -1
    known = np.nan_to_num(priors, nan=-1.0)
    top = np.flatnonzero(known == known.max())
    return int(rows[top[0]]) if len(top) == 1 else -1


def _links(
    evaluation: "Evaluation",
    kb: "DweKnowledgeBase",
    best: Sequence[int] | np.ndarray,
    linked: Sequence[bool] | np.ndarray,
    score: Sequence[float] | np.ndarray,
) -> Links:
    golds = kb.rows_of([outcome.gold or "" for outcome in evaluation.outcomes])
    return Links(
        inside=golds >= 0,
        right=(golds >= 0) & (golds == np.asarray(best)),
        linked=np.asarray(linked, dtype=bool),
        score=np.asarray(score, dtype=np.float64),
        documents=document_index([o.document for o in evaluation.outcomes]),
    )


def _measure(links: Links, draws: int, seed: int) -> dict[str, Any]:
    n = len(links.inside)
    figures = _figures(links, np.ones((1, n)))
    measured: dict[str, Any] = {k: _rounded(v[0]) for k, v in figures.items()}
    measured["intervals"] = {}
    if draws and n:
        times = np.ones(int(links.documents.max()) + 1, dtype=np.int64)
        size = max(1, BLOCK_CELLS // n)
        blocks = [
            _figures(links, part[links.documents].T)
            for block in drawn(times, min(draws, MOST_DRAWS), seed)
            for part in np.array_split(block, -(-block.shape[1] // size), axis=1)
        ]
        for name in figures:
            values = np.concatenate([block[name] for block in blocks])
            if not np.isnan(values).all():
                low, high = np.nanquantile(values, TAILS)
                measured["intervals"][name] = [_rounded(low), _rounded(high)]
    return measured


def _figures(links: Links, weights: np.ndarray) -> dict[str, np.ndarray]:
    """The metrics of `measure_open_world`, NaN where they are undefined.

    links (Links): best first.
    weights (np.ndarray): how often each mention counts. Shape: (n_draws, n_mentions)
    RETURNS (dict[str, np.ndarray]): Shape of each: (n_draws,)
    """

    def count(which: np.ndarray) -> np.ndarray:
        total: np.ndarray = weights @ which.astype(np.float64)
        return total

    inside, right, linked = links.inside, links.right, links.linked
    n_inside, n_outside = count(inside), count(~inside)
    hits, precision, wrong = _curve(links, weights)

    def is_allowed(percent: int) -> np.ndarray:
        allowed: np.ndarray = 100 * wrong <= percent * n_outside[:, None]
        return allowed

    with np.errstate(invalid="ignore", divide="ignore"):
        recall = hits / n_inside[:, None]
        steps = np.diff(recall, axis=1, prepend=0.0)
        return {
            "right_links": count(linked & right) / n_inside,
            "wrong_links": count(linked & inside & ~right) / n_inside,
            "wrong_link_rate": count(linked & ~inside) / n_outside,
            "precision": count(linked & right) / count(linked),
            "average_precision": np.where(
                n_inside > 0, (steps * precision).sum(axis=1), np.nan
            ),
            **{
                f"right_at_{percent}": np.where(
                    (n_inside > 0) & (n_outside > 0),
                    np.where(is_allowed(percent), recall, 0.0).max(axis=1, initial=0),
                    np.nan,
                )
                for percent in WRONG_RATES
            },
        }


def _curve(
    links: Links, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """RETURNS (tuple): right links, their share, and links of mentions outside, if all
    down to each score are made. Shape of each: (n_draws, n_scores)"""
    ends = links.ends
    made = np.cumsum(weights, axis=1)[:, ends]
    hits = np.cumsum(weights * links.right, axis=1)[:, ends]
    wrong = np.cumsum(weights * ~links.inside, axis=1)[:, ends]
    # No mention of the first scores may have been drawn: no link, none of it right.
    return hits, hits / np.maximum(made, 1), wrong


def _along_threshold(links: Links) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): `thresholds` at which `right_at_1` and so on are
    reached, None where none does it, and some points of the `curve`."""
    once = np.ones((1, len(links.right)))
    hits, precision, wrong = (values[0] for values in _curve(links, once))
    n_inside, n_outside = int(links.inside.sum()), int((~links.inside).sum())
    scores = links.score[links.ends].tolist()
    limits = [threshold if threshold > 0 else None for threshold in scores]

    def share(count: float, whole: int) -> float | None:
        return _rounded(count / whole) if whole else None

    def at(place: int) -> dict[str, Any]:
        return {
            "threshold": limits[place],
            "precision": _rounded(precision[place]),
            "right_links": share(hits[place], n_inside),
            "wrong_link_rate": share(wrong[place], n_outside),
        }

    can_be_met = n_inside and n_outside
    n_allowed = {
        f"right_at_{percent}": int((100 * wrong <= percent * n_outside).sum())
        for percent in WRONG_RATES
    }
    shown = np.unique(np.linspace(0, len(limits) - 1, CURVE_POINTS).astype(int))
    return {
        "thresholds": {
            name: limits[n - 1] if n and can_be_met else None
            for name, n in n_allowed.items()
        },
        "curve": [at(place) for place in shown.tolist() if limits],
    }


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)
