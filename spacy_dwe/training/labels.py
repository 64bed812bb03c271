"""What training examples say of their mentions."""

from collections.abc import Callable, Iterable, Sequence

from spacy.training import Example

from ..mentions import Mention, mentions_in
from ..tokens import has_images

MOST_FITTED = 20_000
"""Mentions that weights are fitted to all at once, at most."""


def labelled_mentions(
    examples: Sequence[Example], *, use_gold_ents: bool
) -> tuple[list[Mention], list[str]]:
    """Labelled mentions of a batch of examples.

    Their pictures are those of the predicted document, or the reference's where it
    has none.

    examples (Sequence[Example]): predicted and reference documents.
    use_gold_ents (bool): take all labelled entities of the reference; otherwise those
        that the predicted document has too, with the same offsets.
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
        mentions += mentions_in(predicted, index, spans, pictured)
        gold_ids += [gold[s.start_char, s.end_char].kb_id_ for s in spans]
    return mentions, gold_ids


def some_labelled_mentions(
    get_examples: Callable[[], Iterable[Example]], most: int = MOST_FITTED
) -> tuple[list[Mention], list[str]]:
    """Labelled mentions of a corpus, evenly from all parts of it if there are many.

    get_examples (Callable): returns the examples, and is called twice.
    most (int): as many mentions, give or take those of one document.
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
            own, ids = labelled_mentions([example], use_gold_ents=True)
            mentions += own
            gold_ids += ids
        seen += sum(bool(ent.kb_id_) for ent in example.reference.ents)
    return mentions, gold_ids
