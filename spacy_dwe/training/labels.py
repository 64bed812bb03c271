"""What training examples say of their mentions."""

import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from spacy.tokens import Doc, Span
from spacy.training import Example

from ..errors import Warnings
from ..linking.mentions import Mention, mentions_in
from ..spans import linked_spans, spans_of
from ..tokens import NIL, has_images

if TYPE_CHECKING:
    from ..kb.knowledge_base import DweKnowledgeBase
    from ..model.inputs import PreparedMention
    from ..settings import LinkerSettings

MOST_FITTED = 20_000
"""Mentions that weights are fitted to all at once, at most."""


def labelled_mentions(
    examples: Sequence[Example],
    *,
    use_gold_ents: bool,
    attributes: Sequence[str] = (),
    settings: "LinkerSettings | None" = None,
) -> tuple[list[Mention], list[str]]:
    """Labelled mentions of a batch of examples.

    Their pictures are those of the predicted document, or the reference's where it
    has none.

    examples (Sequence[Example]): predicted and reference documents.
    use_gold_ents (bool): take all labelled mentions of the reference; otherwise those
        that the predicted document has too, with the same offsets.
    attributes (Sequence[str]): custom attributes that channels read.
    settings (LinkerSettings | None): say which spans are mentions; None = entities.
    RETURNS (tuple[list[Mention], list[str]]): mentions and the kb_id of each.
    """
    mentions: list[Mention] = []
    gold_ids: list[str] = []
    for index, example in enumerate(examples):
        predicted = example.predicted
        spans = golds = _labelled(example.reference, settings)
        if not use_gold_ents:
            found = linked_spans(predicted, settings)
            pairs = [(span, _same(span, golds)) for span in found]
            spans = [span for span, gold in pairs if gold is not None]
            golds = [gold for _, gold in pairs if gold is not None]
        pictured = predicted if has_images(predicted) else example.reference
        mentions += mentions_in(
            predicted,
            index,
            spans,
            pictured,
            attributes=attributes,
            labelled=example.reference,
        )
        gold_ids += [gold.kb_id_ for gold in golds]
    return mentions, gold_ids


def _labelled(doc: Doc, settings: "LinkerSettings | None") -> list[Span]:
    return [span for span in linked_spans(doc, settings) if span.kb_id_]


def _same(span: Span, golds: Sequence[Span]) -> Span | None:
    """The gold of the same characters; of several the one of the same label."""
    place = span.start_char, span.end_char
    same = [gold for gold in golds if (gold.start_char, gold.end_char) == place]
    return max(same, key=lambda gold: gold.label_ == span.label_, default=None)


def some_labelled_mentions(
    get_examples: Callable[[], Iterable[Example]],
    most: int = MOST_FITTED,
    attributes: Sequence[str] = (),
    settings: "LinkerSettings | None" = None,
) -> tuple[list[Mention], list[str]]:
    """Labelled mentions of a corpus, evenly from all parts of it if there are many.

    get_examples (Callable): returns the examples, and is called twice.
    most (int): as many mentions, give or take those of one document.
    attributes (Sequence[str]): custom attributes that channels read.
    settings (LinkerSettings | None): say which spans are mentions; None = entities.
    RETURNS (tuple[list[Mention], list[str]]): mentions and the kb_id of each.
    """
    total = sum(len(_labelled(each.reference, settings)) for each in get_examples())
    mentions: list[Mention] = []
    gold_ids: list[str] = []
    seen = 0
    for example in get_examples():
        # Mentions are taken as long as no larger share of them was taken than may be.
        if len(mentions) * total <= seen * most:
            own, ids = labelled_mentions(
                [example],
                use_gold_ents=True,
                attributes=attributes,
                settings=settings,
            )
            mentions += own
            gold_ids += ids
        seen += len(_labelled(example.reference, settings))
    return mentions, gold_ids


N_MENTIONS = 200
"""Mentions after which a run is judged; those of a second epoch count again."""

N_EXAMPLES = 3
"""Ids that a warning shows."""


class SetupCheck:
    """Watches the first mentions of a training run for mistakes in its set-up.

    golds (Collection[str] | None): labels of the training data; None = not known, as
        in a run that continues another, which spaCy does not initialise.
    """

    def __init__(self, golds: Collection[str] | None = None) -> None:
        self.golds = None if golds is None else set(golds)
        self.seen_golds: Counter[str] = Counter()
        self.n_labelled = 0
        self.n_mentions = 0
        self.has_entities = False
        self.has_choice = False

    def at_documents(
        self, examples: Sequence[Example], settings: "LinkerSettings"
    ) -> None:
        """Warn if nothing recognises mentions.

        examples (Sequence[Example]): a batch.
        settings (LinkerSettings): see `labelled_mentions`.
        """
        if settings.use_gold_ents or self.has_entities or self.n_labelled >= N_MENTIONS:
            return
        key = settings.spans_key
        self.has_entities = any(spans_of(each.predicted, key) for each in examples)
        self.n_labelled += sum(
            len(_labelled(each.reference, settings)) for each in examples
        )
        if not self.has_entities and self.n_labelled >= N_MENTIONS:
            warnings.warn(Warnings.W500.format(n=self.n_labelled), stacklevel=4)

    def at_mentions(
        self,
        mentions: Sequence["PreparedMention"],
        golds: Sequence[str],
        kb: "DweKnowledgeBase",
        n_candidates: int,
    ) -> bool:
        """Warn if there is nothing to choose from, or what labels are no use.

        mentions (Sequence[PreparedMention]): those of a batch.
        golds (Sequence[str]): label of each.
        kb (DweKnowledgeBase): the KB.
        n_candidates (int): most candidates a mention can have.
        RETURNS (bool): these were the last that are looked at.
        """
        if self.n_mentions >= N_MENTIONS:
            return False
        self.n_mentions += len(mentions)
        self.has_choice |= any(len(each.rows) > 1 for each in mentions)
        self.seen_golds.update(golds)
        if self.n_mentions < N_MENTIONS:
            return False
        if self.golds is None:
            warn_of_golds(self.seen_golds, kb)
        if not self.has_choice:
            warnings.warn(
                Warnings.W504.format(
                    n=self.n_mentions, kb=kb.path, n_candidates=n_candidates
                ),
                stacklevel=4,
            )
        return True


def covered_share(golds: Mapping[str, int], kb: "DweKnowledgeBase") -> float:
    """RETURNS (float): share of mentions whose entity is in the KB.

    golds (Mapping[str, int]): labels, and how many mentions have each.
    kb (DweKnowledgeBase): the KB.
    """
    counts = np.array([*golds.values()])
    return float(counts[kb.rows_of([*golds]) >= 0].sum() / counts.sum())


def warn_of_golds(golds: Collection[str], kb: "DweKnowledgeBase") -> None:
    """Warn if the KB lacks most entities that training data names.

    golds (Collection[str]): the labels.
    kb (DweKnowledgeBase): the KB.
    """
    ids = sorted({*golds} - {NIL})
    if not ids:
        warnings.warn(Warnings.W505.format(kb=kb.path), stacklevel=3)
        return
    missing = [id_ for id_, row in zip(ids, kb.rows_of(ids)) if row < 0]
    found = len(ids) - len(missing)
    if 2 * found >= len(ids):
        return
    shown = {"n": len(ids), "kb": kb.path, "missing": _some(missing)}
    if found:
        message = Warnings.W503.format(found=found, **shown)
    else:
        rows = kb.all_rows(1).rows[:N_EXAMPLES]
        message = Warnings.W502.format(present=_some(kb.ids(rows)), **shown)
    warnings.warn(message, stacklevel=3)


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:N_EXAMPLES])
