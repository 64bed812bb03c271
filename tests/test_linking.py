"""What the linker writes onto documents."""

import io

import pytest
import spacy
from PIL import Image

from spacy_dwe.links import KBCandidate


def link(nlp, doc):
    return [ent.kb_id_ for ent in nlp(doc).ents]


@pytest.mark.parametrize("colour", ["red", "blue"])
def test_the_picture_decides_between_namesakes(nlp, document, picture, colour):
    doc = document("Georgia beat Korea.", picture(colour, shade=3))
    assert link(nlp, doc) == [f"Georgia-{colour}", f"Korea-{colour}"]


def test_candidates_are_ranked_and_explained(nlp, document, picture):
    doc = nlp(document("Georgia won.", picture("red")))
    first, second = doc.ents[0]._.kb_candidates
    assert isinstance(first, KBCandidate)
    assert (first.id, first.title, first.description) == ("Georgia-red", "Georgia", "")
    assert second.id == "Georgia-blue"
    assert 1 > first.probability > second.probability > 0
    assert set(first.scores) == {"name", "prior", "facts", "text", "image"}
    assert first.scores["name"] == second.scores["name"] > 0
    assert first.scores["prior"] == 0, "the KB has no priors"
    assert first.scores["image"] > second.scores["image"]


def test_contributions_add_up_to_the_score(nlp, document, picture):
    doc = document("Georgia beat Korea.", picture("red"))
    for mention in nlp.get_pipe("dwe_linker").predict([doc]):
        total = sum(mention.contributions.values())
        assert mention.scores == pytest.approx(total, abs=2e-5)
        rest = mention.probabilities.sum() + mention.nil_probability
        assert rest == pytest.approx(1, abs=1e-6)


def test_predict_leaves_documents_alone(nlp, document, picture):
    doc = document("Georgia won.", picture("red"))
    before = doc.to_bytes()
    nlp.get_pipe("dwe_linker").predict([doc])
    assert doc.to_bytes() == before


@pytest.mark.parametrize("form", ["path", "bytes", "PIL", "list"])
def test_pictures_are_taken_in_any_form(nlp, document, picture, form):
    with Image.open(picture("red")) as image:
        buffer = io.BytesIO()
        image.save(buffer, format="PNG")
        given = {
            "path": picture("red"),
            "bytes": buffer.getvalue(),
            "PIL": image.copy(),
            "list": [picture("red"), picture("red", shade=1)],
        }[form]
    doc = document("Georgia won.")
    doc._.images = given
    assert link(nlp, doc) == ["Georgia-red"]


def test_a_mention_may_have_its_own_picture(nlp, document, picture):
    doc = document("Georgia beat Korea and Samoa.", picture("blue"))
    doc.ents[0]._.images = picture("red")
    doc.ents[1]._.images = ()
    georgia, korea, samoa = nlp(doc).ents
    assert (georgia.kb_id_, samoa.kb_id_) == ("Georgia-red", "Samoa-blue")
    image = [candidate.scores["image"] for candidate in korea._.kb_candidates]
    assert image == [0, 0]


def test_of_several_pictures_the_best_counts(nlp, document, picture):
    mixed = nlp(document("Georgia won.", picture("red"), picture("blue")))
    a, b = mixed.ents[0]._.kb_candidates
    assert a.scores["image"] == pytest.approx(b.scores["image"], abs=1e-2)


def test_without_a_picture_namesakes_tie_and_fall_by_id(nlp, document):
    (ent,) = nlp(document("Georgia won.")).ents
    first, second = ent._.kb_candidates
    assert (first.id, second.id) == ("Georgia-blue", "Georgia-red")
    assert first.probability == second.probability
    assert ent.kb_id_ == "Georgia-blue"


def test_top_k_bounds_what_is_kept_not_what_is_scored(kb, pipeline, document, picture):
    for top_k in (0, 1, 5):
        nlp = pipeline(kb, top_k=top_k)
        doc = document("Georgia won.", picture("red"), vocab=nlp.vocab)
        (mention,) = nlp.get_pipe("dwe_linker").predict([doc])
        assert len(mention.rows) == 2
        (ent,) = nlp(doc).ents
        assert ent.kb_id_ == "Georgia-red"
        assert len(ent._.kb_candidates) == min(2, top_k)


def test_n_candidates_bounds_what_is_scored(kb, pipeline, document):
    linker = pipeline(kb, n_candidates=1).get_pipe("dwe_linker")
    (mention,) = linker.predict([document("Georgia won.")])
    assert len(mention.rows) == 1


def test_below_the_threshold_a_mention_is_nil(kb, pipeline, document, picture):
    for threshold, expected in ((0.0, "Georgia-red"), (1.0, "NIL")):
        nlp = pipeline(kb, threshold=threshold)
        doc = document("Georgia won.", picture("red"), vocab=nlp.vocab)
        (ent,) = nlp(doc).ents
        assert ent.kb_id_ == expected
        assert ent._.kb_candidates[0].id == "Georgia-red", "still shown"


def test_an_unknown_name_is_nil(nlp):
    doc = nlp.make_doc("Atlantis sank.")
    doc.set_ents([spacy.tokens.Span(doc, 0, 1, label="PLACE")])
    (ent,) = nlp(doc).ents
    assert ent.kb_id_ == "NIL"
    assert ent._.kb_candidates == ()


@pytest.mark.parametrize("overwrite", [True, False])
def test_links_that_are_there_are_kept_on_demand(
    kb, pipeline, document, picture, overwrite
):
    nlp = pipeline(kb, overwrite=overwrite)
    doc = document("Georgia beat Korea.", picture("red"), vocab=nlp.vocab)
    for token in doc.ents[0]:
        token.ent_kb_id_ = "Q230"
    first = "Georgia-red" if overwrite else "Q230"
    assert link(nlp, doc) == [first, "Korea-red"]


def test_documents_without_mentions_or_words(nlp, document, picture):
    docs = [
        document("", picture("red")),
        document("Nobody won."),
        document("Georgia won.", picture("red")),
        document("   "),
    ]
    linked = list(nlp.pipe(docs))
    assert [each.text for each in linked] == [doc.text for doc in docs]
    assert [len(each.ents) for each in linked] == [0, 0, 1, 0]
    assert linked[2].ents[0].kb_id_ == "Georgia-red"


def test_context_is_the_sentence_or_a_window(nlp, document):
    """A document of any length can be linked, whether or not it has sentences."""
    from spacy_dwe.linking.mentions import WINDOW, mentions_of

    doc = document("Rain. Georgia won. " + "Rain fell. " * 100)
    (window,) = mentions_of([doc])
    assert window.context.startswith("Rain. Georgia won.")
    assert len(doc.char_span(0, len(window.context))) == 2 + 1 + WINDOW
    doc = spacy.blank("xx").add_pipe("sentencizer")(doc)
    (sentence,) = mentions_of([doc])
    assert sentence.context == "Georgia won."
    assert sentence.context_start == 0
    assert (sentence.start, sentence.end) == (6, 13)


def test_a_memory_zone_does_no_harm(kb, pipeline, document, picture):
    nlp = pipeline(kb)
    with nlp.memory_zone():
        doc = document("Georgia won.", picture("red"), vocab=nlp.vocab)
        assert link(nlp, doc) == ["Georgia-red"]
    doc = document("Georgia beat Korea.", picture("red"), vocab=nlp.vocab)
    assert link(nlp, doc) == ["Georgia-red", "Korea-red"]
