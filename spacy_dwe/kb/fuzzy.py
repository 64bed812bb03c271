"""Candidates by rapidfuzz's WRatio, which papers on multimodal entity linking use."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DweError, Errors
from .candidates import CandidateGenerator, Candidates, FoundBy, MentionBatch

if TYPE_CHECKING:
    from .knowledge_base import DweKnowledgeBase

CELLS = 1 << 24
"""Scores held at once, four bytes each."""


def fuzzy_candidates() -> CandidateGenerator:
    """Entities with the names most like a mention by WRatio, which compares it with
    every name of the KB: some 25 milliseconds a mention with 18,000 entities. It is
    there to repeat what papers measured; `spacy-dwe.NameCandidates.v1` finds more,
    sooner.

    RETURNS (CandidateGenerator): registered as spacy-dwe.FuzzyCandidates.v1.
    """
    return FuzzyCandidates()


class FuzzyCandidates:
    """A `CandidateGenerator`; keeps the names of the KB it was last asked about."""

    def __init__(self) -> None:
        self._kb: DweKnowledgeBase | None = None
        self._names: list[str] = []
        self._owners = np.zeros(0, dtype=np.int32)

    def __call__(
        self, kb: "DweKnowledgeBase", mentions: MentionBatch, n: int
    ) -> Candidates:
        try:
            from rapidfuzz import fuzz, utils
            from rapidfuzz.process import cdist
        except ImportError:
            raise DweError(Errors.E430) from None
        self._read(kb)
        texts = [utils.default_process(text) for text in mentions.texts]
        if not self._names:
            return Candidates.from_lists([[] for _ in texts])
        lists: list[np.ndarray] = []
        size = max(1, CELLS // len(self._names))
        for first in range(0, len(texts), size):
            scores = cdist(
                texts[first : first + size],
                self._names,
                scorer=fuzz.WRatio,
                dtype=np.float32,
                workers=-1,
            )
            lists += [self._best(row, n) for row in scores]
        return Candidates.from_lists(lists, FoundBy.SPELLING)

    def _read(self, kb: "DweKnowledgeBase") -> None:
        from rapidfuzz import utils

        if self._kb is kb:
            return
        entities = list(kb)
        names = [(e.title, *(alias.alias for alias in e.aliases)) for e in entities]
        rows = kb.rows_of([entity.id for entity in entities])
        # Equal scores: in the order of ids, as everywhere.
        order = np.argsort(kb.sort_keys(rows), kind="stable")
        self._names = [
            utils.default_process(name) for i in order.tolist() for name in names[i]
        ]
        self._owners = np.repeat(rows[order], [len(names[i]) for i in order.tolist()])
        self._kb = kb

    def _best(self, scores: np.ndarray, n: int) -> np.ndarray:
        """Rows of the n entities with the best names."""
        order = np.argsort(-scores, kind="stable")
        owners = self._owners[order]
        _, first = np.unique(owners, return_index=True)
        return owners[np.sort(first)][:n]


class WithGold:
    """A generator whose candidates always hold the right entity, put in at the end
    where it was not found: the protocol of papers, which is never a default.

    It is told the golds of the mentions that it will be asked for, in their order.

    generate (CandidateGenerator): finds the candidates.
    """

    def __init__(self, generate: CandidateGenerator) -> None:
        self._generate = generate
        self._golds: list[int] = []

    def expect(self, golds: Sequence[int]) -> None:
        """golds (Sequence[int]): KB row of each mention's gold, -1 for none."""
        self._golds = list(golds)

    def __call__(
        self, kb: "DweKnowledgeBase", mentions: MentionBatch, n: int
    ) -> Candidates:
        found = self._generate(kb, mentions, n)
        if len(self._golds) < len(found):
            raise ValueError("candidates were asked for with no gold to expect")
        golds, self._golds = self._golds[: len(found)], self._golds[len(found) :]
        rows, found_by, lengths = [], [], []
        for i, gold in enumerate(golds):
            own = found.span(i, i + 1)
            own_rows, own_ways = own.rows, own.found_by
            if gold >= 0 and gold not in own_rows:
                kept = min(len(own_rows), n - 1)
                own_rows = np.append(own_rows[:kept], np.int32(gold))
                own_ways = np.append(own_ways[:kept], np.uint8(FoundBy.INJECTED))
            rows.append(own_rows)
            found_by.append(own_ways)
            lengths.append(len(own_rows))
        offsets = np.zeros(len(golds) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        if not golds:
            return found
        return Candidates(np.concatenate(rows), offsets, np.concatenate(found_by))
