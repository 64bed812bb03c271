"""s(e) = Σ_c m_c · (w_c · x_c + b_c · present_c), and NIL as one more candidate."""

import math

import pytest
import torch
from columns import columns

from spacy_dwe.model.combiner import (
    ALLOWED,
    BESIDE_PICTURES,
    LEAST_TEXT,
    MOST_TEXT,
    SHOWN,
    Combiner,
)

LAYOUT = columns(["name", "prior", "text"])
NAME, PRIOR = LAYOUT.of("name")[0], LAYOUT.of("prior")[0]
MATCH, TEXT = LAYOUT.names.index(("name", "match")), LAYOUT.of("text")[0]


@pytest.fixture
def combiner(randomise):
    return randomise(Combiner(LAYOUT), scale=1.0)


@pytest.fixture
def features():
    """Three mentions with 4, 1 and no candidates."""
    return torch.rand(3, 4, len(LAYOUT))


@pytest.fixture
def candidates():
    return torch.arange(4) < torch.tensor([4, 1, 0])[:, None]


@pytest.fixture
def described(candidates):
    return candidates.clone()


@pytest.fixture
def present(candidates, features):
    return candidates.unsqueeze(-1).expand_as(features).clone()


def test_contributions_add_up_to_the_logit(
    combiner, features, present, candidates, described
):
    scores = combiner(features, present, candidates, described)
    for row, column in candidates.nonzero().tolist():
        expected = combiner.weight @ features[row, column] + combiner.bias.sum()
        torch.testing.assert_close(scores.logits[row, column], expected)
        total = scores.by_column[row, column].sum()
        torch.testing.assert_close(total, scores.logits[row, column])


def test_masked_feature_adds_nothing(
    combiner, features, present, candidates, described
):
    present[0, 2, PRIOR] = False
    scores = combiner(features, present, candidates, described)
    features[0, 2, PRIOR] = 1e6
    again = combiner(features, present, candidates, described)
    assert scores.by_column[0, 2, PRIOR] == 0
    torch.testing.assert_close(again.logits, scores.logits)
    others = [i for i in range(len(LAYOUT)) if i != PRIOR]
    expected = combiner.weight[others] @ features[0, 2, others]
    expected = expected + combiner.bias[others].sum()
    torch.testing.assert_close(scores.logits[0, 2], expected)


def test_a_feature_absent_everywhere_is_not_trained(
    combiner, features, present, candidates, described
):
    present[..., PRIOR] = False
    scores = combiner(features, present, candidates, described)
    scores.log_probabilities()[:, -1].sum().backward()
    assert combiner.weight.grad[PRIOR] == combiner.bias.grad[PRIOR] == 0
    assert combiner.weight.grad[NAME] != 0


def test_padding_has_no_probability(combiner, features, present, candidates, described):
    scores = combiner(features, present, candidates, described)
    p = scores.log_probabilities().exp()
    assert (p[:, :-1][~candidates] == 0).all()
    torch.testing.assert_close(p.sum(1), torch.ones(3))

    wider = [t.repeat_interleave(2, dim=1) for t in (features, present)]
    cut = torch.cat([candidates, torch.zeros(3, 4, dtype=torch.bool)], dim=1)
    wider[0][:, :4], wider[1][:, :4] = features, present
    padded = combiner(*wider, cut, torch.cat([described, described], dim=1))
    torch.testing.assert_close(padded.logits[:, :4], scores.logits)
    torch.testing.assert_close(padded.nil, scores.nil)


class TestNil:
    """NIL's logit is linear in six features of the best candidate, and in what the
    mention's edges say."""

    def by_hand(self, combiner, best, margin, own, described, mention=0.0, named=True):
        """own (Tensor): the best candidate's columns."""
        bias, *weights = combiner.nil.tolist()
        name, match, text = own[[NAME, MATCH, TEXT]].tolist()
        if not named:
            name, match = 0.0, ALLOWED
        values = (best, margin, name, described, mention, match, text)
        return bias + sum(w * v for w, v in zip(weights, values))

    def test_follows_the_best_candidate(
        self, combiner, features, present, candidates, described
    ):
        scores = combiner(features, present, candidates, described)
        best = int(scores.logits[0].argmax())
        first, second = scores.logits[0].sort(descending=True).values[:2].tolist()
        own = features[0, best]
        expected = self.by_hand(combiner, first, first - second, own, 1.0)
        assert scores.nil[0].item() == pytest.approx(expected, abs=1e-5)

        described[0, best] = False
        scores = combiner(features, present, candidates, described)
        expected = self.by_hand(combiner, first, first - second, own, 0.0)
        assert scores.nil[0].item() == pytest.approx(expected, abs=1e-5)

    def test_a_lone_candidate_has_its_margin_over_zero_and_is_not_certain(
        self, combiner, features, present, candidates, described
    ):
        scores = combiner(features, present, candidates, described)
        best = scores.logits[1, 0].item()
        expected = self.by_hand(combiner, best, best, features[1, 0], 1.0)
        assert scores.nil[1].item() == pytest.approx(expected, abs=1e-5)
        assert scores.log_probabilities()[1, 0].exp() < 1

    def test_without_candidates_it_is_certain(
        self, combiner, features, present, candidates, described
    ):
        scores = combiner(features, present, candidates, described)
        assert scores.nil[2] == combiner.nil[0]
        assert scores.log_probabilities()[2, -1] == 0

    def test_equal_candidates_have_no_margin(
        self, combiner, features, present, candidates, described
    ):
        features[0] = features[0, 0]
        scores = combiner(features, present, candidates, described)
        best = scores.logits[0, 0].item()
        expected = self.by_hand(combiner, best, 0.0, features[0, 0], 1.0)
        assert scores.nil[0].item() == pytest.approx(expected, abs=1e-5)

    @pytest.mark.parametrize("text", [MOST_TEXT + 3, -MOST_TEXT - 3])
    def test_reads_no_more_of_the_text_than_that(
        self, combiner, features, present, candidates, described, text
    ):
        features[0] = features[0, 0]
        features[0, :, TEXT] = text
        scores = combiner(features, present, candidates, described)
        own = features[0, 0].clone()
        own[TEXT] = MOST_TEXT if text > 0 else LEAST_TEXT
        best = scores.logits[0, 0].item()
        expected = self.by_hand(combiner, best, 0.0, own, 1.0)
        assert scores.nil[0].item() == pytest.approx(expected, abs=1e-5)

    def test_does_not_read_a_name_that_is_switched_off(
        self, combiner, features, present, candidates, described
    ):
        present[..., LAYOUT.of("name")] = False
        scores = combiner(features, present, candidates, described)
        first, second = scores.logits[0].sort(descending=True).values[:2].tolist()
        own = features[0, int(scores.logits[0].argmax())]
        margin = first - second
        expected = self.by_hand(combiner, first, margin, own, 1.0, named=False)
        assert scores.nil[0].item() == pytest.approx(expected, abs=1e-5)

    def test_reads_the_edges_of_the_mention(
        self, randomise, features, present, candidates, described
    ):
        combiner = randomise(Combiner(LAYOUT, edge_width=8))
        combiner.edges.mean += torch.randn(4, 2)
        combiner.edges.weight += torch.randn(8)
        combiner.edges.axes += torch.randn(4, 2, 2)
        combiner.edges.form += torch.randn(8, 8)
        edges = torch.randn(3, 8)
        scores = combiner(features, present, candidates, described, edges)
        first, second = scores.logits[0].sort(descending=True).values[:2].tolist()
        own = features[0, int(scores.logits[0].argmax())]
        mention = self.edges_by_hand(combiner.edges, edges[0])
        expected = self.by_hand(combiner, first, first - second, own, 1.0, mention)
        assert scores.nil[0].item() == pytest.approx(expected, abs=1e-5)

        unread = combiner(features, present, candidates, described)
        expected = self.by_hand(combiner, first, first - second, own, 1.0)
        assert unread.nil[0].item() == pytest.approx(expected, abs=1e-5)
        assert torch.equal(unread.logits, scores.logits)

    def edges_by_hand(self, reader, edges):
        """w · z + p(z)ᵀ A p(z), one number at a time."""
        states = []
        for e in range(4):
            x = [float(edges[2 * e + i] - reader.mean[e, i]) for i in range(2)]
            states += [value / math.hypot(*x) for value in x]
        along = [
            sum(float(reader.axes[e, i, a]) * states[2 * e + i] for i in range(2))
            for e in range(4)
            for a in range(2)
        ]
        pairs = [
            float(reader.form[i, j]) * along[i] * along[j]
            for i in range(8)
            for j in range(8)
        ]
        alone = [float(w) * z for w, z in zip(reader.weight, states)]
        return sum(alone) + sum(pairs)

    @pytest.mark.parametrize("channels", [["text"], []])
    def test_is_there_without_a_name_channel(self, randomise, channels):
        combiner = randomise(Combiner(columns(channels)))
        yes = torch.ones(1, 2, dtype=torch.bool)
        features = torch.rand(1, 2, len(channels))
        present = torch.ones_like(features, dtype=torch.bool)
        scores = combiner(features, present, yes, yes)
        assert torch.isfinite(scores.nil).all()


@pytest.mark.parametrize("target", ["gold", "NIL"])
def test_gradients_are_finite_beside_padding(
    combiner, features, present, candidates, described, target
):
    features[0, 1] = features[0, 0]
    features.requires_grad_()
    log_p = combiner(features, present, candidates, described).log_probabilities()
    (log_p[:2, 0] if target == "gold" else log_p[:, -1]).sum().backward()
    for gradient in (features.grad, *(p.grad for p in combiner.parameters())):
        assert torch.isfinite(gradient).all()
    assert combiner.nil.grad[0] != 0
    assert not features.grad[~candidates].any()


def test_untrained_a_name_that_matches_beats_nil_whatever_else_is_said():
    """Text and prior choose among candidates, and make no link."""
    combiner = Combiner(LAYOUT)
    features = torch.zeros(3, 2, len(LAYOUT))
    features[:, :, MATCH] = torch.tensor([[4.0, 4.0], [-4.0, -4.0], [-4.0, -4.0]])
    features[:2, 1, TEXT] = features[2, 1, PRIOR] = 1.0
    yes = torch.ones(3, 2, dtype=torch.bool)
    scores = combiner(features, torch.ones_like(features, dtype=torch.bool), yes, yes)
    assert (scores.logits[:, 1] > scores.logits[:, 0]).all()
    assert (scores.logits[:, 1] > scores.nil).tolist() == [True, False, False]


PICTURED = columns(["name", "image"])
SHOWS = PICTURED.names.index(("image", "shown"))
FITS = PICTURED.names.index(("image", "picture_picture"))


@pytest.mark.parametrize(
    ("other", "shown", "links"),
    [
        pytest.param(4.0, 4.0, True, id="the picture decides"),
        pytest.param(4.0, -2.0, False, id="neither text nor picture decides"),
        pytest.param(-8.0, -2.0, True, id="the text decides"),
        pytest.param(4.0, None, True, id="there is no picture"),
    ],
)
def test_untrained_doubt_is_of_what_the_picture_should_have_decided(
    other, shown, links
):
    """A foreign picture of one of two namesakes makes NIL, and nothing else does."""
    features = torch.zeros(1, 2, len(PICTURED))
    features[0, :, PICTURED.names.index(("name", "match"))] = torch.tensor([4.0, other])
    present = torch.ones_like(features, dtype=torch.bool)
    present[..., [SHOWS, FITS]] = shown is not None
    features[0, 0, [SHOWS, FITS]] = shown or 0.0
    features[0, 1, [SHOWS, FITS]] = -2.3
    yes = torch.ones(1, 2, dtype=torch.bool)
    scores = Combiner(PICTURED)(features, present, yes, yes)
    assert bool(scores.logits.max() > scores.nil) == links


def test_doubt_does_not_grow_with_how_well_a_picture_is_shown():
    features = torch.zeros(50, 2, len(PICTURED))
    features[:, :, PICTURED.names.index(("name", "match"))] = 4.0
    features[:, 0, SHOWS] = torch.linspace(-2.3, 8, 50)
    features[:, 1, FITS] = -2.3
    yes = torch.ones(50, 2, dtype=torch.bool)
    present = torch.ones_like(features, dtype=torch.bool)
    doubt = Combiner(PICTURED)(features, present, yes, yes).nil_features[:, -1]
    assert (doubt.diff() < 0).all()
    assert doubt[0] > 5.9
    assert doubt[features[:, 0, SHOWS] > SHOWN + 3].max() < 0.02


@pytest.mark.parametrize("shown", [True, False])
def test_beside_pictures_that_say_whom_they_show_the_text_counts_less(shown):
    layout = columns(["name", "text", "image"])
    features = torch.ones(1, 2, len(layout))
    present = torch.ones_like(features, dtype=torch.bool)
    present[0, :, layout.names.index(("image", "shown"))] = torch.tensor([shown, False])
    yes = torch.ones(1, 2, dtype=torch.bool)
    by_column = Combiner(layout)(features, present, yes, yes).by_column
    weight = 2.0 * (BESIDE_PICTURES if shown else 1.0)
    assert by_column[0, :, layout.of("text")[0]].tolist() == pytest.approx([weight] * 2)
    assert by_column[0, 0, layout.names.index(("name", "match"))] == 1.0
