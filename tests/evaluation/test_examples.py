"""Linked mentions as pages show them."""

from dataclasses import replace

import pytest

from places.report import swapped_view
from spacy_dwe.documents import Document
from spacy_dwe.evaluation.evaluate import evaluate_docs
from spacy_dwe.images import image_refs
from spacy_dwe.visualise.examples import Examples, LinkedDocuments
from spacy_dwe.visualise.page import interval, percent


@pytest.fixture
def result(nlp, linker, labelled, tmp_path):
    doc = labelled("Sakartvelo <b>beat</b> Samoa.", (0, 1, "Q1"), name="1")
    evaluation = evaluate_docs(nlp, linker, [doc], candidates="all")
    document = Document("1", doc.text, image_refs(tmp_path / "flag.png"))
    return LinkedDocuments(evaluation, {"1": document})


def test_an_example_says_whether_the_link_is_right(linker, result, tmp_path):
    examples = Examples(linker.kb, tmp_path)
    view = examples.view(result, 0)
    assert view.good
    assert view.linked == "Georgia (Q1)"
    assert [candidate.linked for candidate in view.candidates].count(True) == 1
    assert {part.channel for part in view.candidates[0].contributions} == {
        "name",
        "prior",
        "facts",
    }
    swapped = swapped_view(examples, result, 0, "Q2")
    assert not swapped.good
    assert swapped.note == "picture of Georgia (Q2)"


def test_a_wrong_link_names_the_right_entity(linker, result, tmp_path):
    (outcome,) = result.evaluation.outcomes
    result.evaluation.outcomes[0] = replace(outcome, gold="Q2")
    view = Examples(linker.kb, tmp_path).view(result, 0)
    assert not view.good
    assert view.verdict == "should be Georgia (Q2)"


def test_a_picture_that_cannot_be_read_is_left_out(linker, result, tmp_path):
    (tmp_path / "flag.png").write_bytes(b"no picture")
    assert Examples(linker.kb, tmp_path).view(result, 0).picture is None


def test_numbers_are_percent_and_absent_ones_a_dash():
    assert percent(0.94215) == "94.2"
    assert percent(-0.011, sign=True) == "−1.1"
    assert percent(None) == "–"
    assert interval([0.5, 0.625]) == "50.0 to 62.5"
    assert interval(None) == ""
