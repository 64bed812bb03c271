"""From mentions to arrays: candidates, channel features and encoder vectors.

Of the modules below the component only this one knows the KB, the encoders and the
layout of features together; the network sees tensors alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import numpy as np

from .errors import DweError, Errors
from .mentions import Mention
from .model.channels import FeatureLayout
from .picture_evidence import (
    NO_MASK,
    NO_PICTURES,
    NO_VECTORS,
    PictureEvidence,
    Pictures,
)
from .vector_features import picture_feature, text_feature

if TYPE_CHECKING:
    from .encoders.base import MentionFeatures
    from .encoders.cache import FeatureCache
    from .encoders.lazy import LazyClipEncoder, LazyTextEncoder
    from .encoders.visual import VisualExtractor
    from .kb.candidates import CandidateGenerator, Candidates
    from .kb.knowledge_base import DweKnowledgeBase

MAX_PAIRS = 1 << 17
"""Mention-candidate pairs worked on at a time: bounds memory when all of a large KB is
ranked."""

TINY = 1e-6

DESCRIPTIONS = "description@text"
DESCRIPTIONS_IN_CLIP = "description@clip"
PICTURES = "image@clip"
CLIP_SETS = (DESCRIPTIONS_IN_CLIP, PICTURES)


@dataclass(slots=True)
class PreparedMention:
    """All that is fixed of one mention: computed once, used in every epoch.

    rows (np.ndarray): KB rows of the candidates. Shape: (n_candidates,), int32
    found_by (np.ndarray): how each was found, as `FoundBy`.
        Shape: (n_candidates,), uint8
    features (np.ndarray): channel features but for dwe.
        Shape: (n_candidates, n_features), float32
    present (np.ndarray): which features there are. Shape: as features, bool
    described (np.ndarray): candidates with a description. Shape: (n_candidates,), bool
    text (MentionFeatures | None): what the text encoder says, if it was asked.
    pictures (np.ndarray): unit vectors of its pictures. Shape: (n_pictures, dim)
    objects, faces, face_mask, scenes (np.ndarray): what was found on them, see
        `Pictures`.
    sentence (str): what it stands in; mentions of the same one are told by it.
    """

    rows: np.ndarray
    found_by: np.ndarray
    features: np.ndarray
    present: np.ndarray
    described: np.ndarray
    text: "MentionFeatures | None"
    pictures: np.ndarray
    objects: np.ndarray = field(default_factory=lambda: NO_VECTORS)
    faces: np.ndarray = field(default_factory=lambda: NO_VECTORS)
    face_mask: np.ndarray = field(default_factory=lambda: NO_MASK)
    scenes: np.ndarray = field(default_factory=lambda: NO_VECTORS)
    sentence: str = ""

    @property
    def n_bytes(self) -> int:
        """RETURNS (int): memory that it holds."""
        arrays = [self.rows, self.found_by, self.features, self.present]
        arrays += [self.described, self.pictures, self.objects]
        arrays += [self.faces, self.face_mask, self.scenes]
        if self.text is not None:
            arrays += [self.text.states, self.text.pooled]
        return sum(array.nbytes for array in arrays)


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
    from .encoders.registry import encoder_from_spec

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
                features[:, columns] = self.kb.name_features(names, candidates)
                present[:, columns] = True
            elif channel == "prior":
                names = [m.text for m in mentions]
                priors = self.kb.priors(names, candidates)[:, None]
                present[:, columns] = ~np.isnan(priors)
                features[:, columns] = np.nan_to_num(priors)
            elif channel == "facts":
                contexts = [m.context for m in mentions]
                values, there = self.kb.fact_features(contexts, candidates)
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
