"""The `dwe_linker` component: doc.ents and doc._.images in, ent.kb_id_ out.

Here are its factory, and how it is trained and saved; how it links is in
`LinkingPipe`.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spacy.language import Language
from spacy.training import Example, validate_examples, validate_get_examples
from thinc.api import Config, Model, Optimizer

from .errors import DweError, Errors, Warnings
from .linking_pipe import LinkingPipe
from .mentions import Mention
from .model.channels import FeatureLayout
from .model.modalities import MentionPlace
from .serialisation import read_bytes, read_folder, write_bytes, write_folder
from .training.clock import TrainingClock
from .training.first_look import FirstLook, warn_of_golds
from .training.labels import labelled_mentions
from .training.state import TrainingState

if TYPE_CHECKING:
    from .evidence import PreparedMention

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
        from .training.setup import network_spec

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
        from .training.gradients import add_gradients

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
        from .training.gradients import loss_parts

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
