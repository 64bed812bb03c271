"""States in the middle of a text tower, and those at a mention's edges."""

import numpy as np
import pytest
import torch
from tiny_models import ALL_KINDS
from torch import nn

from spacy_dwe.encoders.protocol import MentionText, edge_states
from spacy_dwe.encoders.registry import text_encoder
from spacy_dwe.encoders.towers import MiddleReader, middle_states


class Tower(nn.Module):
    """Each layer doubles its input; all may be one."""

    def __init__(self, n_layers, shared=False, as_tuple=False):
        super().__init__()
        layers = [Doubling(as_tuple) for _ in range(1 if shared else n_layers)]
        self.heads = nn.ModuleList()
        self.layers = nn.ModuleList(layers)
        self.n_layers = n_layers

    def forward(self, states):
        for i in range(self.n_layers):
            states = self.layers[i % len(self.layers)](states)
            states = states[0] if isinstance(states, tuple) else states
        return states


class Doubling(nn.Module):
    def __init__(self, as_tuple):
        super().__init__()
        self.as_tuple = as_tuple

    def forward(self, states):
        return (2 * states, None) if self.as_tuple else 2 * states


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("as_tuple", [False, True])
@pytest.mark.parametrize("n_layers, below", [(1, 1), (2, 1), (6, 4), (12, 8), (24, 16)])
def test_two_thirds_of_the_layers_are_below(n_layers, below, shared, as_tuple):
    tower = Tower(n_layers, shared, as_tuple)
    states = torch.ones(2, 3, 4)
    result, middle = MiddleReader(tower)(lambda: tower(states))
    assert torch.equal(result, states * 2**n_layers)
    assert torch.equal(middle, states * 2**below)
    assert not any(layer._forward_hooks for layer in tower.layers)


def test_a_tower_without_layers_is_read_at_its_end():
    tower = nn.Linear(4, 4)
    with torch.inference_mode():
        result, middle = MiddleReader(tower)(lambda: tower(torch.ones(2, 3, 4)))
    assert middle is None
    np.testing.assert_array_equal(middle_states(None, result), result.numpy())


class TokensFirst(nn.Module):
    """As in XLNet, what is between its layers is transposed."""

    def __init__(self):
        super().__init__()
        self.inner = Tower(3)

    def forward(self, states):
        return self.inner(states.transpose(0, 1)).transpose(0, 1)


def test_a_tower_that_puts_tokens_first_is_read_at_its_end():
    """In a square batch its states have the right shape and the wrong rows."""
    tower = TokensFirst()
    reader = MiddleReader(tower)
    one, several = torch.rand(1, 3, 4), torch.rand(3, 3, 4)
    last, middle = reader(lambda: tower(one))
    reader.check(middle, last)
    last, middle = reader(lambda: tower(several))
    np.testing.assert_array_equal(middle_states(middle, last), last.numpy())


def test_a_class_token_at_the_end_is_left_out():
    tower = Tower(3)
    reader = MiddleReader(tower)
    last, middle = reader(lambda: tower(torch.rand(1, 5, 4))[:, :4])
    reader.check(middle, last)
    last, middle = reader(lambda: tower(torch.rand(2, 5, 4))[:, :4])
    np.testing.assert_allclose(2 * middle_states(middle, last), last.numpy())


def test_edges_are_four_tokens_of_unit_length():
    states = np.random.default_rng(0).standard_normal((6, 5)).astype(np.float32)
    unit = states / np.linalg.norm(states, axis=1, keepdims=True)
    zero = np.zeros(5)

    def edges(first, end):
        return edge_states(states, slice(first, end)).reshape(4, 5)

    np.testing.assert_allclose(edges(2, 4), unit[[1, 2, 3, 4]], rtol=1e-6)
    np.testing.assert_allclose(edges(0, 1), [zero, unit[0], unit[0], unit[1]], 1e-6)
    np.testing.assert_allclose(edges(5, 6), [unit[4], unit[5], unit[5], zero], 1e-6)
    assert not edge_states(np.zeros((1, 5), np.float32), slice(0, 1)).any()
    states[2] = np.inf
    np.testing.assert_array_equal(edges(2, 4)[1], zero)
    np.testing.assert_allclose(edges(2, 4)[2], unit[3], rtol=1e-6)


def test_a_sentence_encoder_reads_its_own_hidden_states(bert_folder):
    from transformers import AutoModel, AutoTokenizer

    text = "paris is the rival of georgia"
    encoder = text_encoder(str(bert_folder), device="cpu", max_tokens=24)
    (found,) = encoder.encode_mentions([MentionText(text, 9, 18)])
    model = AutoModel.from_pretrained(str(bert_folder)).eval()
    inputs = AutoTokenizer.from_pretrained(str(bert_folder))(text, return_tensors="pt")
    with torch.inference_mode():
        hidden = model(**inputs, output_hidden_states=True).hidden_states
    below = round(2 / 3 * model.config.num_hidden_layers)
    assert 0 < below < len(hidden) - 1, "not the last ones"
    states = hidden[below][0, 1:-1].numpy()
    expected = edge_states(states, found.mention)
    np.testing.assert_allclose(found.edges, expected, atol=1e-5)


def edges_by_hand(encoder, mention):
    """Of a row with all its tokens, read off the first of two layers."""
    ids, rows = encoder._tokens.around(mention)
    layers = [
        part
        for part in encoder._tower.layers.modules()
        if isinstance(part, nn.ModuleList) and len(part) == 2
    ]
    noted = []
    hook = layers[0][0].register_forward_hook(lambda *call: noted.append(call[2]))
    with torch.inference_mode():
        encoder._tower(encoder._tokens.rows([ids]))
    hook.remove()
    states = noted[0][0] if isinstance(noted[0], tuple) else noted[0]
    first = encoder._tokens.n_before
    return edge_states(states[0, first : first + len(ids)].numpy(), rows)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_clip_model_has_a_middle(clip, kind):
    """Its states are not the last ones, and do not depend on what a batch holds."""
    encoder = clip(kind)
    text = "Paris is a rival of London."
    mentions = [MentionText(text, 0, 5), MentionText("So is Rome", 6, 10)]
    together = encoder.encode_mentions(mentions)
    for mention, found in zip(mentions, together):
        assert found.edges.shape == (4 * encoder.width,)
        assert not np.allclose(found.edges, edge_states(found.states, found.mention))
        np.testing.assert_allclose(
            found.edges, edges_by_hand(encoder, mention), atol=1e-5
        )
        (alone,) = encoder.encode_mentions([mention])
        np.testing.assert_allclose(found.edges, alone.edges, atol=1e-5)
