"""Each rule on a miss made for it, and the order between them."""

from dataclasses import replace

import pytest

from spacy_dwe.evaluation.causes import (
    RULES,
    bears,
    cause_of,
    nearly_same,
    same_title,
    shared_words,
    title_and_meaning,
)
from spacy_dwe.evaluation.evaluate import evaluate_docs
from spacy_dwe.evaluation.misses import Miss
from spacy_dwe.evaluation.outcomes import MISS
from spacy_dwe.kb.entity import Alias, Entity

COUNTRY = Entity("Q1", "Georgia", "a country at the Black Sea, in the Caucasus")
STATE = Entity("Q2", "Georgia", "a state of the United States in the south east")
TECH = Entity("Q3", "Georgia Tech", "a university in Atlanta in the United States")
ATLANTA = Entity("Q4", "Atlanta", "the capital of the state of Georgia in the south")


@pytest.fixture
def miss(nlp, linker, labelled):
    """Make a miss: the country should have won, the state did, by its text."""
    doc = labelled("Georgia won.", (0, 1, "Q1"))
    (outcome,) = evaluate_docs(nlp, linker, [doc], draws=0).outcomes

    def make(mention="Georgia", outcome=outcome, rank=2.0, predicted="Q2", **changes):
        known = {"gold": COUNTRY, "winner": STATE, "gold_at": 1, "winner_at": 0}
        votes = {"differences": {"text": -1.0}, "evidence": {"name": 3.0, "text": 1.0}}
        flags = ("tied", "with_images", "pictured", "added")
        fields = {**known, **votes, **dict.fromkeys(flags, False), **changes}
        gold = fields["gold"]
        outcome = replace(
            outcome,
            text=mention,
            gold="Q1" if gold is None else gold.id,
            in_kb=gold is not None,
            rank=rank,
            predicted=predicted,
        )
        return Miss(index=0, outcome=outcome, **fields)

    return make


def unscored(**changes):
    return {"differences": {}, "gold_at": None, "rank": MISS, **changes}


CASES = {
    "not_in_kb": unscored(gold=None),
    "not_retrieved": unscored(),
    "nil_won": {"winner": COUNTRY, "gold_at": 0, "rank": 1.0, "differences": {}},
    "near_duplicate": {
        "winner": replace(STATE, description=COUNTRY.description + ", old")
    },
    "image_missing": {
        "winner": replace(STATE, images=("flag.png",)),
        "differences": {"text": -2.0, "image": -1.0},
    },
    "image_misled": {"differences": {"text": 1.0, "image": -3.0}},
    "same_title": {},
    "name_differs": {"mention": "Hotlanta", "gold": ATLANTA, "winner": TECH},
    "description_missing": {"gold": replace(TECH, description="")},
    "winner_named": {"gold": TECH},
    "shared_name": {"gold": TECH, "winner": replace(STATE, title="Georgia Bulldogs")},
    "description_short": {
        "mention": "Georgia Institute",
        "gold": replace(TECH, description="A university."),
        "winner": ATLANTA,
    },
    "mention_added": {
        "mention": "Georgia Institute",
        "gold": TECH,
        "winner": ATLANTA,
        "added": True,
    },
    "tied": {
        "mention": "Georgia Institute",
        "gold": TECH,
        "winner": ATLANTA,
        "differences": {"text": 0.0},
        "tied": True,
    },
}


@pytest.mark.parametrize("cause", CASES)
def test_every_rule_has_its_miss(miss, cause):
    verdict = cause_of(miss(**CASES[cause]))
    assert verdict.cause == cause
    assert cause in verdict.tags


def test_no_rule_is_left_out():
    assert [*RULES] == ["nil_linked", *CASES]


def test_a_link_where_nil_is_right_says_by_what_evidence(miss):
    example = miss(**unscored(gold=None, rank=None))
    example = replace(example, outcome=replace(example.outcome, gold=None))
    verdict = cause_of(example)
    assert verdict.cause == "nil_linked"
    assert {"exact_name", "evidence:name"} <= set(verdict.tags)
    other = replace(example, outcome=replace(example.outcome, text="Georgie"))
    assert "other_name" in cause_of(other).tags


OTHERWISE = {"mention": "Georgia Institute", "gold": TECH, "winner": ATLANTA}


def test_a_channel_for_the_gold_is_outvoted_by_the_strongest_against(miss):
    differences = {"name": 2.0, "text": -3.0, "facts": -0.5, "prior": 0.01}
    verdict = cause_of(miss(**OTHERWISE, differences=differences))
    assert verdict.cause == "outvoted_by_text"
    assert title_and_meaning(verdict.cause)[0] == "Outvoted by text"
    votes = [tag for tag in verdict.tags if ":" in tag]
    assert votes == ["for:name", "against:text", "against:facts"]


def test_without_any_vote_for_the_gold_a_channel_misled(miss):
    verdict = cause_of(miss(**OTHERWISE, differences={"name": -0.2, "text": -3.0}))
    assert verdict.cause == "misled_by_text"
    close = cause_of(miss(**OTHERWISE, differences={"name": -0.02, "text": -0.01}))
    assert close.cause == "misled_by_name"


@pytest.mark.parametrize(
    ("rank", "tag"),
    [(1.5, "rank_2_5"), (5, "rank_2_5"), (6, "rank_6_20"), (21, "rank_beyond_20")],
)
def test_the_rank_of_the_gold_is_a_tag(miss, rank, tag):
    assert tag in cause_of(miss(rank=rank)).tags


def test_pictures_are_a_matter_only_where_the_run_used_them(miss):
    unused = cause_of(miss()).tags
    assert not {"gold_unpictured", "mention_unpictured"} & set(unused)
    used = cause_of(miss(with_images=True)).tags
    assert {"gold_unpictured", "mention_unpictured"} <= set(used)


def test_chosen_nil_is_a_tag_of_a_miss_that_another_entity_leads(miss):
    verdict = cause_of(miss(predicted=None))
    assert verdict.cause == "same_title"
    assert "nil_predicted" in verdict.tags


def test_titles_are_the_same_but_for_a_bracket():
    assert same_title("Fred (footballer, born 1979)", "FRED (singer)")
    assert same_title("Córdoba", "Cordoba")
    assert not same_title("(Georgia)", "(Samoa)")
    assert not same_title("Georgia", "Georgia Tech")


def test_entities_without_descriptions_are_no_duplicates():
    assert nearly_same(COUNTRY, replace(COUNTRY, id="Q9", title="Georgias"))
    assert not nearly_same(COUNTRY, STATE)
    bare = replace(COUNTRY, description="")
    assert not nearly_same(bare, bare)


def test_words_of_a_mention_stand_in_one_name_of_the_entity():
    peach = replace(STATE, aliases=(Alias("Peach State"),))
    assert shared_words("peach state's", peach) == 1
    assert shared_words("Peach Georgia", peach) == 0.5
    assert shared_words("P. State", peach) == 1
    assert shared_words("Georgian", peach) == 0
    assert bears(peach, "PEACH STATE")
    assert not bears(peach, "Peach")
