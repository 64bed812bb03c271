"""Alignment losses beside slow computations in double precision."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from spacy_dwe.model.losses import MAX_SCALE, a_align, s_align

SCALE = torch.tensor(1 / 0.07, dtype=torch.double)


def cosine(a, b):
    return (normalize(a.double(), dim=0) @ normalize(b.double(), dim=0)).item()


def by_hand(pairs, is_positive, is_compared):
    """Symmetric InfoNCE, pair by pair: minus the log of the positives' share, from
    either side, over the pairs (a, b)."""
    total = 0.0
    for i in range(len(pairs)):
        there = [j for j in range(len(pairs)) if i == j or is_compared(i, j)]
        for likeness in (
            lambda j, i=i: cosine(pairs[i][0], pairs[j][1]),
            lambda j, i=i: cosine(pairs[j][0], pairs[i][1]),
        ):
            shares = {j: math.exp(SCALE.item() * likeness(j)) for j in there}
            right = [s for j, s in shares.items() if i == j or is_positive(i, j)]
            total -= math.log(sum(right) / sum(shares.values()))
    return total / (2 * len(pairs))


class TestFaces:
    """Three mentions with two regions each; the last region has no face."""

    @pytest.fixture
    def frozen(self):
        faces, objects = torch.randn(2, 3, 2, 5).double()
        mask = torch.tensor([[True, True], [True, True], [True, False]])
        return faces, objects, mask

    @pytest.fixture
    def projected(self):
        return torch.randn(2, 3, 2, 4).double()

    def test_each_phrase_is_told_from_those_of_other_regions(self, frozen, projected):
        (faces, objects, mask), (f, o) = frozen, projected
        pairs = list(zip(f[mask], o[mask]))
        expected = by_hand(pairs, lambda i, j: False, lambda i, j: True)
        found = a_align(f, o, faces, objects, mask, SCALE)
        assert found.item() == pytest.approx(expected)

    def test_equal_phrases_are_positives_of_each_other(self, frozen, projected):
        (faces, objects, mask), (f, o) = frozen, projected
        faces[1, 0] = faces[0, 0]
        pairs = list(zip(f[mask], o[mask]))
        expected = by_hand(pairs, lambda i, j: {i, j} == {0, 2}, lambda i, j: True)
        found = a_align(f, o, faces, objects, mask, SCALE)
        assert found.item() == pytest.approx(expected)

    def test_pairs_of_a_shared_picture_count_once(self, frozen, projected):
        (faces, objects, mask), (f, o) = frozen, projected
        faces[1], objects[1] = faces[0], objects[0]
        once = torch.tensor([[True, True], [False, False], [True, False]])
        found = a_align(f, o, faces, objects, mask, SCALE)
        expected = a_align(f, o, faces, objects, once, SCALE)
        torch.testing.assert_close(found, expected)

    @pytest.mark.parametrize("n", [0, 1])
    def test_under_two_pairs_it_is_zero(self, frozen, projected, n):
        (faces, objects, _), (f, o) = frozen, projected.requires_grad_()
        few = torch.arange(6).view(3, 2) < n
        found = a_align(f, o, faces, objects, few, SCALE)
        found.backward()
        assert found.item() == pytest.approx(0, abs=1e-12)
        assert projected.grad.abs().max() < 1e-12

    def test_gradients_are_slopes(self, frozen, projected):
        (faces, objects, mask), (f, o) = frozen, projected
        faces[1, 0] = faces[0, 0]
        mask[1, 1] = False
        inputs = [
            x.clone().requires_grad_() for x in (f, o, torch.tensor(3.0).double())
        ]
        assert torch.autograd.gradcheck(
            lambda f, o, scale: a_align(f, o, faces, objects, mask, scale), inputs
        )


class TestMentions:
    """Five mentions, the last without a picture."""

    @pytest.fixture
    def frozen(self):
        pictures = torch.randn(5, 2, 4).double()
        mask = torch.tensor([[True, True], [True, False], [True, True], [True, False]])
        mask = torch.cat([mask, torch.zeros(1, 2, dtype=torch.bool)])
        return pictures, mask, torch.arange(5)

    @pytest.fixture
    def enhanced(self):
        return torch.randn(2, 5, 6).double()

    def test_each_picture_is_told_from_those_of_other_mentions(self, frozen, enhanced):
        pairs = list(zip(*enhanced[:, :4]))
        expected = by_hand(pairs, lambda i, j: False, lambda i, j: True)
        assert s_align(*enhanced, *frozen, SCALE).item() == pytest.approx(expected)

    def test_same_picture_or_sentence_is_no_negative(self, frozen, enhanced):
        """Any picture in common makes two mentions alike; padding does not."""
        pictures, _, sentences = frozen
        pictures[2, 1] = pictures[0, 0]
        pictures[1, 1] = pictures[3, 1]
        sentences[3] = sentences[1]
        pairs = list(zip(*enhanced[:, :4]))
        alike = ({0, 2}, {1, 3})
        expected = by_hand(pairs, lambda i, j: False, lambda i, j: {i, j} not in alike)
        assert s_align(*enhanced, *frozen, SCALE).item() == pytest.approx(expected)

    @pytest.mark.parametrize("n", [0, 1])
    def test_under_two_mentions_it_is_zero(self, frozen, enhanced, n):
        pictures, _, sentences = frozen
        few = (torch.arange(5) < n)[:, None].expand(5, 2)
        enhanced.requires_grad_()
        found = s_align(*enhanced, pictures, few, sentences, SCALE)
        found.backward()
        assert found.item() == pytest.approx(0, abs=1e-12)
        assert enhanced.grad.abs().max() < 1e-12

    def test_the_scale_is_bounded(self, frozen, enhanced):
        far, bound = torch.tensor(1e6).double(), torch.tensor(MAX_SCALE).double()
        found = s_align(*enhanced, *frozen, far)
        torch.testing.assert_close(found, s_align(*enhanced, *frozen, bound))

    def test_gradients_are_slopes(self, frozen, enhanced):
        frozen[2][3] = frozen[2][1]
        inputs = [*enhanced.clone(), torch.tensor(3.0).double()]
        inputs = [x.clone().requires_grad_() for x in inputs]
        assert torch.autograd.gradcheck(
            lambda v, t, scale: s_align(v, t, *frozen, scale), inputs
        )
