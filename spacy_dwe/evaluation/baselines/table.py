"""What a linker is measured against: simple rows over the same mentions and candidates.

A row that cannot be run is there all the same, with the reason.
"""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from spacy.tokens import Doc

from ...channels.base import columns_of
from ...kb.vectors.sets import DESCRIPTIONS_IN_CLIP
from ...model.combiner import Combiner
from ...model.spec import DWE, Columns
from ...spans import linked_spans
from ...tokens import has_images
from ..bootstrap import DRAWS
from ..evaluate import (
    candidate_settings,
    evaluate_docs,
)
from ..outcomes import MISS, Outcome, outcomes_of
from ..ranking import TOP_K, metrics
from .learned import by_channels, by_linear_head, fit_combiner, fit_linear_head
from .prepared import LabelledMentions, prepare
from .results import Baseline, Impossible, shuffled_pictures

if TYPE_CHECKING:
    from spacy.language import Language

    from ...linking.annotate import ScoredMention
    from ...linking.prepare import Evidence
    from ...pipeline import DweLinker
    from ...settings import LinkerSettings

MOST_TRAIN = 20_000
"""Training mentions that rows are fitted to, at most, drawn at random."""
HELD_OUT = 10
"""One training document in so many chooses settings where there is no development
data."""
NO_TRAIN = "needs training documents (--train)"
NOT_ENTITIES = "reads doc.ents, and the linker reads a group of spans"
NO_PICTURES = "no mention has a picture, or the KB no vectors of CLIP"


def run_baselines(
    nlp: "Language",
    linker: "DweLinker",
    test: Sequence[Doc],
    *,
    train: Sequence[Doc] | None = None,
    dev: Sequence[Doc] | None = None,
    candidates: str | None = None,
    protocol: str | None = None,
    use_images: bool = True,
    draws: int = DRAWS,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> list[Baseline]:
    """Run every baseline on the mentions, candidates and protocol of a linker.

    nlp (Language): its components before the linker run first.
    linker (DweLinker): gives KB, encoders and candidates; its weights are used by the
        row of shuffled pictures alone.
    test (Sequence[Doc]): entities carry the labels as kb_id.
    train (Sequence[Doc] | None): what fitted rows learn from.
    dev (Sequence[Doc] | None): chooses settings; None = a tenth of train.
    candidates, protocol (str | None): as in `evaluate_docs`.
    use_images (bool): False takes all pictures away.
    draws, seed (int): of the bootstrap intervals; the seed is also that of training.
    progress (Callable[[str], None] | None): called with the name of each row that ends.
    RETURNS (list[Baseline]): a row each, see `Baseline.note`.
    """
    table = _Table(
        nlp, linker, test, train, dev, candidates, protocol, use_images, draws, seed
    )
    results = []
    for name, (note, run) in table.rows().items():
        try:
            result = run()
            results.append(replace(result, name=name, note=f"{note}{result.note}"))
        except Impossible as reason:
            results.append(Baseline(name, note, reason=str(reason)))
        if progress is not None:
            progress(name)
    return results


Run = Callable[[], Baseline]
"""Makes a row without its name, and with what its note says last."""


@dataclass
class _Table:
    """What the rows share: prepared mentions, and channels that were scored already."""

    nlp: "Language"
    linker: "DweLinker"
    test_docs: Sequence[Doc]
    train: Sequence[Doc] | None
    dev: Sequence[Doc] | None
    candidates: str | None
    protocol: str | None
    use_images: bool
    draws: int
    seed: int
    by_channel: dict[str, list[Outcome]] = field(default_factory=dict, init=False)

    @property
    def features(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): all channels but the network's."""
        return tuple(name for name in self.linker.all_channels if name != DWE)

    @cached_property
    def evidence(self) -> "Evidence":
        return _evidence_of(self.linker, self.features, self.use_images)

    @cached_property
    def test(self) -> LabelledMentions:
        return self._prepare(self.test_docs, self.evidence)

    @cached_property
    def pictured(self) -> bool:
        """RETURNS (bool): a mention has a picture, and pictures are looked at."""
        return self.evidence.use_images and any(map(has_images, self.test_docs))

    @cached_property
    def fitting(self) -> tuple[LabelledMentions, LabelledMentions]:
        """RETURNS (tuple[LabelledMentions, LabelledMentions]): what rows are fitted to,
        and what chooses their settings.
        RAISES (Impossible): there are no training documents.
        """
        if not self.train:
            raise Impossible(NO_TRAIN)
        to_fit, to_choose = _split(
            self.train, self.dev, self.seed, self.linker.settings
        )
        return (
            self._prepare(to_fit, self.evidence, own_candidates=True),
            self._prepare(to_choose, self.evidence, own_candidates=True),
        )

    @cached_property
    def combiner(self) -> Combiner:
        return fit_combiner(*self.fitting, self.seed)[0]

    def rows(self) -> dict[str, tuple[str, Run]]:
        """RETURNS (dict): note and function of each row, by name."""
        one = self._channel
        return {
            "chance": ("a random order of the candidates", self._chance),
            "name only": ("how alike mention and names are", one("name")),
            "prior only": ("how often the name means the entity", one("prior")),
            "text cosine": ("the text encoder, not trained", one("text")),
            "CLIP text": ("CLIP’s text tower, not trained", self._clip_text),
            "CLIP image": ("picture and entity in CLIP, not trained", one("image")),
            "best channel": ("the best channel of the development data", self._best),
            "combiner": ("all features, weights fitted, no network", self._fitted),
            "linear head": (
                "the same, and a linear map of the text vector",
                self._head,
            ),
            "shuffled pictures": (
                "the linker, pictures of other texts",
                self._shuffled,
            ),
            "oracle over channels": ("the best channel of each mention", self._oracle),
            "spaCy EntityLinker": ("trained on the same data", self._entity_linker),
        }

    def _channel(self, channel: str) -> Run:
        return lambda: self._result(self._outcomes_of(channel), [channel])

    def _outcomes_of(self, channel: str) -> list[Outcome]:
        """Outcomes by one channel alone, with its weights before training."""
        if channel not in self.by_channel:
            if channel != "name" and not self.test.has(channel):
                reasons = {
                    "prior": "the KB holds no priors for these names",
                    "text": "the KB has no vectors of a text encoder",
                    "image": NO_PICTURES,
                }
                raise Impossible(reasons.get(channel, "no candidate has any"))
            score = by_channels(self.test, [channel], Combiner(self.test.columns))
            self.by_channel[channel] = self._outcomes(self.test.scored(score))
        return self.by_channel[channel]

    def _chance(self) -> Baseline:
        outcomes = self._outcomes_of("name")
        measured = self._measured(outcomes, ["chance"])
        ranked = [o for o in outcomes if o.rank is not None]
        sizes = np.array([o.n_candidates if o.retrieved else 0 for o in ranked])
        harmonic = np.concatenate(
            [[0.0], np.cumsum(1 / np.arange(1, sizes.max(initial=0) + 1))]
        )
        found = np.maximum(sizes, 1)
        for k in TOP_K:
            hits = np.where(sizes > 0, np.minimum(1, k / found), 0.0)
            measured[f"top{k}"] = _mean(hits)
        measured["mrr"] = _mean(harmonic[sizes] / found)
        measured["mean_rank"] = _mean((sizes[sizes > 0] + 1) / 2)
        undecided = ("median_rank", "accuracy", "ece", "nil_f1")
        measured |= dict.fromkeys((*undecided, "nil_precision", "nil_recall"))
        measured |= {"intervals": {}, "reliability": [], "by": {}, "breakdowns": {}}
        return Baseline("", metrics=measured)

    def _clip_text(self) -> Baseline:
        clip = self.evidence.clip
        if clip is None or DESCRIPTIONS_IN_CLIP not in self.evidence.kb.vector_sets:
            raise Impossible("the KB has no vectors of CLIP")
        evidence = _evidence_of(self.linker, ("text",), self.use_images)
        evidence.text_encoder = clip
        evidence.text_set = DESCRIPTIONS_IN_CLIP
        evidence.text_space = DESCRIPTIONS_IN_CLIP.space
        mentions = self._prepare(self.test_docs, evidence)
        score = by_channels(mentions, ["text"], Combiner(mentions.columns))
        return self._result(self._outcomes(mentions.scored(score)), ["text"])

    def _best(self) -> Baseline:
        _, dev = self.fitting
        reached = {}
        for channel in self.features:
            if dev.has(channel) and self.test.has(channel):
                score = by_channels(dev, [channel], Combiner(dev.columns))
                outcomes = outcomes_of(dev.kb, dev.scored(score), dev.golds)
                measured = metrics(
                    outcomes, protocol="", channels=[], inputs="", draws=0
                )
                reached[channel] = measured["top1"] or 0.0
        if not reached:
            raise Impossible("no channel says anything")
        best = max(reached, key=lambda channel: reached[channel])
        return self._result(self._outcomes_of(best), [best], f": {best}")

    def _fitted(self) -> Baseline:
        score = by_channels(self.test, self.test.columns.channels, self.combiner)
        return self._result(self._outcomes(self.test.scored(score)), self.features)

    def _head(self) -> Baseline:
        train, dev = self.fitting
        kb = self.evidence.kb
        if self.test.texts is None or kb.text_set is None:
            raise Impossible("the KB has no vectors of a text encoder")
        vectors = kb.vector_sets[kb.text_set]
        head, epoch = fit_linear_head(train, dev, self.combiner, vectors, self.seed)
        outcomes = self._outcomes(self.test.scored(by_linear_head(self.test, head)))
        return self._result(outcomes, self.features, f" (epoch {epoch})")

    def _shuffled(self) -> Baseline:
        if not self.pictured:
            raise Impossible(NO_PICTURES)
        evaluation = evaluate_docs(
            self.nlp,
            self.linker,
            shuffled_pictures(self.test_docs, self.seed),
            candidates=self.candidates,
            protocol=self.protocol,
            draws=self.draws,
            seed=self.seed,
        )
        return Baseline("", metrics=evaluation.metrics, outcomes=evaluation.outcomes)

    def _oracle(self) -> Baseline:
        channels = [channel for channel in self.features if self.test.has(channel)]
        runs = [self._outcomes_of(channel) for channel in channels]
        best = [_best_of(own) for own in zip(*runs)]
        result = self._result(best, channels, ": an upper bound")
        return _without_calibration(result)

    def _entity_linker(self) -> Baseline:
        from .entity_linker import STEPS, linked_by, lookup_kb, train_entity_linker

        if not self.train:
            raise Impossible(NO_TRAIN)
        if self.linker.spans_key is not None:
            raise Impossible(NOT_ENTITIES)
        kb = self.evidence.kb
        lang = str(self.nlp.lang)
        theirs = train_entity_linker(
            kb, self.train, lang=lang, seed=self.seed, steps=STEPS
        )
        lookup = lookup_kb(theirs)
        settings = self.linker.settings
        by_doc = linked_by(theirs, self.test_docs, settings)
        links = [link for own in by_doc for link in own]
        outcomes = [
            _decided(
                outcome,
                link,
                {c.entity_ for c in lookup.get_alias_candidates(outcome.text)},
            )
            for outcome, link in zip(self._outcomes_of("name"), links, strict=True)
        ]
        note = f", {STEPS} steps; it ranks nothing, so only its first counts"
        result = self._result(outcomes, ["EntityLinker"], note)
        return _without_calibration(result)

    def _outcomes(self, scored: "list[ScoredMention]") -> list[Outcome]:
        return outcomes_of(
            self.test.kb, scored, self.test.golds, threshold=self.linker.threshold
        )

    def _result(
        self, outcomes: list[Outcome], channels: Sequence[str], note: str = ""
    ) -> Baseline:
        measured = self._measured(outcomes, channels)
        return Baseline("", note, measured, outcomes=outcomes)

    def _measured(
        self, outcomes: list[Outcome], channels: Sequence[str]
    ) -> dict[str, Any]:
        pictured = self.pictured and "image" in channels
        return metrics(
            outcomes,
            protocol=self.protocol
            or ("full" if self.candidates == "all" else "candidates"),
            channels=channels,
            inputs="text+image" if pictured else "text",
            draws=self.draws,
            seed=self.seed,
        )

    def _prepare(
        self, docs: Sequence[Doc], evidence: "Evidence", own_candidates: bool = False
    ) -> LabelledMentions:
        """own_candidates (bool): fitting sees the linker's own, with no gold put in."""
        asked = copy(evidence)
        if not own_candidates:
            wanted = candidate_settings(self.protocol, self.candidates)
            asked.settings = replace(evidence.settings, **wanted)
        return prepare(self.nlp, asked, docs)


def _evidence_of(
    linker: "DweLinker", channels: Sequence[str], use_images: bool
) -> "Evidence":
    """The linker's evidence, by these channels."""
    from ...linking.prepare import Evidence

    own = linker.evidence
    used = {name: linker.all_channels[name] for name in channels}
    return Evidence(
        own.kb,
        text_encoder=own.text_encoder,
        picture_encoders=own.picture_encoders,
        cache=own.cache,
        channels=used,
        columns=Columns(columns_of(used)),
        settings=replace(
            own.settings, use_images=use_images and own.settings.use_images, visual=None
        ),
        spaces=own.spaces,
        device=own.device,
    )


def _split(
    train: Sequence[Doc],
    dev: Sequence[Doc] | None,
    seed: int,
    settings: "LinkerSettings",
) -> tuple[list[Doc], list[Doc]]:
    """What rows are fitted to, and what chooses their settings."""
    order = np.random.default_rng(seed).permutation(len(train)).tolist()
    shuffled = [train[i] for i in order]
    if dev:
        return _at_most(shuffled, settings), list(dev)
    n_held = max(1, len(shuffled) // HELD_OUT)
    return _at_most(shuffled[n_held:] or shuffled, settings), shuffled[:n_held]


def _at_most(docs: list[Doc], settings: "LinkerSettings") -> list[Doc]:
    total, kept = 0, []
    for doc in docs:
        total += sum(bool(span.kb_id_) for span in linked_spans(doc, settings))
        if total > MOST_TRAIN:
            break
        kept.append(doc)
    return kept


def _best_of(runs: Sequence[Outcome]) -> Outcome:
    """The outcome with the best rank; a right decision before a wrong one."""
    return min(runs, key=lambda o: (MISS if o.rank is None else o.rank, not o.correct))


def _decided(outcome: Outcome, link: str | None, candidates: set[str]) -> Outcome:
    """The outcome of a linker that names one entity, or none."""
    rank = None if outcome.gold is None else (1.0 if link == outcome.gold else MISS)
    found = len(candidates) if outcome.gold in candidates else MISS
    return replace(
        outcome,
        rank=rank,
        found_within=float(found),
        n_candidates=len(candidates),
        predicted=link,
        probability=1.0,
        nil_probability=float(link is None),
        injected=False,
    )


def _without_calibration(result: Baseline) -> Baseline:
    """The row decides without a probability of its own."""
    measured = {**(result.metrics or {}), "ece": None, "reliability": []}
    return replace(result, metrics=measured)


def _mean(values: np.ndarray) -> float | None:
    return round(float(values.mean()), 6) if len(values) else None
