import json

import pytest
from made_outcomes import outcome

from spacy_dwe.errors import DweError
from spacy_dwe.evaluation.evaluate import evaluate_docs
from spacy_dwe.evaluation.outcomes import MISS, Outcome
from spacy_dwe.evaluation.predictions import (
    prediction_records,
    read_predictions,
    write_nif,
)
from spacy_dwe.evaluation.ranking import measure
from spacy_dwe.files import write_jsonl


@pytest.fixture
def evaluation(nlp, linker, labelled):
    docs = [
        labelled("They flew to American Samoa.", (3, 5, "Q4"), name="1"),
        labelled("Samoa beat Georgia.", (0, 1, "Q3"), (2, 3, "Q1"), name="2"),
        labelled("Atlantis sank.", (0, 1, "NIL"), name="3"),
        labelled("Atlantis won.", (0, 1, "Q2"), name="4"),
    ]
    return evaluate_docs(nlp, linker, docs, seen={"Q4"})


@pytest.mark.parametrize("rank", [1, 2.5, MISS, None])
def test_an_outcome_comes_back(rank):
    gold = None if rank is None else "Q1"
    made = outcome(rank, gold=gold, groups=("unseen",))
    assert Outcome.from_json(json.loads(json.dumps(made.to_json()))) == made


def test_every_metric_can_be_had_again_from_predictions(linker, evaluation, tmp_path):
    path = tmp_path / "predictions.jsonl"
    write_jsonl(path, prediction_records(linker.kb, evaluation))
    protocol, outcomes = read_predictions(path)
    assert protocol == "candidates"
    assert measure(outcomes, draws=50) == measure(evaluation.outcomes, draws=50)
    assert [o.seen for o in outcomes] == [True, False, False, None, False]


def test_other_files_are_refused_by_line(linker, evaluation, tmp_path):
    path = tmp_path / "links.jsonl"
    records = list(prediction_records(linker.kb, evaluation))
    write_jsonl(path, [records[0], {"id": "d1", "mentions": []}])
    with pytest.raises(DweError, match=r"links\.jsonl, line 2: no prediction.*lacks"):
        read_predictions(path)
    write_jsonl(path, [records[0], {**records[1], "protocol": "full"}])
    with pytest.raises(DweError, match=r"line 2.*another protocol, 'full'"):
        read_predictions(path)
    write_jsonl(path, [])
    with pytest.raises(DweError, match="holds no predictions"):
        read_predictions(path)


def test_nif_holds_texts_offsets_and_links(evaluation, tmp_path):
    rdflib = pytest.importorskip("rdflib")
    texts = {
        "1": "They flew to American Samoa.",
        "2": "Samoa beat Georgia.",
        "3": "Atlantis sank.",
        "4": "Atlantis won.",
    }
    path = tmp_path / "links.ttl"
    write_nif(path, evaluation.outcomes, texts)
    graph = rdflib.Graph().parse(path)
    nif = rdflib.Namespace(
        "http://persistence.uni-leipzig.org/nlp2rdf/ontologies/nif-core#"
    )
    its = rdflib.Namespace("http://www.w3.org/2005/11/its/rdf#")
    contexts = set(graph.subjects(rdflib.RDF.type, nif.Context))
    assert {str(graph.value(node, nif.isString)) for node in contexts} == {
        *texts.values()
    }
    found = {}
    for node in graph.subjects(rdflib.RDF.type, nif.Phrase):
        context = graph.value(node, nif.referenceContext)
        assert context in contexts
        text = str(graph.value(context, nif.isString))
        start, end = (
            int(graph.value(node, name)) for name in (nif.beginIndex, nif.endIndex)
        )
        assert text[start:end] == str(graph.value(node, nif.anchorOf))
        link = graph.value(node, its.taIdentRef)
        found[text[start:end], text] = None if link is None else str(link)
    wikidata = "http://www.wikidata.org/entity/"
    assert found["American Samoa", texts["1"]] == f"{wikidata}Q4"
    assert found["Atlantis", texts["3"]] is None
    assert len(found) == 5
