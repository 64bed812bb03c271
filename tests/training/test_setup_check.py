"""Mistakes in the set-up of a run are named, once, at the first chance."""

import warnings

import pytest
import spacy
from thinc.api import Adam
from tiny_world import NAMES, SMALL_MODEL, example, linking_pipeline


def messages_of(run):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run()
    texts = [str(warning.message) for warning in caught]
    assert all("\n" not in text for text in texts)
    return texts


def labelled(nlp, *golds, name="Georgia"):
    return [example(nlp, f"We saw {name}.", (name, gold)) for gold in golds]


def initialised(kb, golds, **settings):
    """A pipeline, and what it said when it saw its examples."""
    nlp = linking_pipeline(kb, **{"model": SMALL_MODEL, **settings})
    made = labelled(nlp, *golds)
    return nlp, messages_of(lambda: nlp.initialize(lambda: made))


def updated(nlp, made, times=12):
    sgd = Adam(0.0)
    return messages_of(lambda: [nlp.update(made, sgd=sgd) for _ in range(times)])


UNKNOWN = [f"P{i}" for i in range(5)]
KNOWN = ["Georgia-red", "Georgia-blue", "Korea-red"]


@pytest.mark.parametrize("golds", [KNOWN, [*KNOWN, "P1", "P2", "P3", "NIL"]])
def test_golds_that_are_in_the_kb_are_nothing_to_tell(described_kb, golds):
    assert initialised(described_kb, golds)[1] == []


def test_no_gold_in_the_kb(described_kb):
    _, (message,) = initialised(described_kb, UNKNOWN)
    assert "W502" in message and "None of the 5" in message
    assert str(described_kb) in message
    assert "P0, P1, P2;" in message, "three of the data"
    assert message.count("Georgia-") + message.count("Congo-") == 3, "and of the KB"


def test_few_golds_in_the_kb(described_kb):
    _, (message,) = initialised(described_kb, [*KNOWN[:2], *UNKNOWN, "NIL"])
    assert "W503" in message and "Only 2 of the 7" in message
    assert message.endswith("P0, P1, P2")


def test_only_nil(described_kb):
    _, (message,) = initialised(described_kb, ["NIL"])
    assert "W505" in message and "NIL" in message


def test_one_candidate_leaves_nothing_to_learn(described_kb):
    nlp, said = initialised(described_kb, KNOWN[:1], n_candidates=1)
    assert said == []
    (message,) = updated(nlp, labelled(nlp, *[KNOWN[0]] * 40))
    assert "W504" in message and "200" in message and "(now 1)" in message


def test_one_mention_with_a_choice_is_enough(described_kb):
    nlp, _ = initialised(described_kb, KNOWN[:1])
    made = labelled(nlp, *[KNOWN[0]] * 40) + labelled(nlp, "Q1", name="Nowhere")
    assert updated(nlp, made) == []


def test_a_continued_run_is_told_of_its_labels_too(described_kb, tmp_path):
    nlp, _ = initialised(described_kb, KNOWN)
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    (message,) = updated(again, labelled(again, *UNKNOWN * 10))
    assert "W502" in message


class TestRecognition:
    """With `use_gold_ents = false`."""

    @pytest.fixture
    def recognising(self, described_kb, examples):
        nlp = linking_pipeline(described_kb, model=SMALL_MODEL, use_gold_ents=False)
        ruler = nlp.add_pipe("entity_ruler", first=True)
        nlp.initialize(lambda: examples(nlp))
        ruler.add_patterns([{"label": "PLACE", "pattern": name} for name in NAMES[:1]])
        return nlp

    def test_a_recogniser_that_does_not_annotate(self, recognising, examples):
        (message,) = updated(recognising, examples(recognising))
        assert "W500" in message and "annotating_components" in message

    def test_a_batch_without_entities_is_no_mistake(self, recognising, examples):
        made = examples(recognising)
        first, others = made[:4], made[4:]

        def run():
            for batch in (others[:30], first, others, others, others, others, others):
                recognising.update(batch, sgd=Adam(0.0), annotates=["entity_ruler"])

        assert messages_of(run) == []
