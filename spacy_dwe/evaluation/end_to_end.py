"""Links from text alone: the pipeline's own mentions, linked, against the labels."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from spacy.tokens import Doc
from spacy.util import minibatch

from ..errors import DweError, Errors
from ..spans import key_of, linked_spans, mention_finders, settings_of, spans_of
from ..tokens import DOCUMENT_ID, NIL, replace_images
from .bootstrap import DRAWS, ratio_intervals

if TYPE_CHECKING:
    from spacy.language import Language

    from ..settings import LinkerSettings

BATCH_DOCUMENTS = 256
Link = tuple[int, int, str]
"""Character offsets, id of the entity ("NIL" for none)."""


@dataclass(slots=True)
class _Counts:
    """Hits, links predicted and links labelled, of each document."""

    hits: list[int] = field(default_factory=list)
    predicted: list[int] = field(default_factory=list)
    labelled: list[int] = field(default_factory=list)

    def add(self, predicted: set[Any], labelled: set[Any]) -> None:
        self.hits.append(len(predicted & labelled))
        self.predicted.append(len(predicted))
        self.labelled.append(len(labelled))

    def measure(self, prefix: str, draws: int, seed: int) -> dict[str, Any]:
        hits, predicted, labelled = (
            np.array(values, dtype=np.float64)
            for values in (self.hits, self.predicted, self.labelled)
        )
        tops = np.stack([hits, hits, 2 * hits])
        bottoms = np.stack([predicted, labelled, predicted + labelled])
        names = [f"{prefix}_{letter}" for letter in "prf"]
        measured: dict[str, Any] = {
            name: round(float(top.sum() / bottom.sum()), 6) if bottom.sum() else None
            for name, top, bottom in zip(names, tops, bottoms)
        }
        if draws and len(hits):
            documents = np.arange(len(hits))
            low, high = ratio_intervals(
                tops, bottoms, documents, draws=draws, seed=seed
            )
            measured["intervals"] = {
                name: [round(float(a), 6), round(float(b), 6)]
                for name, a, b in zip(names, low, high)
                if not np.isnan(a)
            }
        return measured


def evaluate_end_to_end(
    nlp: "Language",
    docs: Iterable[Doc],
    *,
    use_images: bool = True,
    draws: int = DRAWS,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Run the whole pipeline on the texts and pictures of labelled documents.

    A predicted mention is right if its offsets are those of a label (strong matching);
    one that has a label without an id is left out, and so is one that the linker does
    not link by its own label. All other predicted mentions are
    counted, so where only some mentions of a text are labelled, precision is a lower
    bound.

    docs (Iterable[Doc]): entities, or the spans that the linker reads instead, carry
        the labels as kb_id, "NIL" for none in the KB.
    use_images (bool): False takes all pictures away.
    draws, seed (int): of the bootstrap intervals, documents drawn with replacement.
    progress (Callable[[int], None] | None): called with the documents just finished.
    RETURNS (dict[str, Any]): precision, recall and F1 as `mention_p`, `mention_r`,
        `mention_f` (offsets alone), `micro_p`, … (offsets and entity; neither a label
        nor a prediction of NIL counts), `nil_p`, … (offsets and NIL), their
        `intervals`, `n_predicted`, `n_labelled`, and `in_kb_accuracy`, the share of
        right links among the mentions that were found and whose label is an entity.
    RAISES (DweError): the pipeline finds no mentions.
    """
    settings = settings_of(nlp)
    if not mention_finders(nlp):
        raise DweError(Errors.E431.format(pipeline="The pipeline"))
    mentions, links, nils = _Counts(), _Counts(), _Counts()
    n_found = n_right = 0
    for batch in minibatch(_by_text(docs), BATCH_DOCUMENTS):
        texts = [_unlabelled(nlp, copies[0], use_images) for copies in batch]
        for copies, predicted in zip(batch, nlp.pipe(texts)):
            gold, ours = _links(copies, predicted, settings)
            mentions.add({link[:2] for link in ours}, {link[:2] for link in gold})
            links.add(_entities(ours), _entities(gold))
            nils.add(ours - _entities(ours), gold - _entities(gold))
            spans = {link[:2] for link in ours}
            found = {link for link in _entities(gold) if link[:2] in spans}
            n_found += len(found)
            n_right += len(found & ours)
        if progress is not None:
            progress(sum(map(len, batch)))
    result: dict[str, Any] = {"intervals": {}}
    for prefix, counts in (("mention", mentions), ("micro", links), ("nil", nils)):
        measured = counts.measure(prefix, draws, seed)
        result["intervals"] |= measured.pop("intervals", {})
        result |= measured
    return result | {
        "n_predicted": sum(mentions.predicted),
        "n_labelled": sum(mentions.labelled),
        "in_kb_accuracy": round(n_right / n_found, 6) if n_found else None,
    }


def _unlabelled(nlp: "Language", labels: Doc, use_images: bool) -> Doc:
    """The same text with its pictures, as a user would pass it."""
    doc = nlp.make_doc(labels.text)
    if DOCUMENT_ID in labels.user_data:
        doc.user_data[DOCUMENT_ID] = labels.user_data[DOCUMENT_ID]
    if use_images:
        replace_images(doc, labels)
    return doc


def _by_text(docs: Iterable[Doc]) -> Iterator[list[Doc]]:
    """Copies of one document, which overlapping labels are spread over."""

    def identity(numbered: tuple[int, Doc]) -> tuple[Any, str]:
        number, doc = numbered
        return doc.user_data.get(DOCUMENT_ID, number), doc.text

    for _, copies in groupby(enumerate(docs), identity):
        yield [doc for _, doc in copies]


def _links(
    copies: Sequence[Doc], predicted: Doc, settings: "LinkerSettings | None"
) -> tuple[set[Link], set[Link]]:
    key = key_of(settings)
    given = _as_links(span for doc in copies for span in spans_of(doc, key))
    gold = _as_links(span for doc in copies for span in linked_spans(doc, settings))
    gold = {link for link in gold if link[2]}
    left_out = {link[:2] for link in given} - {link[:2] for link in gold}
    ours = _as_links(linked_spans(predicted, settings))
    return gold, {link for link in ours if link[:2] not in left_out}


def _as_links(spans: Iterable[Any]) -> set[Link]:
    return {(span.start_char, span.end_char, span.kb_id_) for span in spans}


def _entities(links: set[Link]) -> set[Link]:
    return {link for link in links if link[2] != NIL}
