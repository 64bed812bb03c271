"""What must hold of every result: design, "Invariants" 1 to 5."""

import random

import numpy as np
import pytest
import spacy
import torch
from PIL import Image
from spacy.tokens import DocBin
from tiny_world import NAMES, SMALL_MODEL, linking_pipeline, train

from spacy_dwe.building.build import build_kb
from spacy_dwe.errors import DweError
from spacy_dwe.kb.entity import Entity

TOLERANCE = 1e-5


# 1. A mention's result does not depend on its batch.


@pytest.fixture(params=["untrained", "trained"])
def any_nlp(request, nlp):
    return nlp if request.param == "untrained" else request.getfixturevalue("trained")


@pytest.fixture
def documents(document, picture):
    """Texts of many lengths, none, one or two pictures, one to three mentions."""

    def make(nlp):
        rng = random.Random(0)
        made = []
        for i, name in enumerate(NAMES * 2):
            others = rng.sample(NAMES, i % 3)
            text = f"{name} {'is far away, but ' * (i % 5)} {' or '.join(others)}."
            pictures = [picture("red", i % 5), picture("blue", i % 4)][: i % 3]
            made.append(document(text, *pictures, vocab=nlp.vocab))
        return made

    return make


def scores(docs):
    """Probability and channel scores of every candidate, by document's text."""
    return {
        doc.text: [
            [(c.id, [c.probability, *c.scores.values()]) for c in ent._.kb_candidates]
            for ent in doc.ents
        ]
        for doc in docs
    }


def assert_close(found, expected):
    assert found.keys() == expected.keys()
    for text, ents in expected.items():
        assert len(found[text]) == len(ents)
        for own, other in zip(found[text], ents):
            assert [c[0] for c in own] == [c[0] for c in other]
            for (_, a), (_, b) in zip(own, other):
                np.testing.assert_allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE)


def test_batch_size_and_order_change_nothing(any_nlp, documents):
    docs = documents(any_nlp)
    expected = scores(any_nlp.pipe([d.copy() for d in docs], batch_size=len(docs)))
    assert len(expected) == len(docs)
    for batch_size in (1, 7):
        fresh = unremembering(any_nlp)
        found = scores(fresh.pipe([d.copy() for d in docs], batch_size=batch_size))
        assert_close(found, expected)
    random.Random(1).shuffle(docs)
    assert_close(scores(unremembering(any_nlp).pipe(docs, batch_size=7)), expected)


def unremembering(nlp):
    """The same pipeline, in which nothing is encoded yet."""
    return spacy.blank("xx").from_config(nlp.config).from_bytes(nlp.to_bytes())


def test_many_mentions_are_linked_as_few_are(names_kb, pipeline, document):
    """More than are scored at a time."""
    nlp = pipeline(names_kb, channels=["name", "prior", "facts"])
    text = " and ".join(NAMES * 60)
    doc = nlp(document(text, vocab=nlp.vocab))
    (few,) = scores([nlp(document(" and ".join(NAMES), vocab=nlp.vocab))]).values()
    (many,) = scores([doc]).values()
    assert len(many) == 600
    assert many == few * 60


WORKERS = """
import open_clip, spacy, sys
from spacy.tokens import DocBin
for folder in sys.argv[1:]:
    nlp = spacy.load(folder)
    docs = list(DocBin().from_disk(folder + "/in.spacy").get_docs(nlp.vocab))
    if nlp.meta["name"] == "trained":
        nlp(docs[0].copy())
    linked = nlp.pipe(docs, n_process=2, batch_size=7)
    DocBin(docs=linked, store_user_data=True).to_disk(folder + "/out.spacy")
"""


def test_worker_processes_change_nothing(
    fresh_python, kb, trained, documents, tmp_path
):
    """Whether encoders are loaded before the fork or after it. In a process of its
    own: a hang would stop the tests."""
    pipelines = {"fresh": linking_pipeline(kb), "trained": trained}
    for name, nlp in pipelines.items():
        nlp.meta["name"] = name
        nlp.to_disk(tmp_path / name)
        docs = DocBin(docs=documents(nlp), store_user_data=True)
        docs.to_disk(tmp_path / name / "in.spacy")
    done = fresh_python(WORKERS, *(tmp_path / name for name in pipelines), timeout=120)
    assert done.returncode == 0, done.stderr
    for name, nlp in pipelines.items():
        docs = DocBin().from_disk(tmp_path / name / "out.spacy")
        linked = scores(docs.get_docs(nlp.vocab))
        assert_close(linked, scores(nlp.pipe(documents(nlp))))


# 2. What is missing is masked.


def image_file(path, kind):
    if kind == "missing":
        return path
    if kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "no picture":
        path.write_text("<html>404</html>")
    elif kind == "cut off":
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
        Image.fromarray(noise).save(path, format="PNG")
        path.write_bytes(path.read_bytes()[:500])
    return path


@pytest.mark.parametrize(
    "kind", ["missing", "folder", "empty", "no picture", "cut off"]
)
def test_an_unreadable_picture_is_no_picture(
    kb, nlp, pipeline, document, tmp_path, kind
):
    path = image_file(tmp_path / "broken.png", kind)
    doc = document("Georgia won.", str(path))
    with pytest.warns(UserWarning, match=r"W001.*broken\.png of document \"Georgia"):
        linked = nlp(doc)
    assert_close(scores([linked]), scores([nlp(document("Georgia won."))]))
    strict = pipeline(kb, strict_images=True)
    doc.user_data["dwe_document_id"] = "d17"
    with pytest.raises(DweError, match=r"E504.*document d17.*broken\.png"):
        strict(doc)


def test_beside_a_readable_picture_a_broken_one_does_no_harm(
    nlp, document, picture, tmp_path
):
    doc = document("Georgia won.", picture("red"), str(tmp_path / "absent.png"))
    with pytest.warns(UserWarning, match=r"absent\.png"):
        linked = nlp(doc)
    assert_close(scores([linked]), scores([nlp(document(doc.text, picture("red")))]))


def test_a_url_is_not_fetched(nlp, document):
    with pytest.warns(UserWarning, match=r"W001 https://example\.org/flag\.png|W001"):
        nlp(document("Georgia won.", "https://example.org/flag.png"))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "F"])
@pytest.mark.parametrize("size", [(1, 1), (3, 700)])
def test_odd_pictures_are_encoded(nlp, document, tmp_path, mode, size):
    suffix = "jpg" if mode == "CMYK" else "tiff"
    Image.new(mode, size).save(tmp_path / f"odd.{suffix}")
    doc = nlp(document("Georgia won.", str(tmp_path / f"odd.{suffix}")))
    assert doc.ents[0]._.kb_candidates[0].scores["image"] != 0


def test_unread_pictures_are_not_looked_for(kb, pipeline, document):
    for setting in ({"use_images": False}, {"channels": ["name", "text"]}):
        nlp = pipeline(kb, **setting)
        nlp(document("Georgia won.", "absent.png", vocab=nlp.vocab))


def test_entities_may_lack_anything(clip, picture, document, tmp_path):
    entities = [
        Entity("bare", "Georgia"),
        Entity("described", "Georgia", "A red place."),
        Entity("pictured", "Georgia", images=(picture("red"),)),
        Entity("both", "Georgia", "A red place.", images=(picture("red"),)),
        Entity("other", "Korea", "A blue place.", images=(picture("blue"),)),
    ]
    kb = build_kb(entities, tmp_path / "mixed.kb", clip=clip)
    nlp = linking_pipeline(kb.path)
    (ent,) = nlp(document("Georgia won.", picture("red"), vocab=nlp.vocab)).ents
    found = {candidate.id: candidate.scores for candidate in ent._.kb_candidates}
    assert found.keys() == {"bare", "described", "pictured", "both"}
    assert found["bare"]["text"] == found["pictured"]["text"] == 0
    assert found["described"]["text"] == found["both"]["text"] != 0
    assert found["bare"]["image"] == 0
    said = {name: scores["image"] for name, scores in found.items()}
    assert len({round(each, 3) for each in said.values()}) == 4
    alone = said["described"] + said["pictured"]
    assert said["both"] == pytest.approx(alone, abs=1e-4)


def test_a_kb_without_vectors_links_by_names(names_kb, pipeline, document, picture):
    nlp = pipeline(names_kb)
    doc = nlp(document("Georgia won.", picture("red"), vocab=nlp.vocab))
    best = doc.ents[0]._.kb_candidates[0]
    assert best.title == "Georgia"
    assert best.scores["text"] == best.scores["image"] == 0


# 3. NaN is an error, never a rank.


def test_damaged_weights_are_an_error(kb, pipeline, document):
    nlp = pipeline(kb)
    doc = document("Georgia won.", vocab=nlp.vocab)
    doc.user_data["dwe_document_id"] = "d17"
    nlp(doc)
    network = nlp.get_pipe("dwe_linker").network_shim.network
    with torch.no_grad():
        network.combiner.weight[0] = torch.nan
    with pytest.raises(DweError, match=r"E508.*'Georgia' in document d17"):
        nlp(doc)


@pytest.mark.parametrize("damage", [np.nan, np.inf])
def test_damaged_vectors_are_an_error(
    clip, picture, document, pipeline, tmp_path, damage
):
    entities = [Entity("a", "Georgia", "A red place."), Entity("b", "Samoa", "Blue.")]
    path = build_kb(entities, tmp_path / "damaged.kb", clip=clip).path
    for file in (path / "vectors").rglob("*.npy"):
        array = np.load(file)
        if array.dtype == np.float16:
            array[0] = damage
            np.save(file, array)
    nlp = pipeline(path)
    nlp(document("Samoa won.", picture("red"), vocab=nlp.vocab))
    with pytest.raises(DweError, match=r"E508.*'Georgia' in document"):
        nlp(document("Georgia won.", picture("red"), vocab=nlp.vocab))


# 4. Order: rounded score, then id.


def test_equal_scores_are_ordered_by_id(document, pipeline, tmp_path):
    ids = ["Q9", "Q10", "b", "a", "Q1", "ä"]
    path = build_kb([Entity(i, "Georgia") for i in ids], tmp_path / "ties.kb").path
    nlp = pipeline(path)
    (ent,) = nlp(document("Georgia won.", vocab=nlp.vocab)).ents
    assert [candidate.id for candidate in ent._.kb_candidates] == sorted(ids)


# 5. Same seed, same weights.


def test_the_seed_decides_the_weights(described_kb, examples):
    def weights(seed):
        model = {**SMALL_MODEL, "dropout": 0.3}
        nlp = linking_pipeline(described_kb, model=model)
        train(nlp, examples, steps=3, seed=seed)
        return nlp.get_pipe("dwe_linker").network_shim.to_bytes()

    assert weights(0) == weights(0) != weights(1)
