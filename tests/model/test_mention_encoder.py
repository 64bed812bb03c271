import pytest
import torch
from torch.nn.functional import normalize, softplus

from spacy_dwe.model.dwe import MentionEncoder
from spacy_dwe.model.layers import CrossModalEnhancer

SENTENCES, DESCRIPTIONS, PICTURES = "description@text", "description@clip", "image@clip"


@pytest.fixture
def make_encoder(head):
    def make(*names: str, clip_reads_text: bool = True, **settings) -> MentionEncoder:
        heads = {name: head(name, clip_reads_text) for name in names}
        sizes = {"text_width": 10, "image_dim": 8, "width": 16, "n_heads": 2}
        rest = {"ffn_width": 24, "dropout": 0.0, "decoder": True}
        return MentionEncoder(heads=heads, **{**sizes, **rest, **settings})

    return make


@pytest.fixture
def trained(make_encoder, randomise):
    """All its weights random, as if it had been trained."""
    return randomise(make_encoder(DESCRIPTIONS, PICTURES))


def mean_picture(mention):
    return normalize(mention.pictures.sum(0), dim=0)


class TestUntrained:
    """Untrained, a query is the frozen encoders' own vector, dropout or not."""

    def test_text_only(self, make_encoder, mentions, as_inputs):
        encoder = make_encoder(SENTENCES, dropout=0.4).train()
        query = encoder(as_inputs(mentions))[SENTENCES]
        expected = torch.stack([m.text for m in mentions])
        torch.testing.assert_close(query.vectors, expected, atol=1e-6, rtol=0)
        assert query.present.all()

    def test_picture_only(self, make_encoder, mentions, as_inputs):
        """A sentence encoder reads the text: only pictures live in CLIP's space."""
        encoder = make_encoder(DESCRIPTIONS, clip_reads_text=False, dropout=0.4).train()
        query = encoder(as_inputs(mentions))[DESCRIPTIONS]
        assert query.present.tolist() == [False, True, True]
        expected = torch.stack([mean_picture(m) for m in mentions[1:]])
        torch.testing.assert_close(query.vectors[1:], expected, atol=1e-6, rtol=0)
        torch.testing.assert_close(query.vectors.norm(dim=1), torch.ones(3))

    @pytest.mark.parametrize("name", [DESCRIPTIONS, PICTURES])
    def test_text_and_picture(self, make_encoder, mentions, as_inputs, name):
        """Descriptions are asked by text, pictures by picture; the other modality
        starts as good as left out."""
        encoder = make_encoder(name, dropout=0.4).train()
        query = encoder(as_inputs(mentions))[name]
        assert query.present.tolist() == [name == DESCRIPTIONS, True, True]
        text, picture = softplus(encoder.anchor_weights[name]).tolist()
        for vector, mention in zip(query.vectors[1:], mentions[1:]):
            total = text * mention.text + picture * mean_picture(mention)
            anchor = normalize(total, dim=0)
            torch.testing.assert_close(vector, anchor, atol=1e-6, rtol=0)
            own = mention.text if name == DESCRIPTIONS else mean_picture(mention)
            torch.testing.assert_close(vector, own, atol=0.02, rtol=0)

    def test_text_and_picture_without_a_picture(
        self, make_encoder, mentions, as_inputs
    ):
        query = make_encoder(DESCRIPTIONS)(as_inputs(mentions))[DESCRIPTIONS]
        assert query.present[0]
        torch.testing.assert_close(query.vectors[0], mentions[0].text)


def test_queries_are_unit_vectors(trained, mentions, as_inputs):
    for query in trained(as_inputs(mentions)).values():
        torch.testing.assert_close(query.vectors.norm(dim=1), torch.ones(3))


def test_query_moves_with_text_and_picture(trained, mentions, as_inputs):
    before = trained(as_inputs(mentions))[DESCRIPTIONS].vectors
    mentions[1].pictures = -mentions[1].pictures
    mentions[2].context = -mentions[2].context
    after = trained(as_inputs(mentions))[DESCRIPTIONS].vectors
    moved = (after - before).abs().amax(dim=1) > 1e-3
    assert moved.tolist() == [False, True, True]


@pytest.mark.parametrize("is_train", [True, False], ids=["train", "inference"])
def test_query_does_not_depend_on_batch_mates(trained, mentions, as_inputs, is_train):
    trained.train(is_train)
    with torch.inference_mode(not is_train):
        together = trained(as_inputs(mentions))
        padded = trained(as_inputs(mentions, more=7))
        turned = trained(as_inputs(mentions[::-1]))
        alone = [trained(as_inputs([mention])) for mention in mentions]
    for name in trained.heads:
        expected, present = together[name].vectors, together[name].present
        others = {
            "padded": padded[name].vectors,
            "turned": turned[name].vectors.flip(0),
            "alone": torch.cat([query[name].vectors for query in alone]),
        }
        for how, vectors in others.items():
            difference = (vectors - expected).abs().max().item()
            assert difference < 1e-5, how
        assert torch.equal(padded[name].present, present)


def test_padding_is_never_read(trained, mentions, as_inputs):
    inputs = as_inputs(mentions, more=2)
    expected = trained(inputs)
    for name in ("mention", "context", "object"):
        values = getattr(inputs, "objects" if name == "object" else name)
        values[~getattr(inputs, f"{name}_mask")] = 99.0
    for name, query in trained(inputs).items():
        torch.testing.assert_close(query.vectors, expected[name].vectors)


def test_order_of_pictures_does_not_matter(trained, mentions, as_inputs):
    before = trained(as_inputs(mentions))[PICTURES].vectors
    mentions[2].pictures = mentions[2].pictures.flip(0)
    after = trained(as_inputs(mentions))[PICTURES].vectors
    torch.testing.assert_close(after, before, atol=1e-5, rtol=0)


@pytest.mark.parametrize("seen", [[0], [0, 1, 2]], ids=["no picture", "some pictures"])
@pytest.mark.parametrize("clip_reads_text", [True, False])
def test_gradients_are_finite(
    make_encoder, randomise, mentions, as_inputs, seen, clip_reads_text
):
    """The loss reads present queries, as the combiner and InfoNCE do."""
    names = (SENTENCES, DESCRIPTIONS, PICTURES)
    encoder = randomise(make_encoder(*names, clip_reads_text=clip_reads_text))
    queries = encoder(as_inputs([mentions[i] for i in seen]))
    target = torch.randn(8)
    cosines = [
        torch.where(query.present, query.vectors @ target, 0.0).sum()
        for query in queries.values()
    ]
    sum(cosines).backward()
    for name, parameter in encoder.named_parameters():
        if parameter.grad is not None:
            assert torch.isfinite(parameter.grad).all(), name
    assert encoder.enhance_vision.absent.grad.abs().sum() > 0
    assert encoder.no_attributes.grad.abs().sum() > 0


def test_without_an_image_encoder_there_is_no_vision_part(
    make_encoder, mentions, as_inputs
):
    encoder = make_encoder(SENTENCES, image_dim=0)
    assert not [n for n, _ in encoder.named_parameters() if "vision" in n]
    for mention in mentions:
        mention.pictures = torch.zeros(0, 0)
    assert encoder(as_inputs(mentions))[SENTENCES].present.all()


def test_enhancer_has_the_parameters_of_the_notes():
    """4 d² + 2 d f twice, and 4 d² for the decoder's own attention: 7.36 M."""
    unit = CrossModalEnhancer(
        width=512, n_heads=8, ffn_width=2048, dropout=0.4, decoder=True
    )
    assert round(sum(p.numel() for p in unit.parameters()) / 1e6, 2) == 7.36
