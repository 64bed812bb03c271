"""Prepared mentions to padded tensors."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..errors import DweError, Errors
from ..kb.vectors.entity_index import EntityIndex
from ..model.entity_vectors import EntityVectors, Owners
from ..model.inputs import (
    NO_VECTORS,
    LinkingBatch,
    MentionInputs,
    MentionPlace,
    Pictures,
    Slots,
)
from ..model.modalities import PAPER, Modality, all_modalities, checked_slots
from ..model.spec import DWE, TEXT

if TYPE_CHECKING:
    from ..kb.knowledge_base import DweKnowledgeBase
    from ..kb.vectors.joint_search import Queries
    from ..kb.vectors.sets import SetName, VectorSet
    from ..model.architectures import NetworkShim
    from ..model.inputs import PreparedMention

MOST = 0.5
"""Of a set's vectors: where candidates have more than that, all of it is read."""


def collate(
    mentions: Sequence["PreparedMention"],
    *,
    heads: Mapping[str, "VectorSet"],
    pictures: Mapping[str, int],
    pooled: bool,
    device: str,
    modalities: Mapping[str, Modality] | None = None,
    widths: Mapping[str, int] | None = None,
    places: Sequence[MentionPlace] | None = None,
    edges: bool = False,
    learns: bool = True,
) -> LinkingBatch:
    """Pad prepared mentions to one batch.

    mentions (Sequence[PreparedMention]): at least one.
    heads (Mapping[str, VectorSet]): vector sets of the dwe channel; empty without it.
    pictures (Mapping[str, int]): width of the vectors of pictures, by space; those that
        the network reads.
    pooled (bool): give the network means of token states instead of the states.
    device (str): torch device of the batch.
    modalities (Mapping[str, Modality] | None): what to extract; None = what the paper's
        do.
    widths (Mapping[str, int] | None): of the vectors of modalities that are not the
        paper's.
    places (Sequence[MentionPlace] | None): for modalities that read documents.
    edges (bool): give the combiner what stands at the edges of mentions.
    learns (bool): something is learned by the batch; see `entity_vectors`.
    RETURNS (LinkingBatch): the batch.
    RAISES (DweError): a modality extracted something that cannot be.
    """
    if modalities is None:
        modalities = all_modalities({}, pooled=pooled)
        if not pictures:
            modalities = {TEXT: modalities[TEXT]}
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
    inputs = None
    if heads:
        places = places or [MentionPlace()] * len(mentions)
        inputs = _inputs(mentions, places, pictures, pooled, modalities, widths or {})
    return LinkingBatch(
        features=torch.from_numpy(features).to(device),
        present=torch.from_numpy(present).to(device),
        candidates=torch.from_numpy(candidates).to(device),
        described=torch.from_numpy(described).to(device),
        rows=torch.from_numpy(rows).to(device),
        inputs=None if inputs is None else inputs.to(device),
        entities={
            name: entity_vectors(
                vectors, rows, device, _itself(mentions, name), learns=learns
            )
            for name, vectors in heads.items()
        },
        sentences=_sentences(mentions).to(device),
        edges=_edges(mentions).to(device) if edges else None,
    )


def _inputs(
    mentions: Sequence["PreparedMention"],
    places: Sequence[MentionPlace],
    spaces: Mapping[str, int],
    pooled: bool,
    modalities: Mapping[str, Modality],
    widths: Mapping[str, int],
) -> MentionInputs:
    spans, texts = [], []
    for mention in mentions:
        text = mention.text
        if text is None:
            spans.append(NO_VECTORS)
            texts.append(NO_VECTORS.ravel())
            continue
        spans.append(text.mention_mean if pooled else text.states[text.mention])
        texts.append(text.pooled)
    span_states, span_mask = _pad(spans, spans[0].shape[1])
    return MentionInputs(
        mention=span_states,
        mention_mask=span_mask,
        text=torch.from_numpy(np.stack(texts)),
        pictures={
            space: Pictures(
                *_pad([m.pictures.get(space, NO_VECTORS) for m in mentions], width)
            )
            for space, width in spaces.items()
        },
        modalities={
            name: _slots(name, modality, mentions, places, widths.get(name))
            for name, modality in modalities.items()
        },
    )


def _itself(mentions: Sequence["PreparedMention"], name: str) -> np.ndarray | None:
    """RETURNS (np.ndarray | None): `PreparedMention.itself` of each, -1 where it is
    none; None where all are. Shape: (batch,)"""
    if not any(name in mention.itself for mention in mentions):
        return None
    return np.array([mention.itself.get(name, -1) for mention in mentions])


def _edges(mentions: Sequence["PreparedMention"]) -> Tensor:
    texts = [mention.text for mention in mentions]
    return torch.from_numpy(np.stack([text.edges for text in texts if text]))


def _slots(
    name: str,
    modality: Modality,
    mentions: Sequence["PreparedMention"],
    places: Sequence[MentionPlace],
    width: int | None,
) -> Slots:
    """Extract one modality of every mention, and pad."""
    extracted = [modality.extract(m, place) for m, place in zip(mentions, places)]
    if name not in PAPER and width is not None:
        extracted = [
            checked_slots(name, width, arrays, place)
            for arrays, place in zip(extracted, places)
        ]
    lengths = [len(next(iter(a.values()), ())) for a in extracted]
    mask = np.arange(max(lengths)) < np.array(lengths)[:, None]
    examples = {k: a for own in extracted for k, a in own.items() if len(a)}
    arrays = {}
    for key, example in examples.items():
        dtype = np.bool_ if example.dtype == np.bool_ else np.float32
        padded = np.zeros((*mask.shape, *example.shape[1:]), dtype=dtype)
        for index, own in enumerate(extracted):
            if key in own and len(own[key]):
                padded[index, : lengths[index]] = own[key]
        arrays[key] = torch.from_numpy(padded)
    return Slots(arrays, torch.from_numpy(mask))


def _sentences(mentions: Sequence["PreparedMention"]) -> Tensor:
    """A number for each distinct sentence; an unknown one is like no other."""
    numbers: dict[object, int] = {}
    keys = [m.sentence or index for index, m in enumerate(mentions)]
    return torch.tensor([numbers.setdefault(key, len(numbers)) for key in keys])


def _pad(arrays: Sequence[np.ndarray], width: int) -> tuple[Tensor, Tensor]:
    """RETURNS (tuple[Tensor, Tensor]): values (batch, n, width) and mask (batch, n)."""
    size = max(len(array) for array in arrays)
    values = np.zeros((len(arrays), size, width), dtype=np.float32)
    mask = np.zeros((len(arrays), size), dtype=bool)
    for index, array in enumerate(arrays):
        if len(array):
            values[index, : len(array)] = array
            mask[index, : len(array)] = True
    return torch.from_numpy(values), torch.from_numpy(mask)


def entity_vectors(
    vectors: "VectorSet",
    rows: np.ndarray,
    device: str,
    itself: np.ndarray | None = None,
    *,
    learns: bool = True,
) -> EntityVectors:
    """Read the vectors of candidates.

    vectors (VectorSet): where they are.
    rows (np.ndarray): KB rows, -1 = padding. Shape: (batch, candidates)
    device (str): torch device to put them on.
    itself (np.ndarray | None): place of a vector that each mention is not compared
        with, -1 = none. Shape: (batch,)
    learns (bool): something is learned by them. Otherwise, where every mention has the
        same candidates and these are most of the KB, they are not gathered, but read
        block by block when they are compared.
    RETURNS (EntityVectors): several of a candidate that has several pictures; zero
        where there is none.
    """
    known = np.maximum(rows, 0)
    counts = vectors.offsets[known + 1] - vectors.offsets[known]
    alike = not learns and bool((rows == rows[0]).all() and (rows[0] >= 0).all())
    if alike and counts[0].sum() > len(vectors.array) * MOST:
        return _read_when_compared(vectors, rows, device)
    if itself is not None or counts.max(where=rows >= 0, initial=0) > 1:
        return _several_each(vectors, rows, device, itself)
    gathered, there = vectors.gather(np.maximum(rows, 0).ravel(), np.float16)
    present = there.reshape(rows.shape) & (rows >= 0)
    moved = torch.from_numpy(gathered.reshape(*rows.shape, -1)).to(device)
    return EntityVectors(
        vectors=moved.to(torch.float32),
        present=torch.from_numpy(present).to(device),
        mean=vectors.mean,
        std=vectors.std,
    )


def _read_when_compared(
    vectors: "VectorSet", rows: np.ndarray, device: str
) -> EntityVectors:
    """As `entity_vectors`, of the same candidates for each mention."""
    places, whose = vectors.of(rows[0])
    counts = np.bincount(whose, minlength=rows.shape[1])
    there = counts > 0
    starts = (np.cumsum(counts) - counts)[there]

    def compare(queries: Tensor) -> Tensor:
        index = EntityIndex(vectors.array, device=device)
        each = index.scores(queries.float().cpu().numpy())[:, places]
        nearest = np.zeros(rows.shape, dtype=np.float32)
        nearest[:, there] = np.maximum.reduceat(each, starts, axis=1)
        return torch.from_numpy(nearest).to(device)

    return EntityVectors(
        vectors=torch.zeros(0, 0, vectors.dim, device=device),
        present=torch.from_numpy(np.broadcast_to(there, rows.shape).copy()).to(device),
        mean=vectors.mean,
        std=vectors.std,
        compare=compare,
    )


def _several_each(
    vectors: "VectorSet", rows: np.ndarray, device: str, itself: np.ndarray | None
) -> EntityVectors:
    """As `entity_vectors`, of candidates of which some have several."""
    batch, n = rows.shape
    candidates = np.flatnonzero(rows.ravel() >= 0)
    places, whose = vectors.of(rows.ravel()[candidates])
    owners = candidates[whose]
    if itself is not None:
        kept = places != itself[owners // n]
        places, owners = places[kept], owners[kept]
    counts = np.bincount(owners // n, minlength=batch)
    n_rows = -(-counts // n)
    # Where the first vector of each mention stands, less those of the mentions before.
    shift = np.cumsum(n_rows) * n - n_rows * n - (np.cumsum(counts) - counts)
    slots = np.arange(len(places)) + np.repeat(shift, counts)
    values = np.zeros((n_rows.sum() * n, vectors.dim), dtype=np.float16)
    values[slots] = np.asarray(vectors.array).take(places, axis=0)
    slot_owners = np.full(len(values), rows.size, dtype=np.int64)
    slot_owners[slots] = owners
    present = np.bincount(owners, minlength=rows.size).reshape(rows.shape) > 0
    moved = torch.from_numpy(values.reshape(-1, n, vectors.dim)).to(device)
    return EntityVectors(
        vectors=moved.to(torch.float32),
        present=torch.from_numpy(present).to(device),
        mean=vectors.mean,
        std=vectors.std,
        owners=Owners(
            torch.from_numpy(np.repeat(np.arange(batch), n_rows)).to(device),
            torch.from_numpy(slot_owners.reshape(-1, n)).to(device),
        ),
    )


def linking_batch(
    prepared: Sequence["PreparedMention"],
    places: "Sequence[MentionPlace]",
    *,
    shim: "NetworkShim",
    kb: "DweKnowledgeBase",
    trained_sets: Mapping[str, str],
    text_set: "SetName | None",
    channels: Sequence[str],
    device: str,
    learns: bool,
) -> "LinkingBatch":
    """Pad a batch of mentions to what the network reads.

    prepared (Sequence[PreparedMention]): at least one mention.
    places (Sequence[MentionPlace]): where each stands.
    shim (NetworkShim): holds the network.
    kb (DweKnowledgeBase): has the vectors of the candidates.
    trained_sets (Mapping[str, str]): `VectorSet.identity` of each that the network was
        trained on.
    text_set (SetName | None): vectors that texts are compared with.
    channels (Sequence[str]): channels in use.
    device (str): torch device of the batch.
    learns (bool): something is learned by it.
    RETURNS (LinkingBatch): the batch.
    RAISES (DweError): the KB lacks a vector set that the network was trained on, or has
        standardised it anew.
    """
    spec = shim.network.spec
    sets = {str(name): vectors for name, vectors in kb.vector_sets.items()}
    heads = spec.heads if DWE in channels else ()
    reads_edges = bool(spec.edge_width) and "text" in channels
    edges = str(text_set) if reads_edges and text_set else None
    read = {*heads, *filter(None, [edges])}
    _check_sets({name: sets.get(name) for name in read}, trained_sets, kb)
    return collate(
        prepared,
        heads={name: sets[name] for name in heads},
        pictures=spec.pictures,
        pooled=_reads_pooled(shim, channels),
        device=device,
        modalities=shim.read_modalities if heads else {},
        widths=spec.modality_widths,
        places=places,
        edges=edges is not None,
        learns=learns,
    )


def _reads_pooled(shim: "NetworkShim", channels: Sequence[str]) -> bool:
    """RETURNS (bool): whether the network reads means of token states."""
    from ..encoders.protocol import Reading

    reads_states = shim.reading(channels) >= Reading.HALVES
    return shim.settings.states == "pooled" or not reads_states


def trained_queries(
    prepared: Sequence["PreparedMention"],
    places: "Sequence[MentionPlace]",
    *,
    shim: "NetworkShim",
    kb: "DweKnowledgeBase",
    trained_sets: Mapping[str, str],
    channels: Sequence[str],
    device: str,
) -> "dict[SetName, Queries]":
    """What a trained network looks for entities by.

    prepared (Sequence[PreparedMention]): at least one mention; of candidates nothing is
        read.
    places (Sequence[MentionPlace]): where each stands.
    shim, kb, trained_sets, channels, device: see `linking_batch`.
    RETURNS (dict[SetName, Queries]): by vector set, weighed as its column in the
        combiner; empty where nothing was trained.
    RAISES (DweError): see `linking_batch`.
    """
    from ..kb.vectors.joint_search import Queries
    from ..kb.vectors.sets import SetName

    if not shim.is_trained(channels):
        return {}
    network, spec = shim.network, shim.network.spec
    names = {name: SetName.read(name) for name in spec.heads}
    sets = {name: kb.vector_sets.get(names[name]) for name in names}
    _check_sets(sets, trained_sets, kb)
    inputs = _inputs(
        prepared,
        places,
        spec.pictures,
        _reads_pooled(shim, channels),
        shim.read_modalities,
        spec.modality_widths,
    )
    weights, biases = network.combiner.weight.tolist(), network.combiner.bias.tolist()
    columns = dict(zip(spec.heads, network.columns.of(DWE), strict=True))
    return {
        names[name]: Queries(
            query.vectors.float().cpu().numpy(),
            query.present.cpu().numpy(),
            weights[columns[name]],
            biases[columns[name]],
        )
        for name, query in shim.queries(inputs.to(device)).items()
    }


def _check_sets(
    sets: "Mapping[str, VectorSet | None]",
    trained_sets: Mapping[str, str],
    kb: "DweKnowledgeBase",
) -> None:
    """RAISES (DweError): the vectors of a set are none that the network knows."""
    lacking: list[str] = []
    otherwise: list[str] = []
    for name, vectors in sorted(sets.items()):
        trained = trained_sets.get(name, "")
        if vectors is not None and trained == vectors.identity:
            continue
        encoders = trained, trained.rpartition(" ")[0]
        known = vectors is not None and vectors.fingerprint in encoders
        (otherwise if known else lacking).append(name)
    if lacking:
        raise DweError(Errors.E511.format(kb=kb.path, sets=", ".join(lacking)))
    if otherwise:
        raise DweError(Errors.E545.format(kb=kb.path, sets=", ".join(otherwise)))
