"""The component `dwe_linker`, in the order of its life."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from difflib import get_close_matches
from functools import cached_property, partial
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
from thinc.api import Model, Optimizer

from .channels import CHANNELS
from .channels.base import (
    Channel,
    attributes_read,
    check_channels,
    check_own_channels,
    columns_of,
)
from .errors import DweError, Errors, Warnings
from .kb.reference import KBReference
from .linking.annotate import ScoredMention, annotate, rank_candidates
from .linking.collate import linking_batch, trained_queries
from .linking.mentions import Mention, mentions_of
from .linking.prepare import Evidence, EvidenceSource, Spaces
from .model.architectures import NetworkShim, shim_of
from .model.inputs import MentionPlace
from .model.spec import DWE, Columns, untrained_spec
from .settings import LinkerSettings, defaults, has_attributes, takes
from .spans import linked_spans
from .tokens import document_name, register_candidates
from .training.labels import SetupCheck, labelled_mentions, warn_of_golds
from .training.state import (
    OPTIMIZER_FILE,
    TrainingClock,
    TrainingState,
    network_spec,
    read_optimizer,
    write_optimizer,
)

if TYPE_CHECKING:
    import numpy as np

    from .encoders.cache import FeatureCache
    from .encoders.visual.findings import VisualEvidence
    from .images import ImageRef
    from .kb.knowledge_base import DweKnowledgeBase
    from .kb.vectors.joint_search import Queries
    from .kb.vectors.sets import SetName
    from .model.inputs import LinkingBatch, PreparedMention

STATE = "cfg"
WEIGHTS = "model.safetensors"
MENTIONS_AT_A_TIME = 256


@Language.factory(
    "dwe_linker",
    requires=["doc.ents"],
    assigns=["token.ent_kb_id", "span._.kb_candidates"],
    default_config={
        "model": {"@architectures": "spacy-dwe.DWE.v1"},
        **defaults(LinkerSettings),
    },
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
@takes(LinkerSettings)
def make_dwe_linker(
    nlp: Language, name: str, model: Model, **settings: Any
) -> "DweLinker":
    """Construct a multimodal entity linker. Loads nothing: no weights, no KB.

    nlp (Language): the pipeline.
    name (str): of the component.
    model (Model): the network, see `spacy-dwe.DWE.v1`.
    **settings: the fields of `LinkerSettings`, which says what they are.
    RETURNS (DweLinker): the component.
    RAISES (DweError): a setting has a value that it cannot have.
    """
    return DweLinker(nlp.vocab, model, name, settings=LinkerSettings(**settings))


@has_attributes(LinkerSettings, but=("kb",))
class DweLinker(TrainablePipe):
    """Links entities to a KnowledgeBase by text and pictures.

    A mention's result does not depend on its batch. Weights are loaded at first use.
    An id set in `nlp.memory_zone()` is forgotten with it, as any new string is.

    Each setting is an attribute, and checked when it is set: `linker.threshold = 0.3`.

    vocab (Vocab): of the pipeline.
    model (Model): the network, see `spacy-dwe.DWE.v1`.
    name (str): of the component.
    settings (LinkerSettings): see there.
    """

    cache: "FeatureCache | None" = None
    """Outputs of encoders; None = made when first needed, as the settings say."""
    error_handler = staticmethod(util.raise_error)

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str = "dwe_linker",
        *,
        settings: LinkerSettings,
    ) -> None:
        self.vocab = vocab
        self.model = model
        self.name = name
        self.cfg: dict[str, Any] = {}
        self._evidence_source = EvidenceSource()
        self._kb = KBReference(settings.kb)
        self._trained_sets: dict[str, str] = {}
        self._trained_spaces: Spaces | None = None
        self._training = TrainingState()
        self.settings = settings

    # Set-up

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def __setattr__(self, name: str, value: Any) -> None:
        """RAISES (DweError): there is no such attribute: a setting is misspelt."""
        if not name.startswith("_") and not hasattr(type(self), name):
            known = [each.name for each in fields(LinkerSettings)]
            close = get_close_matches(name, known, n=1) or [", ".join(known)]
            raise DweError(Errors.E527.format(name=name, known=close[0]))
        super().__setattr__(name, value)

    @property
    def settings(self) -> LinkerSettings:
        """RETURNS (LinkerSettings): all of them; set it to change several at once."""
        return self._settings

    @settings.setter
    def settings(self, settings: LinkerSettings) -> None:
        before = self.__dict__.get("_settings")
        more = settings.more_channels
        more_before = {} if before is None else before.more_channels
        check_own_channels(more, taken=CHANNELS)
        register_candidates(settings.candidates_attr)
        gone = more_before.keys() - more.keys()
        names = [name for name in settings.channels if name not in gone]
        names += [name for name in more if name not in more_before]
        known = {**CHANNELS, **more}
        in_order = check_channels(names, known)
        self._attributes = attributes_read([known[name] for name in in_order])
        self._settings = replace(settings, channels=in_order)
        if more != more_before:
            self.network_shim.clear_untrained()
        if before is not None and settings.feature_cache != before.feature_cache:
            self.cache = None
        if before is not None and settings.kb != before.kb:
            self._kb = KBReference(settings.kb)
            self._evidence_source.forget_kb()

    @property
    def all_channels(self) -> dict[str, Channel]:
        """RETURNS (dict[str, Channel]): channels by name, in use or not."""
        return {**CHANNELS, **self.settings.more_channels}

    @property
    def network_shim(self) -> NetworkShim:
        """RETURNS (NetworkShim): holds the torch network of the component's model."""
        return shim_of(self.model)

    @property
    def kb(self) -> "DweKnowledgeBase | None":
        """RETURNS (DweKnowledgeBase | None): the KB, opened when first asked for.
        RAISES (DweError): the KB that the pipeline refers to cannot be opened.
        """
        return self._kb.opened(self.vocab)

    @kb.setter
    def kb(self, kb: "DweKnowledgeBase | str | Path | Callable") -> None:
        self.set_kb(kb)

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

    def keep_features(self) -> None:
        """Keep what encoders put out for later commands as well, beside the KB, if no
        folder is named; training and commands do, plain linking does not."""
        kb = self._require_kb()
        if self.cache is not None or not kb.vector_sets:
            return
        from .encoders.store import feature_cache

        self.cache = feature_cache(self.settings.feature_cache, kb.path)

    def _device(self) -> str:
        from .encoders.inference import resolve_device

        return str(resolve_device(self.settings.device))

    def _columns(self) -> Columns:
        """Columns of the trained combiner; untrained, those of the zero-shot one."""
        shim = self.network_shim
        if not shim.is_built:
            known = {n: c for n, c in self.all_channels.items() if n != DWE}
            shim.build(untrained_spec(columns_of(known)), self._device())
        columns = shim.network.columns
        unknown = [name for name in columns.channels if name not in self.all_channels]
        if unknown:
            raise DweError(Errors.E523.format(channels=", ".join(unknown)))
        return columns

    @property
    def evidence(self) -> Evidence:
        """RETURNS (Evidence): what gathers features for the network in use."""
        settings = self.settings.of_evidence
        evidence = self._evidence_source.kept(settings)
        if evidence is None:
            columns = self._columns()
            used = [name for name in self.channels if name in columns.channels]
            evidence = self._make_evidence(used, columns)
            self._evidence_source.keep(evidence, settings)
        return evidence

    def _make_evidence(
        self,
        channels: Sequence[str],
        columns: Columns,
        spaces: Spaces | None = None,
    ) -> Evidence:
        from .encoders.store import feature_cache

        kb, settings, device = self._require_kb(), self.settings, self._device()
        shim = self.network_shim
        spaces = spaces or self._spaces()
        text, pictures = self._evidence_source.encoders(kb, settings, spaces, device)
        if self.cache is None:
            self.cache = feature_cache(settings.feature_cache)
        return Evidence(
            kb,
            text_encoder=text,
            picture_encoders=pictures,
            cache=self.cache,
            channels={name: self.all_channels[name] for name in channels},
            columns=columns,
            settings=settings.of_evidence,
            spaces=spaces,
            reading=shim.reading(channels) if shim.is_built else None,
            trained_queries=self._trained_queries,
            device=device,
        )

    def _spaces(self) -> Spaces:
        """Those that were trained in, or else those that the KB suggests."""
        kb = self._require_kb()
        trained = self._trained_spaces
        return Spaces.of(kb) if trained is None else trained.within(kb)

    # Linking

    def predict(self, docs: Iterable[Doc]) -> list[ScoredMention]:
        """Score all mentions of a batch of documents, without modifying them.

        docs (Iterable[Doc]): documents with mentions: entities, or what the settings
            `spans_key`, `labels_keep` and `labels_discard` say.
        RETURNS (list[ScoredMention]): one a mention, in order.
        """
        return self.score_mentions(list(docs))

    def score_mentions(self, docs: Sequence[Doc]) -> list[ScoredMention]:
        """Rank the candidates of every mention of the documents.

        docs (Sequence[Doc]): as for `predict`.
        RETURNS (list[ScoredMention]): one a mention, in order.
        RAISES (DweError): there is no KB, or a score is NaN or infinite.
        """
        mentions = mentions_of(docs, self._attributes, self.settings)
        scored: list[ScoredMention] = []
        for first in range(0, len(mentions), MENTIONS_AT_A_TIME):
            batch = mentions[first : first + MENTIONS_AT_A_TIME]
            places = [MentionPlace((docs[m.doc],), m.start, m.end) for m in batch]
            done = 0
            for prepared in self.evidence.prepare(batch, places):
                own = slice(done, done + len(prepared))
                scored.extend(self._score(batch[own], prepared, places[own]))
                done += len(prepared)
        return scored

    @property
    def looks(self) -> bool:
        """RETURNS (bool): whether the linker looks for objects, faces or scenes."""
        visual = self.settings.visual
        if visual is None or not self.settings.use_images:
            return False
        return visual.grid is None or self.evidence.sees_parts

    def image_evidence(self, doc: Doc) -> list[dict[str, Any]]:
        """What is seen on the pictures of a document and of its mentions.

        doc (Doc): need not be linked.
        RETURNS (list[dict[str, Any]]): for each picture that can be read its name as
            `image`, its `size`, `regions` and `faces` with a box in pixels and words,
            and `scenes` with a score; JSON.
        RAISES (DweError): the linker looks for none of these.
        """
        spans = (span._.images for span in linked_spans(doc, self.settings))
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
        return self.evidence.pictures(self.settings.visual).look(pictures)

    def picture_vectors(
        self, pictures: "Mapping[ImageRef, str]"
    ) -> "dict[ImageRef, Mapping[str, np.ndarray]]":
        """Pictures as they are compared with the KB's.

        pictures (Mapping[ImageRef, str]): what messages call the document of each.
        RETURNS (dict[ImageRef, Mapping[str, np.ndarray]]): unit vectors of those that
            can be read, by space. Shape of each: (1, dim)
        """
        visual = self.settings.visual if self.looks else None
        seen = self.evidence.pictures(visual).seen(pictures)
        return {ref: found.vectors for ref, found in seen.items()}

    def _score(
        self,
        mentions: Sequence[Mention],
        prepared: Sequence["PreparedMention"],
        places: Sequence[MentionPlace],
    ) -> list[ScoredMention]:
        output = self.model.predict(
            (self._collate(prepared, places, learns=False), self.channels)
        )
        return rank_candidates(
            mentions,
            prepared,
            output.scores,
            columns=self._columns(),
            channels=self.channels,
            kb=self._require_kb(),
            nil_shift=self._nil_shift(),
        )

    @property
    def coverages(self) -> tuple[float, float]:
        """RETURNS (tuple[float, float]): share of the mentions whose entity the KB is
        taken to hold, and the share where NIL's score was fitted."""
        from .model.combiner import DEFAULT_COVERAGE, FITTED_COVERAGE

        self._columns()
        shim, trained = self.network_shim, self._training.coverage
        if trained is None and shim.network.spec.width:
            trained = self._training.coverage_unsaved(shim.settings)
        default, fitted = DEFAULT_COVERAGE, FITTED_COVERAGE
        if trained is not None:
            default = fitted = trained
        return (default if self.kb_coverage is None else self.kb_coverage), fitted

    def _nil_shift(self) -> float:
        from .model.combiner import coverage_shift

        return coverage_shift(*self.coverages)

    def _collate(
        self,
        prepared: Sequence["PreparedMention"],
        places: Sequence[MentionPlace],
        *,
        learns: bool,
    ) -> "LinkingBatch":
        return linking_batch(
            prepared,
            places,
            shim=self.network_shim,
            kb=self._require_kb(),
            trained_sets=self._trained_sets,
            text_set=self._spaces().text_set,
            channels=self.channels,
            device=self._device(),
            learns=learns,
        )

    def _trained_queries(
        self, prepared: Sequence["PreparedMention"], places: Sequence[MentionPlace]
    ) -> "dict[SetName, Queries]":
        """Asked for every batch anew: weights loaded or learned since then count."""
        return trained_queries(
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
            settings=self.settings,
            linker=self.name,
        )

    # Training

    @cached_property
    def clock(self) -> TrainingClock:
        """RETURNS (TrainingClock): what was trained on, and how long that took."""
        return TrainingClock()

    @property
    def nil_is_labelled(self) -> bool:
        """RETURNS (bool): whether training data has mentions labelled NIL, or of
        entities that the KB lacks; otherwise golds are taken away to teach NIL."""
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
        self.keep_features()
        shim = self.network_shim
        golds = Counter(
            span.kb_id_
            for example in get_examples()
            for span in linked_spans(example.reference, self.settings)
        )
        del golds[""]
        if not golds:
            raise DweError(Errors.E505)
        self._training.set_labels(golds, self._require_kb(), shim.settings)
        used = {name: self.all_channels[name] for name in self.channels}
        spaces = Spaces.of(self._require_kb())
        columns = Columns(columns_of(used))
        evidence = self._make_evidence(self.channels, columns, spaces)
        spec = network_spec(
            evidence, shim.settings, nil_is_labelled=self._training.nil_is_labelled
        )
        shim.build(spec, self._device())
        sets = self._require_kb().vector_sets
        read = {*spec.heads, *([str(evidence.text_set)] if spec.edge_width else [])}
        self._trained_sets = {
            str(name): vectors.identity
            for name, vectors in sets.items()
            if str(name) in read
        }
        self._trained_spaces = spaces
        self._evidence_source.forget_evidence()
        self._training.setup_check = SetupCheck(golds)
        warn_of_golds(golds, self._require_kb())
        visual = self.settings.visual if self.looks else None
        unread = visual is not None and not visual.finds_views
        if unread and shim.settings.head == "linear":
            warnings.warn(Warnings.W152.format(name=self.name), stacklevel=2)
        from .training.fitting import fit_to_examples

        fit_to_examples(
            shim.network,
            get_examples,
            self._require_kb(),
            self._prepare,
            self._training.nil_share(shim.settings),
            shim.settings,
            attributes=self._attributes,
            linker=self.settings,
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
            examples,
            use_gold_ents=self.settings.use_gold_ents,
            attributes=self._attributes,
            settings=self.settings,
        )
        self._training.setup_check.at_documents(examples, self.settings)
        if not mentions:
            return False
        from .training.fitting import add_gradients

        # What users set on documents is lost where predicted ones are made from text.
        pairs = [(each.predicted, each.reference) for each in examples]
        places = [MentionPlace(pairs[m.doc], m.start, m.end) for m in mentions]
        batch, targets = self._training.batch(
            mentions,
            places,
            gold_ids,
            kb=self._require_kb(),
            prepare=self._prepare,
            named=self.evidence.named,
            collate=partial(self._collate, learns=True),
            n_candidates=self.settings.n_candidates,
            shim=self.network_shim,
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
        self.keep_features()
        return self._evidence_source.prepare(mentions, self.evidence)

    def score(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
        """Score examples with the registered scorer.

        examples (Iterable[Example]): predicted and labelled documents.
        RETURNS (dict[str, Any]): the scores.
        """
        settings = self.settings
        if settings.scorer is None:
            return {}
        return settings.scorer(
            examples, linker=self, threshold=settings.threshold, **kwargs
        )

    # Serialisation

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Save the weights and a reference to the KB, which is never copied. In a
        pipeline's folder that is called model-last, the optimizer's state is saved
        with them, so that a run can continue from there.

        path (str | Path): directory of the component.
        exclude (Iterable[str]): fields to leave out.
        """
        shim = self.network_shim
        util.to_disk(
            path,
            {
                STATE: lambda p: srsly.write_json(p, self._state(p.parent.parent)),
                WEIGHTS: shim.to_disk,
                OPTIMIZER_FILE: lambda p: write_optimizer(p, shim.optimizer_bytes),
            },
            exclude,
        )

    def from_disk(
        self, path: str | Path, *, exclude: Iterable[str] = ()
    ) -> "DweLinker":
        """Load the weights, and the optimizer's state if there is one. The KB is opened
        when it is first needed.

        path (str | Path): directory of the component.
        exclude (Iterable[str]): fields to leave out.
        RETURNS (DweLinker): the component.
        """
        shim = self.network_shim
        util.from_disk(
            path,
            {
                STATE: lambda p: self._set_state(srsly.read_json(p), p.parent.parent),
                WEIGHTS: lambda p: self._load_weights(p.read_bytes()),
                OPTIMIZER_FILE: lambda p: shim.resume_optimizer(read_optimizer(p)),
            },
            exclude,
        )
        return self

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """RETURNS (bytes): the weights and the path of the KB."""
        return util.to_bytes(
            {
                STATE: lambda: srsly.json_dumps(self._state(None)),
                WEIGHTS: self.network_shim.to_bytes,
            },
            exclude,
        )

    def from_bytes(self, data: bytes, *, exclude: Iterable[str] = ()) -> "DweLinker":
        """data (bytes): what `to_bytes` gave.
        RETURNS (DweLinker): the component.
        """
        util.from_bytes(
            data,
            {
                STATE: lambda b: self._set_state(srsly.json_loads(b), None),
                WEIGHTS: self._load_weights,
            },
            exclude,
        )
        return self

    def _state(self, pipeline: Path | None) -> dict[str, Any]:
        return {
            **self._kb.state(pipeline),
            "trained_sets": self._trained_sets,
            "trained_spaces": self._trained_spaces and self._trained_spaces.to_json(),
            **self._training.state(),
        }

    def _set_state(self, state: dict[str, Any], pipeline: Path | None) -> None:
        self._trained_sets = state["trained_sets"]
        self._trained_spaces = Spaces.from_json(state.get("trained_spaces"))
        self._training.set_state(state)
        if self._kb.set_state(state, pipeline):
            self._evidence_source.forget_kb()

    def _load_weights(self, data: bytes) -> None:
        device = self._device() if data else "cpu"
        self.network_shim.from_bytes(data, device=device)
        self._evidence_source.forget_evidence()
