import shutil

import pytest
import spacy
import typer
from tiny_world import linking_pipeline
from typer.testing import CliRunner

from spacy_dwe.cli.bundle import bundle_cli


@pytest.fixture
def pipeline(kb, tmp_path):
    linking_pipeline(kb).to_disk(tmp_path / "pipeline")
    return tmp_path / "pipeline"


def run(*arguments):
    app = typer.Typer()
    app.command("bundle")(bundle_cli)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def failure(result):
    assert result.exit_code == 1
    (line,) = result.stderr.strip().splitlines()
    return line


def test_bundle_says_what_was_copied(pipeline, kb, world, tmp_path):
    result = run(pipeline, tmp_path / "out")
    assert result.exit_code == 0, result.output
    output = " ".join(result.output.split())
    assert f"pipeline {pipeline}" in output
    assert f"KnowledgeBase {kb}" in output
    assert f"MB encoder {world / 'clip'}" in output
    assert "Not copied" not in output
    loaded = spacy.load(tmp_path / "out").get_pipe("dwe_linker").kb
    assert loaded.path == tmp_path / "out" / "dwe_linker" / "kb"


def test_encoders_left_out_are_warned_of(pipeline, world, tmp_path):
    result = run(pipeline, tmp_path / "out", "--no-encoders")
    assert result.exit_code == 0, result.output
    (warning,) = [line for line in result.stderr.splitlines() if "W143" in line]
    assert f"W143] {world / 'clip'} is left out" in warning
    assert "[components.dwe_linker.clip]" in warning


def test_mistakes_are_one_line(pipeline, names_kb, tmp_path):
    out = tmp_path / "out"
    assert "no pipeline" in failure(run(tmp_path / "nothing", out))
    spacy.blank("xx").to_disk(tmp_path / "plain")
    assert "no dwe_linker" in failure(run(tmp_path / "plain", out))
    assert "missing.kb" in failure(run(pipeline, out, "--kb", tmp_path / "missing.kb"))
    assert run(pipeline, out, "--kb", names_kb).exit_code == 0
    assert "--overwrite" in failure(run(pipeline, out))
    assert run(pipeline, out, "--overwrite").exit_code == 0
    shutil.rmtree(out / "vocab")
    (tmp_path / "folder").mkdir()
    message = failure(run(pipeline, tmp_path / "folder", "--overwrite"))
    assert "is no pipeline, so it is not replaced" in message
