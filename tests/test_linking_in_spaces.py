"""Linking by pictures in two spaces: one of texts and pictures, and one of pictures
alone, which the KB's own whiten."""

import numpy as np
import pytest
import spacy
from PIL import Image
from small_encoders import Colours, Faces

from spacy_dwe.building.build import build_kb
from spacy_dwe.kb.entity import Alias, Entity
from spacy_dwe.kb.vectors.sets import SetName

N, EACH, SIZE = 40, 3, (16, 16)
SHARED, BARE = 7, 8
"""An entity whose only picture is another's, too, and one without any."""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Finches of as many colours, photographed in different lights."""
    folder = tmp_path_factory.mktemp("finches")
    random = np.random.default_rng(0)

    def photograph(name, colour):
        pixels = random.normal(colour + random.normal(0, 20), 25, (*SIZE, 3))
        pixels = np.clip(pixels, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / name)
        return name

    entities = []
    for number in range(N):
        colour = random.integers(0, 255, 3)
        names = [photograph(f"{number}-{i}.png", colour) for i in range(EACH)]
        photograph(f"seen-{number}.png", colour)
        images = {SHARED: ["6-0.png"], BARE: []}.get(number, names)
        description = f"A bird, face {number}."
        entities.append(
            Entity(
                *(f"Q{number}", f"Bird {number} finch", description),
                (Alias("finch"),),
                images=tuple(images),
            )
        )
    encoders = {"faces": Faces(), "colours": Colours()}
    kb = build_kb(entities, folder / "kb", encoders=encoders, image_root=folder)
    assert kb.picture_spaces == ("faces", "colours")
    assert kb.vector_sets[SetName("image", "faces")].standard is None
    assert kb.vector_sets[SetName("image", "colours")].standard
    return folder


@pytest.fixture
def nlp(world):
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns(
        [{"label": "X", "pattern": p} for p in ("finch", "Bird 3 finch")]
    )
    nlp.add_pipe("dwe_linker", config={"feature_cache": "", "kb": str(world / "kb")})
    return nlp


def documents(nlp, folder):
    docs = []
    for number in range(30):
        text = (
            f"The finch and Bird 3 finch sat, {number}." if number % 3 else "A finch."
        )
        names = [f"seen-{number}.png"] * (number % 4 > 0)
        names += ["seen-1.png", "none.png"] if number % 5 == 0 else []
        doc = nlp.make_doc(text)
        doc._.images = [str(folder / name) for name in names]
        docs.append(doc)
    return docs


def links(docs):
    return [
        [
            (e.kb_id_, *((c.id, c.probability) for c in e._.kb_candidates))
            for e in d.ents
        ]
        for d in docs
    ]


def in_a_worker(nlp, docs, folder):
    return nlp.pipe(docs, n_process=2, batch_size=5)


def backwards(nlp, docs, folder):
    return reversed([*nlp.pipe(docs[::-1], batch_size=7)])


def saved(nlp, docs, folder):
    nlp.to_disk(folder)
    return spacy.load(folder).pipe(docs)


@pytest.mark.filterwarnings("ignore:.*none.png")
@pytest.mark.parametrize("way", [backwards, in_a_worker, saved])
def test_links_do_not_depend_on_how_documents_came(nlp, world, tmp_path, way):
    alone = links(nlp(doc) for doc in documents(nlp, world))
    found = links(way(nlp, documents(nlp, world), tmp_path / "pipeline"))
    for expected, got in zip(alone, found, strict=True):
        for (link, *candidates), (other, *others) in zip(expected, got, strict=True):
            assert link == other
            assert dict(others) == pytest.approx(dict(candidates), abs=1e-5)
    assert len({entity for doc in alone for entity, *_ in doc}) > 5
