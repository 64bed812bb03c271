"""A run that goes on from another's model-last, without files of settings."""

import shutil
import warnings

import pytest
import spacy
import srsly
import torch
from spacy.util import fix_random_seed
from thinc.api import Adam
from tiny_world import SMALL_MODEL, example, linking_pipeline, train

from spacy_dwe.bundle import bundle
from spacy_dwe.training.state import OPTIMIZER_FILE

STEPS = 4


def update(nlp, made, steps=STEPS):
    optimizer = Adam(0.01)
    for step in range(steps):
        # Dropout, of network, channels and golds, draws the same in either run.
        fix_random_seed(step)
        nlp.update(made, sgd=optimizer)


def weights(nlp):
    network = nlp.get_pipe("dwe_linker").network_shim.network
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.fixture
def fresh(described_kb, examples):
    """Make a pipeline that was initialised, always alike."""

    def make(**model):
        # A mention with another's picture is prepared when it is drawn, in whichever
        # batch, and sums of floats differ in their last bits.
        still = {"dropout": 0.1, "other_pictures": 0.0}
        settings = {**SMALL_MODEL, **still, **model}
        return train(linking_pipeline(described_kb, model=settings), examples, steps=0)

    return make


@pytest.fixture
def half(fresh, examples):
    """A pipeline that has done half of its steps."""
    nlp = fresh()
    update(nlp, examples(nlp))
    return nlp


def test_twice_n_steps_are_2n_steps(half, examples, tmp_path):
    half.to_disk(tmp_path / "model-last")
    half.to_disk(tmp_path / "model-best")
    update(half, examples(half))
    whole = weights(half)

    def continued(name):
        nlp = spacy.load(tmp_path / name)
        update(nlp, examples(nlp))
        return weights(nlp)

    for name, value in continued("model-last").items():
        torch.testing.assert_close(value, whole[name], atol=1e-6, rtol=1e-5)
    without = continued("model-best")
    assert any((without[name] - whole[name]).abs().max() > 1e-3 for name in whole)


def test_a_sourced_component_goes_on_too(half, examples, tmp_path):
    half.to_disk(tmp_path / "model-last")
    config = half.config.copy()
    config["components"]["dwe_linker"] = {"source": str(tmp_path / "model-last")}
    nlp = spacy.blank("xx").from_config(config)
    nlp.resume_training()
    update(nlp, examples(nlp))
    update(half, examples(half))
    for name, value in weights(nlp).items():
        torch.testing.assert_close(value, weights(half)[name], atol=1e-6, rtol=1e-5)
    assert nlp.get_pipe("dwe_linker").kb.path == half.get_pipe("dwe_linker").kb.path


def test_the_state_is_not_lost_by_loading_and_saving(half, tmp_path):
    first, second = tmp_path / "a" / "model-last", tmp_path / "b" / "model-last"
    for path in (first, second):
        path.parent.mkdir()
    half.to_disk(first)
    spacy.load(first).to_disk(second)
    state = "dwe_linker/" + OPTIMIZER_FILE
    assert (second / state).read_bytes() == (first / state).read_bytes()


@pytest.mark.parametrize("how", ["other shapes", "damaged"])
def test_a_state_that_does_not_fit_is_left_out(half, fresh, examples, tmp_path, how):
    half.to_disk(tmp_path / "model-last")
    path = tmp_path / "model-last" / "dwe_linker" / OPTIMIZER_FILE
    if how == "damaged":
        path.write_bytes(path.read_bytes()[:-10])
    else:
        other = fresh(width=16)
        update(other, examples(other), 1)
        path.write_bytes(other.get_pipe("dwe_linker").network_shim.optimizer_bytes())
    nlp = spacy.load(tmp_path / "model-last")
    with pytest.warns(UserWarning) as told:
        update(nlp, examples(nlp), 3)
    (message,) = [str(warning.message) for warning in told]
    assert "W501" in message and "\n" not in message
    assert ("damaged" if how == "damaged" else "shape") in message


def test_an_initialised_network_takes_up_nothing(half, examples, tmp_path):
    half.to_disk(tmp_path / "model-last")
    nlp = spacy.load(tmp_path / "model-last")
    nlp.initialize(lambda: examples(nlp))
    assert nlp.get_pipe("dwe_linker").network_shim.optimizer_bytes() == b""


def test_a_bundle_leaves_the_state_behind(half, examples, tmp_path):
    half.to_disk(tmp_path / "model-last")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = bundle(tmp_path / "model-last", tmp_path / "out", encoders=False).path
    assert (made / "dwe_linker" / "model.safetensors").exists()
    assert not (made / "dwe_linker" / OPTIMIZER_FILE).exists()


def test_a_pipeline_loads_without_the_state(half, examples, tmp_path):
    """What `spacy package` copies may have been cleaned by hand."""
    half.to_disk(tmp_path / "model-last")
    shutil.move(tmp_path / "model-last", tmp_path / "moved")
    (tmp_path / "moved" / "dwe_linker" / OPTIMIZER_FILE).unlink()
    nlp = spacy.load(tmp_path / "moved")
    assert weights(nlp).keys() == weights(half).keys()


class TestLabels:
    """spaCy does not initialise a sourced component: the examples tell."""

    def labelled(self, nlp, gold):
        return [example(nlp, "We saw Georgia.", ("Georgia", gold)) for _ in range(40)]

    def test_new_golds_become_negatives(self, fresh, tmp_path):
        nlp = fresh(negatives="train_golds")
        linker = nlp.get_pipe("dwe_linker")
        linker.initialize(lambda: self.labelled(nlp, "Georgia-red"))
        nlp.to_disk(tmp_path)
        again = spacy.load(tmp_path)
        again.update(self.labelled(again, "Georgia-blue"), sgd=Adam(0.001))
        again.to_disk(tmp_path)
        saved = srsly.read_json(tmp_path / "dwe_linker" / "cfg")
        assert saved["train_golds"] == ["Georgia-red", "Georgia-blue"]

    @pytest.mark.parametrize(
        "before, now", [("Georgia-red", "NIL"), ("NIL", "Georgia-blue")]
    )
    def test_whether_nil_is_labelled_follows_the_examples(
        self, fresh, tmp_path, before, now
    ):
        nlp = fresh()
        with warnings.catch_warnings():
            # NIL only, and an id that no KB has.
            warnings.simplefilter("ignore")
            nlp.get_pipe("dwe_linker").initialize(lambda: self.labelled(nlp, before))
            nlp.to_disk(tmp_path)
            again = spacy.load(tmp_path)
            for _ in range(5):
                again.update(self.labelled(again, now), sgd=Adam(0.001))
        assert again.get_pipe("dwe_linker").nil_is_labelled == (now == "NIL")
