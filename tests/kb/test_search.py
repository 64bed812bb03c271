"""What kb.search finds, in which order, and how it says it was found."""

import random
from itertools import product

import pytest

from spacy_dwe.building.build import build_kb
from spacy_dwe.building.update import add_entities, remove_entities
from spacy_dwe.kb.candidates import found_by_names
from spacy_dwe.kb.entity import Alias, Entity
from spacy_dwe.kb.index import names as queries
from spacy_dwe.kb.index.names import ADDED, ALIKE, FEW_BOTH, RARELY
from spacy_dwe.kb.knowledge_base import DweKnowledgeBase

NAMED = {
    "jfk": ("John Fitzgerald Kennedy",),
    "rfk": ("Robert F. Kennedy",),
    "usa": ("United States of America",),
    "skłodowska": ("Marie Skłodowska Curie",),
    "schwarzenegger": ("Arnold Schwarzenegger", "Governator"),
    "sooyoung": ("Choi Soo-young",),
    "shell": ("Seashell",),
    "mujib": ("Sheikh Mujibur Rahman",),
    "mao": ("毛泽东",),
    "deng": ("邓小平",),
    "kim": ("김정은",),
    "dostoyevsky": ("Фёдор Достоевский",),
    "mahfouz": ("نجيب محفوظ",),
    "rama": ("พระรามเก้า",),
    "bautista": ("Dave Bautista",),
    "batista": ("Fulgencio Batista",),
}


@pytest.fixture(scope="module")
def entities():
    others = [
        Entity(f"{first} {last}", f"{first} {last}")
        for first, last in product(
            ("William", "Charles", "Henry", "Karl", "Anna", "Olga"),
            ("Moore", "Hill", "Baker", "Stone", "Wood", "Brook", "Dale", "Field"),
        )
    ]
    named = [
        Entity(name, title, aliases=tuple(map(Alias, aliases)))
        for name, (title, *aliases) in NAMED.items()
    ]
    namesakes = [Entity(f"s{i}", "Springfield") for i in range(9)]
    return named + others + namesakes


@pytest.fixture(scope="module")
def kb(entities, tmp_path_factory):
    return build_kb(entities, tmp_path_factory.mktemp("search") / "names.kb")


def search(kb, mention, n=100, context=None):
    """Ids in order, and how each was found."""
    found = kb.search([mention], n, None if context is None else [context])
    ways = [set(found_by_names(way)) for way in found.found_by.tolist()]
    return dict(zip(kb.ids(found.rows), ways, strict=True))


@pytest.mark.parametrize(
    "mention, expected, way",
    [
        ("john fitzgerald KENNEDY", "jfk", "exact"),
        ("Marie Sklodowska-Curie", "skłodowska", "exact"),
        ("the governator!", "schwarzenegger", "words"),
        ("Schwarzenegger", "schwarzenegger", "words"),
        ("Kennedy, John Fitzgerald", "jfk", "words"),
        ("Schwarzeneger", "schwarzenegger", "spelling"),
        ("Shcwarzenegger", "schwarzenegger", "spelling"),
        ("JFK", "jfk", "initials"),
        ("J. F. K.", "jfk", "initials"),
        ("R. Kennedy", "rfk", "initials"),
        ("Kennedy R", "rfk", "initials"),
        ("USA", "usa", "initials"),
        ("Sooyoung", "sooyoung", "spelling"),
        ("sea shells", "shell", "spelling"),
        ("Mujib", "mujib", "spelling"),
        ("毛泽东", "mao", "exact"),
        ("泽东", "mao", "words"),
        ("평양의 김정운", "kim", "spelling"),
        ("достоевский", "dostoyevsky", "words"),
        ("Достаевский", "dostoyevsky", "spelling"),
        ("محفوظ", "mahfouz", "words"),
        ("مخفوظ", "mahfouz", "spelling"),
        ("พระราม", "rama", "spelling"),
    ],
)
def test_the_best_match_and_how_it_was_found(kb, mention, expected, way):
    found = search(kb, mention)
    assert next(iter(found)) == expected
    assert way in found[expected]


def test_a_known_but_rare_word_is_looked_for_in_other_spellings_too(kb):
    assert list(search(kb, "Batista"))[:2] == ["batista", "bautista"]
    assert search(kb, "Batista")["bautista"] == {"spelling"}


def test_names_that_share_a_common_word_do_not_hide_a_misspelt_one(tmp_path):
    johns = [Entity(f"J{i}", f"John A{i}") for i in range(150)]
    others = [Entity(f"S{i}", f"Sherman B{i}") for i in range(60)]
    wanted = [Entity("sherman", "John Sherman"), Entity("batista", "John Batista")]
    kb = build_kb([*johns, *others, *wanted], tmp_path / "kb")
    assert next(iter(search(kb, "John Shermna"))) == "sherman"
    assert search(kb, "Jonh Batista")["batista"] >= {"words"}
    assert next(iter(search(kb, "John Batitsa"))) == "batista"


@pytest.mark.parametrize("pairs", [0, queries.PAIRS])
def test_a_word_alike_to_a_very_common_one_is_read_beside_the_others(
    tmp_path, monkeypatch, pairs
):
    """Whether words are searched for in pairs, or are too many for that."""
    monkeypatch.setattr(queries, "PAIRS", pairs)
    johns = [Entity(f"J{i}", f"John A{i}") for i in range(ALIKE + 100)]
    batistas = [Entity(f"B{i}", f"Karl Batista {i}") for i in range(RARELY + 10)]
    wanted = Entity("batista", "John Batista")
    kb = build_kb([*johns, wanted, *batistas], tmp_path / "kb")
    found = search(kb, "Jonh Batista")
    assert next(iter(found)) == "batista"
    assert found["batista"] == {"words", "spelling"}
    assert not found.keys() & {john.id for john in johns}
    # Where nothing else tells the names apart, they are found by their spelling.
    assert set(search(kb, "Jonh Xyzzyx")) < {f"J{i}" for i in range(ALIKE + 100)} | {
        "batista"
    }
    assert len(search(kb, "Jonh Xyzzyx")) == ADDED


def test_a_candidate_may_be_found_in_several_ways(kb):
    assert search(kb, "Fulgencio Batista")["batista"] == {"exact", "words"}


def test_nothing_resembles_it(kb):
    assert search(kb, "Xyzzyx") == {}
    assert search(kb, "") == search(kb, "?!") == {}
    assert len(kb.search([], 10)) == 0


def test_equal_names_come_first_then_closer_ones(kb):
    first, *others = search(kb, "Anna Stone")
    assert first == "Anna Stone"
    assert others[0] in ("Anna Moore", "Anna Wood", "Karl Stone", "Olga Stone")
    assert all({"Anna", "Stone"} & set(name.split()) for name in others)


def test_the_context_chooses_among_too_many_names(kb):
    context = "Henry with Baroness Dale in 1911"
    assert "Henry Dale" not in search(kb, "Henry", 3)
    found = search(kb, "Henry", 3, context)
    assert next(iter(found)) == "Henry Dale"
    assert found["Henry Dale"] >= {"words", "context"}


def test_the_context_chooses_all_names_that_it_shares_a_word_with(tmp_path):
    henrys = [Entity(f"H{i}", f"Henry A{i}") for i in range(300)]
    dales = [Entity(f"D{i}", f"Henry of Dale {i}") for i in range(3 * FEW_BOTH)]
    kb = build_kb([*henrys, *dales], tmp_path / "kb")
    found = search(kb, "Henry", 100, "Henry, Baron Dale")
    assert set([*found][: len(dales)]) == {dale.id for dale in dales}


def test_the_context_orders_what_all_was_found(kb):
    assert next(iter(search(kb, "Karl", 100, "Karl of Stone"))) == "Karl Stone"


def test_what_only_the_context_names_comes_last(kb):
    found = search(kb, "Rahman", 100, "Rahman met Olga Field uphill")
    assert list(found.items()) == [("mujib", {"words"}), ("Olga Field", {"context"})]


def test_without_a_context_nothing_is_added(kb):
    assert list(search(kb, "Rahman")) == list(search(kb, "Rahman", 100, ""))


def test_candidates_do_not_depend_on_the_batch(kb, entities):
    titles = dict.fromkeys(entity.title for entity in entities)
    mentions = [*titles, "Henry", "JFK", "Batista", ""]
    contexts = [f"{mention} and Olga Field" for mention in mentions]
    together = kb.search(mentions * 5, 7, contexts * 5)
    for i in random.Random(0).sample(range(len(mentions)), 20):
        (alone,) = kb.search(mentions[i : i + 1], 7, contexts[i : i + 1])
        for copy in range(5):
            assert together[copy * len(mentions) + i].tolist() == alone.tolist()


def test_order_does_not_depend_on_the_order_of_entities(kb, entities, tmp_path):
    shuffled = random.Random(1).sample(entities, len(entities))
    other = build_kb(shuffled, tmp_path / "kb")
    for mention in ("Henry", "Anna Bakers", "毛", "Xarl Wod", "Springfield"):
        assert list(search(kb, mention).items()) == list(search(other, mention).items())


def test_a_changed_kb_finds_what_it_holds_now(entities, tmp_path):
    path = build_kb(entities, tmp_path / "kb").path
    remove_entities(path, ["Henry Dale", "jfk"])
    add_entities(path, [Entity("new", "Henry Daley"), Entity("old", "Henry Dale")])
    kb = DweKnowledgeBase(path)
    assert list(search(kb, "Henry Dale"))[:2] == ["old", "new"]
    assert "jfk" not in search(kb, "Kennedy")
    assert search(kb, "JFK") == {}


def test_aliases_of_a_few_entities_do_not_crowd_out_the_others(tmp_path):
    crowd = [
        Entity(
            f"A{i}", f"Aa {i}", aliases=tuple(Alias(f"Aa {i} x{j}") for j in range(40))
        )
        for i in range(3)
    ]
    others = [Entity(f"B{i}", f"Aa long title {i}") for i in range(30)]
    kb = build_kb(crowd + others, tmp_path / "kb")
    assert len(search(kb, "Aa", 33)) == 33
