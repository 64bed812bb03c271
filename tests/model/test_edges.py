"""What is read of a mention's edges."""

import numpy as np
import pytest
import torch

from spacy_dwe.model import combiner as edges
from spacy_dwe.model.combiner import EdgeReader


@pytest.fixture
def states():
    """Of 50 mentions, 4 edges and 6 dimensions, each edge about a mean of its own."""
    means = 3 * torch.randn(4, 6)
    return (means + torch.randn(50, 4, 6) * torch.tensor([9, 1, 5, 1, 1, 1])).flatten(1)


def test_axes_are_where_states_vary_most_about_their_mean(monkeypatch, states):
    monkeypatch.setattr(edges, "AXES", 2)
    reader = EdgeReader(24)
    reader.look_at(states)
    for edge in range(4):
        own = states.reshape(50, 4, 6)[:, edge].double().numpy()
        own -= own.mean(axis=0)
        own /= np.linalg.norm(own, axis=1, keepdims=True)
        values, vectors = np.linalg.eigh(own.T @ own)
        expected = vectors[:, np.argsort(values)[-2:]]
        found = reader.axes[edge].double().numpy()
        np.testing.assert_allclose(np.abs(found.T @ expected), np.eye(2), atol=1e-3)


def test_what_all_states_have_in_common_says_nothing(states):
    reader = EdgeReader(24)
    reader.look_at(states)
    reader.weight += torch.randn(24)
    reader.form += torch.randn(24, 24)
    moved = states + torch.randn(24)
    other = EdgeReader(24)
    other.look_at(moved)
    other.weight += reader.weight
    other.axes.copy_(reader.axes)
    other.form += reader.form
    torch.testing.assert_close(other(moved), reader(states), atol=1e-3, rtol=1e-3)


def test_it_says_nothing_before_it_was_fitted(states):
    assert not EdgeReader(24)(states).any()


@pytest.mark.parametrize("n_kinds", [1, 2])
def test_mentions_alike_leave_finite_axes(n_kinds):
    """Their states differ by rounding alone, or along one line."""
    alike = torch.nn.functional.normalize(torch.randn(n_kinds, 4, 16), dim=2)
    states = alike.flatten(1).repeat_interleave(torch.tensor([8, 1])[:n_kinds], dim=0)
    reader = EdgeReader(64)
    reader.look_at(states)
    reader.weight += 1
    reader.form += 1
    assert reader.axes.isfinite().all()
    assert reader(states).any() == (n_kinds > 1)
