"""Candidates with several vectors each, beside a loop over them."""

import pytest
import torch
from torch.nn.functional import normalize

from spacy_dwe.model.entity_vectors import EntityVectors, Owners

DIM, N = 6, 3
PICTURES = [[2, 0, 3], [1, 1, 1]]
"""How many each of three candidates of two mentions has."""


def units(*shape):
    return normalize(torch.randn(*shape, DIM, dtype=torch.double), dim=-1)


@pytest.fixture
def pictures():
    torch.manual_seed(0)
    return [[units(n) for n in own] for own in PICTURES]


@pytest.fixture
def entities(pictures):
    """Rows of three: the five vectors of the first mention stand in two of them."""
    (a, _, b), (c, d, e) = pictures
    padding = torch.zeros(1, DIM, dtype=torch.double)
    rows = [torch.cat([a, b[:1]]), torch.cat([b[1:], padding]), torch.cat([c, d, e])]
    return EntityVectors(
        torch.stack(rows),
        torch.tensor(PICTURES) > 0,
        mean=0.0,
        std=1.0,
        owners=Owners(
            mentions=torch.tensor([0, 0, 1]),
            candidates=torch.tensor([[0, 0, 2], [2, 2, 6], [3, 4, 5]]),
        ),
    )


def nearest(query, vectors):
    return max((v @ query for v in vectors), default=torch.zeros((), dtype=query.dtype))


def test_an_entity_is_as_like_as_its_nearest_picture(entities, pictures):
    queries = units(2)
    expected = [
        [nearest(query, own) for own in candidates]
        for query, candidates in zip(queries, pictures)
    ]
    torch.testing.assert_close(entities.cosines(queries), torch.tensor(expected))


@pytest.mark.parametrize("positions", [(0, 0), (2, 1), (1, 2)])
def test_so_are_the_golds_of_other_mentions(entities, pictures, positions):
    queries = units(2)
    golds = [own[at] for own, at in zip(pictures, positions)]
    expected = [[nearest(query, gold) for gold in golds] for query in queries]
    found = entities.cosines_across(queries, torch.tensor(positions))
    torch.testing.assert_close(found, torch.tensor(expected))


def test_only_the_nearest_is_learned_by(entities):
    queries = units(2).requires_grad_()
    entities.cosines(queries)[0, 2].backward()
    own = torch.cat([entities.vectors[0, 2:], entities.vectors[1, :2]])
    closest = own[(own @ queries[0]).argmax()]
    torch.testing.assert_close(queries.grad[0], closest)
    assert not queries.grad[1].any()


@pytest.mark.parametrize("several", [True, False])
def test_gradients_are_slopes(entities, several):
    if not several:
        present = torch.ones(2, N, dtype=torch.bool)
        entities = EntityVectors(units(2, N), present, 0.0, 1.0)
    queries, positions = units(2).requires_grad_(), torch.tensor([2, 1])
    assert torch.autograd.gradcheck(entities.cosines, queries)
    assert torch.autograd.gradcheck(
        lambda q: entities.cosines_across(q, positions), queries
    )


def test_one_vector_each_is_the_same_either_way():
    """The second candidate of the first mention has none."""
    present = torch.tensor([[True, False, True], [True, True, True]])
    one = EntityVectors(units(2, N) * present[..., None], present, 0.0, 1.0)
    candidates = torch.arange(2 * N).view(2, N).masked_fill(~present, 2 * N)
    owners = Owners(torch.arange(2), candidates)
    several = EntityVectors(one.vectors, present, 0.0, 1.0, owners)
    queries, positions = units(2), torch.tensor([1, 2])
    torch.testing.assert_close(several.cosines(queries), one.cosines(queries))
    torch.testing.assert_close(
        several.cosines_across(queries, positions),
        one.cosines_across(queries, positions),
    )
