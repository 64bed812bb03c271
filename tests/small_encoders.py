"""Encoders small enough to check by hand: they count words and average colours."""

import re
from zlib import crc32

import numpy as np
import spacy

from spacy_dwe.encoders.protocol import mentions_as_texts

DIM = 100
"""Lights from here on show little of a face."""
WORDS = ("red", "blue", "georgia", "land", "won")


class WordEncoder:
    """A text is the counts of its words, hashed."""

    dim = 64
    width = 64
    max_tokens = 1000

    def __init__(self, name="words"):
        self.fingerprint = name
        self.space = name
        self.spec = {"@misc": "tests.WordEncoder", "name": name}

    def encode_texts(self, texts, progress=None):
        counts = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                counts[row, crc32(word.encode()) % self.dim] += 1
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


class PatchEncoder(WordEncoder):
    """A picture is the colours of its 4 × 4 patches, hashed words beside it."""

    def __init__(self, name="patches"):
        super().__init__(name)

    def encode_images(self, images, progress=None):
        patches = [
            np.asarray(image.resize((4, 4)), dtype=np.float32) for image in images
        ]
        vectors = np.stack(
            [np.resize(patch.ravel() + 1, self.dim) for patch in patches]
        )
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class CountingEncoder(PatchEncoder):
    """Remembers which texts and how many pictures it encoded, chunk by chunk."""

    def __init__(self, name="words"):
        super().__init__(name)
        self.chunks = []
        self.n_pictures = 0

    @property
    def encoded(self):
        return sorted(text for chunk in self.chunks for text in chunk)

    def encode_texts(self, texts, progress=None):
        self.chunks.append(list(texts))
        if progress is not None:
            progress(len(texts))
        return super().encode_texts(texts)

    def encode_images(self, images, progress=None):
        self.n_pictures += len(images)
        return super().encode_images(images)


@spacy.registry.misc("tests.Words.v1")
class Words:
    """A text is which of a few words are in it."""

    dim = width = len(WORDS)
    max_tokens = 1000
    fingerprint = "which words"

    def __init__(self):
        self.spec = {"@misc": "tests.Words.v1"}

    def encode_texts(self, texts, progress=None):
        found = [[word in text.lower() for word in WORDS] for text in texts]
        counts = np.array(found, dtype=np.float32) + 0.01
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)

    def encode_mentions(self, mentions):
        return mentions_as_texts(self, mentions)


@spacy.registry.misc("tests.Colours.v1")
class Colours:
    """A picture is its mean colour."""

    dim = 3
    fingerprint = "mean colours"

    def __init__(self):
        self.spec = {"@misc": "tests.Colours.v1"}

    def encode_images(self, images, progress=None):
        means = [np.asarray(image).reshape(-1, 3).mean(axis=0) + 1 for image in images]
        vectors = np.array(means, dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@spacy.registry.misc("tests.Faces.v1")
class Faces:
    """A picture is a face by its red, seen in a light by its green; "face 7" is one in
    words."""

    dim = width = 32
    max_tokens = 1000
    fingerprint = "faces"

    def __init__(self):
        self.spec = {"@misc": "tests.Faces.v1"}
        self.n_pictures = 0

    def encode_images(self, images, progress=None):
        self.n_pictures += len(images)
        seen = [image.getpixel((0, 0)) for image in images]
        return np.stack([self._face(face, light) for face, light, _ in seen])

    def encode_texts(self, texts, progress=None):
        named = [re.search(r"face (\d+)", text) for text in texts]
        faces = [
            int(found[1]) if found else hash_of(text)
            for found, text in zip(named, texts)
        ]
        return np.stack([self._face(face, 9) for face in faces])

    def encode_mentions(self, mentions):
        return mentions_as_texts(self, mentions)

    def _face(self, face, light):
        vector = np.random.default_rng(face).normal(size=self.dim)
        noise = 1.25 if light >= DIM else 0.5
        vector += noise * np.random.default_rng((face, light)).normal(size=self.dim)
        return (vector / np.linalg.norm(vector)).astype(np.float32)


def hash_of(text):
    return 1000 + sum(map(ord, text))
