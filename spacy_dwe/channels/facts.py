"""What the context of a mention and a description have in common, and how well known an
entity is. Each column lies in [0, 1]."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..kb.candidates import Candidates
from ..kb.index.lexicon import YEARS, Lexicon, description_words, years_in
from ..names.likeness import look_up, ragged
from ..names.normalisation import word_buckets

if TYPE_CHECKING:
    from .base import CandidateView, MentionView, Values

LONG_DESCRIPTION = 2000
"""Characters at which `description_length` reaches 1."""
MANY_SITELINKS = 300
"""Wikipedias at which `sitelinks` reaches 1; there are some 340."""
LIFE_SPAN = 100
"""Years that an entity is taken to last whose description names one year only."""
CONFLICT_HALF = 20
"""Years outside an entity's time at which `year_conflict` is one half."""
KNOWN_RARE = 20_000
"""Entities of a KB that tells which words are rare: what one description of a hundred
has may stand in every hundredth sentence. `shared_facts` counts less in a smaller one,
by the square of their logarithms."""
SHARED_HALF = 1.0
"""Rarity-weighted shared words at which `shared_words` is one half."""


class FactsChannel:
    """Years, rare shared words, popularity; "spacy-dwe.FactsChannel.v1"."""

    columns: Mapping[str, float] = {
        "year_overlap": 0.6,
        "year_conflict": -3.0,
        "shared_words": 0.0,
        "description_length": 0.7,
        "sitelinks": 1.0,
        "shared_facts": 5.0,
    }
    reads = ()

    def compute(
        self, mentions: "MentionView", candidates: Candidates, kb: "CandidateView"
    ) -> "Values":
        return fact_columns(kb.lexicon, mentions.contexts, candidates)


def fact_columns(
    lexicon: Lexicon, contexts: Sequence[str], candidates: Candidates
) -> tuple[np.ndarray, np.ndarray]:
    """What mentions' contexts and the candidates' descriptions have in common, and how
    well known the candidates are.

    RETURNS (tuple[np.ndarray, np.ndarray]): values in [0, 1], and which of them there
        are. Shapes: (total, len(FactsChannel.columns)), float32 and bool
    """
    rows = candidates.rows
    values = np.zeros((len(rows), len(FactsChannel.columns)), dtype=np.float32)
    present = np.zeros(values.shape, dtype=bool)
    lengths = lexicon.description_length[rows]
    sitelinks = lexicon.sitelinks[rows]
    _fill_years(lexicon, contexts, candidates, values[:, :2], present[:, :2])
    shared = _shared_words(lexicon, contexts, candidates)
    told = min(1.0, np.log1p(lexicon.n_rows) / np.log1p(KNOWN_RARE)) ** 2
    values[:, 2] = shared / (shared + SHARED_HALF)
    values[:, 5] = told * shared / (told * shared + SHARED_HALF)
    values[:, 3] = _log_scaled(lengths, LONG_DESCRIPTION)
    values[:, 4] = _log_scaled(np.nan_to_num(sitelinks), MANY_SITELINKS)
    present[:, [2, 3, 5]] = (lengths > 0)[:, None]
    present[:, 4] = ~np.isnan(sitelinks)
    return values, present


def _fill_years(
    lexicon: Lexicon,
    contexts: Sequence[str],
    candidates: Candidates,
    values: np.ndarray,
    present: np.ndarray,
) -> None:
    """Overlap: share of the context's years that the description names. Conflict: by
    how much they miss the time from its first to its last year; after a single year,
    a birth or a founding, that time lasts a century."""
    years = [years_in(context) for context in contexts]
    share = np.zeros((len(contexts), len(YEARS)), dtype=np.float32)
    ends = np.zeros((len(contexts), 2), dtype=np.int64)
    for mention, line in enumerate(years):
        if line:
            share[mention, [year - YEARS.start for year in line]] = 1 / len(line)
            ends[mention] = line[0], line[-1]
    owner = candidates.mentions
    offsets = lexicon.year_offsets
    named = offsets[candidates.rows + 1] > offsets[candidates.rows]
    pairs = np.flatnonzero(named & (ends[owner, 0] > 0))
    if not len(pairs):
        return
    owner = owner[pairs]
    starts, flat, inner = ragged(offsets, candidates.rows[pairs])
    described = lexicon.years[flat]
    overlap = share[owner[inner], described - YEARS.start]
    first = described[starts]
    last = described[np.append(starts[1:], len(described)) - 1]
    last = np.where(first == last, first + LIFE_SPAN, last)
    gap = np.maximum(first - ends[owner, 0], ends[owner, 1] - last)
    gap = np.maximum(gap, 0)
    values[pairs, 0] = np.minimum(np.add.reduceat(overlap, starts), 1)
    values[pairs, 1] = gap / (gap + CONFLICT_HALF)
    present[pairs] = True


def _shared_words(
    lexicon: Lexicon, contexts: Sequence[str], candidates: Candidates
) -> np.ndarray:
    words = [description_words(context) for context in contexts]
    buckets = word_buckets([word for line in words for word in line])
    weights = np.square(lexicon.fact_rarity[buckets])
    ends = np.cumsum([0, *map(len, words)])
    out = np.zeros(len(candidates.rows), dtype=np.float32)
    table = np.zeros(len(lexicon.fact_rarity), dtype=np.float32)
    for mention in range(len(contexts)):
        mine = buckets[ends[mention] : ends[mention + 1]]
        table[mine] = weights[ends[mention] : ends[mention + 1]]
        theirs = lexicon.facts.take(candidates[mention], axis=0)
        shared = np.empty(theirs.shape, dtype=np.float32)
        look_up(table, theirs, shared).sum(
            axis=1,
            out=out[candidates.offsets[mention] : candidates.offsets[mention + 1]],
        )
        table[mine] = 0
    return out


def _log_scaled(values: np.ndarray, full: int) -> np.ndarray:
    return np.minimum(np.log1p(values) / np.log1p(full), 1)
