"""The commands that fetch pictures, against a real server on this host."""

import os
import re
import signal
import time

import pytest
from mediawiki_server import png
from picture_server import Media, PictureServer
from typer.testing import CliRunner

from spacy_dwe.cli.kb import kb_cli
from spacy_dwe.kb.entity import Entity, write_entities
from spacy_dwe.kb.knowledge_base import DweKnowledgeBase

COMMONS = "https://commons.wikimedia.org/wiki/Special:FilePath/"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("DWE_ALLOW_PRIVATE_URLS", "1")
    monkeypatch.delenv("DWE_CONTACT", raising=False)
    with PictureServer() as server:
        yield server


def run(*arguments):
    return CliRunner().invoke(kb_cli, [str(argument) for argument in arguments])


@pytest.fixture
def fetch(server, tmp_path):
    def fetch(*images, options=("--contact", "me@example.org")):
        entities = [Entity("Q1", "One", images=images)]
        write_entities(tmp_path / "entities.jsonl", entities)
        paths = (tmp_path / "entities.jsonl", tmp_path / "out.jsonl")
        fixed = ("--api-url", server.api, "--rate", 1000, "--retries", 0)
        return run("fetch-pictures", *paths, *fixed, *options)

    return fetch


def test_fetch_pictures_says_what_there_is(fetch, server):
    server.commons["A.jpg"] = Media()
    result = fetch(COMMONS + "A.jpg", f"{server.url}/own/gone")
    assert result.exit_code == 0, result.output
    stdout = " ".join(result.stdout.split())
    assert "1 entities, 1 pictures in" in stdout and "1 of them fetched now" in stdout
    assert result.stderr.count("DWE-W") == 1 and "W270" in result.stderr


def test_mistakes_are_one_line(fetch, server, tmp_path):
    for options, message in (((), "E120"), (("--contact", "me"), "'me' is no e-mail")):
        result = fetch(COMMONS + "A.jpg", options=options)
        assert result.exit_code == 1
        [line] = result.stderr.splitlines()
        assert message in line
    assert server.asked == []
    assert not (tmp_path / "out.jsonl").exists()


def test_ctrl_c_says_how_to_go_on(fetch, server):
    def press(handler):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)

    server.mishaps["/own/a.png"].append(press)
    result = fetch(f"{server.url}/own/a.png")
    assert result.exit_code == 130
    assert "out.jsonl.pictures: run again to go on" in result.stderr


def test_build_add_and_update_fetch_urls_on_request(server, tmp_path, world):
    server.own = {"a.png": png("red"), "b.png": png("blue"), "c.png": png("green")}
    entities, kb = tmp_path / "entities.jsonl", tmp_path / "my.kb"

    def write(*names):
        images = [(f"{server.url}/own/{name}",) for name in names]
        numbered = enumerate(images, start=1)
        write_entities(entities, [Entity(f"Q{n}", "x", images=i) for n, i in numbered])

    def pictures():
        opened = DweKnowledgeBase(kb)
        assert all((tmp_path / i).is_file() for e in opened for i in e.images)
        sets = {str(name): vectors for name, vectors in opened.vector_sets.items()}
        n_encoded = len(sets["image@clip"].array)
        return {e.id: len(e.images) for e in opened}, n_encoded

    write("a.png")
    clip = ("--clip", f"local-dir:{world / 'clip'}", "--device", "cpu")
    result = run("build", entities, kb, *clip)
    assert re.search(r"W100.*own/a\.png.*is not downloaded", result.stderr)
    assert server.asked == []
    result = run("build", entities, kb, *clip, "--overwrite", "--fetch-urls")
    assert result.exit_code == 0, result.output
    assert "DWE-W" not in result.stderr
    assert pictures() == ({"Q1": 1}, 1)
    assert (tmp_path / "my.kb.pictures" / "index.sqlite").is_file()
    write("b.png", "c.png", "gone.png")
    result = run("update", kb, entities, "--fetch-urls")
    assert result.exit_code == 0, result.output
    assert "1 of 3 pictures are left out" in result.stderr
    assert pictures() == ({"Q1": 1, "Q2": 1, "Q3": 0}, 3)
    asked = list(server.asked)
    write("b.png", "c.png", "gone.png")
    run("update", kb, entities, "--fetch-urls")
    assert server.asked == asked


def test_nothing_is_fetched_for_a_kb_that_cannot_be_written(server, tmp_path):
    write_entities(
        tmp_path / "entities.jsonl",
        [Entity("Q1", "x", images=(f"{server.url}/own/a.png",))],
    )
    (tmp_path / "taken").mkdir()
    for command in ("build", "add"):
        paths = (tmp_path / "entities.jsonl", tmp_path / "taken")
        paths = paths if command == "build" else reversed(paths)
        result = run(command, *paths, "--fetch-urls")
        assert result.exit_code == 1 and "E1" in result.stderr
    assert server.asked == []
