"""From prepared mentions to what the network reads, from its logits to ranked
candidates, and from these to annotations."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from spacy.tokens import Doc

from .codecs import KBCandidate
from .errors import DweError, Errors
from .kb.candidates import found_by_names
from .mentions import Mention
from .model.channels import FeatureLayout
from .model.scoring import (
    SCORE_DECIMALS,
    ScoredMention,
    rank_order,
    softmax_with_nil,
)
from .tokens import NIL

if TYPE_CHECKING:
    from .evidence import PreparedMention
    from .kb.knowledge_base import DweKnowledgeBase
    from .model.architectures import NetworkShim
    from .model.combiner import CombinedScores
    from .model.modalities import MentionPlace
    from .model.network import LinkingBatch


def linking_batch(
    prepared: Sequence["PreparedMention"],
    places: "Sequence[MentionPlace]",
    *,
    shim: "NetworkShim",
    kb: "DweKnowledgeBase",
    trained_sets: Mapping[str, str],
    channels: Sequence[str],
    device: str,
) -> "LinkingBatch":
    """Pad a batch of mentions to what the network reads.

    prepared (Sequence[PreparedMention]): at least one mention.
    places (Sequence[MentionPlace]): where each stands.
    shim (NetworkShim): holds the network.
    kb (DweKnowledgeBase): has the vectors of the candidates.
    trained_sets (Mapping[str, str]): fingerprint of each vector set that the network
        was trained on.
    channels (Sequence[str]): channels in use.
    device (str): torch device of the batch.
    RETURNS (LinkingBatch): the batch.
    RAISES (DweError): the KB lacks a vector set that the network was trained on.
    """
    from .training.batching import collate

    spec = shim.network.spec
    sets = kb.vector_sets
    heads = spec.heads if "dwe" in channels else ()
    reads_edges = bool(spec.edge_width) and "text" in channels
    edges = kb.text_set if reads_edges else None
    missing = [
        name
        for name in {*heads, *filter(None, [edges])}
        if name not in sets or sets[name].fingerprint != trained_sets.get(name)
    ]
    if missing:
        raise DweError(Errors.E511.format(kb=kb.path, sets=", ".join(sorted(missing))))
    return collate(
        prepared,
        heads={name: sets[name] for name in heads},
        image_dim=spec.image_dim,
        pooled=shim.cfg["states"] == "pooled",
        device=device,
        modalities=shim.read_modalities if heads else {},
        widths=spec.modality_widths,
        places=places,
        edges=edges is not None,
    )


def rank_candidates(
    mentions: Sequence[Mention],
    prepared: Sequence["PreparedMention"],
    scores: "CombinedScores",
    *,
    layout: FeatureLayout,
    channels: Sequence[str],
    kb: "DweKnowledgeBase",
) -> list[ScoredMention]:
    """Order the candidates of a batch of mentions.

    mentions (Sequence[Mention]): the mentions.
    prepared (Sequence[PreparedMention]): their candidates.
    scores (CombinedScores): the network's logits.
    layout (FeatureLayout): which column of the features belongs to which channel.
    channels (Sequence[str]): channels to report contributions of.
    kb (DweKnowledgeBase): breaks ties by id.
    RETURNS (list[ScoredMention]): one a mention.
    RAISES (DweError): a score is NaN or infinite.
    """
    logits = scores.logits.float().cpu().numpy()
    nil = scores.nil.float().cpu().numpy()
    nil_features = scores.nil_features.float().cpu().numpy()
    by_column = scores.by_column.float().cpu().numpy()
    columns = {c: layout.columns(c) for c in layout.channels if c in channels}
    ranked = []
    for index, (mention, own) in enumerate(zip(mentions, prepared)):
        n = len(own.rows)
        rounded = np.round(logits[index, :n], SCORE_DECIMALS)
        if not (np.isfinite(rounded).all() and np.isfinite(nil[index])):
            raise DweError(
                Errors.E508.format(mention=mention.text, doc=mention.doc_name)
            )
        order = rank_order(rounded, kb.sort_keys(own.rows))
        rounded = rounded[order]
        probabilities, nil_probability = softmax_with_nil(rounded, float(nil[index]))
        ranked.append(
            ScoredMention(
                doc=mention.doc,
                start=mention.start,
                end=mention.end,
                text=mention.text,
                rows=own.rows[order],
                found_by=own.found_by[order],
                places=order.astype(np.int32),
                scores=rounded,
                probabilities=probabilities,
                nil_score=float(nil[index]),
                nil_probability=nil_probability,
                nil_features=nil_features[index],
                contributions={
                    channel: by_column[index, :n, where].sum(axis=0)[order]
                    for channel, where in columns.items()
                },
            )
        )
    return ranked


def annotate(
    docs: Iterable[Doc],
    scored: Sequence[ScoredMention],
    kb: "DweKnowledgeBase",
    *,
    top_k: int,
    threshold: float,
    overwrite: bool,
) -> None:
    """Write links and ranked candidates onto documents.

    docs (Iterable[Doc]): the documents.
    scored (Sequence[ScoredMention]): one for each of their entities, in order.
    kb (DweKnowledgeBase): gives ids, titles and descriptions.
    top_k (int): candidates kept on a span.
    threshold (float): a link needs at least this probability, and NIL's.
    overwrite (bool): replace a kb_id that an entity already has.
    """
    kept = [mention.rows[: max(1, top_k)] for mention in scored]
    rows = np.unique(np.concatenate(kept))
    known = dict(zip(rows.tolist(), kb.titles(rows)))
    ents = chain.from_iterable(doc.ents for doc in docs)
    for ent, mention in zip(ents, scored):
        candidates = tuple(
            KBCandidate(
                known[row][0],
                known[row][1],
                known[row][2],
                float(mention.probabilities[rank]),
                {
                    channel: float(values[rank])
                    for channel, values in mention.contributions.items()
                },
                found_by_names(int(mention.found_by[rank])),
            )
            for rank, row in enumerate(mention.rows[:top_k].tolist())
        )
        ent._.kb_candidates = candidates
        limit = max(threshold, mention.nil_probability)
        is_link = len(mention.rows) and mention.probabilities[0] >= limit
        kb_id = known[mention.rows[0]][0] if is_link else NIL
        for token in ent:
            if overwrite or not token.ent_kb_id:
                token.ent_kb_id_ = kb_id
