"""The pictures of mentions: read once, and told as vectors, or as what is on them."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DweError, Errors, Warnings
from ..images import ImageRef, content_hash, decode, decoded_bytes, read_bytes
from ..model.inputs import NO_MASK, NO_VECTORS

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..encoders.cache import FeatureCache
    from ..encoders.protocol import ImageEncoder
    from ..encoders.registry import LazyClipEncoder
    from ..encoders.visual.extractor import VisualExtractor
    from ..encoders.visual.findings import VisualEvidence
    from .mentions import Mention
    from .sharing import PictureShares

Owners = Mapping[ImageRef, str]
"""MentionPictures, and what messages call the document that each is of."""


@dataclass(frozen=True, slots=True)
class MentionPictures:
    """What there is to read of a mention's pictures; all are empty without a picture.

    vectors (np.ndarray): unit vectors of whole pictures. Shape: (n_pictures, dim)
    objects (np.ndarray): of image regions; none = nobody looked for regions, and
        pictures are regions. Shape: (n_slots, dim)
    faces (np.ndarray): of the phrases that describe the regions' faces.
        Shape: (n_slots, dim)
    face_mask (np.ndarray): regions with a face. Shape: (n_slots,), bool
    scenes (np.ndarray): of scene attributes. Shape: (n_attributes, dim)
    """

    vectors: np.ndarray = field(default_factory=lambda: NO_VECTORS)
    objects: np.ndarray = field(default_factory=lambda: NO_VECTORS)
    faces: np.ndarray = field(default_factory=lambda: NO_VECTORS)
    face_mask: np.ndarray = field(default_factory=lambda: NO_MASK)
    scenes: np.ndarray = field(default_factory=lambda: NO_VECTORS)


NO_PICTURES = MentionPictures()


class PictureEvidence:
    """Reads pictures; each that is given several times is read and encoded once.

    clip (ClipEncoder): encoder of pictures.
    cache (FeatureCache): keeps its outputs by content.
    visual (VisualExtractor | None): what to look for on pictures.
    strict (bool): an unreadable picture is an error, not a warning.
    fetch_urls (bool): download pictures given by URL.
    """

    def __init__(
        self,
        clip: "LazyClipEncoder",
        cache: "FeatureCache",
        *,
        visual: "VisualExtractor | None" = None,
        strict: bool = False,
        fetch_urls: bool = False,
    ) -> None:
        self.clip = clip
        self.cache = cache
        self.visual = visual
        self.strict = strict
        self.fetch_urls = fetch_urls

    def of(
        self, mentions: Sequence["Mention"], shares: "PictureShares"
    ) -> list[MentionPictures]:
        """What there is to read of the pictures of mentions.

        mentions (Sequence[Mention]): mentions.
        shares (PictureShares): says who gets those that mentions share.
        RETURNS (list[MentionPictures]): one a mention. Those of the same pictures
            share theirs, and an unreadable picture is left out of it.
        """
        owners = _owners((m.images, m.doc_name) for m in mentions)
        if not owners:
            return [NO_PICTURES] * len(mentions)
        seen = self._seen(owners)
        whole = {ref: pictures.vectors[0] for ref, pictures in seen.items()}
        refs_of = shares.of(mentions, whole)
        by_refs = {
            refs: _together([seen[ref] for ref in refs if ref in seen])
            for refs in set(refs_of)
        }
        return [by_refs[refs] for refs in refs_of]

    def _seen(self, owners: Owners) -> dict[ImageRef, MentionPictures]:
        """RETURNS (dict[ImageRef, MentionPictures]): of each picture that can be read,
        alone."""
        if self.visual is None:
            vectors = self._vectors(owners)
            return {ref: MentionPictures(own[None]) for ref, own in vectors.items()}
        return {ref: _pictures(seen) for ref, seen in self.look(owners).items()}

    def look(self, owners: Owners) -> "dict[ImageRef, VisualEvidence]":
        """What is on pictures.

        owners (Owners): the pictures.
        RETURNS (dict[ImageRef, VisualEvidence]): without those that cannot be read.
        """
        assert self.visual is not None, "asked for by a setting"
        read = _Reading(self, owners)
        sights = {ref: (key, ref.boxes) for ref, key in read.keys.items()}
        found = self.cache.sights(
            self.visual,
            self.clip,
            list(sights.values()),
            read.decoded,
            read.unreadable,
            read.decoded_bytes,
        )
        seen = {ref: found[sight] for ref, sight in sights.items() if sight in found}
        if self.visual.objects is not None:
            for ref, evidence in seen.items():
                _tell_unused_boxes(ref, owners[ref], evidence)
        return seen

    def _vectors(self, owners: Owners) -> dict[ImageRef, np.ndarray]:
        """RETURNS (dict[ImageRef, np.ndarray]): of whole pictures. Shape: (dim,)"""
        read = _Reading(self, owners, self.clip)
        keys = list(dict.fromkeys(read.keys.values()))
        vectors = self.cache.pictures(
            self.clip, keys, read.decoded, read.unreadable, read.decoded_bytes
        )
        return {ref: vectors[k] for ref, k in read.keys.items() if k in vectors}


class _Reading:
    """The bytes of pictures, while they are needed.

    keys (dict[ImageRef, str]): content hashes of those that can be read.
    encoder (ImageEncoder | None): reads whole pictures and nothing else, for which they
        need not be decoded larger than it likes.
    """

    def __init__(
        self,
        evidence: PictureEvidence,
        owners: Owners,
        encoder: "ImageEncoder | None" = None,
    ) -> None:
        self._strict, self._owners = evidence.strict, owners
        self._encoder = encoder
        self._data: dict[str, tuple[ImageRef, bytes]] = {}
        self.keys: dict[ImageRef, str] = {}
        for ref in owners:
            try:
                data = read_bytes(ref, fetch_urls=evidence.fetch_urls)
            except DweError as error:
                self._tell(ref, error)
                continue
            self.keys[ref] = ref.sha256 or content_hash(data)
            self._data.setdefault(self.keys[ref], (ref, data))

    def decoded(self, key: str) -> "Image":
        """RETURNS (Image): the picture of a hash.
        RAISES (DweError): it is none."""
        ref, data = self._data[key]
        return decode(data, ref.name, self._shortest)

    def decoded_bytes(self, key: str) -> int:
        """RETURNS (int): memory that it takes then."""
        return decoded_bytes(self._data[key][1], self._shortest)

    def unreadable(self, key: str, error: DweError) -> None:
        """Tell of a picture that cannot be decoded."""
        self._tell(self._data[key][0], error)

    @cached_property
    def _shortest(self) -> int | None:
        from ..encoders.decoding import shortest_side

        return shortest_side(self._encoder)

    def _tell(self, ref: ImageRef, error: DweError) -> None:
        doc = self._owners[ref]
        if self._strict:
            raise DweError(Errors.E504.format(doc=doc, reason=error)) from None
        message = Warnings.W001.format(image=ref.name, doc=doc, reason=error)
        warnings.warn(message, stacklevel=2)


def _owners(pictured: Iterable[tuple[tuple[ImageRef, ...], str]]) -> Owners:
    owners: dict[ImageRef, str] = {}
    for refs, name in pictured:
        for ref in refs:
            owners.setdefault(ref, name)
    return owners


def _pictures(seen: "VisualEvidence") -> MentionPictures:
    slots = seen.slots()
    return MentionPictures(
        vectors=seen.pooled[None],
        objects=slots.objects,
        faces=slots.faces,
        face_mask=slots.face_mask,
        scenes=slots.scenes,
    )


def _together(pictures: Sequence[MentionPictures]) -> MentionPictures:
    """All pictures of a mention, one after another."""
    if len(pictures) < 2:
        return pictures[0] if pictures else NO_PICTURES
    names = [each.name for each in fields(MentionPictures)]
    return MentionPictures(
        **{n: np.concatenate([getattr(p, n) for p in pictures]) for n in names}
    )


def _tell_unused_boxes(ref: ImageRef, doc: str, evidence: "VisualEvidence") -> None:
    """Boxes that are small, doubled, beside the picture or too many are left out."""
    used = sum(region.source == "given" for region in evidence.regions)
    if used < len(ref.boxes):
        n = len(ref.boxes)
        message = Warnings.W150.format(n=n - used, of=n, image=ref.name, doc=doc)
        warnings.warn(message, stacklevel=2)
