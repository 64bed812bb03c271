import json

import pytest
import spacy
from spacy.tokens import DocBin, Span

from spacy_dwe.building.build import build_kb
from spacy_dwe.cli.evaluate import evaluate
from spacy_dwe.errors import DweError
from spacy_dwe.kb.entity import Alias, Entity

DOCUMENTS = [
    {
        "id": "1",
        "text": "They flew to American Samoa.",
        "mentions": [{"start": 13, "end": 27, "kb_id": "Q4", "groups": ["unseen"]}],
    },
    {
        "id": "2",
        "text": "Sakartvelo beat Georgia in Atlantis.",
        "mentions": [
            {"start": 0, "end": 10, "kb_id": "Q1"},
            {"start": 16, "end": 23},
            {"start": 27, "end": 35, "kb_id": None},
        ],
    },
]


@pytest.fixture(scope="module")
def kb_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("kb") / "places.kb"
    entities = [
        Entity("Q1", "Georgia", "country", (Alias("Sakartvelo"),)),
        Entity("Q2", "Georgia", "state"),
        Entity("Q3", "Samoa"),
        Entity("Q4", "American Samoa"),
    ]
    build_kb(entities, path)
    return path


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "test.jsonl"
    path.write_text("".join(json.dumps(document) + "\n" for document in DOCUMENTS))
    return path


def test_metrics_and_predictions_are_written(kb_path, data, tmp_path):
    output, predictions = tmp_path / "out" / "metrics.json", tmp_path / "links.jsonl"
    metrics = evaluate(
        "blank:en",
        data,
        kb=kb_path,
        channels=["name"],
        output=output,
        predictions=predictions,
    )
    assert json.loads(output.read_text()) == metrics
    assert metrics["n"] == 2
    assert metrics["n_nil"] == 1
    assert metrics["n_unlabelled"] == 1
    assert metrics["top1"] == 1.0
    assert metrics["by"].keys() == {"unseen"}
    lines = [json.loads(line) for line in predictions.read_text().splitlines()]
    assert [line["gold"] for line in lines] == ["Q4", "Q1", None]
    assert lines[0]["candidates"][0]["id"] == "Q4"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "links.jsonl",
        "out",
        "test.jsonl",
    ]


def test_docbin_and_jsonl_give_the_same_metrics(kb_path, data, tmp_path):
    nlp = spacy.blank("en")
    docs = []
    for document in DOCUMENTS:
        doc = nlp.make_doc(document["text"])
        spans = []
        for mention in document["mentions"]:
            label = mention.get("kb_id", "") if "kb_id" in mention else ""
            span = doc.char_span(mention["start"], mention["end"])
            spans.append(
                Span(doc, span.start, span.end, label="ENTITY", kb_id=label or "NIL")
                if "kb_id" in mention
                else Span(doc, span.start, span.end, label="ENTITY")
            )
        doc.set_ents(spans)
        for ent, mention in zip(doc.ents, document["mentions"]):
            ent._.link_groups = mention.get("groups", ())
        docs.append(doc)
    path = tmp_path / "test.spacy"
    DocBin(docs=docs, store_user_data=True).to_disk(path)
    assert evaluate("blank:en", path, kb=kb_path) == evaluate(
        "blank:en", data, kb=kb_path
    )


def test_nothing_is_written_when_something_fails(kb_path, tmp_path):
    data = tmp_path / "unlabelled.jsonl"
    document = {"id": "1", "text": "Georgia won.", "mentions": [{"start": 0, "end": 7}]}
    data.write_text(json.dumps(document) + "\n")
    output = tmp_path / "metrics.json"
    with pytest.raises(DweError, match=r"unlabelled\.jsonl holds no labelled mention"):
        evaluate("blank:en", data, kb=kb_path, output=output)
    assert not output.exists()


def test_bad_input_is_named(kb_path, data, tmp_path):
    with pytest.raises(DweError, match=r"missing\.jsonl"):
        evaluate("blank:en", tmp_path / "missing.jsonl", kb=kb_path)
    with pytest.raises(DweError, match=r"nearby.*names, exact, hybrid"):
        evaluate("blank:en", data, kb=kb_path, candidates="nearby")
    broken = tmp_path / "broken.spacy"
    broken.write_bytes(b"not a DocBin")
    with pytest.raises(DweError, match=r"broken\.spacy"):
        evaluate("blank:en", broken, kb=kb_path)


def test_all_outputs_at_once(kb_path, data, tmp_path):
    train = tmp_path / "train.jsonl"
    train.write_text(json.dumps(DOCUMENTS[0]) + "\n")
    metrics = evaluate(
        "blank:en",
        data,
        kb=kb_path,
        train=[train],
        trec=tmp_path / "trec",
        nif=tmp_path / "links.ttl",
    )
    assert metrics["breakdowns"]["seen"]["seen"]["n"] == 1
    assert metrics["breakdowns"]["seen"]["unseen"]["n"] == 1
    assert sorted(p.name for p in (tmp_path / "trec").iterdir()) == [
        "qrels.txt",
        "run.txt",
    ]
    assert "Sakartvelo beat Georgia" in (tmp_path / "links.ttl").read_text()


def test_a_run_of_scores_that_are_no_numbers_stops(kb_path, data, tmp_path):
    """Weights of a network that diverged."""
    import numpy as np
    import torch

    nlp = spacy.blank("en")
    linker = nlp.add_pipe("dwe_linker")
    linker.load_kb(kb_path)
    doc = nlp.make_doc("Georgia won.")
    doc.set_ents([doc.char_span(0, 7, label="LOC")])
    nlp.get_pipe("dwe_linker")(doc)
    with torch.no_grad():
        linker.network_shim.network.combiner.weight[:] = np.nan
    nlp.to_disk(tmp_path / "diverged")
    output = tmp_path / "metrics.json"
    with pytest.raises(DweError, match="document 1"):
        evaluate(tmp_path / "diverged", data, output=output)
    assert not output.exists()


def test_the_type_of_a_mention_is_its_label(kb_path, data, tmp_path):
    typed = tmp_path / "typed.jsonl"
    document = json.loads(json.dumps(DOCUMENTS[0]))
    document["mentions"][0]["type"] = "Island"
    typed.write_text(json.dumps(document) + "\n")
    metrics = evaluate("blank:en", typed, kb=kb_path)
    assert metrics["breakdowns"]["type"].keys() == {"Island"}


def test_baselines_and_report_beside_the_metrics(kb_path, data, tmp_path, monkeypatch):
    monkeypatch.setattr("spacy_dwe.evaluation.baselines.entity_linker.STEPS", 2)
    metrics = evaluate(
        "blank:en",
        data,
        kb=kb_path,
        train=[data],
        baselines=True,
        report=tmp_path / "report",
        output=tmp_path / "metrics.json",
    )
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    rows = {record["name"]: record for record in metrics["baselines"]}
    assert rows["name only"]["metrics"]["top1"] == 1.0
    assert rows["name only"]["difference"]["verdict"] == "not shown"
    assert rows["CLIP image"]["metrics"] is None
    assert rows["CLIP image"]["reason"]
    page = (tmp_path / "report" / "index.html").read_text()
    assert "spaCy EntityLinker" in page and "<svg" in page
    analysis = json.loads((tmp_path / "report" / "analysis.json").read_text())
    assert analysis


def test_a_docbin_can_be_reported_on(kb_path, data, tmp_path):
    from spacy_dwe.cli.convert import convert

    docs = tmp_path / "test.spacy"
    convert("docbin", data, docs)
    evaluate("blank:en", docs, kb=kb_path, report=tmp_path / "report")
    assert "2 with an entity" in (tmp_path / "report" / "index.html").read_text()
