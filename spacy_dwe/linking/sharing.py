"""Which of a document's mentions its pictures belong to: the mentions compete for them,
each with the entities that its own words allow."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..channels.image import A_DEVIATION, chance, picture_columns
from ..channels.name import NameChannel, name_columns
from ..kb.candidates import Candidates

if TYPE_CHECKING:
    from ..images import ImageRef
    from ..kb.index.lexicon import Lexicon
    from ..kb.knowledge_base import DweKnowledgeBase
    from .mentions import Mention

MARGIN = 0.25
"""Deviations of random pairs that say nothing: a picture that fits two mentions alike
belongs to both."""

WORST = 0.0
"""What fits nobody better than a random picture does belongs to nobody. Of several
regions, each has as much less of a chance to be the one that shows it."""

NOBODY = -3.0
"""What `shown` of the image channel is for a picture that might as well show nobody:
far below even odds, as one of the mentions is mostly shown."""

MOST_ENTITIES = 30
"""Entities that each text enters."""

POSSIBLE = -2.5
"""Match of a name from which on a mention may mean it: a surname alone has more."""

PAIRS = 1 << 15
"""Pairs of picture and entity compared at a time; bounds memory."""

Case = tuple[tuple[str, ...], bytes]
"""Texts that share a picture, and the bytes of its vectors."""
Seen = Mapping[str, np.ndarray]
"""Unit vectors of a picture and of its regions, by space. Shape of each: (n_views, dim)
"""


class Share(NamedTuple):
    """What a mention has of a picture.

    ref (ImageRef): the picture.
    views (tuple[int, ...] | None): places of its views among those of the picture, of
        which the whole is the first; None = all.
    """

    ref: "ImageRef"
    views: tuple[int, ...] | None = None


class PictureShares:
    """Says who gets a shared picture. It depends on the picture and on the texts that
    share it, so that a document may be split over batches.

    kb (DweKnowledgeBase): has names and vectors.
    """

    def __init__(self, kb: "DweKnowledgeBase") -> None:
        self.kb = kb
        self._decided: dict[Case, list[frozenset[str]]] = {}

    def of(
        self,
        mentions: Sequence["Mention"],
        vectors: "Mapping[ImageRef, Seen]",
    ) -> list[tuple[Share, ...]]:
        """RETURNS (list[tuple[Share, ...]]): the pictures of each mention that it has
        to itself, or of which a view belongs to it.

        vectors (Mapping[ImageRef, Seen]): of pictures that can be read; the others
            belong to nobody who shares them.
        """
        keys = {
            ref: b"".join(vector.tobytes() for vector in seen.values())
            for ref, seen in vectors.items()
        }
        shared = dict.fromkeys(
            (mention.sharing, ref)
            for mention in mentions
            if mention.sharing
            for ref in mention.images
            if ref in keys
        )
        new = {(texts, keys[ref]): vectors[ref] for texts, ref in shared}
        # Those of the last batch are kept, for the rest of a document that was split.
        known = {case: self._decided[case] for case in new if case in self._decided}
        new = {case: vector for case, vector in new.items() if case not in known}
        self._decided = known | (self._decide(new) if new else {})
        return [self._shares(mention, keys) for mention in mentions]

    def _shares(
        self, mention: "Mention", keys: "Mapping[ImageRef, bytes]"
    ) -> tuple[Share, ...]:
        if not mention.sharing:
            return tuple(Share(ref) for ref in mention.images)
        shares = []
        for ref in mention.images:
            owners = self._decided[mention.sharing, keys[ref]] if ref in keys else []
            own = [i for i, texts in enumerate(owners) if mention.text in texts]
            if own:
                shares.append(Share(ref, tuple(own)))
        return tuple(shares)

    def _decide(self, cases: Mapping[Case, Seen]) -> dict[Case, list[frozenset[str]]]:
        """RETURNS (dict[Case, list[frozenset[str]]]): the texts that each view fits
        best, or nearly so; none where no text names an entity."""
        entities = self._entities(list(dict.fromkeys(chain(*(c[0] for c in cases)))))
        views = [(case, view) for case, s in cases.items() for view in views_of(s)]
        pairs = [(text, view) for case, view in views for text in case[0]]
        fits = self._fits(
            Candidates.from_lists([entities[text] for text, _ in pairs]),
            [view for _, view in pairs],
        )
        n_views = Counter(case for case, _ in views)
        ends = np.cumsum([len(case[0]) for case, _ in views])[:-1]
        decided: dict[Case, list[frozenset[str]]] = {case: [] for case in cases}
        for (case, _), own in zip(views, np.split(fits, ends)):
            # The first view is the whole picture, which regions take from nobody.
            less = chance(n_views[case]) if decided[case] else 0.0
            worst = WORST + less / A_DEVIATION
            least = max(own.max() - MARGIN, worst)
            decided[case].append(
                frozenset(text for text, fit in zip(case[0], own) if fit >= least)
            )
        return decided

    def _entities(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """RETURNS (dict[str, np.ndarray]): rows of the entities that each text names,
        whatever stands around it."""
        found = self.kb.search(texts, MOST_ENTITIES)
        named = supported(self.kb.lexicon, texts, found)
        ends = found.offsets[1:-1]
        parts = zip(np.split(found.rows, ends), np.split(named, ends))
        return dict(zip(texts, (rows[own] for rows, own in parts)))

    def _fits(self, candidates: Candidates, pictures: Sequence[Seen]) -> np.ndarray:
        """How well each picture fits the entity that it fits best.

        RETURNS (np.ndarray): mean of picture_description and of picture_picture, or of
            `shown` beyond `NOBODY` where the KB tells it; 0, as of a random pair, of
            entities without vectors; -inf without entities. Shape: (len(candidates),)
        """
        best = np.full(len(candidates), -np.inf, dtype=np.float32)
        for start, end in candidates.runs(PAIRS):
            some = candidates.span(start, end)
            own = pictures[start:end]
            spaces = {space: [[seen[space]] for seen in own] for space in own[0]}
            values, present = picture_columns(self.kb.vector_sets, some, spaces)
            fits, there = values[:, :2], present[:, :2]
            shown = (values[:, 2] - NOBODY) / A_DEVIATION
            fits[:, 1] = np.where(present[:, 2], shown, fits[:, 1])
            means = fits.sum(axis=1) / np.maximum(there.sum(axis=1), 1)
            np.maximum.at(best[start:end], some.mentions, means)
        return best


def views_of(seen: Seen) -> list[Seen]:
    """RETURNS (list[Seen]): each view of a picture alone."""
    n_views = len(next(iter(seen.values())))
    return [{space: own[[i]] for space, own in seen.items()} for i in range(n_views)]


def supported(
    lexicon: "Lexicon", texts: Sequence[str], candidates: Candidates
) -> np.ndarray:
    """Which candidates a mention may mean by its own words.

    RETURNS (np.ndarray): Shape: (total,), bool
    """
    match = list(NameChannel.columns).index("match")
    return name_columns(lexicon, texts, candidates)[:, match] >= POSSIBLE
