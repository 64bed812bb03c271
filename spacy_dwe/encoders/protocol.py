"""What every frozen encoder promises. Encoders know nothing of spaCy or of a KB.

One from outside is an object with these attributes, made by a function that is
registered in spaCy's `misc`. Its `spec` is the config block that names this function,
so that a KB knows how to make it again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL.Image import Image

from .visual.boxes import Box

if TYPE_CHECKING:
    from torch import Tensor

EDGES = 4
"""Tokens that `edge_states` reads."""
SHORTEST = 1e-12
"""Length below which a state is zero."""

Progress = Callable[[int], None]
"""Called with the number of items just finished."""


@dataclass(frozen=True, slots=True)
class MentionText:
    """A mention in its context: `context[start:end]` is the mention (characters).

    It is also what two equal inputs are recognised by: the same context and offsets
    are encoded once per batch.
    """

    context: str
    start: int
    end: int


class Reading(IntEnum):
    """How much of what an encoder says of a mention is read, and so is kept. Each has
    what stands above it, too; HALVES has states in half precision, for networks that
    compute in less. Elsewhere nothing is rounded: of what differs between batches in
    the last bits, rounding makes differences 1,000 times as large."""

    POOLED = 0
    EDGES = 1
    MEANS = 2
    HALVES = 3
    STATES = 4

    @property
    def served_by(self) -> "tuple[Reading, ...]":
        """RETURNS (tuple[Reading, ...]): those that hold what is read, itself first."""
        more = [each for each in Reading if each > self]
        if self is Reading.MEANS:
            more.remove(Reading.HALVES)
        return self, *more


NOTHING = np.zeros(0, dtype=np.float32)
NO_STATES = np.zeros((0, 0), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class MentionFeatures:
    """What a text encoder says of one mention. What nobody reads is empty, see
    `Reading`.

    pooled (np.ndarray): the mention in its context, unit length. Shape: (dim,), float32
    states (np.ndarray): token states after the tower's final norm, special tokens
        left out. Shape: (n_tokens, width), float32, or float16, see `Reading`
    mention (slice): the rows of `states` that are the mention; never empty in what an
        encoder says.
    edges (np.ndarray): what stands at the edges of the mention, see `edge_states`; of
        states in the middle of the tower, if it has one. Shape: (EDGES * width,),
        float32
    means (np.ndarray): means of the states of the mention and of all, where these
        themselves are not kept. Shape: (2, width), float32
    """

    pooled: np.ndarray
    states: np.ndarray
    mention: slice
    edges: np.ndarray
    means: np.ndarray = field(default_factory=lambda: NO_STATES)

    @property
    def mention_mean(self) -> np.ndarray:
        """RETURNS (np.ndarray): mean state of the mention; no row where nobody reads
        it. Shape: (1, width), float32"""
        if len(self.means) or not len(self.states):
            return self.means[:1]
        return _mean(self.states[self.mention])

    @property
    def context_mean(self) -> np.ndarray:
        """RETURNS (np.ndarray): as `mention_mean`, of all states."""
        if len(self.means) or not len(self.states):
            return self.means[1:]
        return _mean(self.states)

    @property
    def nbytes(self) -> int:
        """RETURNS (int): memory of its arrays."""
        arrays = self.pooled, self.states, self.edges, self.means
        return sum(array.nbytes for array in arrays)

    def only(self, reading: Reading) -> "MentionFeatures":
        """RETURNS (MentionFeatures): without what nobody reads."""
        if reading is Reading.STATES:
            return self
        if reading is Reading.HALVES:
            return replace(self, states=_half(self.states))
        means, edges = NO_STATES, NOTHING
        if reading >= Reading.MEANS:
            means = np.concatenate([self.mention_mean, self.context_mean])
        if reading >= Reading.EDGES:
            edges = self.edges
        return MentionFeatures(self.pooled, NO_STATES, slice(0, 0), edges, means)


def _mean(states: np.ndarray) -> np.ndarray:
    """RETURNS (np.ndarray): as `np.mean` has it, which takes twice as long for so few.
    Shape: (1, width), float32"""
    total: np.ndarray = states.sum(axis=0, keepdims=True)
    return total / np.float32(len(states))


def _half(array: np.ndarray) -> np.ndarray:
    """RETURNS (np.ndarray): float16, but for what is too large for it."""
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    return half if np.isfinite(half).all() else array


def edge_states(states: np.ndarray, mention: slice) -> np.ndarray:
    """States at the edges of a mention.

    states (np.ndarray): of all tokens. Shape: (n_tokens, width)
    mention (slice): the rows that are the mention.
    RETURNS (np.ndarray): those of the token before it, its first, its last and the one
        after it, each of unit length; zeros where the context ends, or where half
        precision did not hold a state.
        Shape: (EDGES * width,), float32
    """
    first, last, _ = mention.indices(len(states))
    out = np.zeros((EDGES, states.shape[1]), dtype=np.float32)
    for place, row in enumerate((first - 1, first, last - 1, last)):
        if 0 <= row < len(states):
            out[place] = states[row]
    out[~np.isfinite(out).all(axis=1)] = 0
    lengths = np.linalg.norm(out, axis=1, keepdims=True)
    return (out / np.maximum(lengths, SHORTEST)).ravel()


def mentions_as_texts(
    encoder: "TextEncoder", mentions: Sequence[MentionText]
) -> list[MentionFeatures]:
    """What `encode_mentions` may return for an encoder that tells nothing of tokens:
    the context is one text, and the words of the mention, as another, are the only
    state. Its `width` is its `dim` then."""
    contexts = encoder.encode_texts([mention.context for mention in mentions])
    words = encoder.encode_texts([m.context[m.start : m.end] for m in mentions])
    whole = slice(0, 1)
    return [
        MentionFeatures(pooled, own[None], whole, edge_states(own[None], whole))
        for pooled, own in zip(contexts, words)
    ]


@dataclass(frozen=True, slots=True)
class PictureBatch:
    """What one forward pass of an image encoder says of some pictures.

    pooled (np.ndarray): unit vectors. Shape: (n, dim), float32
    patches (Tensor | None): unit vectors of the patches in the space of texts, on the
        encoder's device; None where its tower has none.
        Shape: (n, rows, cols, dim), float32
    blank (Tensor | None): unit vectors of the patches of a plain grey picture: what a
        patch says by its place alone. Shape: (rows, cols, dim), float32
    views (list[Box]): the part of each picture that the patches divide.
    """

    pooled: np.ndarray
    patches: "Tensor | None"
    blank: "Tensor | None"
    views: list[Box]


class TextEncoder(Protocol):
    """A frozen text tower with unit-length outputs.

    spec (dict): the JSON config block that builds this encoder again,
        `{"@misc": "my.Encoder.v1", …}`; a KB remembers it in its meta.json.
    fingerprint (str): changes whenever a vector could change (weights, pooling,
        truncation); short hexadecimal string. Loads the weights. Vectors can be
        compared by cosine where it is equal: CLIP's text and image towers share it.
    dim (int): width of pooled vectors.
    width (int): width of token states.
    max_tokens (int): longest input in tokens, special tokens included.
    """

    spec: dict[str, Any]

    @property
    def fingerprint(self) -> str: ...

    @property
    def dim(self) -> int: ...

    @property
    def width(self) -> int: ...

    @property
    def max_tokens(self) -> int: ...

    def encode_texts(
        self, texts: Sequence[str], progress: Progress | None = None
    ) -> np.ndarray:
        """Encode texts (each distinct one once), cut to `max_tokens`.

        RETURNS (np.ndarray): unit vectors. Shape: (len(texts), dim), float32
        """
        ...

    def encode_mentions(self, mentions: Sequence[MentionText]) -> list[MentionFeatures]:
        """Encode mentions in context (each distinct one once). A context longer than
        `max_tokens` is cut around the mention, which always survives."""
        ...


class ImageEncoder(Protocol):
    """A frozen image tower that shares its space with a text tower.

    It may have more, by which pictures are got ready in threads while it works:
    `input_size`, height and width that it scales pictures to (JPEGs are then not
    decoded much larger), and `resized(image)`, the picture scaled and cropped, which
    `encode_images` takes as it takes the picture itself, for the same vector; or, in
    its place, `preprocess(image)`, of which `encode_pixels(list)` makes vectors: arrays
    or tensors.
    """

    spec: dict[str, Any]

    @property
    def fingerprint(self) -> str: ...

    @property
    def dim(self) -> int: ...

    def encode_images(
        self, images: Sequence[Image], progress: Progress | None = None
    ) -> np.ndarray:
        """Encode decoded RGB images.

        RETURNS (np.ndarray): unit vectors. Shape: (len(images), dim), float32
        """
        ...


class PictureReader(TextEncoder, ImageEncoder, Protocol):
    """A CLIP model that also tells of the parts of a picture.

    device (Any): torch device that it runs on.
    batch_size (int): pictures in one forward pass.
    logit_scale (float): what cosines of pictures and texts were multiplied by in
        training: softmax(logit_scale * cosines) are its probabilities.
    """

    @property
    def device(self) -> Any: ...

    @property
    def batch_size(self) -> int: ...

    @property
    def logit_scale(self) -> float: ...

    def encode_pictures(self, images: Sequence[Image]) -> PictureBatch:
        """Encode decoded RGB images, at most `batch_size`, with their patches."""
        ...
