"""The house: which room may import which. Imports within functions and those for type
checking alone count as any other."""

import ast
import re
from configparser import ConfigParser
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

import spacy_dwe

ROOT = Path(spacy_dwe.__file__).parent
FLOORS = (
    ("about", "errors", "files", "settings", "fetching", "bounded"),
    ("names",),
    ("images", "links", "tokens", "codecs", "spans", "documents"),
    ("encoders",),
    ("kb",),
    ("building", "sources", "model"),
    ("channels",),
    ("linking",),
    ("training",),
    ("pipeline", "bundle"),
    ("datasets", "evaluation", "visualise"),
    ("cli",),
)
"""From the ground up, as docs/architecture.md draws them. The package's own face,
`spacy_dwe/__init__.py`, stands above all."""
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {module_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def imported_by(name: str) -> set[str]:
    path = MODULES[name]
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            base += node.module.split(".") if node.module else []
        elif isinstance(node, ast.ImportFrom) and node.module.startswith("spacy_dwe"):
            base = node.module.split(".")[1:]
        else:
            continue
        for alias in node.names:
            whole = ".".join([*base, alias.name])
            found.add(whole if whole in MODULES else ".".join(base))
    return found - {name}


GRAPH = {name: imported_by(name) for name in MODULES if name}


def floor_of(name: str) -> int:
    return FLOOR_OF[name.split(".")[0]]


def test_every_room_has_a_floor():
    assert {name.split(".")[0] for name in GRAPH} == FLOOR_OF.keys()


def test_no_module_imports_from_a_floor_above():
    upward = [
        f"{name} -> {other}"
        for name, others in GRAPH.items()
        for other in sorted(others)
        if other and floor_of(other) > floor_of(name)
    ]
    assert not upward


def test_no_module_imports_itself_through_others():
    try:
        TopologicalSorter(GRAPH).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_nothing_within_imports_the_public_face():
    assert [name for name, others in GRAPH.items() if "" in others] == []


def test_the_public_face_names_what_it_shows():
    for name in spacy_dwe.__all__:
        assert getattr(spacy_dwe, name) is not None
    face = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    typed = {
        alias.asname
        for node in ast.walk(face)
        if isinstance(node, ast.If)
        for statement in node.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert typed == {*spacy_dwe.__all__} - {"__version__"}
    with pytest.raises(AttributeError, match="no attribute 'DweLinkr'"):
        _ = spacy_dwe.DweLinkr


def test_the_page_about_the_house_names_what_there_is():
    page = (ROOT.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:\w+/)*\w+\.py|(?:\w+/)+)`", page))
    rooms = {name for name in named if not name.startswith(("scripts", "tests"))}
    assert len(rooms) > 30
    assert [name for name in sorted(rooms) if not _there(name)] == []
    floors = re.findall(r"^\| \d+ \| (.*?) \|", page, re.MULTILINE)
    drawn = tuple(tuple(re.findall(r"`(\w+)/?`", line)) for line in floors)
    assert [{*rooms} for rooms in drawn] == [{*rooms} for rooms in FLOORS]


def _there(name: str) -> bool:
    """A path within the package, or within one of its rooms, or of the checkout."""
    bases = (ROOT, ROOT.parent, ROOT / "kb", ROOT / "encoders")
    return any((base / name).exists() for base in bases)


def test_what_setup_cfg_registers_is_there():
    config = ConfigParser()
    config.read(ROOT.parent / "setup.cfg")
    for lines in config["options.entry_points"].values():
        for line in filter(None, lines.splitlines()):
            module, _, name = line.partition("=")[2].strip().partition(":")
            assert hasattr(import_module(module), name), line
