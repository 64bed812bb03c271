"""Mean and deviation of the cosines of random pairs, by which scores of different
encoders are put on one scale."""

from pathlib import Path
from typing import Any

import numpy as np

from .arrays import map_array

RANDOM_PAIRS = 20_000
"""Pairs of entities that mean and deviation are measured on."""
_REMEASURE = 2
"""Growth of a set after which it is measured again."""
_SEED = 0
_BLOCK = 1024
_TINY = 1e-6


def measure(kb: Path, entries: dict[str, dict[str, Any]]) -> None:
    """Measure sets that are new, or have grown to twice their size since.

    kb (Path): the KB's folder.
    entries (dict[str, dict[str, Any]]): the sets by name. "mean", "std" and "measured",
        the vectors there were then, are set, and, on descriptions that share their
        encoder with pictures, "cross_mean" and "cross_std".
    """
    due = {
        name
        for name, entry in entries.items()
        if entry["count"] >= _REMEASURE * entry.get("measured", 0)
    }
    for name in due:
        entry = entries[name]
        entry["mean"], entry["std"] = _random_cosines(kb, entry, entry)
        entry["measured"] = entry["count"]
    for name, entry in entries.items():
        images = entries.get(f"image@{entry['encoder']}")
        if entry["field"] != "description" or images is None:
            continue
        if "cross_mean" not in entry or due & {name, f"image@{entry['encoder']}"}:
            mean, std = _random_cosines(kb, entry, images)
            entry |= {"cross_mean": mean, "cross_std": std}


def _random_cosines(
    kb: Path, left: dict[str, Any], right: dict[str, Any]
) -> tuple[float, float]:
    """Cosines of random pairs of different entities.

    RETURNS (tuple[float, float]): mean and deviation; (0, 1) where nothing is to be
        measured.
    """
    random = np.random.default_rng(_SEED)
    vectors_a, rows_a, places_a = _sample(kb, left, random)
    vectors_b, rows_b, places_b = _sample(kb, right, random)
    if not len(rows_a) or not len(rows_b):
        return 0.0, 1.0
    different = rows_a != rows_b
    places_a, places_b = places_a[different], places_b[different]
    if not len(places_a):
        return 0.0, 1.0
    cosines = np.concatenate(
        [
            np.einsum(
                "nd,nd->n",
                vectors_a[places_a[start : start + _BLOCK]].astype(np.float32),
                vectors_b[places_b[start : start + _BLOCK]].astype(np.float32),
            )
            for start in range(0, len(places_a), _BLOCK)
        ]
    )
    deviation = float(cosines.std())
    return float(cosines.mean()), deviation if deviation > _TINY else 1.0


def _sample(
    kb: Path, entry: dict[str, Any], random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A set's vectors, random rows that have one, and their places."""
    vectors = map_array(kb, entry["array"], entry["count"])
    index = map_array(kb, entry["index"], entry["rows"])
    rows = np.flatnonzero(index >= 0)
    if not len(rows):
        return vectors, rows, rows
    rows = rows[random.integers(len(rows), size=RANDOM_PAIRS)]
    return vectors, rows, index[rows]
