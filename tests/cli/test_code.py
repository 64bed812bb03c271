"""An encoder of one's own: a file given by --code, as in `spacy train`."""

import json
import re

import catalogue
import numpy as np
import pytest
import spacy
from typer.testing import CliRunner

from spacy_dwe.cli import dwe_cli
from spacy_dwe.kb.knowledge_base import DweKnowledgeBase
from spacy_dwe.kb.vectors.sets import SetName

ENCODER = '''
"""A text is how often each letter occurs in it."""

import numpy as np
import spacy

from spacy_dwe.encoders.protocol import mentions_as_texts


@spacy.registry.misc("my.Letters.v1")
class Letters:
    max_tokens = 10_000

    def __init__(self, dim: int = 26):
        self.dim = self.width = dim
        self.fingerprint = f"letters-{dim}"
        self.spec = {"@misc": "my.Letters.v1", "dim": dim}

    def encode_texts(self, texts, progress=None):
        counts = np.full((len(texts), self.dim), 1e-3, dtype=np.float32)
        for row, text in enumerate(texts):
            for letter in text.lower():
                counts[row, ord(letter) % self.dim] += 1
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)

    def encode_mentions(self, mentions):
        return mentions_as_texts(self, mentions)
'''
NAME = "my.Letters.v1"
LETTERS = SetName("description", "letters")
TEXT = "Georgia: xylophone quartz."
ENTITIES = [
    {"id": "Q1", "title": "Georgia", "description": "xylophone quartz"},
    {"id": "Q2", "title": "Georgia", "description": "a neat tea estate"},
]
DOCUMENT = {
    "id": "d",
    "text": TEXT,
    "mentions": [{"start": 0, "end": 7, "kb_id": "Q1"}],
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "letters.py").write_text(ENCODER)
    write(tmp_path / "entities.jsonl", *ENTITIES)
    write(tmp_path / "more.jsonl", {"id": "Q3", "title": "C", "description": "zzzz"})
    write(tmp_path / "documents.jsonl", DOCUMENT)
    return tmp_path


@pytest.fixture
def kb(folder):
    done = build(folder, "--encoder", f"letters={NAME}")
    assert done.exit_code == 0, done.output
    return folder / "my.kb"


def write(path, *values):
    path.write_text("".join(json.dumps(value) + "\n" for value in values))


def run(*arguments):
    """Run a command; what it registers is forgotten, as if it were another process."""
    try:
        return CliRunner().invoke(dwe_cli, [str(each) for each in arguments])
    finally:
        catalogue.REGISTRY.pop(("spacy", "misc", NAME), None)


def build(folder, *options):
    files = folder / "entities.jsonl", folder / "my.kb"
    return run("kb", "build", *files, "--code", folder / "letters.py", *options)


def failure(result):
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    return result.stderr.strip().splitlines()[-1]


def test_an_encoder_of_ones_own_makes_a_kb_that_links(folder, kb):
    code = ("--code", folder / "letters.py")
    vectors = DweKnowledgeBase(kb).vector_sets[LETTERS]
    assert (vectors.fingerprint, vectors.dim) == ("letters-26", 26)

    files = folder / "documents.jsonl", folder / "links.jsonl"
    only = ("--channels", "name,text")
    assert run("link", "blank:en", *files, "--kb", kb, *only, *code).exit_code == 0
    (mention,) = json.loads((folder / "links.jsonl").read_text())["mentions"]
    first, second = mention["candidates"]
    assert (first["id"], second["id"]) == ("Q1", "Q2")
    assert first["scores"]["text"] > second["scores"]["text"]

    done = run("evaluate", "blank:en", folder / "documents.jsonl", "--kb", kb, *code)
    assert done.exit_code == 0, done.output


def test_its_kb_grows_and_is_made_again(folder, kb):
    code = ("--code", folder / "letters.py")
    done = run("kb", "add", kb, folder / "more.jsonl", *code)
    assert done.exit_code == 0, done.output
    grown = DweKnowledgeBase(kb).vector_sets[LETTERS].gather([0, 1, 2])
    assert grown[1].all()
    done = run("kb", "rebuild", kb, "--encode-again", *code)
    assert done.exit_code == 0, done.output
    again = DweKnowledgeBase(kb).vector_sets[LETTERS].gather([0, 1, 2])
    np.testing.assert_array_equal(grown[0], again[0])


def test_its_pipeline_can_be_bundled(folder, kb):
    nlp = spacy.blank("en")
    nlp.add_pipe("dwe_linker").load_kb(kb)
    nlp.to_disk(folder / "pipeline")
    done = run(
        "bundle", folder / "pipeline", folder / "out", "-c", folder / "letters.py"
    )
    assert done.exit_code == 0, done.output
    assert NAME in done.output, "an encoder that is code is told by its name"
    carried = DweKnowledgeBase(folder / "out" / "dwe_linker" / "kb")
    assert carried.vector_sets[LETTERS].spec == {"@misc": NAME, "dim": 26}


def test_arguments_stand_in_the_block(folder):
    block = json.dumps({"@misc": NAME, "dim": 8})
    assert build(folder, "--encoder", f"letters={block}").exit_code == 0
    vectors = DweKnowledgeBase(folder / "my.kb").vector_sets[LETTERS]
    assert (vectors.dim, vectors.spec) == (8, {"@misc": NAME, "dim": 8})


@pytest.mark.parametrize(
    "option, told",
    [
        ("letters=my.Nothing.v1", r"E225.*'my\.Nothing\.v1' is not registered.*--code"),
        ('letters={"@misc": "my.Letters.v1", "colour": 1}', "E225.*colour"),
        ('letters={"@misc": "my.Letters.v1"', "E135.*SPACE=NAME"),
        ("my.Letters.v1", "E135.*SPACE=NAME"),
        ("let.ters=my.Letters.v1", "E185.*let.ters"),
        ("letters=spacy-dwe.NameCandidates.v1", "E225.*encode_texts"),
    ],
)
def test_what_names_no_encoder_is_told(folder, option, told):
    assert re.search(told, failure(build(folder, "--encoder", option)))
    assert not (folder / "my.kb").exists()


def test_without_its_code_a_kb_says_what_to_do(folder, kb):
    files = folder / "documents.jsonl", folder / "links.jsonl"
    for command in (
        ("link", "blank:en", *files, "--kb", kb),
        ("kb", "add", kb, folder / "more.jsonl"),
        ("kb", "rebuild", kb),
    ):
        line = failure(run(*command))
        assert NAME in line and "--code FILE" in line
    assert run("kb", "info", kb).exit_code == 0


def test_a_file_of_code_that_cannot_be_run_is_told(folder):
    broken = folder / "broken.py"
    broken.write_text("import spacy\n\nletters = nothing\n")
    command = ("kb", "build", folder / "entities.jsonl", folder / "my.kb", "--code")
    line = failure(run(*command, broken))
    assert "broken.py" in line and "'nothing' is not defined (line 3)" in line
    assert "gone.py" in failure(run(*command, folder / "gone.py"))
    assert "does not end in .py" in failure(run(*command, folder / "entities.jsonl"))
