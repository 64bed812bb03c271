"""The whole network on three mentions with 4, 1 and no candidates, without a picture,
with one, and with three."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize

from spacy_dwe.model.losses import IGNORED
from spacy_dwe.model.network import LinkerNetwork

DESCRIPTIONS = "description@clip"


@pytest.fixture
def network(spec, randomise):
    return randomise(LinkerNetwork(spec)).eval()


@pytest.fixture
def channels(spec):
    return spec.channels


@pytest.fixture
def n_features(network):
    return len(network.layout) - len(network.layout.columns("dwe"))


@pytest.fixture
def batch(make_batch, mentions, n_features):
    return make_batch(mentions, n_features)


def contribution(network, output, channel):
    return output.scores.by_column[..., network.layout.columns(channel)].sum(-1)


def test_scores_do_not_depend_on_batch_mates(
    network, channels, make_batch, mentions, n_features, batch
):
    """Invariant 1, on logits: within 1e-5 alone, and beside more padding."""
    with torch.inference_mode():
        expected = network(batch, channels).scores
        padded = network(make_batch(mentions, n_features, more=5), channels).scores
        first = network(make_batch(mentions[:1], n_features), channels).scores
    there = batch.candidates
    torch.testing.assert_close(
        padded.logits[:, :4][there], expected.logits[there], atol=1e-5, rtol=0
    )
    torch.testing.assert_close(padded.nil, expected.nil, atol=1e-5, rtol=0)
    torch.testing.assert_close(first.logits[0], expected.logits[0], atol=1e-5, rtol=0)
    assert torch.isneginf(padded.logits[:, 4:]).all()


def test_dwe_feature_is_a_standardised_cosine(network, channels, batch):
    output = network(batch, channels)
    query, entities = output.queries[DESCRIPTIONS], batch.entities[DESCRIPTIONS]
    column = network.layout.names.index(("dwe", DESCRIPTIONS))
    weight, bias = network.combiner.weight[column], network.combiner.bias[column]
    cosine = query.vectors[0] @ entities.vectors[0, 3]
    expected = weight * (cosine - entities.mean) / entities.std + bias
    torch.testing.assert_close(output.scores.by_column[0, 3, column], expected)


def test_an_entity_without_a_vector_is_masked(network, channels, batch):
    by_column = network(batch, channels).scores.by_column
    columns = network.layout.columns("dwe")
    assert network.layout.names[columns[0]] == ("dwe", DESCRIPTIONS)
    assert (by_column[0, :, columns[0]] != 0).tolist() == [True, False, True, True]
    # The first mention has no picture to compare with an entity's.
    assert not by_column[0, :, columns[1]].any()


def test_a_mention_without_a_query_is_masked(
    spec, head, randomise, channels, make_batch, mentions
):
    """A sentence encoder reads the text, so that only pictures live in CLIP's space,
    and the first mention has none."""
    heads = {DESCRIPTIONS: head(DESCRIPTIONS, clip_reads_text=False)}
    network = randomise(LinkerNetwork(replace(spec, heads=heads)))
    batch = make_batch(mentions, len(network.layout) - 1)
    output = network(batch, channels)
    used = contribution(network, output, "dwe") != 0
    assert used[:, 0].tolist() == [False, True, False]
    lost = network.loss(output, batch, torch.tensor([0, 4, 4]), 1.0)
    assert lost.info_nce == 0
    seen = make_batch(mentions[::-1], len(network.layout) - 1)
    output = network(seen, channels)
    assert network.loss(output, seen, torch.tensor([0, 4, 4]), 1.0).info_nce > 0


def test_dwe_is_masked_until_it_is_trained(spec, randomise, channels, batch):
    network = randomise(LinkerNetwork(replace(spec, dwe_trained=False)))
    assert not contribution(network, network.eval()(batch, channels), "dwe").any()
    assert contribution(network, network.train()(batch, channels), "dwe").any()


@pytest.mark.parametrize("off", ["name", "prior", "facts", "text", "image", "dwe"])
def test_a_channel_can_be_switched_off(network, channels, batch, off):
    on = [channel for channel in channels if channel != off]
    output = network(batch, on)
    for channel in channels:
        used = contribution(network, output, channel).any()
        assert used == (channel != off), channel
    if off == "dwe":
        without = replace(batch, inputs=None, entities={})
        torch.testing.assert_close(
            network(without, on).scores.logits, output.scores.logits
        )


def test_channel_dropout_masks_whole_channels_of_a_mention(network, make_batch):
    mentions = 4000
    mask = network._channel_mask(mentions, ["name", "text", "dwe"], 0.15)
    for channel in ("name", "text", "dwe"):
        columns = mask[:, network.layout.columns(channel)]
        assert torch.equal(columns.all(1), columns.any(1))
        assert columns.float().mean().item() == pytest.approx(0.85, abs=0.03)
    assert not mask[:, network.layout.columns("prior")].any()


@pytest.mark.parametrize(
    "targets",
    [(1, 0, 4), (3, 4, 4), (4, 4, 4), (IGNORED, IGNORED, IGNORED)],
    ids=["gold without description", "gold and NIL", "NIL", "unlabelled"],
)
def test_gradients_are_finite(network, channels, batch, targets):
    output = network.train()(batch, channels)
    parts = network.loss(output, batch, torch.tensor(targets), 1.0)
    parts.total.backward()
    assert torch.isfinite(parts.total)
    for name, parameter in network.named_parameters():
        if parameter.grad is not None:
            assert torch.isfinite(parameter.grad).all(), name


def test_gradient_is_the_slope_of_the_loss(network, channels, batch):
    """Along a random direction through all the weights."""
    targets = torch.tensor([3, 0, 4])

    def loss():
        output = network.train()(batch, channels)
        return network.loss(output, batch, targets, 1.0).total

    loss().backward()
    parameters = list(network.parameters())
    directions = [torch.randn_like(p) for p in parameters]
    slope = sum((p.grad * d).sum() for p, d in zip(parameters, directions)).item()
    step, ends = 1e-3, []
    with torch.no_grad():
        for sign in (1, -2):
            for parameter, direction in zip(parameters, directions):
                parameter += sign * step * direction
            ends.append(loss().item())
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(slope, rel=0.02)


def test_info_nce_leaves_out_golds_without_a_vector(network, channels, batch):
    """The first gold has no description, the second mention's has one; neither has a
    picture, so the picture head adds nothing to the mean over the two heads."""
    output = network.train()(batch, channels)
    none = network.loss(output, batch, torch.tensor([1, 4, 4]), 1.0)
    assert none.info_nce == 0
    assert none.total == none.linking
    some = network.loss(output, batch, torch.tensor([0, 4, 4]), 2.0)
    assert some.info_nce > 0
    torch.testing.assert_close(some.total, some.linking + 2 * some.info_nce)


def test_learns_what_only_pictures_tell(spec, as_inputs, mentions, make_batch):
    """Equal texts and names; the picture alone says which of two entities is meant."""
    network = LinkerNetwork(spec)
    n_features = len(network.layout) - 2
    entities = normalize(torch.randn(2, 8), dim=1)
    same = [replace(mentions[0], pictures=picture[None]) for picture in entities]
    batch = make_batch([mentions[0], *same], n_features)
    both = torch.ones(3, 2, dtype=torch.bool)
    described = replace(
        batch.entities[DESCRIPTIONS],
        vectors=normalize(torch.randn(2, 8), dim=1).expand(3, 2, 8),
        present=both,
    )
    none = replace(described, present=~both)
    batch = replace(
        batch,
        features=torch.zeros(3, 2, n_features),
        present=torch.zeros(3, 2, n_features, dtype=torch.bool),
        candidates=both,
        described=both,
        rows=torch.tensor([0, 1]).expand(3, 2),
        entities={DESCRIPTIONS: described, "image@clip": none},
    )
    targets = torch.tensor([IGNORED, 0, 1])
    adam = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(80):
        adam.zero_grad()
        output = network.train()(batch, spec.channels)
        network.loss(output, batch, targets, 1.0).total.backward()
        adam.step()
    p = network.eval()(batch, spec.channels).scores.log_probabilities().exp()
    assert p[1, 0] > 0.9
    assert p[2, 1] > 0.9
