"""Each distinct input goes through a frozen encoder once.

`FeatureCache` keeps outputs by (fingerprint of the encoder, content) and encodes only
what it does not have. Where outputs are kept is a `FeatureStore`; this module has the
one in memory, and one on disk needs no more than `get` and `put`.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from PIL.Image import Image

from ..images import GivenBox
from .protocol import ImageEncoder, MentionFeatures, MentionText, TextEncoder
from .visual.findings import VisualEvidence

if TYPE_CHECKING:
    from .protocol import PictureReader

Feature = np.ndarray | MentionFeatures | VisualEvidence
FeatureKey = tuple[str, str, Hashable]
"""Kind ("text", `MENTION`, "picture", "sight"), fingerprint of the encoder and, for
what was seen on a picture, of the extractor; content."""

MENTION = "mention 2"
"""The number is of what is kept of a mention: a store may hold what was kept before."""

Sight = tuple[str, tuple[GivenBox, ...]]
"""What is looked at: content hash of a picture, and boxes that came with it."""

Content = TypeVar("Content", bound=Hashable)
Encoded = tuple[Sequence[Any], Sequence[Any]]
"""Contents and their features."""

ENTRY_BYTES = 500
"""What an entry costs besides its arrays and its text: keys, objects, headers."""

PICTURES_AT_A_TIME = 64
"""Decoded pictures held at once; a 12-megapixel photo takes 36 MB."""


class SightReader(Protocol):
    """Looks for objects, faces and scenes; see `visual.extractor.VisualExtractor`."""

    @property
    def fingerprint(self) -> str: ...

    def __call__(
        self,
        encoder: "PictureReader",
        images: Sequence[Image],
        boxes: Sequence[Sequence[GivenBox]] | None = None,
    ) -> list[VisualEvidence]: ...


class FeatureStore(Protocol):
    """Where encoder outputs are kept. Safe to use from several threads."""

    def get(self, key: FeatureKey) -> Feature | None:
        """RETURNS (Feature | None): what was put, or None if it is not (any more)."""
        ...

    def put(self, key: FeatureKey, feature: Feature) -> None:
        """Keep a feature. Putting it again under its key changes nothing."""
        ...


class MemoryStore:
    """Keeps the most recently used outputs, up to a size.

    max_bytes (int): bound on what is kept; the least recently used make way.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.n_bytes = 0
        self._features: OrderedDict[FeatureKey, Feature] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """A worker process and a copy start with nothing."""
        return type(self), (self.max_bytes,)

    def __len__(self) -> int:
        return len(self._features)

    def get(self, key: FeatureKey) -> Feature | None:
        with self._lock:
            feature = self._features.get(key)
            if feature is not None:
                self._features.move_to_end(key)
            return feature

    def put(self, key: FeatureKey, feature: Feature) -> None:
        with self._lock:
            old = self._features.pop(key, None)
            if old is not None:
                self.n_bytes -= _size(key, old)
            self._features[key] = feature
            self.n_bytes += _size(key, feature)
            while self.n_bytes > self.max_bytes and self._features:
                dropped_key, dropped = self._features.popitem(last=False)
                self.n_bytes -= _size(dropped_key, dropped)


class FeatureCache:
    """Encodes what the store does not have.

    store (FeatureStore | None): where outputs are kept; None = in memory.
    max_bytes (int): bound of the memory, where `store` is None.
    """

    def __init__(
        self, store: FeatureStore | None = None, max_bytes: int = 1 << 30
    ) -> None:
        self.store = MemoryStore(max_bytes) if store is None else store

    def texts(self, encoder: TextEncoder, texts: Sequence[str]) -> np.ndarray:
        """RETURNS (np.ndarray): unit vectors. Shape: (len(texts), dim), float32"""
        if not texts:
            return np.zeros((0, encoder.dim), dtype=np.float32)

        def encode(missing: list[str]) -> Iterator[Encoded]:
            yield missing, _rows(encoder.encode_texts(missing))

        found = self._all("text", encoder.fingerprint, texts, encode)
        return np.stack([found[text] for text in texts])

    def mentions(
        self, encoder: TextEncoder, mentions: Sequence[MentionText]
    ) -> list[MentionFeatures]:
        """RETURNS (list[MentionFeatures]): one a mention; equal ones share it."""

        def encode(missing: list[MentionText]) -> Iterator[Encoded]:
            yield missing, encoder.encode_mentions(missing)

        found = self._all(MENTION, encoder.fingerprint, mentions, encode)
        return [found[mention] for mention in mentions]

    def pictures(
        self,
        encoder: ImageEncoder,
        hashes: Sequence[str],
        open_picture: Callable[[str], Image | None],
    ) -> dict[str, np.ndarray]:
        """Vectors of pictures, which are decoded only if they are not known.

        encoder (ImageEncoder): encodes them.
        hashes (Sequence[str]): content hashes of the pictures.
        open_picture (Callable): decodes the picture of a hash; None = it cannot be.
        RETURNS (dict[str, np.ndarray]): unit vectors by hash, without the pictures
            that cannot be decoded. Shape of each: (dim,), float32
        """

        def encode(missing: list[str]) -> Iterator[Encoded]:
            for some, pictures in _opened(missing, open_picture):
                yield some, _rows(encoder.encode_images(pictures))

        return self._all("picture", encoder.fingerprint, hashes, encode)

    def sights(
        self,
        extractor: "SightReader",
        encoder: "PictureReader",
        sights: Sequence[Sight],
        open_picture: Callable[[str], Image | None],
    ) -> dict[Sight, VisualEvidence]:
        """What is on pictures, which are decoded and looked at only if it is not known.

        extractor (SightReader): looks at them.
        encoder (PictureReader): CLIP.
        sights (Sequence[Sight]): what to look at.
        open_picture (Callable): as of `pictures`.
        RETURNS (dict[Sight, VisualEvidence]): without the pictures that cannot be
            decoded.
        """

        def look(missing: list[Sight]) -> Iterator[Encoded]:
            opened = _opened(missing, lambda sight: open_picture(sight[0]))
            for some, pictures in opened:
                yield some, extractor(encoder, pictures, [boxes for _, boxes in some])

        prints = f"{encoder.fingerprint} {extractor.fingerprint}"
        return self._all("sight", prints, sights, look)

    def _all(
        self,
        kind: str,
        fingerprint: str,
        contents: Sequence[Content],
        encode: Callable[[list[Content]], Iterable[Encoded]],
    ) -> dict[Content, Any]:
        """RETURNS (dict[Content, Any]): features, of this kind, of the contents that
        are known, or that `encode` gives some at a time."""
        found, missing = {}, []
        for content in dict.fromkeys(contents):
            feature = self.store.get((kind, fingerprint, content))
            if feature is None:
                missing.append(content)
            else:
                found[content] = feature
        for some, features in encode(missing) if missing else ():
            for content, feature in zip(some, features, strict=True):
                found[content] = feature
                self.store.put((kind, fingerprint, content), feature)
        return found


def _opened(
    contents: Sequence[Content], open_picture: Callable[[Content], Image | None]
) -> Iterator[tuple[list[Content], list[Image]]]:
    """YIELDS (tuple[list[Content], list[Image]]): contents and decoded pictures, some
    at a time, without those that cannot be decoded."""
    for start in range(0, len(contents), PICTURES_AT_A_TIME):
        some = contents[start : start + PICTURES_AT_A_TIME]
        opened = {
            key: picture for key in some if (picture := open_picture(key)) is not None
        }
        if opened:
            yield list(opened), list(opened.values())


def _rows(vectors: np.ndarray) -> list[np.ndarray]:
    """Rows that do not keep their whole matrix alive."""
    rows = [row.copy() for row in vectors]
    for row in rows:
        row.flags.writeable = False
    return rows


def _size(key: FeatureKey, feature: Feature) -> int:
    content = key[2]
    text = content.context if isinstance(content, MentionText) else content
    n_text = len(text.encode()) if isinstance(text, str) else 0
    if isinstance(feature, MentionFeatures):
        arrays = feature.pooled, feature.states, feature.edges
        return ENTRY_BYTES + n_text + sum(array.nbytes for array in arrays)
    return ENTRY_BYTES + n_text + feature.nbytes
