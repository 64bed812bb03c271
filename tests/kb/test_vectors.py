import numpy as np
import pytest
from PIL import Image
from small_encoders import PatchEncoder, WordEncoder

from spacy_dwe.errors import DweError
from spacy_dwe.kb import contents
from spacy_dwe.kb.build import build_kb
from spacy_dwe.kb.entity import Entity, entity_text

COLOURS = {"red": (255, 0, 0), "green": (0, 160, 0), "blue": (0, 0, 255)}


@pytest.fixture
def pictures(tmp_path):
    for name, colour in COLOURS.items():
        Image.new("RGB", (20, 10), colour).save(tmp_path / f"{name}.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    return tmp_path


def picture_vector(name):
    image = Image.new("RGB", (20, 10), COLOURS[name])
    return PatchEncoder().encode_images([image])[0]


def test_descriptions_are_encoded_with_their_title(kb, entities):
    vectors, present = kb.vector_sets["description@text"].gather(range(len(entities)))
    assert present.tolist() == [bool(entity.description) for entity in entities]
    described = [entity_text(entity) for entity in entities if entity.description]
    expected = WordEncoder().encode_texts(described)
    np.testing.assert_allclose(vectors[present], expected, atol=1e-3)
    assert vectors.dtype == np.float32
    assert not vectors[~present].any()


def test_a_set_remembers_its_encoder(kb):
    text = kb.vector_sets["description@text"]
    assert (text.field, text.fingerprint, text.dim) == ("description", "words", 64)
    assert text.spec == {"@misc": "tests.WordEncoder", "name": "words"}
    assert text.array.dtype == np.float16
    assert text.array.shape == (5, 64)
    assert text.index.tolist() == [0, 1, 2, 3, 4, -1]
    clip = kb.vector_sets["description@clip"]
    assert clip.fingerprint == "patches"
    assert clip.cross_mean is None
    assert "image@clip" not in kb.vector_sets


def test_a_kb_without_encoders_has_no_vectors(tmp_path, entities):
    assert build_kb(entities, tmp_path / "kb").vector_sets == {}


def test_pictures_are_averaged_to_one_unit_vector(pictures):
    entities = [
        Entity("Q1", "A", "First.", images=("red.png", "blue.png")),
        Entity("Q2", "B", "Second."),
        Entity("Q3", "C", images=(str(pictures / "green.png"),)),
    ]
    kb = build_kb(entities, pictures / "kb", clip=PatchEncoder(), image_root=pictures)
    vectors, present = kb.vector_sets["image@clip"].gather([0, 1, 2])
    assert present.tolist() == [True, False, True]
    both = picture_vector("red") + picture_vector("blue")
    np.testing.assert_allclose(vectors[0], both / np.linalg.norm(both), atol=1e-3)
    np.testing.assert_allclose(vectors[2], picture_vector("green"), atol=1e-3)


def test_unreadable_pictures_are_left_out_with_a_warning(pictures):
    entities = [
        Entity("Q1", "A", images=("none.png", "red.png")),
        Entity("Q2", "B", images=("broken.png",)),
        Entity("Q3", "C", images=("https://example.org/c.png",)),
    ]
    with pytest.warns(UserWarning) as caught:
        kb = build_kb(
            entities, pictures / "kb", clip=PatchEncoder(), image_root=pictures
        )
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == 3, "each is told once"
    for entity, image in (("Q1", "none.png"), ("Q2", "broken.png"), ("Q3", "c.png")):
        assert any(entity in message and image in message for message in messages)
    vectors, present = kb.vector_sets["image@clip"].gather([0, 1, 2])
    assert present.tolist() == [True, False, False]
    np.testing.assert_allclose(vectors[0], picture_vector("red"), atol=1e-3)


def test_more_pictures_than_are_decoded_at_a_time(pictures, monkeypatch):
    monkeypatch.setattr(contents, "_PICTURES", 2)
    names = [*COLOURS, "red", "blue"]
    entities = [Entity(f"Q{i}", n, images=(f"{n}.png",)) for i, n in enumerate(names)]
    kb = build_kb(entities, pictures / "kb", clip=PatchEncoder(), image_root=pictures)
    vectors, _ = kb.vector_sets["image@clip"].gather(range(len(names)))
    expected = [picture_vector(name) for name in names]
    np.testing.assert_allclose(vectors, expected, atol=1e-3)


def test_mean_and_deviation_are_those_of_different_entities(pictures):
    words = ["a b c", "b c d", "x y", "x a", "d e f g", "a"]
    entities = [
        Entity(f"Q{i}", "T", text, images=(f"{list(COLOURS)[i % 3]}.png",))
        for i, text in enumerate(words)
    ]
    kb = build_kb(
        entities,
        pictures / "kb",
        text_encoder=WordEncoder(),
        clip=PatchEncoder(),
        image_root=pictures,
    )
    rows = np.arange(len(words))
    different = ~np.eye(len(words), dtype=bool)
    texts = kb.vector_sets["description@text"]
    cosines = texts.gather(rows)[0] @ texts.gather(rows)[0].T
    assert texts.mean == pytest.approx(cosines[different].mean(), abs=0.01)
    assert texts.std == pytest.approx(cosines[different].std(), abs=0.01)
    clip = kb.vector_sets["description@clip"]
    images = kb.vector_sets["image@clip"]
    cross = clip.gather(rows)[0] @ images.gather(rows)[0].T
    assert clip.cross_mean == pytest.approx(cross[different].mean(), abs=0.01)
    assert clip.cross_std == pytest.approx(cross[different].std(), abs=0.01)
    assert images.cross_mean is None


def test_a_single_vector_leaves_cosines_as_they_are(tmp_path):
    kb = build_kb(
        [Entity("Q1", "A", "First.")], tmp_path / "kb", text_encoder=WordEncoder()
    )
    vectors = kb.vector_sets["description@text"]
    assert (vectors.mean, vectors.std) == (0.0, 1.0)


class NanEncoder(WordEncoder):
    def encode_texts(self, texts, progress=None):
        return np.full((len(texts), self.dim), np.nan, dtype=np.float32)


def test_an_encoder_that_gives_nan_builds_nothing(tmp_path, entities):
    with pytest.raises(DweError, match="words of description@text gives NaN or inf"):
        build_kb(entities, tmp_path / "kb", text_encoder=NanEncoder())
    assert not (tmp_path / "kb").exists()
