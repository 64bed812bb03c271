"""The KB under spaCy's own EntityLinker."""

import numpy as np
import pytest
import spacy
from spacy.kb import Candidate, KnowledgeBase
from spacy.training import Example

from spacy_dwe.errors import DweError
from spacy_dwe.kb.knowledge_base import DweKnowledgeBase, kb_from_path


@pytest.fixture
def nlp(kb):
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    ruler = nlp.add_pipe("entity_ruler")
    names = ("Georgia", "Tbilisi", "Nowhere", "łódź")
    ruler.add_patterns([{"label": "PLACE", "pattern": name} for name in names])
    return nlp


TEXT = "Georgia is large. Tbilisi is in Georgia. Nowhere is not, nor łódź."
LOADER = {"@misc": "spacy-dwe.KBFromPath.v1"}


def test_candidates_of_a_span(kb, nlp):
    opened = DweKnowledgeBase(kb.path, nlp.vocab)
    georgia, tbilisi, _, nowhere, lodz = nlp(TEXT).ents
    assert isinstance(opened, KnowledgeBase)
    candidates = list(opened.get_candidates(georgia))
    assert all(isinstance(candidate, Candidate) for candidate in candidates)
    assert [(c.entity_, c.alias_) for c in candidates] == [
        ("Q230", "Georgia"),
        ("Q1428", "Georgia"),
    ]
    assert [c.prior_prob for c in candidates] == pytest.approx([0.6, 0.4])
    batch = opened.get_candidates_batch([tbilisi, nowhere, lodz])
    assert [[c.entity_ for c in own] for own in batch] == [["Q994"], [], ["Q270"]]


def test_vectors_by_id(kb):
    assert kb.entity_vector_length == 64
    vector = kb.get_vector("Q230")
    np.testing.assert_allclose(np.linalg.norm(vector), 1, atol=1e-3)
    assert kb.get_vectors(["Q230", "Q994"])[0] == vector
    np.testing.assert_allclose(kb.get_vector("Q270"), [1 / 8] * 64)
    with pytest.raises(DweError, match="No entity 'Q0'"):
        kb.get_vector("Q0")


def test_strings_and_size(kb, entities):
    assert not kb.is_empty()
    assert kb.get_entity_strings() == [entity.id for entity in entities]


@pytest.mark.parametrize("batch", [1, 4])
def test_entity_linker_learns_saves_and_loads(kb, nlp, tmp_path, batch):
    config = {"generate_empty_kb": {**LOADER, "path": str(kb.path)}}
    linker = nlp.add_pipe(
        "entity_linker", config={**config, "candidates_batch_size": batch}
    )
    gold = {"links": {(0, 7): {"Q1428": 1.0}}, "entities": [(0, 7, "PLACE")]}
    examples = [Example.from_dict(nlp.make_doc("Georgia is large."), gold)]
    for example in examples:
        example.predicted = nlp.get_pipe("sentencizer")(example.predicted)
    linker.initialize(lambda: examples, nlp=nlp, kb_loader=kb_from_path(str(kb.path)))
    losses = linker.update(examples, sgd=nlp.create_optimizer())
    assert np.isfinite(losses["entity_linker"])
    ids = [ent.kb_id_ for ent in nlp(TEXT).ents]
    assert ids[0] in ("Q230", "Q1428")
    assert ids[1] == "Q994"
    assert ids[3:] == ["NIL", "Q270"]
    nlp.to_disk(tmp_path / "pipeline")
    loaded = spacy.load(tmp_path / "pipeline")
    assert [ent.kb_id_ for ent in loaded(TEXT).ents][1:2] == ["Q994"]
    again = spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())
    assert again.get_pipe("entity_linker").kb.path == kb.path


def test_a_saved_reference_is_relative_inside_the_pipeline(kb, tmp_path, monkeypatch):
    import shutil

    component = tmp_path / "pipeline" / "linker"
    component.mkdir(parents=True)
    inside = DweKnowledgeBase(shutil.copytree(kb.path, component.parent / "my.kb"))
    inside.to_disk(component / "kb")
    moved = tmp_path / "moved"
    component.parent.rename(moved)
    kb_file = moved / "linker" / "kb"
    assert DweKnowledgeBase(kb.path).from_disk(kb_file).path == moved / "my.kb"
    monkeypatch.setenv("DWE_KB", str(kb.path))
    assert DweKnowledgeBase(kb.path).from_disk(kb_file).path == kb.path


def test_bytes_refer_to_the_folder(kb):
    other = DweKnowledgeBase(kb.path).from_bytes(kb.to_bytes())
    assert other.path == kb.path
    assert len(kb.to_bytes()) < 1000
