"""The misses of an evaluation by cause, and which channels voted for the gold."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .causes import (
    FEW_SHARED,
    SHORT_DESCRIPTION,
    SIMILAR_DESCRIPTION,
    SIMILAR_TITLE,
    Verdict,
    cause_of,
    title_and_meaning,
)
from .misses import VOTE, ChannelVotes, Miss, Votes, collect_misses, count_votes

if TYPE_CHECKING:
    from ..documents import Document
    from ..kb.knowledge_base import DweKnowledgeBase
    from .evaluate import Evaluation

THRESHOLDS = {
    "vote": VOTE,
    "similar_title": SIMILAR_TITLE,
    "similar_description": SIMILAR_DESCRIPTION,
    "short_description_words": SHORT_DESCRIPTION,
    "few_shared_words": FEW_SHARED,
}


@dataclass(frozen=True, slots=True)
class CauseCount:
    """A main cause and the misses that have it.

    title, meaning (str): see `title_and_meaning`.
    members (list[int]): positions in `ErrorAnalysis.misses`.
    """

    cause: str
    title: str
    meaning: str
    members: list[int]

    @property
    def n(self) -> int:
        return len(self.members)


@dataclass(frozen=True, slots=True)
class ErrorAnalysis:
    """Why an evaluation's wrong decisions were wrong.

    n (int): labelled mentions, NIL among them.
    misses (Sequence[Miss]): every wrong decision, in order.
    verdicts (Sequence[Verdict]): the cause of each.
    votes (Votes): how the channels voted.
    """

    n: int
    misses: Sequence[Miss]
    verdicts: Sequence[Verdict]
    votes: Votes

    def causes(self) -> list[CauseCount]:
        """RETURNS (list[CauseCount]): main causes, the most frequent first."""
        members: dict[str, list[int]] = {}
        for position, verdict in enumerate(self.verdicts):
            members.setdefault(verdict.cause, []).append(position)
        counts = [
            CauseCount(cause, *title_and_meaning(cause), at)
            for cause, at in members.items()
        ]
        return sorted(counts, key=lambda count: (-count.n, count.cause))

    def tags(self) -> dict[str, int]:
        """RETURNS (dict[str, int]): misses by tag, the most frequent first."""
        counts = Counter(tag for verdict in self.verdicts for tag in verdict.tags)
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def outvoted(self) -> list[tuple[str, str, int]]:
        """RETURNS (list[tuple[str, str, int]]): channel that voted for the gold, the
        channel that outvoted it most strongly, and on how many misses."""
        pairs = Counter(
            (voter, miss.against[0])
            for miss in self.misses
            if miss.against
            for voter in miss.for_gold
        )
        ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
        return [(voter, winner, n) for (voter, winner), n in ordered]

    def to_json(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): counts, and every miss with its cause."""
        total = len(self.misses)
        return {
            "n": self.n,
            "n_misses": total,
            "thresholds": dict(THRESHOLDS),
            "causes": [
                {
                    "cause": count.cause,
                    "title": count.title,
                    "meaning": count.meaning,
                    "n": count.n,
                    "share": _share(count.n, total),
                }
                for count in self.causes()
            ],
            "tags": {
                tag: {"n": n, "share": _share(n, total)}
                for tag, n in self.tags().items()
            },
            "channels": {
                channel: {
                    "misses": _votes(self.votes.on_misses.get(channel)),
                    "hits": _votes(self.votes.on_hits.get(channel)),
                }
                for channel in self.channels()
            },
            "outvoted": [
                {"for_gold": voter, "by": winner, "n": n}
                for voter, winner, n in self.outvoted()
            ],
            "misses": [
                _miss(miss, verdict)
                for miss, verdict in zip(self.misses, self.verdicts)
            ],
        }

    def channels(self) -> list[str]:
        """RETURNS (list[str]): channels that voted at least once."""
        tallies = (self.votes.on_misses, self.votes.on_hits)
        channels = dict.fromkeys(channel for tally in tallies for channel in tally)
        return [
            channel
            for channel in channels
            if any(tally[channel].has_voted for tally in tallies if channel in tally)
        ]


def analyse(
    evaluation: "Evaluation",
    kb: "DweKnowledgeBase",
    documents: "Mapping[str, Document]",
) -> ErrorAnalysis:
    """Find the cause of every wrong decision.

    evaluation (Evaluation): with the gold among the kept candidates of each mention
        that had it as a candidate.
    kb (DweKnowledgeBase): the KB that was linked to.
    documents (Mapping[str, Document]): what was linked, by id.
    """
    misses = collect_misses(evaluation, kb, documents)
    return ErrorAnalysis(
        n=len(evaluation.outcomes),
        misses=misses,
        verdicts=[cause_of(miss) for miss in misses],
        votes=count_votes(evaluation, misses),
    )


def _miss(miss: Miss, verdict: Verdict) -> dict[str, Any]:
    outcome = miss.outcome
    return {
        "document": outcome.document,
        "start": outcome.start,
        "end": outcome.end,
        "text": outcome.text,
        "cause": verdict.cause,
        "tags": list(verdict.tags),
        "gold": outcome.gold,
        "predicted": outcome.predicted,
        "rank": outcome.rank if outcome.retrieved else None,
        "probability": round(outcome.probability, 6),
        "nil_probability": round(outcome.nil_probability, 6),
        "rival": None if miss.winner is None else miss.winner.id,
        "differences": {c: round(d, 5) for c, d in miss.differences.items()},
    }


def _votes(votes: ChannelVotes | None) -> dict[str, Any]:
    votes = votes or ChannelVotes()
    mean = round(votes.total / votes.n, 5) if votes.n else None
    return {
        "n": votes.n,
        "for": votes.n_for,
        "against": votes.n_against,
        "silent": votes.n_silent,
        "mean_difference": mean,
    }


def _share(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0
