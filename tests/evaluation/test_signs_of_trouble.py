"""Signs of trouble, counted by hand."""

import pytest
from made_outcomes import outcome

from spacy_dwe.evaluation.signs import ATTRIBUTES, Trial, signs_of_trouble

DRAWS = 200


def decided(*ranks):
    """Each in a document of its own; a rank of None is a label of NIL."""
    return [
        outcome(
            rank,
            document=str(i),
            gold=None if rank is None else "Q1",
            predicted=None if rank is None else ("Q1" if rank == 1 else f"Q{rank}"),
        )
        for i, rank in enumerate(ranks)
    ]


def trial(*runs, without=()):
    made = Trial.of(runs[0])
    for number, run in enumerate(runs):
        made.whole[str(number)] = made.decided(run)
    for run in without:
        made.without.setdefault(ATTRIBUTES, []).append(made.decided(run))
    return made


def test_the_gap_is_of_mentions_of_entities():
    found = signs_of_trouble(trial(decided(1, 3, 9, None)), draws=DRAWS)
    assert (found["n"], found["n_mentions"], found["n_documents"]) == (3, 4, 4)
    own = found["gap"]["linkers"]["0"]
    assert own == found["gap"]["mean"]
    values = {name: measured["value"] for name, measured in own.items()}
    assert values == pytest.approx({"top1": 1 / 3, "top5": 2 / 3, "gap": 1 / 3}, 1e-4)
    low, high = own["gap"]["interval"]
    assert low <= 1 / 3 <= high
    assert found["seeds"] is None and found["without"] == {}


def test_seeds_are_told_apart_by_top1_and_by_links():
    """The second run links one of four to another; the third is wrong elsewhere."""
    runs = decided(1, 1, 2, None), decided(1, 3, 1, None), decided(1, 1, 1, None)
    seeds = signs_of_trouble(trial(*runs), draws=DRAWS)["seeds"]
    assert seeds["top1"] == pytest.approx([2 / 3, 2 / 3, 1], abs=1e-5)
    assert seeds["deviation"] == pytest.approx(3**0.5 / 9, abs=1e-5)
    assert (seeds["lowest"], seeds["highest"]) == (seeds["top1"][0], 1.0)
    assert seeds["changed"]["value"] == 0.5, "NIL counts: two of four"


def test_what_is_lost_is_paired_and_the_mean_over_seeds():
    whole = decided(1, 1, 2, 2), decided(1, 1, 1, 2)
    less = decided(2, 1, 2, 1), decided(2, 2, 1, 2)
    found = signs_of_trouble(trial(*whole, without=less), draws=DRAWS)
    measured = found["without"][ATTRIBUTES]
    assert measured["top1"]["value"] == (2 + 1) / 8
    assert measured["lost"]["value"] == ((2 - 2) + (3 - 1)) / 8
    assert measured["changed"]["value"] == (2 + 2) / 8


def test_without_labels_of_entities_there_is_no_top1():
    found = signs_of_trouble(trial(decided(None, None)), draws=DRAWS)
    assert found["gap"]["mean"]["top1"] == {"value": None, "interval": None}
