"""The pictures of mentions: read once, and told as vectors, or as what is on them."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np

from ..errors import DweError, Errors, Warnings
from ..images import (
    ImageRef,
    content_hash,
    decode,
    decoded_bytes,
    read_bytes,
    upright_size,
)
from ..model.inputs import NO_MASK, NO_VECTORS

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..encoders.cache import Crop, FeatureCache
    from ..encoders.protocol import ImageEncoder, PictureReader
    from ..encoders.visual.boxes import Box
    from ..encoders.visual.extractor import VisualExtractor
    from ..encoders.visual.findings import VisualEvidence
    from ..encoders.visual.objects import GridRegions
    from ..kb.vectors.standard import Standardisation
    from .mentions import Mention
    from .sharing import PictureShares

Owners = Mapping[ImageRef, str]
"""Pictures, and what messages call the document that each is of."""

Content = TypeVar("Content")


@dataclass(frozen=True, slots=True)
class MentionPictures:
    """What there is to read of a mention's pictures; all are empty without a picture.

    vectors (Mapping[str, np.ndarray]): unit vectors of whole pictures, by space, as the
        KB's are compared with. Shape of each: (n_pictures, dim)
    views (Mapping[str, tuple[np.ndarray, ...]]): of each picture, the whole and its
        regions, or those of them that belong to the mention.
        Shape of each: (n_views, dim)
    objects (np.ndarray): of image regions: what was looked for, or else, where a
        picture has several views, these in the first space; none = pictures are
        regions. Shape: (n_slots, dim)
    faces (np.ndarray): of the phrases that describe the regions' faces.
        Shape: (n_slots, dim)
    face_mask (np.ndarray): regions with a face. Shape: (n_slots,), bool
    scenes (np.ndarray): of scene attributes. Shape: (n_attributes, dim)
    """

    vectors: Mapping[str, np.ndarray] = field(default_factory=dict)
    views: Mapping[str, tuple[np.ndarray, ...]] = field(default_factory=dict)
    objects: np.ndarray = field(default_factory=lambda: NO_VECTORS)
    faces: np.ndarray = field(default_factory=lambda: NO_VECTORS)
    face_mask: np.ndarray = field(default_factory=lambda: NO_MASK)
    scenes: np.ndarray = field(default_factory=lambda: NO_VECTORS)


NO_PICTURES = MentionPictures()


class PictureEvidence:
    """Reads pictures; each that is given several times is read and encoded once.

    encoders (Mapping[str, ImageEncoder]): of pictures, by space; the first one is
        CLIP, where there is something to look for.
    cache (FeatureCache): keeps their outputs by content.
    standards (Mapping[str, Standardisation | None]): make vectors of a space those that
        are compared.
    visual (VisualExtractor | None): what to look for on pictures.
    grid (GridRegions | None): where to look on those that come without boxes, if
        nothing is looked for.
    strict (bool): an unreadable picture is an error, not a warning.
    fetch_urls (bool): download pictures given by URL.
    """

    def __init__(
        self,
        encoders: "Mapping[str, ImageEncoder]",
        cache: "FeatureCache",
        *,
        standards: "Mapping[str, Standardisation | None]",
        visual: "VisualExtractor | None" = None,
        grid: "GridRegions | None" = None,
        strict: bool = False,
        fetch_urls: bool = False,
    ) -> None:
        self.encoders = encoders
        self.cache = cache
        self.standards = standards
        self.visual, self.grid = visual, grid
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
        seen = self.seen(owners)
        views = {
            ref: {space: own for space, (own,) in pictures.views.items()}
            for ref, pictures in seen.items()
        }
        all_shares = shares.of(mentions, views)
        by_shares = {
            own: _together([_share(seen[s.ref], s.views) for s in own if s.ref in seen])
            for own in set(all_shares)
        }
        return [by_shares[own] for own in all_shares]

    def seen(self, owners: Owners) -> dict[ImageRef, MentionPictures]:
        """RETURNS (dict[ImageRef, MentionPictures]): of each picture that can be read,
        alone."""
        read = _Reading(self, owners)
        looked = {} if self.visual is None else self._look(read)
        vectors: dict[ImageRef, dict[str, np.ndarray]] = {
            ref: {next(iter(self.encoders)): seen.pooled[None]}
            for ref, seen in looked.items()
        }
        left = [*self.encoders][self.visual is not None :]
        for space, found in self._vectors(read, left).items():
            for ref, vector in found.items():
                vectors.setdefault(ref, {})[space] = vector[None]
        whole = {r: own for r, own in vectors.items() if len(own) == len(self.encoders)}
        regions = self._regions(read, [*whole], looked)
        pictures = {
            ref: replace(
                _found(looked.get(ref)),
                vectors=own,
                views=_views(own, regions.get(ref)),
            )
            for ref, own in whole.items()
        }
        unlooked = [ref for ref in regions if ref not in looked]
        return pictures | {ref: _views_as_slots(pictures[ref]) for ref in unlooked}

    def _regions(
        self,
        read: "_Reading",
        refs: Sequence[ImageRef],
        looked: "Mapping[ImageRef, VisualEvidence]",
    ) -> dict[ImageRef, dict[str, np.ndarray]]:
        """Regions that count beside whole pictures: those that were looked for and are
        views, or else the boxes that came with a picture, or the grid.

        refs (Sequence[ImageRef]): the pictures.
        RETURNS (dict[ImageRef, dict[str, np.ndarray]]): their vectors, by space, for
            each picture that has some. Shape of each: (n_regions, dim)
        """
        looks = self.visual is not None and self.visual.objects is not None
        seen = {r: [e for e in looked[r].regions if e.is_view] for r in refs if looks}
        parted = [r for r in refs if (seen[r] if looks else r.boxes or self.grid)]
        found: dict[ImageRef, dict[str, np.ndarray]] = {ref: {} for ref in parted}
        crops: dict[ImageRef, list[Crop]] = {}
        left = list(self.encoders)
        if looks:
            first = left.pop(0)
            for ref in parted:
                found[ref][first] = np.stack([region.vector for region in seen[ref]])
                crops[ref] = read.crops(ref, [region.box for region in seen[ref]])
        else:
            for ref in parted:
                crops[ref] = read.crops(ref, self._boxes(read, ref))
        for space in left:
            vectors = self._crops(space, read, [*chain.from_iterable(crops.values())])
            for ref, own in crops.items():
                if own:
                    found[ref][space] = np.stack([vectors[part] for part in own])
        return {ref: own for ref, own in found.items() if own}

    def _boxes(self, read: "_Reading", ref: ImageRef) -> "list[Box]":
        """RETURNS (list[Box]): those that came with a picture, else those of the grid;
        without the ones that are not worth a look."""
        from ..encoders.visual.boxes import Box
        from ..encoders.visual.objects import GivenRegions

        size = read.size(ref)
        given = [Box(*box[:4]) for box in ref.boxes]
        boxes = given or (self.grid.boxes(size) if self.grid else [])
        kept = [box for _, box in GivenRegions().limits.keep(boxes, size)]
        if given:
            _tell_unused_boxes(ref, read.owners[ref], len(kept))
        return kept

    def _crops(
        self, space: str, read: "_Reading", crops: "Sequence[Crop]"
    ) -> "Mapping[Crop, np.ndarray]":
        vectors = self.cache.crops(
            self.encoders[space],
            crops,
            read.decoded,
            read.unreadable,
            read.decoded_bytes,
        )
        return self._compared(space, vectors)

    def look(self, owners: Owners) -> "dict[ImageRef, VisualEvidence]":
        """What is on pictures.

        owners (Owners): the pictures.
        RETURNS (dict[ImageRef, VisualEvidence]): without those that cannot be read.
        """
        return self._look(_Reading(self, owners))

    def _look(self, read: "_Reading") -> "dict[ImageRef, VisualEvidence]":
        assert self.visual is not None, "asked for by a setting"
        sights = {ref: (key, ref.boxes) for ref, key in read.keys.items()}
        clip = cast("PictureReader", next(iter(self.encoders.values())))
        found = self.cache.sights(
            self.visual,
            clip,
            list(sights.values()),
            read.decoded,
            read.unreadable,
            read.decoded_bytes,
        )
        seen = {ref: found[sight] for ref, sight in sights.items() if sight in found}
        if self.visual.objects is not None:
            for ref, evidence in seen.items():
                used = sum(region.source == "given" for region in evidence.regions)
                _tell_unused_boxes(ref, read.owners[ref], used)
        return seen

    def _vectors(
        self, read: "_Reading", spaces: Sequence[str]
    ) -> dict[str, dict[ImageRef, np.ndarray]]:
        """RETURNS (dict[str, dict[ImageRef, np.ndarray]]): of whole pictures, by space.
        Shape of each: (dim,)"""
        from ..encoders.decoding import shortest_side

        found = {}
        keys = list(dict.fromkeys(read.keys.values()))
        for space in spaces:
            encoder = self.encoders[space]
            # Read as a whole and by this one, it need not be larger than that likes.
            shortest = shortest_side(encoder)
            vectors = self.cache.pictures(
                encoder,
                keys,
                partial(read.decoded, shortest=shortest),
                read.unreadable,
                partial(read.decoded_bytes, shortest=shortest),
            )
            compared = self._compared(space, vectors)
            found[space] = {
                ref: compared[key] for ref, key in read.keys.items() if key in compared
            }
        return found

    def _compared(
        self, space: str, vectors: Mapping[Content, np.ndarray]
    ) -> Mapping[Content, np.ndarray]:
        """vectors (Mapping): of the encoder of a space.
        RETURNS (Mapping): as the KB's are."""
        standard = self.standards.get(space)
        if standard is None or not vectors:
            return vectors
        return dict(zip(vectors, standard(np.stack([*vectors.values()]))))


class _Reading:
    """The bytes of pictures, while they are needed.

    owners (Owners): the pictures.
    keys (dict[ImageRef, str]): content hashes of those that can be read.
    """

    def __init__(self, evidence: PictureEvidence, owners: Owners) -> None:
        self._strict, self.owners = evidence.strict, owners
        self._data: dict[str, tuple[ImageRef, bytes]] = {}
        self._told: set[ImageRef] = set()
        self.keys: dict[ImageRef, str] = {}
        for ref in owners:
            try:
                data = read_bytes(ref, fetch_urls=evidence.fetch_urls)
            except DweError as error:
                self._tell(ref, error)
                continue
            self.keys[ref] = ref.sha256 or content_hash(data)
            self._data.setdefault(self.keys[ref], (ref, data))

    def decoded(self, key: str, shortest: int | None = None) -> "Image":
        """shortest (int | None): see `images.decode`.
        RETURNS (Image): the picture of a hash.
        RAISES (DweError): it is none."""
        ref, data = self._data[key]
        return decode(data, ref.name, shortest)

    def decoded_bytes(self, key: str, shortest: int | None = None) -> int:
        """RETURNS (int): memory that it takes then."""
        return decoded_bytes(self._data[key][1], shortest)

    def size(self, ref: ImageRef) -> tuple[int, int]:
        """RETURNS (tuple[int, int]): width and height of a picture in `keys`."""
        return upright_size(self._data[self.keys[ref]][1])

    def crops(self, ref: ImageRef, boxes: "Sequence[Box]") -> "list[Crop]":
        """RETURNS (list[Crop]): what to cut from a picture in `keys`."""
        size = self.size(ref)
        cut = (map(int, box.within(size)) for box in boxes)
        return [
            (self.keys[ref], (left, top, right, bottom))
            for left, top, right, bottom in cut
        ]

    def unreadable(self, key: str, error: DweError) -> None:
        """Tell of a picture that cannot be decoded."""
        self._tell(self._data[key][0], error)

    def _tell(self, ref: ImageRef, error: DweError) -> None:
        doc = self.owners[ref]
        if ref in self._told:
            return
        self._told.add(ref)
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


def _found(seen: "VisualEvidence | None") -> MentionPictures:
    """RETURNS (MentionPictures): what was looked for, without whole pictures."""
    if seen is None:
        return NO_PICTURES
    slots = seen.slots()
    return MentionPictures(
        objects=slots.objects,
        faces=slots.faces,
        face_mask=slots.face_mask,
        scenes=slots.scenes,
    )


def _views_as_slots(picture: MentionPictures) -> MentionPictures:
    """RETURNS (MentionPictures): whose views the network reads apart, as it reads what
    was looked for."""
    first, *_ = picture.views.values()
    return replace(picture, objects=first[0])


def _views(
    whole: Mapping[str, np.ndarray], regions: Mapping[str, np.ndarray] | None
) -> dict[str, tuple[np.ndarray, ...]]:
    """RETURNS (dict[str, tuple[np.ndarray, ...]]): of one picture, as of
    `MentionPictures`."""
    if regions is None:
        return {space: (own,) for space, own in whole.items()}
    return {s: (np.concatenate([own, regions[s]]),) for s, own in whole.items()}


def _share(picture: MentionPictures, views: tuple[int, ...] | None) -> MentionPictures:
    """views (tuple[int, ...] | None): places of those that count; None = all.
    RETURNS (MentionPictures): with no other views."""
    if views is None:
        return picture
    own = {space: (seen[list(views)],) for space, (seen,) in picture.views.items()}
    return replace(picture, views=own)


def _together(pictures: Sequence[MentionPictures]) -> MentionPictures:
    """All pictures of a mention, one after another."""
    if len(pictures) < 2:
        return pictures[0] if pictures else NO_PICTURES
    if any(len(picture.objects) for picture in pictures):
        # Beside regions of others, a picture without any is one.
        pictures = [
            p if len(p.objects) else replace(p, objects=next(iter(p.vectors.values())))
            for p in pictures
        ]
    by_space = "vectors", "views"
    names = [e.name for e in fields(MentionPictures) if e.name not in by_space]
    spaces = pictures[0].vectors
    return MentionPictures(
        vectors={s: np.concatenate([p.vectors[s] for p in pictures]) for s in spaces},
        views={s: tuple(p.views[s][0] for p in pictures) for s in spaces},
        **{n: np.concatenate([getattr(p, n) for p in pictures]) for n in names},
    )


def _tell_unused_boxes(ref: ImageRef, doc: str, used: int) -> None:
    """Boxes that are small, doubled, beside the picture or too many are left out."""
    if used < len(ref.boxes):
        n = len(ref.boxes)
        message = Warnings.W150.format(n=n - used, of=n, image=ref.name, doc=doc)
        warnings.warn(message, stacklevel=2)
