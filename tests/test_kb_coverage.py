"""How much of the world the KB covers: what is set, and what training saw."""

import math
import warnings

import pytest
import spacy
from tiny_world import NAMES, SMALL_MODEL, example, linking_pipeline, train

from spacy_dwe.building.build import build_kb
from spacy_dwe.kb.entity import Entity
from spacy_dwe.model.combiner import (
    DEFAULT_COVERAGE,
    FITTED_COVERAGE,
    coverage_shift,
    log_odds,
)

FEATURES = {**SMALL_MODEL, "head": "linear", "channel_dropout": 0.0}


def scored(nlp, name="Georgia"):
    doc = nlp.make_doc(f"We saw {name}.")
    doc.ents = [doc.char_span(7, 7 + len(name), label="PLACE")]
    return nlp.get_pipe("dwe_linker").score_mentions([doc])[0]


def odds(mention):
    return math.log(1 - mention.nil_probability) - math.log(mention.nil_probability)


def linker_of(nlp):
    return nlp.get_pipe("dwe_linker")


def test_the_shift_is_the_odds_of_the_two_shares():
    assert coverage_shift(0.3, 0.3) == 0.0
    assert coverage_shift(0.5, 0.2) == pytest.approx(math.log(0.2 / 0.8))
    assert coverage_shift(0.2, 0.5) > 0 > coverage_shift(0.9, 0.5)
    for share in (0.0, 1.0):
        assert math.isfinite(coverage_shift(share, 0.2))
        assert math.isfinite(coverage_shift(0.2, share))


def test_untrained_a_constant_is_assumed_and_another_was_fitted(names_kb):
    nlp = linking_pipeline(names_kb)
    assert linker_of(nlp).coverages == (DEFAULT_COVERAGE, FITTED_COVERAGE)
    default = odds(scored(nlp))
    linker_of(nlp).kb_coverage = DEFAULT_COVERAGE
    assert odds(scored(nlp)) == pytest.approx(default)
    linker_of(nlp).kb_coverage = 0.9
    moved = odds(scored(nlp)) - default
    assert moved == pytest.approx(log_odds(0.9) - log_odds(DEFAULT_COVERAGE), abs=1e-3)


def test_candidates_keep_their_order_and_their_odds(names_kb):
    nlp = linking_pipeline(names_kb)
    before = scored(nlp, "Georgias")
    linker_of(nlp).kb_coverage = 0.05
    after = scored(nlp, "Georgias")
    assert before.rows.tolist() == after.rows.tolist()
    assert before.scores.tolist() == after.scores.tolist()
    assert before.probabilities[0] > after.probabilities[0]
    assert after.nil_score > before.nil_score


def test_one_is_the_closed_world_and_zero_an_empty_kb(names_kb):
    nlp = linking_pipeline(names_kb)
    assert scored(nlp, "Georgi").rows.size
    linker_of(nlp).kb_coverage = 1
    assert scored(nlp, "Georgi").nil_probability < 1e-3
    linker_of(nlp).kb_coverage = 0
    assert scored(nlp).nil_probability > 1 - 1e-3
    linker_of(nlp).kb_coverage = 1
    assert not scored(nlp, "Xqzvk").rows.size
    assert scored(nlp, "Xqzvk").nil_probability == 1


def labelled(nlp, golds):
    return [example(nlp, f"We saw {name}.", (name, gold)) for name, gold in golds]


def trained_on(kb, golds, steps=0, channels=(), **model):
    chosen = {"channels": [*channels]} if channels else {}
    nlp = linking_pipeline(kb, model={**FEATURES, **model}, **chosen)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return train(nlp, lambda nlp: labelled(nlp, golds), steps=steps)


INSIDE = [(name, f"{name}-red") for name in NAMES]


@pytest.mark.parametrize(
    "more, labelled_nil, expected",
    [
        ([], False, 0.9),
        ([("Georgia", "NIL")] * 10, True, 0.5),
        ([("Georgia", "Q1")] * 10, True, 0.5),
        ([("Georgia", "NIL")] * 5 + [("Korea", "Q1")] * 5, True, 0.5),
    ],
    ids=["golds taken away", "NIL", "not in the KB", "both"],
)
def test_training_remembers_what_share_it_saw(
    described_kb, tmp_path, more, labelled_nil, expected
):
    nlp = trained_on(described_kb, INSIDE + more)
    assert linker_of(nlp).nil_is_labelled == labelled_nil
    assert linker_of(nlp).coverages == pytest.approx((expected, expected))
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    assert linker_of(again).coverages == pytest.approx((expected, expected))
    linker_of(again).kb_coverage = 0.3
    moved = odds(scored(again)) - odds(scored(nlp))
    assert moved == pytest.approx(log_odds(0.3) - log_odds(expected), abs=1e-2)


def test_few_entities_that_the_kb_lacks_leave_nil_to_golds_taken_away(described_kb):
    golds = INSIDE * 3 + [("Georgia", "Q1")]
    nlp = trained_on(described_kb, golds)
    assert not linker_of(nlp).nil_is_labelled
    assert linker_of(nlp).coverages[0] == pytest.approx(0.9 * 30 / 31)
    assert linker_of(trained_on(described_kb, golds, nil_dropout=0.0)).nil_is_labelled


def test_a_run_that_continues_counts_its_own_mentions(described_kb, tmp_path):
    trained_on(described_kb, INSIDE).to_disk(tmp_path)
    nlp = spacy.load(tmp_path)
    made = labelled(nlp, [*INSIDE, *[("Georgia", "Q1")] * 30])
    sgd = nlp.resume_training()
    for _ in range(6):
        nlp.update(made, sgd=sgd)
    assert linker_of(nlp).nil_is_labelled
    assert linker_of(nlp).coverages[0] == pytest.approx(0.25)


def test_real_mentions_of_what_a_cut_kb_lacks_teach_nil(world, bert, tmp_path):
    """A fifth of the entities, named by one word; the others are called by it and a
    second one, which golds taken away would not show where names are not compared."""
    rest = [f"{name} Xq{n}" for n, name in enumerate(NAMES[:8])]
    kept = [Entity(name, name, f"The place {name}.") for name in NAMES[:2]]
    kb = build_kb(kept, tmp_path / "cut.kb", text_encoder=bert).path
    golds = [(name, name) for name in NAMES[:2]] * 4
    golds += [(name, name) for name in [*rest[:2], *NAMES[2:8]]] * 4
    nlp = trained_on(kb, golds, channels=["prior", "text"])
    linker = linker_of(nlp)
    assert linker.nil_is_labelled and linker.coverages[0] == pytest.approx(0.2)
    assert linker.network_shim.network.spec.edge_width, "edges of mentions are read"
    assert scored(nlp, NAMES[0]).nil_probability < 0.5
    assert scored(nlp, rest[0]).nil_probability > 0.5
    taken_away = trained_on(kb, golds[:8], channels=["prior", "text"])
    assert scored(taken_away, rest[0]).nil_probability < 0.5


def test_what_was_saved_without_it_links_as_it_did(described_kb, tmp_path):
    nlp = trained_on(described_kb, INSIDE)
    expected = scored(nlp).nil_score
    linker = linker_of(nlp)
    state = linker._state(None)
    del state["coverage"]
    linker._set_state(state, None)
    assert linker.coverages == pytest.approx((0.9, 0.9)), "a tenth was taken away"
    assert scored(nlp).nil_score == expected
    linker.nil_is_labelled = True
    assert linker.coverages == (0.5, 0.5)
    assert scored(nlp).nil_score == expected
