from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from small_encoders import PatchEncoder, WordEncoder

from spacy_dwe.building.build import build_kb
from spacy_dwe.building.update import add_entities, encode_kb, merge_kbs, rebuild_kb
from spacy_dwe.encoders import decoding
from spacy_dwe.errors import DweError
from spacy_dwe.kb.entity import Entity, entity_text
from spacy_dwe.kb.knowledge_base import DweKnowledgeBase
from spacy_dwe.kb.vectors import fields
from spacy_dwe.kb.vectors.files import DistinctKeys, places_of
from spacy_dwe.kb.vectors.sets import (
    DESCRIPTIONS,
    DESCRIPTIONS_IN_CLIP,
    PICTURES,
    SetName,
    VectorSet,
)

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
    vectors, present = kb.vector_sets[DESCRIPTIONS].gather(range(len(entities)))
    assert present.tolist() == [bool(entity.description) for entity in entities]
    described = [entity_text(entity) for entity in entities if entity.description]
    expected = WordEncoder().encode_texts(described)
    np.testing.assert_allclose(vectors[present], expected, atol=1e-3)
    assert vectors.dtype == np.float32
    assert not vectors[~present].any()


def test_a_set_remembers_its_encoder(kb):
    text = kb.vector_sets[DESCRIPTIONS]
    assert (text.field, text.fingerprint, text.dim) == ("description", "words", 64)
    assert text.spec == {"@misc": "tests.WordEncoder", "name": "words"}
    assert text.array.dtype == np.float16
    assert text.array.shape == (5, 64)
    assert text.offsets.tolist() == [0, 1, 2, 3, 4, 5, 5]
    assert text.places.tolist() == [0, 1, 2, 3, 4]
    clip = kb.vector_sets[DESCRIPTIONS_IN_CLIP]
    assert clip.fingerprint == "patches"
    assert clip.cross_mean is None
    assert PICTURES not in kb.vector_sets


def test_a_kb_without_encoders_has_no_vectors(tmp_path, entities):
    assert build_kb(entities, tmp_path / "kb").vector_sets == {}


def test_each_picture_of_an_entity_has_a_vector(pictures):
    entities = [
        Entity("Q1", "A", "First.", images=("red.png", "blue.png", "red.png")),
        Entity("Q2", "B", "Second."),
        Entity("Q3", "C", images=(str(pictures / "green.png"), "blue.png")),
    ]
    kb = build_kb(entities, pictures / "kb", clip=PatchEncoder(), image_root=pictures)
    vectors = kb.vector_sets[PICTURES]
    places, owners = vectors.of([2, 1, 0])
    assert owners.tolist() == [0, 0, 2, 2]
    expected = [picture_vector(name) for name in ("green", "blue", "red", "blue")]
    np.testing.assert_allclose(vectors.array[places], expected, atol=1e-3)
    assert len(vectors.array) == 3, "a picture is encoded and kept once"
    assert vectors.gather([0, 1, 2])[1].tolist() == [True, False, True]


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
    vectors, present = kb.vector_sets[PICTURES].gather([0, 1, 2])
    assert present.tolist() == [True, False, False]
    np.testing.assert_allclose(vectors[0], picture_vector("red"), atol=1e-3)


def test_more_pictures_than_are_decoded_at_a_time(pictures, monkeypatch):
    monkeypatch.setattr(decoding, "PICTURES_AT_A_TIME", 4)
    names = [*COLOURS, "red", "blue"]
    entities = [Entity(f"Q{i}", n, images=(f"{n}.png",)) for i, n in enumerate(names)]
    kb = build_kb(entities, pictures / "kb", clip=PatchEncoder(), image_root=pictures)
    vectors, _ = kb.vector_sets[PICTURES].gather(range(len(names)))
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
    texts = kb.vector_sets[DESCRIPTIONS]
    cosines = texts.gather(rows)[0] @ texts.gather(rows)[0].T
    assert texts.mean == pytest.approx(cosines[different].mean(), abs=0.01)
    assert texts.std == pytest.approx(cosines[different].std(), abs=0.01)
    clip = kb.vector_sets[DESCRIPTIONS_IN_CLIP]
    images = kb.vector_sets[PICTURES]
    cross = clip.gather(rows)[0] @ images.gather(rows)[0].T
    assert clip.cross_mean == pytest.approx(cross[different].mean(), abs=0.01)
    assert clip.cross_std == pytest.approx(cross[different].std(), abs=0.01)
    assert images.cross_mean is None


def test_a_single_vector_leaves_cosines_as_they_are(tmp_path):
    kb = build_kb(
        [Entity("Q1", "A", "First.")], tmp_path / "kb", text_encoder=WordEncoder()
    )
    vectors = kb.vector_sets[DESCRIPTIONS]
    assert (vectors.mean, vectors.std) == (0.0, 1.0)


class NanEncoder(WordEncoder):
    def encode_texts(self, texts, progress=None):
        return np.full((len(texts), self.dim), np.nan, dtype=np.float32)


def test_an_encoder_that_gives_nan_builds_nothing(tmp_path, entities):
    with pytest.raises(DweError, match="words of description@text gives NaN or inf"):
        build_kb(entities, tmp_path / "kb", text_encoder=NanEncoder())
    assert not (tmp_path / "kb").exists()


@pytest.fixture
def shared(tmp_path):
    """Rows 0, 2 and 3 share a description, and row 4 has none."""
    words = ["same", "other", "same", "same", ""]
    entities = [Entity(f"Q{i}", "Title", text) for i, text in enumerate(words)]
    return build_kb(entities, tmp_path / "kb", text_encoder=WordEncoder())


def test_the_rows_that_use_a_vector(shared):
    vectors = shared.vector_sets[DESCRIPTIONS]
    same, other = vectors.of([0, 1])[0]
    rows_at = vectors.rows_at()
    rows, owners = rows_at.of([other, same])
    assert rows.tolist() == [1, 0, 2, 3]
    assert owners.tolist() == [0, 1, 1, 1]
    assert rows_at.used.all()
    live = np.array([False, False, True, True, True])
    rows_at = vectors.rows_at(live)
    assert rows_at.of([same, other])[0].tolist() == [2, 3]
    assert rows_at.used[same]
    assert not rows_at.used[other]
    assert rows_at.of([])[0].tolist() == []


def test_a_sound_set_has_no_problems(kb, shared):
    for vectors in (*kb.vector_sets.values(), *shared.vector_sets.values()):
        assert list(vectors.problems()) == []


def rewritten(kb, what, change):
    """Change an array on the disk, and open the set again."""
    meta = kb.meta["vectors"]["description@text"]
    path = (kb.path / meta["array"]).with_suffix(what)
    np.save(path, change(np.load(path)))
    return VectorSet.open(kb.path, DESCRIPTIONS, meta)


def test_vectors_that_are_damaged_are_found(shared):
    place = shared.vector_sets[DESCRIPTIONS].of([0])[0][0]

    def zeroed(array):
        array[place] = 0
        return array

    vectors = rewritten(shared, ".npy", zeroed)
    message = "description@text: the vectors of 3 rows, first 0, are no unit vectors"
    assert list(vectors.problems()) == [message]
    live = np.array([False, True, False, True, True])
    assert list(vectors.problems(live)) == [
        "description@text: the vectors of row 3 are no unit vectors"
    ]
    assert list(vectors.problems(live & [True, True, True, False, True])) == []


def test_places_that_are_nowhere_are_found(shared):
    vectors = rewritten(shared, ".places.npy", lambda places: places + 1)
    message = "vectors of row 1 lie outside the 2 there are"
    assert [message in problem for problem in vectors.problems()] == [True]
    assert list(vectors.problems(np.array([True, False, True, True, True]))) == []


def test_offsets_that_overlap_are_found(shared):
    vectors = rewritten(shared, ".offsets.npy", lambda offsets: offsets[::-1].copy())
    assert [*vectors.problems()] == ["description@text: the places of its rows overlap"]


def test_keys_that_are_cut_off_are_found(shared):
    vectors = rewritten(shared, ".keys.npy", lambda keys: keys[:1])
    (problem,) = vectors.problems()
    assert "keys.npy" in problem


def test_vectors_of_what_an_entity_no_longer_says_are_found(shared):
    vectors = shared.vector_sets[DESCRIPTIONS]
    entities = list(enumerate(shared))
    assert list(vectors.stale(entities)) == []
    said = {0: "changed", 3: "", 4: "new"}
    changed = [
        (row, replace(e, description=said[row])) for row, e in entities if row in said
    ]
    assert list(vectors.stale(changed)) == [0, 3, 4]


def test_vectors_of_pictures_that_changed_are_found(pictures):
    entities = [Entity(f"Q{i}", n, images=(f"{n}.png",)) for i, n in enumerate(COLOURS)]
    kb = build_kb(entities, pictures / "kb", clip=PatchEncoder(), image_root=pictures)
    vectors, field = kb.vector_sets[PICTURES], fields.PictureField(pictures)
    assert list(vectors.stale(enumerate(entities), field)) == []
    (pictures / "red.png").replace(pictures / "green.png")
    with pytest.warns(UserWarning, match=r"red.png of entity Q0 is left out"):
        assert list(vectors.stale(enumerate(entities), field)) == [0, 1]


def test_keys_are_looked_up_by_both_halves():
    random = np.random.default_rng(0)
    known = random.integers(0, 4, size=(5000, 2)).astype(np.uint64)
    known = np.unique(known, axis=0)[random.permutation(16)]
    wanted = DistinctKeys.of(random.integers(0, 6, size=(500, 2)).astype(np.uint64))
    assert len(wanted.keys) == 36
    places = places_of(wanted.keys, known)
    for key, place in zip(wanted.keys.tolist(), places.tolist()):
        assert known.tolist()[place] == key if place >= 0 else key not in known.tolist()
    assert (places >= 0).sum() == 16


# Several spaces


def test_a_set_is_named_by_its_field_and_its_space():
    name = SetName.read("description@my-space_2")
    assert name == ("description", "my-space_2")
    assert str(name) == f"{name}" == "description@my-space_2"
    assert SetName.read("image@clip") == PICTURES


@pytest.mark.parametrize(
    "text", ["", "description", "@clip", "image@", "a@b@c", "image@my space", "a@b.c"]
)
def test_what_names_no_set_is_refused(text):
    with pytest.raises(DweError, match=r"E185.*description@text"):
        SetName.read(text)


class PictureEncoder:
    """Reads no texts."""

    def __init__(self):
        patches = PatchEncoder("pictures")
        self.fingerprint, self.spec, self.dim = "pictures", patches.spec, patches.dim
        self.encode_images = patches.encode_images


NAMES = ("description@text", "description@mine", "image@mine", "image@seen")


@pytest.fixture
def of_three_spaces(pictures):
    encoders = {"mine": PatchEncoder("mine"), "seen": PictureEncoder()}
    entities = [
        Entity("R", "Red", "The colour of fire.", images=("red.png",)),
        Entity("G", "Green", "The colour of grass."),
    ]
    path = pictures / "kb"
    text = WordEncoder()
    kb = build_kb(
        entities, path, text_encoder=text, encoders=encoders, image_root=pictures
    )
    return kb, encoders, text


def test_an_encoder_makes_a_set_of_each_field_it_reads(of_three_spaces):
    kb, _, _ = of_three_spaces
    assert tuple(map(str, kb.vector_sets)) == tuple(kb.meta["vectors"]) == NAMES
    for name, vectors in kb.vector_sets.items():
        assert vectors.name == name
        pictured = name.field == "image"
        assert vectors.gather([0, 1])[1].tolist() == [True, not pictured]
    sets = {name.space: v for name, v in kb.vector_sets.items()}
    assert {s: v.fingerprint for s, v in sets.items()} == {
        "text": "words",
        "mine": "mine",
        "seen": "pictures",
    }
    own = kb.vector_sets[SetName("description", "mine")]
    assert own.cross_mean is not None, "measured against pictures of the same space"
    assert kb.vector_sets[DESCRIPTIONS].cross_mean is None


def test_spaces_that_texts_and_pictures_are_compared_in(of_three_spaces, tmp_path):
    kb, _, text = of_three_spaces
    assert (kb.text_set, kb.picture_spaces) == (DESCRIPTIONS, ("mine", "seen"))
    entities = [Entity("R", "Red", "The colour of fire.")]
    clip = PatchEncoder()
    both = build_kb(entities, tmp_path / "b", clip=clip, encoders={"words": text})
    assert (str(both.text_set), both.picture_spaces) == ("description@words", ("clip",))
    only = build_kb(entities, tmp_path / "c", clip=clip)
    assert (only.text_set, only.picture_spaces) == (DESCRIPTIONS_IN_CLIP, ("clip",))


def test_all_spaces_grow_and_are_made_again(of_three_spaces, pictures):
    kb, encoders, text = of_three_spaces
    own = {"encoders": {**encoders, "text": text}}
    new = Entity("B", "Blue", "The colour of the sky.", images=("blue.png",))
    add_entities(kb.path, [new], **own)
    for vectors in rebuild_kb(kb.path, **own).vector_sets.values():
        assert vectors.gather([0, 2])[1].all()
    cyan = replace(new, id="C", title="Cyan")
    other = build_kb([cyan], pictures / "other", image_root=pictures)
    merge_kbs(kb.path, [other.path], **own)
    grown = rebuild_kb(kb.path, **own)
    assert all(v.gather([3])[1].all() for v in grown.vector_sets.values())
    more = {"words": WordEncoder("other words")}
    encode_kb(other.path, encoders=more)
    assert list(DweKnowledgeBase(other.path).vector_sets) == [("description", "words")]


def test_a_space_without_its_encoder_says_how_to_name_it(of_three_spaces):
    kb, _, text = of_three_spaces
    with pytest.raises(DweError, match=r"E225.*not registered.*--code"):
        add_entities(kb.path, [Entity("B", "Blue", "Of the sky.")], text_encoder=text)


@pytest.mark.parametrize(
    "encoders, message",
    [({"my.space": WordEncoder()}, "E185"), ({"mine": object()}, "E186.*mine.*object")],
)
def test_what_cannot_be_a_space_is_refused(encoders, message, tmp_path):
    with pytest.raises(DweError, match=message):
        build_kb([Entity("A", "A", "A.")], tmp_path / "kb", encoders=encoders)
