"""Training on a KB of several spaces of pictures, with three pictures an entity."""

import numpy as np
import pytest
import spacy
import torch
from PIL import Image
from small_encoders import Colours, Words
from tiny_world import SMALL_MODEL, example, linking_pipeline

from spacy_dwe.building.build import build_kb
from spacy_dwe.errors import DweError
from spacy_dwe.kb.entity import Entity

SETS = ("description@clip", "description@words", "image@clip", "image@colours")
MEANS = {"red": (210, 30, 30), "blue": (30, 30, 210)}
OTHERS = {"green": (30, 210, 30), "grey": (120, 120, 120)}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Folder of pictures by colour and number, each of a shade of its own."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for name, colour in {**MEANS, **OTHERS}.items():
        for number in range(20):
            shade = np.clip(colour + random.normal(0, 25, 3), 0, 255).astype(int)
            Image.new("RGB", (32, 32), tuple(shade)).save(
                folder / f"{name}-{number}.png"
            )
    return folder


def of(*names):
    return tuple(f"{name}.png" for name in names)


def entities():
    """Of the pictures of either the first alone is of its colour."""
    return [
        Entity("red", "Georgia", "red land", images=of("red-0", "green-0", "green-1")),
        Entity(
            "blue", "Georgia", "blue land", images=of("blue-0", "green-0", "green-1")
        ),
        Entity("bare", "Georgia"),
    ]


@pytest.fixture
def built(pictures, tmp_path, clip):
    def make(entities, **encoders):
        return build_kb(
            entities,
            tmp_path / "kb",
            clip=encoders.pop("clip", clip),
            encoders=encoders,
            image_root=pictures,
            overwrite=True,
        ).path

    return make


@pytest.fixture
def some(pictures):
    """Examples that only the picture decides."""

    def make(nlp, number=5):
        return [
            example(
                nlp,
                "Georgia won",
                ("Georgia", name),
                picture=str(pictures / f"{name}-{number}.png"),
            )
            for name in MEANS
        ]

    return make


def trained(nlp, made, steps):
    torch.manual_seed(0)
    optimizer = nlp.initialize(lambda: made)
    optimizer.learn_rate = 1e-3
    for _ in range(steps):
        nlp.update(made, sgd=optimizer)
    return nlp.get_pipe("dwe_linker")


def candidates(nlp, made):
    """Of the mention of each example, the best first."""
    found = []
    for each in made:
        doc = each.predicted.copy()
        doc.ents = [doc.char_span(0, 7, label="PLACE")]
        found.append(nlp.get_pipe("dwe_linker")(doc).ents[0]._.kb_candidates)
    return found


def firsts(nlp, made):
    return [best.id for best, *_ in candidates(nlp, made)]


@pytest.fixture(params=["linear", "dwe"])
def pipeline(request, built):
    kb = built(entities(), words=Words(), colours=Colours())
    model = {**SMALL_MODEL, "head": request.param}
    return linking_pipeline(kb, channels=["name", "dwe"], model=model)


def test_every_head_learns(pipeline, some, clip):
    made = some(pipeline)
    linker = trained(pipeline, made, steps=0)
    linker.update(made)
    network = linker.network_shim.network
    assert sorted(network.spec.heads) == sorted(SETS)
    assert network.spec.pictures == {"clip": clip.dim, "colours": 3}
    for name, correction in network.mention_encoder.corrections.items():
        assert correction.weight.grad.abs().sum() > 0, name


def test_the_nearest_picture_decides(pipeline, some):
    """Two of three are the same of either, and would be of the mean."""
    trained(pipeline, some(pipeline), steps=3)
    assert firsts(pipeline, some(pipeline, 6)) == [*MEANS]


def test_an_entity_without_pictures_is_masked(pipeline, some):
    trained(pipeline, some(pipeline), steps=3)
    for found in candidates(pipeline, some(pipeline)):
        said = {each.id for each in found if each.scores["dwe"]}
        assert said == {"red", "blue"}


def test_a_saved_pipeline_links_the_same(pipeline, some, tmp_path):
    trained(pipeline, some(pipeline), steps=3)
    pipeline.to_disk(tmp_path / "saved")
    again = spacy.load(tmp_path / "saved")
    made = some(pipeline, 7)
    assert candidates(again, made) == candidates(pipeline, made)


def test_a_kb_of_pictures_alone_trains_a_linear_head(built, some, tmp_path):
    kb = built(entities(), clip=None, colours=Colours())
    channels = ["name", "image", "dwe"]
    nlp = linking_pipeline(
        kb, channels=channels, model={**SMALL_MODEL, "head": "linear"}
    )
    linker = trained(nlp, some(nlp), steps=3)
    (head,) = linker.network_shim.network.spec.heads.values()
    assert (head.text, head.picture) == (False, "colours")
    assert firsts(nlp, some(nlp, 6)) == [*MEANS]
    nlp.to_disk(tmp_path / "saved")
    again = spacy.load(tmp_path / "saved")
    assert firsts(again, some(nlp, 6)) == [*MEANS]


@pytest.mark.parametrize("head", ["dwe", "plain"])
def test_the_papers_network_reads_texts(built, some, head):
    kb = built(entities(), clip=None, colours=Colours())
    nlp = linking_pipeline(
        kb, channels=["name", "dwe"], model={**SMALL_MODEL, "head": head}
    )
    with pytest.raises(DweError, match=r"E506.*head = \"linear\""):
        trained(nlp, some(nlp), steps=0)


def test_a_space_standardised_anew_is_refused(built, some):
    def build(first):
        """Of pictures enough to tell what varies among those of an entity."""
        numbers = range(first, first + 12)
        entities = [
            Entity(c, "Georgia", f"{c} land", images=of(*(f"{c}-{n}" for n in numbers)))
            for c in (*MEANS, *OTHERS)
        ]
        return built(entities, clip=None, words=Words(), colours=Colours())

    nlp = linking_pipeline(build(0), channels=["name", "dwe"], model=SMALL_MODEL)
    linker = trained(nlp, some(nlp), steps=1)
    linker.load_kb(build(0))
    assert firsts(nlp, some(nlp))
    linker.load_kb(build(8))
    with pytest.raises(DweError, match=r"E545.*image@colours.*spacy train"):
        firsts(nlp, some(nlp))
