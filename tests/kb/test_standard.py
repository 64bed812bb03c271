"""What the pictures of a KB tell of how pictures are to be compared."""

import dataclasses

import numpy as np
import pytest

from spacy_dwe.building.build import build_kb
from spacy_dwe.building.update import add_entities, rebuild_kb, remove_entities
from spacy_dwe.errors import DweError
from spacy_dwe.kb.entity import Entity
from spacy_dwe.kb.knowledge_base import DweKnowledgeBase
from spacy_dwe.kb.vectors.sets import SetName
from spacy_dwe.kb.vectors.standard import (
    ASIDE,
    LEAST_PAIRS,
    SUREST,
    PictureScale,
    Standardisation,
)
from spacy_dwe.kb.verify import kb_problems

DIM, N_ENTITIES, EACH = 40, 60, 3
LIGHT = 5
"""Directions that tell how a picture was taken and nothing of what it shows."""


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype("float32")


def photographs(n_entities=N_ENTITIES, each=EACH, seed=0):
    """Vectors in which the light varies ten times as much as what is shown.

    RETURNS (tuple): vectors (n_entities * each, dim), and the entity of each.
    """
    random = np.random.default_rng(seed)
    shown = random.standard_normal((n_entities, 1, DIM))
    shown[..., :LIGHT] = 0
    taken = 0.5 * random.standard_normal((n_entities, each, DIM))
    taken[..., :LIGHT] *= 20
    vectors = unit(shown + taken + 3).reshape(-1, DIM)
    return vectors, np.repeat(np.arange(n_entities), each)


def found(vectors, entities):
    """Share of pictures whose nearest other one shows the same entity."""
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1)
    return (entities[cosines.argmax(axis=1)] == entities).mean()


def test_what_varies_within_entities_counts_less():
    vectors, entities = photographs()
    standard = Standardisation.fitted(vectors, entities)
    others, of = photographs(seed=1)
    assert found(others, of) < 0.4
    assert found(standard(others), of) > 0.9, (
        "new entities gain as those it was fitted to"
    )
    np.testing.assert_allclose(np.linalg.norm(standard(others), axis=1), 1, atol=1e-5)


def test_it_is_the_whitening_by_the_shrunken_covariance():
    """Ledoit and Wolf's estimator, written out as it is for a full covariance."""
    vectors, entities = photographs(n_entities=12)
    standard = Standardisation.fitted(vectors, entities)
    means = np.stack([vectors[entities == e].mean(axis=0) for e in entities])
    rest = (vectors - means).astype(np.float64)
    n = len(vectors) - 12
    covariance = rest.T @ rest / n
    mean = np.trace(covariance) / DIM
    distance = ((covariance - mean * np.eye(DIM)) ** 2).sum() / DIM
    fourth = sum(np.linalg.norm(r) ** 4 for r in rest) / n
    share = (fourth - (covariance**2).sum()) / n / DIM / distance
    assert 0 < share < 1
    shrunken = (1 - share) * covariance + share * mean * np.eye(DIM)
    values, directions = np.linalg.eigh(shrunken)
    whitened = directions / np.sqrt(values) @ directions.T
    expected = unit((vectors - vectors.mean(axis=0)) @ whitened)
    np.testing.assert_allclose(standard(vectors), expected, atol=0.02)


def test_few_pictures_tell_nothing():
    vectors, _ = photographs(each=1)
    assert Standardisation.fitted(vectors, np.arange(len(vectors))) is None
    assert PictureScale.measured(vectors, np.arange(len(vectors)), True) is None
    same = np.tile(vectors[:1], (2 * LEAST_PAIRS, 1))
    assert Standardisation.fitted(same, np.arange(2 * LEAST_PAIRS) // 2) is None


def test_what_cosines_say_holds_for_pictures_that_were_not_there():
    vectors, entities = photographs(n_entities=200)
    scale = PictureScale.measured(vectors, entities, standardised=True)
    standard = Standardisation.fitted(vectors, entities)
    others, _ = photographs(n_entities=200, seed=1)
    others = standard(others).reshape(200, EACH, DIM)
    own = np.einsum("nd,nkd->nk", others[:, 0], others[:, 1:]).max(axis=1)
    foreign = np.einsum("nd,nkd->nk", others[:, 0], np.roll(others, 1, 0)[:, 1:])
    said = scale(np.concatenate([own, foreign.max(axis=1)]))
    right = np.repeat([True, False], 200)
    assert ((said > 0) == right).mean() > 0.95
    sure = np.abs(said) > 2
    assert ((said > 0) == right)[sure].mean() > 0.98


def test_it_is_bounded():
    scale = PictureScale(20.0, 0.3)
    low, middle, high = scale(np.array([-1.0, 0.3, 1.0]))
    assert low == pytest.approx(np.log(ASIDE), abs=0.01)
    assert middle == pytest.approx(0, abs=1e-6)
    assert 6 < high < SUREST


class Camera:
    """Pictures are numbers of `photographs`, one pixel each."""

    dim = DIM

    def __init__(self, noise=0.0):
        self.fingerprint = "camera"
        self.spec = {"@misc": "tests.Camera"}
        self.vectors, _ = photographs(n_entities=100)
        random = np.random.default_rng(2)
        self.vectors += noise * random.standard_normal(self.vectors.shape)

    def encode_images(self, images, progress=None):
        numbers = [image.getpixel((0, 0)) for image in images]
        return self.vectors[[red + 256 * green for red, green, _ in numbers]]


SPACE = SetName("image", "camera")


@pytest.fixture
def album(tmp_path):
    from PIL import Image

    for number in range(300):
        colour = number % 256, number // 256, 0
        Image.new("RGB", (2, 2), colour).save(tmp_path / f"{number}.png")

    def entity(number):
        images = tuple(f"{EACH * number + i}.png" for i in range(EACH))
        return Entity(f"Q{number}", f"Entity {number}", images=images)

    return tmp_path, [entity(number) for number in range(80)]


def test_a_kb_keeps_what_standardises_as_it_grows(album):
    folder, entities = album
    encoders = {"camera": Camera()}
    kb = build_kb(entities[:60], folder / "kb", encoders=encoders, image_root=folder)
    before = kb.vector_sets[SPACE]
    standard = before.standardisation
    np.testing.assert_allclose(
        before.array, standard(Camera().vectors[: 60 * EACH]), atol=2e-3
    )
    add_entities(kb.path, entities[60:70], encoders=encoders)
    kb = DweKnowledgeBase(kb.path)
    grown = kb.vector_sets[SPACE]
    assert grown.identity == before.identity
    np.testing.assert_array_equal(grown.array[: 60 * EACH], before.array)
    np.testing.assert_allclose(
        grown.array, standard(Camera().vectors[: 70 * EACH]), atol=2e-3
    )
    assert list(kb_problems(kb.path)) == []
    rebuilt = rebuild_kb(kb.path, encoders=encoders).vector_sets[SPACE]
    assert rebuilt.identity != before.identity, "fitted anew to all pictures"
    assert rebuilt.fingerprint == before.fingerprint == "camera"


def test_a_kb_of_the_same_pictures_is_the_same_to_a_linker(album):
    """Wherever it is built, in whichever order: vectors, and what is fitted to them,
    differ in their last bits by machine and number of threads."""
    folder, entities = album
    others = [dataclasses.replace(e, images=e.images[::-1]) for e in entities[::-1]]
    exchanged = [
        dataclasses.replace(e, images=f.images[:1] + e.images[1:])
        for e, f in zip(entities, entities[1:] + entities[:1])
    ]
    first, same, other = (
        build_kb(
            each,
            folder / f"{n}.kb",
            encoders={"camera": Camera(noise=n * 1e-6)},
            image_root=folder,
        ).vector_sets[SPACE]
        for n, each in enumerate((entities, others, exchanged))
    )
    assert same.identity == first.identity != other.identity


def test_what_standardises_is_missed(album):
    folder, entities = album
    kb = build_kb(
        entities, folder / "kb", encoders={"camera": Camera()}, image_root=folder
    )
    (file,) = (kb.path / "vectors").glob("*.standard.safetensors")
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(DweError, match=file.name):
        _ = kb.vector_sets[SPACE].standardisation
    assert any(file.name in problem for problem in kb_problems(kb.path))


def test_one_picture_each_is_compared_as_it_is(album):
    folder, entities = album
    alone = [Entity(e.id, e.title, images=e.images[:1]) for e in entities]
    kb = build_kb(
        alone, folder / "kb", encoders={"camera": Camera()}, image_root=folder
    )
    vectors = kb.vector_sets[SPACE]
    assert (vectors.standard, vectors.scale) == (None, None)
    np.testing.assert_allclose(
        vectors.array, Camera().vectors[: 80 * EACH : EACH], atol=1e-3
    )


def test_an_entity_is_found_once_by_its_nearest_picture(album):
    folder, entities = album
    kb = build_kb(
        entities, folder / "kb", encoders={"camera": Camera()}, image_root=folder
    )
    vectors = kb.vector_sets[SPACE]
    queries = np.asarray(vectors.array[: 4 * EACH : EACH], dtype=np.float32)
    found = kb.nearest(SPACE, queries, 7)
    cosines = queries @ np.asarray(vectors.array, dtype=np.float32).T
    best = cosines.reshape(4, 80, EACH).max(axis=2).round(5)
    for row, (own, scores) in enumerate(zip(found, best)):
        assert (
            own.tolist() == np.lexsort((kb.sort_keys(range(80)), -scores))[:7].tolist()
        )
        assert own[0] == row
    assert [*kb.nearest(SPACE, queries, 1000).lengths] == [80] * 4


def test_what_was_removed_is_compared_with_nobody(album):
    folder, entities = album
    kb = build_kb(
        entities, folder / "kb", encoders={"camera": Camera()}, image_root=folder
    )
    assert kb.vector_sets[SPACE].cohort[1].tolist() == [
        row for row in range(80) for _ in range(EACH)
    ]
    remove_entities(kb.path, ["Q3", "Q79"])
    vectors, rows = DweKnowledgeBase(kb.path).vector_sets[SPACE].cohort
    assert set(rows.tolist()) == {*range(79)} - {3}
    assert vectors.shape == (78 * EACH, DIM)
