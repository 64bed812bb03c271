from dataclasses import replace

import numpy as np
import pytest
import spacy
import torch

from spacy_dwe.errors import DweError
from spacy_dwe.linking.collate import collate, entity_vectors
from spacy_dwe.model.inputs import MentionPlace
from spacy_dwe.model.modalities import all_modalities
from spacy_dwe.training.targets import restrict_negatives, with_targets

DESCRIPTIONS, DIM = "description@clip", 8


@pytest.fixture
def mentions(prepared):
    """With three candidates, none and one."""
    return [
        prepared(4, 2, 0, tokens=3, n_pictures=2),
        prepared(tokens=2),
        prepared(5, tokens=6, n_pictures=1),
    ]


@pytest.fixture
def to_batch(vectors):
    def make(mentions, pooled=False, heads=None):
        heads = {DESCRIPTIONS: vectors} if heads is None else heads
        return collate(
            mentions, heads=heads, pictures={"clip": DIM}, pooled=pooled, device="cpu"
        )

    return make


def test_lists_of_candidates_are_padded(to_batch, mentions):
    batch = to_batch(mentions)
    assert batch.rows.tolist() == [[4, 2, 0], [-1, -1, -1], [5, -1, -1]]
    assert torch.equal(batch.candidates, batch.rows >= 0)
    assert batch.described.tolist() == [
        [True, False, True],
        [False, False, False],
        [True, False, False],
    ]
    np.testing.assert_array_equal(batch.features[0], mentions[0].features)
    np.testing.assert_array_equal(batch.features[2, :1], mentions[2].features)
    assert not batch.features[~batch.candidates].any()
    assert not batch.present[~batch.candidates].any()
    assert batch.present[batch.candidates].all()


def test_tokens_and_pictures_are_padded(to_batch, mentions):
    inputs = to_batch(mentions).inputs
    assert inputs.mention_mask.sum(1).tolist() == [2, 1, 5]
    context, vision = inputs.slots("text"), inputs.slots("vision")
    assert context.mask.sum(1).tolist() == [3, 2, 6]
    assert inputs.whole.mask.sum(1).tolist() == [2, 0, 1]
    states = mentions[0].text.states
    np.testing.assert_array_equal(inputs.mention[0, :2], states[1:3])
    np.testing.assert_array_equal(context.arrays["states"][0, :3], states)
    np.testing.assert_array_equal(inputs.whole.vectors[2, :1], mentions[2].whole)
    assert torch.equal(vision.mask, inputs.whole.mask), "each picture is a region"
    assert torch.equal(vision.arrays["objects"], inputs.whole.vectors)
    np.testing.assert_array_equal(inputs.text[1], mentions[1].text.pooled)


def test_pooled_states_are_their_means(to_batch, mentions):
    inputs = to_batch(mentions, pooled=True).inputs
    context = inputs.slots("text").arrays["states"]
    assert inputs.mention.shape == context.shape == (3, 1, 5)
    states = mentions[2].text.states
    np.testing.assert_allclose(inputs.mention[2, 0], states[1:].mean(0), atol=1e-6)
    np.testing.assert_allclose(context[2, 0], states.mean(0), atol=1e-6)


def test_edges_are_read_where_they_are_asked_for(mentions):
    batch = collate(
        mentions, heads={}, pictures={}, pooled=True, device="cpu", edges=True
    )
    for found, mention in zip(batch.edges, mentions):
        np.testing.assert_array_equal(found, mention.text.edges)
    unread = collate(mentions, heads={}, pictures={}, pooled=True, device="cpu")
    assert unread.edges is None


def test_candidates_bring_their_vectors(to_batch, mentions, vectors):
    entities = to_batch(mentions).entities[DESCRIPTIONS]
    assert entities.present.tolist() == [
        [True, False, True],
        [False, False, False],
        [True, False, False],
    ]
    assert (entities.mean, entities.std) == (0.1, 0.2)
    expected = vectors.array[[3, 0]].astype(np.float32)
    np.testing.assert_array_equal(entities.vectors[0, [0, 2]], expected)


@pytest.fixture
def pictures(vectors):
    """Of six entities: two of row 0, none of row 1, forty of row 2, one of the rest."""
    counts = np.array([2, 0, 40, 1, 1, 1])
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    random = np.random.default_rng(0)
    array = random.standard_normal((offsets[-1], DIM))
    array /= np.linalg.norm(array, axis=1, keepdims=True)
    places = random.permutation(offsets[-1]).astype(np.int32)
    return replace(
        vectors, array=array.astype(np.float16), offsets=offsets, places=places
    )


def test_candidates_with_several_pictures_bring_them_all(pictures):
    rows = np.array([[4, 2, 0], [-1, -1, -1], [5, 1, -1], [0, 0, 3]])
    entities = entity_vectors(pictures, rows, "cpu")
    assert entities.present.tolist() == [
        [True, True, True],
        [False, False, False],
        [True, False, False],
        [True, True, True],
    ]
    for query in np.eye(DIM, dtype=np.float32):
        found = entities.cosines(torch.from_numpy(query).expand(4, -1))
        for (mention, candidate), row in np.ndenumerate(rows):
            places, _ = pictures.of([row] if row >= 0 else [])
            own = pictures.array[places].astype(np.float32) @ query
            expected = own.max() if len(own) else 0.0
            assert found[mention, candidate] == pytest.approx(expected, abs=1e-6)


def test_an_entity_with_many_pictures_pads_no_other_mention(pictures):
    rows = np.array([[2, 0, 3], *[[5, 3, 4]] * 50])
    entities = entity_vectors(pictures, rows, "cpu")
    assert entities.vectors.shape == (15 + 50, 3, DIM)


def test_where_each_candidate_has_one_nothing_is_added(pictures):
    entities = entity_vectors(pictures, np.array([[3, 1, 5], [4, -1, -1]]), "cpu")
    assert entities.owners is None
    assert entities.vectors.shape == (2, 3, DIM)
    assert entities.present.tolist() == [[True, False, True], [True, False, False]]


def test_pictures_are_padded_in_every_space(vectors, prepared):
    mentions = [prepared(1, n_pictures=2), prepared(2)]
    seen = np.ones((2, 3), dtype=np.float32)
    mentions[0].pictures = {**mentions[0].pictures, "seen": seen}
    mentions[1].pictures = {}
    batch = collate(
        mentions,
        heads={DESCRIPTIONS: vectors},
        pictures={"clip": DIM, "seen": 3},
        pooled=True,
        device="cpu",
    )
    own = batch.inputs.pictures
    assert {space: each.vectors.shape for space, each in own.items()} == {
        "clip": (2, 2, DIM),
        "seen": (2, 2, 3),
    }
    np.testing.assert_array_equal(own["seen"].vectors[0], seen)
    assert own["seen"].present.tolist() == [True, False]


def test_without_a_text_encoder_no_text_is_read(vectors, prepared):
    mention = prepared(1, n_pictures=1)
    mention.text = None
    inputs = collate(
        [mention],
        heads={DESCRIPTIONS: vectors},
        pictures={"clip": DIM},
        pooled=True,
        device="cpu",
        modalities={},
    ).inputs
    assert inputs.text.shape == (1, 0)
    assert inputs.whole.present.all()


def test_without_the_dwe_channel_no_text_is_needed(to_batch, mentions):
    for mention in mentions:
        mention.text, mention.pictures = None, {}
    batch = to_batch(mentions, heads={})
    assert batch.inputs is None
    assert batch.entities == {}


def test_without_pictures_all_visual_masks_are_empty(to_batch, mentions):
    for mention in mentions:
        mention.pictures = {}
    inputs = to_batch(mentions).inputs
    assert inputs.whole.vectors.shape == (3, 0, DIM)
    assert not len(inputs.slots("vision"))


def test_a_network_without_vision_is_given_no_pictures(mentions, vectors):
    heads = {DESCRIPTIONS: vectors}
    batch = collate(mentions, heads=heads, pictures={}, pooled=False, device="cpu")
    assert batch.inputs.pictures == {}
    assert not len(batch.inputs.slots("vision"))


def test_regions_faces_and_scenes_are_padded(to_batch, prepared):
    mentions = [prepared(1, n_pictures=1, n_regions=3, n_scenes=2), prepared(2)]
    inputs = to_batch(mentions).inputs
    vision, attributes = inputs.slots("vision"), inputs.slots("attributes")
    assert vision.mask.tolist() == [[True] * 3, [False] * 3]
    assert vision.arrays["face_mask"].tolist() == [[True, False, False], [False] * 3]
    np.testing.assert_array_equal(vision.arrays["objects"][0], mentions[0].objects)
    np.testing.assert_array_equal(vision.arrays["faces"][0], mentions[0].faces)
    assert attributes.mask.tolist() == [[True] * 2, [False] * 2]
    np.testing.assert_array_equal(attributes.arrays["scenes"][0], mentions[0].scenes)


def test_raw_images_stand_for_all_refined_features(vectors, prepared):
    mention = prepared(1, n_pictures=1, n_regions=3, n_scenes=2)
    batch = collate(
        [mention],
        heads={DESCRIPTIONS: vectors},
        pictures={"clip": DIM},
        pooled=False,
        device="cpu",
        modalities=all_modalities({}, raw_image=True),
    )
    vision = batch.inputs.slots("vision")
    np.testing.assert_array_equal(vision.arrays["objects"][0], mention.whole)
    assert vision.arrays.keys() == {"objects"}
    assert not len(batch.inputs.slots("attributes"))


def test_mentions_of_a_sentence_are_told(to_batch, prepared):
    mentions = [prepared(1) for _ in range(5)]
    for mention, sentence in zip(mentions, ["A won.", "B won.", "A won.", "", ""]):
        mention.sentence = sentence
    assert to_batch(mentions).sentences.tolist() == [0, 1, 0, 2, 3]


def test_negatives_can_be_restricted(to_batch, mentions):
    batch = restrict_negatives(to_batch(mentions), np.array([0, 2], dtype=np.int32))
    assert batch.negatives.tolist() == [
        [False, True, True],
        [False, False, False],
        [False, False, False],
    ]


class Sound:
    """Somebody else's modality: reads what a test put on the document."""

    gated = False

    def width(self, encoders):
        return 2

    def extract(self, mention, place):
        return {"vectors": place.docs[0].user_data["sound"]}


@pytest.mark.parametrize(
    "sound, complaint",
    [
        ([[1.0, 2.0, 3.0]], "width 3 instead of 2"),
        ([[1.0, np.nan]], "NaN or infinite"),
        ([[1.0, 2.0], [3.0]], "what is no array"),
        ("loud", "no array of numbers"),
    ],
)
def test_what_others_extract_is_checked(vectors, prepared, sound, complaint):
    doc = spacy.blank("en").make_doc("Georgia won.")
    doc.user_data["sound"] = sound
    with pytest.raises(DweError, match=rf"E518.*'sound'.*Georgia won.*{complaint}"):
        collate(
            [prepared(1)],
            heads={DESCRIPTIONS: vectors},
            pictures={"clip": DIM},
            pooled=False,
            device="cpu",
            modalities={"sound": Sound()},
            widths={"sound": 2},
            places=[MentionPlace((doc,), 0, 7)],
        )


class TestTargets:
    """The gold among the candidates [4, 2, 0], none, and [5]; 3 stands for NIL."""

    def test_gold_is_found(self, to_batch, mentions):
        batch, targets = with_targets(to_batch(mentions), np.array([2, -1, 5]), 0.0)
        assert targets.tolist() == [1, 3, 0]
        assert torch.equal(batch.candidates, to_batch(mentions).candidates)

    def test_gold_not_retrieved_is_nil_and_never_put_in(self, to_batch, mentions):
        batch, targets = with_targets(to_batch(mentions), np.array([5, 3, 4]), 0.0)
        assert targets.tolist() == [3, 3, 3]
        assert torch.equal(batch.rows, to_batch(mentions).rows)

    def test_nil_is_not_padding(self, to_batch, mentions):
        _, targets = with_targets(to_batch(mentions), np.array([-1, -1, -1]), 0.0)
        assert targets.tolist() == [3, 3, 3]

    def test_golds_are_taken_away_to_teach_nil(self, to_batch, mentions):
        batch, targets = with_targets(to_batch(mentions), np.array([2, -1, 4]), 1.0)
        assert targets.tolist() == [3, 3, 3]
        assert batch.candidates.tolist() == [
            [True, False, True],
            [False, False, False],
            [True, False, False],
        ]

    def test_a_share_of_them(self, to_batch, prepared):
        batch = to_batch([prepared(0, 1)] * 1000)
        batch, targets = with_targets(batch, np.zeros(1000, dtype=np.int32), 0.1)
        taken = targets == 2
        assert 70 < int(taken.sum()) < 130
        assert torch.equal(batch.candidates[:, 0], ~taken)
        assert batch.candidates[:, 1].all()
