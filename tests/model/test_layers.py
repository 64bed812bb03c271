"""The blocks of the network against slow computations of the same, one mention at a
time, in loops and double precision, that never see any padding."""

import numpy as np
import pytest
import torch

from spacy_dwe.model.layers import (
    CrossModalEnhancer,
    GatedFusion,
    Projector,
    masked_mean,
    with_a_valid_key,
)

WIDTH, N_HEADS = 12, 3


def array(tensor):
    return tensor.detach().double().numpy()


def linear(layer, x):
    return x @ array(layer.weight).T + array(layer.bias)


def norm(layer, x):
    centred = x - x.mean(-1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + layer.eps)
    return centred / deviation * array(layer.weight) + array(layer.bias)


def feed_forward(first, second, x):
    return linear(second, np.maximum(linear(first, x), 0))


def attend(layer, x, y):
    """Multi-head attention, token by token and head by head."""
    weights = array(layer.in_proj_weight).reshape(3, WIDTH, WIDTH)
    biases = array(layer.in_proj_bias).reshape(3, WIDTH)
    queries = x @ weights[0].T + biases[0]
    keys = y @ weights[1].T + biases[1]
    values = y @ weights[2].T + biases[2]
    size = WIDTH // N_HEADS
    out = np.zeros_like(queries)
    for i in range(len(x)):
        for head in range(N_HEADS):
            part = slice(head * size, (head + 1) * size)
            scores = [queries[i, part] @ key[part] / np.sqrt(size) for key in keys]
            shares = np.exp(scores) / np.exp(scores).sum()
            for share, value in zip(shares, values):
                out[i, part] += share * value[part]
    return linear(layer.out_proj, out)


def enhance(unit, x, y):
    """The enhancer of the paper's figure: attention, Add&Norm, FFN, Add&Norm, and then
    a post-norm Transformer decoder layer with one query, or the mean."""
    x = norm(unit.attention_norm, x + attend(unit.attention, x, y))
    x = norm(unit.ffn_norm, x + feed_forward(unit.ffn[0], unit.ffn[3], x))
    if unit.decoder is None:
        return x.mean(0)
    layer, query = unit.decoder, array(unit.query)[None]
    query = norm(layer.norm1, query + attend(layer.self_attn, query, query))
    query = norm(layer.norm2, query + attend(layer.multihead_attn, query, x))
    out = feed_forward(layer.linear1, layer.linear2, query)
    return norm(layer.norm3, query + out)[0]


@pytest.fixture(params=[True, False], ids=["decoder", "mean"])
def enhancer(request, randomise):
    return randomise(
        CrossModalEnhancer(
            width=WIDTH,
            n_heads=N_HEADS,
            ffn_width=20,
            dropout=0.0,
            decoder=request.param,
        )
    )


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
    by_hand = norm(projector.norm, np.maximum(linear(projector.linear, array(x)), 0))
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


def test_gated_fusion_weighs_each_dimension(randomise):
    fusion = randomise(GatedFusion(width=WIDTH))
    z, a = torch.randn(2, WIDTH), torch.randn(2, WIDTH)
    out = array(fusion(z, a))
    weight, bias = array(fusion.gate.weight), array(fusion.gate.bias)
    for row in range(2):
        left, right = array(z[row]), array(a[row])
        mixed = np.zeros(WIDTH)
        for i in range(WIDTH):
            score = weight[i, :WIDTH] @ left + weight[i, WIDTH:] @ right + bias[i]
            gate = 1 / (1 + np.exp(-score))
            mixed[i] = gate * left[i] + (1 - gate) * right[i]
        np.testing.assert_allclose(out[row], linear(fusion.output, mixed), atol=1e-5)


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
