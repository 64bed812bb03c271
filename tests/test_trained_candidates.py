"""A trained linker finds candidates by the queries of its network.

Documents show entities in the colours of a film negative: their own pictures are what
the encoder's vectors find, and the right ones must be learned.
"""

import numpy as np
import pytest
import spacy
import torch
from PIL import Image
from small_encoders import Colours, Words
from spacy.training import Example
from tiny_world import SMALL_MODEL

from spacy_dwe.building.build import build_kb
from spacy_dwe.encoders.cache import FeatureCache, MemoryStore
from spacy_dwe.errors import DweError
from spacy_dwe.evaluation.evaluate import evaluate_docs
from spacy_dwe.kb.entity import Entity
from spacy_dwe.kb.generators import dense_candidates, hybrid_candidates
from spacy_dwe.kb.vectors.sets import SetName

COLOURS = {
    "red": (230, 25, 25),
    "orange": (230, 130, 25),
    "green": (25, 200, 25),
    "blue": (25, 25, 230),
    "violet": (140, 25, 230),
    "cyan": (25, 200, 200),
}
PICTURES, TEXTS = SetName("image", "colours"), SetName("description", "words")
DENSE = {"@misc": "spacy-dwe.DenseCandidates.v1"}
MODEL = {**SMALL_MODEL, "head": "linear", "nil_dropout": 0.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("negatives")
    for name, colour in COLOURS.items():
        Image.new("RGB", (16, 16), colour).save(folder / f"{name}.png")
        negative = tuple(255 - each for each in colour)
        Image.new("RGB", (16, 16), negative).save(folder / f"{name}-negative.png")
    return folder


@pytest.fixture(scope="module")
def pictures_kb(folder):
    """Path of a KB of pictures alone."""
    return build(folder, "pictures.kb", colours=Colours())


@pytest.fixture(scope="module")
def kb(folder):
    """Path of a KB of descriptions and pictures."""
    return build(folder, "both.kb", colours=Colours(), words=Words())


def build(folder, name, **encoders):
    entities = [
        Entity(colour, f"{colour}ville", f"{colour} land", images=(f"{colour}.png",))
        for colour in COLOURS
    ]
    return build_kb(entities, folder / name, encoders=encoders, image_root=folder).path


def pipeline(kb, channels=("dwe",), generate=DENSE, **config):
    nlp = spacy.blank("en")
    settings = {
        "channels": [*channels],
        "model": MODEL,
        "generate_candidates": generate,
    }
    linker = nlp.add_pipe("dwe_linker", config={**settings, "device": "cpu", **config})
    linker.load_kb(kb)
    return nlp


def shown(nlp, folder, *names, text="It was seen."):
    """Documents with the negatives of colours, labelled."""
    docs = []
    for name in names:
        doc = nlp.make_doc(text)
        doc._.images = str(folder / f"{name}-negative.png")
        doc.set_ents([doc.char_span(0, text.index(" "), "X", kb_id=name)])
        docs.append(doc)
    return docs


def train(nlp, folder, steps=200):
    examples = [Example(nlp.make_doc(d.text), d) for d in shown(nlp, folder, *COLOURS)]
    torch.manual_seed(0)
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = 0.02
    for _ in range(steps):
        nlp.update(examples, sgd=optimizer)
    return nlp


@pytest.fixture(scope="module")
def trained(pictures_kb, folder):
    """A pipeline that knows negatives. Tests only read it."""
    return train(pipeline(pictures_kb), folder)


def firsts(nlp, docs):
    """The first candidate of each, as the generator found them."""
    linker = nlp.get_pipe("dwe_linker")
    scored = linker.score_mentions(docs)
    return linker.kb.ids([s.rows[s.places.argmin()] for s in scored])


def test_the_trained_query_finds_what_the_encoders_vectors_do_not(
    trained, pictures_kb, folder
):
    docs = shown(trained, folder, *COLOURS)
    assert firsts(trained, docs) == [*COLOURS]
    untrained = firsts(pipeline(pictures_kb, ["image"]), docs)
    assert all(found != name for found, name in zip(untrained, COLOURS))


def test_a_kb_of_pictures_alone_can_be_searched_untrained(pictures_kb, folder):
    nlp = pipeline(pictures_kb, ["image"], n_candidates=2)
    doc = nlp.make_doc("It was seen.")
    doc.set_ents([doc.char_span(0, 2, "X")])
    bare = doc.copy()
    doc._.images = str(folder / "violet.png")
    linker = nlp.get_pipe("dwe_linker")
    pictured, without = linker.score_mentions([doc, bare])
    assert linker.kb.ids(pictured.rows)[0] == "violet"
    assert len(pictured.rows) == 2
    assert len(without.rows) == 0


def test_dense_candidates_are_the_first_of_the_full_ranking(kb, folder):
    """By what the network says alone, in two sets together."""
    nlp = train(pipeline(kb), folder, steps=5)
    linker = nlp.get_pipe("dwe_linker")
    assert len(linker.network_shim.network.spec.heads) == 2
    docs = [*shown(nlp, folder, *COLOURS), nlp.make_doc("Blue land is far.")]
    docs[-1].set_ents([docs[-1].char_span(0, 4, "X", kb_id="blue")])
    full = evaluate_docs(nlp, linker, docs, protocol="full", draws=0)
    linker.n_candidates = 3
    dense = evaluate_docs(nlp, linker, docs, candidates="dense", draws=0)
    assert full.metrics["protocol"] == "full"
    assert dense.metrics["protocol"] == "candidates"
    for ranked, found in zip(full.scored, dense.scored, strict=True):
        assert found.rows[np.argsort(found.places)].tolist() == [*ranked.rows[:3]]
        np.testing.assert_allclose(found.scores[:3], ranked.scores[:3], atol=1e-5)
    for outcome, first in zip(full.outcomes, dense.outcomes, strict=True):
        assert first.found_within == (outcome.rank if outcome.rank <= 3 else np.inf)


class Noted:
    """Dense candidates; notes by which weights and vectors they were looked for."""

    def __init__(self):
        self.queries = []

    def __call__(self, kb, mentions, n):
        self.queries.append(mentions.queries())
        return dense_candidates()(kb, mentions, n)


def test_what_a_linker_learns_from_is_found_by_the_encoders_own_vectors(
    pictures_kb, folder
):
    """The network changes with every step; what is linked meanwhile has it as it is."""
    nlp = pipeline(pictures_kb, ["image", "dwe"])
    linker, noted = nlp.get_pipe("dwe_linker"), Noted()
    linker.generate_candidates = noted
    docs = shown(nlp, folder, *COLOURS)
    linker.score_mentions(docs)
    own = noted.queries.pop()[PICTURES].vectors
    train(nlp, folder, steps=2)
    assert noted.queries
    for queries in noted.queries:
        np.testing.assert_array_equal(queries[PICTURES].vectors, own)
    linker.score_mentions(docs)
    after_two = noted.queries.pop()[PICTURES]
    assert np.abs(after_two.vectors - own).max() > 1e-3
    examples = [Example(nlp.make_doc(doc.text), doc) for doc in docs]
    n_before = len(noted.queries)
    nlp.update(examples, sgd=nlp.resume_training())
    # What was found for all epochs is not looked for again.
    assert len(noted.queries) == n_before
    linker.score_mentions(docs)
    after_three = noted.queries.pop()[PICTURES]
    assert (after_three.vectors != after_two.vectors).any()
    weights = linker.network_shim.network.combiner.weight.tolist()
    assert after_three.weight == weights[-1]


def test_weights_that_are_loaded_count_at_once(trained, pictures_kb, folder, tmp_path):
    docs = shown(trained, folder, *COLOURS)
    trained.to_disk(tmp_path / "trained")
    assert firsts(spacy.load(tmp_path / "trained"), docs) == [*COLOURS]
    nlp = train(pipeline(pictures_kb), folder, steps=1)
    assert firsts(nlp, docs) != [*COLOURS]
    nlp.get_pipe("dwe_linker").from_bytes(trained.get_pipe("dwe_linker").to_bytes())
    assert firsts(nlp, docs) == [*COLOURS]


def test_candidates_depend_on_their_own_mention_alone(trained, folder):
    docs = shown(trained, folder, *COLOURS)
    bare = trained.make_doc("Someone came.")
    bare.set_ents([bare.char_span(0, 7, "X")])
    linker = trained.get_pipe("dwe_linker")
    together = linker.score_mentions([bare, *docs])
    for doc, expected in zip([bare, *docs], together, strict=True):
        (alone,) = linker.score_mentions([doc])
        assert alone.rows.tolist() == expected.rows.tolist()
        assert alone.places.tolist() == expected.places.tolist()
    assert [len(each.rows) for each in together] == [0] + [len(COLOURS)] * len(docs)


def test_without_the_channel_dwe_the_encoders_own_vectors_search(kb, folder):
    nlp = train(pipeline(kb, ["image", "dwe"]), folder)
    docs = shown(nlp, folder, *COLOURS)
    linker = nlp.get_pipe("dwe_linker")
    learned = firsts(nlp, docs)
    linker.channels = ["image"]
    linker.generate_candidates = dense_candidates("image@colours")
    assert firsts(nlp, docs) != learned
    linker.generate_candidates = dense_candidates(["image@colours", "image@other"])
    with pytest.raises(DweError, match=r"E160.*vectors of image@other"):
        linker.score_mentions(docs)


def test_pictures_are_encoded_and_read_once(trained, folder, monkeypatch):
    linker = trained.get_pipe("dwe_linker")
    monkeypatch.setattr(linker, "cache", FeatureCache(MemoryStore(1 << 24)))
    read, pictures_of = [], type(linker.evidence).pictures_of

    def noted(self, mentions):
        read.append(len(mentions))
        return pictures_of(self, mentions)

    linker._evidence_source.forget_evidence()
    monkeypatch.setattr(type(linker.evidence), "pictures_of", noted)
    linker.score_mentions(shown(trained, folder, *COLOURS))
    assert read == [len(COLOURS)]


@pytest.mark.parametrize("is_trained", [False, True])
def test_what_vectors_alone_found_is_listed_and_not_linked(kb, folder, is_trained):
    """Its name does not match: it may be anything that the KB does not know."""
    channels = ["name", "text", "image", "dwe"]
    nlp = pipeline(kb, channels, hybrid_block())
    text = "Redville and Blueville met a Stranger."
    if is_trained:
        nlp = train_on_names(nlp, folder)
    doc = nlp.make_doc(text)
    doc.set_ents(
        [doc.char_span(text.index(m), text.index(m) + len(m), "X") for m in MENTIONS]
    )
    doc._.images = str(folder / "violet.png")
    red, blue, stranger = nlp(doc).ents
    assert (red.kb_id_, blue.kb_id_) == ("red", "blue")
    assert stranger.kb_id_ == "NIL"
    ways = {c.id: c.found_by for c in stranger._.kb_candidates}
    assert ways.keys() == COLOURS.keys()
    assert ways["violet"] == ("dense",)


MENTIONS = ("Redville", "Blueville", "Stranger")


def hybrid_block():
    return {"@misc": "spacy-dwe.HybridCandidates.v1"}


def train_on_names(nlp, folder):
    examples = []
    for colour in COLOURS:
        text = f"{colour}ville was seen."
        doc = nlp.make_doc(text)
        doc._.images = str(folder / f"{colour}.png")
        doc.set_ents([doc.char_span(0, text.index(" was"), "X", kb_id=colour)])
        examples.append(Example(nlp.make_doc(text), doc))
    torch.manual_seed(0)
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(20):
        nlp.update(examples, sgd=optimizer)
    return nlp


def test_where_names_are_not_compared_vectors_link(trained, folder):
    docs = [*trained.pipe(shown(trained, folder, *COLOURS))]
    assert [doc.ents[0].kb_id_ for doc in docs] == [*COLOURS]


def test_a_query_that_is_no_number_is_an_error(pictures_kb, folder):
    nlp = train(pipeline(pictures_kb), folder, steps=1)
    encoder = nlp.get_pipe("dwe_linker").network_shim.network.mention_encoder
    with torch.no_grad():
        encoder.corrections[str(PICTURES)].weight.fill_(torch.nan)
    with pytest.raises(DweError, match=r"E508.*'It' in"):
        nlp.get_pipe("dwe_linker").score_mentions(shown(nlp, folder, "red"))


def test_the_whole_kb_is_ranked_the_same_block_by_block(kb, folder, monkeypatch):
    """As if the vectors of all candidates were gathered for each mention."""
    nlp = train(pipeline(kb, ["name", "text", "image", "dwe"]), folder, steps=3)
    linker, module = nlp.get_pipe("dwe_linker"), "spacy_dwe.evaluation.evaluate"
    docs = shown(nlp, folder, *COLOURS)
    whole = evaluate_docs(nlp, linker, docs, protocol="full", keep=9, draws=0)
    monkeypatch.setattr("spacy_dwe.linking.collate.MOST", np.inf)
    monkeypatch.setattr(f"{module}.RANKED_AT_A_TIME", len(COLOURS))
    gathered = evaluate_docs(nlp, linker, docs, protocol="full", keep=9, draws=0)
    assert whole.metrics["protocol"] == "full"
    for ours, theirs in zip(whole.scored, gathered.scored, strict=True):
        assert ours.rows.tolist() == theirs.rows.tolist()
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=2e-5)


def test_generators_take_one_set_or_several():
    one = dense_candidates("image@colours")
    assert one == dense_candidates(["image@colours"]) != dense_candidates()
    assert hybrid_candidates(
        vectors=["image@colours", "description@words"]
    ).vectors == (
        PICTURES,
        TEXTS,
    )
