"""Makes the evidence of a component from its settings, its KB and their encoders."""

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from .model.channels import FeatureLayout
from .training.prepared import PreparedMentions

if TYPE_CHECKING:
    from .encoders.cache import FeatureCache
    from .encoders.lazy import LazyClipEncoder, LazyTextEncoder
    from .encoders.visual import VisualExtractor
    from .evidence import Evidence, PreparedMention
    from .kb.candidates import CandidateGenerator
    from .kb.knowledge_base import DweKnowledgeBase
    from .mentions import Mention

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
        from .evidence import Evidence, encoders_for

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
