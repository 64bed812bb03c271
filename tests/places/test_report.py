"""The page that shows what linkers did with the places sample."""

import re

import numpy as np
import pytest
from PIL import Image

from places.page import Report, Section, render
from places.rows import ROWS, RowResult
from spacy_dwe.cli.options import load_linking_pipeline
from spacy_dwe.documents import Document, MentionRecord, make_docs
from spacy_dwe.encoders.visual.boxes import Box
from spacy_dwe.encoders.visual.findings import Face, Region, Scene, VisualEvidence
from spacy_dwe.evaluation.evaluate import evaluate_docs
from spacy_dwe.images import image_refs
from spacy_dwe.visualise.examples import Examples


@pytest.fixture(scope="module")
def pipeline(kb_path):
    return load_linking_pipeline("blank:en", kb_path, ["name", "prior", "facts"])


@pytest.fixture
def linker(pipeline):
    return pipeline[1]


@pytest.fixture
def result(pipeline, tmp_path):
    nlp, linker = pipeline
    document = Document(
        "1",
        "Sakartvelo <b>beat</b> Samoa.",
        image_refs(tmp_path / "flag.png"),
        (MentionRecord(0, 10, "Q1", True),),
    )
    docs = make_docs(nlp, document, with_gold=True)
    evaluation = evaluate_docs(nlp, linker, docs, candidates="all")
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
