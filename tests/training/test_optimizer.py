"""`[training.optimizer]` rules AdamW, checked against steps worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest
import spacy
import torch
from spacy import registry
from thinc.api import Config
from torch import nn

from spacy_dwe.linking.collate import collate
from spacy_dwe.model.architectures import TorchOptimizer
from spacy_dwe.settings import DweSettings
from spacy_dwe.training.targets import with_targets

B1, B2, EPS = 0.8, 0.95, 1e-6

CONFIG = """
[optimizer]
@optimizers = "Adam.v1"
beta1 = 0.8
beta2 = 0.95
eps = 0.000001
use_averages = false
L2 = 0.0
L2_is_weight_decay = true
grad_clip = 0.0
learn_rate = 0.1
"""


@pytest.fixture
def optimizer():
    """An optimizer as spaCy makes it from a config, with some settings changed."""

    def make(**settings):
        config = Config().from_str(CONFIG)
        config["optimizer"].update(settings)
        return registry.resolve(config)["optimizer"]

    return make


@pytest.fixture
def network():
    """A matrix, a bias and a norm, beside a combiner."""
    network = nn.Module()
    network.linear, network.norm = nn.Linear(3, 2), nn.LayerNorm(2)
    network.combiner = nn.Linear(2, 1)
    return network


@pytest.fixture
def gradients(network):
    """Three steps of gradients for each of its weights."""
    return [
        {name: torch.randn_like(p) for name, p in network.named_parameters()}
        for _ in range(3)
    ]


def take_steps(network, gradients, sgd, combiner_rate=1.0):
    torch_optimizer = TorchOptimizer(network, combiner_rate=combiner_rate)
    for step in gradients:
        for name, parameter in network.named_parameters():
            parameter.grad = step[name].clone()
        torch_optimizer.step(sgd)
        sgd.step_schedules()
    return {n: p.detach().double().numpy() for n, p in network.named_parameters()}


def by_hand(weights, gradients, rates, *, decay=0.0, l2=0.0):
    """Adam in double precision; `decay` is AdamW's, `l2` part of the gradient."""
    weights, first, second = weights.double().numpy().copy(), 0.0, 0.0
    for step, (gradient, rate) in enumerate(zip(gradients, rates), start=1):
        gradient = gradient.double().numpy() + l2 * weights
        weights -= rate * decay * weights
        first = B1 * first + (1 - B1) * gradient
        second = B2 * second + (1 - B2) * gradient**2
        mean, square = first / (1 - B1**step), second / (1 - B2**step)
        weights -= rate * mean / (np.sqrt(square) + EPS)
    return weights


def start_of(network):
    return {name: p.detach().clone() for name, p in network.named_parameters()}


def of(gradients, name):
    return [step[name] for step in gradients]


def test_learning_rate_follows_its_schedule(network, gradients, optimizer):
    schedule = {
        "@schedules": "warmup_linear.v1",
        "warmup_steps": 2,
        "total_steps": 4,
        "initial_rate": 0.1,
    }
    start = start_of(network)
    end = take_steps(network, gradients, optimizer(learn_rate=schedule))
    for name, weights in end.items():
        expected = by_hand(start[name], of(gradients, name), [0.0, 0.05, 0.1])
        np.testing.assert_allclose(weights, expected, atol=1e-6)


def test_combiner_learns_faster(network, gradients, optimizer):
    start = start_of(network)
    end = take_steps(network, gradients, optimizer(), combiner_rate=20.0)
    for name, weights in end.items():
        rate = 2.0 if name.startswith("combiner") else 0.1
        expected = by_hand(start[name], of(gradients, name), [rate] * 3)
        np.testing.assert_allclose(weights, expected, atol=1e-5)


@pytest.mark.parametrize("is_decay", [True, False])
def test_l2_is_weight_decay_or_part_of_the_gradient(
    network, gradients, optimizer, is_decay
):
    """Of matrices only: biases, norms and the combiner are spared."""
    start = start_of(network)
    sgd = optimizer(L2=0.5, L2_is_weight_decay=is_decay)
    end = take_steps(network, gradients, sgd)
    how = {"decay": 0.5} if is_decay else {"l2": 0.5}
    for name, weights in end.items():
        extra = how if name == "linear.weight" else {}
        expected = by_hand(start[name], of(gradients, name), [0.1] * 3, **extra)
        np.testing.assert_allclose(weights, expected, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("grad_clip", [0.0, 0.5])
def test_clipping_bounds_the_norm_of_all_gradients(
    network, gradients, optimizer, grad_clip
):
    """0 is off, and not a norm of 0. A small gradient is left as it is."""
    gradients[1] = {name: g * 1e-3 for name, g in gradients[1].items()}
    start = start_of(network)
    end = take_steps(network, gradients, optimizer(grad_clip=grad_clip))
    clipped = []
    for step in gradients:
        norm = np.sqrt(sum(float((g**2).sum()) for g in step.values()))
        scale = min(1.0, grad_clip / norm) if grad_clip else 1.0
        clipped.append({name: g * scale for name, g in step.items()})
    for name, weights in end.items():
        expected = by_hand(start[name], of(clipped, name), [0.1] * 3)
        np.testing.assert_allclose(weights, expected, atol=1e-5)


def test_weights_without_a_gradient_stay(network, optimizer):
    start = start_of(network)
    TorchOptimizer(network, combiner_rate=1.0).step(optimizer(L2=0.5, grad_clip=1.0))
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, start[name])


class TestLinker:
    """The same through the network's own shim."""

    @pytest.fixture
    def make_shim(self, spec):
        assert spacy.__version__  # Registers entry points.

        def make(seed=0, dropout=0.1, **settings):
            block = {"@architectures": "spacy-dwe.DWE.v1", **settings}
            shim = registry.resolve({"model": block})["model"].shims[0]
            torch.manual_seed(seed)
            shim.build(replace(spec, dropout=dropout), "cpu")
            return shim

        return make

    @pytest.fixture
    def batches(self, prepared, vectors):
        """Of a batch of three mentions and one of two, with their golds."""
        mentions = [
            prepared(4, 2, 0, tokens=3, n_pictures=2, n_regions=3, n_scenes=1),
            prepared(1, 0, tokens=2),
            prepared(5, 3, tokens=6, n_pictures=1, n_regions=1, n_scenes=4),
            prepared(2, 3, tokens=4, n_pictures=1, n_regions=2, n_scenes=2),
            prepared(tokens=3),
        ]
        golds = np.array([4, 0, 5, 3, -1])
        return [
            with_targets(
                collate(
                    mentions[part],
                    heads={"description@clip": vectors},
                    pictures={"clip": 8},
                    pooled=False,
                    device="cpu",
                ),
                golds[part],
                0.0,
            )
            for part in (slice(0, 3), slice(3, 5))
        ]

    def learn(self, shim, batches):
        for batch, targets in batches:
            output, backprop = shim((batch, shim.network.spec.channels), True)
            parts = shim.network.loss(output, batch, targets, DweSettings())
            backprop(parts.total)

    def test_gradients_of_updates_add_up_until_the_step(
        self, make_shim, batches, optimizer
    ):
        both = make_shim(dropout=0.0, channel_dropout=0.0)
        alone = []
        for batch in batches:
            self.learn(both, [batch])
            alone.append({n: p.grad for n, p in both.network.named_parameters()})
            both.network.zero_grad()
        self.learn(both, batches)
        for name, parameter in both.network.named_parameters():
            if not parameter.requires_grad:
                continue
            parts = [g[name] for g in alone if g[name] is not None]
            torch.testing.assert_close(parameter.grad, sum(parts))
        both.finish_update(optimizer())
        assert all(p.grad is None for p in both.network.parameters())

    def test_same_seed_gives_the_same_weights(self, make_shim, batches, optimizer):
        """Bit for bit, with dropout and channel dropout on."""
        ends = []
        for seed in (3, 3, 4):
            shim, sgd = make_shim(seed), optimizer(learn_rate=0.01, grad_clip=1.0)
            for _ in range(3):
                self.learn(shim, batches)
                shim.finish_update(sgd)
            ends.append(shim.to_bytes())
        assert ends[0] == ends[1] != ends[2]

    def test_every_weight_learns_and_stays_finite(self, make_shim, batches, optimizer):
        """From the third step on: corrections start at zero, and hide what is before
        them from the first."""
        shim, sgd = make_shim(channel_dropout=0.0), optimizer(grad_clip=1.0)
        start = start_of(shim.network)
        for _ in range(3):
            self.learn(shim, batches)
            shim.finish_update(sgd)
        # A context is never absent.
        still = {"mention_encoder.body.enhancers.text.unit.absent"}
        for name, parameter in shim.network.named_parameters():
            assert torch.isfinite(parameter).all(), name
            assert torch.equal(parameter, start[name]) == (name in still), name

    def test_a_new_network_gets_a_new_optimizer(self, make_shim, batches, optimizer):
        """The old one would go on training the old weights."""
        shim = make_shim()
        self.learn(shim, batches)
        shim.finish_update(optimizer())
        shim.from_bytes(shim.to_bytes())
        start = start_of(shim.network)
        self.learn(shim, batches)
        shim.finish_update(optimizer())
        weight = shim.network.combiner.weight
        assert not torch.equal(weight, start["combiner.weight"])
