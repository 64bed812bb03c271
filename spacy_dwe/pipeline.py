"""Files and bytes of a saved component: its state as JSON, the weights of its network
and, in model-last, the state of the optimizer."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import srsly
from spacy import util
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Config, Model, Optimizer

from .errors import DweError, Errors, Warnings
from .kb.reference import KBReference
from .linking.annotate import ScoredMention, annotate, rank_candidates
from .linking.collate import linking_batch
from .linking.mentions import Mention, mentions_of
from .linking.prepare import EvidenceSettings, EvidenceSource
from .model.architectures import NetworkShim, shim_of
from .model.inputs import MentionPlace
from .model.spec import CHANNELS, FeatureLayout, check_channels, untrained_spec
from .tokens import document_name
from .training.labels import FirstLook, labelled_mentions, warn_of_golds
from .training.state import (
    OPTIMIZER_FILE,
    TrainingClock,
    TrainingState,
    read_optimizer,
    write_optimizer,
)

if TYPE_CHECKING:
    from .encoders.cache import FeatureCache
    from .encoders.registry import LazyClipEncoder, LazyTextEncoder
    from .encoders.visual.extractor import VisualExtractor
    from .encoders.visual.findings import VisualEvidence
    from .images import ImageRef
    from .kb.candidates import Candidates
    from .kb.generators import CandidateGenerator
    from .kb.knowledge_base import DweKnowledgeBase
    from .linking.prepare import Evidence
    from .model.inputs import LinkingBatch, PreparedMention

STATE = "cfg"
WEIGHTS = "model.safetensors"

GetState = Callable[[Path | None], dict[str, Any]]
"""Gives the state, for the folder of a pipeline; None = for bytes."""

SetState = Callable[[dict[str, Any], Path | None], None]
"""Takes the state back, from the folder of a pipeline; None = from bytes."""


def write_folder(
    path: str | Path, shim: NetworkShim, get_state: GetState, exclude: Iterable[str]
) -> None:
    """Write a component.

    path (str | Path): its folder, within that of the pipeline.
    shim (NetworkShim): holds the network.
    get_state (GetState): gives the rest.
    exclude (Iterable[str]): files to leave out.
    """
    util.to_disk(
        path,
        {
            STATE: lambda p: srsly.write_json(p, get_state(p.parent.parent)),
            WEIGHTS: lambda p: _write_bytes(p, shim.to_bytes()),
            OPTIMIZER_FILE: lambda p: write_optimizer(p, shim.optimizer_bytes),
        },
        exclude,
    )


def read_folder(
    path: str | Path,
    shim: NetworkShim,
    set_state: SetState,
    load_weights: Callable[[bytes], None],
    exclude: Iterable[str],
) -> None:
    """Read what `write_folder` wrote.

    path (str | Path): folder of the component.
    shim (NetworkShim): gets the state of the optimizer, if there is one.
    set_state (SetState): gets the state.
    load_weights (Callable[[bytes], None]): gets the weights, after the state.
    exclude (Iterable[str]): files to leave out.
    """
    util.from_disk(
        path,
        {
            STATE: lambda p: set_state(srsly.read_json(p), p.parent.parent),
            WEIGHTS: lambda p: load_weights(p.read_bytes()),
            OPTIMIZER_FILE: lambda p: shim.resume_optimizer(read_optimizer(p)),
        },
        exclude,
    )


def write_bytes(
    shim: NetworkShim, get_state: GetState, exclude: Iterable[str]
) -> bytes:
    """RETURNS (bytes): state and weights; see `write_folder`."""
    return util.to_bytes(
        {
            STATE: lambda: srsly.json_dumps(get_state(None)),
            WEIGHTS: shim.to_bytes,
        },
        exclude,
    )


def read_bytes(
    data: bytes,
    set_state: SetState,
    load_weights: Callable[[bytes], None],
    exclude: Iterable[str],
) -> None:
    """data (bytes): what `write_bytes` gave; see `read_folder`."""
    util.from_bytes(
        data,
        {
            STATE: lambda b: set_state(srsly.json_loads(b), None),
            WEIGHTS: load_weights,
        },
        exclude,
    )


def _write_bytes(path: Path, data: bytes) -> None:
    path.write_bytes(data)


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
        from .encoders.inference import resolve_device

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
        from .encoders.store import feature_cache

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


DEFAULT_CONFIG = """
[dwe_linker]
kb = null
channels = ["name", "prior", "facts", "text", "image", "dwe"]
n_candidates = 100
top_k = 10
threshold = 0.0
use_images = true
strict_images = false
fetch_urls = false
use_gold_ents = true
overwrite = true
device = "auto"
feature_cache = null
clip = null
text_encoder = null
visual = null
generate_candidates = {"@misc": "spacy-dwe.NameCandidates.v1"}
scorer = {"@scorers": "spacy-dwe.LinkerScorer.v1"}

[dwe_linker.model]
@architectures = "spacy-dwe.DWE.v1"
"""


@Language.factory(
    "dwe_linker",
    requires=["doc.ents"],
    assigns=["token.ent_kb_id", "span._.kb_candidates"],
    default_config=Config().from_str(DEFAULT_CONFIG)["dwe_linker"],
    default_score_weights={
        "nel_top1": 1.0,
        "nel_mrr": 0.0,
        "nel_recall_100": None,
        "nel_nil_f": 0.0,
        "nel_micro_p": 0.0,
        "nel_micro_r": 0.0,
        "nel_micro_f": 0.0,
    },
)
def make_dwe_linker(
    nlp: Language,
    name: str,
    model: Model,
    kb: str | None,
    channels: list[str],
    n_candidates: int,
    top_k: int,
    threshold: float,
    use_images: bool,
    strict_images: bool,
    fetch_urls: bool,
    use_gold_ents: bool,
    overwrite: bool,
    device: str,
    feature_cache: str | None,
    clip: Any | None,
    text_encoder: Any | None,
    visual: Any | None,
    generate_candidates: Callable,
    scorer: Callable | None,
) -> "DweLinker":
    """Construct a multimodal entity linker. Loads nothing: no weights, no KB.

    model (Model): the network, see `spacy-dwe.DWE.v1`.
    kb (str | None): path of the KnowledgeBase; None = set by `load_kb`, by
        `[initialize] kb_loader` or by what was saved with the pipeline.
    channels (list[str]): evidence to use, of name, prior, facts, text, image, dwe.
    n_candidates (int): candidates scored a mention.
    top_k (int): candidates kept on the span.
    threshold (float): a link needs at least this probability, else NIL.
    use_images (bool): whether to read pictures at all.
    strict_images (bool): make an unreadable picture an error instead of a warning.
    fetch_urls (bool): download pictures given by URL; linking opens no connection
        otherwise.
    use_gold_ents (bool): train on the reference's entities; otherwise on those that
        the pipeline's annotating components found.
    overwrite (bool): replace a kb_id that an entity already has.
    device (str): "auto" (CUDA if torch sees one), "cpu" or "cuda".
    feature_cache (str | None): folder for what encoders put out, so that other runs
        need not encode the same texts and pictures again; None = the one that the
        variable DWE_FEATURE_CACHE names, else memory alone.
    clip (ClipEncoder | None): None = the one the KB was built with.
    text_encoder (TextEncoder | None): None = the one the KB was built with.
    visual (VisualExtractor | None): objects, faces and scenes to look for on pictures,
        for the dwe channel; None = it reads pictures as a whole.
    generate_candidates (Callable): finds candidates, `CandidateGenerator`.
    scorer (Callable | None): scores examples.
    """
    return DweLinker(
        nlp.vocab,
        model,
        name,
        kb=kb,
        channels=channels,
        n_candidates=n_candidates,
        top_k=top_k,
        threshold=threshold,
        use_images=use_images,
        strict_images=strict_images,
        fetch_urls=fetch_urls,
        use_gold_ents=use_gold_ents,
        overwrite=overwrite,
        device=device,
        feature_cache=feature_cache,
        clip=clip,
        text_encoder=text_encoder,
        visual=visual,
        generate_candidates=generate_candidates,
        scorer=scorer,
    )


class DweLinker(LinkingPipe):
    """Links entities to a KnowledgeBase by text and pictures.

    A mention's result does not depend on its batch. Weights are loaded at first use.
    An id set in `nlp.memory_zone()` is forgotten with it, as any new string is.
    """

    # Training

    @cached_property
    def clock(self) -> TrainingClock:
        """RETURNS (TrainingClock): what was trained on, and how long that took."""
        return TrainingClock()

    @cached_property
    def _training(self) -> TrainingState:
        return TrainingState()

    @property
    def nil_is_labelled(self) -> bool:
        """RETURNS (bool): whether training data has mentions labelled NIL; otherwise
        golds are taken away to teach it."""
        return self._training.nil_is_labelled

    @nil_is_labelled.setter
    def nil_is_labelled(self, is_labelled: bool) -> None:
        self._training.nil_is_labelled = is_labelled

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        kb_loader: Callable | str | None = None,
    ) -> None:
        """Set the KB and build the network for it.

        get_examples (Callable): returns training examples.
        nlp (Language | None): the pipeline.
        kb_loader (Callable | str | None): gives the KB, see `set_kb`.
        RAISES (DweError): there is no KB, no example has a labelled entity, or dwe is
            among the channels and the KB has no vectors to compare with.
        """
        validate_get_examples(get_examples, "DweLinker.initialize")
        if kb_loader is not None:
            self.set_kb(kb_loader)
        shim = self.network_shim
        golds = {
            ent.kb_id_ for example in get_examples() for ent in example.reference.ents
        } - {""}
        if not golds:
            raise DweError(Errors.E505)
        self._training.set_labels(golds, shim.cfg)
        from .training.state import network_spec

        layout = FeatureLayout.of(self.channels)
        evidence = self._make_evidence(layout, self.channels)
        spec = network_spec(
            evidence,
            self.channels,
            shim.cfg,
            nil_is_labelled=self._training.nil_is_labelled,
        )
        shim.build(spec, self._device())
        sets = self._require_kb().vector_sets
        read = {*spec.heads} | ({evidence.text_set} if spec.edge_width else set())
        self._trained_sets = {
            name: vectors.fingerprint for name, vectors in sets.items() if name in read
        }
        self._evidence_source.forget_evidence()
        self._training.first_look = FirstLook(golds)
        warn_of_golds(golds, self._require_kb())
        if self.looks and shim.cfg["head"] == "linear":
            warnings.warn(Warnings.W152.format(name=self.name), stacklevel=2)
        if shim.cfg["fit_combiner"]:
            from .training.fitting import fit_to_examples

            fit_to_examples(
                shim.network,
                get_examples,
                self._require_kb(),
                self._prepare,
                self._training.nil_share(shim.cfg),
            )

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from a batch of documents. Gradients add up until `finish_update`.

        examples (Iterable[Example]): labelled documents.
        drop (float): not used: dropout is a setting of the model.
        sgd (Optimizer | None): steps at once if given.
        losses (dict | None): gets the loss added under the component's name, and its
            parts under names such as `dwe_linker_linking`.
        RETURNS (dict[str, float]): the losses.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "DweLinker.update")
        with self.clock.running():
            has_learned = self._learn(examples, losses)
        if has_learned and sgd not in (None, False):
            self.finish_update(sgd)
        return losses

    def _learn(self, examples: Sequence[Example], losses: dict[str, float]) -> bool:
        """Add up gradients and losses.
        RETURNS (bool): whether there was anything to learn from."""
        mentions, gold_ids = labelled_mentions(
            examples, use_gold_ents=self.use_gold_ents
        )
        self._training.first_look.at_documents(examples, self.use_gold_ents)
        if not mentions:
            return False
        from .training.fitting import add_gradients

        # What users set on documents is lost where predicted ones are made from text.
        pairs = [(each.predicted, each.reference) for each in examples]
        places = [MentionPlace(pairs[m.doc], m.start, m.end) for m in mentions]
        prepared = self._prepare(mentions)
        batch, targets = self._training.with_targets(
            self._collate(prepared, places),
            prepared,
            gold_ids,
            kb=self._require_kb(),
            n_candidates=self.n_candidates,
            settings=self.network_shim.cfg,
        )
        values = add_gradients(self.model, batch, targets, self.channels)
        self.clock.count(len(mentions))
        losses[self.name] += values.pop("total")
        for part, value in values.items():
            key = f"{self.name}_{part}"
            losses[key] = losses.get(key, 0.0) + value
        return True

    @property
    def loss_parts(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): parts of the loss that count, as `update` names
        them behind the name of the component."""
        from .training.fitting import loss_parts

        return loss_parts(self.network_shim)

    def finish_update(self, sgd: Optimizer) -> None:
        """Step the weights by the gradients so far.

        sgd (Optimizer): gives learning rate, betas, L2 and clipping.
        """
        shim = self.network_shim
        with self.clock.running():
            shim.finish_update(sgd)
        shim.network.dwe_trained = bool(shim.network.spec.heads)

    def _prepare(self, mentions: Sequence[Mention]) -> list["PreparedMention"]:
        return self._evidence_source.prepare(
            mentions, self.evidence, self._evidence_settings()
        )

    def score(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
        """Score examples with the registered scorer.

        examples (Iterable[Example]): predicted and labelled documents.
        RETURNS (dict[str, Any]): the scores.
        """
        if self.scorer is None:
            return {}
        return self.scorer(examples, linker=self, threshold=self.threshold, **kwargs)

    # Serialisation

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Save the weights and a reference to the KB, which is never copied. In a
        pipeline's folder that is called model-last, the optimizer's state is saved
        with them, so that a run can continue from there.

        path (str | Path): directory of the component.
        exclude (Iterable[str]): fields to leave out.
        """
        write_folder(path, self.network_shim, self._state, exclude)

    def from_disk(
        self, path: str | Path, *, exclude: Iterable[str] = ()
    ) -> "DweLinker":
        """Load the weights, and the optimizer's state if there is one. The KB is opened
        when it is first needed.

        path (str | Path): directory of the component.
        exclude (Iterable[str]): fields to leave out.
        RETURNS (DweLinker): the component.
        """
        read_folder(
            path, self.network_shim, self._set_state, self._load_weights, exclude
        )
        return self

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """RETURNS (bytes): the weights and the path of the KB."""
        return write_bytes(self.network_shim, self._state, exclude)

    def from_bytes(self, data: bytes, *, exclude: Iterable[str] = ()) -> "DweLinker":
        """data (bytes): what `to_bytes` gave.
        RETURNS (DweLinker): the component.
        """
        read_bytes(data, self._set_state, self._load_weights, exclude)
        return self

    def _state(self, pipeline: Path | None) -> dict[str, Any]:
        return {
            **self._kb.state(pipeline),
            "trained_sets": self._trained_sets,
            **self._training.state(),
        }

    def _set_state(self, state: dict[str, Any], pipeline: Path | None) -> None:
        self._trained_sets = state["trained_sets"]
        self._training.set_state(state)
        if self._kb.set_state(state, pipeline):
            self._evidence_source.forget_kb()

    def _load_weights(self, data: bytes) -> None:
        device = self._device() if data else "cpu"
        self.network_shim.from_bytes(data, device=device)
        self._evidence_source.forget_evidence()
