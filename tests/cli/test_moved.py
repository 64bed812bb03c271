"""Commands that are scripts now say so, however they are called."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spacy_dwe.cli import dwe_cli

ROOT = Path(__file__).parents[2]
MOVED = {
    "sample places assets/places/places.jsonl corpus --seed 0": "scripts/sample.py",
    "sample --help": "scripts/sample.py",
    "study study.json out --vars.steps 5": "scripts/run_study.py",
    "study": "scripts/run_study.py",
    "report corpus --dwe models/dwe": "scripts/sample.py report",
}


@pytest.mark.parametrize("command", MOVED)
def test_a_command_that_moved_says_where_it_went(command):
    result = CliRunner().invoke(dwe_cli, command.split())
    assert result.exit_code == 1
    assert result.output.startswith("[DWE-E49") and result.output.count("\n") == 1
    assert f"python {MOVED[command]}`" in result.output
    assert (ROOT / MOVED[command].split()[0]).exists()


def test_commands_that_moved_are_not_offered():
    help_text = CliRunner().invoke(dwe_cli, ["--help"]).output
    assert not {"sample", "study", "report"} & set(help_text.split())


@pytest.mark.parametrize(
    ("script", "wanted"),
    [("sample.py", {"places", "clip", "report"}), ("run_study.py", {"--seeds"})],
)
def test_a_script_runs_from_the_root_of_the_project(script, wanted):
    command = [sys.executable, f"scripts/{script}", "--help"]
    result = subprocess.run(
        command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True
    )
    assert wanted <= set(result.stdout.split())


def test_a_script_fails_in_one_line(tmp_path):
    command = [sys.executable, "scripts/sample.py", "places", "none.jsonl"]
    result = subprocess.run(
        [*command, str(tmp_path / "out")],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
    )
    assert result.returncode == 1
    assert result.stderr.splitlines() == ["[DWE-E001] File not found: none.jsonl"]
