"""Misses as the page shows them: sentence, winner and right entity, votes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..kb.normalisation import normalise
from .error_analysis import CauseCount, ErrorAnalysis
from .evaluation_tables import tag_title
from .examples import Examples
from .misses import VOTE, Miss
from .report import CandidateView, ExampleView

if TYPE_CHECKING:
    from ..datasets.documents import Document
    from .evaluate import Evaluation


@dataclass(frozen=True, slots=True)
class VoteBar:
    """What one channel gave the gold more than the winner.

    side (str): "gold" or "winner", whom it speaks for.
    silent (bool): too little for a vote.
    width (int): length, in percent of the longest possible.
    """

    channel: str
    text: str
    side: str
    silent: bool
    width: int


@dataclass(frozen=True, slots=True)
class MissView:
    """A miss beside what the right entity would have been."""

    example: ExampleView
    rank: str
    bars: list[VoteBar]
    tags: list[str]


@dataclass(frozen=True, slots=True)
class CauseView:
    """A main cause with some of its misses.

    n (int): misses that have it. share (float): of all misses.
    """

    title: str
    meaning: str
    n: int
    share: float
    misses: list[MissView]


@dataclass(frozen=True, slots=True)
class LinkedDocuments:
    evaluation: "Evaluation"
    documents: "Mapping[str, Document]"


def cause_views(
    analysis: ErrorAnalysis,
    evaluation: "Evaluation",
    documents: "Mapping[str, Document]",
    examples: Examples,
    *,
    n_examples: int,
) -> list[CauseView]:
    """The causes, the most frequent first, each with its first misses of different
    mentions.

    n_examples (int): misses shown of each cause.
    """
    linked = LinkedDocuments(evaluation, documents)
    return [
        CauseView(
            title=count.title,
            meaning=count.meaning,
            n=count.n,
            share=count.n / len(analysis.misses),
            misses=[
                _view(linked, examples, analysis, position)
                for position in _chosen(analysis, count, n_examples)
            ],
        )
        for count in analysis.causes()
    ]


def _chosen(analysis: ErrorAnalysis, count: CauseCount, n: int) -> list[int]:
    first: dict[str, int] = {}
    for position in count.members:
        first.setdefault(normalise(analysis.misses[position].outcome.text), position)
    return list(first.values())[:n]


def _view(
    linked: LinkedDocuments, examples: Examples, analysis: ErrorAnalysis, position: int
) -> MissView:
    miss, verdict = analysis.misses[position], analysis.verdicts[position]
    shown = sorted({at for at in (miss.winner_at, miss.gold_at) if at is not None})
    example = examples.view(linked, miss.index, shown=shown)
    candidates = [
        replace(view, right=_is_right(view, miss), contributions=[])
        for view in example.candidates
    ]
    if miss.gold is not None and miss.gold_at is None:
        candidates.append(_not_a_candidate(miss, examples))
    shown_apart = ("for:", "against:", "rank_")
    tags = [tag for tag in verdict.tags[1:] if not tag.startswith(shown_apart)]
    return MissView(
        example=replace(example, candidates=candidates),
        rank=_rank(miss),
        bars=list(_bars(miss)),
        tags=[tag_title(tag) for tag in tags],
    )


def _is_right(view: CandidateView, miss: Miss) -> bool:
    return view.id == (miss.outcome.gold or "")


def _not_a_candidate(miss: Miss, examples: Examples) -> CandidateView:
    assert miss.gold is not None
    return CandidateView(
        id=miss.gold.id,
        title=miss.gold.title,
        description=miss.gold.description,
        probability=None,
        linked=False,
        picture=examples.entity_picture(miss.gold),
        contributions=[],
        right=True,
    )


def _rank(miss: Miss) -> str:
    outcome = miss.outcome
    if outcome.rank is None:
        return ""
    if not outcome.retrieved:
        return f"not among {outcome.n_candidates:,} candidates"
    return f"right one at rank {outcome.rank:g} of {outcome.n_candidates:,}"


def _bars(miss: Miss) -> Iterator[VoteBar]:
    longest = max((abs(d) for d in miss.differences.values()), default=0.0)
    for channel, difference in miss.differences.items():
        if difference == 0:
            continue
        side = "gold" if difference > 0 else "winner"
        width = round(50 * abs(difference) / longest)
        text = f"{difference:+.2f}".replace("-", "−")
        yield VoteBar(channel, text, side, abs(difference) <= VOTE, width)
