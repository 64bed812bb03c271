"""What training examples say of their mentions."""

import warnings
from collections.abc import Sequence

from spacy.training import Example

from ..errors import Warnings
from ..mentions import Mention, mentions_in
from ..tokens import has_images


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
    n_labelled = 0
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
        n_labelled += len(gold)
    recognised = use_gold_ents or any(len(e.predicted.ents) for e in examples)
    if n_labelled and not recognised:
        warnings.warn(Warnings.W500, stacklevel=2)
    return mentions, gold_ids
