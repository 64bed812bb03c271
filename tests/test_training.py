"""Training the component, without files or commands."""

import pytest
import spacy
import torch
from spacy.tokens import Doc
from thinc.api import SGD, Adam
from tiny_world import (
    NAMES,
    PLACES,
    SMALL_MODEL,
    described_entities,
    example,
    linking_pipeline,
    train,
)

from spacy_dwe.building.build import build_kb
from spacy_dwe.encoders.registry import text_encoder
from spacy_dwe.errors import DweError
from spacy_dwe.linking.mentions import mentions_of
from spacy_dwe.training.labels import labelled_mentions

STILL = {
    "other_pictures": 0.0,
    "kb_pictures": 0.0,
    "channel_dropout": 0.0,
    "nil_dropout": 0.0,
}


def top1(nlp, examples):
    return nlp.evaluate(examples)["nel_top1"]


def weights(nlp):
    network = nlp.get_pipe("dwe_linker").network_shim.network
    return {name: value.clone() for name, value in network.state_dict().items()}


def changed(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_it_learns_what_only_pictures_tell(described_kb, trained, examples):
    zero_shot = linking_pipeline(described_kb)
    assert top1(zero_shot, examples(zero_shot)) < 0.7
    assert top1(trained, examples(trained)) > 0.9
    assert top1(trained, examples(trained, shades=(3,))) > 0.9, "an unseen shade"


def test_what_was_learned_survives_saving(trained, examples, tmp_path):
    trained.to_disk(tmp_path)
    for again in (
        spacy.load(tmp_path),
        spacy.blank("xx").from_config(trained.config).from_bytes(trained.to_bytes()),
    ):
        assert top1(again, examples(again)) == top1(trained, examples(trained))


def test_a_sentence_encoder_may_read_the_text(two_encoder_kb, examples):
    nlp = train(linking_pipeline(two_encoder_kb, model=SMALL_MODEL), examples)
    linker = nlp.get_pipe("dwe_linker")
    heads = linker.network_shim.network.spec.heads
    assert {name: (head.text, head.picture) for name, head in heads.items()} == {
        "description@text": (True, None),
        "description@clip": (False, "clip"),
    }
    assert top1(nlp, examples(nlp)) > 0.9


def test_pictures_of_entities_get_a_head(kb, examples):
    nlp = train(linking_pipeline(kb, model=SMALL_MODEL), examples, steps=2)
    heads = nlp.get_pipe("dwe_linker").network_shim.network.spec.heads
    assert heads.keys() == {"image@clip"}
    assert top1(nlp, examples(nlp)) > 0.9


@pytest.mark.parametrize(
    "settings",
    [
        {"use_images": False},
        {"channels": ["name", "prior", "facts", "text", "image"]},
        {"channels": ["name"]},
        {"channels": ["dwe"]},
        {"model": {**SMALL_MODEL, "states": "pooled", "decoder": False}},
    ],
)
def test_every_setting_trains_and_comes_back(
    described_kb, examples, tmp_path, settings
):
    nlp = linking_pipeline(described_kb, **{"model": SMALL_MODEL, **settings})
    train(nlp, examples, steps=2)
    before = top1(nlp, examples(nlp))
    nlp.to_disk(tmp_path)
    assert top1(spacy.load(tmp_path), examples(nlp)) == before


def test_without_pictures_the_network_reads_none(described_kb, examples):
    nlp = linking_pipeline(described_kb, model=SMALL_MODEL, use_images=False)
    train(nlp, examples, steps=30)
    assert nlp.get_pipe("dwe_linker").network_shim.network.spec.image_dim == 0
    assert top1(nlp, examples(nlp)) == pytest.approx(0.5)


def test_a_kb_without_vectors_trains_by_names(names_kb, examples):
    channels = ["name", "prior", "facts"]
    nlp = train(linking_pipeline(names_kb, channels=channels), examples, steps=2)
    assert top1(nlp, examples(nlp)) == pytest.approx(0.5)


def test_scoring_reads_the_sentences_that_linking_reads(described_kb, monkeypatch):
    nlp = linking_pipeline(described_kb, model=SMALL_MODEL)
    nlp.add_pipe("sentencizer", first=True)
    linker = nlp.get_pipe("dwe_linker")
    score, contexts = linker.score_mentions, []

    def noting(docs):
        contexts.extend(mention.context for mention in mentions_of(docs))
        return score(docs)

    monkeypatch.setattr(linker, "score_mentions", noting)
    text = "Rain fell. Georgia won. More rain fell."
    nlp.evaluate([example(nlp, text, ("Georgia", "Georgia-red"))])
    assert contexts == ["Georgia won."]


# Steps


@pytest.fixture
def still(described_kb, examples):
    """Initialised, and nothing in it is random."""
    nlp = linking_pipeline(described_kb, model={**SMALL_MODEL, **STILL})
    return train(nlp, examples, steps=0)


def test_gradients_add_up_until_the_step(still, examples):
    linker = still.get_pipe("dwe_linker")
    made = examples(still)
    parameters = dict(linker.network_shim.network.named_parameters())

    def gradients(*parts):
        for part in parts:
            linker.update(part, sgd=None)
        found = {n: p.grad.clone() for n, p in parameters.items() if p.grad is not None}
        for parameter in parameters.values():
            parameter.grad = None
        return found

    before = weights(still)
    first, second = made[:15], made[15:]
    a, b, both = gradients(first), gradients(second), gradients(first, second)
    assert not changed(before, weights(still))
    assert a.keys() == both.keys() and len(a) > 10
    for name, gradient in both.items():
        torch.testing.assert_close(gradient, a[name] + b[name], atol=1e-5, rtol=1e-4)
    linker.update(made)
    linker.finish_update(Adam(0.01))
    assert changed(before, weights(still))


def test_the_optimizer_rules(still, examples):
    made = examples(still)
    before = weights(still)
    still.update(made, sgd=Adam(0.0))
    assert not changed(before, weights(still)), "as in the first step of a warm-up"
    still.update(made, sgd=Adam(0.01))
    moved = changed(before, weights(still))
    assert "combiner.weight" in moved
    assert any(name.startswith("mention_encoder") for name in moved)
    with pytest.raises(DweError, match=r"E513.*Adam\.v1"):
        still.update(made, sgd=SGD(0.01))


def test_a_loss_that_is_not_finite_stops_the_training(still, examples):
    network = still.get_pipe("dwe_linker").network_shim.network
    with torch.no_grad():
        network.combiner.weight[0] = torch.nan
    with pytest.raises(DweError, match=r"E512.*learning rate"):
        still.update(examples(still), sgd=Adam(0.01))


def test_frozen_encoders_run_once_an_input(described_kb, examples, monkeypatch):
    from spacy_dwe.encoders.clip import ClipEncoder

    seen = {"encode_images": 0, "encode_mentions": 0}

    def count(name):
        encode = getattr(ClipEncoder, name)

        def counted(self, inputs, *args):
            seen[name] += len(inputs)
            return encode(self, inputs, *args)

        monkeypatch.setattr(ClipEncoder, name, counted)

    count("encode_images")
    count("encode_mentions")
    nlp = linking_pipeline(described_kb, model=SMALL_MODEL)
    train(nlp, examples, steps=5)
    top1(nlp, examples(nlp))
    assert seen == {"encode_images": 2 * 2, "encode_mentions": len(NAMES)}


# Labels


def test_a_gold_that_was_not_found_teaches_nil(described_kb, examples, picture):
    nlp = linking_pipeline(described_kb, model=SMALL_MODEL)
    golds = {"Georgia": "Korea-red", "Samoa": "Q404", "Congo": "NIL"}

    def of_nil(nlp, shades=(0,)):
        return [
            example(nlp, f"We saw {name} again.", (name, gold))
            for name, gold in golds.items()
        ]

    before = [m.nil_probability for m in predict(nlp, of_nil(nlp))]
    train(nlp, of_nil, steps=30)
    after = [m.nil_probability for m in predict(nlp, of_nil(nlp))]
    assert all(a > b for a, b in zip(after, before))
    assert min(after) > 0.5


class TestNilByTheWordsBeside:
    """The same names, NIL in one company and an entity in another."""

    @pytest.fixture
    def nlp(self, described_kb):
        nlp = linking_pipeline(described_kb, model=SMALL_MODEL)
        nlp.initialize(lambda: self.examples(nlp))
        return nlp

    def examples(self, nlp, nil="NIL"):
        golds = {"Georgia": "Georgia-red", "Samoa": "Samoa-red"}
        return [
            example(nlp, text.format(name), (name, gold))
            for name, known in golds.items()
            for text, gold in (("We saw {} again.", known), ("The {} wine.", nil))
        ]

    def nil(self, nlp):
        return [m.nil_probability for m in predict(nlp, self.examples(nlp))]

    def test_labels_tell_the_companies_apart(self, nlp, tmp_path):
        found = self.nil(nlp)
        assert min(found[1::2]) > max(found[0::2]) + 0.1
        nlp.to_disk(tmp_path)
        assert self.nil(spacy.load(tmp_path)) == pytest.approx(found, abs=1e-6)

    def test_without_such_labels_they_are_not_read(self, described_kb):
        nlp = linking_pipeline(described_kb, model=SMALL_MODEL)
        nlp.initialize(lambda: self.examples(nlp, nil="Georgia-blue"))
        assert not nlp.get_pipe("dwe_linker").network_shim.network.spec.edge_width

    def test_without_the_text_channel_they_are_not_read(self, nlp):
        nlp.get_pipe("dwe_linker").channels = ["name", "prior", "facts"]
        found = self.nil(nlp)
        assert found[1::2] == pytest.approx(found[0::2], abs=1e-6)

    def test_a_kb_of_another_encoder_is_refused(self, nlp, world, tmp_path):
        other = build_kb(
            described_entities(),
            tmp_path / "other.kb",
            text_encoder=text_encoder(str(world / "bert"), device="cpu"),
        )
        linker = nlp.get_pipe("dwe_linker")
        linker.channels = ["name", "text"]
        linker.load_kb(other.path)
        with pytest.raises(DweError, match="E511"):
            self.nil(nlp)


def predict(nlp, examples):
    docs = [Doc(nlp.vocab).from_bytes(e.reference.to_bytes()) for e in examples]
    return nlp.get_pipe("dwe_linker").predict(docs)


def test_unlabelled_mentions_are_left_out(still):
    both = example(still, "Georgia and Samoa.", ("Georgia", ""), ("Samoa", "Samoa-red"))
    mentions, golds = labelled_mentions([both], use_gold_ents=True)
    assert [m.text for m in mentions] == ["Samoa"] and golds == ["Samoa-red"]
    none = [example(still, "Georgia won.", ("Georgia", "")), example(still, "Rain.")]
    before = weights(still)
    assert still.update(none, sgd=Adam(0.01)) == {"dwe_linker": 0.0}
    assert not changed(before, weights(still))
    assert top1(still, none) is None


def test_examples_without_any_label_are_refused(kb, pipeline):
    nlp = pipeline(kb)
    made = [example(nlp, "Georgia won.", ("Georgia", ""))]
    with pytest.raises(DweError, match="E505"):
        nlp.initialize(lambda: made)


def test_the_network_needs_vectors_to_compare_with(names_kb, pipeline, examples):
    nlp = pipeline(names_kb)
    with pytest.raises(DweError, match=r"E506.*names\.kb.*--clip"):
        nlp.initialize(lambda: examples(nlp))


@pytest.fixture
def recognising(described_kb, examples):
    """A ruler that knows half of the names, and a linker that trains on its finds."""
    nlp = linking_pipeline(described_kb, model=SMALL_MODEL, use_gold_ents=False)
    ruler = nlp.add_pipe("entity_ruler", first=True)
    nlp.initialize(lambda: examples(nlp))
    known = [{"label": "PLACE", "pattern": name} for name in NAMES[:5]]
    ruler.add_patterns(known)
    return nlp


def test_training_on_what_the_pipeline_recognises(recognising, examples):
    made = examples(recognising)
    losses = recognising.update(made, sgd=Adam(0.01), annotates=["entity_ruler"])
    assert losses["dwe_linker"] > 0
    for each in made:
        each.predicted = recognising.get_pipe("entity_ruler")(each.predicted)
    mentions, golds = labelled_mentions(made, use_gold_ents=False)
    assert {mention.text for mention in mentions} == set(NAMES[:5])
    assert len(golds) == len(PLACES)
    assert all(mention.images for mention in mentions)
