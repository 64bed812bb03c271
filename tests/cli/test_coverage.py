import json

import pytest
import spacy
from tiny_world import NAMES, linking_pipeline
from typer.testing import CliRunner

from spacy_dwe.cli import dwe_cli
from spacy_dwe.cli.coverage import coverage, with_setting
from spacy_dwe.errors import DweError


@pytest.fixture
def documents(tmp_path):
    """Of ten mentions three are names of the KB, and none says so."""
    words = [*NAMES[:3], *(f"Xqz{n}vk" for n in "abcdefg")]
    return write(tmp_path / "documents.jsonl", words)


def write(path, words, **mentions):
    lines = [
        {
            "id": word,
            "text": f"{word} won.",
            "mentions": [{"start": 0, "end": len(word)}],
            **mentions,
        }
        for word in words
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def saved(names_kb, tmp_path):
    nlp = linking_pipeline(names_kb)
    nlp.add_pipe("entity_ruler", first=True).add_patterns(
        [{"label": "PLACE", "pattern": name} for name in (*NAMES[:1], "Xqzavk")]
    )
    nlp.to_disk(tmp_path / "pipeline")
    return tmp_path / "pipeline"


def run(*arguments):
    return CliRunner().invoke(dwe_cli, [str(argument) for argument in arguments])


def test_what_is_estimated_says_what_to_set(names_kb, documents):
    done = run("coverage", "blank:en", documents, "--kb", names_kb)
    assert done.exit_code == 0, done.output
    assert "of 10 mentions in 10 documents" in " ".join(done.output.split())
    assert "--components.dwe_linker.kb_coverage 0." in done.output
    found = coverage("blank:en", documents, kb=names_kb)
    assert found.low <= found.share <= found.high
    assert found.share == pytest.approx(0.3, abs=0.1)


def test_it_does_not_depend_on_what_is_set(names_kb, documents):
    own = {"components.dwe_linker.kb_coverage": 0.9}
    assert coverage("blank:en", documents, kb=names_kb, overrides=own) == coverage(
        "blank:en", documents, kb=names_kb
    )


def test_saving_changes_one_line_and_no_other(saved, documents):
    config = saved / "config.cfg"
    before = config.read_text().splitlines()
    found = coverage(saved, documents, save=True)
    after = config.read_text().splitlines()
    changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    value = round(found.share, 3)
    assert changed == [("kb_coverage = null", f"kb_coverage = {value}")]
    assert spacy.load(saved).get_pipe("dwe_linker").kb_coverage == value
    coverage(saved, documents, save=True)
    assert config.read_text().splitlines() == after
    assert not list(saved.glob(".config*"))


def test_a_config_that_never_had_the_setting_gets_it():
    config = "[components.a]\nb = 1\n\n[components.a.model]\nkb_coverage = 3\n"
    expected = config.replace("b = 1", "kb_coverage = 0.2\nb = 1")
    assert with_setting(config, "components.a", 0.2) == expected
    with pytest.raises(DweError, match="E543"):
        with_setting(config, "components.b", 0.2)


def test_mentions_are_found_where_none_are_given(saved, documents):
    lines = [json.loads(line) for line in documents.read_text().splitlines()]
    for line in lines:
        del line["mentions"]
    documents.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert coverage(saved, documents).n_mentions == 2


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("blank:en", "DATA"), "E401"),
        (("blank:en", "DATA", "--kb", "KB", "--save"), "E543"),
        (("blank:en", "EMPTY", "--kb", "KB"), "E544"),
        (("blank:en", "BARE", "--kb", "KB"), "E232"),
        (("blank:en", "nothing.jsonl", "--kb", "KB"), "E001"),
    ],
)
def test_mistakes_are_one_line(names_kb, documents, tmp_path, arguments, message):
    named = {
        "DATA": documents,
        "KB": names_kb,
        "EMPTY": write(tmp_path / "empty.jsonl", ["a"], mentions=[]),
        "BARE": write(tmp_path / "bare.jsonl", ["a"], mentions=None),
    }
    done = run("coverage", *(named.get(each, each) for each in arguments))
    assert done.exit_code == 1, done.output
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
