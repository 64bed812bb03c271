"""Pipelines, documents and workers: what is saved comes back the same (invariant 6)."""

import copy
import json
import pickle
import shutil

import numpy as np
import pytest
import spacy
from safetensors.numpy import load_file
from spacy.tokens import DocBin
from tiny_world import linking_pipeline

from spacy_dwe.errors import DweError


@pytest.fixture(params=["fresh", "used", "trained"])
def any_nlp(request, kb, document, picture):
    if request.param == "trained":
        return request.getfixturevalue("trained")
    nlp = linking_pipeline(kb)
    if request.param == "used":
        nlp(document("Georgia won.", picture("red"), vocab=nlp.vocab))
    return nlp


@pytest.fixture
def links(document, picture):
    """What a pipeline links in the same two documents, and how surely."""

    def link(nlp):
        docs = [
            document("Georgia beat Korea.", picture("red"), vocab=nlp.vocab),
            document("Samoa won.", picture("blue", shade=2), vocab=nlp.vocab),
        ]
        ents = [ent for doc in nlp.pipe(docs) for ent in doc.ents]
        sure = [c.probability for ent in ents for c in ent._.kb_candidates]
        return [ent.kb_id_ for ent in ents], sure

    return link


def assert_same(found, expected):
    assert found[0] == expected[0]
    assert found[1] == pytest.approx(expected[1], abs=1e-5)


def by_disk(nlp, folder):
    nlp.to_disk(folder / "pipeline")
    return spacy.load(folder / "pipeline")


def by_bytes(nlp, folder):
    return spacy.blank("xx").from_config(nlp.config).from_bytes(nlp.to_bytes())


def by_pickle(nlp, folder):
    """As multiprocessing does where it cannot fork."""
    return pickle.loads(pickle.dumps(nlp))


def by_copy(nlp, folder):
    return copy.deepcopy(nlp)


@pytest.mark.parametrize("way", [by_disk, by_bytes, by_pickle, by_copy])
def test_a_pipeline_links_as_before(any_nlp, links, tmp_path, way):
    again = way(any_nlp, tmp_path)
    assert again is not any_nlp
    assert_same(links(again), links(any_nlp))
    assert again.to_bytes() == any_nlp.to_bytes()


def test_a_linked_document_comes_back(nlp, document, picture):
    doc = nlp(document("Georgia won.", picture("red")))
    data = DocBin(docs=[doc], store_user_data=True).to_bytes()
    (again,) = DocBin().from_bytes(data).get_docs(spacy.blank("de").vocab)
    from_bytes = spacy.tokens.Doc(nlp.vocab).from_bytes(doc.to_bytes())
    for other in (again, from_bytes):
        assert other.ents[0].kb_id_ == "Georgia-red"
        assert other.ents[0]._.kb_candidates == doc.ents[0]._.kb_candidates
        assert other._.images == doc._.images


def test_files_hold_no_pickle(trained, described_kb, tmp_path):
    trained.to_disk(tmp_path)
    component = tmp_path / "dwe_linker"
    assert {p.name for p in component.iterdir()} == {"cfg", "model.safetensors"}
    assert json.loads((component / "cfg").read_text())["kb"] == str(described_kb)
    assert all(w.dtype == np.float32 for w in load_file(weights(tmp_path)).values())
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    files += [p for p in described_kb.rglob("*") if p.is_file()]
    for path in files:
        start = path.read_bytes()[:4]
        assert not start.startswith(b"PK\x03\x04"), f"{path} is a torch.save file"
        protocols = tuple(bytes([0x80, n]) for n in range(2, 6))
        assert not start.startswith(protocols), f"{path} is a pickle"
        if path.suffix == ".npy":
            np.load(path, allow_pickle=False)


def weights(pipeline):
    return pipeline / "dwe_linker" / "model.safetensors"


@pytest.mark.parametrize("damage", [b"no weights", None])
def test_damaged_weights_are_one_error(trained, tmp_path, damage):
    trained.to_disk(tmp_path)
    data = weights(tmp_path).read_bytes()
    weights(tmp_path).write_bytes(damage or data[: len(data) // 2])
    with pytest.raises(DweError, match="E503"):
        spacy.load(tmp_path)


# Where the KB is


def saved_kb(pipeline):
    return json.loads((pipeline / "dwe_linker" / "cfg").read_text())["kb"]


def kb_of(nlp):
    return nlp.get_pipe("dwe_linker").kb.path


def test_a_kb_outside_the_pipeline_is_referred_to_by_its_place(nlp, kb, tmp_path):
    nlp.to_disk(tmp_path / "pipeline")
    assert saved_kb(tmp_path / "pipeline") == str(kb)
    size = sum(p.stat().st_size for p in (tmp_path / "pipeline").rglob("*"))
    assert size < 2_000_000
    shutil.move(tmp_path / "pipeline", tmp_path / "moved")
    assert kb_of(spacy.load(tmp_path / "moved")) == kb


def test_a_kb_inside_the_pipeline_moves_with_it(kb, links, tmp_path):
    shutil.copytree(kb, tmp_path / "pipeline" / "my.kb")
    nlp = linking_pipeline(tmp_path / "pipeline" / "my.kb")
    expected = links(nlp)
    nlp.to_disk(tmp_path / "pipeline")
    assert saved_kb(tmp_path / "pipeline") == "my.kb"
    shutil.move(tmp_path / "pipeline", tmp_path / "moved")
    again = spacy.load(tmp_path / "moved")
    assert_same(links(again), expected)
    assert kb_of(again) == tmp_path / "moved" / "my.kb"


def test_a_kb_that_is_gone_is_named_when_it_is_needed(kb, document, tmp_path):
    shutil.copytree(kb, tmp_path / "gone.kb")
    linking_pipeline(tmp_path / "gone.kb").to_disk(tmp_path / "pipeline")
    shutil.rmtree(tmp_path / "gone.kb")
    nlp = spacy.load(tmp_path / "pipeline")
    with pytest.raises(DweError, match=r"gone\.kb"):
        nlp(document("Georgia won.", vocab=nlp.vocab))


@pytest.mark.parametrize("relative", [False, True])
def test_the_variable_says_where_the_kb_is(
    nlp, names_kb, tmp_path, monkeypatch, relative
):
    nlp.to_disk(tmp_path / "pipeline")
    data = nlp.to_bytes()
    monkeypatch.chdir(names_kb.parent)
    monkeypatch.setenv("DWE_KB", names_kb.name if relative else str(names_kb))
    assert kb_of(spacy.load(tmp_path / "pipeline")) == names_kb
    again = spacy.blank("xx").from_config(nlp.config).from_bytes(data)
    assert kb_of(again) == names_kb


def test_the_config_says_where_the_kb_is(nlp, kb, names_kb, tmp_path):
    nlp.to_disk(tmp_path)
    path = str(names_kb)
    again = spacy.load(tmp_path, config={"components.dwe_linker.kb": path})
    assert kb_of(again) == names_kb
    assert kb_of(spacy.load(tmp_path)) == kb


def test_a_kb_loaded_in_place_of_the_configured_one_stays(kb, names_kb, tmp_path):
    nlp = spacy.blank("xx")
    linker = nlp.add_pipe("dwe_linker", config={"kb": str(kb)})
    linker.load_kb(names_kb)
    assert kb_of(by_disk(nlp, tmp_path)) == names_kb
    assert kb_of(by_bytes(nlp, tmp_path)) == names_kb


def test_a_relative_kb_of_the_config_is_found_from_anywhere(kb, tmp_path, monkeypatch):
    monkeypatch.chdir(kb.parent)
    nlp = spacy.blank("xx")
    nlp.add_pipe("dwe_linker", config={"kb": kb.name})
    monkeypatch.chdir(tmp_path)
    nlp.to_disk("pipeline")
    again = spacy.load("pipeline")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert kb_of(again) == kb_of(nlp) == kb


def test_a_trained_linker_moves_to_another_pipeline(trained, links):
    nlp = spacy.blank("xx")
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("dwe_linker", source=trained)
    assert_same(links(nlp), links(trained))


def test_weights_of_another_encoder_are_refused(
    trained, names_kb, two_encoder_kb, document, tmp_path
):
    nlp = by_disk(trained, tmp_path)
    linker = nlp.get_pipe("dwe_linker")
    doc = document("Georgia won.", vocab=nlp.vocab)
    linker.load_kb(names_kb)
    with pytest.raises(DweError, match=r"E511.*description@clip.*names\.kb"):
        nlp(doc)
    linker.channels = ["name", "prior", "facts", "text"]
    assert nlp(doc).ents[0].kb_id_


def test_a_kb_of_other_weights_of_the_same_kind_is_refused(
    trained, examples, document, tmp_path
):
    """Its vectors have the width that the network expects, and mean something else."""
    from tiny_models import clip_config, save_clip
    from tiny_world import described_entities

    from spacy_dwe.building.build import build_kb
    from spacy_dwe.encoders.registry import clip_encoder

    folder = save_clip(tmp_path / "clip", clip_config("clip"), seed=1)
    other = clip_encoder(f"local-dir:{folder}", device="cpu")
    path = build_kb(described_entities(), tmp_path / "other.kb", clip=other).path
    nlp = by_disk(trained, tmp_path)
    nlp.get_pipe("dwe_linker").load_kb(path)
    with pytest.raises(DweError, match=r"E511.*description@clip.*other\.kb"):
        nlp(document("Georgia won.", vocab=nlp.vocab))
