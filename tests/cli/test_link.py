import json

import pytest
import spacy
from PIL import Image
from typer.testing import CliRunner

from spacy_dwe.building.build import build_kb
from spacy_dwe.cli import dwe_cli
from spacy_dwe.cli.link import link
from spacy_dwe.errors import DweError
from spacy_dwe.kb.entity import Alias, Entity

DOCUMENTS = [
    {
        "id": "d1",
        "text": "Sakartvelo beat American Samoa in Atlantis.",
        "mentions": [
            {"start": 16, "end": 30, "kb_id": "Q4", "note": "kept"},
            {"start": 0, "end": 10},
            {"start": 16, "end": 24},
        ],
        "split": "test",
    },
    {"id": "d2", "text": "", "mentions": []},
    {"id": "d3", "text": "Samoa", "mentions": [{"start": 0, "end": 5}]},
]


@pytest.fixture(scope="module")
def kb_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("kb") / "places.kb"
    entities = [
        Entity("Q1", "Georgia", "country", (Alias("Sakartvelo"),)),
        Entity("Q3", "Samoa"),
        Entity("Q4", "American Samoa"),
    ]
    build_kb(entities, path)
    return path


@pytest.fixture
def data(tmp_path):
    return write(tmp_path / "documents.jsonl", DOCUMENTS)


def write(path, documents):
    path.write_text("".join(json.dumps(document) + "\n" for document in documents))
    return path


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(*arguments):
    return CliRunner().invoke(dwe_cli, [str(argument) for argument in arguments])


def test_links_are_written_beside_what_the_documents_had(kb_path, data, tmp_path):
    output = tmp_path / "links.jsonl"
    counts = link("blank:en", data, output, kb=kb_path, channels=["name"], top_k=2)
    first, empty, third = read(output)
    assert first["split"] == "test" and first["text"] == DOCUMENTS[0]["text"]
    samoa, georgia, overlapping = first["mentions"]
    assert samoa["note"] == "kept" and (samoa["start"], samoa["end"]) == (16, 30)
    assert (samoa["kb_id"], georgia["kb_id"]) == ("Q4", "Q1")
    assert (overlapping["start"], overlapping["end"]) == (16, 24)
    best = samoa["candidates"][0]
    assert best["id"] == "Q4" and best["title"] == "American Samoa"
    assert 0 < best["probability"] == samoa["probability"] <= 1
    assert set(best["scores"]) == {"name"}
    assert {"exact", "words"} <= set(best["found_by"])
    assert all(len(m["candidates"]) <= 2 for m in first["mentions"])
    assert empty["mentions"] == [] and third["mentions"][0]["kb_id"] == "Q3"
    assert counts["documents"] == 3 and counts["mentions"] == 4
    assert counts["linked"] + counts["nil"] == 4


@pytest.mark.parametrize("batch_size", [1, 2])
def test_links_do_not_depend_on_the_batch(kb_path, data, tmp_path, batch_size):
    settings = {"kb": kb_path, "channels": ["name", "prior", "facts"]}
    link("blank:en", data, tmp_path / "all.jsonl", **settings)
    link("blank:en", data, tmp_path / "few.jsonl", batch_size=batch_size, **settings)
    assert read(tmp_path / "all.jsonl") == read(tmp_path / "few.jsonl")


def test_a_pipeline_with_ner_finds_mentions_where_none_are_given(
    kb_path, data, tmp_path
):
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "LOC", "pattern": "Samoa"}])
    nlp.add_pipe("dwe_linker", config={"channels": ["name"]}).load_kb(kb_path)
    nlp.to_disk(tmp_path / "pipeline")
    documents = [*DOCUMENTS, {"id": "d4", "text": "They flew to Samoa."}]
    output = tmp_path / "links.jsonl"
    link(tmp_path / "pipeline", write(data, documents), output)
    first, _, third, found = read(output)
    assert len(first["mentions"]) == 3 and third["mentions"][0]["kb_id"] == "Q3"
    (mention,) = found["mentions"]
    assert (mention["start"], mention["end"], mention["label"]) == (13, 18, "LOC")
    assert mention["kb_id"] == "Q3"


def test_overrides_reach_the_linker(kb_path, data, tmp_path):
    output = tmp_path / "links.jsonl"
    settings = ["--kb", kb_path, "--channels", "name"]
    threshold = ["--components.dwe_linker.threshold", "1.0"]
    done = run("link", "blank:en", data, output, *settings, *threshold)
    assert done.exit_code == 0, done.output
    assert {m["kb_id"] for d in read(output) for m in d["mentions"]} == {None}
    assert "3 documents, 4 mentions, 0 linked, 4 NIL" in done.output


def test_without_ner_a_document_must_bring_its_mentions(kb_path, data, tmp_path):
    output = tmp_path / "links.jsonl"
    write(data, [*DOCUMENTS, {"id": "silent", "text": "Samoa"}])
    with pytest.raises(DweError, match=r"E232.*silent.*blank:en"):
        link("blank:en", data, output, kb=kb_path)
    assert not output.exists()


@pytest.mark.parametrize(
    "line, message",
    [
        ('{"text": "broken', r"documents.jsonl, line 4"),
        ('{"text": "x", "mentions": [{"start": 0, "end": 9}]}', "line 4: mention 1"),
        (
            '{"id": "d1", "text": "x", "mentions": []}',
            "line 4: the id 'd1' stands in line 1",
        ),
    ],
)
def test_a_bad_line_leaves_no_output(kb_path, data, tmp_path, line, message):
    data.write_text(data.read_text() + line + "\n")
    output = tmp_path / "links.jsonl"
    output.write_text("older result")
    done = run("link", "blank:en", data, output, "--kb", kb_path)
    assert done.exit_code == 1
    assert message in done.stderr and "Traceback" not in done.output
    errors = [line for line in done.stderr.splitlines() if "DWE-E" in line]
    assert len(errors) == 1
    assert output.read_text() == "older result"
    assert sorted(p.name for p in tmp_path.iterdir()) == [data.name, output.name]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("link", "blank:en", "nothing.jsonl", "o.jsonl"), "nothing.jsonl"),
        (("link", "nothing", "DATA", "o.jsonl"), "nothing"),
        (("link", "blank:xx", "DATA", "o.jsonl", "--kb", "no.kb"), "no.kb"),
        (("link", "blank:en", "DATA", "o.jsonl"), "E401"),
        (("link", "blank:en", "DATA", "DATA", "--kb", "KB"), "E235"),
        (("link", "blank:en", "DATA", "o", "--kb", "KB", "--treshold"), "--treshold"),
        (("link", "blank:en", "DATA", "DATA/o.jsonl", "--kb", "KB"), "E006"),
        (("link", "blank:en", "DATA", ".", "--kb", "KB"), "E005"),
        (
            ("link", "blank:en", "DATA", "o", "--kb", "KB", "--components.x.y", "1"),
            "--components.x.y",
        ),
        (
            ("link", "blank:en", "DATA", "o", "--kb", "KB", "--nlp.batchsize", "1"),
            "--nlp.batchsize",
        ),
    ],
)
def test_mistakes_are_one_line(
    kb_path, data, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    named = {"DATA": data, "DATA/o.jsonl": data / "o.jsonl", "KB": kb_path}
    done = run(*(named.get(argument, argument) for argument in arguments))
    assert done.exit_code == 1, done.output
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "o.jsonl").exists()


def test_pictures_that_the_kb_has_no_encoder_for_are_only_counted(
    kb_path, data, tmp_path
):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    write(data, [{**DOCUMENTS[2], "images": ["a.png", "missing.png"]}])
    done = run("link", "blank:en", data, tmp_path / "links.jsonl", "--kb", kb_path)
    assert done.exit_code == 0, done.output
    assert "2 images, not looked at" in done.output


def test_the_commands_are_mounted_on_spacy(fresh_python):
    done = fresh_python(
        "import runpy; runpy.run_module('spacy', run_name='__main__')", "dwe", "--help"
    )
    assert done.returncode == 0, done.stderr
    for command in ("link", "convert", "evaluate", "kb"):
        assert command in done.stdout


def test_mounting_the_commands_is_light(fresh_python):
    code = """
import sys
import spacy_dwe.cli
heavy = {"open_clip", "torchvision", "transformers", "tantivy", "cv2"}
heavy |= {f"spacy_dwe.{name}" for name in ("pipeline", "model.dwe", "encoders")}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    done = fresh_python(code)
    assert done.returncode == 0, done.stderr
