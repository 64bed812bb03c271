import pytest

from spacy_dwe.errors import DweError
from spacy_dwe.evaluation.evaluate import evaluate_docs
from spacy_dwe.evaluation.predictions import prediction_records


@pytest.fixture
def docs(labelled):
    return [
        labelled("They flew to American Samoa.", (3, 5, "Q4"), name="1"),
        labelled("Sakartvelo beat Georgia.", (0, 1, "Q1"), (2, 3, ""), name="2"),
        labelled("The Peach State voted.", (1, 3, "Q2"), name="3"),
        labelled("Atlantis sank.", (0, 1, "NIL"), name="4"),
    ]


def test_metrics_say_what_was_run(nlp, linker, docs):
    metrics = evaluate_docs(nlp, linker, docs, channels=["name"]).metrics
    assert metrics["protocol"] == "candidates"
    assert metrics["channels"] == ["name"]
    assert metrics["inputs"] == "text"
    assert metrics["injected"] is False
    assert metrics["n"] == 3
    assert metrics["n_nil"] == 1
    assert metrics["n_unlabelled"] == 1
    assert metrics["n_documents"] == 4
    assert metrics["top1"] == 1.0
    assert metrics["recall@100"] == 1.0


def test_settings_hold_only_for_the_evaluation(nlp, linker, docs):
    channels, generator = linker.channels, linker.generate_candidates
    evaluate_docs(nlp, linker, docs, channels=["name"], candidates="exact")
    assert linker.channels == channels
    assert linker.generate_candidates is generator


def test_ranking_the_whole_kb_is_the_full_protocol(nlp, linker, docs):
    evaluation = evaluate_docs(nlp, linker, docs, candidates="all")
    assert evaluation.metrics["protocol"] == "full"
    assert {outcome.n_candidates for outcome in evaluation.outcomes} == {4}


def test_exact_candidates_are_the_namesakes(nlp, linker, labelled):
    doc = labelled("Georgia won.", (0, 1, "Q1"))
    evaluation = evaluate_docs(
        nlp, linker, [doc], channels=["name"], candidates="exact"
    )
    (outcome,) = evaluation.outcomes
    assert outcome.n_candidates == 2
    assert outcome.rank == 1.5
    assert outcome.chance == 0.5


def test_best_candidates_are_kept_for_predictions(nlp, linker, docs):
    evaluation = evaluate_docs(nlp, linker, docs, candidates="all", keep=2)
    records = list(prediction_records(linker.kb, evaluation))
    assert [record["document"] for record in records] == ["1", "2", "3", "4"]
    best = records[0]["candidates"]
    assert best[0]["id"] == "Q4"
    assert len(best) == 2
    assert best[0]["score"] == pytest.approx(sum(best[0]["scores"].values()), abs=1e-4)


def test_unknown_candidates_are_refused(nlp, linker, docs):
    with pytest.raises(DweError, match="names, exact, hybrid, dense, all, fuzzy"):
        evaluate_docs(nlp, linker, docs, candidates="nearby")


def test_documents_without_a_label_are_an_error(nlp, linker, labelled):
    doc = labelled("Georgia won.", (0, 1, ""))
    with pytest.raises(DweError, match="no labelled mention"):
        evaluate_docs(nlp, linker, [doc], source="dev.jsonl")


def test_components_before_the_linker_run_but_bring_no_mentions(nlp, linker, labelled):
    ruler = nlp.add_pipe("entity_ruler", before="dwe_linker")
    ruler.add_patterns([{"label": "LOC", "pattern": "Samoa"}])
    nlp.add_pipe("sentencizer", before="dwe_linker")
    doc = labelled("Samoa won. Georgia lost.", (3, 4, "Q1"))
    evaluation = evaluate_docs(nlp, linker, [doc])
    assert [outcome.text for outcome in evaluation.outcomes] == ["Georgia"]


def test_more_documents_than_a_batch_keep_their_order(nlp, linker, labelled):
    docs = [labelled("Sakartvelo won.", (0, 1, "Q1"), name=str(i)) for i in range(300)]
    done = []
    evaluation = evaluate_docs(nlp, linker, iter(docs), progress=done.append)
    assert [o.document for o in evaluation.outcomes] == [str(i) for i in range(300)]
    assert [mention.doc for mention in evaluation.scored] == list(range(300))
    assert sum(done) == 300
