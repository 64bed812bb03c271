"""What a batch is trained on: where its golds are, and its negatives."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from ..kb.vectors.sets import SetName
from ..linking.collate import entity_vectors
from ..model.inputs import LinkingBatch

if TYPE_CHECKING:
    from ..kb.knowledge_base import DweKnowledgeBase
    from ..model.combiner import CombinedScores, Combiner


BLOCK = 512
"""Mentions worked on at a time where something is fitted to all: bounds memory."""
OPEN = 0.5
"""How far everything but pictures must leave it open which entity is meant, for a
picture of something else to leave nothing to link."""


def with_targets(
    batch: LinkingBatch, gold_rows: np.ndarray, nil_share: float
) -> tuple[LinkingBatch, Tensor]:
    """Where the gold stands among the candidates of each mention.

    A gold that was not retrieved makes a NIL mention: put in by hand, it would have the
    lowest name score, and the combiner would learn that.

    batch (LinkingBatch): the mentions.
    gold_rows (np.ndarray): KB row of the gold, -1 for NIL. Shape: (batch,)
    nil_share (float): share of mentions whose gold is taken away to teach NIL.
    RETURNS (tuple[LinkingBatch, Tensor]): the batch, without the golds taken away, and
        targets: position of the gold, number of candidates for NIL. Shape: (batch,)
    """
    n = batch.rows.shape[1]
    gold = torch.from_numpy(gold_rows.astype(np.int64)).to(batch.rows.device)
    found = (batch.rows == gold[:, None]) & (gold >= 0)[:, None]
    taken = torch.rand(len(gold)) < nil_share
    taken = found & taken.to(found.device)[:, None]
    kept = found & ~taken
    targets = torch.where(kept.any(dim=1), kept.int().argmax(dim=1), n)
    return replace(batch, candidates=batch.candidates & ~taken), targets


def feature_scores(combiner: "Combiner", batch: LinkingBatch) -> "CombinedScores":
    """RETURNS (CombinedScores): by features of channels, without a network's own."""
    more = len(combiner.columns) - batch.features.shape[2]
    return combiner(
        pad(batch.features, (0, more)),
        pad(batch.present, (0, more)),
        batch.candidates,
        batch.described,
        batch.edges,
    )


def shown(combiner: "Combiner", batch: LinkingBatch, targets: Tensor) -> Tensor:
    """How far the pictures of mentions are taken to show their golds.

    combiner (Combiner): tells.
    batch (LinkingBatch): the mentions.
    targets (Tensor): what `with_targets` gave. Shape: (batch,)
    RETURNS (Tensor): between 0 and 1, see `Combiner.shows`. Shape: (batch,)
    """
    with torch.no_grad():
        scores = feature_scores(combiner, batch)
        return _shown(combiner, scores, batch, targets)


def unshown(
    combiner: "Combiner", batch: LinkingBatch, targets: Tensor, others: np.ndarray
) -> Tensor:
    """What is right where pictures are of something else: the gold, if everything but
    pictures says so, and otherwise NIL.

    combiner (Combiner): tells.
    batch (LinkingBatch): the mentions.
    targets (Tensor): what `with_targets` gave. Shape: (batch,)
    others (np.ndarray): mentions with pictures of something else.
        Shape: (batch,), bool
    RETURNS (Tensor): targets. Shape: (batch,)
    """
    with torch.no_grad():
        scores = feature_scores(combiner, batch)
        return _unshown(combiner, scores, targets, others)


def _shown(
    combiner: "Combiner", scores: "CombinedScores", batch: LinkingBatch, targets: Tensor
) -> Tensor:
    positions = targets.clamp(max=batch.rows.shape[1] - 1)
    return combiner.shows(scores, batch.features, batch.present, positions)


def _unshown(
    combiner: "Combiner", scores: "CombinedScores", targets: Tensor, others: np.ndarray
) -> Tensor:
    n = scores.logits.shape[1]
    is_open = combiner.left_open(scores, targets.clamp(max=n - 1)) > OPEN
    changed = torch.from_numpy(others).to(targets.device) & is_open
    return targets.masked_fill(changed, n)


def with_pictures(
    combiner: "Combiner",
    batch: LinkingBatch,
    targets: Tensor,
    others: np.ndarray,
    from_kb: np.ndarray,
) -> tuple[LinkingBatch, Tensor]:
    """How far the pictures of a batch show the golds, if anything reads pictures.

    combiner (Combiner): tells.
    batch (LinkingBatch): mentions, and pictures of the KB behind them.
    targets (Tensor): what `with_targets` gave. Shape: (batch,)
    others (np.ndarray): mentions with pictures of something else.
        Shape: (n_mentions,), bool
    from_kb (np.ndarray): pictures of the KB. Shape: (batch,), bool
    RETURNS (tuple[LinkingBatch, Tensor]): the batch and its targets.
    """
    pictured = batch.inputs is not None and batch.inputs.pictures
    if not (pictured or others.any()):
        return batch, targets
    device = targets.device
    wrong = np.concatenate([others, np.zeros(from_kb.sum(), dtype=bool)])
    kb = torch.from_numpy(from_kb).to(device)
    with torch.no_grad():
        scores = feature_scores(combiner, batch)
        share = _shown(combiner, scores, batch, targets).masked_fill(kb, 1.0)
        targets = _unshown(combiner, scores, targets, wrong)
    share = share.masked_fill(torch.from_numpy(wrong).to(device), 0.0)
    batch = replace(batch, shown=share, from_kb=kb if from_kb.any() else None)
    return batch, targets


def restrict_negatives(batch: LinkingBatch, rows: np.ndarray) -> LinkingBatch:
    """Let the contrastive loss take no other negatives than some entities.

    batch (LinkingBatch): the mentions.
    rows (np.ndarray): KB rows of the entities.
    RETURNS (LinkingBatch): the batch.
    """
    known = torch.from_numpy(rows.astype(np.int64)).to(batch.rows.device)
    return replace(batch, negatives=torch.isin(batch.rows, known))


RARE_WORDS = 4
"""Words that an entity is found by: its rarest of those that another has too."""

CHUNK = 1 << 16
"""Entities worked on at a time."""


class Negatives:
    """The negatives of a training run.

    golds (Sequence[str]): ids of the only entities that may be negatives; empty = all.
    """

    def __init__(self, golds: Sequence[str] = ()) -> None:
        self.golds = list(golds)
        self._kb: DweKnowledgeBase | None = None
        self._gold_rows = np.zeros(0, dtype=np.int32)
        self._rare_words: RareWordNegatives | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """A worker process and a copy open the KB anew."""
        return type(self), (self.golds,)

    def add(self, golds: Iterable[str]) -> None:
        """golds (Iterable[str]): ids that may be negatives, too."""
        new = sorted({*golds} - {*self.golds})
        if new:
            self.golds += new
            self._kb = None

    def chosen_for(
        self,
        batch: LinkingBatch,
        gold_rows: np.ndarray,
        kb: "DweKnowledgeBase",
        n_rare_words: int,
    ) -> LinkingBatch:
        """Choose for a batch.

        batch (LinkingBatch): the mentions.
        gold_rows (np.ndarray): KB row of each gold, -1 = none. Shape: (batch,)
        kb (DweKnowledgeBase): the KB of these rows.
        n_rare_words (int): how many to add that share a rare word with the gold.
        RETURNS (LinkingBatch): the batch with its negatives.
        """
        if self._kb is not kb:
            self._kb, self._rare_words = kb, None
            self._gold_rows = kb.rows_of(self.golds)
        if self.golds:
            batch = restrict_negatives(batch, self._gold_rows)
        if n_rare_words and batch.entities:
            if self._rare_words is None:
                self._rare_words = RareWordNegatives.of(kb)
            drawn = self._rare_words.draw(gold_rows, n_rare_words)
            if self.golds:
                drawn = np.where(np.isin(drawn, self._gold_rows), drawn, -1)
            device, sets = str(batch.rows.device), kb.vector_sets
            hard = {
                name: entity_vectors(sets[SetName.read(name)], drawn, device)
                for name in batch.entities
            }
            batch = replace(batch, hard=hard)
        return batch


class RareWordNegatives:
    """Draws entities that share a rare word of their description with the gold: what a
    network that only looks for such a word would confuse. Rarity is the inverse
    document frequency of the KB's facts.

    facts (np.ndarray): words of each entity's description. Shape: (n_rows, n_words)
    rarity (np.ndarray): of each word, 0 for what is none. Shape: (n_vocabulary,)
    rows (np.ndarray): entities that there are. Shape: (n_entities,)
    """

    def __init__(self, facts: np.ndarray, rarity: np.ndarray, rows: np.ndarray) -> None:
        counts = np.zeros(len(rarity), dtype=np.int64)
        for first in range(0, len(rows), CHUNK):
            part = facts[rows[first : first + CHUNK]].ravel()
            counts += np.bincount(part, minlength=len(rarity))
        weights = np.where(counts > 1, rarity, 0.0)
        n_words = min(RARE_WORDS, facts.shape[1])
        self.words = np.full((len(facts), n_words), -1, dtype=np.int32)
        for first in range(0, len(rows), CHUNK):
            part = rows[first : first + CHUNK]
            own = facts[part]
            order = np.argsort(-weights[own], axis=1, kind="stable")[:, :n_words]
            rarest = np.take_along_axis(own, order, axis=1)
            self.words[part] = np.where(weights[rarest] > 0, rarest, -1)
        owners, columns = np.nonzero(self.words >= 0)
        found = self.words[owners, columns]
        self.rows = owners[np.argsort(found, kind="stable")]
        self.offsets = np.zeros(len(rarity) + 1, dtype=np.int64)
        np.cumsum(np.bincount(found, minlength=len(rarity)), out=self.offsets[1:])

    @classmethod
    def of(cls, kb: "DweKnowledgeBase") -> Self:
        """RETURNS (RareWordNegatives): over the entities of a KB."""
        lexicon = kb.lexicon
        return cls(lexicon.facts, lexicon.fact_rarity, kb.all_rows(1).rows)

    def draw(self, golds: np.ndarray, n: int) -> np.ndarray:
        """Draw anew for each batch, by torch's random numbers.

        golds (np.ndarray): KB rows, -1 = none. Shape: (batch,)
        n (int): how many to draw for each.
        RETURNS (np.ndarray): KB rows, -1 where no other entity shares a rare word.
            Shape: (batch, n)
        """
        chance = torch.rand(2, len(golds), n).numpy()
        words = self.words[np.maximum(golds, 0)]
        n_own = (words >= 0).sum(axis=1, keepdims=True)
        which = np.minimum((chance[0] * n_own).astype(np.int64), words.shape[1] - 1)
        word = np.take_along_axis(words, which, axis=1)
        usable = (word >= 0) & (golds >= 0)[:, None]
        first = self.offsets[np.maximum(word, 0)]
        size = np.maximum(self.offsets[np.maximum(word, 0) + 1] - first, 1)
        place = (chance[1] * size).astype(np.int64)
        drawn = self._at(first + place)
        # The gold shares all its words with itself: take the next one then.
        itself = drawn == golds[:, None]
        drawn = np.where(itself, self._at(first + (place + 1) % size), drawn)
        return np.where(usable & (drawn != golds[:, None]), drawn, -1)

    def _at(self, places: np.ndarray) -> np.ndarray:
        if not len(self.rows):
            return np.full(places.shape, -1, dtype=np.int64)
        return self.rows[np.minimum(places, len(self.rows) - 1)]
