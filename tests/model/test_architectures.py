"""The network as a thinc model: built from a config, saved as safetensors."""

import json
from dataclasses import replace

import pytest
import spacy
import torch
from safetensors import safe_open
from spacy import registry

from spacy_dwe.encoders.protocol import Reading
from spacy_dwe.errors import DweError
from spacy_dwe.model.modalities import TextModality

BLOCK = {"@architectures": "spacy-dwe.DWE.v1", "width": 16, "n_heads": 2}


@pytest.fixture
def make_model():
    assert spacy.__version__  # Registers entry points.
    return lambda **settings: registry.resolve({"model": {**BLOCK, **settings}})[
        "model"
    ]


@pytest.fixture
def model(make_model, spec, randomise):
    model = make_model()
    randomise(model.shims[0].build(spec, "cpu"))
    return model


@pytest.fixture
def batch(make_batch, mentions, model):
    return make_batch(mentions, len(model.shims[0].network.columns) - 2)


def saved(spec):
    """What of it is saved: columns by name; their weights are among the weights."""
    columns = tuple(column._replace(weight=1.0) for column in spec.columns)
    return replace(spec, columns=columns)


def logits(model, batch):
    scores = model.predict((batch, model.shims[0].network.spec.channels)).scores
    return scores.log_probabilities()


def test_the_parts_of_a_network_are_saved(make_model, spec):
    """One that was saved without a word on them has all."""
    lean = replace(spec, parts=("pictures", "contrast"))
    shims = [make_model().shims[0] for _ in (spec, lean)]
    for shim, own in zip(shims, (spec, lean)):
        shim.build(own, "cpu")
        again = make_model().shims[0].from_bytes(shim.to_bytes())
        assert again.network.spec == saved(own)
    whole, less = (set(shim.network.state_dict()) for shim in shims)
    assert less < whole and "objective.a_align_scale" in whole - less


def test_a_model_is_built_when_sizes_are_known(make_model, spec):
    shim = make_model().shims[0]
    assert not shim.is_built
    with pytest.raises(DweError, match="not built"):
        _ = shim.network
    shim.build(spec, "cpu")
    assert shim.is_built
    shim.clear()
    assert not shim.is_built


EDGES = {"edge_width": 4 * 8}


@pytest.mark.parametrize(
    "kind, shape, settings, reading",
    [
        ("linear", {}, {}, Reading.POOLED),
        ("linear", EDGES, {}, Reading.EDGES),
        ("linear", {"read_mention": True}, {}, Reading.MEANS),
        ("dwe", EDGES, {}, Reading.STATES),
        ("plain", {}, {}, Reading.STATES),
        ("dwe", EDGES, {"states": "pooled"}, Reading.MEANS),
        ("dwe", {"heads": {}}, {}, Reading.POOLED),
        ("dwe", {"heads": {}, **EDGES}, {}, Reading.EDGES),
    ],
)
def test_states_are_read_where_a_head_looks_at_each(
    make_model, spec, kind, shape, settings, reading
):
    shim = make_model(head=kind, **settings).shims[0]
    shim.build(replace(spec, head=kind, **shape), "cpu")
    assert shim.reading(("text", "dwe")) is reading
    shim.build(replace(spec, head=kind, **{**shape, **EDGES}), "cpu")
    assert shim.reading(("text",)) is Reading.EDGES
    assert shim.reading(("name",)) is Reading.POOLED


def test_who_knows_what_a_modality_of_ones_own_reads(make_model, spec):
    shim = make_model(head="dwe", states="pooled").shims[0]
    shim.build(spec, "cpu")

    class Own(TextModality):
        pass

    modalities = {**shim.settings.modalities, "text": Own(pooled=True)}
    shim.settings = replace(shim.settings, modalities=modalities)
    assert shim.reading(("text", "dwe")) is Reading.STATES


def test_unknown_states_are_refused(make_model):
    with pytest.raises(DweError, match="letters"):
        make_model(states="letters")


@pytest.mark.parametrize("name", ["head", "loss", "negatives", "precision"])
def test_unknown_choices_are_refused(make_model, name):
    with pytest.raises(DweError, match=rf"E517.*{name} = 'none'"):
        make_model(**{name: "none"})


def test_unknown_modalities_are_refused(make_model):
    with pytest.raises(DweError, match=r"E519.*smell.*text, vision, attributes"):
        make_model(without=["vision", "smell"])


@pytest.mark.parametrize("body", ["dwe", "plain", "linear"])
def test_every_head_survives_saving(make_model, spec, body):
    shim = make_model(head=body).shims[0]
    shim.build(replace(spec, head=body, gate=False), "cpu")
    again = make_model().shims[0].from_bytes(shim.to_bytes())
    assert again.network.spec == saved(shim.network.spec)
    assert again.to_bytes() == shim.to_bytes()


def test_weights_of_a_modality_need_it_in_the_config(make_model, spec):
    shim = make_model().shims[0]
    wider = replace(spec, modalities={"text": 10, "smell": 3})
    with pytest.raises(DweError, match=r"E516.*smell"):
        shim.build(wider, "cpu")


def test_weights_survive_saving(model, make_model, batch):
    again = make_model()
    again.shims[0].from_bytes(model.shims[0].to_bytes())
    assert torch.equal(logits(again, batch), logits(model, batch))
    assert again.shims[0].to_bytes() == model.shims[0].to_bytes()


def test_thinc_saves_the_model_too(model, make_model, batch, tmp_path):
    model.to_disk(tmp_path / "model")
    again = make_model().from_disk(tmp_path / "model")
    assert torch.equal(logits(again, batch), logits(model, batch))
    again = make_model().from_bytes(model.to_bytes())
    assert torch.equal(logits(again, batch), logits(model, batch))
    assert torch.equal(logits(model.copy(), batch), logits(model, batch))


@pytest.mark.parametrize("trained", [True, False])
def test_whether_dwe_is_trained_survives_saving(make_model, spec, trained):
    shim = make_model().shims[0]
    shim.build(replace(spec, dwe_trained=not trained), "cpu").dwe_trained = trained
    again = make_model().shims[0].from_bytes(shim.to_bytes())
    assert again.network.dwe_trained is trained
    assert again.network.spec == saved(replace(spec, dwe_trained=trained))


def test_the_bytes_are_safetensors_and_nothing_else(model, tmp_path):
    data = model.shims[0].to_bytes()
    header = int.from_bytes(data[:8], "little")
    tensors = json.loads(data[8 : 8 + header])
    del tensors["__metadata__"]
    assert max(t["data_offsets"][1] for t in tensors.values()) + 8 + header == len(data)
    (tmp_path / "model.safetensors").write_bytes(data)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert set(file.keys()) == set(model.shims[0].network.state_dict())


def test_an_unbuilt_model_is_saved_as_nothing(make_model, model):
    assert make_model().shims[0].to_bytes() == b""
    assert not model.shims[0].from_bytes(b"").is_built


def test_damaged_bytes_are_an_error(model, make_model):
    """Cut short, or with a header that says something else."""
    data = model.shims[0].to_bytes()
    header = int.from_bytes(data[:8], "little")
    damaged = [b"no weights", data[:4], data[: header // 2], data[:-1], data + b"x"]
    for old, new in [
        (b'\\"width\\":16', b'\\"width\\":24'),
        (b'\\"n_heads\\":2', b'\\"n_heads\\":3'),
        (b'\\"n_heads\\":2', b'\\"n_hands\\":2'),
        (b'\\"of_pictures\\":', b'\\"of_sketches\\":'),
        (b'\\"columns\\":', b'\\"columbus\\":'),
        (b'\\"heads\\":{', b'\\"hoods\\":{'),
        (b'"spec"', b'"spic"'),
        (b"__metadata__", b"__matedata__"),
        (b"combiner.nil", b"combiner.nul"),
    ]:
        assert old in data[: 8 + header], old
        damaged.append(data.replace(old, new, 1))
    for case in damaged:
        shim = make_model().shims[0]
        with pytest.raises(DweError, match="weights are damaged"):
            shim.from_bytes(case)
        assert not shim.is_built


def test_prediction_keeps_no_gradients_and_switches_dropout_off(
    make_model, spec, randomise, batch
):
    model = make_model()
    randomise(model.shims[0].build(replace(spec, dropout=0.5), "cpu"))
    first = logits(model, batch)
    assert not first.requires_grad
    trained, _ = model.begin_update((batch, spec.channels))
    assert trained.scores.logits.requires_grad
    assert not torch.equal(trained.scores.log_probabilities(), first)
    assert torch.equal(logits(model, batch), first)
