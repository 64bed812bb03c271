"""What the linker made of one labelled mention, and whether it was right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DweError, Errors
from ..model.scoring import SCORE_DECIMALS, ScoredMention
from .gold import Gold

if TYPE_CHECKING:
    from ..kb.knowledge_base import DweKnowledgeBase

MISS = float("inf")
RECALL_AT = (10, 100)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One labelled mention after linking.

    document (str): id of the document.
    start, end (int): character offsets of the mention.
    text (str): the mention.
    gold (str | None): id of the right entity, None for NIL.
    in_kb (bool): whether the KB holds the gold entity.
    rank (float | None): rank of the gold among the entities, 1 is best; entities whose
        scores are equal after rounding share the middle of their ranks; `MISS` when
        the gold is no candidate; None for NIL, which is no entity and has no rank.
    found_within (float): smallest list size in `RECALL_AT` with which the candidate
        generator finds the gold; `MISS` when none does.
    n_candidates (int): entities that were scored.
    predicted (str | None): id of the linked entity, None for NIL.
    probability (float): probability of what was predicted.
    nil_probability (float): probability of NIL.
    chance (float): probability that a blind draw hits the gold, among the entities
        which bear the mention as their exact name, or among all candidates when no
        entity does.
    groups (tuple[str, ...]): groups that the mention is reported in.
    """

    document: str
    start: int
    end: int
    text: str
    gold: str | None
    in_kb: bool
    rank: float | None
    found_within: float
    n_candidates: int
    predicted: str | None
    probability: float
    nil_probability: float
    chance: float
    groups: tuple[str, ...]

    @property
    def retrieved(self) -> bool:
        """Whether the gold was among the candidates."""
        return self.rank is not None and self.rank != MISS

    @property
    def correct(self) -> bool:
        """Whether the decision, NIL included, is right."""
        return self.predicted == self.gold

    def to_json(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): JSON without inf: a gold that is no candidate has
        the rank null and "retrieved": false."""
        return {
            "document": self.document,
            "start": self.start,
            "end": self.end,
            "text": self.text,
            "gold": self.gold,
            "in_kb": self.in_kb,
            "retrieved": self.retrieved,
            "rank": self.rank if self.retrieved else None,
            "n_candidates": self.n_candidates,
            "predicted": self.predicted,
            "correct": self.correct,
            "probability": round(self.probability, 6),
            "nil_probability": round(self.nil_probability, 6),
            "chance": round(self.chance, 6),
            "groups": list(self.groups),
        }


def outcomes_of(
    kb: "DweKnowledgeBase",
    scored: Sequence[ScoredMention],
    golds: Sequence[Gold],
    *,
    threshold: float = 0.0,
    retrieved: Mapping[int, Sequence[np.ndarray]] | None = None,
) -> list[Outcome]:
    """Compare scored mentions with their labels. The gold is never added to the
    candidates.

    kb (DweKnowledgeBase): the KB whose rows the mentions hold.
    scored (Sequence[ScoredMention]): the linker's scores.
    golds (Sequence[Gold]): the label of each.
    threshold (float): a link needs at least this probability.
    retrieved (Mapping[int, Sequence[np.ndarray]] | None): by list size, the rows that
        the candidate generator finds for each mention; a size that is left out is cut
        from the scored candidates.
    RETURNS (list[Outcome]): one for each mention.
    """
    gold_rows = _gold_rows(kb, golds)
    best_rows = np.array([s.rows[0] if len(s.rows) else -1 for s in scored], np.int32)
    best_ids = iter(kb.ids(best_rows[best_rows >= 0]))
    best = [next(best_ids) if row >= 0 else None for row in best_rows]
    namesakes = kb.exact([s.text for s in scored])
    outcomes: list[Outcome] = []
    for i, (mention, gold) in enumerate(zip(scored, golds)):
        check_finite(mention, gold.document)
        row = int(gold_rows[i])
        linked = is_linked(mention, threshold)
        rank = None if gold.kb_id is None else rank_of(mention, row)
        outcomes.append(
            Outcome(
                document=gold.document,
                start=mention.start,
                end=mention.end,
                text=mention.text,
                gold=gold.kb_id,
                in_kb=row >= 0,
                rank=rank,
                found_within=_found_within(rank, row, i, retrieved or {}),
                n_candidates=len(mention.rows),
                predicted=best[i] if linked else None,
                probability=float(
                    mention.probabilities[0] if linked else mention.nil_probability
                ),
                nil_probability=float(mention.nil_probability),
                chance=_chance(row, namesakes[i], mention.rows),
                groups=gold.groups,
            )
        )
    return outcomes


def rank_of(mention: ScoredMention, row: int) -> float:
    """Rank of an entity among the candidates, ties in the middle of their ranks.

    row (int): KB row of the entity, -1 when the KB lacks it.
    RETURNS (float): 1 is best, `MISS` when the entity is no candidate.
    """
    where = np.flatnonzero(mention.rows == row)
    if row < 0 or not len(where):
        return MISS
    scores = np.round(mention.scores.astype(np.float64), SCORE_DECIMALS)
    own = scores[where[0]]
    better = int((scores > own).sum())
    equal = int((scores == own).sum())
    return 1 + better + (equal - 1) / 2


def is_linked(mention: ScoredMention, threshold: float) -> bool:
    """Whether the best candidate is at least as probable as NIL and the threshold."""
    if not len(mention.rows):
        return False
    return bool(mention.probabilities[0] >= max(threshold, mention.nil_probability))


def check_finite(mention: ScoredMention, document: str) -> None:
    """Raise a DweError that names the document if any score is NaN or inf."""
    finite = (
        np.isfinite(mention.scores).all()
        and np.isfinite(mention.probabilities).all()
        and np.isfinite([mention.nil_score, mention.nil_probability]).all()
    )
    if not finite:
        raise DweError(Errors.E410.format(mention=mention.text, doc=document))


def _gold_rows(kb: "DweKnowledgeBase", golds: Sequence[Gold]) -> np.ndarray:
    rows = np.full(len(golds), -1, dtype=np.int32)
    labelled = [i for i, gold in enumerate(golds) if gold.kb_id is not None]
    ids = [golds[i].kb_id or "" for i in labelled]
    if ids:
        rows[labelled] = kb.rows_of(ids)
    return rows


def _found_within(
    rank: float | None,
    row: int,
    mention: int,
    retrieved: Mapping[int, Sequence[np.ndarray]],
) -> float:
    """A generator that returns more than it was asked for is cut by score."""
    if rank is None or rank == MISS:
        return MISS
    for n in RECALL_AT:
        rows = retrieved[n][mention] if n in retrieved else None
        if rows is None or len(rows) > n:
            if rank <= n:
                return n
        elif row in rows:
            return n
    return MISS


def _chance(row: int, namesakes: np.ndarray, candidates: np.ndarray) -> float:
    drawn_from = namesakes if len(namesakes) else candidates
    return 1 / len(drawn_from) if row >= 0 and row in drawn_from else 0.0
