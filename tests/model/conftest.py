from dataclasses import dataclass, field

import pytest
import torch
from columns import columns
from torch import Tensor, nn
from torch.nn.functional import normalize

from spacy_dwe.model.entity_vectors import EntityVectors
from spacy_dwe.model.inputs import LinkingBatch, MentionInputs, Pictures, Slots
from spacy_dwe.model.spec import NetworkSpec, QueryHead

TEXT_WIDTH, DIM = 10, 8
"""Width of token states; width of every space's vectors, to keep the tests short."""

SENTENCES, DESCRIPTIONS, PICTURES = "description@text", "description@clip", "image@clip"


@dataclass
class FrozenMention:
    """What the encoders say of one mention, before any padding. Of its image regions,
    those with a face have a row of `faces`, in the places that `face_mask` names."""

    mention: Tensor = field(default_factory=lambda: torch.randn(2, TEXT_WIDTH))
    context: Tensor = field(default_factory=lambda: torch.randn(5, TEXT_WIDTH))
    text: Tensor = field(default_factory=lambda: normalize(torch.randn(DIM), dim=0))
    pictures: Tensor = field(default_factory=lambda: torch.zeros(0, DIM))
    objects: Tensor = field(default_factory=lambda: torch.zeros(0, DIM))
    faces: Tensor = field(default_factory=lambda: torch.zeros(0, DIM))
    face_mask: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.bool))
    scenes: Tensor = field(default_factory=lambda: torch.zeros(0, DIM))


def pictures(n: int) -> Tensor:
    return normalize(torch.randn(n, DIM), dim=1)


def pad(items: list[Tensor], more: int = 0) -> tuple[Tensor, Tensor]:
    """Stack ragged items; `more` adds padding that nothing needs."""
    size = max(len(item) for item in items) + more
    values = torch.zeros(len(items), size, *items[0].shape[1:], dtype=items[0].dtype)
    mask = torch.zeros(len(items), size, dtype=torch.bool)
    for index, item in enumerate(items):
        values[index, : len(item)] = item
        mask[index, : len(item)] = True
    return values, mask


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def mentions() -> list[FrozenMention]:
    """A mention without a picture, one with one of one region without a face and two
    scene attributes, and one with three of four regions, two of which have faces."""
    return [
        FrozenMention(mention=torch.randn(1, TEXT_WIDTH)),
        FrozenMention(
            context=torch.randn(9, TEXT_WIDTH),
            pictures=pictures(1),
            objects=pictures(1),
            faces=torch.zeros(1, DIM),
            face_mask=torch.tensor([False]),
            scenes=pictures(2),
        ),
        FrozenMention(
            mention=torch.randn(4, TEXT_WIDTH),
            pictures=pictures(3),
            objects=pictures(4),
            faces=pictures(4),
            face_mask=torch.tensor([True, False, False, True]),
            scenes=pictures(1),
        ),
    ]


@pytest.fixture
def as_inputs():
    """Mentions to the network's inputs, padded by `more` than they need."""

    def make(mentions: list[FrozenMention], more: int = 0) -> MentionInputs:
        own, own_mask = pad([m.mention for m in mentions], more)
        context, context_mask = pad([m.context for m in mentions], more)
        whole, whole_mask = pad([m.pictures for m in mentions], more)
        objects, object_mask = pad([m.objects for m in mentions], more)
        faces, _ = pad([m.faces for m in mentions], more)
        face_mask, _ = pad([m.face_mask for m in mentions], more)
        scenes, scene_mask = pad([m.scenes for m in mentions], more)
        vision = {"objects": objects, "faces": faces, "face_mask": face_mask}
        text = torch.stack([m.text for m in mentions])
        modalities = {
            "text": Slots({"states": context}, context_mask),
            "vision": Slots(vision, object_mask),
            "attributes": Slots({"scenes": scenes}, scene_mask),
        }
        seen = {"clip": Pictures(whole, whole_mask)}
        return MentionInputs(own, own_mask, text, seen, modalities)

    return make


@pytest.fixture
def head():
    """The query head of one of the three vector sets that a KB may have, where its
    descriptions are encoded by a sentence encoder, by CLIP, or by both."""

    def make(name: str, clip_reads_text: bool = True) -> QueryHead:
        return {
            SENTENCES: QueryHead(DIM, text=True, picture=None, of_pictures=False),
            DESCRIPTIONS: QueryHead(DIM, clip_reads_text, "clip", of_pictures=False),
            PICTURES: QueryHead(DIM, clip_reads_text, "clip", of_pictures=True),
        }[name]

    return make


@pytest.fixture
def spec(head) -> NetworkSpec:
    """A small network with all channels and dropout off."""
    return NetworkSpec(
        columns=columns(["name", "prior", "facts", "text", "image"]).all,
        heads={name: head(name) for name in (DESCRIPTIONS, PICTURES)},
        text_width=TEXT_WIDTH,
        pictures={"clip": DIM},
        width=16,
        n_heads=2,
        ffn_width=24,
        dropout=0.0,
        decoder=True,
        dwe_trained=True,
    )


@pytest.fixture
def make_batch(as_inputs):
    """Three mentions with 4, 1 and no candidates; the second candidate of the first has
    no description, and only one entity has a picture."""

    def make(mentions: list[FrozenMention], n_features: int, more: int = 0):
        generator = torch.Generator().manual_seed(1)
        lengths = [4, 1, 0][: len(mentions)]
        size = 4 + more
        candidates = torch.arange(size) < torch.tensor(lengths)[:, None]
        random = torch.rand(3, 4, n_features, generator=generator)
        vectors = normalize(torch.randn(3, 4, DIM, generator=generator), dim=-1)
        shape = (len(mentions), size)
        features, entities = torch.zeros(*shape, n_features), torch.zeros(*shape, DIM)
        features[:, :4] = random[: len(mentions)]
        entities[:, :4] = vectors[: len(mentions)]
        features[~candidates], entities[~candidates] = 0.0, 0.0
        described, pictured = candidates.clone(), torch.zeros(shape, dtype=torch.bool)
        described[0, 1] = False
        pictured[0, 2] = True
        rows = torch.arange(size).expand(shape).masked_fill(~candidates, -1)
        return LinkingBatch(
            features=features,
            present=candidates.unsqueeze(-1).expand_as(features).clone(),
            candidates=candidates,
            described=described,
            rows=rows,
            inputs=as_inputs(mentions, more),
            entities={
                DESCRIPTIONS: EntityVectors(
                    entities * described.unsqueeze(-1), described, 0.1, 0.3
                ),
                PICTURES: EntityVectors(
                    entities.flip(-1) * pictured.unsqueeze(-1), pictured, 0.2, 0.3
                ),
            },
        )

    return make


@pytest.fixture
def randomise():
    """Give every weight a random value, so that no bias of zero and no norm of one can
    hide a mistake."""

    def apply(module: nn.Module, scale: float = 0.3) -> nn.Module:
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.normal_(0.0, scale)
        return module

    return apply
