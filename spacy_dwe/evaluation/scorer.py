"""The linker's scorer for `spacy train` and `spacy evaluate`."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from spacy.tokens import Doc, Span
from spacy.training import Example

from ..spans import key_of, linked_spans, spans_of
from ..tokens import NIL, has_images, replace_images
from .outcomes import gold_mentions, outcomes_of
from .ranking import measure

if TYPE_CHECKING:
    from ..pipeline import DweLinker
    from ..settings import LinkerSettings

Scores = dict[str, float | None]
RANKED = {
    "nel_top1": "top1",
    "nel_mrr": "mrr",
    "nel_recall_100": "recall@100",
    "nel_nil_f": "nil_f1",
}
Link = tuple[int, int, int, str]
"""Position of the document, character offsets, id of the entity."""


def make_linker_scorer() -> Callable[..., Scores]:
    """Create a scorer of entity links, registered as `spacy-dwe.LinkerScorer.v1`."""
    return score_links


def score_links(
    examples: Iterable[Example],
    *,
    linker: "DweLinker | None" = None,
    threshold: float = 0.0,
    **kwargs: Any,
) -> Scores:
    """Score the linker on the labelled mentions of the reference documents.

    The linker scores these mentions itself, so ranks do not depend on what a pipeline
    recognises, and stock `spacy evaluate`, whose documents are made again from their
    text, sees the mentions and the pictures of the reference. An entity with the
    kb_id "NIL" is labelled as absent from the KB; one without a kb_id is unlabelled
    and left out, as one is that the linker does not link by its label. With `spans_key`
    the spans of that group are read instead of the entities.

    examples (Iterable[Example]): predicted and reference documents.
    linker (DweLinker | None): None leaves the ranks undefined.
    threshold (float): a link needs at least this probability.
    RETURNS (dict[str, float | None]): `nel_top1`, `nel_mrr`, `nel_recall_100`,
        `nel_nil_f` (see `ranking.measure`), and `nel_micro_p`, `nel_micro_r`,
        `nel_micro_f` over links (offsets and id equal, NIL left out): those of the
        predicted documents, or of the labelled mentions if no document has any
        entity. None where nothing was there to be measured.
    """
    examples = list(examples)
    scores: Scores = dict.fromkeys(RANKED)
    of_gold_mentions: set[Link] = set()
    settings = None if linker is None else linker.settings
    if linker is not None and linker.kb is not None:
        docs, golds = [], []
        for index, example in enumerate(examples):
            doc, labels = gold_mentions(example.reference, str(index), settings)
            if has_images(example.predicted):
                replace_images(doc, example.predicted)
            _take_sentences(doc, example.predicted)
            docs.append(doc)
            golds.extend(labels)
        scored = linker.score_mentions(docs)
        outcomes = outcomes_of(linker.kb, scored, golds, threshold=threshold)
        measured = measure(outcomes, draws=0)
        scores = {name: measured[key] for name, key in RANKED.items()}
        of_gold_mentions = {
            (mention.doc, mention.start, mention.end, outcome.predicted)
            for mention, outcome in zip(scored, outcomes)
            if outcome.predicted is not None
        }
    return scores | _micro(examples, of_gold_mentions, settings)


def _take_sentences(doc: Doc, predicted: Doc) -> None:
    """Sentences as the pipeline found them, which are the contexts it links in, where
    the labels say nothing of sentences."""
    found = predicted.has_annotation("SENT_START")
    if found and not doc.has_annotation("SENT_START"):
        starts = {token.idx for token in predicted if token.is_sent_start}
        for token in doc:
            token.is_sent_start = token.idx in starts


def _micro(
    examples: Sequence[Example],
    of_gold_mentions: set[Link],
    settings: "LinkerSettings | None",
) -> Scores:
    key = key_of(settings)
    labelled: set[Link] = set()
    predicted: set[Link] = set()
    given: set[tuple[int, int, int]] = set()
    for index, example in enumerate(examples):
        labelled |= _links(linked_spans(example.reference, settings), index)
        predicted |= _links(linked_spans(example.predicted, settings), index)
        given |= {
            (index, span.start_char, span.end_char)
            for span in spans_of(example.reference, key)
        }
    if not any(spans_of(example.predicted, key) for example in examples):
        predicted = of_gold_mentions
    unlabelled = given - {link[:3] for link in labelled}
    gold = {link for link in labelled if link[3] != NIL}
    predicted = {
        link for link in predicted if link[3] != NIL and link[:3] not in unlabelled
    }
    hits = len(gold & predicted)
    both = len(gold) + len(predicted)
    return {
        "nel_micro_p": hits / len(predicted) if predicted else None,
        "nel_micro_r": hits / len(gold) if gold else None,
        "nel_micro_f": 2 * hits / both if both else None,
    }


def _links(spans: Sequence[Span], index: int) -> set[Link]:
    """What has an id, or "NIL", of the document at a position."""
    return {
        (index, span.start_char, span.end_char, span.kb_id_)
        for span in spans
        if span.kb_id_
    }
