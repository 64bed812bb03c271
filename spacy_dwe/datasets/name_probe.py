"""What a name alone tells of the right entity, and what deleting others adds to it."""

import tempfile
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..building.build import build_kb
from ..channels.name import NameChannel, name_columns
from ..errors import BAR_DELAY
from ..kb.candidates import Candidates
from ..kb.entity import Entity
from ..kb.knowledge_base import DweKnowledgeBase
from ..kb.vectors.entity_index import SCORE_DECIMALS

CANDIDATES = 100
_BATCH = 512

Probed = tuple[str, str, str]
"""Text, context and gold of a mention."""


@dataclass(frozen=True, slots=True)
class NameProbe:
    """Top-1 by the untrained name channel alone.

    n (int): mentions whose gold is among the entities.
    top1 (float): with all entities; a tie at the top is no hit.
    top1_without_train_golds (float): the same with the golds of train deleted from the
        candidates; a mention whose own gold is one of them is missed.
    n_left (int): mentions whose gold is not one of them.
    top1_left (float | None): of these alone, with all entities.
    top1_left_without_train_golds (float | None): of these, with the golds of train
        deleted. More than `top1_left` is what a dataset gives away whose splits have
        no gold in common.
    """

    n: int
    top1: float | None
    top1_without_train_golds: float | None
    n_left: int
    top1_left: float | None
    top1_left_without_train_golds: float | None


def probe_names(
    entities: Sequence[Entity],
    train_golds: Set[str],
    mentions: Mapping[str, Sequence[Probed]],
    show_progress: bool = False,
) -> dict[str, NameProbe]:
    """Link mentions by their names, in a KB without vectors in a temporary folder.

    entities (Sequence[Entity]): all that there are.
    train_golds (Set[str]): ids of right entities of train.
    mentions (Mapping[str, Sequence[Probed]]): of each split.
    show_progress (bool): show progress bars on stderr.
    RETURNS (dict[str, NameProbe]): by split, of the mentions whose gold is among the
        entities.
    """
    with tempfile.TemporaryDirectory() as folder:
        kb = build_kb(entities, Path(folder) / "kb", show_progress=show_progress)
        is_seen = np.zeros(kb.n_rows, dtype=bool)
        is_seen[kb.rows_of([e.id for e in entities if e.id in train_golds])] = True
        return {
            split: _probe(kb, is_seen, own, show_progress)
            for split, own in mentions.items()
        }


def _probe(
    kb: DweKnowledgeBase,
    is_seen: np.ndarray,
    mentions: Sequence[Probed],
    show_progress: bool,
) -> NameProbe:
    golds = kb.rows_of([gold for _, _, gold in mentions])
    known = [m for m, row in zip(mentions, golds) if row >= 0]
    golds = golds[golds >= 0]
    hits = [np.zeros((0, 2), dtype=bool)]
    starts = tqdm(
        range(0, len(known), _BATCH),
        desc="By name alone",
        delay=BAR_DELAY,
        leave=False,
        disable=not show_progress,
    )
    for start in starts:
        part = slice(start, start + _BATCH)
        hits.append(_hits(kb, is_seen, known[part], golds[part]))
    every, deleted = np.concatenate(hits).T
    left = ~is_seen[golds]
    return NameProbe(
        len(known),
        _share(every),
        _share(deleted),
        int(left.sum()),
        _share(every[left]),
        _share(deleted[left]),
    )


def _hits(
    kb: DweKnowledgeBase,
    is_seen: np.ndarray,
    mentions: Sequence[Probed],
    golds: np.ndarray,
) -> np.ndarray:
    """RETURNS (np.ndarray): whether the gold alone is best, with all entities and
    without the golds of train. Shape: (n_mentions, 2), bool"""
    texts = [text for text, _, _ in mentions]
    contexts = [context for _, context, _ in mentions]
    candidates = kb.search(texts, CANDIDATES, contexts)
    weights = np.array(list(NameChannel.columns.values()), dtype=np.float32)
    logits = name_columns(kb.lexicon, texts, candidates) @ weights
    scores = np.round(logits.astype(np.float64), SCORE_DECIMALS)
    remaining = np.where(is_seen[candidates.rows], -np.inf, scores)
    return np.stack(
        [_is_alone_best(candidates, s, golds) for s in (scores, remaining)], axis=1
    )


def _is_alone_best(
    candidates: Candidates, scores: np.ndarray, golds: np.ndarray
) -> np.ndarray:
    mentions = candidates.mentions
    best = np.full(len(candidates), -np.inf)
    np.maximum.at(best, mentions, scores)
    is_best = (scores == best[mentions]) & np.isfinite(scores)
    n_best = np.bincount(mentions[is_best], minlength=len(candidates))
    gold = is_best & (candidates.rows == golds[mentions])
    has_gold = np.bincount(mentions[gold], minlength=len(candidates)) > 0
    return has_gold & (n_best == 1)


def _share(hits: np.ndarray) -> float | None:
    return round(float(hits.mean()), 6) if len(hits) else None
