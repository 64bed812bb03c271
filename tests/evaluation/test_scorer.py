import pytest
import spacy
from spacy.tokens import Span
from spacy.training import Example

from spacy_dwe.evaluation.scorer import make_linker_scorer

SCORES = {
    "nel_top1",
    "nel_mrr",
    "nel_recall_100",
    "nel_nil_f",
    "nel_micro_p",
    "nel_micro_r",
    "nel_micro_f",
}


def example(nlp, reference):
    """As spacy.Corpus makes it: the predicted document holds only the text."""
    return Example(nlp.make_doc(reference.text), reference)


def test_gold_mentions_are_linked_though_nothing_was_predicted(nlp, labelled):
    references = [
        labelled("They flew to American Samoa.", (3, 5, "Q4"), name="1"),
        labelled("Sakartvelo won in Atlanta.", (0, 1, "Q1"), (3, 4, "NIL"), name="2"),
    ]
    scores = nlp.evaluate([example(nlp, reference) for reference in references])
    assert scores["nel_top1"] == 1.0
    assert scores["nel_mrr"] == 1.0
    assert scores["nel_recall_100"] == 1.0
    assert scores["nel_micro_f"] == 1.0


def test_unlabelled_mentions_are_in_no_score(nlp, labelled):
    reference = labelled("Sakartvelo beat Georgia.", (0, 1, "Q1"), (2, 3, ""))
    eg = example(nlp, reference)
    eg.predicted.set_ents(
        [Span(eg.predicted, 0, 1, label="LOC"), Span(eg.predicted, 2, 3, label="LOC")]
    )
    scores = nlp.evaluate([eg])
    assert scores["nel_top1"] == 1.0
    assert scores["nel_micro_p"] == 1.0


def test_end_to_end_scores_count_mentions_that_were_not_found(nlp, labelled):
    reference = labelled("Sakartvelo beat American Samoa.", (0, 1, "Q1"), (2, 4, "Q4"))
    eg = example(nlp, reference)
    eg.predicted.set_ents([Span(eg.predicted, 0, 1, label="LOC")])
    scores = nlp.evaluate([eg])
    assert scores["nel_top1"] == 1.0
    assert scores["nel_micro_p"] == 1.0
    assert scores["nel_micro_r"] == 0.5
    assert scores["nel_micro_f"] == pytest.approx(2 / 3)


def test_scores_are_floats_or_none(nlp, labelled):
    reference = labelled("Nothing to see here.")
    scores = make_linker_scorer()(
        [example(nlp, reference)], linker=nlp.get_pipe("dwe_linker")
    )
    assert set(scores) == SCORES
    assert set(scores.values()) == {None}


def test_without_a_linker_only_links_are_scored(nlp, labelled):
    reference = labelled("Sakartvelo won.", (0, 1, "Q1"))
    scores = make_linker_scorer()([Example(reference.copy(), reference)])
    assert scores["nel_top1"] is None
    assert scores["nel_micro_f"] == 1.0


def test_the_reference_is_not_changed(nlp, labelled):
    reference = labelled("Sakartvelo won.", (0, 1, "Q1"))
    before = reference.to_bytes()
    nlp.evaluate([example(nlp, reference)])
    assert reference.to_bytes() == before


def test_the_scorer_is_registered():
    scorer = spacy.registry.scorers.get("spacy-dwe.LinkerScorer.v1")
    assert scorer is make_linker_scorer
