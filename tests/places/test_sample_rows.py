import json

import pytest
from PIL import Image

from places.rows import ROWS
from sample import report
from spacy_dwe.cli.options import load_linking_pipeline
from spacy_dwe.errors import DweError


def document(number, text, gold, picture, groups, **extra):
    mention = {"start": 0, "end": text.index(" "), "kb_id": gold, "groups": groups}
    return {
        "id": f"d{number}",
        "text": text,
        "images": [picture],
        "mentions": [mention],
        **extra,
    }


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    for picture in ("one.png", "two.png"):
        Image.new("RGB", (96, 64), "red").save(folder / picture)
    test = [
        document(1, "Georgia won.", "Q1", "one.png", ["undecidable"]),
        document(2, "Georgia won.", "Q2", "two.png", ["undecidable"]),
        document(3, "Samoa lost.", "Q3", "one.png", ["irrelevant-picture", "unseen"]),
        document(4, "Atlantis sank.", None, "two.png", ["nil"]),
    ]
    swapped = [
        document(1, "Georgia won.", "Q1", "two.png", ["undecidable"], swapped_to="Q2"),
        document(2, "Georgia won.", "Q2", "one.png", ["undecidable"], swapped_to="Q1"),
    ]
    for name, documents in (
        ("test", test),
        ("test-permuted", test),
        ("test-swapped", swapped),
    ):
        lines = "".join(json.dumps(line) + "\n" for line in documents)
        (folder / f"{name}.jsonl").write_text(lines)
    return folder


@pytest.fixture(scope="module")
def pipelines(kb_path, tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    nlp, _ = load_linking_pipeline("blank:en", kb_path, ["name", "prior", "facts"])
    nlp.to_disk(path)
    return dict.fromkeys(("dwe", "no-dwe", "text-only"), str(path))


@pytest.fixture(scope="module")
def run(corpus, pipelines, tmp_path_factory):
    """RETURNS (tuple): metrics by row, and the folder that was written."""
    out = tmp_path_factory.mktemp("run")
    by_row = report(
        corpus, pipelines, metrics=out / "metrics", output=out / "report", draws=50
    )
    return by_row, out


def test_every_row_gets_its_metrics(run):
    by_row, out = run
    assert set(by_row) == {row.name for row in ROWS}
    for row in ROWS:
        written = json.loads((out / "metrics" / f"{row.name}.json").read_text())
        assert written == by_row[row.name]


def test_rows_say_what_they_used(run):
    by_row, _ = run
    assert by_row["image-only"]["protocol"] == "full"
    assert by_row["image-only"]["channels"] == ["image"]
    assert by_row["image-among-namesakes"]["protocol"] == "candidates"
    assert by_row["text-only"]["inputs"] == "text"
    groups = {"irrelevant-picture", "nil", "undecidable", "unseen"}
    assert by_row["dwe"]["by"].keys() == groups


def test_the_page_shows_each_name_once_as_a_swapped_pair(run):
    _, out = run
    page = (out / "report" / "index.html").read_text()
    assert "<mark>Georgia</mark> won." in page
    assert page.count('<article class="card pair">') == 1


def test_the_comparison_of_a_pipeline_with_itself_is_zero(run):
    difference = run[0]["dwe"]["difference"]
    assert difference["to"] == "no-dwe"
    assert difference["top1"] == {"difference": 0.0, "interval": [0.0, 0.0]}
    assert difference["by"]["undecidable"]["n"] == 2


def test_links_without_pictures_follow_no_swap(run):
    """Names and facts alone choose one of the two places, whatever is shown."""
    swap = run[0]["test-swapped"]["swap"]
    assert swap["n"] == 2
    assert swap["flip_rate"] == 0.5


def test_a_corpus_without_its_controls_is_an_error(corpus, pipelines, tmp_path):
    partial = tmp_path / "corpus"
    partial.mkdir()
    (partial / "test.jsonl").write_bytes((corpus / "test.jsonl").read_bytes())
    with pytest.raises(DweError, match=r"test-permuted\.jsonl"):
        report(partial, pipelines, metrics=tmp_path, output=tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_a_pipeline_that_is_not_there_is_named(corpus, pipelines, tmp_path):
    absent = {**pipelines, "dwe": str(tmp_path / "nowhere")}
    with pytest.raises(DweError, match="nowhere"):
        report(corpus, absent, metrics=tmp_path, output=tmp_path)
