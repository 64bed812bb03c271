import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from spacy_dwe.encoders.cache import FeatureCache, MemoryStore
from spacy_dwe.encoders.protocol import MentionText


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


def test_memory_is_bounded_and_the_oldest_make_way():
    store = MemoryStore(max_bytes=3 * (500 + 1 + 400))
    keys = [("text", "f", letter) for letter in "abcd"]
    for key in keys[:3]:
        store.put(key, np.zeros(100, np.float32))
    store.get(keys[0])
    store.put(keys[3], np.zeros(100, np.float32))
    assert [store.get(key) is None for key in keys] == [False, True, False, False]
    store.put(keys[0], np.zeros(100, np.float32))
    assert len(store) == 3 and store.n_bytes <= store.max_bytes
    store.put(("text", "f", "big"), np.zeros(10_000, np.float32))
    assert store.n_bytes <= store.max_bytes


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
