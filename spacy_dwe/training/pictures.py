"""What training makes of pictures beside those of the mentions: the KB's own as
queries, pictures of something else, and the map that queries start from."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from spacy.tokens import Doc
from spacy.vocab import Vocab

from ..kb.vectors.sets import IMAGE, SetName
from ..kb.vectors.standard import MOST_PICTURES, Standardisation
from ..linking.collate import collate
from ..linking.mentions import Mention
from ..model.inputs import NO_VECTORS, MentionPlace
from .targets import BLOCK, shown, with_targets

if TYPE_CHECKING:
    from ..kb.knowledge_base import DweKnowledgeBase
    from ..kb.vectors.sets import VectorSet
    from ..model.combiner import Combiner
    from ..model.inputs import PreparedMention
    from ..model.network import LinkerNetwork

Prepare = Callable[[Sequence[Mention]], "list[PreparedMention]"]
Named = Callable[[Sequence[str]], "list[PreparedMention]"]

SHOWN = 0.5
"""How far a picture must be taken to show its entity, to tell what varies among
pictures of the same."""


def with_other_pictures(
    mentions: Sequence[Mention], gold_rows: np.ndarray, share: float
) -> tuple[list[Mention], np.ndarray]:
    """Give some mentions the pictures of the next of them, drawn by torch, where that
    has another gold under another name: a namesake's would be an answer.

    mentions (Sequence[Mention]): mentions.
    gold_rows (np.ndarray): KB row of each gold, -1 = NIL. Shape: (n_mentions,)
    share (float): of those with pictures.
    RETURNS (tuple[list[Mention], np.ndarray]): the mentions, and which of them have
        pictures that are another's. Shape: (n_mentions,), bool
    """
    changed = list(mentions)
    others = np.zeros(len(mentions), dtype=bool)
    if not share:
        return changed, others
    pictured = np.array([bool(mention.images) for mention in mentions])
    drawn = np.flatnonzero((torch.rand(len(mentions)) < share).numpy() & pictured)
    for own, other in zip(drawn.tolist(), np.roll(drawn, 1).tolist()):
        ours, theirs = mentions[own], mentions[other]
        differ = ours.images != theirs.images and gold_rows[own] != gold_rows[other]
        if differ and ours.text.casefold() != theirs.text.casefold():
            changed[own] = replace(ours, images=theirs.images, sharing=())
            others[own] = True
    return changed, others


def are_pictured(prepared: "Sequence[PreparedMention]") -> np.ndarray:
    """RETURNS (np.ndarray): mentions with pictures that the linker reads, and can.
    Shape: (n_mentions,), bool"""
    return np.array([any(map(len, m.pictures.values())) for m in prepared], dtype=bool)


class KBPictures:
    """Draws pictures of a KB as queries: each stands for a mention of its entity by one
    of its names, with no other text.

    kb (DweKnowledgeBase): the KB.
    spaces (Sequence[str]): spaces of the pictures that the network reads, in its order.
    """

    def __init__(self, kb: "DweKnowledgeBase", spaces: Sequence[str]) -> None:
        self.kb, self.spaces = kb, tuple(spaces)
        counts = [np.diff(vectors.offsets) for vectors in self._sets.values()]
        self._rows = np.zeros(0, dtype=np.int64)
        if counts:
            # One alone would have nothing to be compared with.
            several = np.flatnonzero(np.minimum.reduce(counts) > 1)
            self._rows = np.intersect1d(several, kb.all_rows(1).rows)

    def __reduce__(self) -> tuple[Any, ...]:
        """A worker process and a copy open the KB anew."""
        return type(self), (self.kb, self.spaces)

    @property
    def _sets(self) -> "dict[SetName, VectorSet]":
        names = [SetName(IMAGE, space) for space in self.spaces]
        sets = self.kb.vector_sets
        return {name: sets[name] for name in names if name in sets}

    def __len__(self) -> int:
        """RETURNS (int): entities with several pictures."""
        return len(self._rows)

    def draw(self, n: int, named: Named) -> "tuple[list[PreparedMention], np.ndarray]":
        """Draw some, by torch's random numbers.

        n (int): how many.
        named (Named): `Evidence.named`.
        RETURNS (tuple[list[PreparedMention], np.ndarray]): the mentions, and the KB row
            of each gold. Shape: (n,)
        """
        n = n if len(self) else 0
        rows = self._rows[_drawn(np.full(n, len(self)))]
        entities = self.kb.store.entities(rows.tolist())
        names = [[e.title, *(a.alias for a in e.aliases)] for e in entities]
        chosen = _drawn(np.array([len(own) for own in names], dtype=np.int64))
        prepared = named([own[i] for own, i in zip(names, chosen)])
        return [self._pictured(m, row) for m, row in zip(prepared, rows)], rows

    def _pictured(self, mention: "PreparedMention", row: int) -> "PreparedMention":
        # The first space is that of regions, whether or not the KB has pictures in it.
        pictures = dict.fromkeys(self.spaces, NO_VECTORS)
        itself = {}
        for name, vectors in self._sets.items():
            places, _ = vectors.of([row])
            place = int(places[_drawn(np.array([len(places)]))[0]])
            pictures[name.space] = _read(vectors, [place])
            itself[str(name)] = place
        return replace(mention, pictures=pictures, itself=itself)


def alone(mention: "PreparedMention") -> MentionPlace:
    """RETURNS (MentionPlace): a name as a document of its own, which modalities of
    others read as any."""
    doc = Doc(Vocab(), words=[mention.sentence], spaces=[False])
    return MentionPlace((doc,), 0, len(doc.text))


def fit_refinements(
    network: "LinkerNetwork",
    mentions: Sequence[Mention],
    gold_rows: np.ndarray,
    kb: "DweKnowledgeBase",
    prepare: Prepare,
    combiner: "Combiner",
) -> None:
    """Fit the maps that pictures pass before they are compared with those of entities:
    what varies among pictures of the same entity, those of the KB and of the training
    mentions, counts less; `Standardisation`, once more, on the side of the query alone.

    network (LinkerNetwork): the maps of its mention encoder are changed in place.
    mentions (Sequence[Mention]): labelled.
    gold_rows (np.ndarray): KB row of each gold, -1 = NIL. Shape: (n_mentions,)
    kb (DweKnowledgeBase): the KB.
    prepare (Prepare): finds and describes candidates.
    combiner (Combiner): of all features but the network's own, on the CPU.
    """
    encoder = network.mention_encoder
    if encoder is None or not len(encoder.refinements):
        return
    seen: dict[str, dict[tuple[bytes, int], np.ndarray]] = {
        space: {} for space in encoder.refinements
    }
    for mention, row in _shown(combiner, mentions, gold_rows, prepare):
        for space, own in seen.items():
            for vector in mention.pictures.get(space, ()):
                own[vector.tobytes(), row] = vector
    for space, own in seen.items():
        compared = kb.vector_sets[SetName(IMAGE, space)]
        theirs, rows = _own_pictures(compared)
        vectors = np.concatenate([theirs, *(v[None] for v in own.values())])
        rows = np.concatenate([rows, np.array([row for _, row in own], dtype=np.int64)])
        fitted = Standardisation.fitted(vectors, rows)
        if fitted is not None:
            offset = 0.0
            if compared.standard is None and len(theirs):
                # The map centres pictures, and those of the KB are not centred.
                random = fitted(vectors).mean(axis=0) @ theirs.mean(axis=0)
                offset = float(compared.mean - random) / compared.std
            network.refine(space, *fitted.as_map(), offset)


def _shown(
    combiner: "Combiner",
    mentions: Sequence[Mention],
    gold_rows: np.ndarray,
    prepare: Prepare,
) -> Iterator["tuple[PreparedMention, int]"]:
    """YIELDS (tuple[PreparedMention, int]): mentions whose pictures are taken to show
    their gold, and its row."""
    for first in range(0, len(mentions), BLOCK):
        prepared = prepare(mentions[first : first + BLOCK])
        batch = collate(prepared, heads={}, pictures={}, pooled=True, device="cpu")
        rows = gold_rows[first : first + BLOCK]
        batch, targets = with_targets(batch, rows, 0.0)
        kept = shown(combiner, batch, targets) > SHOWN
        kept &= targets < batch.rows.shape[1]
        yield from (
            (prepared[i], int(rows[i])) for i in torch.nonzero(kept)[:, 0].tolist()
        )


def _own_pictures(vectors: "VectorSet") -> tuple[np.ndarray, np.ndarray]:
    """RETURNS (tuple[np.ndarray, np.ndarray]): pictures of a KB, and the row of each.
    Shapes: (n, dim), float32 and (n,)"""
    rows = np.arange(len(vectors.offsets) - 1)
    if vectors.removed is not None:
        rows = np.setdiff1d(rows, vectors.removed)
    counts = np.diff(vectors.offsets)[rows]
    rows = rows[np.cumsum(counts) <= MOST_PICTURES]
    places, owners = vectors.of(rows)
    return _read(vectors, places), rows[owners]


def _read(vectors: "VectorSet", places: Any) -> np.ndarray:
    return np.asarray(vectors.array).take(places, axis=0).astype(np.float32)


def _drawn(counts: np.ndarray) -> np.ndarray:
    """RETURNS (np.ndarray): a random number below each. Shape: (n,), int64"""
    chance = torch.rand(len(counts), dtype=torch.float64).numpy()
    return np.minimum((chance * counts).astype(np.int64), np.maximum(counts - 1, 0))
