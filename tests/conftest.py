"""The tiny world of `tiny_world`, as files and pipelines."""

import os
import signal

import pytest
import torch
from fresh_python import FreshPython
from PIL import Image
from spacy.tokens import Doc, Span
from spacy.training import Example
from tiny_models import save_bert, save_clip_of_kind
from tiny_world import (
    COLOURS,
    NAMES,
    PLACES,
    SMALL_MODEL,
    described_entities,
    linking_pipeline,
    pictured_entities,
    train,
)

from spacy_dwe.building.build import build_kb


@pytest.fixture(scope="session", autouse=True)
def single_threaded():
    """Networks this small lose more to threads than they gain."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def nothing_is_encoded_already():
    """Tests share KBs, and what one of them encodes is not to help another."""
    os.environ["DWE_FEATURE_CACHE"] = "none"


@pytest.fixture(scope="session", autouse=True)
def stopped_by_ctrl_c():
    """Also where a shell runs the tests in the background and has them ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def fresh_python():
    """Run code as a fresh Python does that has imported spaCy and nothing else."""
    python = FreshPython()
    yield python
    python.close()


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A folder with a tiny CLIP, a tiny BERT, pictures, and documents."""
    root = tmp_path_factory.mktemp("world")
    save_clip_of_kind(root / "clip", "clip")
    (root / "bert").mkdir()
    save_bert(root / "bert")
    for colour, rgb in COLOURS.items():
        for shade in range(5):
            value = tuple(max(0, channel - 15 * shade) for channel in rgb)
            Image.new("RGB", (32, 32), value).save(root / f"{colour}-{shade}.png")
    return root


@pytest.fixture(scope="session")
def picture(world):
    """Path of a picture of a colour; there are five shades."""
    return lambda colour, shade=0: str(world / f"{colour}-{shade}.png")


@pytest.fixture(scope="session")
def clip(world):
    from spacy_dwe.encoders.registry import clip_encoder

    return clip_encoder(f"local-dir:{world / 'clip'}", device="cpu")


@pytest.fixture(scope="session")
def bert(world):
    from spacy_dwe.encoders.registry import text_encoder

    return text_encoder(str(world / "bert"), device="cpu")


@pytest.fixture(scope="session")
def kb(world, clip, picture):
    """Path of a KB whose entities have pictures."""
    return build_kb(pictured_entities(picture), world / "pictures.kb", clip=clip).path


@pytest.fixture(scope="session")
def described_kb(world, clip):
    """Path of a KB that says the colour in words only: linking must be learned."""
    return build_kb(described_entities(), world / "described.kb", clip=clip).path


@pytest.fixture(scope="session")
def names_kb(world):
    """Path of a KB without any vectors."""
    return build_kb(described_entities(), world / "names.kb").path


@pytest.fixture(scope="session")
def two_encoder_kb(world, clip, bert):
    """Path of a KB with vectors of a sentence encoder beside those of CLIP."""
    path = world / "two.kb"
    return build_kb(described_entities(), path, text_encoder=bert, clip=clip).path


@pytest.fixture(scope="session")
def nlp(kb):
    """A pipeline with an untrained linker. Tests only use it."""
    return linking_pipeline(kb)


@pytest.fixture(scope="session")
def pipeline():
    """Make a blank pipeline with a linker on a KB."""
    return linking_pipeline


@pytest.fixture(scope="session")
def document(nlp):
    """Make a document in which names are entities."""

    def make(text, *images, vocab=None):
        tokens = nlp.make_doc(text)
        words = [token.text for token in tokens]
        spaces = [bool(token.whitespace_) for token in tokens]
        doc = Doc(vocab or nlp.vocab, words=words, spaces=spaces)
        doc.ents = [
            Span(doc, token.i, token.i + 1, label="PLACE")
            for token in doc
            if token.text in NAMES
        ]
        if images:
            doc._.images = list(images)
        return doc

    return make


@pytest.fixture(scope="session")
def examples(picture):
    """Make labelled examples: each place with some shades of its colour."""

    def make(nlp, shades=(0, 1)):
        made = []
        for name, colour in PLACES:
            for shade in shades:
                doc = nlp.make_doc(f"We saw {name} again.")
                doc._.images = picture(colour, shade)
                gold = {"entities": [(7, 7 + len(name), "PLACE")]}
                gold["links"] = {(7, 7 + len(name)): {f"{name}-{colour}": 1.0}}
                made.append(Example.from_dict(doc, gold))
        return made

    return make


@pytest.fixture(scope="session")
def trained(described_kb, examples):
    """A pipeline that learned the colours. Tests only read it."""
    return train(linking_pipeline(described_kb, model=SMALL_MODEL), examples)
