"""What `dwe_linker` links with and how: settings, KnowledgeBase, scores, pictures."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.vocab import Vocab
from thinc.api import Model

from .errors import DweError, Errors
from .evidence_source import EvidenceSettings, EvidenceSource
from .kb.reference import KBReference
from .linking import annotate, linking_batch, rank_candidates
from .mentions import Mention, mentions_of
from .model.architectures import NetworkShim, shim_of
from .model.channels import CHANNELS, FeatureLayout, check_channels
from .model.modalities import MentionPlace
from .model.scoring import ScoredMention
from .model.spec import untrained_spec
from .tokens import document_name

if TYPE_CHECKING:
    from .encoders.cache import FeatureCache
    from .encoders.findings import VisualEvidence
    from .encoders.lazy import LazyClipEncoder, LazyTextEncoder
    from .encoders.visual import VisualExtractor
    from .evidence import Evidence, PreparedMention
    from .images import ImageRef
    from .kb.candidates import CandidateGenerator, Candidates
    from .kb.knowledge_base import DweKnowledgeBase
    from .model.network import LinkingBatch

MENTIONS_AT_A_TIME = 256


class LinkingPipe(TrainablePipe):
    """The part of `DweLinker` that links, trained or not.

    All settings are here, as `make_dwe_linker` documents them; most can be changed at
    any time.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str = "dwe_linker",
        *,
        kb: str | None = None,
        channels: Sequence[str] = CHANNELS,
        n_candidates: int = 100,
        top_k: int = 10,
        threshold: float = 0.0,
        use_images: bool = True,
        strict_images: bool = False,
        fetch_urls: bool = False,
        use_gold_ents: bool = True,
        overwrite: bool = True,
        device: str = "auto",
        feature_cache: str | None = None,
        clip: "LazyClipEncoder | None" = None,
        text_encoder: "LazyTextEncoder | None" = None,
        visual: "VisualExtractor | None" = None,
        generate_candidates: "CandidateGenerator",
        scorer: Callable | None = None,
    ) -> None:
        _check_setting("n_candidates", n_candidates, n_candidates >= 1, "at least 1")
        _check_setting("top_k", top_k, top_k >= 0, "at least 0")
        _check_setting("threshold", threshold, 0 <= threshold <= 1, "from 0 to 1")
        self.vocab = vocab
        self.model = model
        self.name = name
        self.cfg: dict[str, Any] = {}
        self.channels = list(channels)
        self.n_candidates = n_candidates
        self.top_k = top_k
        self.threshold = threshold
        self.use_images = use_images
        self.strict_images = strict_images
        self.fetch_urls = fetch_urls
        self.use_gold_ents = use_gold_ents
        self.overwrite = overwrite
        self.device = device
        self.feature_cache = feature_cache
        self.visual = visual
        self.generate_candidates = generate_candidates
        self.scorer = scorer
        self._evidence_source = EvidenceSource(text_encoder=text_encoder, clip=clip)
        self._kb = KBReference(kb)
        self._trained_sets: dict[str, str] = {}
        self.cache: FeatureCache | None = None

    # Set-up

    @property
    def network_shim(self) -> NetworkShim:
        """RETURNS (NetworkShim): holds the torch network of the component's model."""
        return shim_of(self.model)

    @property
    def channels(self) -> list[str]:
        """RETURNS (list[str]): the channels in use; set it to switch some off."""
        return list(self._channels)

    @channels.setter
    def channels(self, channels: Sequence[str]) -> None:
        self._channels = check_channels(channels)

    @property
    def kb(self) -> "DweKnowledgeBase | None":
        """RETURNS (DweKnowledgeBase | None): the KB, opened when first asked for.
        RAISES (DweError): the KB that the pipeline refers to cannot be opened.
        """
        return self._kb.opened(self.vocab)

    def load_kb(self, path: str | Path) -> None:
        """Use the KnowledgeBase at a path.

        path (str | Path): directory made by `python -m spacy dwe kb build`.
        RAISES (DweError): it cannot be opened.
        """
        from .kb.knowledge_base import DweKnowledgeBase

        self._set_kb(DweKnowledgeBase(path, self.vocab))

    def set_kb(self, kb: "DweKnowledgeBase | str | Path | Callable") -> None:
        """Use a KnowledgeBase, given by path, as an object, or by a loader that takes
        the vocab (as spaCy's own EntityLinker has it)."""
        if isinstance(kb, (str, Path)):
            self.load_kb(kb)
        elif callable(kb):
            self._set_kb(kb(self.vocab))
        else:
            self._set_kb(kb)

    def _set_kb(self, kb: "DweKnowledgeBase") -> None:
        self._kb.use(kb)
        self._evidence_source.forget_kb()

    def _require_kb(self) -> "DweKnowledgeBase":
        kb = self.kb
        if kb is None:
            raise DweError(Errors.E507.format(name=self.name))
        return kb

    def _device(self) -> str:
        from .encoders.device import resolve_device

        return str(resolve_device(self.device))

    def _network_layout(self) -> FeatureLayout:
        """Columns of the trained combiner; untrained, those of the zero-shot one."""
        shim = self.network_shim
        if not shim.is_built:
            shim.build(untrained_spec(), self._device())
        return shim.network.layout

    @property
    def evidence(self) -> "Evidence":
        """RETURNS (Evidence): what gathers features for the network in use."""
        settings = self._evidence_settings()
        evidence = self._evidence_source.kept(settings)
        if evidence is None:
            layout = self._network_layout()
            channels = [c for c in self.channels if c in layout.channels]
            evidence = self._make_evidence(layout, channels)
            self._evidence_source.keep(evidence, settings)
        return evidence

    def _make_evidence(
        self, layout: FeatureLayout, channels: Sequence[str]
    ) -> "Evidence":
        from .encoders.disk_store import feature_cache

        kb = self._require_kb()
        if self.cache is None:
            self.cache = feature_cache(self.feature_cache)
        return self._evidence_source.make(
            kb,
            self._evidence_settings(),
            layout=layout,
            channels=channels,
            cache=self.cache,
            device=self._device(),
        )

    def _evidence_settings(self) -> EvidenceSettings:
        return EvidenceSettings(
            channels=self._channels,
            n_candidates=self.n_candidates,
            use_images=self.use_images,
            strict_images=self.strict_images,
            fetch_urls=self.fetch_urls,
            visual=self.visual,
            generate_candidates=self.generate_candidates,
        )

    # Linking

    def predict(self, docs: Iterable[Doc]) -> list[ScoredMention]:
        """Score all mentions of a batch of documents, without modifying them.

        docs (Iterable[Doc]): documents with entities.
        RETURNS (list[ScoredMention]): one an entity, in order.
        """
        return self.score_mentions(list(docs))

    def score_mentions(self, docs: Sequence[Doc]) -> list[ScoredMention]:
        """Rank the candidates of every entity of the documents.

        docs (Sequence[Doc]): documents with entities.
        RETURNS (list[ScoredMention]): one an entity, in order.
        RAISES (DweError): there is no KB, or a score is NaN or infinite.
        """
        mentions = mentions_of(docs)
        scored: list[ScoredMention] = []
        for first in range(0, len(mentions), MENTIONS_AT_A_TIME):
            batch = mentions[first : first + MENTIONS_AT_A_TIME]
            done = 0
            for prepared in self.evidence.prepare(
                batch, self.generate_candidates, self.n_candidates
            ):
                own = batch[done : done + len(prepared)]
                places = [MentionPlace((docs[m.doc],), m.start, m.end) for m in own]
                scored.extend(self._score(own, prepared, places))
                done += len(prepared)
        return scored

    def find_candidates(
        self, docs: Sequence[Doc], n: int | None = None
    ) -> "Candidates":
        """Candidates of every entity of the documents, not yet scored.

        docs (Sequence[Doc]): documents with entities.
        n (int | None): how many to look for; None = as many as are scored.
        RETURNS (Candidates): of each entity, in order.
        """
        from .kb.candidates import Candidates

        mentions = mentions_of(docs)
        n = self.n_candidates if n is None else n
        return Candidates.concatenated(
            [
                self.evidence.candidates(
                    mentions[first : first + MENTIONS_AT_A_TIME],
                    self.generate_candidates,
                    n,
                )
                for first in range(0, len(mentions), MENTIONS_AT_A_TIME)
            ]
        )

    @property
    def looks(self) -> bool:
        """RETURNS (bool): whether the linker looks for objects, faces or scenes."""
        return self.visual is not None and self.use_images

    def image_evidence(self, doc: Doc) -> list[dict[str, Any]]:
        """What is seen on the pictures of a document and of its entities.

        doc (Doc): need not be linked.
        RETURNS (list[dict[str, Any]]): for each picture that can be read its name as
            `image`, its `size`, `regions` and `faces` with a box in pixels and words,
            and `scenes` with a score; JSON.
        RAISES (DweError): the linker looks for none of these.
        """
        spans = (ent._.images for ent in doc.ents)
        refs = dict.fromkeys(chain(doc._.images, *spans))
        seen = self.look(dict.fromkeys(refs, document_name(doc)))
        return [{"image": ref.name, **found.words()} for ref, found in seen.items()]

    def look(
        self, pictures: "Mapping[ImageRef, str]"
    ) -> "dict[ImageRef, VisualEvidence]":
        """Objects, faces and scenes of pictures.

        pictures (Mapping[ImageRef, str]): what messages call the document of each.
        RETURNS (dict[ImageRef, VisualEvidence]): of those that can be read.
        RAISES (DweError): the linker looks for none of these.
        """
        if not self.looks:
            raise DweError(Errors.E440.format(name=self.name))
        return self.evidence.pictures(self.visual).look(pictures)

    def _score(
        self,
        mentions: Sequence[Mention],
        prepared: Sequence["PreparedMention"],
        places: Sequence[MentionPlace],
    ) -> list[ScoredMention]:
        output = self.model.predict((self._collate(prepared, places), self.channels))
        return rank_candidates(
            mentions,
            prepared,
            output.scores,
            layout=self._network_layout(),
            channels=self.channels,
            kb=self._require_kb(),
        )

    def _collate(
        self, prepared: Sequence["PreparedMention"], places: Sequence[MentionPlace]
    ) -> "LinkingBatch":
        return linking_batch(
            prepared,
            places,
            shim=self.network_shim,
            kb=self._require_kb(),
            trained_sets=self._trained_sets,
            channels=self.channels,
            device=self._device(),
        )

    def set_annotations(
        self, docs: Iterable[Doc], scores: Sequence[ScoredMention]
    ) -> None:
        """Write links and ranked candidates onto the documents.

        docs (Iterable[Doc]): the documents.
        scores (Sequence[ScoredMention]): what `predict` returned for them.
        """
        if not scores:
            return
        annotate(
            docs,
            scores,
            self._require_kb(),
            top_k=self.top_k,
            threshold=self.threshold,
            overwrite=self.overwrite,
        )


def _check_setting(name: str, value: float, is_valid: bool, expected: str) -> None:
    if not is_valid:
        raise DweError(Errors.E514.format(name=name, value=value, expected=expected))
