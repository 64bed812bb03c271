"""No encoder is asked twice for one content, from the first command to the last."""

import json
from collections import Counter
from functools import partial

import numpy as np
import pytest
import spacy
from PIL import Image
from spacy.cli import app
from typer.testing import CliRunner

from spacy_dwe.cli import dwe_cli
from spacy_dwe.encoders import store
from spacy_dwe.encoders.protocol import mentions_as_texts
from spacy_dwe.linking import prepare

WORDS = ("red", "blue", "georgia", "samoa", "won", "lost")
COLOURS = {"red": (220, 20, 20), "blue": (20, 20, 220)}
NAMES = ("Georgia", "Samoa", "Congo", "Korea")

asked: Counter = Counter()
"""How often each content was encoded, by any encoder of this process."""


@spacy.registry.misc("tests.Asked.v1")
class Asked:
    """A text is which words are in it and a picture its mean colour, in one space."""

    dim = width = len(WORDS)
    max_tokens = 1000
    fingerprint = "asked"

    def __init__(self):
        self.spec = {"@misc": "tests.Asked.v1"}

    def encode_texts(self, texts, progress=None):
        asked.update(texts)
        return self._vectors(texts)

    def encode_mentions(self, mentions):
        asked.update(mentions)
        quiet = Asked()
        quiet.encode_texts = self._vectors
        return mentions_as_texts(quiet, mentions)

    def encode_images(self, images, progress=None):
        asked.update(image.tobytes() for image in images)
        means = [np.asarray(image).mean(axis=(0, 1)) / 255 for image in images]
        padded = [[mean[0], mean[2], 0.01, 0.01, 0.01, 0.01] for mean in means]
        return self._unit(padded)

    def _vectors(self, texts, progress=None):
        return self._unit([[w in t.lower() for w in WORDS] for t in texts])

    def _unit(self, rows):
        rows = np.array(rows, dtype=np.float32) + 0.01
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def counted(monkeypatch):
    """Counts anew, in a room that is too small for what is trained on."""
    monkeypatch.delenv("DWE_FEATURE_CACHE", raising=False)
    monkeypatch.setattr(prepare, "PREPARED_BYTES", 2_000)
    monkeypatch.setattr(
        store, "DiskStore", partial(store.DiskStore, memory_bytes=5_000)
    )
    asked.clear()
    return asked


def run(command, *arguments):
    done = CliRunner().invoke(command, [str(each) for each in arguments])
    if done.exception is not None:
        raise done.exception
    return done.output


def write(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def write_documents(path, n, first=0):
    """Each with a sentence and a picture of its own."""
    records = []
    for number in range(first, first + n):
        name, colour = NAMES[number % 4], [*COLOURS][number // 4 % 2]
        text = f"{name} won match {number} and was red or blue."
        shade = [max(0, c - number // 250) for c in COLOURS[colour]]
        shade[1] = number % 250
        Image.new("RGB", (2, 2), tuple(shade)).save(path.parent / f"{number}.png")
        gold = {"start": 0, "end": len(name), "kb_id": f"{name}-{colour}"}
        record = {"id": str(number), "text": text, "images": [f"{number}.png"]}
        records.append({**record, "mentions": [gold]})
    write(path, records)


@pytest.fixture
def folder(tmp_path):
    for colour, rgb in COLOURS.items():
        Image.new("RGB", (2, 2), rgb).save(tmp_path / f"{colour}.jpg")
    entities = [
        {
            "id": f"{name}-{colour}",
            "title": name,
            "description": f"A {colour} place that won.",
            "images": [f"{colour}.jpg"],
        }
        for name in NAMES
        for colour in COLOURS
    ]
    write(tmp_path / "entities.jsonl", entities)
    return tmp_path


def make(folder, n_train, n_dev):
    """Documents to train and evaluate on, and a KB."""
    write_documents(folder / "train.jsonl", n_train)
    write_documents(folder / "dev.jsonl", n_dev, first=n_train)
    for split in ("train", "dev"):
        files = folder / f"{split}.jsonl", folder / f"{split}.spacy"
        run(dwe_cli, "convert", "docbin", *files)
    build(folder)


def build(folder):
    run(
        *(dwe_cli, "kb", "build", folder / "entities.jsonl", folder / "my.kb"),
        *("--encoder", "asked=tests.Asked.v1"),
    )


def train(folder, model, **training):
    settings = {
        "paths.train": folder / "train.spacy",
        "paths.dev": folder / "dev.spacy",
        "paths.kb": folder / "my.kb",
        "training.max_steps": 30,
        "training.eval_frequency": 10,
        "training.logger.progress_bar": "null",
        **{f"components.dwe_linker.model.{key}": value for key, value in model.items()},
        **{f"training.{key}": value for key, value in training.items()},
    }
    overrides = [part for key, v in settings.items() for part in (f"--{key}", v)]
    run(dwe_cli, "init-config", folder / "my.cfg")
    return run(app, "train", folder / "my.cfg", "-o", folder / "model", *overrides)


SMALL = {"width": 8, "n_heads": 2, "ffn_width": 8}
HEADS = [
    {},
    {"head": "dwe", **SMALL},
    pytest.param({"read_mention": "true"}, marks=pytest.mark.slow),
    pytest.param({"head": "dwe", "states": "pooled", **SMALL}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("model", HEADS, ids=str)
def test_a_workflow_encodes_each_content_once(folder, counted, model):
    make(folder, 40, 12)
    told = train(folder, model)
    assert "Encoder outputs: " in told and "of at most" in told
    best, dev = folder / "model" / "model-best", folder / "dev.jsonl"
    n_encoded = sum(counted.values())
    told = run(dwe_cli, "evaluate", best, dev, "--draws", "0")
    assert "my.kb.features" in told.replace("\n", "")
    run(dwe_cli, "calibrate", best, dev, "--dry-run")
    run(dwe_cli, "coverage", best, dev)
    run(dwe_cli, "link", best, dev, folder / "linked.jsonl")
    again = "blank:en", dev, "--kb", folder / "my.kb", "--draws", "0"
    run(dwe_cli, "evaluate", *again)
    assert set(counted.values()) == {1}
    assert sum(counted.values()) == n_encoded
    # A mention and a picture of each document, descriptions and pictures of the KB.
    assert n_encoded == 2 * (40 + 12) + 8 + 2


@pytest.mark.slow
def test_at_ten_thousand_documents_too(folder, counted):
    """Two epochs and a half of them."""
    make(folder, 9_000, 1_000)
    train(folder, {}, max_steps=90, eval_frequency=45, **{"batcher.size": 250})
    best, dev = folder / "model" / "model-best", folder / "dev.jsonl"
    n_encoded = sum(counted.values())
    run(dwe_cli, "evaluate", best, dev, "--draws", "0")
    run(dwe_cli, "calibrate", best, dev, "--dry-run")
    assert set(counted.values()) == {1}
    assert sum(counted.values()) == n_encoded == 20_000 + 8 + 2


def test_plain_linking_keeps_nothing_on_disk(folder, counted):
    write_documents(folder / "dev.jsonl", 1)
    build(folder)
    nlp = spacy.blank("en")
    nlp.add_pipe("dwe_linker").load_kb(folder / "my.kb")
    doc = nlp.make_doc("Georgia won.")
    doc.ents = [doc.char_span(0, 7, label="GPE")]
    nlp(doc)
    assert not (folder / "my.kb.features").exists()
