"""How two rows of the places sample differ, and how far links follow a picture."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from spacy_dwe.evaluation.bootstrap import DRAWS, document_index, ratio_intervals
from spacy_dwe.evaluation.outcomes import Outcome
from spacy_dwe.evaluation.ranking import paired_values


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
    RAISES (DweError): the mentions are not the same.
    """
    differences, documents = paired_values(left, right)
    result: dict[str, Any] = {"n": len(documents)}
    if not len(documents):
        return result
    values = np.stack(list(differences.values()))
    low, high = ratio_intervals(
        values, np.ones_like(values), documents, draws=draws, seed=seed
    )
    for i, name in enumerate(differences):
        result[name] = {
            "difference": _rounded(values[i].mean()),
            "interval": [_rounded(low[i]), _rounded(high[i])],
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
    documents = document_index([o.document for o, _ in swapped])
    low, high = ratio_intervals(
        values, np.ones_like(values), documents, draws=draws, seed=seed
    )
    return {
        "n": len(swapped),
        "flip_rate": _rounded(values.mean()),
        "interval": [_rounded(low[0]), _rounded(high[0])],
    }


def _rounded(value: float) -> float:
    return round(float(value), 12)
