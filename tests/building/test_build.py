import os
import signal
import subprocess
import sys
import tracemalloc

import pytest

from spacy_dwe.building.build import build_kb
from spacy_dwe.errors import DweError
from spacy_dwe.kb.entity import Alias, Entity, write_entities
from spacy_dwe.kb.knowledge_base import DweKnowledgeBase

OLD = [Entity("Q1", "Old name", "Old description.")]
NEW = [Entity("Q2", "New name"), Entity("Q3", "Newer name", aliases=(Alias("N"),))]


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_an_existing_kb_is_replaced_only_when_asked(tmp_path):
    build_kb(OLD, tmp_path / "kb")
    with pytest.raises(DweError, match="--overwrite"):
        build_kb(NEW, tmp_path / "kb")
    assert list(DweKnowledgeBase(tmp_path / "kb")) == OLD
    build_kb(NEW, tmp_path / "kb", overwrite=True)
    kb = DweKnowledgeBase(tmp_path / "kb")
    assert list(kb) == NEW
    assert kb.ids(kb.search(["new"]).rows) == ["Q2"]
    assert files(tmp_path) == ["kb"]
    assert len(files(tmp_path / "kb" / "names")) == 1


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_no_kb_is_never_replaced(tmp_path, kind):
    out = tmp_path / "out"
    if kind == "file":
        out.write_text("precious")
    else:
        out.mkdir()
        (out / "meta.json").write_text("precious")
    with pytest.raises(DweError, match="is no KnowledgeBase, so it is not replaced"):
        build_kb(NEW, out, overwrite=True)
    kept = out if kind == "file" else out / "meta.json"
    assert kept.read_text() == "precious"


@pytest.mark.parametrize(
    ("entities", "message"),
    [([], "There are no entities"), ([*NEW, NEW[0]], "Two entities have the id 'Q2'")],
)
def test_a_build_that_fails_leaves_nothing_and_the_old_kb(tmp_path, entities, message):
    with pytest.raises(DweError, match=message):
        build_kb(entities, tmp_path / "kb")
    assert files(tmp_path) == []
    build_kb(OLD, tmp_path / "kb")
    with pytest.raises(DweError, match=message):
        build_kb(entities, tmp_path / "kb", overwrite=True)
    assert files(tmp_path) == ["kb"]
    assert list(DweKnowledgeBase(tmp_path / "kb")) == OLD


def test_a_reader_keeps_its_version_or_is_told_to_open_again(tmp_path):
    build_kb(OLD, tmp_path / "kb")
    reader = DweKnowledgeBase(tmp_path / "kb")
    late = DweKnowledgeBase(tmp_path / "kb")
    reader.search(["old"])
    build_kb(NEW, tmp_path / "kb", overwrite=True)
    assert reader.titles([0]) == [("Q1", "Old name", "Old description.")]
    assert reader.ids(reader.search(["old"]).rows) == ["Q1"]
    late.store.close()
    with pytest.raises(DweError, match="has been built anew: open it again"):
        late.ids([0])


KILLED_BUILD = """
import sys
from spacy_dwe.building.build import build_kb
from spacy_dwe.kb.entity import Entity

def entities():
    for i in range(10_000):
        yield Entity(f"K{i}", f"Killed {i}")
    print("reading", flush=True)
    sys.stdin.read()

build_kb(entities(), sys.argv[1], overwrite=True)
"""


def test_a_killed_build_leaves_the_kb_and_its_draft_goes_with_the_next(tmp_path):
    build_kb(OLD, tmp_path / "kb")
    command = [sys.executable, "-c", KILLED_BUILD, str(tmp_path / "kb")]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout.readline() == "reading\n"
        build_kb(NEW, tmp_path / "kb", overwrite=True)
        assert len(files(tmp_path)) == 2, "a build that is alive keeps its draft"
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=60)
    assert list(DweKnowledgeBase(tmp_path / "kb")) == NEW
    build_kb(OLD, tmp_path / "kb", overwrite=True)
    assert files(tmp_path) == ["kb"]


def test_the_same_entities_give_the_same_files(tmp_path, entities):
    kbs = [build_kb(entities, tmp_path / name) for name in ("a", "b")]
    arrays = [
        {file.name: file.read_bytes() for file in kb.path.glob("names/*/*.npy")}
        for kb in kbs
    ]
    assert arrays[0] == arrays[1]
    assert kbs[0].meta == kbs[1].meta


def test_entities_are_read_as_a_stream(tmp_path):
    kb = build_kb((Entity(f"Q{i}", f"Name {i}") for i in range(1500)), tmp_path / "kb")
    assert len(kb) == 1500
    assert kb.meta["priors"] is False
    assert kb.meta["names"] == 1500


def test_opening_does_not_read_the_entities(tmp_path):
    def entities(count):
        return [Entity(f"Q{i}", f"Name {i}", "word " * 50) for i in range(count)]

    def memory(count):
        path = build_kb(entities(count), tmp_path / str(count)).path
        tracemalloc.start()
        kb = DweKnowledgeBase(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(kb) == count
        return peak

    memory(1)
    assert memory(3000) < memory(2) + 50_000


def test_names_that_say_the_same_are_one(tmp_path):
    aliases = (Alias("GEORGIA", 0.3), Alias("georgia", 0.2), Alias("Géorgie"))
    kb = build_kb([Entity("Q1", "Georgia", aliases=aliases)], tmp_path / "kb")
    assert kb.meta["names"] == 2
    assert kb.priors(["Georgia"], kb.exact(["Georgia"])).tolist() == pytest.approx(
        [0.3]
    )
    assert kb.entities([0])[0].aliases == aliases


def test_a_file_of_entities_becomes_a_kb(tmp_path, entities):
    from spacy_dwe.kb.entity import read_entities

    write_entities(tmp_path / "e.jsonl.gz", entities)
    kb = build_kb(
        read_entities(tmp_path / "e.jsonl.gz"), tmp_path / "deep" / "er" / "kb"
    )
    assert list(kb) == entities
