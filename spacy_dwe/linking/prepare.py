"""From mentions to arrays: candidates, channel features and encoder vectors.

Of the modules below the component only this one knows the KB, the encoders and the
layout of features together; the network sees tensors alone.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from ..bounded import Bounded
from ..channels.base import READ_PICTURES, READ_TEXT, Channel, attributes_read
from ..errors import DweError, Errors
from ..kb.vectors.sets import IMAGE, SetName
from ..model.inputs import NO_MASK, NO_VECTORS, MentionPlace, PreparedMention
from ..model.spec import DWE, Columns
from .mentions import Mention
from .pictures import NO_PICTURES, MentionPictures, PictureEvidence
from .sharing import PictureShares

if TYPE_CHECKING:
    from ..encoders.cache import FeatureCache
    from ..encoders.protocol import ImageEncoder, MentionFeatures, Reading
    from ..encoders.registry import LazyClipEncoder, LazyTextEncoder
    from ..encoders.visual.extractor import VisualExtractor
    from ..encoders.visual.objects import GridRegions
    from ..kb.candidates import Candidates
    from ..kb.knowledge_base import DweKnowledgeBase
    from ..kb.vectors.joint_search import Queries
    from ..settings import LinkerSettings

MAX_PAIRS = 1 << 17
"""Mention-candidate pairs worked on at a time: bounds memory when all of a large KB is
ranked."""

TINY = 1e-6


class Spaces(NamedTuple):
    """Where mentions are compared with entities.

    text_set (SetName | None): the vectors that texts are compared with.
    pictures (tuple[str, ...]): the spaces that pictures are encoded in.
    """

    text_set: SetName | None
    pictures: tuple[str, ...]

    @classmethod
    def of(cls, kb: "DweKnowledgeBase") -> "Spaces":
        """RETURNS (Spaces): those that a KB suggests."""
        return cls(kb.text_set, kb.picture_spaces)

    @property
    def texts(self) -> str | None:
        """RETURNS (str | None): the space that texts are encoded in."""
        if self.text_set is not None:
            return self.text_set.space
        return next(iter(self.pictures), None)

    def to_json(self) -> list[str | None]:
        """RETURNS (list[str | None]): what `from_json` takes back."""
        return [self.text_set and str(self.text_set), *self.pictures]

    @classmethod
    def from_json(cls, value: Sequence[str | None] | None) -> "Spaces | None":
        """value (Sequence[str | None] | None): what `to_json` gave; None = nothing was
        trained, or it was not said where."""
        if value is None:
            return None
        text_set, *pictures = value
        spaces = tuple(space for space in pictures if space)
        return cls(SetName.read(text_set) if text_set else None, spaces)

    def within(self, kb: "DweKnowledgeBase") -> "Spaces":
        """RETURNS (Spaces): what the KB suggests in the place of what it lacks."""
        known = {name.space for name in kb.vector_sets}
        own, suggested = self.text_set in kb.vector_sets, Spaces.of(kb)
        pictures = tuple(space for space in self.pictures if space in known)
        return Spaces(
            self.text_set if own else suggested.text_set,
            pictures or suggested.pictures,
        )


def encoders_for(
    kb: "DweKnowledgeBase",
    *,
    spaces: "Spaces",
    text_encoder: "LazyTextEncoder | None",
    clip: "LazyClipEncoder | None",
    device: str,
) -> "Encoders":
    """The encoders given, or else those the KB was built with. Loads no weights.

    kb (DweKnowledgeBase): the KB.
    spaces (Spaces): the spaces in use.
    text_encoder (TextEncoder | None): the pipeline's own sentence encoder.
    clip (ClipEncoder | None): the pipeline's own CLIP, or other encoder of the first of
        the spaces of pictures.
    device (str): torch device of encoders that are made here.
    RETURNS (Encoders): of texts, which is that of pictures where the KB has no vectors
        of a sentence encoder, None where it has none at all; and of pictures, by space.
    RAISES (DweError): an encoder is given for which the KB has no vectors.
    """
    from ..encoders.registry import encoder_from_spec

    texts, pictures = spaces.texts, spaces.pictures
    specs = {name.space: vectors.spec for name, vectors in kb.vector_sets.items()}
    if clip is not None and not pictures:
        raise DweError(Errors.E510.format(kb=kb.path, option="--clip"))
    if text_encoder is not None and texts in (None, *pictures):
        raise DweError(Errors.E510.format(kb=kb.path, option="--text-encoder"))
    seen: dict[str, PictureEncoder] = {}
    for space in pictures:
        given = None if seen else clip
        seen[space] = given or encoder_from_spec(specs[space], device, kb.path)
    if texts in seen:
        both = cast("LazyTextEncoder", seen[texts])
        text_encoder = both if hasattr(both, "encode_texts") else None
    elif text_encoder is None and texts is not None:
        text_encoder = encoder_from_spec(specs[texts], device, kb.path)
    return text_encoder, seen


class Evidence:
    """Gathers what the channels say of a batch of mentions.

    kb (DweKnowledgeBase): candidates and their vectors.
    text_encoder (TextEncoder | None): encoder of the text channel; CLIP itself, or a
        sentence encoder.
    picture_encoders (Mapping[str, ImageEncoder]): encoders of pictures, by space.
    cache (FeatureCache): keeps encoder outputs by content.
    channels (Mapping[str, Channel]): channels in use; columns of others stay absent.
    columns (Columns): what the combiner reads; those of dwe are left to the network.
    settings (LinkerSettings): how candidates are found and pictures are read.
    spaces (Spaces): the spaces in use.
    reading (Reading | None): what the network reads of the texts of mentions; None =
        nothing but what channels do.
    trained_queries (TrainedQueries | None): what the trained network looks for entities
        by, empty as long as it is not trained; None = there is none.
    device (str): torch device for what generators of candidates compute.
    RAISES (DweError): there is something to look for, and no CLIP to do it with; or
        the combiner reads a column that its channel does not have.
    """

    def __init__(
        self,
        kb: "DweKnowledgeBase",
        *,
        text_encoder: "LazyTextEncoder | None",
        picture_encoders: "Mapping[str, PictureEncoder]",
        cache: "FeatureCache",
        channels: Mapping[str, Channel],
        columns: Columns,
        settings: "LinkerSettings",
        spaces: "Spaces",
        reading: "Reading | None" = None,
        trained_queries: "TrainedQueries | None" = None,
        device: str = "cpu",
    ) -> None:
        from ..encoders.protocol import Reading

        self.kb = kb
        self.text_encoder = text_encoder
        self.picture_encoders = picture_encoders
        visual = settings.visual if settings.use_images else None
        if visual is not None and not (self.sees_parts or visual.grid):
            raise DweError(Errors.E441.format(kb=kb.path))
        self.cache = cache
        self.channels = channels
        self.columns = columns.without_dwe()
        self.settings = settings
        self.reading = Reading.POOLED if reading is None else reading
        self.trained_queries = trained_queries
        self.device = device
        self.spaces, self.text_set = spaces, spaces.text_set
        self.text_space = spaces.texts
        self.use_images = settings.use_images and bool(picture_encoders)
        read = {name for channel in channels.values() for name in channel.reads}
        self.reads_text = text_encoder is not None and READ_TEXT in read
        self.reads_images = self.use_images and READ_PICTURES in read
        self.attributes = attributes_read(channels.values())
        self._places = {
            name: _places(name, channel, self.columns)
            for name, channel in channels.items()
        }
        self._shares = PictureShares(kb)
        self._checked: set[SetName] = set()

    @property
    def clip(self) -> "LazyClipEncoder | None":
        """RETURNS (ClipEncoder | None): the encoder of the first space of pictures,
        which is CLIP's if there is one."""
        first = next(iter(self.picture_encoders.values()), None)
        return cast("LazyClipEncoder | None", first)

    @property
    def sees_parts(self) -> bool:
        """RETURNS (bool): whether that is a CLIP, which tells of parts of pictures."""
        return hasattr(self.clip, "encode_pictures")

    def prepare(
        self,
        mentions: Sequence[Mention],
        places: Sequence[MentionPlace] | None = None,
        *,
        in_training: bool = False,
    ) -> Iterator[list[PreparedMention]]:
        """Find and describe candidates.

        mentions (Sequence[Mention]): mentions.
        places (Sequence[MentionPlace] | None): where each stands, for modalities of the
            network that read documents.
        in_training (bool): they serve for all epochs, so that the network, which
            changes, has no say in them; see `MentionBatch.queries`.
        YIELDS (list[PreparedMention]): mentions in order, some at a time.
        """
        batch = MentionsRead(self, mentions, places, in_training=in_training)
        candidates = self._candidates(batch)
        for first, last in candidates.runs(MAX_PAIRS):
            yield self._describe(batch.span(first, last), candidates.span(first, last))

    def candidates(self, mentions: Sequence[Mention]) -> "Candidates":
        """Find candidates, as `prepare` does.

        RETURNS (Candidates): of each mention.
        RAISES (DweError): the generator gave something else.
        """
        return self._candidates(MentionsRead(self, mentions))

    def _candidates(self, batch: "MentionsRead") -> "Candidates":
        n = self.settings.n_candidates
        found: Candidates = self.settings.generate_candidates(self.kb, batch, n)
        rows = getattr(found, "rows", np.array([-1]))
        outside = len(rows) and (rows.min() < 0 or rows.max() >= self.kb.n_rows)
        if outside or len(found) != len(batch):
            raise DweError(Errors.E530.format(n=len(batch)))
        return found

    @property
    def searched(self) -> tuple[SetName, ...]:
        """RETURNS (tuple[SetName, ...]): vector sets to look in by the encoders' own
        vectors: that of texts and those of pictures."""
        pictured = [SetName(IMAGE, space) for space in self.picture_encoders]
        return tuple(filter(None, [self.text_set, *pictured]))

    def own_queries(self, read: "MentionsRead", name: SetName) -> "Queries | None":
        """The encoders' own vectors to look for entities with.

        read (MentionsRead): the mentions.
        name (SetName): vector set of the KB to compare with.
        RETURNS (Queries | None): None where the KB has no such set, or no channel in
            use compares with it.
        """
        from ..kb.vectors.joint_search import Queries

        if name not in self.kb.vector_sets:
            return None
        if name.field == IMAGE:
            if not self.reads_images or name.space not in self.picture_encoders:
                return None
            pictures = read.picture_vectors(name.space)
            return _pictures_looked_for(pictures, self.kb.vector_sets[name].dim)
        encoder = self._encoder(name.space)
        if encoder is None or not self.reads_text:
            return None
        self._check(encoder, name.space)
        vectors = self._texts_looked_for(encoder, read.mentions)
        return Queries(vectors, np.ones(len(vectors), dtype=bool))

    def _texts_looked_for(
        self, encoder: "LazyTextEncoder", mentions: Sequence[Mention]
    ) -> np.ndarray:
        """Half the mention in its context, half its words alone. Alone, the former
        finds whatever the context is about, the latter any namesake.

        RETURNS (np.ndarray): unit vectors. Shape: (n_mentions, dim), float32
        """
        alone = self.cache.texts(encoder, [mention.text for mention in mentions])
        features = self._in_context(encoder, mentions)
        vectors = np.array([alone[i] + f.pooled for i, f in enumerate(features)])
        return _unit(vectors.reshape(alone.shape))

    def _encoder(self, space: str | None) -> "LazyTextEncoder | None":
        """RETURNS (TextEncoder | None): the encoder in use for a space."""
        both = self.picture_encoders.get(space or "")
        if hasattr(both, "encode_texts"):
            return cast("LazyTextEncoder", both)
        return self.text_encoder if space == self.text_space else None

    def _describe(
        self, batch: "MentionsRead", candidates: "Candidates"
    ) -> list[PreparedMention]:
        shape = len(candidates.rows), len(self.columns)
        features = np.zeros(shape, dtype=np.float32)
        present = np.zeros(shape, dtype=bool)
        for name, channel in self.channels.items():
            computed, columns = self._places[name]
            if not columns:
                continue
            said = channel.compute(batch, candidates, self.kb)
            size = len(candidates.rows), len(channel.columns)
            values, there = _checked(name, said, size)
            unsound = ~np.isfinite(values) & there
            # Of ours it is a fault of vectors or weights, which the scores tell.
            if name in self.settings.more_channels and unsound.any():
                place = candidates.mentions[unsound.any(axis=1).argmax()]
                mention = batch.mentions[place]
                found = f"NaN or inf for {mention.text!r} in {mention.doc_name}"
                raise DweError(
                    Errors.E528.format(channel=name, found=found, expected=size)
                )
            features[:, columns] = values[:, computed]
            present[:, columns] = there[:, computed]
        features[~present] = 0.0
        return self._prepared(batch, candidates, features, present)

    def _prepared(
        self,
        batch: "MentionsRead",
        candidates: "Candidates",
        features: np.ndarray,
        present: np.ndarray,
    ) -> list[PreparedMention]:
        described = self.kb.described(candidates.rows)
        bounds = zip(candidates.offsets, candidates.offsets[1:])
        return [
            batch.prepared(
                index,
                rows=candidates.rows[first:last],
                found_by=candidates.found_by[first:last],
                features=features[first:last],
                present=present[first:last],
                described=described[first:last],
            )
            for index, (first, last) in enumerate(bounds)
        ]

    def named(self, names: Sequence[str]) -> list[PreparedMention]:
        """Names without any other text or picture, and candidates of these names, of
        which no channel says anything.

        names (Sequence[str]): such as an entity has.
        RETURNS (list[PreparedMention]): one a name.
        """
        mentions = [
            Mention(0, name, 0, len(name), name, name, 0, images=()) for name in names
        ]
        candidates = self.kb.search(names, self.settings.n_candidates)
        shape = len(candidates.rows), len(self.columns)
        absent = np.zeros(shape, dtype=bool)
        batch = MentionsRead(self, mentions, None, in_training=True)
        return self._prepared(batch, candidates, absent.astype(np.float32), absent)

    def texts(self, mentions: Sequence[Mention]) -> "list[MentionFeatures] | None":
        """RETURNS (list[MentionFeatures] | None): what the text encoder says of each;
        None where no channel reads it."""
        if not self.reads_text or self.text_encoder is None:
            return None
        self._check(self.text_encoder, self.text_space)
        return self._in_context(self.text_encoder, mentions)

    def _in_context(
        self, encoder: "LazyTextEncoder", mentions: Sequence[Mention]
    ) -> "list[MentionFeatures]":
        """All that is read of mentions is asked for at once: asked for more afterwards,
        the encoder would run again."""
        from ..encoders.protocol import Reading

        texts = [mention.in_context for mention in mentions]
        is_read = encoder is self.text_encoder
        return self.cache.mentions(
            encoder, texts, self.reading if is_read else Reading.POOLED
        )

    def pictures_of(self, mentions: Sequence[Mention]) -> list[MentionPictures]:
        """RETURNS (list[MentionPictures]): what there is to read of each mention's
        pictures, without those of its document that belong to others."""
        pictured = self.reads_images and any(mention.images for mention in mentions)
        if not pictured:
            return [NO_PICTURES] * len(mentions)
        for space, encoder in self.picture_encoders.items():
            self._check(encoder, space)
        visual = self.settings.visual
        if visual is None or (DWE not in self.channels and not visual.finds_views):
            return self.pictures(None).of(mentions, self._shares)
        if visual.grid and not (self.sees_parts and DWE in self.channels):
            return self.pictures(None, visual.grid).of(mentions, self._shares)
        return self.pictures(visual).of(mentions, self._shares)

    def pictures(
        self, visual: "VisualExtractor | None", grid: "GridRegions | None" = None
    ) -> PictureEvidence:
        """RETURNS (PictureEvidence): reads pictures as the settings say, and looks for
        what `visual` finds, or where `grid` says."""
        return PictureEvidence(
            self.picture_encoders,
            self.cache,
            standards={
                space: self.kb.vector_sets[name].standardisation
                for space in self.picture_encoders
                if (name := SetName(IMAGE, space)) in self.kb.vector_sets
            },
            visual=visual,
            grid=grid,
            strict=self.settings.strict_images,
            fetch_urls=self.settings.fetch_urls,
        )

    def _check(
        self, encoder: "LazyTextEncoder | PictureEncoder", space: str | None
    ) -> None:
        """Refuse vectors of another encoder: their cosines would be noise."""
        for name, vectors in self.kb.vector_sets.items():
            if name.space != space or name in self._checked:
                continue
            theirs = vectors.fingerprint
            if encoder.fingerprint != theirs:
                raise DweError(
                    Errors.E509.format(
                        kb=self.kb.path,
                        theirs=theirs,
                        ours=encoder.fingerprint,
                        set=name,
                    )
                )
            self._checked.add(name)


class MentionsRead:
    """What generators and channels see of mentions: a `MentionBatch` and a
    `MentionView`. Nothing is encoded before it is asked for, or twice.

    evidence (Evidence): reads them.
    mentions (Sequence[Mention]): the mentions.
    places (Sequence[MentionPlace] | None): where each stands.
    in_training (bool): see `Evidence.prepare`.
    """

    def __init__(
        self,
        evidence: Evidence,
        mentions: Sequence[Mention],
        places: Sequence[MentionPlace] | None = None,
        *,
        in_training: bool = False,
    ) -> None:
        self._evidence, self.mentions = evidence, mentions
        self._places, self._in_training = places, in_training
        self.texts = [mention.text for mention in mentions]
        self.contexts = [mention.context for mention in mentions]
        self.device = evidence.device
        self.text_set = evidence.text_set
        self.picture_spaces = tuple(evidence.picture_encoders)
        self.owns_pictures = [mention.owns_images for mention in mentions]

    def __len__(self) -> int:
        return len(self.mentions)

    def span(self, first: int, last: int) -> "MentionsRead":
        """RETURNS (MentionsRead): mentions first to last, and what was read of them."""
        if (first, last) == (0, len(self)):
            return self
        own = slice(first, last)
        part = MentionsRead(
            self._evidence,
            self.mentions[own],
            self._places and self._places[own],
            in_training=self._in_training,
        )
        texts = self.texts_encoded
        part.texts_encoded = None if texts is None else texts[own]
        part.pictures_read = self.pictures_read[own]
        return part

    def queries(self, names: Sequence[SetName] = ()) -> "Mapping[SetName, Queries]":
        known = {} if self._in_training else self._trained_queries
        wanted = names or tuple(known) or self._evidence.searched
        found = {}
        for name in wanted:
            own = known.get(name) or self._evidence.own_queries(self, name)
            if own is not None:
                found[name] = own
        return found

    @cached_property
    def _trained_queries(self) -> "Mapping[SetName, Queries]":
        compute = self._evidence.trained_queries
        if compute is None or not self.mentions:
            return {}
        nothing: dict[str, Any] = {
            "rows": np.zeros(0, dtype=np.int32),
            "found_by": np.zeros(0, dtype=np.uint8),
            "features": NO_VECTORS,
            "present": NO_VECTORS,
            "described": NO_MASK,
        }
        places = self._places or [MentionPlace()] * len(self)
        queries = compute(
            [self.prepared(index, **nothing) for index in range(len(self))], places
        )
        for own in queries.values():
            unsound = ~np.isfinite(own.vectors).all(axis=1)
            if unsound.any():
                mention = self.mentions[unsound.argmax()]
                raise DweError(
                    Errors.E508.format(mention=mention.text, doc=mention.doc_name)
                )
        return queries

    def prepared(self, index: int, **candidates: Any) -> PreparedMention:
        """index (int): position of a mention.
        **candidates: the fields of `PreparedMention` that are about candidates.
        RETURNS (PreparedMention): with what was read of it."""
        texts, pictures = self.texts_encoded, self.pictures_read[index]
        return PreparedMention(
            **candidates,
            text=None if texts is None else texts[index],
            pictures=pictures.vectors,
            objects=pictures.objects,
            faces=pictures.faces,
            face_mask=pictures.face_mask,
            scenes=pictures.scenes,
            sentence=self.contexts[index],
        )

    def text_vectors(self) -> np.ndarray | None:
        encoded = self.texts_encoded
        if not encoded:
            return None
        return np.stack([features.pooled for features in encoded])

    def picture_vectors(self, space: str) -> Sequence[np.ndarray]:
        return [seen.vectors.get(space, NO_VECTORS) for seen in self.pictures_read]

    def picture_views(self, space: str) -> Sequence[Sequence[np.ndarray]]:
        return [seen.views.get(space, ()) for seen in self.pictures_read]

    def attribute(self, name: str) -> Sequence[Any]:
        if name not in self._evidence.attributes:
            raise DweError(Errors.E531.format(name=name))
        said = ({n: v for n, v, _ in m.attributes} for m in self.mentions)
        return [values[name] for values in said]

    @cached_property
    def texts_encoded(self) -> "list[MentionFeatures] | None":
        return self._evidence.texts(self.mentions)

    @cached_property
    def pictures_read(self) -> list[MentionPictures]:
        return self._evidence.pictures_of(self.mentions)


def _pictures_looked_for(pictures: Sequence[np.ndarray], dim: int) -> "Queries":
    """pictures (Sequence[np.ndarray]): of each mention. Shape of each: (n, dim)
    RETURNS (Queries): of several, what they have in common."""
    from ..kb.vectors.joint_search import Queries

    sums = [own.sum(axis=0) if len(own) else np.zeros(dim) for own in pictures]
    present = np.array([len(own) > 0 for own in pictures], dtype=bool)
    return Queries(_unit(np.reshape(sums, (-1, dim))), present)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """RETURNS (np.ndarray): of unit length, but for zeros. Shape: as `vectors`"""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.maximum(lengths, TINY)).astype(np.float32, copy=False)


def _checked(
    name: str, said: Any, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """RETURNS (tuple[np.ndarray, np.ndarray]): the values of a channel, and which there
    are. Shape of each: as `size`
    RAISES (DweError): it computed something else.
    """
    try:
        values, there = said
        values, there = np.asarray(values, dtype=np.float32), np.asarray(there)
    except (TypeError, ValueError) as error:
        raise DweError(
            Errors.E528.format(channel=name, found=error, expected=size)
        ) from None
    there = np.broadcast_to(there, size) if there.ndim == 0 else there
    for array in (values, there):
        if array.shape != size:
            found = f"an array of shape {array.shape}"
            raise DweError(Errors.E528.format(channel=name, found=found, expected=size))
    return values, there


def _places(
    name: str, channel: Channel, columns: Columns
) -> tuple[list[int] | slice, list[int] | slice]:
    """Which of a channel's columns the combiner reads, and where.

    RETURNS (tuple): places among the channel's columns, and among all; slices, which
        NumPy copies faster, where all stand in order. Empty lists for none.
    RAISES (DweError): the combiner reads one that the channel does not have.
    """
    own = list(channel.columns)
    where = columns.of(name)
    wanted = [columns.all[i].name for i in where]
    missing = [column for column in wanted if column not in own]
    if missing:
        raise DweError(
            Errors.E525.format(
                columns=", ".join(missing), channel=name, known=", ".join(own)
            )
        )
    if wanted == own and where:
        return slice(None), slice(where[0], where[0] + len(where))
    return [own.index(column) for column in wanted], where


if TYPE_CHECKING:
    TrainedQueries = Callable[
        [Sequence[PreparedMention], Sequence[MentionPlace]], Mapping[SetName, Queries]
    ]
    PictureEncoder = LazyClipEncoder | ImageEncoder
    Encoders = tuple[LazyTextEncoder | None, dict[str, PictureEncoder]]

PREPARED_BYTES = 1 << 30
"""Memory for the prepared mentions of a training run; the oldest make way."""


class EvidenceSource:
    """Owns the encoders in use, the evidence as long as it serves, and the mentions
    that training prepared with it.
    """

    def __init__(self) -> None:
        self._encoders: Encoders | None = None
        self._given: tuple[Any, ...] = ()
        self._evidence: Evidence | None = None
        self._settings: LinkerSettings | None = None
        self._prepared = PreparedMentions(PREPARED_BYTES)

    def kept(self, settings: "LinkerSettings") -> "Evidence | None":
        """RETURNS (Evidence | None): what `keep` was given; None where settings, KB or
        network have changed since."""
        return self._evidence if self._settings == settings else None

    def keep(self, evidence: "Evidence", settings: "LinkerSettings") -> None:
        """evidence (Evidence): serves until something changes.
        settings (LinkerSettings): what it was made by."""
        self._evidence, self._settings = evidence, settings
        self._prepared.clear()

    def forget_evidence(self) -> None:
        """The network is another."""
        self._evidence = None

    def forget_kb(self) -> None:
        """The KB is another, and with it may be its encoders."""
        self._encoders = None
        self._evidence = None

    def encoders(
        self,
        kb: "DweKnowledgeBase",
        settings: "LinkerSettings",
        spaces: Spaces,
        device: str,
    ) -> "Encoders":
        """RETURNS (Encoders): see `encoders_for`; made once for the same arguments."""
        text_encoder, clip = settings.text_encoder, settings.clip
        given = text_encoder, clip, spaces, device
        if self._encoders is None or self._given != given:
            self._given = given
            self._encoders = encoders_for(
                kb,
                spaces=spaces,
                text_encoder=text_encoder,
                clip=clip,
                device=device,
            )
        return self._encoders

    def prepare(
        self, mentions: Sequence[Mention], evidence: Evidence
    ) -> list[PreparedMention]:
        """Find and describe candidates of mentions once for all epochs, by names and
        by the encoders' own vectors.

        mentions (Sequence[Mention]): mentions.
        evidence (Evidence): what is kept.
        RETURNS (list[PreparedMention]): one a mention.
        """
        return self._prepared.get(
            mentions,
            lambda new: chain.from_iterable(evidence.prepare(new, in_training=True)),
        )


Prepare = Callable[[list["Mention"]], Iterable["PreparedMention"]]


class PreparedMentions:
    """A bounded store of prepared mentions; see `Bounded` for which are kept.

    max_bytes (int): memory to hold.
    """

    def __init__(self, max_bytes: int) -> None:
        self._store: Bounded[Mention, PreparedMention] = Bounded(
            max_bytes, lambda mention, prepared: prepared.n_bytes
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """A worker process and a copy start with nothing."""
        return type(self), (self.max_bytes,)

    @property
    def max_bytes(self) -> int:
        return self._store.max_bytes

    @property
    def n_bytes(self) -> int:
        return self._store.n_bytes

    def clear(self) -> None:
        """Forget everything."""
        self._store.clear()

    def get(
        self, mentions: Sequence["Mention"], prepare: Prepare
    ) -> list["PreparedMention"]:
        """Prepared mentions, made where they are not known yet.

        mentions (Sequence[Mention]): mentions.
        prepare (Prepare): makes new ones, in order.
        RETURNS (list[PreparedMention]): one a mention.
        """
        # Mentions are equal where all that can be read of them is.
        found = {
            mention: self._store.get(mention) for mention in dict.fromkeys(mentions)
        }
        new = [mention for mention, known in found.items() if known is None]
        fresh = dict(zip(new, prepare(new))) if new else {}
        for mention, prepared in fresh.items():
            self._store.put(mention, prepared)
        return [found[m] or fresh[m] for m in mentions]
