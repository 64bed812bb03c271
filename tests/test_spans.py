"""Which mentions are linked: by label, and of a group of spans instead of entities."""

import json

import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span, SpanGroup
from spacy.training import Example
from typer.testing import CliRunner

from spacy_dwe.building.build import build_kb
from spacy_dwe.cli import dwe_cli
from spacy_dwe.cli.convert import convert
from spacy_dwe.documents import labelled_docs
from spacy_dwe.errors import DweError
from spacy_dwe.evaluation.baselines.table import run_baselines
from spacy_dwe.evaluation.end_to_end import evaluate_end_to_end
from spacy_dwe.evaluation.evaluate import evaluate_docs
from spacy_dwe.kb.entity import Entity
from spacy_dwe.tokens import register_candidates

ENTITIES = [
    Entity("Q23", "George Washington", "President.", ()),
    Entity("Q61", "Washington", "City."),
    Entity("Q3", "Samoa", "Country."),
    Entity("Q4", "American Samoa", "Islands."),
]
TEXT = "Washington left American Samoa on Tuesday"
MENTIONS = [
    {"start": 0, "end": 10, "kb_id": "Q61", "type": "GPE", "groups": ["places"]},
    {"start": 0, "end": 10, "kb_id": "Q23", "type": "PERSON", "groups": ["people"]},
    {"start": 16, "end": 30, "kb_id": "Q4", "type": "GPE"},
    {"start": 25, "end": 30, "kb_id": "Q3", "type": "GPE"},
    {"start": 34, "end": 41, "kb_id": None, "type": "DATE"},
    {"start": 25, "end": 30},
]


@pytest.fixture(scope="module")
def small_kb(tmp_path_factory):
    return build_kb(ENTITIES, tmp_path_factory.mktemp("spans") / "small.kb").path


@pytest.fixture
def linking(small_kb):
    def make(**config):
        nlp = spacy.blank("en")
        nlp.add_pipe("dwe_linker", config={"kb": str(small_kb), **config})
        return nlp

    return make


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "documents.jsonl"
    document = {"id": "d1", "text": TEXT, "mentions": MENTIONS}
    path.write_text(json.dumps(document) + "\n")
    return path


def entities(nlp, *labels):
    """Washington, Samoa and Tuesday, with these labels."""
    doc = nlp.make_doc("Washington left Samoa on Tuesday")
    places = ((0, 1), (2, 3), (4, 5))
    doc.ents = [Span(doc, *at, label=label) for at, label in zip(places, labels)]
    return doc


def grouped(nlp, key="sc"):
    doc = nlp.make_doc(TEXT)
    spans = [
        Span(doc, 2, 4, label="GPE", span_id="long"),
        Span(doc, 3, 4, label="GPE"),
        Span(doc, 0, 1, label="PERSON", span_id="who"),
        Span(doc, 0, 1, label="GPE", span_id="where"),
    ]
    doc.spans[key] = SpanGroup(doc, name="found", attrs={"by": "me"}, spans=spans)
    return doc


def linked(doc):
    return [ent.kb_id_ for ent in doc.ents]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ["Q61", "Q3", "NIL"]),
        ({"labels_keep": ["PERSON"]}, ["Q61", "", ""]),
        ({"labels_discard": ["DATE", "GPE"]}, ["Q61", "", ""]),
        ({"labels_keep": ["GPE", "DATE"], "labels_discard": ["DATE"]}, ["", "Q3", ""]),
        ({"labels_keep": ["ORG"]}, ["", "", ""]),
    ],
)
def test_labels_say_what_is_linked(linking, settings, expected):
    nlp = linking(**settings)
    doc = entities(nlp, "PERSON", "GPE", "DATE")
    assert linked(nlp(doc)) == expected
    for ent, kb_id in zip(doc.ents, expected):
        assert bool(ent._.kb_candidates) == (kb_id.startswith("Q"))
        assert ent.label_, "what it was"


def test_what_is_left_out_stays_as_it_was(linking):
    nlp = linking()
    doc = nlp(entities(nlp, "PERSON", "GPE", "DATE"))
    before = doc.to_bytes()
    nlp.get_pipe("dwe_linker").labels_discard = ["PERSON", "GPE", "DATE"]
    assert nlp.get_pipe("dwe_linker").predict([doc]) == []
    assert nlp(doc).to_bytes() == before


def test_mentions_given_without_a_label_are_linked(linking):
    """Who marks a mention by hand, without a type, wants it linked."""
    nlp = linking(spans_key="sc", labels_keep=["PERSON"])
    for discarded, expected in (("GPE", ["Q61", "Q61", ""]), ("", ["", "Q61", ""])):
        nlp.get_pipe("dwe_linker").labels_discard = [discarded]
        doc = nlp.make_doc(TEXT)
        labels = ("", "ENTITY", "GPE")
        doc.spans["sc"] = [Span(doc, 0, 1, label=label) for label in labels]
        assert [span.kb_id_ for span in nlp(doc).spans["sc"]] == expected


@pytest.mark.parametrize("name", ["labels_keep", "labels_discard"])
@pytest.mark.parametrize("value", ["PERSON", [1], None])
def test_labels_are_a_list(linking, name, value):
    with pytest.raises(DweError, match=f"E514.*{name}.*a list"):
        setattr(linking().get_pipe("dwe_linker"), name, value)


def test_a_group_is_linked_instead_of_the_entities(linking):
    nlp = linking(spans_key="sc")
    doc = grouped(nlp)
    doc.ents = [Span(doc, 0, 1, label="GPE")]
    doc.spans["other"] = [Span(doc, 0, 1, label="GPE")]
    whole = doc.spans["sc"]
    whole[0]._.link_groups = ["kept"]
    nlp(doc)
    group = doc.spans["sc"]
    assert [span.kb_id_ for span in group] == ["Q4", "Q3", "Q61", "Q61"]
    assert [span.id_ for span in group] == ["long", "", "who", "where"]
    assert [span.label_ for span in group] == ["GPE", "GPE", "PERSON", "GPE"]
    assert (group.name, group.attrs, len(doc.spans)) == ("found", {"by": "me"}, 2)
    assert [span.kb_id_ for span in whole] == [span.kb_id_ for span in group]
    assert group[0]._.link_groups == ("kept",)
    assert group[0]._.kb_candidates[0].id == "Q4"
    assert linked(doc) == [""] and doc.spans["other"][0].kb_id_ == ""


def test_without_the_group_there_is_nothing_to_link(linking):
    nlp = linking(spans_key="absent")
    doc = grouped(nlp)
    doc.spans["absent"] = [Span(doc, 1, 1, label="GPE")]
    assert nlp(doc).spans["absent"][0].kb_id_ == "", "nor in a span of nothing"
    assert [span.kb_id_ for span in doc.spans["sc"]] == [""] * 4


def test_spans_of_the_same_words_keep_their_own_candidates(linking):
    """spaCy keeps what is set on a Span by its characters alone."""
    nlp = linking(spans_key="sc", labels_keep=["PERSON"])
    doc = nlp(grouped(nlp))
    *_, person, place = doc.spans["sc"]
    of_person = person._.kb_candidates
    assert len(of_person) > 1 and place._.kb_candidates == ()
    nlp.get_pipe("dwe_linker").settings = (
        linking(spans_key="sc", labels_keep=["GPE"], top_k=1)
        .get_pipe("dwe_linker")
        .settings
    )
    nlp(doc)
    assert person._.kb_candidates == of_person and len(place._.kb_candidates) == 1
    place._.kb_candidates = ()
    assert person._.kb_candidates == of_person and place._.kb_candidates == ()
    data = DocBin(docs=[nlp(doc)], store_user_data=True).to_bytes()
    (binned,) = DocBin().from_bytes(data).get_docs(nlp.vocab)
    moved = Doc.from_docs([nlp.make_doc("See."), doc])
    for copy in (Doc(nlp.vocab).from_bytes(doc.to_bytes()), binned, doc.copy(), moved):
        spans = copy.spans["sc"]
        assert [span.kb_id_ for span in spans] == ["Q4", "Q3", "Q61", "Q61"]
        *places, who, where = [span._.kb_candidates for span in spans]
        assert who == of_person and list(map(len, (*places, where))) == [1, 1, 1]


def test_worker_processes_link_groups(linking):
    nlp = linking(spans_key="sc", candidates_attr="in_workers")
    for doc in nlp.pipe([grouped(nlp) for _ in range(3)], n_process=2, batch_size=1):
        assert [span.kb_id_ for span in doc.spans["sc"]] == ["Q4", "Q3", "Q61", "Q61"]
        assert all(span._.in_workers for span in doc.spans["sc"])


def test_documents_go_to_groups_and_back(data, tmp_path, linking):
    binary, back = tmp_path / "docs.spacy", tmp_path / "back.jsonl"
    convert("docbin", data, binary, spans_key="sc")
    convert("jsonl", binary, back, spans_key="sc")
    (document,) = map(json.loads, back.read_text().splitlines())
    assert document == {"id": "d1", "text": TEXT, "mentions": MENTIONS}
    (doc,) = labelled_docs(linking(spans_key="sc"), data)
    (stored,) = labelled_docs(linking(spans_key="sc"), binary)
    for each in (doc, stored):
        assert len(each.spans["sc"]) == len(MENTIONS) and not each.ents
    options = ["convert", "wikimel", data, tmp_path / "x", "--spans-key", "sc"]
    done = CliRunner().invoke(dwe_cli, list(map(str, options)))
    assert done.exit_code == 1 and "--spans-key" in done.output


@pytest.mark.parametrize("extra", [[], ["--components.dwe_linker.spans_key", "sc"]])
def test_link_reads_groups_and_leaves_labels_out(data, tmp_path, small_kb, extra):
    out = tmp_path / "links.jsonl"
    labels = ["--components.dwe_linker.labels_discard", '["DATE", "PERSON"]']
    options = ["link", "blank:en", data, out, "--kb", small_kb, *labels, *extra]
    done = CliRunner().invoke(dwe_cli, list(map(str, options)))
    assert done.exit_code == 0, done.output
    assert "4 mentions, 4 linked, 0 NIL" in done.output
    (document,) = map(json.loads, out.read_text().splitlines())
    first, who, long, short, date, bare = document["mentions"]
    assert (who, date) == (MENTIONS[1], MENTIONS[4]), "as they came"
    assert [m["kb_id"] for m in (first, long, short, bare)] == ["Q61", "Q4", "Q3", "Q3"]
    assert first["candidates"][0]["linker"] == "dwe_linker"


def test_link_finds_spans_where_the_document_names_none(small_kb, tmp_path):
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("span_ruler", config={"spans_key": "sc"})
    ruler.add_patterns(
        [{"label": "GPE", "pattern": name} for name in ("Samoa", "American Samoa")]
    )
    nlp.add_pipe("dwe_linker", config={"kb": str(small_kb), "spans_key": "sc"})
    nlp.to_disk(tmp_path / "model")
    data, out = tmp_path / "documents.jsonl", tmp_path / "links.jsonl"
    data.write_text(json.dumps({"id": "d1", "text": TEXT}) + "\n")
    options = ["link", tmp_path / "model", data, out]
    done = CliRunner().invoke(dwe_cli, list(map(str, options)))
    assert done.exit_code == 0, done.output
    (document,) = map(json.loads, out.read_text().splitlines())
    found = [(m["start"], m["label"], m["kb_id"]) for m in document["mentions"]]
    assert found == [(16, "GPE", "Q4"), (25, "GPE", "Q3")]


@pytest.mark.parametrize("key", [None, "sc"])
def test_evaluation_asks_for_what_is_linked(data, linking, key):
    nlp = linking(spans_key=key)
    linker = nlp.get_pipe("dwe_linker")

    def evaluated():
        return evaluate_docs(nlp, linker, labelled_docs(nlp, data), draws=0)

    every = evaluated()
    assert [every.metrics[k] for k in ("n", "n_nil", "n_unlabelled", "n_left_out")] == [
        *(4, 1, 1, 0)
    ]
    linker.labels_keep = ["GPE"]
    some = evaluated()
    assert [some.metrics[k] for k in ("n", "n_nil", "n_unlabelled", "n_left_out")] == [
        *(3, 0, 1, 2)
    ]
    assert some.metrics["top1"] == 1.0
    assert set(some.metrics["by"]) == {"places"}


@pytest.mark.parametrize("key", [None, "sc"])
def test_baselines_ask_for_the_same_mentions(data, linking, key):
    nlp = linking(spans_key=key, labels_keep=["GPE"])
    docs = list(labelled_docs(nlp, data))
    rows = run_baselines(nlp, nlp.get_pipe("dwe_linker"), docs, train=docs, draws=0)
    assert {row.metrics["n"] for row in rows if row.metrics} == {3}
    theirs = {row.name: row for row in rows}["spaCy EntityLinker"]
    assert (theirs.metrics is None) == (key is not None)
    assert "group of spans" in (theirs.reason or "") or key is None


def test_a_file_without_the_group_is_told(data, tmp_path, linking):
    convert("docbin", data, tmp_path / "docs.spacy")
    nlp = linking(spans_key="sc")
    docs = labelled_docs(nlp, tmp_path / "docs.spacy")
    with pytest.raises(DweError, match=r"E411.*doc\.spans\['sc'\] of docs"):
        evaluate_docs(nlp, nlp.get_pipe("dwe_linker"), docs, source="docs")


def test_end_to_end_and_the_scorer_read_groups(data, linking, small_kb):
    nlp = linking(spans_key="sc", labels_discard=["DATE"])
    with pytest.raises(DweError, match="E431"):
        evaluate_end_to_end(nlp, labelled_docs(nlp, data))
    (reference,) = labelled_docs(nlp, data)
    alone = nlp.evaluate([Example(nlp.make_doc(TEXT), reference)])
    ruler = nlp.add_pipe("span_ruler", before="dwe_linker", config={"spans_key": "sc"})
    ruler.add_patterns(
        [
            {"label": "GPE", "pattern": "American Samoa"},
            {"label": "GPE", "pattern": "Samoa"},
            {"label": "PERSON", "pattern": "Washington"},
            {"label": "GPE", "pattern": "Tuesday"},
        ]
    )
    found = evaluate_end_to_end(nlp, labelled_docs(nlp, data), draws=0)
    # Washington is linked to the city, as both labels ask for; the date is left out.
    assert (found["n_predicted"], found["n_labelled"]) == (3, 3)
    assert found["micro_p"] == 1.0
    assert found["micro_r"] == pytest.approx(3 / 4)
    scores = nlp.evaluate([Example(nlp.make_doc(TEXT), reference)])
    assert scores["nel_top1"] == alone["nel_top1"] == pytest.approx(3 / 4)
    assert scores["nel_micro_p"] == 1.0
    assert scores["nel_micro_r"] == pytest.approx(3 / 4)
    assert alone["nel_micro_r"] == pytest.approx(3 / 4)


@pytest.mark.parametrize("use_gold_ents", [True, False])
def test_training_learns_from_groups(data, linking, use_gold_ents):
    nlp = linking(
        spans_key="sc",
        use_gold_ents=use_gold_ents,
        labels_discard=["PERSON"],
        channels=["name", "facts"],
    )
    (reference,) = labelled_docs(nlp, data)
    made = Example(grouped(nlp), reference)
    optimizer = nlp.initialize(lambda: [made])
    losses = nlp.update([made], sgd=optimizer)
    assert losses["dwe_linker"] > 0
    linker = nlp.get_pipe("dwe_linker")
    assert linker.clock.mentions == (4 if use_gold_ents else 3)
    linker.labels_keep = ["ORG"]
    linker.labels_discard = ["GPE", "DATE"]
    with pytest.raises(DweError, match="E505"):
        nlp.initialize(lambda: [made])


def test_a_taken_attribute_is_never_replaced(linking):
    Span.set_extension("taken_by_me", default="mine")
    with pytest.raises(DweError, match=r"E532.*taken_by_me.*candidates_attr"):
        linking(candidates_attr="taken_by_me")
    linker = linking().get_pipe("dwe_linker")
    for name in ("taken_by_me", "images", "link_groups"):
        with pytest.raises(DweError, match="E532"):
            linker.candidates_attr = name
    assert linker.candidates_attr == "kb_candidates"
    assert linking().make_doc("a")[0:1]._.taken_by_me == "mine"
    with pytest.raises(DweError, match=r"E514.*candidates_attr"):
        linker.candidates_attr = "my candidates"
    kept = Span.remove_extension("kb_candidates")
    Span.set_extension("kb_candidates", default="mine")
    try:
        with pytest.raises(DweError, match=r"E532.*kb_candidates"):
            linking()
    finally:
        Span.remove_extension("kb_candidates")
        assert kept[2] is not None
        register_candidates("kb_candidates")
