"""A KB source written outside the package: one function in one file."""

import json
import re
import subprocess
import sys

import pytest
import spacy
from typer.testing import CliRunner

from spacy_dwe.building.build import build_kb
from spacy_dwe.cli import dwe_cli
from spacy_dwe.errors import DweError
from spacy_dwe.kb.entity import Alias, Entity, read_entities
from spacy_dwe.sources import registered_entities

MY_SOURCE = '''
"""KB entities of a GeoJSON file, one a feature, with their coordinates."""

import json
from collections.abc import Iterator
from pathlib import Path

import spacy

from spacy_dwe.kb.entity import Alias, Entity


@spacy.registry.misc("my.GeoJsonSource.v1")
def geojson_source(path: str, kind: str | None = None) -> Iterator[Entity]:
    """kind (str | None): features of this kind only."""
    for feature in json.loads(Path(path).read_text("utf-8"))["features"]:
        properties = feature["properties"]
        if kind in (None, properties["kind"]):
            yield Entity(
                id=feature["id"],
                title=properties["name"],
                description=properties.get("text", ""),
                aliases=tuple(Alias(name) for name in properties.get("names", ())),
                extra={"coordinates": feature["geometry"]["coordinates"]},
            )
'''


def feature(id_, name, point, **properties):
    return {
        "type": "Feature",
        "id": id_,
        "geometry": {"type": "Point", "coordinates": point},
        "properties": {"name": name, **properties},
    }


PLACES = {
    "type": "FeatureCollection",
    "features": [
        feature("Q994", "Tbilisi", [44.8, 41.7], kind="city", names=["Tiflis"]),
        feature("Q230", "Georgia", [44, 42], kind="country", text="In the Caucasus."),
    ],
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "my_source.py").write_text(MY_SOURCE)
    (tmp_path / "places.geojson").write_text(json.dumps(PLACES))
    return tmp_path


@pytest.fixture
def run(folder):
    """Runs `kb import` with a source's name and settings."""

    def run(source, *settings, code=folder / "my_source.py"):
        options = [part for setting in settings for part in ("--set", setting)]
        options += ["--code", str(code)] if code else []
        arguments = ["kb", "import", source, str(folder / "out.jsonl"), *options]
        return CliRunner().invoke(dwe_cli, arguments)

    return run


def line_of(result):
    assert result.exit_code == 1, result.output
    (line,) = result.stderr.splitlines()
    return line


def test_the_command_writes_its_entities(folder):
    command = [sys.executable, "-m", "spacy", "dwe", "kb", "import"]
    command += ["my.GeoJsonSource.v1", "out.jsonl", "--code", "my_source.py"]
    command += ["--set", "path=places.geojson", "--set", "kind=city"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "1 entities, 1 aliases" in " ".join(done.stdout.split())
    assert list(read_entities(folder / "out.jsonl")) == [
        Entity(
            "Q994",
            "Tbilisi",
            aliases=(Alias("Tiflis"),),
            extra={"coordinates": [44.8, 41.7]},
        )
    ]


def test_a_kb_is_built_from_it_as_it_is(folder):
    spacy.util.import_file("my_source", folder / "my_source.py")
    geojson_source = spacy.registry.misc.get("my.GeoJsonSource.v1")
    entities = geojson_source(str(folder / "places.geojson"))
    kb = build_kb(entities, folder / "places.kb")
    points = {entity.id: entity.extra["coordinates"] for entity in kb}
    assert points == {"Q994": [44.8, 41.7], "Q230": [44, 42]}


@pytest.mark.parametrize(
    ("source", "settings", "message"),
    [
        ("my.Source.v1", [], r"E118.*'my\.Source\.v1'.*--code"),
        ("my.GeoJsonSource.v1", [], r"E119.*my\.GeoJsonSource\.v1: path: .*required"),
        (
            "my.GeoJsonSource.v1",
            ["path=a", "knd=city"],
            "E119.* knd: .*(unexp|not perm)",
        ),
        ("my.GeoJsonSource.v1", ["path=3"], "E119.* path: .*(string|str)"),
        ("my.GeoJsonSource.v1", ["path"], "E135.*--set takes KEY=VALUE, not 'path'"),
        ("my.GeoJsonSource.v1", ["path=no.geojson"], r"no\.geojson: No such file"),
        ("my.GeoJsonSource.v1", ["path=places.geojson", "kind=x"], "E004.*no entities"),
        ("spacy-dwe.SceneAttributes.v1", [], "E119.*gives no entities"),
    ],
)
def test_a_mistake_is_one_clear_line(
    run, folder, monkeypatch, source, settings, message
):
    monkeypatch.chdir(folder)
    line = line_of(run(source, *settings))
    assert re.search(message, line), line
    assert not (folder / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("entities", "message"),
    [
        ([Entity("Q1", "A"), Entity("Q1", "B")], r"entity 2 of .*'Q1' occurs twice"),
        ([{"id": "Q1", "title": "A"}], "E100.*an Entity, .* was expected"),
        ([Entity("Q1", "A", aliases=("B",))], "E100.*its aliases of Alias"),
        ([Entity("Q1", "")], 'E100.*entity 1 of .*"title" is empty'),
        ([Entity("Q1", "A", prior=7)], 'E100.*"prior" must lie between 0 and 1'),
    ],
)
def test_what_it_gives_is_checked(entities, message):
    spacy.registry.misc("my.WrongSource.v1", func=lambda: entities)
    with pytest.raises(DweError, match=message):
        list(registered_entities("my.WrongSource.v1", {}))


def test_sources_of_this_package_have_names(run, folder):
    (folder / "table.csv").write_text("id;name\nQ994;Tbilisi\n")
    settings = f"path={folder}/table.csv", 'columns={"title": "name"}', "delimiter=;"
    result = run("spacy-dwe.TableSource.v1", *settings, code=None)
    assert result.exit_code == 0, result.stderr
    (entity,) = read_entities(folder / "out.jsonl")
    assert entity == Entity("Q994", "Tbilisi")
    (folder / "out.jsonl").rename(folder / "in.jsonl")
    result = run("spacy-dwe.JsonlSource.v1", f"path={folder}/in.jsonl", code=None)
    assert result.exit_code == 0, result.stderr
    assert list(read_entities(folder / "out.jsonl")) == [entity]
