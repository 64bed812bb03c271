import json

import numpy as np
import pytest

from spacy_dwe.errors import DweError
from spacy_dwe.evaluation.outcomes import (
    MISS,
    Gold,
    gold_mentions,
    is_linked,
    outcomes_of,
    rank_of,
)
from spacy_dwe.kb.knowledge_base import DweKnowledgeBase
from spacy_dwe.linking.annotate import ScoredMention


@pytest.fixture(scope="module")
def kb(kb_path):
    return DweKnowledgeBase(kb_path)


def scored(rows, scores, *, text="Georgia", nil_score=-9.0):
    weights = np.exp(np.array([*scores, nil_score]))
    probabilities = (weights / weights.sum()).astype(np.float32)
    return ScoredMention(
        doc=0,
        start=0,
        end=len(text),
        text=text,
        rows=np.array(rows, dtype=np.int32),
        found_by=np.ones(len(rows), dtype=np.uint8),
        places=np.arange(len(rows), dtype=np.int32),
        scores=np.array(scores, dtype=np.float32),
        probabilities=probabilities[:-1],
        nil_score=nil_score,
        nil_probability=float(probabilities[-1]),
        nil_features=np.zeros(4, np.float32),
        contributions={"name": np.array(scores, dtype=np.float32)},
    )


def test_ties_share_the_middle_of_their_ranks():
    mention = scored([5, 6, 7, 8], [2.0, 1.0, 1.0, 0.0])
    assert [rank_of(mention, row) for row in (5, 6, 7, 8)] == [1, 2.5, 2.5, 4]
    all_equal = scored([5, 6, 7], [1.0, 1.0, 1.0])
    assert {rank_of(all_equal, row) for row in (5, 6, 7)} == {2}


def test_scores_closer_than_rounding_are_ties():
    mention = scored([5, 6], [1.000001, 1.000002])
    assert rank_of(mention, 5) == rank_of(mention, 6) == 1.5


def test_an_entity_that_is_no_candidate_is_a_miss():
    mention = scored([5, 6], [2.0, 1.0])
    assert rank_of(mention, 7) == MISS
    assert rank_of(mention, -1) == MISS
    assert rank_of(scored([], []), 5) == MISS


def test_outcome_of_a_link(kb):
    georgia, state = kb.rows_of(["Q1", "Q2"])
    (outcome,) = outcomes_of(
        kb, [scored([state, georgia], [3.0, 1.0])], [Gold("d", "Q1", ("undecidable",))]
    )
    assert outcome.predicted == "Q2"
    assert not outcome.correct
    assert outcome.retrieved
    assert outcome.rank == 2
    assert outcome.found_within == 2
    assert outcome.chance == 0.5
    assert outcome.groups == ("undecidable",)


def test_gold_outside_the_kb_is_a_miss_and_is_not_injected(kb):
    (state,) = kb.rows_of(["Q2"])
    (outcome,) = outcomes_of(kb, [scored([state], [3.0])], [Gold("d", "Q999")])
    assert not outcome.in_kb
    assert not outcome.retrieved
    assert outcome.n_candidates == 1
    record = outcome.to_json()
    assert record["rank"] is None
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_chance_is_a_draw_among_all_candidates_where_no_name_is_equal(kb):
    rows = kb.rows_of(["Q1", "Q2", "Q3"])
    mention = scored(rows, [3.0, 2.0, 1.0], text="Gergia")
    (outcome,) = outcomes_of(kb, [mention], [Gold("d", "Q1")])
    assert outcome.chance == pytest.approx(1 / 3)
    (outcome,) = outcomes_of(kb, [mention], [Gold("d", "Q4")])
    assert outcome.chance == 0


def test_nil_wins_by_its_probability_or_by_the_threshold(kb):
    (state,) = kb.rows_of(["Q2"])
    likely_nil = scored([state], [0.0], nil_score=1.0)
    assert not is_linked(likely_nil, threshold=0.0)
    unsure = scored([state], [0.0], nil_score=-0.5)
    assert is_linked(unsure, threshold=0.5)
    assert not is_linked(unsure, threshold=0.9)
    (outcome,) = outcomes_of(kb, [unsure], [Gold("d", None)], threshold=0.9)
    assert outcome.correct
    assert outcome.rank is None
    assert outcome.probability == pytest.approx(unsure.nil_probability)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_no_number_is_an_error_that_names_the_document(kb, value):
    (state,) = kb.rows_of(["Q2"])
    mention = scored([state], [0.0])
    mention.scores[0] = value
    with pytest.raises(DweError, match="document article-7"):
        outcomes_of(kb, [mention], [Gold("article-7", "Q2")])


def test_gold_mentions_hide_the_labels_and_leave_out_unlabelled_ones(labelled):
    reference = labelled(
        "Georgia beat Samoa in Atlanta", (0, 1, "Q1"), (2, 3, ""), (4, 5, "NIL")
    )
    reference._.images = ["flag.jpg"]
    doc, golds = gold_mentions(reference, "unnamed")
    assert [ent.text for ent in doc.ents] == ["Georgia", "Atlanta"]
    assert {ent.kb_id_ for ent in doc.ents} == {""}
    assert golds == [Gold("d1", "Q1"), Gold("d1", None)]
    assert doc._.images == reference._.images
    assert [ent.kb_id_ for ent in reference.ents] == ["Q1", "", "NIL"]
