import numpy as np
import pytest
import torch
from columns import columns

from spacy_dwe.encoders.protocol import MentionFeatures
from spacy_dwe.kb.vectors.sets import SetName, VectorSet
from spacy_dwe.model.dwe import QueryHead
from spacy_dwe.model.inputs import PreparedMention
from spacy_dwe.model.network import NetworkSpec

DIM = 8
DESCRIPTIONS = "description@clip"


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def random():
    return np.random.default_rng(0)


@pytest.fixture
def vectors(random):
    """Of six entities; the one in row 2 has none."""
    array = random.standard_normal((5, DIM))
    array = (array / np.linalg.norm(array, axis=1, keepdims=True)).astype(np.float16)
    return VectorSet(
        name=SetName.read(DESCRIPTIONS),
        fingerprint="f",
        spec={},
        dim=DIM,
        mean=0.1,
        std=0.2,
        cross_mean=None,
        cross_std=None,
        array=array,
        offsets=np.array([0, 1, 2, 2, 3, 4, 5], dtype=np.int32),
        places=np.arange(5, dtype=np.int32),
    )


@pytest.fixture
def n_features():
    """Columns of all channels but dwe."""
    return len(columns(["name", "prior", "facts", "text", "image"]))


@pytest.fixture
def prepared(random, n_features):
    """Make a mention of some KB rows, with so many tokens, pictures, regions in these,
    of which the first has a face, and scene attributes."""

    def some(n: int) -> np.ndarray:
        return random.standard_normal((n, DIM)).astype(np.float32)

    def make(
        *rows: int,
        tokens: int = 3,
        n_pictures: int = 0,
        n_regions: int = 0,
        n_scenes: int = 0,
    ) -> PreparedMention:
        shape = (len(rows), n_features)
        return PreparedMention(
            rows=np.array(rows, dtype=np.int32),
            found_by=np.ones(len(rows), dtype=np.uint8),
            features=random.random(shape, dtype=np.float32),
            present=np.ones(shape, dtype=bool),
            described=np.array([row != 2 for row in rows], dtype=bool),
            text=MentionFeatures(
                pooled=random.standard_normal(DIM).astype(np.float32),
                states=random.standard_normal((tokens, 5)).astype(np.float32),
                mention=slice(1, tokens),
                edges=random.standard_normal(4 * 5).astype(np.float32),
            ),
            pictures={"clip": some(n_pictures)},
            objects=some(n_regions),
            faces=some(n_regions),
            face_mask=np.arange(n_regions) == 0,
            scenes=some(n_scenes),
        )

    return make


@pytest.fixture
def spec():
    return NetworkSpec(
        columns=columns(["name", "prior", "facts", "text", "image"]).all,
        heads={DESCRIPTIONS: QueryHead(DIM, True, "clip", False)},
        text_width=5,
        pictures={"clip": DIM},
        width=8,
        n_heads=2,
        ffn_width=8,
        dropout=0.1,
        decoder=True,
        dwe_trained=False,
    )
