"""Links of the mentions that the pipeline itself finds."""

import pytest

from spacy_dwe.documents import Document, MentionRecord, make_docs
from spacy_dwe.errors import DweError
from spacy_dwe.evaluation.end_to_end import evaluate_end_to_end


@pytest.fixture
def finding(nlp):
    """The pipeline, with a component that finds these words."""
    ruler = nlp.add_pipe("entity_ruler", before="dwe_linker")
    words = ("Sakartvelo", "Samoa", "Atlantis", "Peach State")
    ruler.add_patterns([{"label": "LOC", "pattern": word} for word in words])
    return nlp


def test_precision_and_recall_by_hand(finding, labelled):
    docs = [
        # Found and right; the label of "Georgia" is not found.
        labelled("Sakartvelo is Georgia", (0, 1, "Q1"), (2, 3, "Q1"), name="1"),
        # Found, but linked to another entity than the label's.
        labelled("Samoa won", (0, 1, "Q4"), name="2"),
        # Found, but nobody labelled it.
        labelled("The Peach State voted", name="3"),
        labelled("Atlantis sank", (0, 1, "NIL"), name="4"),
    ]
    measured = evaluate_end_to_end(finding, docs, draws=200)
    assert measured["n_predicted"] == 4
    assert measured["n_labelled"] == 4
    assert measured["mention_p"] == pytest.approx(3 / 4)
    assert measured["mention_r"] == pytest.approx(3 / 4)
    # Three links, one right; three labels that are entities.
    assert measured["micro_p"] == pytest.approx(1 / 3, abs=1e-6)
    assert measured["micro_r"] == pytest.approx(1 / 3, abs=1e-6)
    assert measured["micro_f"] == pytest.approx(1 / 3, abs=1e-6)
    assert measured["nil_f"] == 1.0
    assert measured["in_kb_accuracy"] == 0.5
    low, high = measured["intervals"]["micro_f"]
    assert 0 <= low < 1 / 3 < high <= 1


def test_a_mention_whose_label_nobody_gave_counts_for_nothing(finding, labelled):
    docs = [labelled("Samoa beat Sakartvelo", (0, 1, ""), (2, 3, "Q1"))]
    measured = evaluate_end_to_end(finding, docs)
    assert measured["n_predicted"] == 1
    assert measured["micro_f"] == 1.0


def test_a_text_whose_labels_overlap_is_read_once(finding):
    mentions = (
        MentionRecord(0, 14, "Q4", labelled=True),
        MentionRecord(9, 14, "Q3", labelled=True),
    )
    docs = make_docs(finding, Document("1", "American Samoa won", (), mentions), True)
    assert len(docs) == 2
    measured = evaluate_end_to_end(finding, docs)
    assert (measured["n_predicted"], measured["n_labelled"]) == (1, 2)
    assert measured["micro_p"] == 1.0
    assert measured["micro_r"] == 0.5


def test_the_labels_are_not_changed(finding, labelled):
    doc = labelled("Sakartvelo won", (0, 1, "Q2"))
    evaluate_end_to_end(finding, [doc])
    assert [ent.kb_id_ for ent in doc.ents] == ["Q2"]


def test_a_pipeline_that_finds_no_mentions_is_told(nlp, labelled):
    with pytest.raises(DweError, match=r"sets doc\.ents before the linker"):
        evaluate_end_to_end(nlp, [labelled("Samoa won", (0, 1, "Q3"))])
