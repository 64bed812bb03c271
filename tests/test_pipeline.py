"""Adding the linker to a pipeline, and giving it a KnowledgeBase."""

import pytest
import spacy
from spacy.util import registry
from tiny_models import save_clip_of_kind

from spacy_dwe.encoders.registry import clip_encoder
from spacy_dwe.errors import DweError
from spacy_dwe.kb.knowledge_base import DweKnowledgeBase, kb_from_path

LOADER = {"@misc": "spacy-dwe.KBFromPath.v1"}


@pytest.fixture
def blank():
    return spacy.blank("xx")


def linked(doc):
    return [ent.kb_id_ for ent in doc.ents]


def test_it_links_what_an_existing_pipeline_recognises(blank, kb, picture):
    ruler = blank.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "PLACE", "pattern": "Georgia"}])
    blank.add_pipe("dwe_linker").load_kb(kb)
    doc = blank.make_doc("Georgia won.")
    doc._.images = [picture("red", shade=2)]
    assert linked(blank(doc)) == ["Georgia-red"]
    assert blank.analyze_pipes()["problems"]["dwe_linker"] == []


def test_the_default_config_is_complete(blank):
    blank.add_pipe("dwe_linker")
    config = blank.config["components"]["dwe_linker"]
    assert config["factory"] == "dwe_linker"
    assert config["channels"] == ["name", "prior", "facts", "text", "image", "dwe"]
    assert config["model"]["@architectures"] == "spacy-dwe.DWE.v1"
    again = spacy.blank("xx").from_config(blank.config)
    assert again.config.to_str() == blank.config.to_str()
    assert blank.config["training"]["score_weights"]["nel_top1"] == 1.0


def test_a_kb_comes_by_path_object_or_loader(blank, kb):
    linker = blank.add_pipe("dwe_linker")
    assert linker.kb is None
    linker.load_kb(kb)
    assert linker.kb.path == kb
    for given in (str(kb), kb, DweKnowledgeBase(kb), kb_from_path(str(kb))):
        linker = spacy.blank("xx").add_pipe("dwe_linker")
        linker.set_kb(given)
        assert len(linker.kb) == 20


def test_a_kb_comes_by_config(document, kb):
    nlp = spacy.blank("xx")
    linker = nlp.add_pipe("dwe_linker", config={"kb": str(kb)})
    assert len(linker.kb) == 20


def test_a_kb_comes_by_the_initialize_block(kb, examples):
    nlp = spacy.blank("xx")
    linker = nlp.add_pipe("dwe_linker", config={"device": "cpu"})
    block = {"kb_loader": {**LOADER, "path": str(kb)}}
    nlp.config["initialize"]["components"]["dwe_linker"] = block
    nlp.initialize(lambda: examples(nlp))
    assert linker.kb.path == kb


def test_without_a_kb_only_mentions_are_an_error(blank, document):
    blank.add_pipe("dwe_linker", name="places")
    assert blank("Nothing to link here.").text == "Nothing to link here."
    with pytest.raises(DweError, match=r"E507.*places.*load_kb"):
        blank(document("Georgia won.", vocab=blank.vocab))


def test_training_without_a_kb_is_an_error(blank, examples):
    blank.add_pipe("dwe_linker")
    with pytest.raises(DweError, match=r"E507.*\[initialize\.components\.dwe_linker\]"):
        blank.initialize(lambda: examples(blank))


def test_a_path_without_a_kb_is_named(blank, tmp_path):
    linker = blank.add_pipe("dwe_linker")
    with pytest.raises(DweError, match=r"absent\.kb"):
        linker.load_kb(tmp_path / "absent.kb")
    with pytest.raises(DweError, match=r"kb build"):
        linker.load_kb(tmp_path)


@pytest.mark.parametrize("channels", [["name", "faces"], []])
def test_channels_are_checked(blank, channels):
    with pytest.raises(DweError, match=r"E500.*name, prior, facts"):
        blank.add_pipe("dwe_linker", config={"channels": channels})


@pytest.mark.parametrize(
    "setting", [{"n_candidates": 0}, {"top_k": -1}, {"threshold": 1.5}]
)
def test_settings_are_checked(blank, setting):
    with pytest.raises(DweError, match=next(iter(setting))):
        blank.add_pipe("dwe_linker", config=setting)


def test_a_device_that_is_not_there_is_named(kb, pipeline, document):
    nlp = pipeline(kb, device="teapot")
    with pytest.raises(DweError, match="teapot"):
        nlp(document("Georgia won.", vocab=nlp.vocab))


def test_channels_can_be_switched_off_later(kb, pipeline, document, picture):
    nlp = pipeline(kb)
    linker = nlp.get_pipe("dwe_linker")
    doc = document("Georgia won.", picture("red"))
    assert linked(nlp(doc)) == ["Georgia-red"]
    linker.channels = ["name", "prior"]
    (ent,) = nlp(doc).ents
    assert ent.kb_id_ == "Georgia-blue", "a tie, which falls by id"
    assert set(ent._.kb_candidates[0].scores) == {"name", "prior"}


def test_pictures_can_be_switched_off_later(kb, pipeline, document, picture):
    nlp = pipeline(kb)
    linker = nlp.get_pipe("dwe_linker")
    doc = document("Georgia won.", picture("red"))
    assert linked(nlp(doc)) == ["Georgia-red"]
    linker.use_images = False
    assert linked(nlp(doc)) == ["Georgia-blue"]


def test_a_kb_of_another_encoder_is_refused(kb, tmp_path, document, picture):
    """Cosines between two encoders' spaces are noise."""
    folder = save_clip_of_kind(tmp_path / "other", "custom_text")
    for other in (clip_encoder(f"local-dir:{folder}", device="cpu"),):
        linker = make_linker(clip=other)
        linker.load_kb(kb)
        doc = document("Georgia won.", picture("red"))
        with pytest.raises(DweError, match=r"E509.*pictures\.kb.*kb build"):
            linker(doc)


def make_linker(**encoders):
    """By way of a config block, which is how an encoder gets into a pipeline."""
    nlp = spacy.blank("xx")
    blocks = {name: encoder.spec for name, encoder in encoders.items()}
    return nlp.add_pipe("dwe_linker", config={"device": "cpu", **blocks})


def test_the_pipelines_own_encoders_serve_the_kb(
    two_encoder_kb, clip, bert, document, picture
):
    given = make_linker(clip=clip, text_encoder=bert)
    of_kb = make_linker()
    doc = document("Georgia won.", picture("red"))
    for linker in (given, of_kb):
        linker.load_kb(two_encoder_kb)
    first, second = given.predict([doc])[0], of_kb.predict([doc])[0]
    assert first.scores.tolist() == second.scores.tolist()


@pytest.mark.parametrize(
    "encoder, kb_name, option",
    [
        ("clip", "names_kb", "--clip"),
        ("bert", "kb", "--text-encoder"),
    ],
)
def test_an_encoder_without_vectors_is_refused(
    encoder, kb_name, option, request, document
):
    key = {"clip": "clip", "bert": "text_encoder"}[encoder]
    linker = make_linker(**{key: request.getfixturevalue(encoder)})
    linker.load_kb(request.getfixturevalue(kb_name))
    with pytest.raises(DweError, match=f"E510.*{option}"):
        linker(document("Georgia won."))


def test_candidate_generators_are_registered(kb, pipeline, document):
    names = {
        "spacy-dwe.NameCandidates.v1": 2,
        "spacy-dwe.ExactCandidates.v1": 2,
        "spacy-dwe.AllEntities.v1": 20,
    }
    for name, expected in names.items():
        assert registry.misc.get(name)
        nlp = pipeline(kb, generate_candidates={"@misc": name})
        (mention,) = nlp.get_pipe("dwe_linker").predict([document("Georgia won.")])
        assert len(mention.rows) == expected
