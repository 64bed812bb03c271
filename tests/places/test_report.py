import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from places.rows import ROWS, RowResult
from spacy_dwe.documents import Document
from spacy_dwe.encoders.visual.boxes import Box
from spacy_dwe.encoders.visual.findings import Face, Region, Scene, VisualEvidence
from spacy_dwe.evaluation.evaluate import evaluate_docs
from spacy_dwe.images import image_refs
from spacy_dwe.visualise.examples import Examples
from spacy_dwe.visualise.page import Report, Section, interval, percent, render


@pytest.fixture
def result(nlp, linker, labelled, tmp_path):
    doc = labelled("Sakartvelo <b>beat</b> Samoa.", (0, 1, "Q1"), name="1")
    evaluation = evaluate_docs(nlp, linker, [doc], candidates="all")
    document = Document("1", doc.text, image_refs(tmp_path / "flag.png"))
    return RowResult(ROWS[0], evaluation, {"1": document})


@pytest.fixture
def page(linker, result, tmp_path):
    Image.new("RGB", (640, 480), "red").save(tmp_path / "flag.png")
    view = Examples(linker.kb, tmp_path).view(result, 0)
    report = Report("Title", "Lead", "KnowledgeBase of 4 entities")
    report.sections.append(Section("Linked", "", [view]))
    return render(report)


def test_the_page_needs_no_other_file_and_no_script(page):
    assert not re.search(r"<(script|link)\b", page)
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)
    assert "url(" not in page
    assert 'src="data:image/jpeg;base64,' in page


def test_what_was_seen_is_drawn_on_the_picture(linker, result, tmp_path):
    Image.new("RGB", (200, 100), "red").save(tmp_path / "flag.png")
    vector = np.ones(4, dtype=np.float32) / 2
    seen = VisualEvidence(
        (200, 100),
        vector,
        (
            Region(Box(20, 10, 120, 60), 0.5, "a <b>", 0.2, vector, "patches"),
            Region(Box(20, 10, 60, 90), 0.4, "", 0.0, vector, "patches"),
        ),
        (Face(Box(0, 0, 50, 50), 9.0, "old man", (), vector, vector),),
        (Scene("red field", "pair", 3.25, 0.3, vector),),
    )
    asked = []

    def look(pictures):
        asked.append(pictures)
        return dict.fromkeys(pictures, seen)

    view = Examples(linker.kb, tmp_path, look).view(result, 0)
    assert asked == [{image_refs(tmp_path / "flag.png")[0]: "document 1"}]
    report = Report("Title", "Lead", "KB", sections=[Section("Linked", "", [view])])
    page = render(report)
    frame = 'x="10.0%" y="10.0%" width="50.0%" height="50.0%"'
    assert f'<rect class="region" {frame}/>' in page
    assert ' dx="4" dy="14">1<' in page and ' dx="18" dy="14">2<' in page
    assert page.count('<rect class="face"') == page.count(">old man</text>") == 1
    for words in ("a &lt;b&gt;", "old man", "red field"):
        assert f"<b>{words}</b>" in page
    assert "3.2" in page and not re.search(r"<(script|link)\b", page)


def test_text_of_documents_is_escaped(page):
    assert "<mark>Sakartvelo</mark> &lt;b&gt;beat&lt;/b&gt; Samoa." in page


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
    swapped = examples.view(result, 0, swapped_to="Q2")
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
