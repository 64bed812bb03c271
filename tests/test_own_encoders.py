"""Encoders that somebody registered: of texts alone, of pictures alone, of both."""

import numpy as np
import pytest
import spacy
from PIL import Image
from small_encoders import WORDS, Colours, Words
from spacy.tokens import Span
from spacy.training import Example

from spacy_dwe.building.build import build_kb
from spacy_dwe.building.update import encode_kb
from spacy_dwe.errors import DweError
from spacy_dwe.kb.entity import Entity
from spacy_dwe.kb.generators import dense_candidates
from spacy_dwe.kb.knowledge_base import DweKnowledgeBase
from spacy_dwe.linking.mentions import mentions_of

COLOURS = {"red": (250, 0, 0), "blue": (0, 0, 250)}


@pytest.fixture
def make(tmp_path):
    """Builds a KB of two namesakes and gives a pipeline that links to it."""
    for name, colour in COLOURS.items():
        Image.new("RGB", (8, 8), colour).save(tmp_path / f"{name}.png")
    entities = [
        Entity(name, "Georgia", f"{name} land", images=(f"{name}.png",))
        for name in COLOURS
    ]

    def make_pipeline(channels, **encoders):
        kb = build_kb(
            entities,
            tmp_path / "kb",
            encoders=encoders,
            image_root=tmp_path,
            overwrite=True,
        )
        nlp = spacy.blank("en")
        model = {"@architectures": "spacy-dwe.DWE.v1", "width": 8, "n_heads": 2}
        config = {"channels": channels, "model": {**model, "ffn_width": 8}}
        nlp.add_pipe("dwe_linker", config=config).load_kb(kb.path)
        return nlp

    return make_pipeline


def mentioning(nlp, text, *images, kb_id=""):
    doc = nlp.make_doc(text)
    doc.ents = [Span(doc, 0, 1, label="GPE", kb_id=kb_id)]
    doc._.images = images
    return doc


@pytest.mark.parametrize("name", COLOURS)
def test_texts_and_pictures_each_have_their_encoder(make, tmp_path, name):
    nlp = make(["name", "text", "image"], words=Words(), colours=Colours())
    linker = nlp.get_pipe("dwe_linker")
    (by_text,) = linker(mentioning(nlp, f"Georgia {name} won")).ents
    assert by_text.kb_id_ == name
    assert by_text._.kb_candidates[0].scores["image"] == 0.0
    picture = str(tmp_path / f"{name}.png")
    (by_picture,) = linker(mentioning(nlp, "Georgia won", picture)).ents
    assert by_picture.kb_id_ == name
    first, second = by_picture._.kb_candidates
    assert first.scores["image"] > second.scores["image"]
    assert first.scores["text"] == pytest.approx(second.scores["text"], abs=1e-4)


def test_pictures_alone_can_be_compared(make, tmp_path):
    nlp = make(["name", "text", "image"], colours=Colours())
    picture = str(tmp_path / "blue.png")
    (ent,) = nlp.get_pipe("dwe_linker")(mentioning(nlp, "Georgia", picture)).ents
    assert ent.kb_id_ == "blue"


def gold(nlp, name, *images):
    return Example(
        mentioning(nlp, "Georgia won", *images),
        mentioning(nlp, "Georgia won", *images, kb_id=name),
    )


def test_the_network_has_a_head_for_each_set_of_theirs(make, tmp_path):
    nlp = make(["name", "dwe"], words=Words(), colours=Colours())
    examples = [gold(nlp, name, str(tmp_path / f"{name}.png")) for name in COLOURS]
    optimizer = nlp.initialize(lambda: examples)
    heads = nlp.get_pipe("dwe_linker").network_shim.network.spec.heads
    assert {name: (head.text, head.picture) for name, head in heads.items()} == {
        "description@words": (True, None),
        "image@colours": (False, "colours"),
    }
    assert nlp.update(examples, sgd=optimizer)["dwe_linker"] > 0


def test_descriptions_in_a_space_can_be_searched(make):
    nlp = make(["name", "text"], words=Words())
    linker = nlp.get_pipe("dwe_linker")
    doc = mentioning(nlp, "Tiflis, blue land")
    for vectors in (None, "description@words"):
        linker.generate_candidates = dense_candidates(vectors)
        linker.n_candidates = 1
        rows = linker.evidence.candidates(mentions_of([doc])).rows
        assert linker.kb.ids(rows) == ["blue"]
    linker.generate_candidates = dense_candidates("description@other")
    with pytest.raises(DweError, match=r"E160.*description@other"):
        linker.evidence.candidates(mentions_of([doc]))


def test_a_trained_linker_stays_in_its_space(make, tmp_path):
    """Another encoder's vectors join the KB; the text channel goes on as it was."""
    nlp = make(["name", "text"], words=Words())
    linker = nlp.get_pipe("dwe_linker")
    nlp.initialize(lambda: [gold(nlp, name) for name in COLOURS])
    nlp.to_disk(tmp_path / "saved")
    before = linker(mentioning(nlp, "Georgia red won")).ents[0]._.kb_candidates
    encode_kb(linker.kb.path, encoders={"more": Words()}, text_encoder=OtherWords())
    again = spacy.load(tmp_path / "saved")
    doc = again.get_pipe("dwe_linker")(mentioning(again, "Georgia red won"))
    assert str(again.get_pipe("dwe_linker").kb.text_set) == "description@text"
    assert doc.ents[0]._.kb_candidates == before


@spacy.registry.misc("tests.OtherWords.v1")
class OtherWords(Words):
    fingerprint = "other words"

    def __init__(self):
        self.spec = {"@misc": "tests.OtherWords.v1"}

    def encode_texts(self, texts, progress=None):
        return super().encode_texts(texts)[:, ::-1].copy()


def test_the_space_that_a_kb_had_first_serves_texts(make):
    kb = make(["name"], first=Words()).get_pipe("dwe_linker").kb
    encode_kb(kb.path, encoders={"a-later-one": OtherWords()})
    assert str(DweKnowledgeBase(kb.path).text_set) == "description@first"


def test_nil_is_learnt_from_edges_of_few_kinds(make):
    """All the states of an encoder that tells nothing of tokens lie along few lines."""
    nlp = make(["name", "text"], words=Wide())
    labels = [gold(nlp, name) for name in (*COLOURS, "NIL")] * 20
    nlp.initialize(lambda: labels)
    network = nlp.get_pipe("dwe_linker").network_shim.network
    assert network.spec.edge_width == 4 * Wide.width
    assert all(weights.isfinite().all() for weights in network.state_dict().values())


@spacy.registry.misc("tests.Wide.v1")
class Wide(Words):
    dim = width = 512
    fingerprint = "wide words"

    def __init__(self):
        self.spec = {"@misc": "tests.Wide.v1"}

    def encode_texts(self, texts, progress=None):
        spread = np.random.default_rng(0).standard_normal((len(WORDS), self.dim))
        vectors = (super().encode_texts(texts) @ spread).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
