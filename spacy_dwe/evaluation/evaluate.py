"""Link labelled documents and measure the result."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from spacy.tokens import Doc
from spacy.util import minibatch

from ..errors import DweError, Errors
from ..kb.candidates import (
    all_entities,
    dense_candidates,
    exact_candidates,
    hybrid_candidates,
    name_candidates,
)
from ..model.scoring import ScoredMention
from ..tokens import replace_images
from .gold import Gold, gold_mentions
from .outcomes import RECALL_AT, Outcome, outcomes_of
from .ranking import DRAWS, metrics

if TYPE_CHECKING:
    from spacy.language import Language

    from ..kb.knowledge_base import DweKnowledgeBase
    from ..pipeline import DweLinker

GENERATORS = {
    "names": name_candidates,
    "exact": exact_candidates,
    "hybrid": hybrid_candidates,
    "dense": dense_candidates,
    "all": all_entities,
}
IMAGE_CHANNELS = frozenset({"image", "dwe"})
FACTORY = "dwe_linker"
BATCH_DOCUMENTS = 256


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured, and every mention that it was measured on.

    metrics (dict[str, Any]): see `ranking.metrics`.
    outcomes (list[Outcome]): one for each labelled mention, in order.
    scored (list[ScoredMention]): the same mentions with their best candidates;
        `doc` is the position of the document.
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
    channels: Sequence[str] | None = None,
    use_images: bool = True,
    keep: int = 10,
    draws: int = DRAWS,
    seed: int = 0,
    source: str = "the data",
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Link the labelled mentions of documents with the components before the linker
    run first, except those that would find mentions of their own.

    docs (Iterable[Doc]): entities carry the labels as kb_id, "NIL" for none in the KB;
        entities without one are left out and counted.
    candidates (str | None): "names", "exact" (entities that bear the mention as their
        name), "dense" (those with the nearest descriptions), "hybrid" (names and dense)
        or "all" (protocol "full"); None leaves the linker's own.
    channels (Sequence[str] | None): scoring channels; None leaves the linker's own.
    use_images (bool): False takes all pictures away.
    keep (int): best candidates kept for each mention in `Evaluation.scored`.
    draws, seed (int): of the bootstrap intervals.
    source (str): what an error calls the data.
    progress (Callable[[int], None] | None): called with the documents just finished.
    RETURNS (Evaluation): the gold is never added to the candidates.
    """
    outcomes: list[Outcome] = []
    kept: list[ScoredMention] = []
    n_docs = n_unlabelled = 0
    saw_images = False
    with linker_settings(linker, channels, candidates):
        for batch in minibatch(docs, BATCH_DOCUMENTS):
            questions: list[Doc] = []
            golds: list[Gold] = []
            for doc in batch:
                name = f"number {n_docs + len(questions) + 1}"
                question, labels = gold_mentions(doc, name)
                if not use_images:
                    replace_images(question, None)
                n_unlabelled += len(doc.ents) - len(labels)
                questions.append(question)
                golds.extend(labels)
            saw_images |= any(ent._.images for doc in questions for ent in doc.ents)
            ready = list(run_before_linker(nlp, questions))
            scored = linker.score_mentions(ready)
            outcomes.extend(_outcomes(linker, ready, scored, golds))
            kept.extend(_cut(mention, n_docs, keep) for mention in scored)
            n_docs += len(batch)
            if progress is not None:
                progress(len(batch))
        if not outcomes:
            raise DweError(Errors.E411.format(source=source))
        with_images = saw_images and not IMAGE_CHANNELS.isdisjoint(linker.channels)
        measured = metrics(
            outcomes,
            protocol=_protocol(candidates, outcomes, len(_kb_of(linker))),
            channels=linker.channels,
            inputs="text+image" if with_images else "text",
            n_unlabelled=n_unlabelled,
            draws=draws,
            seed=seed,
        )
    return Evaluation(measured, outcomes, kept)


@contextmanager
def linker_settings(
    linker: "DweLinker", channels: Sequence[str] | None, candidates: str | None
) -> Iterator[None]:
    """Channels and candidate generator of a linker for the length of a block."""
    if candidates is not None and candidates not in GENERATORS:
        what, choices = "candidates", ", ".join(GENERATORS)
        raise DweError(Errors.E413.format(what=what, value=candidates, choices=choices))
    own_channels, own_generator = linker.channels, linker.generate_candidates
    try:
        if channels is not None:
            linker.channels = list(channels)
        if candidates is not None:
            linker.generate_candidates = GENERATORS[candidates]()
        yield
    finally:
        linker.generate_candidates = own_generator
        if channels is not None:
            linker.channels = own_channels


def run_before_linker(nlp: "Language", docs: Iterable[Doc]) -> Iterator[Doc]:
    """Run the components that come before the linker and leave `doc.ents` alone."""
    factories = [nlp.get_pipe_meta(name).factory for name in nlp.pipe_names]
    before = nlp.pipe_names[: factories.index(FACTORY)]
    enable = [n for n in before if "doc.ents" not in nlp.get_pipe_meta(n).assigns]
    if not enable:
        yield from docs
        return
    with nlp.select_pipes(enable=enable):
        yield from nlp.pipe(docs)


def prediction_records(
    linker: "DweLinker", evaluation: Evaluation
) -> Iterator[dict[str, Any]]:
    """One JSON object for each labelled mention: its outcome and best candidates."""
    kb = _kb_of(linker)
    for outcome, mention in zip(evaluation.outcomes, evaluation.scored):
        record = outcome.to_json()
        record["candidates"] = [
            {
                "id": entity_id,
                "title": title,
                "probability": round(float(mention.probabilities[i]), 6),
                "score": round(float(mention.scores[i]), 5),
                "scores": {
                    channel: round(float(values[i]), 5)
                    for channel, values in mention.contributions.items()
                },
            }
            for i, (entity_id, title, _) in enumerate(kb.titles(mention.rows))
        ]
        yield record


def _outcomes(
    linker: "DweLinker",
    docs: Sequence[Doc],
    scored: Sequence[ScoredMention],
    golds: Sequence[Gold],
) -> list[Outcome]:
    kb = _kb_of(linker)
    # Lists as long as the linker's own are what was scored.
    retrieved = {
        n: list(linker.find_candidates(docs, n))
        for n in RECALL_AT
        if n != linker.n_candidates
    }
    return outcomes_of(
        kb, scored, golds, threshold=linker.threshold, retrieved=retrieved
    )


def _kb_of(linker: "DweLinker") -> "DweKnowledgeBase":
    if linker.kb is None:
        raise DweError(Errors.E401.format(pipeline="this pipeline"))
    return linker.kb


def _cut(mention: ScoredMention, first_doc: int, keep: int) -> ScoredMention:
    return replace(
        mention,
        doc=first_doc + mention.doc,
        rows=mention.rows[:keep].copy(),
        found_by=mention.found_by[:keep].copy(),
        scores=mention.scores[:keep].copy(),
        probabilities=mention.probabilities[:keep].copy(),
        contributions={c: v[:keep].copy() for c, v in mention.contributions.items()},
    )


def _protocol(
    candidates: str | None, outcomes: Sequence[Outcome], n_entities: int
) -> str:
    """Without a choice made here, what the linker's own generator amounted to."""
    if candidates is not None:
        return "full" if candidates == "all" else "candidates"
    ranked_all = all(outcome.n_candidates == n_entities for outcome in outcomes)
    return "full" if ranked_all else "candidates"
