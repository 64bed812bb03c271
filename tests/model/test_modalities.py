"""A fourth modality from outside the package, and the paper's three left out."""

from configparser import ConfigParser
from pathlib import Path

import numpy as np
import pytest
import spacy
import torch
from spacy.tokens import Doc, Span
from spacy.training import Example
from tiny_world import NAMES, SMALL_MODEL, linking_pipeline, train

from spacy_dwe.errors import DweError
from spacy_dwe.model import modalities
from spacy_dwe.model.inputs import MentionPlace
from spacy_dwe.model.modalities import (
    EncoderWidths,
    TextModality,
    all_modalities,
    network_widths,
)

# What somebody would write who links mentions in speech.


class AudioModality:
    """Two numbers for each moment of a recording, which users set on the document or on
    one mention."""

    gated = False

    def width(self, encoders: EncoderWidths) -> int:
        return 2

    def extract(self, mention, place: MentionPlace) -> dict[str, np.ndarray]:
        for doc in place.docs:
            span = doc.char_span(place.start, place.end)
            heard = (span is not None and span._.audio) or doc._.audio
            if heard:
                return {"vectors": np.array(heard)}
        return {}

    def enhancer(self, width, shape):
        from spacy_dwe.model.enhancers import VectorEnhancer

        return VectorEnhancer(width, shape)


@spacy.registry.misc("test.AudioModality.v1")
def audio_modality() -> AudioModality:
    return AudioModality()


Doc.set_extension("audio", default=None)
Span.set_extension("audio", default=None)
SOUNDS = {"red": [[1.0, 0.0]], "blue": [[0.0, 1.0], [0.1, 0.9]]}


def with_audio(**model):
    audio = {"@misc": "test.AudioModality.v1"}
    return {"model": {**SMALL_MODEL, **model, "modalities": {"audio": audio}}}


def heard(nlp):
    """Each place in each colour; only the sound tells which is meant. Half have it on
    the document, half on the mention, and predicted documents are made of text."""
    made = []
    for name in NAMES:
        for colour, sound in SOUNDS.items():
            reference = nlp.make_doc(f"We heard of {name} again.")
            start = reference.text.index(name)
            span = reference.char_span(
                start, start + len(name), label="PLACE", kb_id=f"{name}-{colour}"
            )
            reference.ents = [span]
            (reference if colour == "red" else reference.ents[0])._.audio = sound
            made.append(Example(nlp.make_doc(reference.text), reference))
    return made


def top1(nlp):
    docs = [example.reference.copy() for example in heard(nlp)]
    golds = [doc.ents[0].kb_id_ for doc in docs]
    found = [doc.ents[0].kb_id_ for doc in nlp.pipe(docs)]
    return sum(a == b for a, b in zip(found, golds)) / len(golds)


@pytest.fixture(scope="module")
def listening(described_kb):
    """A pipeline that learned the sounds. Tests only read it."""
    return train(linking_pipeline(described_kb, **with_audio()), heard, steps=60)


def test_a_fourth_modality_is_learned(listening):
    assert top1(listening) > 0.9
    network = listening.get_pipe("dwe_linker").network_shim.network
    assert network.spec.modalities["audio"] == 2


def test_it_survives_saving(listening, tmp_path):
    listening.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    assert top1(again) == top1(listening)
    from_bytes = spacy.blank("xx").from_config(listening.config)
    assert top1(from_bytes.from_bytes(listening.to_bytes())) == top1(listening)


def test_a_mention_without_it_is_linked_all_the_same(listening):
    doc = listening.make_doc("We heard of Georgia again.")
    doc.ents = [Span(doc, 3, 4, "PLACE")]
    ent = listening(doc).ents[0]
    assert ent.kb_id_.startswith("Georgia")
    assert all(np.isfinite(c.probability) for c in ent._.kb_candidates)


def test_it_can_be_left_out_of_what_was_trained(listening, tmp_path):
    listening.to_disk(tmp_path)
    model = {"components": {"dwe_linker": {"model": {"without": ["audio"]}}}}
    deaf = spacy.load(tmp_path, config=model)
    assert top1(deaf) == pytest.approx(0.5)


def test_weights_that_read_it_need_it_in_the_config(listening, described_kb, tmp_path):
    listening.to_disk(tmp_path)
    other = linking_pipeline(described_kb, model=SMALL_MODEL)
    with pytest.raises(DweError, match=r"E516.*audio"):
        other.get_pipe("dwe_linker").from_disk(tmp_path / "dwe_linker")


def test_only_the_papers_network_reads_others(described_kb):
    with pytest.raises(DweError, match=r"E519.*audio.*plain"):
        linking_pipeline(described_kb, **with_audio(head="plain"))


@pytest.mark.parametrize(
    "settings",
    [
        {"without": ["vision"]},
        {"without": ["text"]},
        {"without": ["attributes"], "gate": False},
        {"raw_image": True},
        {"head": "plain", "states": "pooled"},
        {"head": "linear"},
        {"loss": "triplet", "negatives": "train_golds"},
        {"rare_word_negatives": 2},
        {"loss": "n_pair", "info_nce_weight": 10.0},
        {"precision": "fp32"},
    ],
    ids=str,
)
def test_every_switch_trains_and_comes_back(described_kb, examples, tmp_path, settings):
    nlp = linking_pipeline(described_kb, model={**SMALL_MODEL, **settings})
    train(nlp, examples, steps=1)
    before = nlp.evaluate(examples(nlp))["nel_top1"]
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    assert again.evaluate(examples(again))["nel_top1"] == before
    first, second = (n.get_pipe("dwe_linker").network_shim for n in (nlp, again))
    assert first.to_bytes() == second.to_bytes()
    losses = again.update(examples(again))
    parts = {name.removeprefix("dwe_linker_") for name in losses} - {"dwe_linker"}
    assert parts == {"linking", "contrast", "a_align", "s_align"}
    network = again.get_pipe("dwe_linker").network_shim.network
    for parameter in network.parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all()


def test_widths_say_what_a_network_gets():
    four = all_modalities({"audio": AudioModality()})
    widths = network_widths(four, ["attributes"], EncoderWidths(384, 512))
    assert widths == {"text": 384, "vision": 512, "audio": 2}
    assert network_widths(four, [], EncoderWidths(384, 0)) == {
        "text": 384,
        "audio": 2,
    }


def test_something_must_be_left_to_read():
    encoders = EncoderWidths(384, 512, scenes=512)
    with pytest.raises(DweError, match=r"E515.*attributes"):
        network_widths(all_modalities({}), ["text", "vision"], encoders)


def test_the_papers_are_registered():
    """In setup.cfg, under names that a config may use."""
    settings = ConfigParser()
    settings.read(Path(__file__).parents[2] / "setup.cfg")
    registered = settings["options.entry_points"]["spacy_misc"]
    for name in ("Text", "Vision", "Attribute"):
        where = f"spacy_dwe.model.modalities:{name}Modality"
        assert f"spacy-dwe.{name}Modality.v1 = {where}" in registered
        assert getattr(modalities, f"{name}Modality")()


def test_a_modality_of_the_papers_name_replaces_it():
    replaced = all_modalities({"text": TextModality(pooled=True)})
    assert replaced["text"].pooled
