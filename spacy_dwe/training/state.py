"""What a component keeps from one batch of training to the next."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..tokens import NIL
from .first_look import FirstLook
from .negatives import Negatives

if TYPE_CHECKING:
    from torch import Tensor

    from ..evidence import PreparedMention
    from ..kb.knowledge_base import DweKnowledgeBase
    from ..model.network import LinkingBatch


class TrainingState:
    """What the labels of the data are known to be. It is saved with the component, so
    that another run can go on from there.

    nil_is_labelled (bool): mentions labelled NIL teach it; otherwise golds are taken
        away.
    negatives (Negatives): entities to push away.
    first_look (FirstLook): warns of mistakes in the set-up.
    """

    def __init__(self) -> None:
        self.nil_is_labelled = False
        self.negatives = Negatives()
        self.first_look = FirstLook()

    def state(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): what is saved; JSON."""
        return {
            "nil_is_labelled": self.nil_is_labelled,
            "train_golds": self.negatives.golds,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """state (Mapping[str, Any]): what `state` gave."""
        self.nil_is_labelled = state["nil_is_labelled"]
        self.negatives = Negatives(state.get("train_golds", ()))
        self.first_look = FirstLook()

    def set_labels(self, golds: set[str], settings: Mapping[str, Any]) -> None:
        """Begin a run whose labels are known.

        golds (set[str]): all of them.
        settings (Mapping[str, Any]): arguments of `spacy-dwe.DWE.v1`.
        """
        self.nil_is_labelled = False
        self.negatives = Negatives()
        self._add_labels(golds, settings)

    def with_targets(
        self,
        batch: "LinkingBatch",
        prepared: Sequence["PreparedMention"],
        gold_ids: Sequence[str],
        *,
        kb: "DweKnowledgeBase",
        n_candidates: int,
        settings: Mapping[str, Any],
    ) -> "tuple[LinkingBatch, Tensor]":
        """Learn what the labels of a batch are, and choose what it is trained on.

        A run that continues another is not initialised: only its batches tell what
        the labels of its data are.

        batch (LinkingBatch): the mentions.
        prepared (Sequence[PreparedMention]): the same, as they were prepared.
        gold_ids (Sequence[str]): label of each.
        kb (DweKnowledgeBase): the KB.
        n_candidates (int): most candidates a mention can have.
        settings (Mapping[str, Any]): arguments of `spacy-dwe.DWE.v1`.
        RETURNS (tuple[LinkingBatch, Tensor]): the batch with its negatives, and the
            position of each gold among the candidates.
        """
        from .batching import with_targets

        look = self.first_look
        self._add_labels(set(gold_ids), settings)
        is_over = look.at_mentions(prepared, gold_ids, kb, n_candidates)
        if is_over and look.golds is None:
            self.nil_is_labelled = NIL in look.seen_golds
        gold_rows = kb.rows_of(gold_ids)
        batch = self.negatives.chosen_for(
            batch, gold_rows, kb, settings["rare_word_negatives"]
        )
        return with_targets(batch, gold_rows, self.nil_share(settings))

    def nil_share(self, settings: Mapping[str, Any]) -> float:
        """RETURNS (float): share of golds to take away to teach NIL."""
        return 0.0 if self.nil_is_labelled else settings["nil_dropout"]

    def _add_labels(self, golds: set[str], settings: Mapping[str, Any]) -> None:
        self.nil_is_labelled |= NIL in golds
        if settings["negatives"] == "train_golds":
            self.negatives.add(golds - {NIL})
