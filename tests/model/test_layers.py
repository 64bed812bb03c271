"""The blocks of the network against slow computations of the same, one mention at a
time, in loops and double precision, that never see any padding."""

import numpy as np
import pytest
import torch
from slow_network import array, enhance, fuse, project

from spacy_dwe.model.layers import (
    CrossModalEnhancer,
    EnhancerShape,
    GatedFusion,
    Projector,
    masked_mean,
    with_a_valid_key,
)

WIDTH, N_HEADS = 12, 3


@pytest.fixture(params=[True, False], ids=["decoder", "mean"])
def enhancer(request, randomise):
    return randomise(
        CrossModalEnhancer(EnhancerShape(WIDTH, N_HEADS, 20, 0.0, request.param))
    )


@pytest.fixture(params=[True, False], ids=["decoder", "mean"])
def small_enhancer(request, randomise):
    """One of four, for what is slow."""
    return randomise(CrossModalEnhancer(EnhancerShape(4, 2, 5, 0.0, request.param)))


@pytest.fixture
def small_ragged():
    x, y = torch.randn(3, 2, 4), torch.randn(3, 2, 4)
    x_mask = torch.tensor([[True, False], [True, True], [True, True]])
    y_mask = torch.tensor([[True, True], [True, False], [False, False]])
    return x, x_mask, y, y_mask


@pytest.fixture
def ragged():
    """Three mentions of 1, 3 and 2 tokens with 4, 1 and 2 tokens of context."""
    x, y = torch.randn(3, 3, WIDTH), torch.randn(3, 4, WIDTH)
    x_mask = torch.arange(3) < torch.tensor([1, 3, 2])[:, None]
    y_mask = torch.arange(4) < torch.tensor([4, 1, 2])[:, None]
    return x, x_mask, y, y_mask


def test_projector_is_linear_relu_norm(randomise):
    projector = randomise(Projector(input_width=5, width=WIDTH, dropout=0.4)).eval()
    x = torch.randn(2, 3, 5)
    by_hand = project(projector, array(x))
    np.testing.assert_allclose(array(projector(x)), by_hand, atol=1e-5)


@pytest.mark.parametrize("is_train", [True, False], ids=["train", "inference"])
def test_enhancer_is_the_papers_figure(enhancer, ragged, is_train):
    x, x_mask, y, y_mask = ragged
    with torch.inference_mode(not is_train):
        out = enhancer.train(is_train)(x, x_mask, y, y_mask)
    for index in range(3):
        by_hand = enhance(
            enhancer,
            array(x[index, x_mask[index]]),
            array(y[index, y_mask[index]]),
        )
        np.testing.assert_allclose(array(out[index]), by_hand, atol=2e-5)


def test_padding_is_never_read(enhancer, ragged):
    x, x_mask, y, y_mask = ragged
    before = enhancer(x, x_mask, y, y_mask)
    x, y = x.masked_fill(~x_mask[..., None], 99), y.masked_fill(~y_mask[..., None], 99)
    torch.testing.assert_close(enhancer(x, x_mask, y, y_mask), before)


def test_missing_input_gives_the_learned_absent_vector(enhancer, ragged):
    x, x_mask, y, y_mask = ragged
    mates = enhancer(x, x_mask, y, y_mask)[[0, 2]]
    y_mask[1] = False
    out = enhancer(x, x_mask, y, y_mask)
    torch.testing.assert_close(out[1], enhancer.absent)
    torch.testing.assert_close(out[[0, 2]], mates, atol=1e-6, rtol=0)


@pytest.mark.parametrize("absent", [[1], [0, 1, 2]], ids=["one", "all"])
def test_missing_inputs_leave_gradients_finite(enhancer, ragged, absent):
    x, x_mask, y, y_mask = ragged
    x.requires_grad_()
    y.requires_grad_()
    y_mask[absent] = False
    # Squared, so that a gradient depends on the value.
    enhancer(x, x_mask, y, y_mask).square().sum().backward()
    gradients = {n: p.grad for n, p in enhancer.named_parameters()}
    gradients |= {"x": x.grad, "y": y.grad}
    for name, gradient in gradients.items():
        assert torch.isfinite(gradient).all(), name
    expected = 2 * len(absent) * enhancer.absent
    torch.testing.assert_close(gradients["absent"], expected)
    assert not x.grad[absent].any()
    assert not y.grad[absent].any()
    if len(absent) == 1:
        assert gradients["attention.in_proj_weight"].abs().sum() > 0


@pytest.mark.parametrize("gate", [True, False])
def test_fusion_weighs_each_dimension(randomise, gate):
    fusion = randomise(GatedFusion(width=WIDTH, gate=gate))
    z, a = torch.randn(2, WIDTH), torch.randn(2, WIDTH)
    out = array(fusion(z, a))
    for row in range(2):
        by_hand = fuse(fusion, array(z[row]), array(a[row]))
        np.testing.assert_allclose(out[row], by_hand, atol=1e-5)


def test_no_slots_at_all_are_the_absent_vector(enhancer, ragged):
    x, x_mask, *_ = ragged
    nothing = torch.zeros(3, 0, WIDTH), torch.zeros(3, 0, dtype=torch.bool)
    out = enhancer(x, x_mask, *nothing)
    assert torch.equal(out, enhancer.absent.expand(3, -1))


class TestGradients:
    """By finite differences, in double precision; one row of each kind."""

    @staticmethod
    def check(module, *inputs, masks=()):
        module.double()
        inputs = [x.double().requires_grad_() for x in inputs]
        weights = [p for p in module.parameters() if p.requires_grad]

        def run(*values):
            given = iter(values[: len(inputs)])
            ordered = [m if m is not None else next(given) for m in masks]
            return module(*ordered)

        masks = masks or [None] * len(inputs)
        assert torch.autograd.gradcheck(run, (*inputs, *weights), atol=1e-5)

    def test_enhancer(self, small_enhancer, small_ragged):
        """The last row has no second input."""
        x, x_mask, y, y_mask = small_ragged
        self.check(small_enhancer, x, y, masks=[None, x_mask, None, y_mask])

    def test_projector(self, randomise):
        projector = randomise(Projector(input_width=3, width=4, dropout=0.0))
        self.check(projector, torch.randn(2, 2, 3))

    @pytest.mark.parametrize("gate", [True, False])
    def test_fusion(self, randomise, gate):
        fusion = randomise(GatedFusion(width=3, gate=gate))
        self.check(fusion, torch.randn(2, 3), torch.randn(2, 3))


def test_mean_reads_valid_tokens_only(ragged):
    x, x_mask, *_ = ragged
    x_mask[2] = False
    x.requires_grad_()
    out = masked_mean(x, x_mask)
    torch.testing.assert_close(out[0], x[0, 0])
    torch.testing.assert_close(out[1], x[1].mean(0))
    torch.testing.assert_close(out[2], torch.zeros(WIDTH))
    out.sum().backward()
    assert torch.isfinite(x.grad).all()


def test_only_empty_rows_get_a_key():
    mask = torch.tensor([[False, True, False], [False, False, False]])
    expected = torch.tensor([[False, True, False], [True, False, False]])
    assert torch.equal(with_a_valid_key(mask), expected)
