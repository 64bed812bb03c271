"""What the linker trains on: mentions with labels, contexts and pictures."""

import pytest
import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example
from tiny_world import example

from spacy_dwe.training.labels import labelled_mentions, some_labelled_mentions


@pytest.fixture
def nlp():
    return spacy.blank("xx")


def test_tokens_may_differ_from_the_labels(nlp):
    text = "GeorgiaGuinea won."
    predicted = nlp.make_doc(text)
    predicted._.images = "red.png"
    reference = Doc(nlp.vocab, ["Georgia", "Guinea", "won."], [False, True, False])
    reference.ents = [
        Span(reference, 0, 1, "PLACE", kb_id="Georgia-red"),
        Span(reference, 1, 2, "PLACE", kb_id="Guinea-red"),
    ]
    pair = Example(predicted, reference)
    mentions, golds = labelled_mentions([pair], use_gold_ents=True)
    assert [(m.text, m.context, m.context_start) for m in mentions] == [
        ("Georgia", text, 0),
        ("Guinea", text, 7),
    ]
    assert golds == ["Georgia-red", "Guinea-red"]


def test_pictures_come_from_either_document(nlp):
    for side in ("predicted", "reference"):
        made = example(nlp, "Georgia won.", ("Georgia", "Georgia-red"))
        doc = getattr(made, side)
        doc._.images = "blue.png"
        (mention,), _ = labelled_mentions([made], use_gold_ents=True)
        assert [ref.path for ref in mention.images] == ["blue.png"]
        doc[0:1]._.images = "red.png"
        (mention,), _ = labelled_mentions([made], use_gold_ents=True)
        assert [ref.path for ref in mention.images] == ["red.png"]


@pytest.mark.parametrize(("most", "expected"), [(100, 12), (4, 4), (1, 1)])
def test_some_mentions_are_taken_from_all_parts_of_a_corpus(nlp, most, expected):
    texts = [f"Georgia won {number}." for number in range(12)]
    made = [example(nlp, text, ("Georgia", "Georgia-red")) for text in texts]
    mentions, golds = some_labelled_mentions(lambda: made, most)
    assert len(mentions) == len(golds) == expected
    places = [texts.index(mention.context) for mention in mentions]
    assert places == [12 // expected * nth for nth in range(expected)]
