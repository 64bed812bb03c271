"""A copy of a KB is a KB: sound, whole, and free to change."""

import pytest
from small_encoders import PatchEncoder, WordEncoder

from spacy_dwe.building.build import build_kb
from spacy_dwe.building.copying import copy_kb, vector_specs, write_specs
from spacy_dwe.building.update import add_entities, remove_entities
from spacy_dwe.errors import DweError
from spacy_dwe.kb.entity import Entity
from spacy_dwe.kb.knowledge_base import DweKnowledgeBase
from spacy_dwe.kb.verify import kb_problems


@pytest.fixture
def source(entities, tmp_path):
    path = tmp_path / "source.kb"
    encoders = {"text_encoder": WordEncoder(), "clip": PatchEncoder()}
    return build_kb(entities, path, **encoders).path


def files_in(folder):
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def test_a_copy_holds_the_same(source, entities, tmp_path):
    n_bytes = copy_kb(source, tmp_path / "copy.kb")
    sizes = [path.stat().st_size for path in (tmp_path / "copy.kb").rglob("*.*")]
    assert n_bytes <= sum(sizes) < n_bytes + 10_000
    kb = DweKnowledgeBase(tmp_path / "copy.kb")
    assert list(kb) == entities
    assert kb.meta == DweKnowledgeBase(source).meta
    assert kb.exact(["Georgia"]).rows.tolist() == [0, 1]
    assert list(kb_problems(kb.path)) == []


def test_nothing_but_the_last_version_is_copied(source, tmp_path):
    (source / "encoders").mkdir()
    (source / "vectors" / "old.npy").touch()
    (source / "names" / "0000").mkdir()
    (source / "names" / "0000" / "years.npy").touch()
    remove_entities(source, ["Q230"])
    (source / "entities.sqlite-junk").touch()
    copy_kb(source, tmp_path / "copy.kb")
    copied = files_in(tmp_path / "copy.kb")
    extra = {str(path) for path in files_in(source) - copied}
    assert {path for path in extra if "/." not in f"/{path}"} <= {
        "entities.sqlite-junk",
        "vectors/old.npy",
        "names/0000/years.npy",
    }
    assert "Q230" not in DweKnowledgeBase(tmp_path / "copy.kb")


def test_a_copy_can_be_changed(source, entities, tmp_path):
    copy = tmp_path / "copy.kb"
    copy_kb(source, copy)
    remove_entities(copy, ["Q230"])
    assert len(DweKnowledgeBase(copy)) == len(entities) - 1
    assert list(DweKnowledgeBase(source)) == entities
    assert list(kb_problems(copy)) == []


@pytest.mark.parametrize("moment", [1, 5, 20])
def test_a_kb_can_be_changed_while_it_is_copied(entities, tmp_path, moment):
    source = build_kb(entities, tmp_path / "source.kb").path
    steps = 0

    def change(n_bytes):
        nonlocal steps
        steps += 1
        if steps == moment:
            add_entities(source, [Entity("Q1", "Universe")])
            remove_entities(source, ["Q230"])

    copy_kb(source, tmp_path / "copy.kb", progress=change)
    assert list(kb_problems(tmp_path / "copy.kb")) == []
    kept = [entity for entity in entities if entity.id != "Q230"]
    assert list(DweKnowledgeBase(tmp_path / "copy.kb")) == [
        *kept,
        Entity("Q1", "Universe"),
    ]


def test_a_file_that_is_missing_is_named(source, tmp_path):
    file = next(iter(DweKnowledgeBase(source).meta["vectors"].values()))["array"]
    (source / file).unlink()
    with pytest.raises(DweError, match=f"E104.*{file}"):
        copy_kb(source, tmp_path / "copy.kb")


def test_config_blocks_are_changed_everywhere(source):
    specs = vector_specs(DweKnowledgeBase(source))
    assert set(specs) == {"description@text", "description@clip"}
    new = {"@misc": "spacy-dwe.TextEncoder.v1", "name": "kb:encoders/words"}
    write_specs(source, {"description@text": new})
    meta = DweKnowledgeBase(source).meta
    assert meta["vectors"]["description@text"]["spec"] == new
    assert meta["vectors"]["description@clip"]["spec"] == specs["description@clip"]
    assert list(kb_problems(source)) == []
    headers = [path.read_text() for path in source.rglob("*.json")]
    assert sum("kb:encoders/words" in text for text in headers) == 2
