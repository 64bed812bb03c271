from dataclasses import replace

import numpy as np
import pytest
import torch
from slow_network import query as slow_query
from torch.nn.functional import normalize, softplus

from spacy_dwe.model import dwe
from spacy_dwe.model.dwe import MentionEncoder
from spacy_dwe.model.inputs import Pictures, Slots
from spacy_dwe.model.layers import CrossModalEnhancer, EnhancerShape
from spacy_dwe.model.spec import NetworkSpec, QueryHead

SENTENCES, DESCRIPTIONS, PICTURES = "description@text", "description@clip", "image@clip"


ENHANCERS = ("text", "vision", "attributes")
BODIES = ("dwe", "plain", "linear")


@pytest.fixture
def make_encoder(spec, head):
    def make(*names: str, clip_reads_text: bool = True, precision="fp32", **settings):
        heads = {name: head(name, clip_reads_text) for name in names}
        encoder_spec = replace(spec, heads=heads, **settings)
        return MentionEncoder(encoder_spec, precision=precision)

    return make


@pytest.fixture(params=BODIES)
def trained(request, make_encoder, randomise):
    """All its weights random, as if it had been trained."""
    return randomise(make_encoder(DESCRIPTIONS, PICTURES, head=request.param))


def mean_picture(mention):
    return normalize(mention.pictures.sum(0), dim=0)


class TestUntrained:
    """Untrained, a query is the frozen encoders' own vector, dropout or not."""

    @pytest.mark.parametrize("body", BODIES)
    def test_text_only(self, make_encoder, mentions, as_inputs, body):
        encoder = make_encoder(SENTENCES, dropout=0.4, head=body).train()
        query = encoder(as_inputs(mentions)).queries[SENTENCES]
        expected = torch.stack([m.text for m in mentions])
        torch.testing.assert_close(query.vectors, expected, atol=1e-6, rtol=0)
        assert query.present.all()

    def test_picture_only(self, make_encoder, mentions, as_inputs):
        """A sentence encoder reads the text: only pictures live in CLIP's space."""
        encoder = make_encoder(DESCRIPTIONS, clip_reads_text=False, dropout=0.4).train()
        query = encoder(as_inputs(mentions)).queries[DESCRIPTIONS]
        assert query.present.tolist() == [False, True, True]
        expected = torch.stack([mean_picture(m) for m in mentions[1:]])
        torch.testing.assert_close(query.vectors[1:], expected, atol=1e-6, rtol=0)
        torch.testing.assert_close(query.vectors.norm(dim=1), torch.ones(3))

    @pytest.mark.parametrize("name", [DESCRIPTIONS, PICTURES])
    def test_text_and_picture(self, make_encoder, mentions, as_inputs, name):
        """Descriptions are asked by text, pictures by picture; the other modality
        starts as good as left out."""
        encoder = make_encoder(name, dropout=0.4).train()
        query = encoder(as_inputs(mentions)).queries[name]
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
        query = make_encoder(DESCRIPTIONS)(as_inputs(mentions)).queries[DESCRIPTIONS]
        assert query.present[0]
        torch.testing.assert_close(query.vectors[0], mentions[0].text)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"decoder": False},
        {"gate": False},
        {"shared_text": True, "text_width": 8},
        {"modalities": {"vision": 8, "attributes": 8}},
        {"modalities": {"text": 10, "attributes": 8}},
        {"modalities": {"text": 10, "vision": 8}},
        {"head": "plain"},
        {"head": "linear"},
        {"head": "linear", "read_mention": True},
    ],
    ids=str,
)
def test_query_is_the_papers(make_encoder, randomise, mentions, as_inputs, settings):
    """Beside a slow computation of one mention at a time, in double precision."""
    if settings.get("shared_text"):
        for mention in mentions:
            mention.mention = mention.mention[:, :8]
            mention.context = mention.context[:, :8]
    encoder = randomise(make_encoder(DESCRIPTIONS, PICTURES, **settings)).eval()
    queries = encoder(as_inputs(mentions, more=1)).queries
    for name, found in queries.items():
        for index in found.present.nonzero()[:, 0].tolist():
            kind = settings.get("head", "dwe")
            by_hand = slow_query(encoder, name, mentions[index], kind)
            vector = found.vectors[index].detach()
            np.testing.assert_allclose(vector, by_hand, atol=2e-5)


class TestSeveralSpaces:
    """CLIP's, and one of pictures alone, in which all look otherwise."""

    SEEN, WIDTH = "image@seen", 5

    @pytest.fixture
    def heads(self, head):
        seen = QueryHead(self.WIDTH, text=False, picture="seen", of_pictures=True)
        return {DESCRIPTIONS: head(DESCRIPTIONS), self.SEEN: seen}

    @pytest.fixture
    def inputs(self, mentions, as_inputs):
        inputs = as_inputs(mentions)
        vectors = normalize(torch.randn(3, 3, self.WIDTH), dim=-1)
        seen = Pictures(vectors, inputs.whole.mask)
        return replace(inputs, pictures={**inputs.pictures, "seen": seen})

    @pytest.fixture
    def make(self, spec, heads):
        pictures = {"clip": 8, "seen": self.WIDTH}
        several = replace(spec, heads=heads, pictures=pictures)
        return lambda body: MentionEncoder(replace(several, head=body))

    @pytest.mark.parametrize("body", BODIES)
    def test_a_head_starts_as_the_pictures_of_its_space(self, make, inputs, body):
        query = make(body)(inputs).queries[self.SEEN]
        assert query.present.tolist() == [False, True, True]
        own = inputs.pictures["seen"].mean()
        torch.testing.assert_close(query.vectors[1:], own[1:], atol=1e-6, rtol=0)

    def test_the_linear_body_reads_all(self, make, inputs):
        """The paper's read the first alone."""
        read = make("linear").body(inputs).vector
        means = [inputs.pictures[space].mean() for space in ("clip", "seen")]
        torch.testing.assert_close(read, torch.cat([inputs.text, *means], dim=-1))

    @pytest.mark.parametrize("body", BODIES)
    def test_without_a_picture_only_texts_are_compared(
        self, make, randomise, inputs, body
    ):
        none = {
            space: replace(p, mask=p.mask & False)
            for space, p in inputs.pictures.items()
        }
        queries = randomise(make(body))(replace(inputs, pictures=none)).queries
        assert queries[DESCRIPTIONS].present.all()
        assert not queries[self.SEEN].present.any()

    def test_the_linear_body_can_do_without_texts(self, spec, heads, inputs):
        alone = replace(
            spec,
            heads={self.SEEN: heads[self.SEEN]},
            text_width=0,
            pictures={"seen": self.WIDTH},
            head="linear",
        )
        unread = {
            "mention": inputs.mention[:, :0, :0],
            "mention_mask": inputs.mention_mask[:, :0],
            "text": inputs.text[:, :0],
            "pictures": {"seen": inputs.pictures["seen"]},
        }
        encoder = MentionEncoder(alone)
        query = encoder(replace(inputs, **unread, modalities={})).queries[self.SEEN]
        own = inputs.pictures["seen"].mean()
        torch.testing.assert_close(query.vectors[1:], own[1:], atol=1e-6, rtol=0)


def test_queries_are_unit_vectors(trained, mentions, as_inputs):
    for query in trained(as_inputs(mentions)).queries.values():
        torch.testing.assert_close(query.vectors.norm(dim=1), torch.ones(3))


@pytest.mark.parametrize(
    "evidence", ["mention", "context", "pictures", "objects", "faces", "scenes"]
)
def test_query_moves_with_all_evidence(
    make_encoder, randomise, mentions, as_inputs, evidence
):
    trained = randomise(make_encoder(DESCRIPTIONS))
    before = trained(as_inputs(mentions)).queries[DESCRIPTIONS].vectors
    value = getattr(mentions[2], evidence)
    setattr(mentions[2], evidence, -value)
    after = trained(as_inputs(mentions)).queries[DESCRIPTIONS].vectors
    moved = (after - before).abs().amax(dim=1) > 1e-4
    assert moved.tolist() == [False, False, True]


@pytest.mark.parametrize("is_train", [True, False], ids=["train", "inference"])
def test_query_does_not_depend_on_batch_mates(trained, mentions, as_inputs, is_train):
    trained.train(is_train)
    with torch.inference_mode(not is_train):
        assert worst_difference(trained, mentions, as_inputs) < 1e-5


@pytest.mark.parametrize("body", BODIES)
def test_nor_does_it_in_bf16(
    make_encoder, randomise, mentions, as_inputs, monkeypatch, body
):
    monkeypatch.setattr(dwe, "BF16_DEVICES", ("cpu",))
    encoder = make_encoder(DESCRIPTIONS, PICTURES, head=body, precision="bf16")
    randomise(encoder).eval()
    with torch.inference_mode():
        assert worst_difference(encoder, mentions, as_inputs) < 1e-2
        rounded = encoder(as_inputs(mentions)).queries[DESCRIPTIONS].vectors
        encoder.in_bf16 = False
        exact = encoder(as_inputs(mentions)).queries[DESCRIPTIONS].vectors
    assert rounded.dtype == torch.float32
    assert (rounded - exact).abs().max() < 2e-2
    assert torch.equal(rounded, exact) == (body == "linear")


def worst_difference(encoder, mentions, as_inputs):
    together = encoder(as_inputs(mentions)).queries
    padded = encoder(as_inputs(mentions, more=7)).queries
    turned = encoder(as_inputs(mentions[::-1])).queries
    alone = [encoder(as_inputs([mention])).queries for mention in mentions]
    worst = 0.0
    for name in encoder.heads:
        expected, present = together[name].vectors, together[name].present
        others = [
            padded[name].vectors,
            turned[name].vectors.flip(0),
            torch.cat([query[name].vectors for query in alone]),
        ]
        worst = max(worst, *((v - expected).abs().max().item() for v in others))
        assert torch.equal(padded[name].present, present)
    return worst


def test_padding_is_never_read(trained, mentions, as_inputs):
    inputs = as_inputs(mentions, more=2)
    expected = trained(inputs).queries
    inputs.mention[~inputs.mention_mask] = 99.0
    inputs.whole.vectors[~inputs.whole.mask] = 99.0
    for slots in inputs.modalities.values():
        for array in slots.arrays.values():
            if array.dtype != torch.bool:
                array[~slots.mask] = 99.0
    vision = inputs.modalities["vision"].arrays
    vision["faces"][~vision["face_mask"]] = 99.0
    for name, query in trained(inputs).queries.items():
        torch.testing.assert_close(query.vectors, expected[name].vectors)


def test_order_of_pictures_regions_and_scenes_does_not_matter(
    trained, mentions, as_inputs
):
    before = trained(as_inputs(mentions)).queries[PICTURES].vectors
    for name in ("pictures", "objects", "faces", "face_mask", "scenes"):
        for mention in mentions:
            setattr(mention, name, getattr(mention, name).flip(0))
    after = trained(as_inputs(mentions)).queries[PICTURES].vectors
    torch.testing.assert_close(after, before, atol=1e-5, rtol=0)


@pytest.mark.parametrize("left_out", ENHANCERS)
@pytest.mark.parametrize("body", ["dwe", "plain"])
def test_what_nobody_supplies_is_what_no_mention_has(
    make_encoder, randomise, mentions, as_inputs, body, left_out
):
    """One head that reads no pictures, so that they come by the network alone."""
    encoder = make_encoder(SENTENCES, head=body)
    inputs = as_inputs(mentions)
    slots = inputs.modalities[left_out]
    empty = Slots(slots.arrays, torch.zeros_like(slots.mask))
    masked = replace(inputs, modalities={**inputs.modalities, left_out: empty})
    if left_out == "vision":
        whole = replace(inputs.whole, mask=torch.zeros_like(inputs.whole.mask))
        masked = replace(masked, pictures={"clip": whole})
    kept = {n: s for n, s in inputs.modalities.items() if n != left_out}
    without = replace(inputs, modalities=kept)
    expected = randomise(encoder)(masked).queries[SENTENCES].vectors
    found = encoder(without).queries[SENTENCES].vectors
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("body", ["dwe", "plain"])
def test_no_faces_are_regions_without_a_face(
    make_encoder, randomise, mentions, as_inputs, body
):
    encoder = randomise(make_encoder(SENTENCES, head=body))
    for mention in mentions:
        mention.face_mask = torch.zeros_like(mention.face_mask)
    inputs = as_inputs(mentions)
    vision = inputs.modalities["vision"]
    unseen = Slots({"objects": vision.arrays["objects"]}, vision.mask)
    without = replace(inputs, modalities={**inputs.modalities, "vision": unseen})
    torch.testing.assert_close(
        encoder(without).queries[SENTENCES].vectors,
        encoder(inputs).queries[SENTENCES].vectors,
    )


@pytest.mark.parametrize("seen", [[0], [0, 1, 2]], ids=["no picture", "some pictures"])
@pytest.mark.parametrize("clip_reads_text", [True, False])
@pytest.mark.parametrize("body", BODIES)
def test_gradients_are_finite(
    make_encoder, randomise, mentions, as_inputs, seen, clip_reads_text, body
):
    """The loss reads present queries, as the combiner and the contrast do."""
    names = (SENTENCES, DESCRIPTIONS, PICTURES)
    encoder = make_encoder(*names, clip_reads_text=clip_reads_text, head=body)
    inputs = as_inputs([mentions[i] for i in seen], more=1)
    present_cosines(randomise(encoder), inputs).backward()
    for name, parameter in encoder.named_parameters():
        if parameter.grad is not None:
            assert torch.isfinite(parameter.grad).all(), name
    if body == "dwe":
        enhancers = encoder.body.enhancers
        assert enhancers["vision"].unit.absent.grad.abs().sum() > 0
        assert enhancers["attributes"].unit.absent.grad.abs().sum() > 0


def present_cosines(encoder, inputs):
    target = torch.ones(8, dtype=inputs.text.dtype)
    cosines = [
        torch.where(query.present, query.vectors @ target, 0.0).sum()
        for query in encoder(inputs).queries.values()
    ]
    return sum(cosines)


@pytest.mark.parametrize("body", BODIES)
def test_gradients_are_slopes(head, randomise, mentions, as_inputs, body):
    """By finite differences in double precision, of a network that is tiny."""
    spec = NetworkSpec(
        columns=(),
        heads={name: head(name) for name in (DESCRIPTIONS, PICTURES)},
        text_width=10,
        pictures={"clip": 8},
        width=4,
        n_heads=2,
        ffn_width=3,
        dropout=0.0,
        decoder=True,
        dwe_trained=True,
        head=body,
    )
    encoder = randomise(MentionEncoder(spec)).double()
    inputs = as_inputs(mentions)
    doubled = replace(
        inputs,
        mention=inputs.mention.double(),
        text=inputs.text.double(),
        pictures={"clip": replace(inputs.whole, vectors=inputs.whole.vectors.double())},
        modalities={
            name: Slots(
                {
                    key: array if array.dtype == torch.bool else array.double()
                    for key, array in slots.arrays.items()
                },
                slots.mask,
            )
            for name, slots in inputs.modalities.items()
        },
    )
    parameters = list(encoder.parameters())
    assert torch.autograd.gradcheck(
        lambda *_: present_cosines(encoder, doubled), parameters, fast_mode=True
    )


def test_without_an_image_encoder_there_is_no_vision_part(
    make_encoder, mentions, as_inputs
):
    encoder = make_encoder(SENTENCES, pictures={})
    assert [*encoder.body.enhancers] == ["text"]
    assert encoder.body.project.image is None
    for mention in mentions:
        mention.pictures = mention.objects = mention.scenes = torch.zeros(0, 0)
    assert encoder(as_inputs(mentions)).queries[SENTENCES].present.all()


def count(module):
    return round(sum(p.numel() for p in module.parameters()) / 1e6, 2)


def test_enhancer_has_the_parameters_of_the_paper():
    """4 d² + 2 d f twice, and 4 d² for the decoder's own attention."""
    unit = CrossModalEnhancer(EnhancerShape(512, 8, 2048, 0.4, True))
    assert count(unit) == 7.36


def test_network_has_the_parameters_of_the_paper():
    """With CLIP ViT-B/32, whose towers end in one space; the query heads come on
    top."""
    spec = NetworkSpec(
        columns=(),
        heads={DESCRIPTIONS: QueryHead(512, True, "clip", False)},
        text_width=512,
        pictures={"clip": 512},
        width=512,
        n_heads=8,
        ffn_width=2048,
        dropout=0.4,
        decoder=True,
        dwe_trained=False,
        shared_text=True,
    )
    assert count(MentionEncoder(spec).body) == 23.91
    assert count(MentionEncoder(replace(spec, decoder=False)).body) == 11.3
