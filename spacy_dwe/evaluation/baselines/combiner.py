"""The combiner alone: a softmax regression over features of candidates, no network."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ...model.combiner import CombinedScores, Combiner
from ...model.losses import linking_loss
from ...training.batching import with_targets
from .prepared import LabelledMentions

if TYPE_CHECKING:
    from ...model.network import LinkingBatch

L2 = (1e-5, 1e-4, 1e-3)
"""Tried; what fits the development data best is taken."""
NIL_SHARE = 0.1
"""Share of lists whose gold is taken away to teach NIL where no label is NIL."""
ITERATIONS = 60
BLOCK = 512
"""Mentions whose gradient is computed at a time: bounds memory."""

Score = Callable[["LinkingBatch", np.ndarray], CombinedScores]


def by_channels(
    mentions: LabelledMentions, channels: Sequence[str], combiner: Combiner
) -> Score:
    """RETURNS (Score): scores by some channels alone."""
    columns = torch.zeros(len(mentions.layout), dtype=torch.bool)
    for channel in channels:
        columns[mentions.layout.columns(channel)] = True

    def score(batch: "LinkingBatch", which: np.ndarray) -> CombinedScores:
        present = batch.present & columns
        return combiner(batch.features, present, batch.candidates, batch.described)

    return score


def fit_combiner(
    train: LabelledMentions, dev: LabelledMentions, seed: int = 0
) -> tuple[Combiner, float]:
    """Fit weights of all features and of NIL by cross-entropy over the candidates and
    NIL (L-BFGS). A gold that was not found makes a NIL row.

    train (LabelledMentions): to fit to.
    dev (LabelledMentions): chooses the strength of L2.
    seed (int): draws the golds that are taken away.
    RETURNS (tuple[Combiner, float]): the combiner, and the strength chosen.
    """
    nil_share = 0.0 if any(gold.kb_id is None for gold in train.golds) else NIL_SHARE
    train_blocks = _blocks(train, nil_share, seed)
    dev_blocks = _blocks(dev, nil_share, seed)
    fitted = []
    for strength in L2:
        combiner = Combiner(train.layout)
        _fit(combiner, train_blocks, strength)
        with torch.inference_mode():
            loss = sum(float(_loss(combiner, *block)) for block in dev_blocks)
        fitted.append((loss, strength, combiner))
    _, strength, combiner = min(fitted, key=lambda item: item[0])
    return combiner, strength


Block = tuple["LinkingBatch", Tensor]


def _blocks(mentions: LabelledMentions, nil_share: float, seed: int) -> list[Block]:
    blocks = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for first in range(0, len(mentions), BLOCK):
            which = np.arange(first, min(first + BLOCK, len(mentions)))
            batch = mentions.batch(which)
            blocks.append(with_targets(batch, mentions.rows[which], nil_share))
    return blocks


def _fit(combiner: Combiner, blocks: Sequence[Block], strength: float) -> None:
    n = sum(len(targets) for _, targets in blocks)
    start = [parameter.detach().clone() for parameter in combiner.parameters()]
    optimiser = torch.optim.LBFGS(
        combiner.parameters(),
        max_iter=ITERATIONS,
        line_search_fn="strong_wolfe",
        tolerance_change=1e-7,
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        total = torch.zeros(())
        for batch, targets in blocks:
            loss = _loss(combiner, batch, targets) / n
            loss.backward()
            total = total + loss.detach()
        # Towards the untrained weights: a feature that no data shows keeps its own.
        pull = sum(
            ((parameter - own) ** 2).sum()
            for parameter, own in zip(combiner.parameters(), start)
        )
        penalty = strength * torch.as_tensor(pull)
        penalty.backward()
        return total + penalty.detach()

    optimiser.step(closure)


def _loss(combiner: Combiner, batch: "LinkingBatch", targets: Tensor) -> Tensor:
    """Summed over the mentions of a block."""
    scores = combiner(batch.features, batch.present, batch.candidates, batch.described)
    return linking_loss(scores.log_probabilities(), targets) * len(targets)
