"""Wrong decisions with what they were made from, and how the channels voted."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DweError, Errors
from ..kb.vectors.entity_index import SCORE_DECIMALS
from ..linking.annotate import ScoredMention
from .outcomes import Outcome

if TYPE_CHECKING:
    from ..documents import Document
    from ..kb.entity import Entity
    from ..kb.knowledge_base import DweKnowledgeBase
    from .evaluate import Evaluation

VOTE = 0.05
"""Difference between two entities in logits from which on a channel has voted: below
it, odds change by less than a twentieth."""

ADDED = "added"
"""Key of a mention that its sentence lacks and that was put in front of it."""


@dataclass(frozen=True, slots=True)
class Miss:
    """A wrong decision.

    index (int): position among the outcomes.
    outcome (Outcome): the decision and its label.
    gold (Entity | None): the right entity; None for NIL or where the KB lacks it.
    winner (Entity | None): the linked entity, or the best one where NIL was chosen;
        None where there was no candidate.
    gold_at, winner_at (int | None): their positions among the candidates that the
        evaluation kept.
    differences (Mapping[str, float]): contribution of each channel to the gold minus
        that to the winner; empty unless these are two candidates.
    evidence (Mapping[str, float]): contributions of each channel to the winner.
    tied (bool): gold and winner have the same score.
    with_images (bool): the run used pictures.
    pictured (bool): the document has one.
    added (bool): the mention was put in front of a sentence that lacks it.
    """

    index: int
    outcome: Outcome
    gold: "Entity | None"
    winner: "Entity | None"
    gold_at: int | None
    winner_at: int | None
    differences: Mapping[str, float]
    evidence: Mapping[str, float]
    tied: bool
    with_images: bool
    pictured: bool
    added: bool

    @property
    def rivals(self) -> "tuple[Entity, Entity] | None":
        """RETURNS (tuple[Entity, Entity] | None): gold and winner, if they are two
        candidates."""
        if self.gold is None or self.winner is None or not self.differences:
            return None
        return self.gold, self.winner

    @property
    def against(self) -> list[str]:
        """RETURNS (list[str]): channels that voted for the winner, the strongest
        first."""
        voters = [(d, channel) for channel, d in self.differences.items() if d < -VOTE]
        return [channel for _, channel in sorted(voters)]

    @property
    def for_gold(self) -> list[str]:
        """RETURNS (list[str]): channels that voted for the gold, strongest first."""
        voters = [(-d, channel) for channel, d in self.differences.items() if d > VOTE]
        return [channel for _, channel in sorted(voters)]


@dataclass(slots=True)
class ChannelVotes:
    """How a channel voted between the gold and its strongest rival.

    n_for, n_against, n_silent (int): mentions by vote, see `VOTE`.
    total (float): sum of the differences.
    """

    n_for: int = 0
    n_against: int = 0
    n_silent: int = 0
    total: float = 0.0

    @property
    def n(self) -> int:
        return self.n_for + self.n_against + self.n_silent

    @property
    def has_voted(self) -> bool:
        return self.n_silent < self.n

    def add(self, difference: float) -> None:
        """difference (float): contribution to the gold minus that to the rival."""
        self.n_for += difference > VOTE
        self.n_against += difference < -VOTE
        self.n_silent += abs(difference) <= VOTE
        self.total += difference


@dataclass(slots=True)
class Votes:
    """Votes by channel, over misses (gold against winner) and over hits (gold against
    the runner-up). Mentions without two such candidates are in neither."""

    on_misses: dict[str, ChannelVotes] = field(default_factory=dict)
    on_hits: dict[str, ChannelVotes] = field(default_factory=dict)


def collect_misses(
    evaluation: "Evaluation",
    kb: "DweKnowledgeBase",
    documents: "Mapping[str, Document]",
) -> list[Miss]:
    """Every wrong decision, in order. NIL among the decisions, so that these are the
    ones that `accuracy` counts.

    documents (Mapping[str, Document]): what was linked, by id.
    """
    wrong = [i for i, o in enumerate(evaluation.outcomes) if not o.correct]
    outcomes = [evaluation.outcomes[i] for i in wrong]
    scored = [evaluation.scored[i] for i in wrong]
    gold_rows = kb.rows_of([o.gold or "" for o in outcomes]).tolist()
    best = [int(s.rows[0]) if len(s.rows) else -1 for s in scored]
    known = sorted({row for row in (*gold_rows, *best) if row >= 0})
    entities = dict(zip(known, kb.entities(known)))
    with_images = evaluation.metrics["inputs"] != "text"
    misses = []
    for index, outcome, mention, row, first in zip(
        wrong, outcomes, scored, gold_rows, best
    ):
        document = document_of(outcome, documents)
        gold_at = _position(mention, row, outcome)
        winner_at = 0 if first >= 0 else None
        misses.append(
            Miss(
                index=index,
                outcome=outcome,
                gold=entities.get(row),
                winner=entities.get(first),
                gold_at=gold_at,
                winner_at=winner_at,
                differences=_differences(mention, gold_at, winner_at),
                evidence={}
                if first < 0
                else {c: float(v[0]) for c, v in mention.contributions.items()},
                tied=_tied(mention, gold_at, winner_at),
                with_images=with_images,
                pictured=bool(document.images),
                added=_is_added(outcome, document),
            )
        )
    return misses


def count_votes(evaluation: "Evaluation", misses: Iterable[Miss]) -> Votes:
    """Who voted for the gold, on misses and on hits."""
    votes = Votes()
    for miss in misses:
        _add(votes.on_misses, miss.differences)
    for outcome, mention in zip(evaluation.outcomes, evaluation.scored):
        if outcome.correct and outcome.gold is not None and len(mention.rows) > 1:
            _add(votes.on_hits, _differences(mention, 0, 1))
    return votes


def document_of(outcome: Outcome, documents: "Mapping[str, Document]") -> "Document":
    """RAISES (DweError): the document is not among those given."""
    document = documents.get(outcome.document)
    if document is None or outcome.end > len(document.text):
        raise DweError(Errors.E460.format(doc=outcome.document))
    return document


def _add(votes: dict[str, ChannelVotes], differences: Mapping[str, float]) -> None:
    for channel, difference in differences.items():
        votes.setdefault(channel, ChannelVotes()).add(difference)


def _position(mention: ScoredMention, row: int, outcome: Outcome) -> int | None:
    where = np.flatnonzero(mention.rows == row)
    if row >= 0 and len(where):
        return int(where[0])
    if outcome.retrieved:
        raise DweError(Errors.E461.format(mention=outcome.text, doc=outcome.document))
    return None


def _differences(
    mention: ScoredMention, gold: int | None, winner: int | None
) -> dict[str, float]:
    if gold is None or winner is None or gold == winner:
        return {}
    return {
        channel: float(values[gold] - values[winner])
        for channel, values in mention.contributions.items()
    }


def _tied(mention: ScoredMention, gold: int | None, winner: int | None) -> bool:
    if gold is None or winner is None or gold == winner:
        return False
    scores = np.round(mention.scores.astype(np.float64), SCORE_DECIMALS)
    return bool(scores[gold] == scores[winner])


def _is_added(outcome: Outcome, document: "Document") -> bool:
    """White space at the ends of a mention is not in the outcome's offsets."""
    return any(
        mention.start <= outcome.start
        and outcome.end <= mention.end
        and document.text[mention.start : mention.end].strip() == outcome.text
        and mention.source.get(ADDED) is True
        for mention in document.mentions or ()
    )
