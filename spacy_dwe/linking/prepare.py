"""From mentions to arrays: candidates, channel features and encoder vectors.

Of the modules below the component only this one knows the KB, the encoders and the
layout of features together; the network sees tensors alone.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from ..channels.facts import fact_features
from ..channels.name import name_features
from ..channels.text import picture_feature, text_feature
from ..errors import DweError, Errors
from ..model.inputs import PreparedMention
from ..model.spec import FeatureLayout
from .mentions import Mention
from .pictures import NO_PICTURES, PictureEvidence, Pictures

if TYPE_CHECKING:
    from ..encoders.cache import FeatureCache
    from ..encoders.protocol import MentionFeatures
    from ..encoders.registry import LazyClipEncoder, LazyTextEncoder
    from ..encoders.visual.extractor import VisualExtractor
    from ..kb.candidates import Candidates
    from ..kb.generators import CandidateGenerator
    from ..kb.knowledge_base import DweKnowledgeBase

MAX_PAIRS = 1 << 17
"""Mention-candidate pairs worked on at a time: bounds memory when all of a large KB is
ranked."""

TINY = 1e-6

DESCRIPTIONS = "description@text"
DESCRIPTIONS_IN_CLIP = "description@clip"
PICTURES = "image@clip"
CLIP_SETS = (DESCRIPTIONS_IN_CLIP, PICTURES)


def encoders_for(
    kb: "DweKnowledgeBase",
    *,
    text_encoder: "LazyTextEncoder | None",
    clip: "LazyClipEncoder | None",
    device: str,
) -> "tuple[LazyTextEncoder | None, LazyClipEncoder | None]":
    """The encoders given, or else those the KB was built with. Loads no weights.

    kb (DweKnowledgeBase): the KB.
    text_encoder (TextEncoder | None): the pipeline's own sentence encoder.
    clip (ClipEncoder | None): the pipeline's own CLIP.
    device (str): torch device of encoders that are made here.
    RETURNS (tuple): encoder of texts, which is CLIP where the KB has no vectors of a
        sentence encoder, and of pictures; None where the KB has no vectors.
    RAISES (DweError): an encoder is given for which the KB has no vectors.
    """
    from ..encoders.registry import encoder_from_spec

    sets = kb.vector_sets
    by_clip = next((sets[name] for name in CLIP_SETS if name in sets), None)
    by_text = sets.get(DESCRIPTIONS)
    if clip is not None and by_clip is None:
        raise DweError(Errors.E510.format(kb=kb.path, option="--clip"))
    if text_encoder is not None and by_text is None:
        raise DweError(Errors.E510.format(kb=kb.path, option="--text-encoder"))
    if clip is None and by_clip is not None:
        built = encoder_from_spec(by_clip.spec, device, kb.path)
        clip = cast("LazyClipEncoder", built)
    if text_encoder is None and by_text is not None:
        text_encoder = encoder_from_spec(by_text.spec, device, kb.path)
    return (clip if by_text is None else text_encoder), clip


class Evidence:
    """Gathers what the channels need for a batch of mentions.

    kb (DweKnowledgeBase): candidates and their vectors.
    text_encoder (TextEncoder | None): encoder of the text channel; CLIP itself, or a
        sentence encoder.
    clip (ClipEncoder | None): encoder of pictures.
    cache (FeatureCache): keeps encoder outputs by content.
    layout (FeatureLayout): columns of the features; those of dwe are left to the
        network.
    channels (Sequence[str]): channels in use; columns of the others stay absent.
    use_images (bool): False leaves all pictures unread.
    strict_images (bool): an unreadable picture is an error, not a warning.
    fetch_urls (bool): download pictures given by URL.
    visual (VisualExtractor | None): what to look for on pictures; the dwe channel
        reads it.
    device (str): torch device for what generators of candidates compute.
    RAISES (DweError): there is something to look for, and no CLIP to do it with.
    """

    def __init__(
        self,
        kb: "DweKnowledgeBase",
        *,
        text_encoder: "LazyTextEncoder | None",
        clip: "LazyClipEncoder | None",
        cache: "FeatureCache",
        layout: FeatureLayout,
        channels: Sequence[str],
        use_images: bool,
        strict_images: bool,
        fetch_urls: bool = False,
        visual: "VisualExtractor | None" = None,
        device: str = "cpu",
    ) -> None:
        if visual is not None and use_images and clip is None:
            raise DweError(Errors.E441.format(kb=kb.path))
        self.kb = kb
        self.text_encoder = text_encoder
        self.clip = clip
        self.cache = cache
        self.layout = layout
        self.use_images = use_images and clip is not None
        self.strict_images = strict_images
        self.fetch_urls = fetch_urls
        self.device = device
        self.text_set = kb.text_set
        self.channels = [c for c in layout.channels if c in channels]
        needs = {*channels}
        self.reads_text = text_encoder is not None and bool({"text", "dwe"} & needs)
        self.reads_images = self.use_images and bool({"image", "dwe"} & needs)
        self.visual = visual
        self.uses_visual = visual is not None and "dwe" in self.channels
        self._checked: set[str] = set()

    def prepare(
        self,
        mentions: Sequence[Mention],
        generate: "CandidateGenerator",
        n_candidates: int,
    ) -> Iterator[list[PreparedMention]]:
        """Find and describe candidates.

        mentions (Sequence[Mention]): mentions.
        generate (CandidateGenerator): finds their candidates.
        n_candidates (int): how many to look for.
        YIELDS (list[PreparedMention]): mentions in order, some at a time.
        """
        candidates = self.candidates(mentions, generate, n_candidates)
        for first, last in _chunks(candidates.lengths, MAX_PAIRS):
            yield self._describe(mentions[first:last], candidates.span(first, last))

    def candidates(
        self,
        mentions: Sequence[Mention],
        generate: "CandidateGenerator",
        n_candidates: int,
    ) -> "Candidates":
        """Find candidates, as `prepare` does.

        RETURNS (Candidates): of each mention.
        """
        return generate(self.kb, _MentionBatch(self, mentions), n_candidates)

    def vectors(self, mentions: Sequence[Mention], name: str) -> np.ndarray | None:
        """Vectors to look for entities with: half the mention in its context, half its
        words alone. Alone, the former finds whatever the context is about, the latter
        any namesake.

        mentions (Sequence[Mention]): mentions.
        name (str): vector set of the KB to compare with.
        RETURNS (np.ndarray | None): None where the KB has no such set, or no channel in
            use compares texts. Shape: (n_mentions, dim), float32
        """
        encoder = self.clip if name in CLIP_SETS else self.text_encoder
        if encoder is None or not self.reads_text or name not in self.kb.vector_sets:
            return None
        self._check(encoder, [name])
        alone = self.cache.texts(encoder, [mention.text for mention in mentions])
        features = self.cache.mentions(encoder, [m.in_context for m in mentions])
        vectors = np.array([alone[i] + f.pooled for i, f in enumerate(features)])
        lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
        return (vectors / np.maximum(lengths, TINY)).reshape(alone.shape)

    def _describe(
        self, mentions: Sequence[Mention], candidates: "Candidates"
    ) -> list[PreparedMention]:
        texts = self._texts(mentions)
        pictures = self._pictures(mentions)
        shape = (len(candidates.rows), sum(c != "dwe" for c, _ in self.layout.names))
        features = np.zeros(shape, dtype=np.float32)
        present = np.zeros(shape, dtype=bool)
        for channel in self.channels:
            columns = self.layout.columns(channel)
            if channel == "name":
                names = [m.text for m in mentions]
                features[:, columns] = name_features(self.kb.lexicon, names, candidates)
                present[:, columns] = True
            elif channel == "prior":
                names = [m.text for m in mentions]
                priors = self.kb.priors(names, candidates)[:, None]
                present[:, columns] = ~np.isnan(priors)
                features[:, columns] = np.nan_to_num(priors)
            elif channel == "facts":
                contexts = [m.context for m in mentions]
                values, there = fact_features(self.kb.lexicon, contexts, candidates)
                features[:, columns], present[:, columns] = values, there
            elif channel == "text" and texts and self.text_set is not None:
                queries = [text.pooled for text in texts]
                vectors = self.kb.vector_sets[self.text_set]
                values, there = text_feature(vectors, candidates, queries)
                features[:, columns[0]], present[:, columns[0]] = values, there
            elif channel == "image":
                queries = [own.vectors for own in pictures]
                for column, name in zip(columns, (DESCRIPTIONS_IN_CLIP, PICTURES)):
                    if name in self.kb.vector_sets:
                        vectors = self.kb.vector_sets[name]
                        values, there = picture_feature(vectors, candidates, queries)
                        features[:, column], present[:, column] = values, there
        features[~present] = 0.0
        described = self.kb.described(candidates.rows)
        bounds = zip(candidates.offsets, candidates.offsets[1:])
        return [
            PreparedMention(
                rows=candidates.rows[first:last],
                found_by=candidates.found_by[first:last],
                features=features[first:last],
                present=present[first:last],
                described=described[first:last],
                text=None if texts is None else texts[index],
                pictures=pictures[index].vectors,
                objects=pictures[index].objects,
                faces=pictures[index].faces,
                face_mask=pictures[index].face_mask,
                scenes=pictures[index].scenes,
                sentence=mentions[index].context,
            )
            for index, (first, last) in enumerate(bounds)
        ]

    def _texts(self, mentions: Sequence[Mention]) -> "list[MentionFeatures] | None":
        if not self.reads_text or self.text_encoder is None:
            return None
        in_clip = self.text_encoder is self.clip
        self._check(self.text_encoder, CLIP_SETS if in_clip else [DESCRIPTIONS])
        return self.cache.mentions(self.text_encoder, [m.in_context for m in mentions])

    def _pictures(self, mentions: Sequence[Mention]) -> list[Pictures]:
        pictured = self.reads_images and any(mention.images for mention in mentions)
        if self.clip is None or not pictured:
            return [NO_PICTURES] * len(mentions)
        self._check(self.clip, CLIP_SETS)
        return self.pictures(self.visual if self.uses_visual else None).of(mentions)

    def pictures(self, visual: "VisualExtractor | None") -> PictureEvidence:
        """RETURNS (PictureEvidence): reads pictures as the settings say, and looks for
        what `visual` finds."""
        assert self.clip is not None, "checked when made"
        return PictureEvidence(
            self.clip,
            self.cache,
            visual=visual,
            strict=self.strict_images,
            fetch_urls=self.fetch_urls,
        )

    def _check(self, encoder: "LazyTextEncoder", names: Sequence[str]) -> None:
        """Refuse vectors of another encoder: their cosines would be noise."""
        for name in {*names} & self.kb.vector_sets.keys() - self._checked:
            theirs = self.kb.vector_sets[name].fingerprint
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


class _MentionBatch:
    """What generators of candidates see of mentions: a `MentionBatch`."""

    def __init__(self, evidence: Evidence, mentions: Sequence[Mention]) -> None:
        self._evidence, self._mentions = evidence, mentions
        self.texts = [mention.text for mention in mentions]
        self.contexts = [mention.context for mention in mentions]
        self.device = evidence.device

    def vectors(self, name: str) -> np.ndarray | None:
        return self._evidence.vectors(self._mentions, name)


def _chunks(lengths: np.ndarray, limit: int) -> Iterator[tuple[int, int]]:
    """Runs of mentions with at most `limit` candidates together, at least one each."""
    first, total = 0, 0
    for index, length in enumerate(lengths.tolist()):
        if index > first and total + length > limit:
            yield first, index
            first, total = index, 0
        total += length
    if first < len(lengths):
        yield first, len(lengths)


if TYPE_CHECKING:
    Encoders = tuple[LazyTextEncoder | None, LazyClipEncoder | None]

PREPARED_BYTES = 1 << 30
"""Memory for the prepared mentions of a training run; the oldest make way."""


class EvidenceSettings(NamedTuple):
    """Settings of the component that evidence, and mentions prepared with it, follow
    from; see `dwe_linker`."""

    channels: tuple[str, ...]
    n_candidates: int
    use_images: bool
    strict_images: bool
    fetch_urls: bool
    visual: "VisualExtractor | None"
    generate_candidates: "CandidateGenerator"


class EvidenceSource:
    """Owns the encoders in use, the evidence as long as it serves, and the mentions
    that training prepared with it.

    text_encoder (TextEncoder | None): the pipeline's own; None = the KB's.
    clip (ClipEncoder | None): the pipeline's own; None = the KB's.
    """

    def __init__(
        self,
        *,
        text_encoder: "LazyTextEncoder | None",
        clip: "LazyClipEncoder | None",
    ) -> None:
        self._text_encoder = text_encoder
        self._clip = clip
        self._encoders: Encoders | None = None
        self._evidence: Evidence | None = None
        self._settings: EvidenceSettings | None = None
        self._prepared = PreparedMentions(PREPARED_BYTES)

    def kept(self, settings: EvidenceSettings) -> "Evidence | None":
        """RETURNS (Evidence | None): what `keep` was given; None where settings, KB or
        network have changed since."""
        return self._evidence if self._settings == settings else None

    def keep(self, evidence: "Evidence", settings: EvidenceSettings) -> None:
        """evidence (Evidence): serves until something changes.
        settings (EvidenceSettings): what it was made by."""
        self._evidence, self._settings = evidence, settings
        self._prepared.clear()

    def forget_evidence(self) -> None:
        """The network is another."""
        self._evidence = None

    def forget_kb(self) -> None:
        """The KB is another, and with it may be its encoders."""
        self._encoders = None
        self._evidence = None

    def make(
        self,
        kb: "DweKnowledgeBase",
        settings: EvidenceSettings,
        *,
        layout: FeatureLayout,
        channels: Sequence[str],
        cache: "FeatureCache",
        device: str,
    ) -> "Evidence":
        """Make evidence, without keeping it.

        kb (DweKnowledgeBase): the KB.
        settings (EvidenceSettings): how pictures are read.
        layout, channels, cache, device: see `Evidence`.
        RETURNS (Evidence): gathers features. No weights are loaded yet.
        RAISES (DweError): the pipeline has an encoder that the KB has no vectors of.
        """

        if self._encoders is None:
            self._encoders = encoders_for(
                kb, text_encoder=self._text_encoder, clip=self._clip, device=device
            )
        text_encoder, clip = self._encoders
        return Evidence(
            kb,
            text_encoder=text_encoder,
            clip=clip,
            cache=cache,
            layout=layout,
            channels=channels,
            use_images=settings.use_images,
            strict_images=settings.strict_images,
            fetch_urls=settings.fetch_urls,
            visual=settings.visual,
            device=device,
        )

    def prepare(
        self,
        mentions: "Sequence[Mention]",
        evidence: "Evidence",
        settings: EvidenceSettings,
    ) -> "list[PreparedMention]":
        """Find and describe candidates of mentions once for all epochs.

        mentions (Sequence[Mention]): mentions.
        evidence (Evidence): what is kept.
        settings (EvidenceSettings): what it was made by.
        RETURNS (list[PreparedMention]): one a mention.
        """
        return self._prepared.get(
            mentions,
            lambda new: chain.from_iterable(
                evidence.prepare(
                    new, settings.generate_candidates, settings.n_candidates
                )
            ),
        )


Prepare = Callable[[list["Mention"]], Iterable["PreparedMention"]]


class PreparedMentions:
    """A bounded store of prepared mentions, oldest out first.

    max_bytes (int): memory to hold.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.n_bytes = 0
        self._store: OrderedDict[Any, PreparedMention] = OrderedDict()

    def __reduce__(self) -> tuple[Any, ...]:
        """A worker process and a copy start with nothing."""
        return type(self), (self.max_bytes,)

    def clear(self) -> None:
        """Forget everything."""
        self._store.clear()
        self.n_bytes = 0

    def get(
        self, mentions: Sequence["Mention"], prepare: Prepare
    ) -> list["PreparedMention"]:
        """Prepared mentions, made where they are not known yet.

        mentions (Sequence[Mention]): mentions.
        prepare (Prepare): makes new ones, in order.
        RETURNS (list[PreparedMention]): one a mention.
        """
        keys = [(m.text, m.context, m.context_start, m.images) for m in mentions]
        new = {k: m for k, m in zip(keys, mentions) if k not in self._store}
        fresh = dict(zip(new, prepare(list(new.values())))) if new else {}
        found = [fresh[key] if key in fresh else self._store[key] for key in keys]
        self._store.update(fresh)
        self.n_bytes += sum(prepared.n_bytes for prepared in fresh.values())
        while self.n_bytes > self.max_bytes and self._store:
            self.n_bytes -= self._store.popitem(last=False)[1].n_bytes
        return found
