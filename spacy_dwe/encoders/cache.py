"""Each distinct input goes through a frozen encoder once.

`FeatureCache` keeps outputs by (fingerprint of the encoder, content) and encodes only
what it does not have. Where outputs are kept is a `FeatureStore`; this module has the
one in memory, and one on disk needs no more than `get` and `put`.
"""

import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from PIL.Image import Image

from ..bounded import Bounded
from ..errors import DweError
from ..images import GivenBox
from .decoding import decode_ahead, stages
from .protocol import (
    ImageEncoder,
    MentionFeatures,
    MentionText,
    Reading,
    TextEncoder,
)
from .visual.boxes import Box, part_of
from .visual.findings import VisualEvidence

if TYPE_CHECKING:
    from .protocol import PictureReader

Feature = np.ndarray | MentionFeatures | VisualEvidence
FeatureKey = tuple[str, str, Hashable]
"""Kind ("text", of `MENTIONS`, "picture", "sight"), fingerprint of the encoder and, for
what was seen on a picture, of the extractor; content."""

MENTIONS = {reading: f"mention {reading.name.lower()}" for reading in Reading}
"""Kinds of features of mentions, by how much of them is kept."""

Sight = tuple[str, tuple[GivenBox, ...]]
"""What is looked at: content hash of a picture, and boxes that came with it."""

Crop = tuple[str, tuple[int, int, int, int]]
"""Content hash of a picture, and a `Box` of whole pixels on it."""

Content = TypeVar("Content", bound=Hashable)
Encoded = tuple[Sequence[Any], Sequence[Any]]
"""Contents and their features."""

ENTRY_BYTES = 500
"""What an entry costs besides its arrays and its text: keys, objects, headers."""

MEMORY_BYTES = 1 << 30
"""Bound of what is held in memory, unless another is given."""


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
    """Keeps outputs in memory, up to a size; see `Bounded` for which.

    max_bytes (int): bound on what is kept.
    """

    def __init__(self, max_bytes: int = MEMORY_BYTES) -> None:
        self._features: Bounded[FeatureKey, Feature] = Bounded(max_bytes, _size)
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """A worker process and a copy start with nothing."""
        return type(self), (self.max_bytes,)

    def __len__(self) -> int:
        return len(self._features)

    @property
    def max_bytes(self) -> int:
        return self._features.max_bytes

    @property
    def n_bytes(self) -> int:
        return self._features.n_bytes

    def get(self, key: FeatureKey) -> Feature | None:
        with self._lock:
            return self._features.get(key)

    def put(self, key: FeatureKey, feature: Feature) -> None:
        with self._lock:
            self._features.put(key, feature)


class FeatureCache:
    """Encodes what the store does not have.

    store (FeatureStore | None): where outputs are kept; None = in memory.
    max_bytes (int): bound of the memory, where `store` is None.
    """

    def __init__(
        self, store: FeatureStore | None = None, max_bytes: int = MEMORY_BYTES
    ) -> None:
        self.store = MemoryStore(max_bytes) if store is None else store

    @property
    def place(self) -> str:
        """RETURNS (str): where outputs are kept, and how large they are; empty for
        memory."""
        return "" if isinstance(self.store, MemoryStore) else str(self.store)

    def texts(self, encoder: TextEncoder, texts: Sequence[str]) -> np.ndarray:
        """RETURNS (np.ndarray): unit vectors. Shape: (len(texts), dim), float32"""
        if not texts:
            return np.zeros((0, encoder.dim), dtype=np.float32)

        def encode(missing: list[str]) -> Iterator[Encoded]:
            yield missing, _rows(encoder.encode_texts(missing))

        found = self._all(["text"], encoder.fingerprint, texts, encode)
        return np.stack([found[text] for text in texts])

    def mentions(
        self,
        encoder: TextEncoder,
        mentions: Sequence[MentionText],
        reading: Reading = Reading.STATES,
    ) -> list[MentionFeatures]:
        """
        encoder (TextEncoder): encodes them.
        mentions (Sequence[MentionText]): mentions in their contexts.
        reading (Reading): what of them is read: no more is kept. What was kept for
            somebody who reads more serves as well.
        RETURNS (list[MentionFeatures]): one a mention; equal ones share it.
        """

        def encode(missing: list[MentionText]) -> Iterator[Encoded]:
            encoded = encoder.encode_mentions(missing)
            yield missing, [each.only(reading) for each in encoded]

        kinds = [MENTIONS[each] for each in reading.served_by]
        found = self._all(kinds, encoder.fingerprint, mentions, encode)
        read = {mention: each.only(reading) for mention, each in found.items()}
        return [read[mention] for mention in mentions]

    def pictures(
        self,
        encoder: ImageEncoder,
        hashes: Sequence[str],
        open_picture: Callable[[str], Image | None],
        unreadable: Callable[[str, DweError], None] | None = None,
        n_bytes: Callable[[str], int] | None = None,
    ) -> dict[str, np.ndarray]:
        """Vectors of pictures, which are decoded only if they are not known, and then
        in threads, ahead of the encoder.

        encoder (ImageEncoder): encodes them.
        hashes (Sequence[str]): content hashes of the pictures.
        open_picture (Callable): decodes the picture of a hash; None = it cannot be.
            It is called in threads.
        unreadable (Callable | None): told of each picture that `open_picture` cannot
            open, in order, with the error that it raised; None = that is raised.
        n_bytes (Callable | None): what a picture of a hash takes, decoded.
        RETURNS (dict[str, np.ndarray]): unit vectors by hash, without the pictures
            that cannot be decoded. Shape of each: (dim,), float32
        """

        def encode(missing: list[str]) -> Iterator[Encoded]:
            prepare, encode_prepared = stages(encoder)

            def decode(content: str) -> Any:
                picture = open_picture(content)
                return None if picture is None else prepare(picture)

            for some, pictures in decode_ahead(missing, decode, unreadable, n_bytes):
                yield some, _rows(encode_prepared(pictures))

        return self._all(["picture"], encoder.fingerprint, hashes, encode)

    def crops(
        self,
        encoder: ImageEncoder,
        crops: Sequence[Crop],
        open_picture: Callable[[str], Image | None],
        unreadable: Callable[[str, DweError], None] | None = None,
        n_bytes: Callable[[str], int] | None = None,
    ) -> dict[Crop, np.ndarray]:
        """Vectors of parts of pictures. A picture is decoded once for all of its parts
        that are not known.

        encoder (ImageEncoder): encodes them.
        crops (Sequence[Crop]): the parts.
        open_picture, unreadable, n_bytes (Callable): as of `pictures`.
        RETURNS (dict[Crop, np.ndarray]): unit vectors, without those of pictures that
            cannot be decoded. Shape of each: (dim,), float32
        """

        def encode(missing: list[Crop]) -> Iterator[Encoded]:
            parts: dict[str, list[Crop]] = {}
            for crop in missing:
                parts.setdefault(crop[0], []).append(crop)
            hashes = [*parts]
            opened = decode_ahead(hashes, open_picture, unreadable, n_bytes)
            for some, pictures in opened:
                images = [
                    part_of(picture, Box(*box))
                    for content, picture in zip(some, pictures)
                    for _, box in parts[content]
                ]
                own = [crop for content in some for crop in parts[content]]
                yield own, _rows(encoder.encode_images(images))

        return self._all(["picture"], encoder.fingerprint, crops, encode)

    def sights(
        self,
        extractor: "SightReader",
        encoder: "PictureReader",
        sights: Sequence[Sight],
        open_picture: Callable[[str], Image | None],
        unreadable: Callable[[str, DweError], None] | None = None,
        n_bytes: Callable[[str], int] | None = None,
    ) -> dict[Sight, VisualEvidence]:
        """What is on pictures, which are decoded and looked at only if it is not known.

        extractor (SightReader): looks at them.
        encoder (PictureReader): CLIP.
        sights (Sequence[Sight]): what to look at.
        open_picture, unreadable, n_bytes (Callable): as of `pictures`.
        RETURNS (dict[Sight, VisualEvidence]): without the pictures that cannot be
            decoded.
        """

        def look(missing: list[Sight]) -> Iterator[Encoded]:
            opened = decode_ahead(
                missing,
                lambda sight: open_picture(sight[0]),
                unreadable and (lambda sight, error: unreadable(sight[0], error)),
                n_bytes and (lambda sight: n_bytes(sight[0])),
            )
            for some, pictures in opened:
                yield some, extractor(encoder, pictures, [boxes for _, boxes in some])

        prints = f"{encoder.fingerprint} {extractor.fingerprint}"
        return self._all(["sight"], prints, sights, look)

    def _all(
        self,
        kinds: Sequence[str],
        fingerprint: str,
        contents: Sequence[Content],
        encode: Callable[[list[Content]], Iterable[Encoded]],
    ) -> dict[Content, Any]:
        """RETURNS (dict[Content, Any]): features of the contents that are known, of the
        first of these kinds, or that `encode` gives some at a time, of the first
        kind."""
        found, missing = {}, []
        for content in dict.fromkeys(contents):
            keys = ((kind, fingerprint, content) for kind in kinds)
            known = (self.store.get(key) for key in keys)
            feature = next((each for each in known if each is not None), None)
            if feature is None:
                missing.append(content)
            else:
                found[content] = feature
        for some, features in encode(missing) if missing else ():
            for content, feature in zip(some, features, strict=True):
                found[content] = feature
                self.store.put((kinds[0], fingerprint, content), feature)
        return found


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
    return ENTRY_BYTES + n_text + feature.nbytes
