import math

import pytest
import torch
from torch.nn.functional import normalize

from spacy_dwe.model.entity_vectors import EntityVectors
from spacy_dwe.model.losses import (
    IGNORED,
    Contrast,
    info_nce,
    linking_loss,
    n_pair,
    triplet,
)


class TestLinkingLoss:
    def test_is_the_mean_negative_log_probability_of_the_gold(self):
        log_p = torch.tensor(
            [[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.9, 0.05, 0.05]]
        ).log()
        loss = linking_loss(log_p, torch.tensor([1, 2, IGNORED]))
        assert loss.item() == pytest.approx(-(math.log(0.3) + math.log(0.8)) / 2)

    def test_padding_takes_no_part(self):
        """The second mention has one candidate, the third none: it is NIL."""
        logits = torch.randn(3, 4)
        padding = torch.arange(4) >= torch.tensor([4, 2, 1])[:, None]
        logits = logits.masked_fill(padding, -torch.inf)[:, [1, 2, 3, 0]]
        logits.requires_grad_()
        linking_loss(logits.log_softmax(1), torch.tensor([0, 0, 3])).backward()
        assert torch.isfinite(logits.grad).all()
        assert not logits.grad[torch.isneginf(logits)].any()
        # d loss / d logit of the gold = (p - 1) / mentions.
        p = logits[0].softmax(0)[0].item()
        assert logits.grad[0, 0].item() == pytest.approx((p - 1) / 3, abs=1e-6)

    def test_without_labels_it_is_zero_and_can_be_trained_on(self):
        logits = torch.tensor([[1.0, -torch.inf, 0.0]], requires_grad=True)
        loss = linking_loss(logits.log_softmax(1), torch.tensor([IGNORED]))
        loss.backward()
        assert loss == 0
        assert not logits.grad.any()

    def test_does_not_hide_nan(self):
        log_p = torch.tensor([[math.nan, math.nan]])
        assert linking_loss(log_p, torch.tensor([0])).isnan()


TEMPERATURE, MARGIN = torch.tensor(0.5), 0.5

LOSSES = {
    "info_nce": lambda contrast: info_nce(contrast, TEMPERATURE),
    "triplet": lambda contrast: triplet(contrast, MARGIN),
    "n_pair": n_pair,
}


def share(scores):
    """-log of what exp(the first) is of the sum of all."""
    return -math.log(math.exp(scores[0]) / sum(math.exp(score) for score in scores))


def by_hand(loss, rows):
    """rows (list): of each mention its query, its gold and its negatives."""
    lists = [[(query.double() @ v.double()).item() for v in vs] for query, *vs in rows]
    if loss == "info_nce":
        return sum(share([c / 0.5 for c in own]) for own in lists) / len(lists)
    if loss == "n_pair":
        sums = [sum(math.exp(n - own[0]) for n in own[1:]) for own in lists]
        return sum(math.log(1 + total) for total in sums) / len(sums)
    # The distance to the gold, 1 - cos, is to be smaller by the margin.
    terms = [
        max(0.0, MARGIN + (1 - own[0]) - (1 - n)) for own in lists for n in own[1:]
    ]
    above = [term for term in terms if term > 0]
    return sum(above) / max(1, len(above))


def contrast_of(queries, entities, valid, targets, rows):
    targets = torch.tensor(targets)
    vectors = EntityVectors(entities, valid, 0.0, 1.0)
    golds = vectors.cosines_across(queries, targets.clamp(0, entities.shape[1] - 1))
    cosines = vectors.cosines(queries), golds
    return Contrast.of(*cosines, valid, targets, torch.tensor(rows))


@pytest.mark.parametrize("name", LOSSES)
class TestContrast:
    """Three mentions with three candidates each; the first has only two."""

    @pytest.fixture
    def queries(self):
        return normalize(torch.randn(3, 6), dim=-1)

    @pytest.fixture
    def entities(self):
        return normalize(torch.randn(3, 3, 6), dim=-1)

    @pytest.fixture
    def valid(self):
        valid = torch.ones(3, 3, dtype=torch.bool)
        valid[0, 2] = False
        return valid

    @pytest.fixture
    def loss(self, name):
        def compute(queries, entities, valid, targets, rows):
            contrast = contrast_of(queries, entities, valid, targets, rows)
            return LOSSES[name](contrast)

        return compute

    def test_negatives_are_candidates_and_golds_of_the_batch(
        self, name, loss, queries, entities, valid
    ):
        q, e = queries, entities
        rows = [
            (q[0], e[0, 1], e[0, 0], e[1, 0], e[2, 2]),
            (q[1], e[1, 0], e[1, 1], e[1, 2], e[0, 1], e[2, 2]),
            (q[2], e[2, 2], e[2, 0], e[2, 1], e[0, 1], e[1, 0]),
        ]
        found = loss(q, e, valid, [1, 0, 2], [7, 8, 9])
        assert found.item() == pytest.approx(by_hand(name, rows), abs=1e-5)

    def test_a_shared_gold_is_nobodys_negative(
        self, name, loss, queries, entities, valid
    ):
        q, e = queries, entities
        rows = [
            (q[0], e[0, 1], e[0, 0], e[2, 2]),
            (q[1], e[1, 0], e[1, 1], e[1, 2], e[2, 2]),
            (q[2], e[2, 2], e[2, 0], e[2, 1], e[0, 1], e[1, 0]),
        ]
        found = loss(q, e, valid, [1, 0, 2], [7, 7, 9])
        assert found.item() == pytest.approx(by_hand(name, rows), abs=1e-5)

    @pytest.mark.parametrize(
        "target", [2, 3, IGNORED], ids=["gold without vector", "NIL", "ignored"]
    )
    def test_a_mention_without_a_gold_vector_is_left_out(
        self, loss, queries, entities, valid, target
    ):
        found = loss(queries, entities, valid, [target, 0, 2], [7, 8, 9])
        rest = loss(queries[1:], entities[1:], valid[1:], [0, 2], [8, 9])
        torch.testing.assert_close(found, rest)

    def test_without_any_gold_it_is_zero_and_can_be_trained_on(
        self, loss, queries, entities, valid
    ):
        queries.requires_grad_()
        found = loss(queries, entities, valid, [3, 3, IGNORED], [7, 8, 9])
        found.backward()
        assert found == 0
        assert not queries.grad.any()

    def test_gradients_are_slopes(self, loss, queries, entities, valid):
        """Beside what is masked; by finite differences in double precision."""
        inputs = queries.double().requires_grad_(), entities.double().requires_grad_()
        assert torch.autograd.gradcheck(
            lambda q, e: loss(q, e, valid, [1, 0, 2], [7, 7, 9]), inputs
        )


def test_the_temperature_has_a_gradient():
    """-inf divided by it has none."""
    queries = normalize(torch.randn(2, 6, dtype=torch.double), dim=-1)
    entities = normalize(torch.randn(2, 3, 6, dtype=torch.double), dim=-1)
    valid = torch.tensor([[True, True, False], [True, True, True]])
    contrast = contrast_of(queries, entities, valid, [0, 1], [7, 7])
    temperature = torch.tensor(0.05, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: info_nce(contrast, t), temperature)


def test_triplets_beyond_the_margin_do_not_dilute_the_mean():
    contrast = Contrast(
        positives=torch.tensor([0.9]),
        negatives=torch.tensor([[0.8, -0.9, -0.9]]),
        left_out=torch.tensor([[False, False, False]]),
        weights=torch.ones(1),
    )
    assert triplet(contrast, 0.5).item() == pytest.approx(0.4)
