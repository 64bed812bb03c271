"""One table of a study: variants over seeds, and which differences are shown."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from spacy_dwe.errors import DweError
from spacy_dwe.evaluation.bootstrap import DRAWS, document_index
from spacy_dwe.evaluation.outcomes import Outcome
from spacy_dwe.evaluation.ranking import NIL_F1, mention_key, ratio_terms
from spacy_dwe.evaluation.significance import ALPHA, holm, verdict_of
from study.errors import Errors, Warnings
from study.estimates import Estimate, Ratios, difference_over_seeds, mean_over_seeds

ALL, SEEN, UNSEEN = "all", "gold:seen", "gold:unseen"
"""Parts of the mentions beside the data's own groups: all of them, and those whose gold
is, or is not, one of the training data's."""
METRICS = ("top1", "mrr", NIL_F1)


@dataclass(frozen=True, slots=True)
class VariantRuns:
    """The finished runs of one variant.

    name (str): of the variant.
    kind (str): "trained", "retrained without", or "switched off at test".
    question (str): heading that it stands under.
    against (str | None): the variant that it is compared with.
    outcomes (Mapping[int, Sequence[Outcome]]): by seed.
    """

    name: str
    kind: str
    question: str
    against: str | None
    outcomes: Mapping[int, Sequence[Outcome]]


@dataclass(frozen=True, slots=True)
class Cell:
    """A metric of one variant, or its difference to another.

    part (str): which mentions.
    n (int): mentions that the metric is over.
    against (str | None): None for the metric itself.
    seeds (list[int]): those that count: both variants have them.
    p_holm (float | None): p corrected for all differences of the table (Holm, 1979).
    detectable (float | None): smallest true difference that this table would show four
        times out of five: at the level of Holm's first step.
    verdict (str | None): "better", "worse", or "not shown".
    """

    name: str
    kind: str
    question: str
    against: str | None
    metric: str
    part: str
    n: int
    seeds: list[int]
    estimate: Estimate
    p_holm: float | None = None
    detectable: float | None = None
    verdict: str | None = None

    def to_json(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): the fields, those of the estimate among them."""
        data = asdict(self)
        estimate = data.pop("estimate")
        return {**data, **estimate, "interval": list(estimate["interval"])}


@dataclass(frozen=True, slots=True)
class StudyTable:
    """means (list[Cell]): by variant, metric and part.
    differences (list[Cell]): by comparison, metric and part.
    n_mentions, n_documents (int): of the test data.
    draws (int): of bootstrap and randomisation.
    """

    means: list[Cell]
    differences: list[Cell]
    n_mentions: int
    n_documents: int
    draws: int


def study_table(
    variants: Sequence[VariantRuns],
    *,
    metrics: Sequence[str] = METRICS,
    parts: Sequence[str] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> StudyTable:
    """Measure variants and compare each with the one it names.

    variants (Sequence[VariantRuns]): with at least one run in all.
    metrics (Sequence[str]): of `METRICS`; `nil_f1` is measured over all mentions, and
        only where some are labelled NIL.
    parts (Sequence[str] | None): beside all mentions; None = all groups of the data,
        and golds seen or not in the training data. One that no mention is in is a
        warning.
    draws, seed (int): of bootstrap and randomisation.
    RETURNS (StudyTable): what has no run, or no mention, has no cell.
    RAISES (DweError): runs differ in their mentions.
    """
    data = _TestData.of(variants, parts)
    by_name = {variant.name: variant for variant in variants}
    options = {"draws": draws, "seed": seed}
    means, differences = [], []
    for variant in variants:
        seeds = sorted(variant.outcomes)
        for metric, part in data.cells(metrics):
            ours = data.ratios(variant, seeds, metric, part)
            estimate = mean_over_seeds(ours, **options) if seeds else None
            if estimate is not None:
                cell = _cell(variant, None, metric, part, data, seeds, estimate)
                means.append(cell)
        other = by_name.get(variant.against or "")
        if other is None:
            continue
        seeds = [number for number in seeds if number in other.outcomes]
        for metric, part in data.cells(metrics) if seeds else ():
            ours = data.ratios(variant, seeds, metric, part)
            theirs = data.ratios(other, seeds, metric, part)
            estimate = difference_over_seeds(ours, theirs, **options)
            if estimate is not None:
                cell = _cell(variant, other.name, metric, part, data, seeds, estimate)
                differences.append(cell)
    return StudyTable(
        means,
        _judged(differences),
        n_mentions=len(data.documents),
        n_documents=len(np.unique(data.documents)),
        draws=draws,
    )


@dataclass(frozen=True, slots=True)
class _TestData:
    """The mentions that all runs share.

    documents (np.ndarray): document of each. Shape: (n_mentions,)
    masks (dict[str, np.ndarray]): the mentions of each part. Shape: (n_mentions,)
    nil (np.ndarray): labelled NIL. Shape: (n_mentions,)
    """

    documents: np.ndarray
    masks: dict[str, np.ndarray]
    nil: np.ndarray

    @classmethod
    def of(
        cls, variants: Sequence[VariantRuns], parts: Sequence[str] | None
    ) -> "_TestData":
        first: Sequence[Outcome] | None = None
        for variant in variants:
            for number, outcomes in sorted(variant.outcomes.items()):
                first = outcomes if first is None else first
                if [*map(mention_key, outcomes)] != [*map(mention_key, first)]:
                    raise DweError(Errors.E278.format(name=variant.name, seed=number))
        if not first:
            raise DweError(Errors.E279)
        known = _parts(first)
        # Told, and no error: trainings of hours are not lost for it.
        for part in parts or ():
            if part not in known:
                there = ", ".join(known)
                warnings.warn(
                    Warnings.W162.format(part=part, parts=there), stacklevel=3
                )
        wanted = list(known) if parts is None else [ALL, *parts]
        chosen = [part for part in wanted if part in known]
        return cls(
            documents=document_index([o.document for o in first]),
            masks={part: known[part] for part in dict.fromkeys(chosen)},
            nil=np.array([o.gold is None for o in first], dtype=bool),
        )

    def cells(self, metrics: Sequence[str]) -> Iterator[tuple[str, str]]:
        """YIELDS (tuple[str, str]): metric and part of each cell of a variant."""
        for metric in metrics:
            for part, mask in self.masks.items():
                if metric != NIL_F1 or (part == ALL and (mask & self.nil).any()):
                    yield metric, part

    def count(self, metric: str, part: str) -> int:
        """RETURNS (int): mentions that a metric of a part is over."""
        mask = self.masks[part]
        return int((mask if metric == NIL_F1 else mask & ~self.nil).sum())

    def ratios(
        self, variant: VariantRuns, seeds: Sequence[int], metric: str, part: str
    ) -> Ratios:
        tops, bottoms = [], []
        mask = self.masks[part].astype(np.float64)
        for number in seeds:
            top, bottom = ratio_terms(variant.outcomes[number], [metric])[metric]
            tops.append(np.bincount(self.documents, weights=top * mask))
            bottoms.append(np.bincount(self.documents, weights=bottom * mask))
        return Ratios(np.array(tops), np.array(bottoms))


def _parts(outcomes: Sequence[Outcome]) -> dict[str, np.ndarray]:
    """RETURNS (dict[str, np.ndarray]): the mentions of each part that there is."""
    parts = {ALL: np.ones(len(outcomes), dtype=bool)}
    for group in sorted({group for o in outcomes for group in o.groups}):
        parts[group] = np.array([group in o.groups for o in outcomes], dtype=bool)
    for name, value in ((SEEN, True), (UNSEEN, False)):
        mask = np.array([o.seen is value for o in outcomes], dtype=bool)
        if mask.any():
            parts[name] = mask
    return parts


def _cell(
    variant: VariantRuns,
    against: str | None,
    metric: str,
    part: str,
    data: _TestData,
    seeds: list[int],
    estimate: Estimate,
) -> Cell:
    return Cell(
        variant.name,
        variant.kind,
        variant.question,
        against,
        metric,
        part,
        data.count(metric, part),
        seeds,
        estimate,
    )


def _judged(differences: list[Cell]) -> list[Cell]:
    """RETURNS (list[Cell]): with corrected p and verdict."""
    p_values = [cell.estimate.p for cell in differences]
    corrected = holm([p for p in p_values if p is not None])
    return [
        replace(
            cell,
            p_holm=p,
            detectable=cell.estimate.detectable(ALPHA / len(differences)),
            verdict=verdict_of(cell.estimate.value, p),
        )
        for cell, p in zip(differences, corrected)
    ]
