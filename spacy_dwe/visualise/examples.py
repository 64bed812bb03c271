"""Linked mentions as a reader sees them, and misses by their causes: sentence, picture,
link, runners-up, and who voted for whom."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..evaluation.error_analysis import CauseCount, ErrorAnalysis
from ..evaluation.misses import VOTE, Miss
from ..images import ImageRef, resolve
from ..names.normalisation import normalise
from .page import (
    PICTURE_SIZE,
    THUMBNAIL_SIZE,
    Contribution,
    ExampleView,
    SeenView,
    ShownCandidate,
    data_uri,
    seen_view,
    signed,
    text_around,
)
from .tables import tag_title

if TYPE_CHECKING:
    from ..documents import Document
    from ..encoders.visual.findings import VisualEvidence
    from ..evaluation.evaluate import Evaluation
    from ..kb.entity import Entity
    from ..kb.knowledge_base import DweKnowledgeBase
    from ..linking.annotate import ScoredMention

N_CANDIDATES = 3
NIL_TITLE = "not in the KnowledgeBase"
SHOWN_NIL = 0.01
"""NIL is listed from this probability on, or if it won."""
FULL_HEAT, STRONGEST = 3.0, 60
"""Lead in the logit that gets the strongest colour, and its strength in percent."""

Look = Callable[[Mapping[ImageRef, str]], "Mapping[ImageRef, VisualEvidence]"]
"""What is seen on pictures, given what messages call the document of each."""


class Linked(Protocol):
    """An evaluation and the documents that it was made on, by id."""

    @property
    def evaluation(self) -> "Evaluation": ...

    @property
    def documents(self) -> "Mapping[str, Document]": ...


class Examples:
    """Makes views of mentions; each picture is read once.

    kb (DweKnowledgeBase): the KB that was linked to.
    image_root (Path): where relative pictures of entities start.
    look (Look | None): shows what the linker saw, see `DweLinker.look`.
    """

    def __init__(
        self, kb: "DweKnowledgeBase", image_root: Path, look: Look | None = None
    ) -> None:
        self.kb = kb
        self.image_root = image_root
        self._look = look
        self._pictures: dict[tuple[ImageRef, tuple[int, int]], str | None] = {}

    def view(
        self,
        result: Linked,
        index: int,
        *,
        n_candidates: int = N_CANDIDATES,
        shown: Sequence[int] | None = None,
    ) -> ExampleView:
        """One mention of an evaluation.

        index (int): position among the outcomes.
        n_candidates (int): best candidates shown.
        shown (Sequence[int] | None): positions of the candidates to show instead.
        """
        outcome = result.evaluation.outcomes[index]
        document = result.documents[outcome.document]
        before, mention, after = text_around(document.text, outcome.start, outcome.end)
        scored = result.evaluation.scored[index]
        if shown is None:
            shown = range(min(n_candidates, len(scored.rows)))
        good = outcome.correct
        return ExampleView(
            before=before,
            mention=mention,
            after=after,
            picture=self.picture(document.images, PICTURE_SIZE),
            linked=self.name(outcome.predicted),
            good=good,
            verdict="right" if good else f"should be {self.name(outcome.gold)}",
            note="",
            candidates=self._candidates(scored, outcome.predicted, shown),
            seen=self._seen(document),
        )

    def candidate(self, entity: "Entity", probability: float | None) -> ShownCandidate:
        """RETURNS (ShownCandidate): an entity with its first picture, if that can be
        read."""
        refs = resolve(entity.images[:1], self.image_root)
        return ShownCandidate(
            id=entity.id,
            title=entity.title,
            description=entity.description,
            probability=probability,
            picture=self.picture(refs, THUMBNAIL_SIZE),
        )

    def name(self, entity_id: str | None) -> str:
        """RETURNS (str): title and id, since titles of namesakes may be equal."""
        if entity_id is None:
            return NIL_TITLE
        rows = self.kb.rows_of([entity_id])
        if rows[0] < 0:
            return entity_id
        ((_, title, _),) = self.kb.titles(rows)
        return f"{title} ({entity_id})"

    def _candidates(
        self, mention: "ScoredMention", predicted: str | None, shown: Sequence[int]
    ) -> list[ShownCandidate]:
        at = np.array(shown, dtype=np.int64)
        entities = self.kb.entities(mention.rows[at])
        views = [
            replace(
                self.candidate(entity, float(mention.probabilities[rank])),
                linked=entity.id == predicted,
                contributions=[
                    _contribution(channel, values[at], place)
                    for channel, values in mention.contributions.items()
                ],
            )
            for place, (rank, entity) in enumerate(zip(shown, entities))
        ]
        if predicted is not None and mention.nil_probability < SHOWN_NIL:
            return views
        nil = ShownCandidate(
            id="",
            title=NIL_TITLE,
            probability=mention.nil_probability,
            linked=predicted is None,
        )
        place = int((mention.probabilities[at] >= mention.nil_probability).sum())
        return [*views[:place], nil, *views[place:]]

    def _seen(self, document: "Document") -> SeenView | None:
        """RETURNS (SeenView | None): of the picture that is shown."""
        if self._look is None or self.picture(document.images, PICTURE_SIZE) is None:
            return None
        ref = document.images[0]
        found = self._look({ref: f"document {document.id}"})
        return seen_view(found[ref]) if ref in found else None

    def picture(self, refs: Sequence[ImageRef], size: tuple[int, int]) -> str | None:
        """RETURNS (str | None): the first one as a data URI; None if there is none, or
        it cannot be read."""
        if not refs:
            return None
        key = (refs[0], size)
        if key not in self._pictures:
            self._pictures[key] = data_uri(refs[0], size)
        return self._pictures[key]


def _contribution(channel: str, values: np.ndarray, rank: int) -> Contribution:
    """values (np.ndarray): of the candidates shown. Shape: (n,)"""
    others = np.delete(values, rank)
    lead = float(values[rank] - others.mean()) if len(others) else 0.0
    heat = round(STRONGEST * min(1.0, abs(lead) / FULL_HEAT))
    return Contribution(channel, float(values[rank]), lead, heat)


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
    linked: Linked,
    examples: Examples,
    *,
    n_examples: int,
) -> list[CauseView]:
    """The causes, the most frequent first, each with its first misses of different
    mentions.

    n_examples (int): misses shown of each cause.
    """
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
    linked: Linked, examples: Examples, analysis: ErrorAnalysis, position: int
) -> MissView:
    miss, verdict = analysis.misses[position], analysis.verdicts[position]
    shown = sorted({at for at in (miss.winner_at, miss.gold_at) if at is not None})
    example = examples.view(linked, miss.index, shown=shown)
    gold_id = miss.outcome.gold or ""
    candidates = [
        replace(view, right=view.id == gold_id, contributions=[])
        for view in example.candidates
    ]
    if miss.gold is not None and miss.gold_at is None:
        candidates.append(replace(examples.candidate(miss.gold, None), right=True))
    shown_apart = ("for:", "against:", "rank_")
    tags = [tag for tag in verdict.tags[1:] if not tag.startswith(shown_apart)]
    return MissView(
        example=replace(example, candidates=candidates),
        rank=_rank(miss),
        bars=list(_bars(miss)),
        tags=[tag_title(tag) for tag in tags],
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
        text, silent = signed(difference, 2), abs(difference) <= VOTE
        yield VoteBar(channel, text, side, silent, width)
