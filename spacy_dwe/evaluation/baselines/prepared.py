"""Labelled mentions with all that a baseline may look at, computed once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from spacy.tokens import Doc

from ...linking.annotate import rank_candidates
from ...linking.mentions import mentions_of
from ...model.spec import Columns
from ..evaluate import expect_golds, run_before_linker
from ..outcomes import Gold, gold_mentions, gold_rows

if TYPE_CHECKING:
    from spacy.language import Language

    from ...kb.knowledge_base import DweKnowledgeBase
    from ...linking.annotate import ScoredMention
    from ...linking.mentions import Mention
    from ...linking.prepare import Evidence
    from ...model.combiner import CombinedScores
    from ...model.inputs import LinkingBatch, PreparedMention

MENTIONS_AT_A_TIME = 256


@dataclass(frozen=True, slots=True)
class LabelledMentions:
    """Mentions, their labels and the features of their candidates.

    rows (np.ndarray): KB row of each gold, -1 for NIL and for those that the KB lacks.
        Shape: (n,), int32
    prepared (list[PreparedMention]): without token states.
    texts (np.ndarray | None): unit vectors of mentions in context, None without a text
        encoder. Shape: (n, dim), float32
    columns (Columns): of the features, those of dwe left out.
    """

    kb: "DweKnowledgeBase"
    mentions: "list[Mention]"
    golds: list[Gold]
    rows: np.ndarray
    prepared: "list[PreparedMention]"
    texts: np.ndarray | None
    columns: Columns

    def __len__(self) -> int:
        return len(self.mentions)

    def batch(self, which: np.ndarray) -> "LinkingBatch":
        """RETURNS (LinkingBatch): some mentions, by position, without inputs of a
        network."""
        from ...linking.collate import collate

        return collate(
            [self.prepared[i] for i in which.tolist()],
            heads={},
            pictures={},
            pooled=True,
            device="cpu",
        )

    def has(self, channel: str) -> bool:
        """RETURNS (bool): whether a channel says anything of any candidate."""
        columns = self.columns.of(channel)
        return bool(columns) and any(p.present[:, columns].any() for p in self.prepared)

    def scored(
        self, score: "Callable[[LinkingBatch, np.ndarray], CombinedScores]"
    ) -> "list[ScoredMention]":
        """Rank the candidates of every mention.

        score (Callable): gives the logits of a batch, whose positions it is told.
        RETURNS (list[ScoredMention]): one a mention; `doc` is that of the mention.
        """
        import torch

        ranked: list[ScoredMention] = []
        for first in range(0, len(self), MENTIONS_AT_A_TIME):
            which = np.arange(first, min(first + MENTIONS_AT_A_TIME, len(self)))
            with torch.inference_mode():
                scores = score(self.batch(which), which)
            ranked += rank_candidates(
                self.mentions[first : which[-1] + 1],
                self.prepared[first : which[-1] + 1],
                scores,
                columns=self.columns,
                channels=self.columns.channels,
                kb=self.kb,
            )
        return ranked


def prepare(
    nlp: "Language", evidence: "Evidence", docs: Sequence[Doc]
) -> LabelledMentions:
    """Find and describe the candidates of labelled mentions.

    nlp (Language): its components before the linker run first.
    evidence (Evidence): describes the candidates by all channels that there are.
    docs (Sequence[Doc]): entities carry the labels as kb_id.
    RETURNS (LabelledMentions): all labelled mentions, in order.
    """
    asked = [
        gold_mentions(doc, f"number {i}", evidence.settings)
        for i, doc in enumerate(docs, start=1)
    ]
    golds = [gold for _, own in asked for gold in own]
    rows = gold_rows(evidence.kb, golds)
    expect_golds(evidence.settings, rows)
    found = list(run_before_linker(nlp, [doc for doc, _ in asked]))
    mentions = mentions_of(found, evidence.attributes, evidence.settings)
    prepared: list[PreparedMention] = []
    texts: list[np.ndarray] = []
    for first in range(0, len(mentions), MENTIONS_AT_A_TIME):
        some = mentions[first : first + MENTIONS_AT_A_TIME]
        for part in evidence.prepare(some):
            texts += [own.text.pooled for own in part if own.text is not None]
            prepared += [replace(own, text=None) for own in part]
    return LabelledMentions(
        kb=evidence.kb,
        mentions=mentions,
        golds=golds,
        rows=rows,
        prepared=prepared,
        texts=np.stack(texts) if texts and len(texts) == len(mentions) else None,
        columns=evidence.columns,
    )
