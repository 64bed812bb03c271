"""The linker's scorer for `spacy train` and `spacy evaluate`."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from spacy.tokens import Doc
from spacy.training import Example

from ..tokens import NIL, has_images, replace_images
from .outcomes import gold_mentions, outcomes_of
from .ranking import measure

if TYPE_CHECKING:
    from ..pipeline import DweLinker

Scores = dict[str, float | None]
RANKED = {
    "nel_top1": "top1",
    "nel_mrr": "mrr",
    "nel_recall_100": "recall@100",
    "nel_nil_f": "nil_f1",
}
Link = tuple[int, int, int]
"""Position of the document, character offsets."""


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
    and left out.

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
    of_gold_mentions: dict[Link, str] = {}
    if linker is not None and linker.kb is not None:
        docs, golds = [], []
        for index, example in enumerate(examples):
            doc, labels = gold_mentions(example.reference, str(index))
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
            (mention.doc, mention.start, mention.end): outcome.predicted
            for mention, outcome in zip(scored, outcomes)
            if outcome.predicted is not None
        }
    return scores | _micro(examples, of_gold_mentions)


def _take_sentences(doc: Doc, predicted: Doc) -> None:
    """Sentences as the pipeline found them, which are the contexts it links in, where
    the labels say nothing of sentences."""
    found = predicted.has_annotation("SENT_START")
    if found and not doc.has_annotation("SENT_START"):
        starts = {token.idx for token in predicted if token.is_sent_start}
        for token in doc:
            token.is_sent_start = token.idx in starts


def _micro(examples: Sequence[Example], of_gold_mentions: dict[Link, str]) -> Scores:
    gold: dict[Link, str] = {}
    unlabelled: set[Link] = set()
    predicted: dict[Link, str] = {}
    for index, example in enumerate(examples):
        for ent in example.reference.ents:
            link = (index, ent.start_char, ent.end_char)
            if not ent.kb_id_:
                unlabelled.add(link)
            elif ent.kb_id_ != NIL:
                gold[link] = ent.kb_id_
        for ent in example.predicted.ents:
            if ent.kb_id_ and ent.kb_id_ != NIL:
                predicted[index, ent.start_char, ent.end_char] = ent.kb_id_
    if not any(len(example.predicted.ents) for example in examples):
        predicted = of_gold_mentions
    predicted = {k: kb_id for k, kb_id in predicted.items() if k not in unlabelled}
    hits = sum(gold.get(link) == kb_id for link, kb_id in predicted.items())
    both = len(gold) + len(predicted)
    return {
        "nel_micro_p": hits / len(predicted) if predicted else None,
        "nel_micro_r": hits / len(gold) if gold else None,
        "nel_micro_f": 2 * hits / both if both else None,
    }
