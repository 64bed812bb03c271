"""Weights of the combiner that fit all mentions at once."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from columns import columns

from spacy_dwe.model.combiner import UNTRAINED_NIL, Combiner
from spacy_dwe.model.inputs import LinkingBatch
from spacy_dwe.model.network import LinkerNetwork
from spacy_dwe.model.spec import Column, NetworkSpec, QueryHead, untrained_spec
from spacy_dwe.training import fitting
from spacy_dwe.training.fitting import (
    PRIOR_DEVIATION,
    feature_scores,
    fit,
    fit_features,
    fitting_blocks,
    fitting_loss,
)

LAYOUT = columns(["name", "text"])
N_MENTIONS, N_CANDIDATES = 200, 5
OF_EDGES = [*UNTRAINED_NIL].index("mention")


@pytest.fixture
def told_by_text() -> tuple[LinkingBatch, np.ndarray]:
    """Mentions whose gold has the highest text feature, whatever the names say."""
    rng = np.random.default_rng(0)
    shape = (N_MENTIONS, N_CANDIDATES, len(LAYOUT))
    features = torch.from_numpy(rng.normal(size=shape).astype(np.float32))
    features[..., LAYOUT.all.index(Column("name", "match"))] *= 4  # a logit
    rows = torch.arange(N_CANDIDATES).repeat(N_MENTIONS, 1)
    batch = LinkingBatch(
        features=features,
        present=torch.ones(shape, dtype=torch.bool),
        candidates=torch.ones(shape[:2], dtype=torch.bool),
        described=torch.ones(shape[:2], dtype=torch.bool),
        rows=rows,
        inputs=None,
        entities={},
    )
    column = LAYOUT.of("text")[0]
    return batch, features[:, :, column].argmax(dim=1).numpy()


def top1(combiner, batch, gold_rows):
    scores = feature_scores(combiner, batch)
    best = scores.logits.argmax(dim=1).numpy()
    return float((best == gold_rows).mean())


def test_fitted_weights_rank_by_what_tells_the_golds(told_by_text):
    combiner = Combiner(LAYOUT)
    blocks = fitting_blocks([told_by_text], nil_share=0.0, seed=0)
    before = top1(combiner, *told_by_text)
    fit(combiner, blocks, strength=1e-4)
    assert before < 0.6
    assert top1(combiner, *told_by_text) > 0.95


def test_the_fit_is_where_the_gradient_ends(told_by_text):
    """Of the mean loss and the pull towards the untrained weights together."""
    strength = 0.05
    blocks = fitting_blocks([told_by_text], nil_share=0.1, seed=0)
    start = [parameter.detach() for parameter in Combiner(LAYOUT).parameters()]

    def steepest(combiner):
        own = [*combiner.parameters()]
        loss = sum(fitting_loss(combiner, *block) for block in blocks) / N_MENTIONS
        pull = sum(((p - before) ** 2).sum() for p, before in zip(own, start))
        gradients = torch.autograd.grad(loss + strength * pull, own)
        return max(gradient.abs().max() for gradient in gradients)

    fitted = Combiner(LAYOUT)
    fit(fitted, blocks, strength)
    assert steepest(fitted) < 0.02 * steepest(Combiner(LAYOUT))


def test_a_strong_prior_keeps_the_untrained_weights(told_by_text):
    combiner = Combiner(LAYOUT)
    fit(combiner, fitting_blocks([told_by_text], nil_share=0.0, seed=0), strength=1e4)
    assert torch.allclose(combiner.weight, Combiner(LAYOUT).weight, atol=1e-3)


@pytest.mark.parametrize("n_finite", [0, 1, 3])
def test_a_search_that_fails_keeps_the_best_weights_it_saw(
    told_by_text, monkeypatch, n_finite
):
    seen = []

    def loss_for_a_while(combiner, batch, targets):
        loss = fitting_loss(combiner, batch, targets)
        if len(seen) == n_finite:
            return loss * torch.nan
        seen.append((loss.item(), combiner.weight.detach().clone()))
        return loss

    monkeypatch.setattr(fitting, "fitting_loss", loss_for_a_while)
    combiner = Combiner(LAYOUT)
    fit(combiner, fitting_blocks([told_by_text], 0.0, seed=0), strength=1e-4)
    untrained = Combiner(LAYOUT).weight
    best = min(seen, key=lambda each: each[0])[1] if seen else untrained
    assert torch.equal(combiner.weight, best)
    assert torch.equal(combiner.weight, untrained) == (n_finite < 2)


class TestEdges:
    """What stands at the edges of mentions tells NIL, and nothing else does."""

    WIDTH = 8

    @pytest.fixture
    def told_by_edges(self, told_by_text):
        batch, golds = told_by_text
        edges = torch.nn.functional.normalize(torch.randn(N_MENTIONS, 8), dim=1)
        is_nil = edges[:, 2].numpy() > 0
        return replace(batch, edges=edges), np.where(is_nil, -1, golds)

    def nil_found(self, combiner, batch):
        scores = feature_scores(combiner, batch)
        return (scores.nil > scores.logits.amax(dim=1)).numpy()

    def test_tell_nil(self, told_by_edges):
        batch, golds = told_by_edges
        combiner = Combiner(LAYOUT, self.WIDTH)
        fit(combiner, fitting_blocks([told_by_edges], 0.0, seed=0), strength=1e-6)
        assert (self.nil_found(combiner, batch) == (golds < 0)).mean() > 0.95
        unread = self.nil_found(combiner, replace(batch, edges=None))
        assert (unread == (golds < 0)).mean() < 0.7

    def test_tell_nil_in_pairs(self, told_by_edges):
        batch, golds = told_by_edges
        is_nil = (batch.edges[:, 2] * batch.edges[:, 6] > 0).numpy()
        golds = np.where(is_nil, -1, np.abs(golds))
        combiner = Combiner(LAYOUT, self.WIDTH)
        fit(combiner, fitting_blocks([(batch, golds)], 0.0, seed=0), strength=1e-6)
        assert (self.nil_found(combiner, batch) == is_nil).mean() > 0.9

        edges, form = combiner.edges, combiner.edges.form
        torch.testing.assert_close(form, form.T)
        across = edges.axes.mT @ edges.axes
        torch.testing.assert_close(across, torch.eye(2).expand(4, 2, 2))

    def test_are_learned_less_readily_than_features(self, told_by_edges):
        combiner = Combiner(LAYOUT, self.WIDTH)
        fit(combiner, fitting_blocks([told_by_edges], 0.0, seed=0), strength=0.1)
        assert combiner.edges.weight.norm() < 0.15
        assert combiner.nil[OF_EDGES] == 1, "no factor makes up for it"
        assert (combiner.weight - Combiner(LAYOUT).weight).norm() > 0.5

    def test_weigh_the_same_in_the_network(self, told_by_edges):
        channels = ("name", "text")
        spec = replace(
            untrained_spec(columns(["name", "prior", "facts", "text", "image"]).all),
            columns=columns(channels).all,
            edge_width=self.WIDTH,
        )
        network = LinkerNetwork(spec)
        fit_features(network, fitting_blocks([told_by_edges], 0.0, seed=0))
        assert network.combiner.edges.weight.norm() > 0.1
        assert not network.combiner.edges.weight.requires_grad
        batch, _ = told_by_edges
        alone = Combiner(LAYOUT, self.WIDTH)
        blocks = fitting_blocks([told_by_edges], 0.0, seed=0)
        fit(alone, blocks, strength=1 / (2 * PRIOR_DEVIATION**2 * N_MENTIONS))
        for name, weights in alone.edges.state_dict().items():
            assert weights.any(), name
            assert torch.equal(network.combiner.edges.state_dict()[name], weights)
        read = network(batch, channels).scores
        unread = network(replace(batch, edges=None), channels).scores
        assert not torch.allclose(read.nil, unread.nil)
        without_text = network(batch, ["name"]).scores
        assert not without_text.nil_features[:, -1].any()


def test_blocks_do_not_depend_on_other_random_numbers(told_by_text):
    torch.manual_seed(1)
    first = fitting_blocks([told_by_text], nil_share=0.5, seed=0)
    torch.manual_seed(2)
    second = fitting_blocks([told_by_text], nil_share=0.5, seed=0)
    assert torch.equal(first[0][1], second[0][1])


def test_the_weight_of_the_network_stays(told_by_text):
    spec = NetworkSpec(
        LAYOUT.all,
        {"description@text": QueryHead(4, True, None, False)},
        text_width=4,
        pictures={},
        width=8,
        n_heads=2,
        ffn_width=8,
        dropout=0.0,
        decoder=False,
        dwe_trained=False,
    )
    network = LinkerNetwork(spec)
    column = network.columns.of("dwe")
    before = network.combiner.weight.detach().clone()
    fit_features(network, fitting_blocks([told_by_text], nil_share=0.0, seed=0))
    changed = network.combiner.weight != before
    assert changed.any()
    assert not changed[column].any()
