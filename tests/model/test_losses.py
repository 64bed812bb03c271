import math

import pytest
import torch
from torch.nn.functional import normalize

from spacy_dwe.model.losses import IGNORED, info_nce, linking_loss


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


class TestInfoNCE:
    """Three mentions with three candidates each."""

    temperature = torch.tensor(0.5)

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

    def term(self, query, gold, negatives):
        """-log of the gold's share among itself and the negatives."""
        scores = [(query @ v / self.temperature).exp() for v in (gold, *negatives)]
        return -(scores[0] / sum(scores)).log()

    def test_negatives_are_candidates_and_golds_of_the_batch(
        self, queries, entities, valid
    ):
        q, e = queries, entities
        golds = torch.tensor([1, 0, 2])
        loss = info_nce(q, e, valid, golds, torch.tensor([7, 8, 9]), self.temperature)
        terms = [
            self.term(q[0], e[0, 1], [e[0, 0], e[1, 0], e[2, 2]]),
            self.term(q[1], e[1, 0], [e[1, 1], e[1, 2], e[0, 1], e[2, 2]]),
            self.term(q[2], e[2, 2], [e[2, 0], e[2, 1], e[0, 1], e[1, 0]]),
        ]
        torch.testing.assert_close(loss, sum(terms) / 3)

    def test_a_shared_gold_is_nobodys_negative(self, queries, entities, valid):
        q, e = queries, entities
        golds = torch.tensor([1, 0, 2])
        loss = info_nce(q, e, valid, golds, torch.tensor([7, 7, 9]), self.temperature)
        terms = [
            self.term(q[0], e[0, 1], [e[0, 0], e[2, 2]]),
            self.term(q[1], e[1, 0], [e[1, 1], e[1, 2], e[2, 2]]),
            self.term(q[2], e[2, 2], [e[2, 0], e[2, 1], e[0, 1], e[1, 0]]),
        ]
        torch.testing.assert_close(loss, sum(terms) / 3)

    @pytest.mark.parametrize(
        "target", [2, 3, IGNORED], ids=["gold without vector", "NIL", "ignored"]
    )
    def test_a_mention_without_a_gold_vector_is_left_out(
        self, queries, entities, valid, target
    ):
        targets = torch.tensor([target, 0, 2])
        rows = torch.tensor([7, 8, 9])
        loss = info_nce(queries, entities, valid, targets, rows, self.temperature)
        rest = (queries[1:], entities[1:], valid[1:], targets[1:], rows[1:])
        torch.testing.assert_close(loss, info_nce(*rest, self.temperature))

    def test_without_any_gold_it_is_zero_and_can_be_trained_on(
        self, queries, entities, valid
    ):
        queries.requires_grad_()
        targets, rows = torch.tensor([3, 3, IGNORED]), torch.tensor([7, 8, 9])
        loss = info_nce(queries, entities, valid, targets, rows, self.temperature)
        loss.backward()
        assert loss == 0
        assert not queries.grad.any()

    def test_gradients_are_finite_beside_what_is_masked(self, queries, entities, valid):
        """Those of the temperature too: -inf divided by it has none."""
        queries.requires_grad_()
        log_temperature = torch.tensor(0.05).log().requires_grad_()

        def loss(log_temperature):
            return info_nce(
                queries,
                entities,
                valid,
                torch.tensor([1, 0, 2]),
                torch.tensor([7, 7, 9]),
                log_temperature.exp(),
            )

        loss(log_temperature).backward()
        assert torch.isfinite(queries.grad).all()
        step = 1e-2
        slope = (loss(log_temperature + step) - loss(log_temperature - step)) / step / 2
        assert log_temperature.grad.item() == pytest.approx(slope.item(), rel=1e-2)
