"""What training examples say of their mentions."""

import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from spacy.training import Example

from ..errors import Warnings
from ..linking.mentions import Mention, mentions_in
from ..tokens import NIL, has_images

if TYPE_CHECKING:
    from ..kb.knowledge_base import DweKnowledgeBase
    from ..model.inputs import PreparedMention

MOST_FITTED = 20_000
"""Mentions that weights are fitted to all at once, at most."""


def labelled_mentions(
    examples: Sequence[Example],
    *,
    use_gold_ents: bool,
    attributes: Sequence[str] = (),
) -> tuple[list[Mention], list[str]]:
    """Labelled mentions of a batch of examples.

    Their pictures are those of the predicted document, or the reference's where it
    has none.

    examples (Sequence[Example]): predicted and reference documents.
    use_gold_ents (bool): take all labelled entities of the reference; otherwise those
        that the predicted document has too, with the same offsets.
    attributes (Sequence[str]): custom attributes that channels read.
    RETURNS (tuple[list[Mention], list[str]]): mentions and the kb_id of each.
    """
    mentions: list[Mention] = []
    gold_ids: list[str] = []
    for index, example in enumerate(examples):
        gold = {
            (ent.start_char, ent.end_char): ent
            for ent in example.reference.ents
            if ent.kb_id_
        }
        spans = list(gold.values())
        if not use_gold_ents:
            found = example.predicted.ents
            spans = [e for e in found if (e.start_char, e.end_char) in gold]
        predicted = example.predicted
        pictured = predicted if has_images(predicted) else example.reference
        mentions += mentions_in(
            predicted,
            index,
            spans,
            pictured,
            attributes=attributes,
            labelled=example.reference,
        )
        gold_ids += [gold[s.start_char, s.end_char].kb_id_ for s in spans]
    return mentions, gold_ids


def some_labelled_mentions(
    get_examples: Callable[[], Iterable[Example]],
    most: int = MOST_FITTED,
    attributes: Sequence[str] = (),
) -> tuple[list[Mention], list[str]]:
    """Labelled mentions of a corpus, evenly from all parts of it if there are many.

    get_examples (Callable): returns the examples, and is called twice.
    most (int): as many mentions, give or take those of one document.
    attributes (Sequence[str]): custom attributes that channels read.
    RETURNS (tuple[list[Mention], list[str]]): mentions and the kb_id of each.
    """
    total = sum(
        bool(ent.kb_id_) for each in get_examples() for ent in each.reference.ents
    )
    mentions: list[Mention] = []
    gold_ids: list[str] = []
    seen = 0
    for example in get_examples():
        # Mentions are taken as long as no larger share of them was taken than may be.
        if len(mentions) * total <= seen * most:
            own, ids = labelled_mentions(
                [example], use_gold_ents=True, attributes=attributes
            )
            mentions += own
            gold_ids += ids
        seen += sum(bool(ent.kb_id_) for ent in example.reference.ents)
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

    def at_documents(self, examples: Sequence[Example], use_gold_ents: bool) -> None:
        """Warn if nothing recognises entities.

        examples (Sequence[Example]): a batch.
        use_gold_ents (bool): see `labelled_mentions`.
        """
        if use_gold_ents or self.has_entities or self.n_labelled >= N_MENTIONS:
            return
        self.has_entities = any(len(each.predicted.ents) for each in examples)
        self.n_labelled += sum(
            bool(ent.kb_id_) for each in examples for ent in each.reference.ents
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
