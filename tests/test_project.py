"""The spaCy project names files that are there, or that one of its commands makes."""

from pathlib import Path

import pytest
import srsly

ROOT = Path(__file__).parents[1]
PROJECT = srsly.read_yaml(ROOT / "project.yml")
COMMANDS = {command["name"]: command for command in PROJECT["commands"]}
MADE = {path for command in COMMANDS.values() for path in command["outputs"]}


@pytest.mark.parametrize("name", COMMANDS)
def test_what_a_command_depends_on_is_made_or_there(name):
    fixed = [path for path in COMMANDS[name]["deps"] if "${" not in path]
    assert [p for p in fixed if p not in MADE and not (ROOT / p).exists()] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_scripts_and_configs_that_a_command_runs_are_there(name):
    words = " ".join(COMMANDS[name]["script"]).split()
    named = [word for word in words if word.startswith(("scripts/", "configs/"))]
    assert [path for path in named if not (ROOT / path).exists()] == []
