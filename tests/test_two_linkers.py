"""Two KBs, two linkers, one pipeline: neither takes away what the other found."""

import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span

from spacy_dwe.building.build import build_kb
from spacy_dwe.kb.entity import Entity

TEXT = "Washington left Samoa for Atlantis"
PEOPLE = [Entity("P1", "Washington", "A president.")]
PLACES = [Entity("L1", "Washington", "A city."), Entity("L2", "Samoa", "A country.")]


@pytest.fixture(scope="module")
def kbs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    return {
        name: str(build_kb(entities, folder / f"{name}.kb").path)
        for name, entities in (("people", PEOPLE), ("places", PLACES))
    }


@pytest.fixture
def two(kbs):
    """Make a pipeline of both, with settings for the second."""

    def make(first="people", second="places", **settings):
        nlp = spacy.blank("en")
        nlp.add_pipe("dwe_linker", name=first, config={"kb": kbs[first]})
        config = {"kb": kbs[second], **settings}
        nlp.add_pipe("dwe_linker", name=second, config=config)
        return nlp

    return make


def marked(nlp, *kb_ids):
    doc = nlp.make_doc(TEXT)
    places = zip((0, 2, 4), [*kb_ids, "", "", ""])
    doc.ents = [Span(doc, i, i + 1, "X", kb_id=kb_id) for i, kb_id in places]
    return doc


def linked(doc):
    return [ent.kb_id_ for ent in doc.ents]


def by_linker(span, name="kb_candidates"):
    return [(each.linker, each.id) for each in span._.get(name)]


@pytest.mark.parametrize(
    ("overwrite", "expected"),
    [(True, ["L1", "L2", "NIL"]), (False, ["P1", "L2", "NIL"])],
)
def test_the_second_fills_what_is_nil(two, overwrite, expected):
    nlp = two(overwrite=overwrite)
    doc = nlp(marked(nlp))
    assert linked(doc) == expected
    assert linked(nlp(doc)) == expected, "and again"


def test_nil_overwrites_no_link(two):
    """The second linker does not know Samoa, the first does."""
    nlp = two("places", "people")
    assert linked(nlp(marked(nlp))) == ["P1", "L2", "NIL"]
    assert linked(nlp(marked(nlp, "Q9", "", "Q9"))) == ["P1", "L2", "Q9"]


def test_a_linker_takes_its_own_link_back(two):
    nlp = two()
    doc = nlp(marked(nlp))
    nlp.get_pipe("places").threshold = 1.0
    assert linked(nlp(doc)) == ["P1", "NIL", "NIL"]
    doc = nlp(marked(nlp, "", "Q9"))
    assert linked(doc) == ["P1", "Q9", "NIL"], "but nobody else's"


def test_candidates_stand_side_by_side(two):
    nlp = two()
    doc = nlp(nlp(marked(nlp)))
    washington, samoa, atlantis = doc.ents
    assert sorted(by_linker(washington)) == [("people", "P1"), ("places", "L1")]
    assert by_linker(samoa) == [("places", "L2")]
    assert by_linker(atlantis) == []
    probabilities = [each.probability for each in washington._.kb_candidates]
    assert probabilities == sorted(probabilities, reverse=True)
    data = DocBin(docs=[doc], store_user_data=True).to_bytes()
    (binned,) = DocBin().from_bytes(data).get_docs(nlp.vocab)
    for copy in (Doc(nlp.vocab).from_bytes(doc.to_bytes()), binned):
        assert copy.ents[0]._.kb_candidates == washington._.kb_candidates
        assert linked(nlp(copy)) == linked(doc)


def test_each_may_have_its_own_attribute(two, tmp_path):
    two(candidates_attr="places_found").to_disk(tmp_path / "model")
    nlp = spacy.load(tmp_path / "model")
    doc = nlp(marked(nlp))
    assert by_linker(doc.ents[0]) == [("people", "P1")]
    assert by_linker(doc.ents[0], "places_found") == [("places", "L1")]
    assert by_linker(doc.ents[1]) == []
    assert by_linker(doc.ents[1], "places_found") == [("places", "L2")]
    doc.ents[0]._.places_found = ()
    assert doc.ents[0]._.places_found == ()
    assert by_linker(doc.ents[0]) == [("people", "P1")]


def test_one_reads_entities_and_the_other_a_group(two):
    nlp = two(spans_key="sc")
    doc = marked(nlp)
    doc.spans["sc"] = [Span(doc, 0, 1, "X"), Span(doc, 0, 1, "Y"), Span(doc, 2, 3, "X")]
    nlp(doc)
    nlp(doc)
    assert linked(doc) == ["P1", "NIL", "NIL"]
    assert [span.kb_id_ for span in doc.spans["sc"]] == ["L1", "L1", "L2"]
    for span in (doc.ents[0], *list(doc.spans["sc"])[:2]):
        assert sorted(by_linker(span)) == [("people", "P1"), ("places", "L1")]
    assert by_linker(doc[0:1]) == [("people", "P1")]
