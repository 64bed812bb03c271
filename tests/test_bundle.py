"""A pipeline that carries its KB: it works where nothing else of it is left."""

import importlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import spacy
import timm
import torch
from spacy.cli import app
from spacy.util import load_config
from timm.models import save_for_hf
from tiny_models import save_bert, save_clip_of_kind
from tiny_world import described_entities, linking_pipeline, pictured_entities
from typer.testing import CliRunner

from spacy_dwe.building.build import build_kb
from spacy_dwe.building.copying import vector_specs, write_specs
from spacy_dwe.building.update import add_entities, rebuild_kb
from spacy_dwe.bundle import bundle
from spacy_dwe.encoders.registry import (
    CLIP,
    TEXT,
    clip_encoder,
    picture_encoder,
    text_encoder,
)
from spacy_dwe.errors import DweError
from spacy_dwe.kb.entity import Entity
from spacy_dwe.kb.knowledge_base import DweKnowledgeBase
from spacy_dwe.kb.vectors.sets import DESCRIPTIONS, DESCRIPTIONS_IN_CLIP, SetName
from spacy_dwe.kb.verify import kb_problems


@pytest.fixture(scope="module")
def made(tmp_path_factory, picture):
    """A folder with encoders and a KB made by them."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "bert").mkdir()
    save_bert(folder / "bert")
    save_clip_of_kind(folder / "clip", "clip")
    entities = [
        replace(entity, description=f"A place called {entity.title}.")
        for entity in pictured_entities(picture)
    ]
    build_kb(
        entities,
        folder / "my.kb",
        text_encoder=text_encoder(str(folder / "bert"), device="cpu"),
        clip=clip_encoder(f"local-dir:{folder / 'clip'}", device="cpu"),
    )
    return folder


@pytest.fixture
def away(made, tmp_path):
    """A copy of it, which refers to its own encoders. It can be lost."""
    folder = shutil.copytree(made, tmp_path / "away")
    specs = vector_specs(DweKnowledgeBase(folder / "my.kb"))
    own = json.dumps(specs).replace(str(made), str(folder))
    write_specs(folder / "my.kb", json.loads(own))
    return folder


@pytest.fixture
def links(document, picture):
    """What a pipeline links, and how surely."""

    def link(nlp):
        texts = ("Georgia won.", "red"), ("Korea beat Samoa.", "blue")
        docs = [document(t, picture(c), vocab=nlp.vocab) for t, c in texts]
        ents = [ent for doc in nlp.pipe(docs) for ent in doc.ents]
        sure = [c.probability for ent in ents for c in ent._.kb_candidates]
        return [ent.kb_id_ for ent in ents], sure

    return link


def assert_same(found, expected):
    assert found[0] == expected[0]
    assert found[1] == pytest.approx(expected[1], abs=1e-5)


def saved(nlp, path):
    nlp.to_disk(path)
    return path


def state_of(pipeline, name="dwe_linker"):
    return json.loads((pipeline / name / "cfg").read_text())


def kb_of(nlp, name="dwe_linker"):
    return nlp.get_pipe(name).kb.path


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_bundle_works_where_nothing_else_is_left(away, links, tmp_path):
    nlp = linking_pipeline(away / "my.kb")
    expected = links(nlp)
    fingerprints = {
        n: s.fingerprint for n, s in nlp.get_pipe("dwe_linker").kb.vector_sets.items()
    }
    result = bundle(saved(nlp, away / "pipeline"), tmp_path / "out")
    assert set(result.kbs) == {away / "my.kb"}
    assert set(result.encoders) == {away / "bert", away / "clip"}
    assert result.named == set()
    shutil.rmtree(away)
    shutil.move(tmp_path / "out", tmp_path / "moved")
    again = spacy.load(tmp_path / "moved")
    assert_same(links(again), expected)
    kb = again.get_pipe("dwe_linker").kb
    assert kb.path == tmp_path / "moved" / "dwe_linker" / "kb"
    assert {n: s.fingerprint for n, s in kb.vector_sets.items()} == fingerprints
    # It is a pipeline as any other: saved in place, it still refers to its own KB.
    again.to_disk(tmp_path / "moved")
    assert state_of(tmp_path / "moved")["kb"] == "dwe_linker/kb"


def test_picture_encoders_are_carried(away, links, tmp_path, picture):
    """With their folder and their weights, wherever these lie."""
    model = timm.create_model("test_efficientnet")
    save_for_hf(model, away / "net")
    torch.save(model.state_dict(), away / "weights.pth")
    encoder = picture_encoder(str(away / "net"), str(away / "weights.pth"))
    kb = build_kb(
        pictured_entities(picture), away / "p.kb", encoders={"pictures": encoder}
    )
    nlp = linking_pipeline(kb.path)
    expected = links(nlp)
    result = bundle(saved(nlp, away / "pipeline"), tmp_path / "out")
    assert set(result.encoders) == {away / "net", away / "weights.pth"}
    shutil.rmtree(away)
    again = spacy.load(tmp_path / "out")
    assert_same(links(again), expected)
    own = SetName("image", "pictures")
    carried = again.get_pipe("dwe_linker").kb.vector_sets[own].spec
    assert carried["name"] == "kb:encoders/net"
    assert carried["weights"] == "kb:encoders/weights.pth"


def test_no_path_of_this_machine_is_left(away, tmp_path):
    nlp = spacy.blank("xx")
    nlp.add_pipe("dwe_linker", config={"kb": str(away / "my.kb")})
    out = bundle(saved(nlp, away / "pipeline"), tmp_path / "out").path
    specs = [
        entry["spec"]
        for meta in (
            DweKnowledgeBase(out / "dwe_linker" / "kb").meta,
            json.loads((out / "dwe_linker" / "kb" / "meta.json").read_text()),
        )
        for entry in meta["vectors"].values()
    ]
    assert len(specs) == 6
    for text in (json.dumps(specs), (out / "config.cfg").read_text()):
        assert str(tmp_path) not in text
    assert state_of(out)["configured_kb"] is None
    assert str(tmp_path) not in json.dumps(state_of(out))


# spaCy leaves files open here.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_package_holds_it_all(away, links, tmp_path, monkeypatch):
    nlp = linking_pipeline(away / "my.kb")
    expected = links(nlp)
    out = bundle(saved(nlp, away / "pipeline"), tmp_path / "out").path
    (tmp_path / "dist").mkdir()
    arguments = [out, tmp_path / "dist", "--build", "none", "--name", "carried"]
    done = CliRunner().invoke(app, ["package", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    shutil.rmtree(away)
    shutil.rmtree(out)
    (package,) = (tmp_path / "dist").iterdir()
    # As `setup.py sdist` does. There are the locks of whoever opened the copy.
    for hidden in package.rglob(".*"):
        hidden.unlink()
    monkeypatch.syspath_prepend(package)
    shutil.copy(package / "meta.json", package / "xx_carried")
    assert_same(links(importlib.import_module("xx_carried").load()), expected)
    info = package / "xx_carried-0.0.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: xx_carried\nVersion: 0.0.0\n")
    importlib.invalidate_caches()
    assert_same(links(spacy.load("xx_carried")), expected)
    again = bundle("xx_carried", tmp_path / "again").path
    assert_same(links(spacy.load(again)), expected)


def test_a_trained_linker_stays_trained(trained, links, tmp_path):
    expected = links(trained)
    out = bundle(saved(trained, tmp_path / "pipeline"), tmp_path / "out").path
    assert_same(links(spacy.load(out)), expected)


def test_a_kb_is_carried_once_by_all_its_linkers(away, names_kb, tmp_path):
    nlp = linking_pipeline(away / "my.kb")
    nlp.add_pipe("dwe_linker", name="again").load_kb(away / "my.kb")
    nlp.add_pipe("dwe_linker", name="by_names").load_kb(names_kb)
    result = bundle(saved(nlp, tmp_path / "pipeline"), tmp_path / "out")
    assert set(result.kbs) == {away / "my.kb", names_kb}
    out = spacy.load(result.path)
    first = result.path / "dwe_linker" / "kb"
    assert kb_of(out) == kb_of(out, "again") == first
    assert kb_of(out, "by_names") == result.path / "by_names" / "kb"
    assert not (result.path / "again" / "kb").exists()


def test_another_kb_can_be_chosen(away, names_kb, tmp_path, monkeypatch):
    pipeline = saved(linking_pipeline(away / "my.kb"), away / "pipeline")
    assert set(bundle(pipeline, tmp_path / "a", kb=names_kb).kbs) == {names_kb}
    assert kb_of(spacy.load(tmp_path / "a")) == tmp_path / "a" / "dwe_linker" / "kb"
    shutil.rmtree(away / "my.kb")
    monkeypatch.setenv("DWE_KB", str(names_kb))
    assert set(bundle(pipeline, tmp_path / "b").kbs) == {names_kb}


def test_the_config_names_no_kb_any_more(names_kb, tmp_path):
    nlp = spacy.blank("xx")
    nlp.add_pipe("dwe_linker", config={"kb": str(names_kb)})
    nlp.add_pipe("dwe_linker", name="second", config={"kb": str(names_kb)})
    pipeline = saved(nlp, tmp_path / "pipeline")
    loader = {"@misc": "spacy-dwe.KBFromPath.v1"}
    config = load_config(pipeline / "config.cfg", interpolate=False)
    config["paths"] |= {"kb": str(names_kb), "train": "train.jsonl"}
    config["components"]["dwe_linker"]["kb"] = "${paths.kb}"
    config["initialize"]["components"] = {
        "dwe_linker": {"kb_loader": {**loader, "path": "${paths.kb}"}},
        "second": {"kb_loader": {**loader, "path": str(names_kb)}},
    }
    config.to_disk(pipeline / "config.cfg", interpolate=False)
    assert kb_of(spacy.load(pipeline)) == names_kb
    out = bundle(pipeline, tmp_path / "out").path
    config = load_config(out / "config.cfg", interpolate=False)
    assert config["paths"]["kb"] is None
    assert config["paths"]["train"] == "train.jsonl"
    assert config["components"]["second"]["kb"] is None
    loaders = config["initialize"]["components"]
    assert loaders["dwe_linker"]["kb_loader"]["path"] == "${paths.kb}"
    assert loaders["second"]["kb_loader"]["path"] is None
    assert kb_of(spacy.load(out), "second") == out / "dwe_linker" / "kb"


# Encoders


def test_encoders_can_be_left_out(away, links, tmp_path):
    nlp = linking_pipeline(away / "my.kb")
    expected = links(nlp)
    pipeline = saved(nlp, away / "pipeline")
    with pytest.warns(UserWarning, match="W143") as told:
        result = bundle(pipeline, tmp_path / "out", encoders=False)
    messages = sorted(str(warning.message) for warning in told)
    assert len(messages) == 2
    assert f"{away / 'bert'} is left out" in messages[0]
    assert "[components.dwe_linker.text_encoder]" in messages[0]
    assert f"{away / 'clip'} is left out" in messages[1]
    assert result.encoders == {}
    assert not (result.path / "dwe_linker" / "kb" / "encoders").exists()
    assert_same(links(spacy.load(result.path)), expected)


def test_a_bank_of_words_is_not_carried(away, tmp_path):
    bank = tmp_path / "scenes.json"
    bank.write_text('{"groups": {"pair": ["red sun", "blue sky"]}}')
    scenes = {"@misc": "spacy-dwe.SceneAttributes.v1", "bank": str(bank)}
    visual = {"@misc": "spacy-dwe.VisualExtractor.v1", "scenes": scenes}
    pipeline = saved(linking_pipeline(away / "my.kb", visual=visual), away / "pipeline")
    with pytest.warns(UserWarning, match=r"W143.*scenes\.json is left out.*\.visual"):
        result = bundle(pipeline, tmp_path / "out")
    again = spacy.load(result.path).get_pipe("dwe_linker")
    assert Path(again.visual.scenes.bank) == bank


def test_an_encoder_of_the_config_is_carried_too(away, links, tmp_path):
    """It makes the same vectors as the KB's, from another folder."""
    shutil.copytree(away / "bert", away / "copy of bert")
    nlp = spacy.blank("xx")
    encoder = {"@misc": TEXT, "name": str(away / "copy of bert"), "batch_size": 8}
    nlp.add_pipe("dwe_linker", config={"device": "cpu", "text_encoder": encoder})
    nlp.get_pipe("dwe_linker").load_kb(away / "my.kb")
    expected = links(nlp)
    with pytest.warns(UserWarning, match="W144.*text_encoder. batch_size"):
        result = bundle(saved(nlp, away / "pipeline"), tmp_path / "out")
    assert set(result.encoders) == {away / "copy of bert", away / "clip"}
    shutil.rmtree(away)
    assert_same(links(spacy.load(result.path)), expected)


def test_an_encoder_known_by_name_is_told(away, tmp_path):
    specs = vector_specs(DweKnowledgeBase(away / "my.kb"))
    specs["description@text"]["name"] = "org/sentences"
    clip = {"@misc": CLIP, "model": "ViT-B-32", "pretrained": "openai"}
    specs["description@clip"] = specs["image@clip"] = clip
    write_specs(away / "my.kb", specs)
    pipeline = saved(linking_pipeline(away / "my.kb"), away / "pipeline")
    result = bundle(pipeline, tmp_path / "out")
    assert result.named == {"org/sentences", "ViT-B-32 openai"}
    assert result.encoders == {}
    kb = DweKnowledgeBase(tmp_path / "out" / "dwe_linker" / "kb")
    assert vector_specs(kb) == specs


def test_a_file_of_weights_is_carried(away, tmp_path):
    weights = away / "weights.pt"
    weights.write_bytes(b"weights")
    specs = vector_specs(DweKnowledgeBase(away / "my.kb"))
    for name in ("description@clip", "image@clip"):
        specs[name] = {"@misc": CLIP, "model": "ViT-B-32", "pretrained": str(weights)}
    write_specs(away / "my.kb", specs)
    pipeline = saved(linking_pipeline(away / "my.kb"), away / "pipeline")
    assert weights in bundle(pipeline, tmp_path / "out").encoders
    kb = DweKnowledgeBase(tmp_path / "out" / "dwe_linker" / "kb")
    carried = Path(vector_specs(kb)["image@clip"]["pretrained"])
    assert carried.is_relative_to(kb.path)
    assert carried.read_bytes() == b"weights"


def test_encoders_of_the_same_name_stay_apart(away, tmp_path):
    shutil.move(away / "clip", away / "elsewhere" / "bert")
    clip = clip_encoder(f"local-dir:{away / 'elsewhere' / 'bert'}", device="cpu")
    bert = text_encoder(str(away / "bert"), device="cpu")
    kb = build_kb(described_entities(), away / "2.kb", text_encoder=bert, clip=clip)
    pipeline = saved(linking_pipeline(kb.path), away / "pipeline")
    out = bundle(pipeline, tmp_path / "out").path
    encoders = out / "dwe_linker" / "kb" / "encoders"
    assert names_in(encoders) == ["bert", "bert-2"]
    names = {name: set(names_in(encoders / name)) for name in names_in(encoders)}
    assert sum("open_clip_config.json" in files for files in names.values()) == 1


def test_weights_that_torch_does_not_read_stay_behind(away, tmp_path):
    for name in ("tf_model.h5", "pytorch_model.bin", ".gitattributes"):
        (away / "bert" / name).write_bytes(b"x")
    (away / "bert" / "onnx").mkdir()
    (away / "bert" / "onnx" / "model.onnx").write_bytes(b"x")
    pipeline = saved(linking_pipeline(away / "my.kb"), away / "pipeline")
    out = bundle(pipeline, tmp_path / "out").path
    carried = names_in(out / "dwe_linker" / "kb" / "encoders" / "bert")
    left = {"tf_model.h5", "pytorch_model.bin", ".gitattributes", "onnx"}
    assert set(carried) == set(names_in(away / "bert")) - left
    assert "model.safetensors" in carried


# Bundles of bundles, and what is at the output already


def test_a_bundle_can_be_bundled(away, links, tmp_path):
    nlp = linking_pipeline(away / "my.kb")
    expected = links(nlp)
    first = bundle(saved(nlp, away / "pipeline"), tmp_path / "first").path
    shutil.rmtree(away)
    second = bundle(first, tmp_path / "second").path
    in_place = bundle(second, second, overwrite=True)
    assert set(in_place.kbs) == {second / "dwe_linker" / "kb"}
    shutil.rmtree(first)
    assert_same(links(spacy.load(second)), expected)
    assert names_in(tmp_path) == ["second"]
    assert len(list(second.rglob("entities.*.sqlite"))) == 1


def test_a_bundle_without_its_encoders_refers_to_them(away, tmp_path):
    pipeline = saved(linking_pipeline(away / "my.kb"), away / "pipeline")
    first = bundle(pipeline, tmp_path / "first").path
    with pytest.warns(UserWarning, match="W143"):
        second = bundle(first, tmp_path / "second", encoders=False).path
    spec = DweKnowledgeBase(second / "dwe_linker" / "kb").meta["vectors"]
    place = first / "dwe_linker" / "kb" / "encoders"
    assert spec["description@text"]["spec"]["name"] == str(place / "bert")


@pytest.mark.parametrize("chosen", [False, True])
def test_a_kb_inside_the_pipeline_is_not_copied_twice(names_kb, tmp_path, chosen):
    inner = tmp_path / "pipeline" / "inner" / "my.kb"
    shutil.copytree(names_kb, inner)
    nlp = linking_pipeline(names_kb if chosen else inner)
    pipeline = saved(nlp, tmp_path / "pipeline")
    out = bundle(pipeline, tmp_path / "out", kb=inner if chosen else None).path
    assert [path.parent for path in out.rglob("entities.*.sqlite")] == [
        out / "dwe_linker" / "kb"
    ]


def test_what_is_at_the_output_stays_until_the_end(away, names_kb, tmp_path):
    pipeline = saved(linking_pipeline(names_kb), away / "pipeline")
    out = tmp_path / "out"
    bundle(pipeline, out)
    (out / "mine.txt").touch()
    with pytest.raises(DweError, match=r"E109.*--overwrite"):
        bundle(pipeline, out)
    # The text encoder cannot be copied: found out when the KB has been.
    shutil.rmtree(away / "bert")
    with pytest.raises(DweError, match=r"E157.*bert.*my\.kb.*--no-encoders"):
        bundle(pipeline, out, kb=away / "my.kb", overwrite=True)
    assert (out / "mine.txt").exists()
    assert names_in(tmp_path) == ["away", "out"]
    bundle(pipeline, out, overwrite=True)
    assert not (out / "mine.txt").exists()
    assert names_in(tmp_path) == ["away", "out"]
    assert kb_of(spacy.load(out)) == out / "dwe_linker" / "kb"


def test_what_is_no_pipeline_is_never_replaced(names_kb, tmp_path):
    pipeline = saved(linking_pipeline(names_kb), tmp_path / "pipeline")
    (tmp_path / "out").mkdir()
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "out", tmp_path / "file"):
        with pytest.raises(DweError, match=r"E110.*no pipeline"):
            bundle(pipeline, out, overwrite=True)
    assert names_in(tmp_path) == ["file", "out", "pipeline"]


def test_outputs_that_would_swallow_what_is_copied(names_kb, tmp_path):
    pipeline = saved(linking_pipeline(names_kb), tmp_path / "pipeline")
    with pytest.raises(DweError, match="E156"):
        bundle(pipeline, pipeline / "out")
    outer = saved(spacy.blank("xx"), tmp_path / "outer")
    shutil.copytree(names_kb, outer / "my.kb")
    with pytest.raises(DweError, match=r"E159.*my\.kb"):
        bundle(pipeline, outer, kb=outer / "my.kb", overwrite=True)
    assert (outer / "my.kb" / "meta.json").exists()


# What cannot be bundled


def test_nothing_to_bundle(names_kb, tmp_path):
    out = tmp_path / "out"
    for missing in (tmp_path / "nothing", tmp_path, "no_such_package"):
        with pytest.raises(DweError, match="E150"):
            bundle(missing, out)
    plain = saved(spacy.blank("xx"), tmp_path / "plain")
    with pytest.raises(DweError, match="E151"):
        bundle(plain, out)
    nlp = spacy.blank("xx")
    nlp.add_pipe("dwe_linker")
    without = saved(nlp, tmp_path / "without")
    with pytest.raises(DweError, match=r"E152.*--kb"):
        bundle(without, out)
    assert set(bundle(without, tmp_path / "with", kb=names_kb).kbs) == {names_kb}
    shutil.copytree(names_kb, tmp_path / "gone.kb")
    pipeline = saved(linking_pipeline(tmp_path / "gone.kb"), tmp_path / "pipeline")
    shutil.rmtree(tmp_path / "gone.kb")
    with pytest.raises(DweError, match=r"E153.*gone\.kb.*dwe_linker.*--kb"):
        bundle(pipeline, out)
    with pytest.raises(DweError, match="E103"):
        bundle(pipeline, out, kb=tmp_path)
    (pipeline / "dwe_linker" / "cfg").write_text("{}")
    with pytest.raises(DweError, match=r"E158.*dwe_linker"):
        bundle(pipeline, out)
    (pipeline / "config.cfg").write_text("[nlp\n")
    with pytest.raises(DweError, match="E400"):
        bundle(pipeline, out)
    assert not out.exists()


def test_the_kb_of_a_bundle_can_be_changed_where_it_is(away, tmp_path):
    pipeline = saved(linking_pipeline(away / "my.kb"), away / "pipeline")
    bundle(pipeline, tmp_path / "out")
    shutil.rmtree(away)
    shutil.move(tmp_path / "out", tmp_path / "moved")
    path = tmp_path / "moved" / "dwe_linker" / "kb"
    add_entities(path, [Entity("new", "Batumi", "A port.")], device="cpu")
    rebuild_kb(path, vectors="encode", device="cpu", image_root=tmp_path)
    kb = DweKnowledgeBase(path)
    for name in (DESCRIPTIONS, DESCRIPTIONS_IN_CLIP):
        assert kb.vector_sets[name].gather(kb.rows_of(["new"]))[1].all()
    specs = [meta["spec"] for meta in kb.meta["vectors"].values()]
    assert str(tmp_path) not in json.dumps(specs)
    assert list(kb_problems(path)) == []
