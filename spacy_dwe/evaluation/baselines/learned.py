"""Rows that learn: the combiner alone, a softmax regression over features of
candidates, and a linear head beside it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ...linking.collate import entity_vectors
from ...model.combiner import CombinedScores, Combiner
from ...model.losses import Contrast, info_nce, linking_loss
from ...training.fitting import Block, fit, fitting_blocks, fitting_loss
from ...training.targets import BLOCK, with_targets
from .prepared import LabelledMentions

if TYPE_CHECKING:
    from ...kb.vectors.sets import VectorSet
    from ...model.entity_vectors import EntityVectors
    from ...model.inputs import LinkingBatch

L2 = (1e-5, 1e-4, 1e-3)
"""Tried; what fits the development data best is taken."""
NIL_SHARE = 0.1
"""Share of lists whose gold is taken away to teach NIL where no label is NIL."""
BATCH = 128
MAX_EPOCHS = 15
PATIENCE = 3
"""Epochs without a better development Top-1 before training stops."""
HEAD_RATE = 1e-3
COMBINER_RATE = 1e-2
WEIGHT_DECAY = 1e-2
INITIAL_TEMPERATURE = 0.05

Score = Callable[["LinkingBatch", np.ndarray], CombinedScores]


def by_channels(
    mentions: LabelledMentions, channels: Sequence[str], combiner: Combiner
) -> Score:
    """RETURNS (Score): scores by some channels alone."""
    columns = torch.zeros(len(mentions.columns), dtype=torch.bool)
    for channel in channels:
        columns[mentions.columns.of(channel)] = True

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
    nil_share = _nil_share(train)
    train_blocks = _blocks(train, nil_share, seed)
    dev_blocks = _blocks(dev, nil_share, seed)
    fitted = []
    for strength in L2:
        combiner = Combiner(train.columns)
        fit(combiner, train_blocks, strength)
        with torch.inference_mode():
            loss = sum(float(fitting_loss(combiner, *block)) for block in dev_blocks)
        fitted.append((loss, strength, combiner))
    _, strength, combiner = min(fitted, key=lambda item: item[0])
    return combiner, strength


def _nil_share(train: LabelledMentions) -> float:
    """Share of golds to take away: none where as many are NIL, or not in the KB."""
    labelled = any(gold.kb_id is None for gold in train.golds)
    return 0.0 if labelled or (train.rows < 0).mean() >= NIL_SHARE else NIL_SHARE


def _blocks(mentions: LabelledMentions, nil_share: float, seed: int) -> list[Block]:
    positions = np.arange(len(mentions))
    parts = [positions[first : first + BLOCK] for first in positions[::BLOCK]]
    batches = ((mentions.batch(which), mentions.rows[which]) for which in parts)
    return fitting_blocks(batches, nil_share, seed)


class LinearHead(nn.Module):
    """q = unit(u + W u), W zero at first, compared with description vectors; its
    standardised cosine is one more feature beside the combiner's.

    combiner (Combiner): of the other features, fitted already.
    vectors (VectorSet): description vectors of the KB.
    """

    def __init__(self, combiner: Combiner, vectors: "VectorSet") -> None:
        super().__init__()
        self.combiner = Combiner(combiner.columns)
        self.combiner.load_state_dict(combiner.state_dict())
        self.correction = nn.Linear(vectors.dim, vectors.dim, bias=False)
        nn.init.zeros_(self.correction.weight)
        self.weight = nn.Parameter(torch.tensor(0.5))
        self.log_temperature = nn.Parameter(torch.tensor(INITIAL_TEMPERATURE).log())
        self.vectors = vectors

    def forward(
        self, batch: "LinkingBatch", texts: Tensor
    ) -> "tuple[CombinedScores, Tensor, EntityVectors, Tensor]":
        """texts (Tensor): unit vectors of mentions. *Shape:* ``(batch, dim)``
        RETURNS (tuple): scores, queries (batch, dim), vectors of the candidates, and
            their cosines (batch, candidates).
        """
        queries = normalize(texts + self.correction(texts), dim=-1)
        entities = entity_vectors(self.vectors, batch.rows.numpy(), "cpu")
        cosines = entities.cosines(queries)
        added = self.weight * (cosines - entities.mean) / entities.std
        scores = self.combiner(
            batch.features,
            batch.present,
            batch.candidates,
            batch.described,
        )
        logits = scores.logits + torch.where(entities.present, added, 0.0)
        combined = replace(scores, logits=logits)
        return combined, queries, entities, cosines


def fit_linear_head(
    train: LabelledMentions,
    dev: LabelledMentions,
    combiner: Combiner,
    vectors: "VectorSet",
    seed: int = 0,
) -> tuple[LinearHead, int]:
    """Train head and combiner together by cross-entropy over the candidates and NIL,
    and the head by InfoNCE over candidates and the golds of the batch.

    train, dev (LabelledMentions): to fit to, and to stop by.
    combiner (Combiner): fitted weights to start from.
    vectors (VectorSet): description vectors of the text encoder.
    seed (int): of the order of the mentions.
    RETURNS (tuple[LinearHead, int]): the best head by development Top-1, and its epoch;
        0 is the start.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _fit(train, dev, LinearHead(combiner, vectors), seed)


def by_linear_head(mentions: LabelledMentions, head: LinearHead) -> Score:
    """RETURNS (Score): scores by head and features."""
    texts = mentions.texts
    assert texts is not None, "a head has text vectors to map"

    def score(batch: "LinkingBatch", which: np.ndarray) -> CombinedScores:
        return head(batch, torch.from_numpy(texts[which]))[0]

    return score


def _fit(
    train: LabelledMentions, dev: LabelledMentions, head: LinearHead, seed: int
) -> tuple[LinearHead, int]:
    assert train.texts is not None
    nil_share = _nil_share(train)
    optimiser = torch.optim.AdamW(
        [
            {"params": head.combiner.parameters(), "lr": COMBINER_RATE},
            {"params": head.correction.parameters(), "weight_decay": WEIGHT_DECAY},
            {"params": [head.weight, head.log_temperature], "lr": COMBINER_RATE},
        ],
        lr=HEAD_RATE,
        weight_decay=0.0,
    )
    rng = np.random.default_rng(seed)
    best, best_epoch = _top1(dev, head), 0
    kept = {name: value.clone() for name, value in head.state_dict().items()}
    for epoch in range(1, MAX_EPOCHS + 1):
        order = rng.permutation(len(train))
        for first in range(0, len(order), BATCH):
            which = np.sort(order[first : first + BATCH])
            batch = train.batch(which)
            optimiser.zero_grad()
            _loss(head, batch, train, which, nil_share).backward()
            torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
            optimiser.step()
        reached = _top1(dev, head)
        if reached > best:
            best, best_epoch = reached, epoch
            kept = {name: value.clone() for name, value in head.state_dict().items()}
        elif epoch - best_epoch >= PATIENCE:
            break
    head.load_state_dict(kept)
    return head, best_epoch


def _loss(
    head: LinearHead,
    batch: "LinkingBatch",
    train: LabelledMentions,
    which: np.ndarray,
    nil_share: float,
) -> Tensor:
    assert train.texts is not None
    batch, targets = with_targets(batch, train.rows[which], nil_share)
    texts = torch.from_numpy(train.texts[which])
    scores, queries, entities, cosines = head(batch, texts)
    linking = linking_loss(scores.log_probabilities(), targets)
    positions = targets.clamp(max=cosines.shape[1] - 1)
    contrast = Contrast.of(
        cosines,
        entities.cosines_across(queries, positions),
        entities.present & batch.candidates,
        targets,
        torch.from_numpy(train.rows[which].astype(np.int64)),
    )
    return linking + info_nce(contrast, head.log_temperature.exp())


def _top1(mentions: LabelledMentions, head: LinearHead) -> float:
    """Share of golds that stand first."""
    scored = mentions.scored(by_linear_head(mentions, head))
    firsts = [s.rows[0] if len(s.rows) else -1 for s in scored]
    known = mentions.rows >= 0
    if not known.any():
        return 0.0
    return float((np.array(firsts)[known] == mentions.rows[known]).mean())
