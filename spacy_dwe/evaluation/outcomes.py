"""What a mention should be linked to, and what it was linked to."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from spacy.tokens import Doc, Span

from ..documents import labelled_docs
from ..errors import DweError, Errors
from ..kb.candidates import FoundBy
from ..kb.vectors.entity_index import SCORE_DECIMALS
from ..linking.annotate import ScoredMention
from ..spans import LABEL, linked_spans, settings_of
from ..tokens import DOCUMENT_ID, NIL

if TYPE_CHECKING:
    from spacy.language import Language

    from ..kb.knowledge_base import DweKnowledgeBase
    from ..settings import LinkerSettings

MISS = float("inf")
"""Rank of a gold that is no candidate."""
TYPE = "type"
"""Key of an entity: what kind it is."""


@dataclass(frozen=True, slots=True)
class Gold:
    """The label of one mention.

    document (str): id of the document.
    kb_id (str | None): id of the right entity; None: it is not in the KB (NIL).
    groups (tuple[str, ...]): groups that the mention is reported in.
    label (str): type of the mention; "" if nobody said.
    pictured (bool): the mention or its document has pictures.
    """

    document: str
    kb_id: str | None
    groups: tuple[str, ...] = ()
    label: str = field(default="", compare=False)
    pictured: bool = field(default=False, compare=False)


def gold_ids(
    nlp: "Language", paths: Iterable[Path], image_root: Path | None = None
) -> set[str]:
    """RETURNS (set[str]): labels of all mentions of files of documents."""
    settings = settings_of(nlp)
    return {
        span.kb_id_
        for path in paths
        for doc in labelled_docs(nlp, path, image_root)
        for span in linked_spans(doc, settings)
        if span.kb_id_
    }


def gold_mentions(
    reference: Doc, name: str, settings: "LinkerSettings | None" = None
) -> tuple[Doc, list[Gold]]:
    """Split a labelled document into the question and the answers.

    reference (Doc): mentions with a kb_id are labelled.
    name (str): what to call the document if it came without an id.
    settings (LinkerSettings | None): of the linker, say which spans are mentions; None
        = entities.
    RETURNS (tuple[Doc, list[Gold]]): a copy whose mentions are the labelled ones
        without their labels, and the label of each in order.
    """
    document = str(reference.user_data.get(DOCUMENT_ID, name))
    labelled = [span for span in linked_spans(reference, settings) if span.kb_id_]
    doc = reference.copy()
    doc.user_data = dict(reference.user_data)
    asked = [Span(doc, s.start, s.end, s.label, span_id=s.id) for s in labelled]
    if settings is None or settings.spans_key is None:
        doc.set_ents(asked)
    else:
        doc.spans[settings.spans_key] = asked
    golds = [
        Gold(
            document,
            None if ent.kb_id_ == NIL else ent.kb_id_,
            ent._.link_groups,
            "" if ent.label_ == LABEL else ent.label_,
            bool(ent._.images),
        )
        for ent in labelled
    ]
    return doc, golds


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
    found_within (float): length of the shortest list of candidates that holds the
        gold: its place in the generator's list, or, where the generator ranks nothing,
        its rank. `MISS` when the gold was not found, or was put in.
    n_candidates (int): entities that were scored.
    predicted (str | None): id of the linked entity, None for NIL.
    probability (float): probability of what was predicted.
    nil_probability (float): probability of NIL.
    chance (float): probability that a blind draw hits the gold, among the entities
        which bear the mention as their exact name, or among all candidates when no
        entity does.
    groups (tuple[str, ...]): groups that the mention is reported in.
    label (str): type of the mention, else of its entity; "" if nobody said.
    ambiguity (int): entities that bear the mention as their exact name.
    pictured (bool): the mention or its document has pictures.
    seen (bool | None): the gold is one of the training data; None where these are not
        known, and for NIL.
    injected (bool): the gold was put among the candidates (protocol "paper").
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
    label: str = ""
    ambiguity: int = 0
    pictured: bool = False
    seen: bool | None = None
    injected: bool = False

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
            **asdict(self),
            "groups": list(self.groups),
            "rank": self.rank if self.retrieved else None,
            "found_within": None if self.found_within == MISS else self.found_within,
            "probability": round(self.probability, 6),
            "nil_probability": round(self.nil_probability, 6),
            "chance": round(self.chance, 6),
            "retrieved": self.retrieved,
            "correct": self.correct,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """data (Mapping[str, Any]): what `to_json` gave; further keys are passed over.
        RETURNS (Outcome): the same outcome, probabilities to six digits.
        RAISES (KeyError): a key is missing.
        """
        values = {name: data[name] for name in cls.__slots__}
        values["groups"] = tuple(data["groups"])
        if values["rank"] is None and data["gold"] is not None:
            values["rank"] = MISS
        if values["found_within"] is None:
            values["found_within"] = MISS
        return cls(**values)


def outcomes_of(
    kb: "DweKnowledgeBase",
    scored: Sequence[ScoredMention],
    golds: Sequence[Gold],
    *,
    threshold: float = 0.0,
    seen: Collection[str] | None = None,
    rows: np.ndarray | None = None,
) -> list[Outcome]:
    """Compare scored mentions with their labels. No gold is added to the candidates
    here.

    kb (DweKnowledgeBase): the KB whose rows the mentions hold.
    scored (Sequence[ScoredMention]): the linker's scores.
    golds (Sequence[Gold]): the label of each.
    threshold (float): a link needs at least this probability.
    seen (Collection[str] | None): ids of the golds of the training data.
    rows (np.ndarray | None): what `gold_rows` gives, if that is known.
    RETURNS (list[Outcome]): one for each mention.
    """
    rows_of_golds = gold_rows(kb, golds) if rows is None else rows
    best_rows = np.array([s.rows[0] if len(s.rows) else -1 for s in scored], np.int32)
    best_ids = iter(kb.ids(best_rows[best_rows >= 0]))
    best = [next(best_ids) if row >= 0 else None for row in best_rows]
    namesakes = kb.exact([s.text for s in scored])
    labels = _labels(kb, golds, rows_of_golds)
    outcomes: list[Outcome] = []
    for i, (mention, gold) in enumerate(zip(scored, golds)):
        check_finite(mention, gold.document)
        row = int(rows_of_golds[i])
        linked, nil = is_linked(mention, threshold), float(mention.nil_probability)
        rank = None if gold.kb_id is None else rank_of(mention, row)
        where = np.flatnonzero((mention.rows == row) & (row >= 0))
        found_by = FoundBy(int(np.bitwise_or.reduce(mention.found_by[where])))
        outcomes.append(
            Outcome(
                document=gold.document,
                start=mention.start,
                end=mention.end,
                text=mention.text,
                gold=gold.kb_id,
                in_kb=row >= 0,
                rank=rank,
                found_within=_found_within(mention, rank, where, found_by),
                n_candidates=len(mention.rows),
                predicted=best[i] if linked else None,
                probability=float(mention.probabilities[0]) if linked else nil,
                nil_probability=nil,
                chance=_chance(row, namesakes[i], mention.rows),
                groups=gold.groups,
                label=labels[i],
                ambiguity=len(namesakes[i]),
                pictured=gold.pictured,
                seen=None if seen is None or gold.kb_id is None else gold.kb_id in seen,
                injected=FoundBy.INJECTED in found_by,
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
        doc = f"document {document}"
        raise DweError(Errors.E508.format(mention=mention.text, doc=doc))


def gold_rows(kb: "DweKnowledgeBase", golds: Sequence[Gold]) -> np.ndarray:
    """RETURNS (np.ndarray): KB row of each gold, -1 for NIL and for those that the KB
    lacks. Shape: (len(golds),), int32"""
    return kb.rows_of([gold.kb_id or "" for gold in golds])


def _labels(
    kb: "DweKnowledgeBase", golds: Sequence[Gold], rows: np.ndarray
) -> list[str]:
    """Types of mentions: their own, else the key "type" of their entity."""
    labels = [gold.label for gold in golds]
    unknown = [i for i, row in enumerate(rows) if row >= 0 and not labels[i]]
    for i, entity in zip(unknown, kb.entities(rows[unknown])):
        labels[i] = str(entity.extra.get(TYPE) or "")
    return labels


def _found_within(
    mention: ScoredMention,
    rank: float | None,
    where: np.ndarray,
    found_by: FoundBy,
) -> float:
    if rank is None or not len(where) or FoundBy.INJECTED in found_by:
        return MISS
    return rank if FoundBy.ALL in found_by else float(mention.places[where[0]] + 1)


def _chance(row: int, namesakes: np.ndarray, candidates: np.ndarray) -> float:
    drawn_from = namesakes if len(namesakes) else candidates
    return 1 / len(drawn_from) if row >= 0 and row in drawn_from else 0.0
