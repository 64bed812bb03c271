import json

import pytest
import spacy
from spacy.tokens import DocBin
from typer.testing import CliRunner

from spacy_dwe.cli import dwe_cli
from spacy_dwe.cli.convert import convert
from spacy_dwe.errors import DweError

DOCUMENTS = [
    {
        "id": "d1",
        "text": "New York Times in Georgia",
        "mentions": [
            {"start": 0, "end": 14, "kb_id": "Q9684"},
            {"start": 0, "end": 8, "kb_id": None},
            {"start": 18, "end": 25, "groups": ["undecidable"]},
        ],
        "images": ["/pictures/a.png"],
        "split": "train",
    },
    {"id": "d2", "text": "Nothing", "mentions": []},
]


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "documents.jsonl"
    path.write_text("".join(json.dumps(document) + "\n" for document in DOCUMENTS))
    return path


def run(*arguments):
    return CliRunner().invoke(dwe_cli, ["convert", *map(str, arguments)])


@pytest.mark.parametrize("first", [True, False])
def test_there_and_back(data, tmp_path, first):
    binary, back = tmp_path / "docs.spacy", tmp_path / "back.jsonl"
    for name, src, out in (("docbin", data, binary), ("jsonl", binary, back)):
        done = run(name, src, out) if first else run(src, out, "--to", name)
        assert done.exit_code == 0, done.output
    documents = [json.loads(line) for line in back.read_text().splitlines()]
    order = [(m["start"], m["end"]) for m in documents[0]["mentions"]]
    assert sorted(order) == [(0, 8), (0, 14), (18, 25)]
    for document, expected in zip(documents, DOCUMENTS, strict=True):
        for mentions in (document["mentions"], expected["mentions"]):
            mentions.sort(key=lambda mention: (mention["start"], mention["end"]))
        assert document == expected


def test_the_docbin_keeps_labels_pictures_and_groups(data, tmp_path):
    out = tmp_path / "new" / "docs.spacy"
    assert convert("docbin", data, out, lang="xx") == 2
    docs = list(DocBin().from_disk(out).get_docs(spacy.blank("xx").vocab))
    labels = {ent.text: ent.kb_id_ for doc in docs for ent in doc.ents}
    assert labels == {"New York Times": "Q9684", "New York": "NIL", "Georgia": ""}
    assert docs[0]._.images[0].path == "/pictures/a.png"
    groups = {ent.text: ent._.link_groups for doc in docs for ent in doc.ents}
    assert groups["Georgia"] == ("undecidable",)


def test_mistakes_are_one_line_and_leave_no_output(data, tmp_path):
    out = tmp_path / "out.spacy"
    data.write_text(data.read_text() + "{broken\n")
    done = run("docbin", data, out)
    assert done.exit_code == 1 and "documents.jsonl, line 3" in done.stderr
    for arguments, message in (
        (("parquet", data, out), "E240"),
        (("docbin", tmp_path / "nothing.jsonl", out), "nothing.jsonl"),
        (("jsonl", data, out), "is no .spacy file"),
        (("docbin", data, data), "E235"),
        (("docbin", data, out, "--lang", "qq"), "qq"),
    ):
        done = run(*arguments)
        assert done.exit_code == 1, done.output
        assert message in done.stderr.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == [data.name]
    assert run(data, out).exit_code == 2
    assert run("docbin", data, out, "--to", "docbin").exit_code == 2


def test_an_empty_file_is_no_training_data(tmp_path):
    path = tmp_path / "empty.jsonl"
    path.touch()
    with pytest.raises(DweError, match=r"E004.*empty\.jsonl"):
        convert("docbin", path, tmp_path / "out.spacy")
