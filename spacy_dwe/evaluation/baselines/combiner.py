"""The combiner alone: a softmax regression over features of candidates, no network."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...model.combiner import CombinedScores, Combiner
from ...training.fitting import BLOCK, Block, fit, fitting_blocks, fitting_loss
from .prepared import LabelledMentions

if TYPE_CHECKING:
    from ...model.network import LinkingBatch

L2 = (1e-5, 1e-4, 1e-3)
"""Tried; what fits the development data best is taken."""
NIL_SHARE = 0.1
"""Share of lists whose gold is taken away to teach NIL where no label is NIL."""

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
        fit(combiner, train_blocks, strength)
        with torch.inference_mode():
            loss = sum(float(fitting_loss(combiner, *block)) for block in dev_blocks)
        fitted.append((loss, strength, combiner))
    _, strength, combiner = min(fitted, key=lambda item: item[0])
    return combiner, strength


def _blocks(mentions: LabelledMentions, nil_share: float, seed: int) -> list[Block]:
    positions = np.arange(len(mentions))
    parts = [positions[first : first + BLOCK] for first in positions[::BLOCK]]
    batches = ((mentions.batch(which), mentions.rows[which]) for which in parts)
    return fitting_blocks(batches, nil_share, seed)
