"""Whether a probability of .8 is right eight times out of ten."""

from typing import Any

import numpy as np

N_BINS = 15


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
