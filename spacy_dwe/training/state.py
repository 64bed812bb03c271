"""What a component keeps from one batch of training to the next."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from spacy.training.loop import DIR_MODEL_BEST, DIR_MODEL_LAST

from ..errors import DweError, Errors
from ..kb.vectors.sets import IMAGE
from ..model.modalities import EncoderWidths, network_parts, network_widths
from ..model.spec import DWE, NetworkSpec, QueryHead
from ..settings import DweSettings
from ..tokens import NIL
from .labels import SetupCheck, covered_share
from .pictures import KBPictures, alone, are_pictured, with_other_pictures
from .targets import Negatives, with_pictures, with_targets

if TYPE_CHECKING:
    from torch import Tensor

    from ..kb.knowledge_base import DweKnowledgeBase
    from ..linking.mentions import Mention
    from ..linking.prepare import Evidence
    from ..model.architectures import NetworkShim
    from ..model.inputs import LinkingBatch, MentionPlace, PreparedMention
    from .pictures import Named, Prepare


COVERAGE = "coverage"
"""Key of what is saved, which `calibrate` sets anew."""
UNKNOWN = 0.5
"""Where mentions labelled NIL taught it, and nobody wrote down how many."""


class TrainingState:
    """What the labels of the data are known to be. It is saved with the component, so
    that another run can go on from there.

    nil_is_labelled (bool): mentions labelled NIL, or of entities that the KB lacks,
        teach it; otherwise golds are taken away.
    coverage (float | None): share of the labelled mentions whose entity was among what
        they could be linked to; None = not known: untrained, or saved without it.
    negatives (Negatives): entities to push away.
    setup_check (SetupCheck): warns of mistakes in the set-up.
    """

    def __init__(self) -> None:
        self.nil_is_labelled = False
        self.coverage: float | None = None
        self.negatives = Negatives()
        self.setup_check = SetupCheck()
        self._kb_pictures: KBPictures | None = None

    def state(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): what is saved; JSON."""
        return {
            "nil_is_labelled": self.nil_is_labelled,
            COVERAGE: self.coverage,
            "train_golds": self.negatives.golds,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """state (Mapping[str, Any]): what `state` gave."""
        self.nil_is_labelled = state["nil_is_labelled"]
        self.coverage = state.get(COVERAGE)
        self.negatives = Negatives(state.get("train_golds", ()))
        self.setup_check = SetupCheck()

    def set_labels(
        self, golds: Mapping[str, int], kb: "DweKnowledgeBase", settings: DweSettings
    ) -> None:
        """Begin a run whose labels are known.

        golds (Mapping[str, int]): all of them, and how often each is one.
        kb (DweKnowledgeBase): the KB.
        settings (DweSettings): of the network.
        """
        self._count(golds, kb, settings)
        self.negatives = Negatives()
        self._add_negatives(golds, settings)

    def batch(
        self,
        mentions: "Sequence[Mention]",
        places: "Sequence[MentionPlace]",
        gold_ids: Sequence[str],
        *,
        kb: "DweKnowledgeBase",
        prepare: "Prepare",
        named: "Named",
        collate: "Callable[..., LinkingBatch]",
        n_candidates: int,
        shim: "NetworkShim",
    ) -> "tuple[LinkingBatch, Tensor]":
        """Learn what the labels of some mentions are, and make what is trained on.

        A run that continues another is not initialised: only its batches tell what
        the labels of its data are.

        mentions (Sequence[Mention]): labelled.
        places (Sequence[MentionPlace]): where each stands.
        gold_ids (Sequence[str]): label of each.
        kb (DweKnowledgeBase): the KB.
        prepare (Prepare): finds and describes candidates.
        named (Named): finds candidates of names, `Evidence.named`.
        collate (Callable): pads prepared mentions at their places to a batch.
        n_candidates (int): most candidates a mention can have.
        shim (NetworkShim): holds the network.
        RETURNS (tuple[LinkingBatch, Tensor]): the mentions with their negatives and,
            behind them, pictures of the KB; and the position of each gold among the
            candidates.
        """
        settings, network = shim.settings, shim.network
        gold_rows = kb.rows_of(gold_ids)
        mentions, others = with_other_pictures(
            mentions, gold_rows, settings.other_pictures
        )
        prepared = prepare(mentions)
        others &= are_pictured(prepared)
        check = self.setup_check
        self.nil_is_labelled |= NIL in gold_ids
        self._add_negatives(gold_ids, settings)
        is_over = check.at_mentions(prepared, gold_ids, kb, n_candidates)
        if is_over and check.golds is None:
            self._count(check.seen_golds, kb, settings)
        more, more_rows = self._from_kb(len(mentions), kb, named, shim)
        gold_rows = np.concatenate([gold_rows, more_rows])
        from_kb = np.arange(len(gold_rows)) >= len(mentions)
        batch = collate([*prepared, *more], [*places, *map(alone, more)])
        batch = self.negatives.chosen_for(
            batch, gold_rows, kb, settings.rare_word_negatives
        )
        batch, targets = with_targets(batch, gold_rows, self.nil_share(settings))
        return with_pictures(network.combiner, batch, targets, others, from_kb)

    def _from_kb(
        self,
        n_mentions: int,
        kb: "DweKnowledgeBase",
        named: "Named",
        shim: "NetworkShim",
    ) -> "tuple[list[PreparedMention], np.ndarray]":
        """RETURNS (tuple[list[PreparedMention], np.ndarray]): pictures of the KB as
        `KBPictures` draws them; none where no head is of pictures."""
        spec, known = shim.network.spec, self._kb_pictures
        are_read = any(h.of_pictures and h.picture for h in spec.heads.values())
        spaces = tuple(spec.pictures) if are_read else ()
        if known is None or known.kb is not kb or known.spaces != spaces:
            known = self._kb_pictures = KBPictures(kb, spaces)
        return known.draw(round(n_mentions * shim.settings.kb_pictures), named)

    def nil_share(self, settings: DweSettings) -> float:
        """RETURNS (float): share of golds to take away to teach NIL."""
        return 0.0 if self.nil_is_labelled else settings.nil_dropout

    def coverage_unsaved(self, settings: DweSettings) -> float:
        """RETURNS (float): the best guess of `coverage` where it is not known: what the
        golds taken away left, or else half."""
        return UNKNOWN if self.nil_is_labelled else 1 - settings.nil_dropout

    def _count(
        self, golds: Mapping[str, int], kb: "DweKnowledgeBase", settings: DweSettings
    ) -> None:
        """Mentions of entities that the KB lacks teach NIL as those labelled NIL do,
        unless they are so few that golds taken away are more."""
        covered = covered_share(golds, kb)
        outside = covered < 1 and covered <= 1 - settings.nil_dropout
        self.nil_is_labelled = NIL in golds or outside
        self.coverage = covered * (1 - self.nil_share(settings))

    def _add_negatives(self, golds: Iterable[str], settings: DweSettings) -> None:
        if settings.negatives == "train_golds":
            self.negatives.add({*golds} - {NIL})


@dataclass(slots=True)
class TrainingClock:
    """Counts what a component has trained on, and the time that took it. Evaluations
    and other components are no part of it.

    seconds (float): spent in updates and steps.
    updates (int): batches that had something to learn from.
    mentions (int): mentions in them.
    """

    seconds: float = 0.0
    updates: int = 0
    mentions: int = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time of a block."""
        start = perf_counter()
        try:
            yield
        finally:
            self.seconds += perf_counter() - start

    def count(self, mentions: int) -> None:
        """mentions (int): mentions of one update."""
        self.updates += 1
        self.mentions += mentions


OPTIMIZER_FILE = "optimizer.safetensors"


def write_optimizer(path: Path, state: Callable[[], bytes]) -> None:
    """Write the state if the pipeline is saved as `spacy train` saves its last one;
    otherwise leave none there, as it would not belong to the weights beside it.

    spaCy tells no component what it is saved for, and makes model-best a copy of
    model-last right after saving it. So the copy is cleared when model-last is saved
    the next time, which spaCy does once more at the end of every run.

    path (Path): the file, in the folder of the component.
    state (Callable[[], bytes]): gives the state; empty = there is none.
    """
    path.unlink(missing_ok=True)
    component = path.parent.resolve()
    pipeline = component.parent
    if pipeline.name != DIR_MODEL_LAST:
        return
    best = pipeline.with_name(DIR_MODEL_BEST)
    (best / component.name / path.name).unlink(missing_ok=True)
    data = state()
    if data:
        path.write_bytes(data)


def read_optimizer(path: Path) -> bytes:
    """RETURNS (bytes): the state; empty where there is none."""
    return path.read_bytes() if path.exists() else b""


def network_spec(
    evidence: "Evidence",
    settings: DweSettings,
    *,
    nil_is_labelled: bool,
) -> NetworkSpec:
    """Shapes of a network to train.

    evidence (Evidence): says which encoders and vector sets there are.
    settings (DweSettings): of the network.
    nil_is_labelled (bool): NIL can learn what mentions of it look like.
    RETURNS (NetworkSpec): the shapes.
    RAISES (DweError): dwe is among the channels, and the KB has no vectors to compare
        with, or none of a text encoder, which only the linear head can do without; or
        no modality is left to read.
    """
    from ..encoders.protocol import EDGES

    heads: dict[str, QueryHead] = {}
    text, clip = evidence.text_encoder, evidence.clip
    if DWE in evidence.channels:
        heads = _heads(evidence)
        if not heads or (text is None and settings.head != "linear"):
            raise DweError(Errors.E506.format(kb=evidence.kb.path))
    text_width = text.width if text is not None and heads else 0
    pictures: dict[str, int] = {}
    if evidence.reads_images:
        pictures = {space: e.dim for space, e in evidence.picture_encoders.items()}
    image_dim = next(iter(pictures.values()), 0)
    widths: dict[str, int] = {}
    visual = evidence.settings.visual
    encoders = EncoderWidths(
        text_width,
        image_dim,
        faces=image_dim if visual and visual.faces else 0,
        scenes=image_dim if visual and visual.scenes else 0,
    )
    if heads:
        widths = network_widths(settings.modalities, settings.without, encoders)
    reads_edges = (
        nil_is_labelled and settings.fit_combiner and "text" in evidence.channels
    )
    return NetworkSpec(
        columns=evidence.columns.all,
        heads=heads,
        text_width=text_width,
        pictures=pictures,
        width=settings.width,
        n_heads=settings.n_heads,
        ffn_width=settings.ffn_width,
        dropout=settings.dropout,
        decoder=settings.decoder,
        dwe_trained=False,
        head=settings.head,
        gate=settings.gate,
        modalities=widths,
        shared_text=text is clip and text_width == image_dim,
        read_mention=settings.read_mention and bool(text_width),
        edge_width=EDGES * text.width if text is not None and reads_edges else 0,
        refined=_refined(heads, settings),
        parts=network_parts(settings, widths, encoders) if heads else (),
    )


def _heads(evidence: "Evidence") -> dict[str, QueryHead]:
    """A head for each vector set that an encoder in use shares its space with."""
    heads = {}
    text_space = None if evidence.text_encoder is None else evidence.text_space
    for name, vectors in evidence.kb.vector_sets.items():
        reads_text = name.space == text_space
        reads_picture = name.space in evidence.picture_encoders and evidence.use_images
        if reads_text or reads_picture:
            heads[str(name)] = QueryHead(
                dim=vectors.dim,
                text=reads_text,
                picture=name.space if reads_picture else None,
                of_pictures=vectors.field == IMAGE,
            )
    return heads


def _refined(heads: Mapping[str, QueryHead], settings: DweSettings) -> tuple[str, ...]:
    """RETURNS (tuple[str, ...]): spaces whose pictures pass a fitted map."""
    if not settings.fit_pictures:
        return ()
    spaces = {head.picture for head in heads.values() if head.of_pictures}
    return tuple(sorted(space for space in spaces if space))
