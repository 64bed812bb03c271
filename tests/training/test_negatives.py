import pickle

import numpy as np
import pytest

from spacy_dwe.building.build import build_kb
from spacy_dwe.kb.entity import Entity
from spacy_dwe.kb.knowledge_base import DweKnowledgeBase
from spacy_dwe.linking.collate import collate
from spacy_dwe.training.targets import Negatives, RareWordNegatives

TOWNS = {
    "tiber": "A town on the river Tiber, known for its bell.",
    "bells": "A village of bells, and of one bell.",
    "river": "A city on the river.",
    "hills": "A town in the hills.",
    "dunes": "Lost among dunes.",
    "blank": "",
}


@pytest.fixture(scope="module")
def kb(tmp_path_factory):
    entities = [Entity(id, id.title(), text) for id, text in TOWNS.items()]
    return build_kb(entities, tmp_path_factory.mktemp("negatives") / "towns.kb")


def drawn(negatives, kb, gold, n=200):
    """Ids of what is drawn for a gold."""
    rows = negatives.draw(kb.rows_of([gold]), n)[0]
    return set(kb.ids(rows[rows >= 0]))


def test_negatives_share_a_word_with_the_gold(kb):
    negatives = RareWordNegatives.of(kb)
    assert "tiber" in drawn(negatives, kb, "bells")
    for gold in TOWNS:
        words = {*TOWNS[gold].lower().replace(",", "").replace(".", "").split()}
        for other in drawn(negatives, kb, gold):
            assert other != gold
            assert words & {*TOWNS[other].lower().replace(".", "").split()}


def test_a_gold_that_shares_no_word_gets_none(kb):
    negatives = RareWordNegatives.of(kb)
    assert not drawn(negatives, kb, "dunes")
    assert not drawn(negatives, kb, "blank")
    assert negatives.draw(np.array([-1, -1]), 3).tolist() == [[-1] * 3] * 2


def test_the_rarest_words_count():
    """Word 1 is in all of six entities, word 2 in two, word 3 in one; 0 is no word."""
    facts = np.array([[1, 2], [1, 2], [1, 3], [1, 0], [1, 0], [0, 0]], dtype=np.int32)
    rarity = np.array([0.0, 0.1, 0.8, 0.9], dtype=np.float32)
    negatives = RareWordNegatives(facts, rarity, np.arange(6))
    assert negatives.words.tolist()[:4] == [[2, 1], [2, 1], [1, -1], [1, -1]]
    assert {*negatives.draw(np.array([2]), 200)[0].tolist()} <= {0, 1, 3, 4}
    assert (negatives.draw(np.array([5]), 9) == -1).all()


def test_a_removed_entity_is_never_drawn():
    facts = np.array([[1], [1], [1]], dtype=np.int32)
    rarity = np.array([0.0, 0.5], dtype=np.float32)
    negatives = RareWordNegatives(facts, rarity, np.array([0, 2]))
    assert {*negatives.draw(np.array([0]), 50)[0].tolist()} == {2}


@pytest.fixture
def world_kb(described_kb):
    """Of places described by their colours."""
    return DweKnowledgeBase(described_kb)


@pytest.fixture
def batch(world_kb, prepared):
    name, vectors = next(iter(world_kb.vector_sets.items()))
    rows = world_kb.rows_of(["Georgia-red", "Georgia-blue", "Samoa-red"])
    return collate(
        [prepared(*rows.tolist())],
        heads={str(name): vectors},
        pictures={},
        pooled=True,
        device="cpu",
    )


def test_rare_words_are_added(world_kb, batch):
    gold = world_kb.rows_of(["Georgia-red"])
    chosen = Negatives().chosen_for(batch, gold, world_kb, 3)
    assert chosen.negatives is None
    (hard,) = chosen.hard.values()
    assert hard.vectors.shape[:2] == (1, 3)
    assert hard.present.all()


def test_nothing_but_golds_of_training(world_kb, batch):
    golds = ["Georgia-red", "Samoa-red"]
    negatives = pickle.loads(pickle.dumps(Negatives(golds)))
    gold = world_kb.rows_of(["Samoa-red"])
    chosen = negatives.chosen_for(batch, gold, world_kb, 40)
    assert chosen.negatives.tolist() == [[True, False, True]]
    (hard,) = chosen.hard.values()
    vectors = next(iter(world_kb.vector_sets.values()))
    georgia, _ = vectors.gather(world_kb.rows_of(["Georgia-red"]))
    assert hard.present.any() and not hard.present.all()
    for vector in hard.vectors[hard.present].numpy():
        np.testing.assert_array_equal(vector, georgia[0])
