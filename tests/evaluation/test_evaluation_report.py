"""One evaluation, analysed and laid out as a page."""

import json
import re
from dataclasses import replace

import pytest
from PIL import Image

from spacy_dwe.documents import Document, MentionRecord
from spacy_dwe.errors import DweError
from spacy_dwe.evaluation.error_analysis import analyse
from spacy_dwe.evaluation.evaluate import evaluate_docs
from spacy_dwe.images import image_refs
from spacy_dwe.visualise.report import Baseline, build_evaluation_report

TEXTS = {
    "right": ("American Samoa is <b>far</b>.", (0, 2, "Q4")),
    "namesake": ("Georgia won.", (0, 1, "Q2")),
    "nil": ("Samoa, the ship, sank.", (0, 1, "NIL")),
    "unknown": ("Georgia lost.", (0, 1, "Q99")),
    "added": ("Sakartvelo. They sang.", (0, 1, "Q4")),
}


@pytest.fixture
def evaluation(nlp, linker, labelled):
    """Q1 and Q2 are both named Georgia; Q1 comes first by id."""
    docs = [labelled(text, mention, name=n) for n, (text, mention) in TEXTS.items()]
    return evaluate_docs(nlp, linker, docs, candidates="all", channels=["name"])


@pytest.fixture
def documents(tmp_path):
    Image.new("RGB", (64, 48), "red").save(tmp_path / "photo.png")
    photo = image_refs(tmp_path / "photo.png")
    made = {n: Document(n, text, photo) for n, (text, _) in TEXTS.items()}
    added = MentionRecord(0, 10, "Q4", True, source={"added": True})
    return {**made, "added": replace(made["added"], mentions=(added,))}


@pytest.fixture
def report(evaluation, linker, documents):
    bars = [("low", 0.0), ("high", 0.5), ("n", 4), ("confidence", 0.4)]
    evaluation.metrics["reliability"] = [{**dict(bars), "accuracy": 0.25}]
    baselines = [
        Baseline("chance", "a blind draw", evaluation.metrics),
        Baseline("CLIP image", reason="the KnowledgeBase has no pictures"),
    ]
    return build_evaluation_report(
        evaluation, linker.kb, documents, title="Five mentions", baselines=baselines
    )


def test_every_wrong_decision_has_one_cause(evaluation, linker, documents):
    analysis = analyse(evaluation, linker.kb, documents)
    found = {
        miss.outcome.document: verdict.cause
        for miss, verdict in zip(analysis.misses, analysis.verdicts)
    }
    assert found == {
        "namesake": "same_title",
        "nil": "nil_linked",
        "unknown": "not_in_kb",
        "added": "name_differs",
    }
    n_wrong = sum(not outcome.correct for outcome in evaluation.outcomes)
    assert sum(count.n for count in analysis.causes()) == n_wrong
    tags = dict(zip(found, (v.tags for v in analysis.verdicts)))
    assert {"tied", "same_title"} <= set(tags["namesake"])
    assert "mention_added" in tags["added"]


def test_differences_are_of_the_gold_against_its_rival(evaluation, linker, documents):
    analysis = analyse(evaluation, linker.kb, documents)
    namesake, *_, added = analysis.misses
    assert namesake.differences == {"name": 0.0}
    scores = evaluation.scored[added.index].contributions["name"]
    difference = float(scores[added.gold_at] - scores[0])
    assert added.differences == {"name": pytest.approx(difference)}
    assert difference < 0
    votes = analysis.votes
    assert (votes.on_misses["name"].n_against, votes.on_misses["name"].n_silent) == (
        1,
        1,
    )
    assert votes.on_hits["name"].n_for == 1


def test_json_holds_every_miss_and_no_nan(report, tmp_path):
    page, analysis = report.write(tmp_path / "out")
    assert page.read_text() == report.page
    read = json.loads(analysis.read_text())
    assert read == report.analysis
    assert read["n"] == len(TEXTS)
    assert read["n_misses"] == len(read["misses"]) == 4
    assert sum(cause["n"] for cause in read["causes"]) == 4
    assert read["misses"][0] == {
        **read["misses"][0],
        "document": "namesake",
        "start": 0,
        "end": 7,
        "gold": "Q2",
        "predicted": "Q1",
        "rival": "Q1",
        "rank": 1.5,
    }


def test_the_page_needs_no_other_file_and_no_script(report):
    page = report.page
    assert not re.search(r"<(script|link|iframe)\b", page)
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", page)
    assert not re.search(r"url\((?!#)", page)
    assert 'src="data:image/jpeg;base64,' in page
    identifiers = re.findall(r'\bid="([^"]+)"', page)
    assert len(identifiers) == len(set(identifiers))


def test_the_page_shows_what_was_run_and_against_what(report):
    assert "<h1>Five mentions</h1>" in report.page
    text = re.sub(r"<[^>]+>", " ", report.page)
    text = re.sub(r"\s+", " ", text)
    assert "Right entity added to the candidates no" in text
    assert "Protocol full" in text
    assert "the KnowledgeBase has no pictures" in text
    assert "Namesakes" in text
    assert "a blind draw" in text


def test_text_of_documents_is_escaped(evaluation, linker, documents):
    outcomes = evaluation.outcomes
    outcomes[0] = replace(outcomes[0], gold="Q3")
    page = build_evaluation_report(evaluation, linker.kb, documents).page
    assert "<mark>American Samoa</mark> is &lt;b&gt;far&lt;/b&gt;." in page


def test_the_same_evaluation_gives_the_same_page(evaluation, linker, documents):
    first, second = (
        build_evaluation_report(evaluation, linker.kb, documents) for _ in range(2)
    )
    assert first == second


def test_breakdowns_of_the_metrics_are_tables(evaluation, linker, documents):
    part = {k: v for k, v in evaluation.metrics.items() if k != "by"}
    evaluation.metrics["breakdowns"] = {"type": {"PLACE": part}, "seen": {}}
    page = build_evaluation_report(evaluation, linker.kb, documents).page
    assert "By type of mention" in page
    assert "PLACE" in page
    assert "By whether the entity was seen" not in page


def test_an_evaluation_without_misses_has_a_page(nlp, linker, labelled):
    docs = [labelled("American Samoa is far.", (0, 2, "Q4"), name="1")]
    evaluation = evaluate_docs(nlp, linker, docs)
    document = Document("1", docs[0].text)
    report = build_evaluation_report(evaluation, linker.kb, {"1": document})
    assert "Every decision is right." in report.page
    assert report.analysis["misses"] == report.analysis["causes"] == []


def test_documents_that_were_not_evaluated_are_named(evaluation, linker, documents):
    del documents["nil"]
    with pytest.raises(DweError, match=r"E460.*document nil"):
        analyse(evaluation, linker.kb, documents)


def test_a_gold_whose_scores_were_not_kept_is_an_error(evaluation, linker, documents):
    scored = evaluation.scored
    at = [o.document for o in evaluation.outcomes].index("namesake")
    names = scored[at].contributions
    scored[at] = replace(
        scored[at],
        rows=scored[at].rows[:1],
        contributions={channel: values[:1] for channel, values in names.items()},
    )
    with pytest.raises(DweError, match=r"E461.*Georgia.*namesake"):
        analyse(evaluation, linker.kb, documents)
