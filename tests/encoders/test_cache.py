import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from spacy_dwe.encoders.cache import FeatureCache, MemoryStore
from spacy_dwe.encoders.protocol import MentionFeatures, MentionText, Reading
from spacy_dwe.encoders.store import DiskStore


class Counting:
    """A real encoder that notes what it is asked."""

    def __init__(self, encoder):
        self.encoder = encoder
        self.spec, self.fingerprint = encoder.spec, encoder.fingerprint
        self.dim, self.width = encoder.dim, encoder.width
        self.max_tokens = encoder.max_tokens
        self.asked = []

    def encode_texts(self, texts, progress=None):
        self.asked += texts
        return self.encoder.encode_texts(texts, progress)

    def encode_mentions(self, mentions):
        self.asked += mentions
        return self.encoder.encode_mentions(mentions)

    def encode_images(self, images, progress=None):
        self.asked += images
        return self.encoder.encode_images(images, progress)


@pytest.fixture
def encoder(clip):
    return Counting(clip("clip"))


def test_each_distinct_text_is_encoded_once(encoder):
    cache = FeatureCache()
    vectors = cache.texts(encoder, ["a", "b", "a"])
    np.testing.assert_array_equal(vectors[0], vectors[2])
    np.testing.assert_allclose(
        vectors, encoder.encoder.encode_texts(["a", "b", "a"]), atol=1e-6
    )
    cache.texts(encoder, ["b", "c"])
    assert encoder.asked == ["a", "b", "c"]
    assert cache.texts(encoder, []).shape == (0, encoder.dim)


def test_each_distinct_mention_is_encoded_once(encoder):
    cache = FeatureCache()
    mentions = [MentionText("London won", 0, 6), MentionText("London won", 7, 10)]
    first = cache.mentions(encoder, [*mentions, mentions[0]])
    assert first[0] is first[2]
    cache.mentions(encoder, mentions[::-1])
    assert encoder.asked == mentions


def test_pictures_are_decoded_only_if_they_are_not_known(encoder):
    cache = FeatureCache()
    decoded = []

    def open_picture(key):
        decoded.append(key)
        if key == "broken":
            return None
        return Image.new("RGB", (40, 30), {"red": "red", "blue": "blue"}[key])

    vectors = cache.pictures(encoder, ["red", "broken", "red"], open_picture)
    assert set(vectors) == {"red"} and vectors["red"].shape == (encoder.dim,)
    again = cache.pictures(encoder, ["blue", "red"], open_picture)
    assert decoded == ["red", "broken", "blue"]
    np.testing.assert_array_equal(again["red"], vectors["red"])
    assert len(encoder.asked) == 2


def test_encoders_do_not_share_entries(encoder, clip):
    cache = FeatureCache()
    other = Counting(clip("siglip"))
    assert other.fingerprint != encoder.fingerprint
    cache.texts(encoder, ["a"])
    cache.texts(other, ["a"])
    assert encoder.asked == other.asked == ["a"]


def test_what_nobody_reads_is_not_kept(encoder):
    cache, mention = FeatureCache(), MentionText("London won the cup in May", 0, 6)
    sizes = []
    for reading in Reading:
        (features,) = cache.mentions(encoder, [mention], reading)
        sizes.append(features.nbytes)
        assert (len(features.edges) > 0) == (reading >= Reading.EDGES)
        assert (len(features.mention_mean) > 0) == (reading >= Reading.MEANS)
        assert (len(features.states) > 0) == (reading >= Reading.HALVES)
    assert sizes[0] == features.pooled.nbytes
    assert sizes == sorted(sizes) and len({*sizes}) == len(sizes)
    # Asked for more, it is encoded again; then what there is serves all.
    assert encoder.asked == [mention] * len(Reading)


def test_what_was_kept_for_others_serves_who_reads_less(encoder, tmp_path):
    """And is the same, whoever it was encoded for."""
    mention = MentionText("London won the cup", 0, 6)
    whole = FeatureCache(DiskStore(tmp_path))
    whole.mentions(encoder, [mention])
    fresh = [
        FeatureCache().mentions(encoder, [mention], reading)[0] for reading in Reading
    ]
    del encoder.asked[:]
    for reading, ours in zip(Reading, fresh):
        later = FeatureCache(DiskStore(tmp_path))
        (theirs,) = later.mentions(encoder, [mention], reading)
        for name in ("pooled", "states", "edges", "means"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
        assert ours.mention == theirs.mention
    assert encoder.asked == []


def test_half_precision_is_kept_where_it_holds_and_serves_no_means(encoder):
    cache, mention = FeatureCache(), MentionText("London won the cup", 0, 6)
    (half,) = cache.mentions(encoder, [mention], Reading.HALVES)
    (encoded,) = encoder.encoder.encode_mentions([mention])
    assert half.states.dtype == np.float16
    np.testing.assert_allclose(half.states, encoded.states, atol=1e-3, rtol=1e-3)
    (means,) = cache.mentions(encoder, [mention], Reading.MEANS)
    np.testing.assert_allclose(means.mention_mean, encoded.mention_mean, atol=1e-6)
    states = np.array([[1.0, 1e5]], dtype=np.float32)
    features = MentionFeatures(states[0], states, slice(0, 1), states[0])
    np.testing.assert_array_equal(features.only(Reading.HALVES).states, states)


def test_epochs_over_twice_the_memory_find_about_half_of_it():
    store = MemoryStore(max_bytes=100 * (500 + 3 + 400))
    hits = []
    for _ in range(4):
        hits.append(0)
        for n in range(100, 300):
            key = ("text", "f", str(n))
            if store.get(key) is None:
                store.put(key, np.zeros(100, np.float32))
            else:
                hits[-1] += 1
        assert store.n_bytes <= store.max_bytes
    assert hits[0] == 0 and min(hits[1:]) > 90


def test_several_threads_can_share_a_cache(encoder):
    cache = FeatureCache(max_bytes=3000)
    texts = [f"text {n}" for n in range(8)]
    expected = encoder.encoder.encode_texts(texts)
    failed = []

    def work(shift):
        order = [*range(shift, 8), *range(shift)]
        found = cache.texts(encoder, [texts[i] for i in order])
        if not np.allclose(found, expected[order], atol=1e-5):
            failed.append(shift)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert cache.store.n_bytes <= 3000


def test_making_an_encoder_imports_and_loads_nothing():
    code = """
import sys
from spacy_dwe.encoders import clip_encoder, encoder_from_spec, text_encoder
clip_encoder("ViT-B-32", "openai")
text_encoder("some-model")
heavy = {"open_clip", "torchvision", "transformers", "torch", "PIL"}
heavy |= {"spacy_dwe.encoders.clip", "spacy_dwe.encoders.text"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
