"""The whole network on three mentions with 4, 1 and no candidates, without a picture,
with one, and with three."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize

from spacy_dwe.model.entity_vectors import EntityVectors
from spacy_dwe.model.losses import IGNORED, Contrast, info_nce, n_pair, triplet
from spacy_dwe.model.network import LinkerNetwork
from spacy_dwe.settings import DweSettings

DESCRIPTIONS = "description@clip"
ONLY_CONTRAST = DweSettings(a_align_weight=0.0, s_align_weight=0.0)


@pytest.fixture
def network(spec, randomise):
    return randomise(LinkerNetwork(spec)).eval()


@pytest.fixture
def channels(spec):
    return spec.channels


@pytest.fixture
def n_features(network):
    return len(network.columns) - len(network.columns.of("dwe"))


@pytest.fixture
def batch(make_batch, mentions, n_features):
    return make_batch(mentions, n_features)


def contribution(network, output, channel):
    return output.scores.by_column[..., network.columns.of(channel)].sum(-1)


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
    column = network.columns.names.index(("dwe", DESCRIPTIONS))
    weight, bias = network.combiner.weight[column], network.combiner.bias[column]
    cosine = query.vectors[0] @ entities.vectors[0, 3]
    expected = weight * (cosine - entities.mean) / entities.std + bias
    torch.testing.assert_close(output.scores.by_column[0, 3, column], expected)


def test_an_entity_without_a_vector_is_masked(network, channels, batch):
    by_column = network(batch, channels).scores.by_column
    columns = network.columns.of("dwe")
    assert network.columns.names[columns[0]] == ("dwe", DESCRIPTIONS)
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
    batch = make_batch(mentions, len(network.columns) - 1)
    output = network(batch, channels)
    used = contribution(network, output, "dwe") != 0
    assert used[:, 0].tolist() == [False, True, False]
    lost = network.loss(output, batch, torch.tensor([0, 4, 4]), ONLY_CONTRAST)
    assert lost.contrast == 0
    seen = make_batch(mentions[::-1], len(network.columns) - 1)
    output = network(seen, channels)
    parts = network.loss(output, seen, torch.tensor([0, 4, 4]), ONLY_CONTRAST)
    assert parts.contrast > 0


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
    for channel in ("text", "dwe"):
        columns = mask[:, network.columns.of(channel)]
        assert torch.equal(columns.all(1), columns.any(1))
        assert columns.float().mean().item() == pytest.approx(0.85, abs=0.03)
    assert mask[:, network.columns.of("name")].all(), "a mention has a name"
    assert not mask[:, network.columns.of("prior")].any()


@pytest.mark.parametrize(
    "targets",
    [(1, 0, 4), (3, 4, 4), (4, 4, 4), (IGNORED, IGNORED, IGNORED)],
    ids=["gold without description", "gold and NIL", "NIL", "unlabelled"],
)
@pytest.mark.parametrize("loss", ["info_nce", "triplet", "n_pair"])
@pytest.mark.parametrize("body", ["dwe", "plain", "linear"])
def test_gradients_are_finite(spec, randomise, channels, batch, targets, loss, body):
    network = randomise(LinkerNetwork(replace(spec, head=body)))
    settings = DweSettings(loss=loss)
    output = network.train()(batch, channels)
    parts = network.loss(output, batch, torch.tensor(targets), settings)
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
        return network.loss(output, batch, targets, DweSettings()).total

    loss().backward()
    parameters = [p for p in network.parameters() if p.requires_grad]
    directions = [torch.randn_like(p) for p in parameters]
    slope = sum((p.grad * d).sum() for p, d in zip(parameters, directions)).item()
    step, ends = 1e-3, []
    with torch.no_grad():
        for sign in (1, -2):
            for parameter, direction in zip(parameters, directions):
                parameter += sign * step * direction
            ends.append(loss().item())
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(slope, rel=0.02)


def test_contrast_leaves_out_golds_without_a_vector(network, channels, batch):
    """The first gold has no description, the second mention's has one; neither has a
    picture, so the picture head adds nothing to the mean over the two heads."""
    output = network.train()(batch, channels)
    none = network.loss(output, batch, torch.tensor([1, 4, 4]), ONLY_CONTRAST)
    assert none.contrast == 0
    assert none.total == none.linking
    twice = replace(ONLY_CONTRAST, info_nce_weight=2.0)
    some = network.loss(output, batch, torch.tensor([0, 4, 4]), twice)
    assert some.contrast > 0
    torch.testing.assert_close(some.total, some.linking + 2 * some.contrast)


@pytest.mark.parametrize("name", ["info_nce", "triplet", "n_pair"])
def test_the_loss_is_chosen(network, channels, batch, name):
    """Both mentions with a gold have it described; their golds are other entities."""
    output = network.train()(batch, channels)
    targets, query = torch.tensor([0, 0, 4]), output.queries[DESCRIPTIONS].vectors
    batch = replace(batch, rows=batch.rows + torch.tensor([[0], [10], [20]]))
    entities = batch.entities[DESCRIPTIONS]
    rows = batch.rows[:, 0]
    own, golds = entities.cosines(query), query @ entities.vectors[:, 0].T
    contrast = Contrast.of(own, golds, entities.present, targets, rows)
    expected = {
        "info_nce": info_nce(contrast, network.objective.log_temperature.exp()),
        "triplet": triplet(contrast, 0.3),
        "n_pair": n_pair(contrast),
    }
    settings = replace(ONLY_CONTRAST, loss=name, margin=0.3)
    parts = network.loss(output, batch, targets, settings)
    # The other head knows neither gold.
    torch.testing.assert_close(parts.contrast, expected[name] / 2)


def test_negatives_can_be_restricted(network, channels, batch):
    """The gold stays a positive, though it is not among them."""
    output = network.train()(batch, channels)
    targets = torch.tensor([0, 4, 4])
    allowed = torch.zeros_like(batch.candidates)
    alone = replace(batch, negatives=allowed.clone())
    assert network.loss(output, alone, targets, ONLY_CONTRAST).contrast == 0
    allowed[0, 3] = True
    some = replace(batch, negatives=allowed)
    entities = batch.entities[DESCRIPTIONS]
    query = output.queries[DESCRIPTIONS].vectors[0]
    temperature = network.objective.log_temperature.exp()
    scores = entities.vectors[0, [0, 3]] @ query / temperature
    found = network.loss(output, some, targets, ONLY_CONTRAST).contrast
    torch.testing.assert_close(found, -scores.log_softmax(0)[0] / 2)


def test_hard_negatives_come_on_top(network, channels, batch):
    """The second mention is NIL, which stands where the first hard negative does."""
    output = network.train()(batch, channels)
    hard = normalize(torch.randn(3, 2, 8), dim=-1)
    there = torch.tensor([[True, False]] * 3)
    more = {DESCRIPTIONS: EntityVectors(hard, there, 0.0, 1.0)}
    targets = torch.tensor([0, 4, 4])
    found = network.loss(output, replace(batch, hard=more), targets, ONLY_CONTRAST)
    entities = batch.entities[DESCRIPTIONS].vectors[0, [0, 2, 3]]
    query = output.queries[DESCRIPTIONS].vectors[0]
    scores = torch.cat([entities @ query, (hard[0, 0] @ query)[None]])
    scores = scores / network.objective.log_temperature.exp()
    torch.testing.assert_close(found.contrast, -scores.log_softmax(0)[0] / 2)


class TestAlignments:
    @pytest.fixture
    def parts(self, spec, randomise, channels, make_batch, mentions):
        """Of a batch in which the last two mentions have pictures and the last has two
        faces; some of it may be changed."""

        def compute(settings, head="dwe", **changes):
            torch.manual_seed(0)
            network = randomise(LinkerNetwork(replace(spec, head=head))).train()
            n_features = len(network.columns) - len(network.columns.of("dwe"))
            batch = replace(make_batch(mentions, n_features), **changes)
            output = network(batch, channels)
            return network.loss(output, batch, torch.tensor([0, 4, 4]), settings)

        return compute

    def test_they_are_weighed(self, parts):
        found = parts(DweSettings(a_align_weight=2.0, s_align_weight=3.0))
        weighed = found.linking + found.contrast
        weighed = weighed + 2 * found.a_align + 3 * found.s_align
        torch.testing.assert_close(found.total, weighed)
        assert found.a_align > 0 and found.s_align > 0
        assert found.values()["s_align"] == pytest.approx(found.s_align.item())

    def test_a_weight_of_zero_computes_nothing(self, parts):
        found = parts(ONLY_CONTRAST)
        assert found.a_align == found.s_align == 0

    def test_mentions_of_a_sentence_are_no_negatives(self, parts):
        found = parts(DweSettings(), sentences=torch.tensor([0, 1, 1]))
        assert found.s_align.item() == pytest.approx(0, abs=1e-6)

    def test_the_plain_network_has_them_too(self, parts):
        found = parts(DweSettings(), head="plain")
        assert found.a_align > 0 and found.s_align > 0

    def test_a_linear_head_has_nothing_to_align(self, parts):
        found = parts(DweSettings(), head="linear")
        assert found.a_align == found.s_align == 0


def test_learns_what_only_pictures_tell(spec, as_inputs, mentions, make_batch):
    """Equal texts and names; the picture alone says which of two entities is meant."""
    network = LinkerNetwork(spec)
    n_features = len(network.columns) - 2
    entities = normalize(torch.randn(2, 8), dim=1)
    same = [
        replace(mentions[0], pictures=picture[None], objects=picture[None])
        for picture in entities
    ]
    for mention in same:
        mention.faces, mention.face_mask = torch.zeros(1, 8), torch.tensor([False])
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
    adam = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(80):
        adam.zero_grad()
        output = network.train()(batch, spec.channels)
        network.loss(output, batch, targets, ONLY_CONTRAST).total.backward()
        adam.step()
    p = network.eval()(batch, spec.channels).scores.log_probabilities().exp()
    assert p[1, 0] > 0.9
    assert p[2, 1] > 0.9
