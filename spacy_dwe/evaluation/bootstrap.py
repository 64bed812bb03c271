"""How far a figure can be trusted: intervals by drawing documents with replacement, for
the mentions of one document are not independent of each other (Efron & Tibshirani,
1993, chapter 8), and whether probabilities are right as often as they say."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

DRAWS = 10_000
LEVEL = 0.95
TAILS = ((1 - LEVEL) / 2, 1 - (1 - LEVEL) / 2)
"""Quantiles of the draws that are the ends of an interval."""
BLOCK_CELLS = 4_000_000
"""Counts held at once: bounds memory, whatever the number of documents."""
N_BINS = 15


def ratio_intervals(
    numerators: np.ndarray,
    denominators: np.ndarray,
    documents: np.ndarray,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Intervals of Σ numerator / Σ denominator, each drawn over the same documents. A
    mean over some mentions has a denominator of one for these and zero for others.

    numerators, denominators (np.ndarray): what each mention adds.
        Shape: (n_metrics, n_mentions)
    documents (np.ndarray): document of each mention, 0..n_documents - 1.
        Shape: (n_mentions,)
    draws (int): at least 1.
    RETURNS (tuple[np.ndarray, np.ndarray]): low and high; NaN where the denominator is
        zero in every draw. Shape of each: (n_metrics,)
    """
    ratios = ratio_draws(numerators, denominators, documents, draws=draws, seed=seed)
    defined = ~np.isnan(ratios).all(axis=1)
    bounds = np.full((2, len(ratios)), np.nan)
    if defined.any():
        bounds[:, defined] = np.nanquantile(ratios[defined], TAILS, axis=1)
    return bounds[0], bounds[1]


def ratio_draws(
    numerators: np.ndarray,
    denominators: np.ndarray,
    documents: np.ndarray,
    *,
    draws: int,
    seed: int,
) -> np.ndarray:
    """RETURNS (np.ndarray): the ratios of each draw, NaN for 0 / 0, see
    `ratio_intervals`. Shape: (n_metrics, draws)"""
    n_documents = int(documents.max()) + 1 if len(documents) else 0
    both = np.concatenate([numerators, denominators])
    # Documents that add the same are one kind, of which so many are drawn: most have
    # one mention, and so there are far fewer kinds than documents.
    kinds, counts = np.unique(
        _by_document(both, documents, n_documents), axis=1, return_counts=True
    )
    rows, row = np.unique(kinds, axis=0, return_inverse=True)
    blocks = []
    for times in drawn(counts, draws, seed):
        tops, bottoms = np.split((rows @ times)[row.ravel()], 2)
        with np.errstate(invalid="ignore", divide="ignore"):
            blocks.append(tops / bottoms)
    return np.concatenate(blocks, axis=1)


def document_index(documents: Sequence[str]) -> np.ndarray:
    """RETURNS (np.ndarray): a number for each name. Shape: (len(documents),), int64"""
    if not len(documents):
        return np.zeros(0, dtype=np.int64)
    return np.unique(np.asarray(documents), return_inverse=True)[1].ravel()


def _by_document(
    rows: np.ndarray, documents: np.ndarray, n_documents: int
) -> np.ndarray:
    return np.stack(
        [np.bincount(documents, weights=row, minlength=n_documents) for row in rows]
    )


def drawn(counts: np.ndarray, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Draw as many documents as there are, with replacement.

    counts (np.ndarray): documents of each kind. Shape: (n_kinds,)
    YIELDS (np.ndarray): how many of each kind are drawn.
        Shape: (n_kinds, size of the block)
    """
    rng = np.random.default_rng(seed)
    n_documents, n_kinds = int(counts.sum()), len(counts)
    # A multinomial costs one number a kind, drawing documents one a document.
    by_kind = n_kinds < n_documents / 4
    block = max(1, BLOCK_CELLS // max(1, n_kinds if by_kind else n_documents))
    kind = np.repeat(np.arange(n_kinds), counts)
    for first in range(0, draws, block):
        size = min(block, draws - first)
        if by_kind:
            shares = counts / n_documents
            yield rng.multinomial(n_documents, shares, size=size).T.astype(np.float64)
            continue
        drawn = kind[rng.integers(n_documents, size=(size, n_documents))]
        drawn += np.arange(size)[:, None] * n_kinds
        times = np.bincount(drawn.ravel(), minlength=size * n_kinds)
        yield times.reshape(size, n_kinds).T.astype(np.float64)


def calibration(probability: np.ndarray, correct: np.ndarray) -> dict[str, Any]:
    """Expected calibration error (Naeini et al., AAAI-15) over bins of equal mass.

    probability (np.ndarray): of what was decided, NIL included. Shape: (n,)
    correct (np.ndarray): whether that was right. Shape: (n,)
    RETURNS (dict[str, Any]): `ece`, Σ share of the bin · |confidence − accuracy|, None
        without mentions; `reliability`, the bins: lowest and highest probability, n,
        mean confidence and accuracy.
    """
    n = len(probability)
    if not n:
        return {"ece": None, "reliability": []}
    order = np.argsort(probability, kind="stable")
    bins = [own for own in np.array_split(order, N_BINS) if len(own)]
    rows, error = [], 0.0
    for own in bins:
        confidence, accuracy = probability[own].mean(), correct[own].mean()
        error += len(own) / n * abs(confidence - accuracy)
        rows.append(
            {
                "low": round(float(probability[own[0]]), 6),
                "high": round(float(probability[own[-1]]), 6),
                "n": len(own),
                "confidence": round(float(confidence), 6),
                "accuracy": round(float(accuracy), 6),
            }
        )
    return {"ece": round(float(error), 6), "reliability": rows}
