"""Labelled documents through a linker: candidates, protocol, metrics."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from spacy.tokens import Doc
from spacy.util import minibatch

from ..channels.base import READ_PICTURES
from ..errors import DweError, Errors
from ..kb.candidates import Candidates, FoundBy
from ..kb.generators import (
    CandidateGenerator,
    MentionBatch,
    all_entities,
    dense_candidates,
    exact_candidates,
    fuzzy_candidates,
    hybrid_candidates,
    name_candidates,
)
from ..linking.annotate import ScoredMention
from ..settings import FACTORY
from ..spans import linked_spans, mention_finders, spans_of
from ..tokens import replace_images
from .bootstrap import DRAWS
from .outcomes import Gold, Outcome, gold_mentions, gold_rows, outcomes_of
from .ranking import metrics

if TYPE_CHECKING:
    from spacy.language import Language

    from ..kb.knowledge_base import DweKnowledgeBase
    from ..pipeline import DweLinker
    from ..settings import LinkerSettings


GENERATORS = {
    "names": name_candidates,
    "exact": exact_candidates,
    "hybrid": hybrid_candidates,
    "dense": dense_candidates,
    "all": all_entities,
    "fuzzy": fuzzy_candidates,
}
PROTOCOLS = ("candidates", "full", "paper")
PAPER_CANDIDATES = 100
"""Candidates a mention by the protocol "paper"."""
BATCH_DOCUMENTS = 256
RANKED_AT_A_TIME = 1 << 22
"""Candidates whose scores are held, where all of the KB is ranked."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured, and every mention that it was measured on.

    metrics (dict[str, Any]): see `ranking.metrics`.
    outcomes (list[Outcome]): one for each labelled mention, in order.
    scored (list[ScoredMention]): the same mentions with their best candidates, and
        last the gold, where it is a candidate but not among these; `doc` is the
        position of the document.
    """

    metrics: dict[str, Any]
    outcomes: list[Outcome]
    scored: list[ScoredMention]


def evaluate_docs(
    nlp: "Language",
    linker: "DweLinker",
    docs: Iterable[Doc],
    *,
    candidates: str | None = None,
    protocol: str | None = None,
    channels: Sequence[str] | None = None,
    use_images: bool = True,
    seen: Collection[str] | None = None,
    keep: int = 10,
    draws: int = DRAWS,
    seed: int = 0,
    source: str = "the data",
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Link the labelled mentions of documents with the components before the linker
    run first, except those that would find mentions of their own.

    docs (Iterable[Doc]): entities, or the spans that the linker reads instead, carry
        the labels as kb_id, "NIL" for none in the KB; those without one are left out
        and counted, and so are, as `n_left_out`, those that the linker does not link
        by their own label.
    candidates (str | None): "names", "exact" (entities that bear the mention as their
        name), "dense" (those with the nearest vectors), "hybrid" (names and
        dense), "fuzzy" (WRatio) or "all" (protocol "full"); None leaves the linker's
        own.
    protocol (str | None): "candidates", "full" (ranks all of the KB), or "paper" (100
        candidates by WRatio, the gold put in where it is not among them, which the
        metrics state); None follows from the candidates.
    channels (Sequence[str] | None): scoring channels; None leaves the linker's own.
    use_images (bool): False takes all pictures away.
    seen (Collection[str] | None): ids of the golds of the training data.
    keep (int): best candidates kept for each mention in `Evaluation.scored`.
    draws, seed (int): of the bootstrap intervals.
    source (str): what an error calls the data.
    progress (Callable[[int], None] | None): called with the documents just finished.
    RETURNS (Evaluation): the gold is added to no candidates but those of the protocol
        "paper".
    """
    settings = candidate_settings(protocol, candidates)
    if channels is not None:
        settings["channels"] = list(channels)
    outcomes: list[Outcome] = []
    kept: list[ScoredMention] = []
    n_docs = n_unlabelled = n_left_out = 0
    saw_images = False
    kb = linker.kb
    if kb is None:
        raise DweError(Errors.E401.format(pipeline="this pipeline"))
    with linker_settings(linker, settings):
        for batch in minibatch(docs, _documents_at_a_time(linker, len(kb))):
            questions: list[Doc] = []
            golds: list[Gold] = []
            for doc in batch:
                name = f"number {n_docs + len(questions) + 1}"
                question, labels = gold_mentions(doc, name, linker.settings)
                if not use_images:
                    replace_images(question, None)
                spans = linked_spans(doc, linker.settings)
                n_unlabelled += len(spans) - len(labels)
                n_left_out += len(spans_of(doc, linker.spans_key)) - len(spans)
                questions.append(question)
                golds.extend(labels)
            saw_images |= any(
                span._.images
                for doc in questions
                for span in linked_spans(doc, linker.settings)
            )
            ready = list(run_before_linker(nlp, questions))
            rows = gold_rows(kb, golds)
            expect_golds(linker.settings, rows)
            scored = linker.score_mentions(ready)
            outcomes += outcomes_of(
                kb, scored, golds, threshold=linker.threshold, seen=seen, rows=rows
            )
            kept += [
                _cut(mention, n_docs, keep, row)
                for mention, row in zip(scored, rows.tolist())
            ]
            n_docs += len(batch)
            if progress is not None:
                progress(len(batch))
        if not outcomes:
            if linker.spans_key is not None:
                source = f"The group doc.spans[{linker.spans_key!r}] of {source}"
            raise DweError(Errors.E411.format(source=source))
        read = {kind for c in linker.channels for kind in linker.all_channels[c].reads}
        with_images = saw_images and READ_PICTURES in read
        measured = metrics(
            outcomes,
            protocol=protocol or _protocol(candidates, kept, outcomes, len(kb)),
            channels=linker.channels,
            inputs="text+image" if with_images else "text",
            n_unlabelled=n_unlabelled,
            draws=draws,
            seed=seed,
        )
    return Evaluation({**measured, "n_left_out": n_left_out}, outcomes, kept)


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
        parts = []
        for i, gold in enumerate(golds):
            own = found.span(i, i + 1)
            if gold >= 0 and gold not in own.rows:
                given = Candidates.from_lists([[gold]], FoundBy.INJECTED)
                own = own.head(n - 1).union(given)
            parts.append(own)
        return Candidates.concatenated(parts)


def candidate_settings(protocol: str | None, candidates: str | None) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): settings of a linker by which it finds the candidates
    that are asked for; empty for its own.
    RAISES (DweError): see `require_known`.
    """
    wanted = require_known(protocol, candidates)
    if protocol == "paper":
        generate = WithGold(fuzzy_candidates())
        return {"generate_candidates": generate, "n_candidates": PAPER_CANDIDATES}
    return {} if wanted is None else {"generate_candidates": GENERATORS[wanted]()}


def expect_golds(settings: "LinkerSettings", rows: np.ndarray) -> None:
    """Tell a generator that puts golds in which these are, by KB row."""
    if isinstance(settings.generate_candidates, WithGold):
        settings.generate_candidates.expect(rows.tolist())


@contextmanager
def linker_settings(linker: "DweLinker", changed: dict[str, Any]) -> Iterator[None]:
    """Other settings of a linker for the length of a block."""
    own = linker.settings
    linker.settings = replace(own, **changed)
    try:
        yield
    finally:
        linker.settings = own


def run_before_linker(
    nlp: "Language", docs: Iterable[Doc], finding: bool = False
) -> Iterator[Doc]:
    """Run the components that come before the linker and leave its mentions alone, or
    all of them when `finding` mentions."""
    factories = [nlp.get_pipe_meta(name).factory for name in nlp.pipe_names]
    before = nlp.pipe_names[: factories.index(FACTORY)]
    finders = [] if finding else mention_finders(nlp)
    enable = [name for name in before if name not in finders]
    if not enable:
        yield from docs
        return
    with nlp.select_pipes(enable=enable):
        yield from nlp.pipe(docs)


def _documents_at_a_time(linker: "DweLinker", n_entities: int) -> int:
    """RETURNS (int): fewer where every entity is scored for every mention."""
    if linker.generate_candidates is not all_entities():
        return BATCH_DOCUMENTS
    return min(max(1, RANKED_AT_A_TIME // max(1, n_entities)), BATCH_DOCUMENTS)


def _cut(
    mention: ScoredMention, first_doc: int, keep: int, gold_row: int
) -> ScoredMention:
    """The best candidates and the gold, in arrays of their own."""
    kept = np.arange(min(keep, len(mention.rows)))
    if gold_row >= 0:
        kept = np.union1d(kept, np.flatnonzero(mention.rows == gold_row))
    return replace(
        mention,
        doc=first_doc + mention.doc,
        rows=mention.rows[kept],
        found_by=mention.found_by[kept],
        places=mention.places[kept],
        scores=mention.scores[kept],
        probabilities=mention.probabilities[kept],
        contributions={c: v[kept] for c, v in mention.contributions.items()},
    )


def require_known(protocol: str | None, candidates: str | None) -> str | None:
    """Check what was asked for.

    RETURNS (str | None): the candidates that the protocol asks for.
    RAISES (DweError): there is no such protocol, or no such candidates, or the protocol
        asks for others.
    """
    if candidates is not None and candidates not in GENERATORS:
        what, choices = "candidates", ", ".join(GENERATORS)
        raise DweError(Errors.E413.format(what=what, value=candidates, choices=choices))
    if protocol is None or (protocol == "candidates" and candidates != "all"):
        return candidates
    if protocol not in PROTOCOLS:
        what, choices = "protocol", ", ".join(PROTOCOLS)
        raise DweError(Errors.E413.format(what=what, value=protocol, choices=choices))
    own = {"full": "all", "paper": "fuzzy"}.get(protocol, "names")
    if candidates not in (None, own):
        raise DweError(Errors.E432.format(protocol=protocol, candidates=candidates))
    return own


def _protocol(
    candidates: str | None,
    scored: Sequence[ScoredMention],
    outcomes: Sequence[Outcome],
    n_entities: int,
) -> str:
    """Without a choice made here, what the linker's own generator amounted to: what
    looks for entities is no full ranking, even if it finds all of them."""
    if candidates is not None:
        return "full" if candidates == "all" else "candidates"
    ranked_all = all(outcome.n_candidates == n_entities for outcome in outcomes)
    unsought = all((mention.found_by & FoundBy.ALL).all() for mention in scored)
    return "full" if ranked_all and unsought else "candidates"
