"""The project's workflows on sets of real photographs, `birds` and `grocery`."""

import json
import shutil
import sys
import zipfile
from pathlib import Path

import pytest
from small_encoders import Colours
from spacy.cli import app
from tiny_datasets import grocery
from tiny_photographs import photographs
from typer.testing import CliRunner
from weasel.util import load_project_config, split_command

from photographs import LITE0_FILE, LITE0_PACKAGE, lite0_weights, photographs_cli

ROOT = Path(__file__).parents[2]
NAMES_ALONE = {"picture_encoder": "", "photograph_steps": 2}
COLOURS = {"picture_encoder": Colours().spec["@misc"], "photograph_steps": 2}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The project in a folder of its own, without data."""
    folder = tmp_path / "project"
    (folder / "assets").mkdir(parents=True)
    shutil.copy(ROOT / "project.yml", folder)
    shutil.copytree(ROOT / "configs", folder / "configs")
    monkeypatch.chdir(folder)
    return folder


def run(workflow, project, **variables):
    """As `python -m spacy project run`, without starting Python for each step.

    RETURNS (Result): of the last step, or of the first that failed.
    """
    overrides = {f"vars.{name}": str(value) for name, value in variables.items()}
    config = load_project_config(project, overrides=overrides)
    scripts = {command["name"]: command["script"] for command in config["commands"]}
    lines = [line for step in config["workflows"][workflow] for line in scripts[step]]
    for line in lines:
        _, program, *arguments = split_command(line)
        if program == "-m":
            assert arguments.pop(0) == "spacy"
        else:
            assert program == "scripts/photographs.py"
        cli = app if program == "-m" else photographs_cli
        done = CliRunner().invoke(cli, arguments)
        if done.exit_code:
            break
    return done


def top1(path, group):
    return json.loads(path.read_text())["by"][group]["top1"]


def linkers(path):
    """RETURNS (list[str]): those that a trial compares."""
    shares = json.loads(path.read_text())["shares"]
    return list(dict.fromkeys(share["linker"] for share in shares))


def test_grocery_is_made_from_the_archive_that_assets_fetches(project, tmp_path):
    src = grocery(tmp_path / "GroceryStoreDataset-fc80ba9")
    with zipfile.ZipFile(project / "assets" / "grocery-published.zip", "w") as archive:
        for path in sorted(src.rglob("*")):
            archive.write(path, path.relative_to(tmp_path))
    assert run("grocery", project, **NAMES_ALONE).exit_code == 0
    made = project / "runs" / "grocery"
    for split in ("dev", "test"):
        # Names alone: full ones tell, and nouns are shared.
        assert top1(made / f"{split}.json", "text:full-name") == 1
        assert top1(made / f"{split}.json", "undecidable") < 0.8
    assert (made / "report" / "index.html").is_file()
    # There is nothing that a head of the network could compare.
    assert linkers(made / "trial.json") == ["untrained", "features"]


def test_a_set_of_ones_own_is_used_where_it_lies(project, tmp_path):
    birds = photographs(tmp_path / "birds")
    done = run("birds", project, birds=birds, **COLOURS)
    assert done.exit_code == 0, done.output
    made = project / "runs" / "birds"
    assert top1(made / "dev.json", "text:full-name-nearby") == 1
    assert top1(made / "dev.json", "undecidable") == 1, "each has its colour"
    assert (made / "report" / "index.html").is_file()
    assert linkers(made / "trial.json") == ["untrained", "features", "linear"]


def test_what_is_not_trained_for_want_of_an_encoder_is_told(project, tmp_path):
    birds = photographs(tmp_path / "birds")
    run("birds", project, birds=birds, **COLOURS)
    data = [str(birds), "runs/birds/birds.kb", "models", "--steps", "1"]
    command = ["train", "configs/default.cfg", *data]
    done = CliRunner().invoke(photographs_cli, command)
    assert done.exit_code == 0, done.output
    told = " ".join(done.output.split())
    assert "network: not trained" in told and "--text-encoder" in told
    models = sorted(path.parent.name for path in Path("models").glob("*/model-best"))
    assert models == ["features", "linear"]


@pytest.mark.parametrize(
    "workflow, told",
    [
        ("birds", "docs/datasets.md says where"),
        ("grocery", "`python -m spacy project assets --extra` fetches"),
    ],
)
def test_without_data_one_line_says_where_it_comes_from(project, workflow, told):
    done = run(workflow, project)
    assert done.exit_code == 1
    (line,) = done.output.splitlines()
    assert line.startswith("[DWE-E282]")
    assert told in line
    assert f"--vars.{workflow} DIR" in line


def test_a_damaged_archive_is_told(project):
    (project / "assets" / "grocery-published.zip").write_bytes(b"<html>")
    done = run("grocery", project)
    assert done.exit_code == 1
    (line,) = done.output.splitlines()
    assert "is no zip file" in line
    assert not (project / "assets" / "grocery-published").exists()


def test_the_default_encoder_takes_the_weights_of_an_installed_package(
    tmp_path, monkeypatch
):
    weights = tmp_path / LITE0_PACKAGE / LITE0_FILE
    weights.parent.mkdir(parents=True)
    weights.touch()
    (tmp_path / LITE0_PACKAGE / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert lite0_weights() == weights
    assert LITE0_PACKAGE not in sys.modules
