"""Prepared mentions to padded tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..model.dwe import MentionInputs
from ..model.network import EntityVectors, LinkingBatch

if TYPE_CHECKING:
    from ..evidence import PreparedMention
    from ..kb.vectors import VectorSet


def collate(
    mentions: Sequence["PreparedMention"],
    *,
    heads: Mapping[str, "VectorSet"],
    image_dim: int,
    pooled: bool,
    device: str,
) -> LinkingBatch:
    """Pad prepared mentions to one batch.

    mentions (Sequence[PreparedMention]): at least one.
    heads (Mapping[str, VectorSet]): vector sets of the dwe channel; empty without it.
    image_dim (int): width of image vectors; 0 = the network reads no pictures.
    pooled (bool): give the network means of token states instead of the states.
    device (str): torch device of the batch.
    RETURNS (LinkingBatch): the batch.
    """
    size = max(1, *(len(m.rows) for m in mentions))
    width = mentions[0].features.shape[1]
    features = np.zeros((len(mentions), size, width), dtype=np.float32)
    present = np.zeros((len(mentions), size, width), dtype=bool)
    candidates = np.zeros((len(mentions), size), dtype=bool)
    described = np.zeros((len(mentions), size), dtype=bool)
    rows = np.full((len(mentions), size), -1, dtype=np.int64)
    for index, mention in enumerate(mentions):
        n = len(mention.rows)
        features[index, :n] = mention.features
        present[index, :n] = mention.present
        described[index, :n] = mention.described
        rows[index, :n] = mention.rows
        candidates[index, :n] = True
    return LinkingBatch(
        features=torch.from_numpy(features).to(device),
        present=torch.from_numpy(present).to(device),
        candidates=torch.from_numpy(candidates).to(device),
        described=torch.from_numpy(described).to(device),
        rows=torch.from_numpy(rows).to(device),
        inputs=_inputs(mentions, image_dim, pooled).to(device) if heads else None,
        entities={
            name: _entity_vectors(vectors, rows, device)
            for name, vectors in heads.items()
        },
    )


def with_targets(
    batch: LinkingBatch, gold_rows: np.ndarray, nil_share: float
) -> tuple[LinkingBatch, Tensor]:
    """Where the gold stands among the candidates of each mention.

    A gold that was not retrieved makes a NIL mention: put in by hand, it would have the
    lowest name score, and the combiner would learn that.

    batch (LinkingBatch): the mentions.
    gold_rows (np.ndarray): KB row of the gold, -1 for NIL. Shape: (batch,)
    nil_share (float): share of mentions whose gold is taken away to teach NIL.
    RETURNS (tuple[LinkingBatch, Tensor]): the batch, without the golds taken away, and
        targets: position of the gold, number of candidates for NIL. Shape: (batch,)
    """
    n = batch.rows.shape[1]
    gold = torch.from_numpy(gold_rows.astype(np.int64)).to(batch.rows.device)
    found = (batch.rows == gold[:, None]) & (gold >= 0)[:, None]
    taken = torch.rand(len(gold)) < nil_share
    taken = found & taken.to(found.device)[:, None]
    kept = found & ~taken
    targets = torch.where(kept.any(dim=1), kept.int().argmax(dim=1), n)
    return replace(batch, candidates=batch.candidates & ~taken), targets


def _inputs(
    mentions: Sequence["PreparedMention"], image_dim: int, pooled: bool
) -> MentionInputs:
    spans, contexts, texts = [], [], []
    for mention in mentions:
        text = mention.text
        assert text is not None, "the dwe channel reads text"
        own, context = text.states[text.mention], text.states
        if pooled:
            own, context = own.mean(0, keepdims=True), context.mean(0, keepdims=True)
        spans.append(own)
        contexts.append(context)
        texts.append(text.pooled)
    span_states, span_mask = _pad(spans, spans[0].shape[1])
    context_states, context_mask = _pad(contexts, contexts[0].shape[1])
    pictures = [m.pictures if image_dim else m.pictures[:0] for m in mentions]
    objects, object_mask = _pad(pictures, image_dim)
    return MentionInputs(
        mention=span_states,
        mention_mask=span_mask,
        context=context_states,
        context_mask=context_mask,
        text=torch.from_numpy(np.stack(texts)),
        objects=objects,
        object_mask=object_mask,
    )


def _pad(arrays: Sequence[np.ndarray], width: int) -> tuple[Tensor, Tensor]:
    """RETURNS (tuple[Tensor, Tensor]): values (batch, n, width) and mask (batch, n),
    where n is at least 1."""
    size = max(1, *(len(a) for a in arrays))
    values = np.zeros((len(arrays), size, width), dtype=np.float32)
    mask = np.zeros((len(arrays), size), dtype=bool)
    for index, array in enumerate(arrays):
        values[index, : len(array)] = array if len(array) else 0.0
        mask[index, : len(array)] = True
    return torch.from_numpy(values), torch.from_numpy(mask)


def _entity_vectors(
    vectors: "VectorSet", rows: np.ndarray, device: str
) -> EntityVectors:
    gathered, there = vectors.gather(np.maximum(rows, 0).ravel())
    present = there.reshape(rows.shape) & (rows >= 0)
    return EntityVectors(
        vectors=torch.from_numpy(gathered.reshape(*rows.shape, -1)).to(device),
        present=torch.from_numpy(present).to(device),
        mean=vectors.mean,
        std=vectors.std,
    )
