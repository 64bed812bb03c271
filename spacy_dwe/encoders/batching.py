"""What text encoders share: distinct inputs, batches of similar length, windows."""

from collections.abc import Hashable, Iterator, Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item", bound=Hashable)

LEFT_SHARE = 0.5
"""Share of the tokens beside a mention that its left context gets, when both sides
have more than fits. The left must not be starved: under a causal mask the mention's
own states see nothing else."""


def distinct(items: Sequence[Item]) -> tuple[list[Item], np.ndarray]:
    """Each distinct item once, in order of first appearance.

    RETURNS (tuple[list[Item], np.ndarray]): the distinct items and, for each input, the
        position of its item among them. Shape: (len(items),), int64
    """
    positions: dict[Item, int] = {}
    index = [positions.setdefault(item, len(positions)) for item in items]
    return list(positions), np.asarray(index, dtype=np.int64)


def length_batches(lengths: Sequence[int], max_tokens: int) -> Iterator[np.ndarray]:
    """Batches of similar length, longest first, none with more than `max_tokens` tokens
    (padding included) unless it is a single item.

    lengths (Sequence[int]): tokens of each item.
    YIELDS (np.ndarray): positions of the items of one batch, int64
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    start = 0
    while start < len(order):
        longest = max(int(lengths[order[start]]), 1)
        size = max(1, max_tokens // longest)
        yield order[start : start + size]
        start += size


def window(n_left: int, n_mention: int, n_right: int, budget: int) -> tuple[int, int]:
    """How much context fits beside a mention. A side that is short gives its share to
    the other.

    n_left, n_mention, n_right (int): tokens before, in and after the mention.
    budget (int): tokens in all.
    RETURNS (tuple[int, int]): tokens to keep directly before and directly after.
    """
    free = max(0, budget - n_mention)
    left = min(n_left, max(int(free * LEFT_SHARE), free - n_right))
    return left, min(n_right, free - left)


def mention_rows(before: int, inside: int, total: int) -> slice:
    """The rows that are the mention. A mention without tokens of its own (a control
    character, say) gets its neighbour's, so that the slice is never empty.

    before (int): tokens before the mention.
    inside (int): tokens of the mention.
    total (int): tokens in all, at least one.
    """
    start = min(before, total - 1)
    return slice(start, min(total, start + max(1, inside)))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to unit length. Shape: (n, dim), float32"""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: np.ndarray = (vectors / np.maximum(norms, 1e-12)).astype(np.float32)
    return scaled
