"""Documents joined in pairs, with the picture of one: the linkers and the test sample
that `python -m spacy project run all` left."""

import random
from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc

from spacy_dwe.documents import labelled_docs

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TRAINED = ROOT / "models" / "dwe" / "model-best"
N_PAIRS = 300
CHANGED = 0.06
"""Links of the other mention that may change, as flags of two names can be alike."""
LOST = 0.02
"""Top-1 that the mention on the picture may lose to a rival."""


@pytest.fixture(scope="module", params=["untrained", "trained"])
def nlp(request):
    if not TRAINED.exists():
        pytest.skip("no models/: run `python -m spacy project run all` first")
    if request.param == "trained":
        return spacy.load(TRAINED)
    nlp = spacy.blank("en")
    nlp.add_pipe("dwe_linker", config={"device": "cpu"})
    nlp.get_pipe("dwe_linker").load_kb(ROOT / "kb" / "places.kb")
    return nlp


@pytest.fixture(scope="module")
def pairs(nlp):
    """Documents of one mention that their pictures show, and others of another name."""
    docs = labelled_docs(nlp, ROOT / "corpus" / "test.jsonl")
    single = [as_one_sentence(doc) for doc in docs if len(doc.ents) == 1]
    shown = [doc for doc in single if doc._.images and is_shown(doc.ents[0])]
    rng = random.Random(0)
    drawn = [(rng.choice(shown), rng.choice(single)) for _ in range(2 * N_PAIRS)]
    return [(a, b) for a, b in drawn if a.ents[0].text != b.ents[0].text][:N_PAIRS]


def as_one_sentence(doc):
    for token in doc:
        token.is_sent_start = token.i == 0
    return doc


def is_shown(ent):
    return ent.kb_id_ != "NIL" and "irrelevant-picture" not in ent._.link_groups


def links(nlp, docs):
    linker = nlp.get_pipe("dwe_linker")
    return [[ent.kb_id_ for ent in doc.ents] for doc in linker.pipe(docs)]


def joined(pair, images):
    doc = Doc.from_docs(list(pair), exclude=["user_data"])
    doc._.images = images
    return doc


def test_a_picture_of_one_changes_no_link_of_the_other(nlp, pairs):
    assert len(pairs) == N_PAIRS
    alone = links(nlp, [pair[0].copy() for pair in pairs])
    without = links(nlp, [joined(pair, ()) for pair in pairs])
    found = links(nlp, [joined(pair, pair[0]._.images) for pair in pairs])
    changed = sum(a[1] != b[1] for a, b in zip(found, without))
    assert changed <= CHANGED * N_PAIRS
    golds = [pair[0].ents[0].kb_id_ for pair in pairs]
    right = sum(own[0] == gold for own, gold in zip(found, golds))
    right_alone = sum(own[0] == gold for own, gold in zip(alone, golds))
    right_without = sum(own[0] == gold for own, gold in zip(without, golds))
    assert right >= right_alone - LOST * N_PAIRS > right_without
