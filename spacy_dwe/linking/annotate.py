"""From prepared mentions to what the network reads, from its logits to ranked
candidates, and from these to annotations."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np
from spacy.tokens import Doc

from ..errors import DweError, Errors
from ..kb.candidates import found_by_names
from ..kb.vectors.entity_index import SCORE_DECIMALS
from ..links import KBCandidate
from ..model.spec import Columns
from ..spans import numbered_spans, set_kb_id
from ..tokens import NIL, add_candidates, sign_link
from .mentions import Mention

if TYPE_CHECKING:
    from ..kb.knowledge_base import DweKnowledgeBase
    from ..model.combiner import CombinedScores
    from ..model.inputs import PreparedMention
    from ..settings import LinkerSettings


@dataclass(frozen=True, slots=True)
class ScoredMention:
    """One mention with all its candidates, best first.

    doc (int): position of the document in the scored sequence.
    start, end (int): character offsets of the mention in its document.
    text (str): the mention.
    rows (np.ndarray): KB rows of the candidates. Shape: (n_candidates,), int32
    found_by (np.ndarray): how each was found, as `FoundBy`.
        Shape: (n_candidates,), uint8
    places (np.ndarray): where each stood in the generator's list, from 0.
        Shape: (n_candidates,), int32
    scores (np.ndarray): combined logits, rounded to `SCORE_DECIMALS`.
        Shape: (n_candidates,), float32
    probabilities (np.ndarray): softmax over candidates and NIL.
        Shape: (n_candidates,), float32
    nil_score, nil_probability (float): the same for the NIL candidate.
    nil_features (np.ndarray): what NIL's score is linear in but for the shift by the
        KB's coverage, see `CombinedScores`.
        Shape: (7,), float32
    contributions (dict): what each channel added to the logit of each candidate; they
        add up to `scores` before rounding. Shape of each: (n_candidates,), float32
    """

    doc: int
    start: int
    end: int
    text: str
    rows: np.ndarray
    found_by: np.ndarray
    places: np.ndarray
    scores: np.ndarray
    probabilities: np.ndarray
    nil_score: float
    nil_probability: float
    nil_features: np.ndarray
    contributions: dict[str, np.ndarray]


def rank_candidates(
    mentions: Sequence[Mention],
    prepared: Sequence["PreparedMention"],
    scores: "CombinedScores",
    *,
    columns: Columns,
    channels: Sequence[str],
    kb: "DweKnowledgeBase",
    nil_shift: float = 0.0,
) -> list[ScoredMention]:
    """Order the candidates of a batch of mentions.

    mentions (Sequence[Mention]): the mentions.
    prepared (Sequence[PreparedMention]): their candidates.
    scores (CombinedScores): the network's logits.
    columns (Columns): of the features.
    channels (Sequence[str]): channels to report contributions of.
    kb (DweKnowledgeBase): breaks ties by id.
    nil_shift (float): added to NIL's logit, see `coverage_shift`.
    RETURNS (list[ScoredMention]): one a mention.
    RAISES (DweError): a score is NaN or infinite.
    """
    logits = np.round(scores.logits.float().cpu().numpy(), SCORE_DECIMALS)
    nil = scores.nil.float().cpu().numpy() + np.float32(nil_shift)
    sort_keys = kb.sort_keys(np.concatenate([own.rows for own in prepared]))
    nil_features = scores.nil_features.float().cpu().numpy()
    by_column = np.moveaxis(scores.by_column.float().cpu().numpy(), 2, 0)
    by_channel = {
        channel: by_column[places].sum(axis=0)
        for channel, places in columns.by_channel.items()
        if channel in channels
    }
    ranked, first = [], 0
    for index, (mention, own) in enumerate(zip(mentions, prepared)):
        n = len(own.rows)
        rounded = logits[index, :n]
        if not (np.isfinite(rounded).all() and np.isfinite(nil[index])):
            raise DweError(
                Errors.E508.format(mention=mention.text, doc=mention.doc_name)
            )
        order = rank_order(rounded, sort_keys[first : first + n])
        first += n
        rounded = rounded[order]
        probabilities, nil_probability = softmax_with_nil(rounded, float(nil[index]))
        ranked.append(
            ScoredMention(
                doc=mention.doc,
                start=mention.start,
                end=mention.end,
                text=mention.text,
                rows=own.rows[order],
                found_by=own.found_by[order],
                places=order.astype(np.int32),
                scores=rounded,
                probabilities=probabilities,
                nil_score=float(nil[index]),
                nil_probability=nil_probability,
                nil_features=nil_features[index],
                contributions={
                    channel: values[index, :n][order]
                    for channel, values in by_channel.items()
                },
            )
        )
    return ranked


def annotate(
    docs: Iterable[Doc],
    scored: Sequence[ScoredMention],
    kb: "DweKnowledgeBase",
    *,
    settings: "LinkerSettings",
    linker: str,
) -> None:
    """Write links and ranked candidates onto documents.

    docs (Iterable[Doc]): the documents.
    scored (Sequence[ScoredMention]): one for each of their mentions, in order.
    kb (DweKnowledgeBase): gives ids, titles and descriptions.
    settings (LinkerSettings): which spans are mentions, what is kept and replaced.
    linker (str): name of the component.
    """
    top_k, group = settings.top_k, settings.spans_key
    by: dict[str, Any] = {"linker": linker, "in_group": group is not None}
    kept = [mention.rows[: max(1, top_k)] for mention in scored]
    rows = np.unique(np.concatenate(kept))
    known = dict(zip(rows.tolist(), kb.titles(rows)))
    spans = (place for doc in docs for place in numbered_spans(doc, settings))
    for (number, span), mention in zip(spans, scored):
        candidates = _kept(mention, known, top_k, linker)
        add_candidates(span, candidates, attribute=settings.candidates_attr, **by)
        limit = max(settings.threshold, mention.nil_probability)
        is_link = len(mention.rows) and mention.probabilities[0] >= limit
        kb_id = known[mention.rows[0]][0] if is_link else NIL
        if sign_link(span, kb_id, overwrite=settings.overwrite, **by):
            set_kb_id(span, number, kb_id, group)


def _kept(
    mention: ScoredMention,
    known: dict[int, tuple[str, str, str]],
    top_k: int,
    linker: str,
) -> tuple[KBCandidate, ...]:
    """RETURNS (tuple[KBCandidate, ...]): the best candidates of a mention."""
    rows = mention.rows[:top_k].tolist()
    if not rows:
        return ()
    said: list[dict[str, float]] = [{} for _ in rows]
    for channel, values in mention.contributions.items():
        for own, value in zip(said, values[:top_k].tolist()):
            own[channel] = value
    return tuple(
        map(
            KBCandidate,
            *zip(*map(known.__getitem__, rows)),
            mention.probabilities[:top_k].tolist(),
            said,
            map(found_by_names, mention.found_by[:top_k].tolist()),
            repeat(linker),
        )
    )


def rank_order(scores: np.ndarray, sort_keys: np.ndarray) -> np.ndarray:
    """Positions of candidates from best to worst: by rounded score, then by sort key.

    scores (np.ndarray): already rounded to `SCORE_DECIMALS`. Shape: (n,)
    sort_keys (np.ndarray): position of each entity's id in id order. Shape: (n,)
    RETURNS (np.ndarray): Shape: (n,), int64
    """
    return np.lexsort((sort_keys, -scores))


def softmax_with_nil(scores: np.ndarray, nil: float) -> tuple[np.ndarray, float]:
    """Probabilities of the candidates and of NIL.

    scores (np.ndarray): logits, best first. Shape: (n,)
    nil (float): logit of NIL.
    RETURNS (tuple): Shape: (n,), and the probability of NIL.
    """
    top = max(nil, float(scores[0])) if len(scores) else nil
    weights = np.exp(scores - top)
    nil_weight = float(np.exp(nil - top))
    total = float(weights.sum()) + nil_weight
    return weights / total, nil_weight / total
