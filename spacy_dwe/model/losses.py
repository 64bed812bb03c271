"""Objectives of linking, of the dwe cosine, and of modalities that are aligned with
each other. Each takes scores and says which of them are right."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

LEAST = 1e-6
"""Weight of all mentions together that a mean is not divided by less than."""
IGNORED = -100
"""Target of a mention without a label: it adds nothing to a loss."""


def linking_loss(log_probabilities: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy over the retrieved candidates and NIL, the main objective.

    log_probabilities (Tensor): NIL last. *Shape:* ``(batch, candidates + 1)``
    targets (Tensor): position of the gold, or `IGNORED`. *Shape:* ``(batch,)``
    RETURNS (Tensor): mean over labelled mentions, 0 when there is none.
    """
    labelled = targets != IGNORED
    if not labelled.any():
        # NIL's alone: log p of padding is -inf, and -inf * 0 is NaN.
        return log_probabilities[:, -1].sum() * 0.0
    picked = log_probabilities[labelled].gather(1, targets[labelled].unsqueeze(1))
    return -picked.mean()


@dataclass(frozen=True, slots=True)
class Contrast:
    """Queries beside what they should and should not be like.

    Negatives are the name candidates of the mention, the hard ones, and the golds of
    the other mentions in the batch; a gold shared by two mentions is a negative of
    neither.

    positives (Tensor): cosine with the gold. *Shape:* ``(mentions,)``
    negatives (Tensor): cosines with the others.
        *Shape:* ``(mentions, candidates + batch)``
    left_out (Tensor): True = no negative. *Shape:* as `negatives`
    weights (Tensor): how much each mention counts. *Shape:* ``(mentions,)``
    """

    positives: Tensor
    negatives: Tensor
    left_out: Tensor
    weights: Tensor

    @classmethod
    def of(
        cls,
        own: Tensor,
        golds: Tensor,
        valid: Tensor,
        targets: Tensor,
        gold_rows: Tensor,
        weights: Tensor | None = None,
    ) -> "Contrast":
        """own (Tensor): cosine of each query with its candidates.
            *Shape:* ``(batch, candidates)``
        golds (Tensor): cosine of each query with the gold of every mention.
            *Shape:* ``(batch, batch)``
        valid (Tensor): the candidate exists and has a vector.
            *Shape:* ``(batch, candidates)``
        targets (Tensor): position of the gold among the candidates; any other value
            leaves the mention out. *Shape:* ``(batch,)``
        gold_rows (Tensor): identity of the gold, to recognise equal ones.
            *Shape:* ``(batch,)``
        weights (Tensor | None): how much each mention counts; None = all the same.
            *Shape:* ``(batch,)``
        RETURNS (Contrast): of the mentions whose gold has a vector.
        """
        n_candidates = own.shape[1]
        usable = (targets >= 0) & (targets < n_candidates)
        position = targets.clamp(0, n_candidates - 1).unsqueeze(1)
        usable = usable & valid.gather(1, position)[:, 0]
        same = gold_rows.unsqueeze(1) == gold_rows.unsqueeze(0)
        left_out = torch.cat(
            [(~valid).scatter(1, position, True), same | ~usable.unsqueeze(0)], dim=1
        )
        return cls(
            positives=own.gather(1, position)[usable, 0],
            negatives=torch.cat([own, golds], dim=1)[usable],
            left_out=left_out[usable],
            weights=(torch.ones_like(own[:, 0]) if weights is None else weights)[
                usable
            ],
        )

    def __len__(self) -> int:
        return len(self.positives)

    def mean(self, terms: Tensor) -> Tensor:
        """RETURNS (Tensor): weighted mean of a term of each mention, a scalar; 0 where
        none counts."""
        return (terms * self.weights).sum() / self.weights.sum().clamp(min=LEAST)


def info_nce(contrast: Contrast, temperature: Tensor) -> Tensor:
    """InfoNCE, -log of the gold's share of exp(cosine / temperature): the default. All
    negatives push at once, the likest most; wants a temperature, which is learned.

    contrast (Contrast): cosines.
    temperature (Tensor): scalar.
    RETURNS (Tensor): mean over mentions, 0 without any.
    """
    if not len(contrast):
        return contrast.positives.sum()
    positives = contrast.positives / temperature
    # Masked after the division: -inf / temperature has the gradient 0 * inf = NaN.
    negatives = contrast.negatives / temperature
    return contrast.mean(
        _minus_log_share(
            positives, negatives.masked_fill(contrast.left_out, -torch.inf)
        )
    )


def triplet(contrast: Contrast, margin: float) -> Tensor:
    """Triplet loss max(0, margin + d(q, gold) - d(q, negative)) with cosine distance,
    the paper's main loss. Stops at the margin, so that negatives already apart do not
    matter; the mean is over the terms that are not zero, lest they drown in easy ones
    (our reading).

    contrast (Contrast): cosines.
    margin (float): distance to keep.
    RETURNS (Tensor): mean over terms above zero, 0 without any.
    """
    terms = torch.relu(margin + contrast.negatives - contrast.positives.unsqueeze(1))
    terms = terms.masked_fill(contrast.left_out, 0.0) * contrast.weights.unsqueeze(1)
    counted = (terms > 0) * contrast.weights.unsqueeze(1)
    return terms.sum() / counted.sum().clamp(min=1)


def n_pair(contrast: Contrast) -> Tensor:
    """N-pair loss log(1 + Σ exp(q·n - q·p)) (Sohn 2016), what the authors' code trains
    by. It has no temperature, so that unit vectors give weak gradients: weigh it 10 to
    1 against the alignments, as they do. q·n - q·p is taken as a difference of two
    products; no (batch, batch, width) tensor is built.

    contrast (Contrast): cosines.
    RETURNS (Tensor): mean over mentions, 0 without any.
    """
    if not len(contrast):
        return contrast.positives.sum()
    negatives = contrast.negatives.masked_fill(contrast.left_out, -torch.inf)
    return contrast.mean(_minus_log_share(contrast.positives, negatives))


def _minus_log_share(positives: Tensor, negatives: Tensor) -> Tensor:
    every = torch.cat([positives.unsqueeze(1), negatives], dim=1)
    return every.logsumexp(dim=1) - positives


ALIKE = 1.0 - 1e-5
"""Cosine from which two frozen vectors are of the same input."""

MAX_SCALE = 100.0
"""Bound of 1 / temperature, as CLIP has it: beyond, gradients explode."""


def a_align(
    faces: Tensor,
    objects: Tensor,
    frozen_faces: Tensor,
    frozen_objects: Tensor,
    mask: Tensor,
    scale: Tensor,
) -> Tensor:
    """A-Align: symmetric InfoNCE between a facial phrase and the image region it was
    read from. Use it where faces are extracted; on raw frozen inputs it would be a
    constant, hence on projected ones.

    A pair that several mentions share counts once, and equal phrases are positives of
    each other (our reading).

    faces, objects (Tensor): P_txt(f_i) and P_img(o_i).
        *Shape:* ``(batch, slots, width)``
    frozen_faces, frozen_objects (Tensor): f_i and o_i, to recognise equal ones.
        *Shape:* ``(batch, slots, image_dim)``
    mask (Tensor): the slot has both. *Shape:* ``(batch, slots)``
    scale (Tensor): scalar, 1 / temperature.
    RETURNS (Tensor): mean over pairs, 0 under two pairs.
    """
    valid = mask.flatten()
    same_face = _alike(frozen_faces.flatten(0, 1))
    repeated = same_face & _alike(frozen_objects.flatten(0, 1))
    first = torch.tril(repeated & valid.unsqueeze(0), diagonal=-1)
    valid = valid & ~first.any(dim=1)
    own = torch.eye(len(valid), dtype=torch.bool, device=valid.device)
    return symmetric_info_nce(
        faces.flatten(0, 1),
        objects.flatten(0, 1),
        same_face | own,
        torch.ones_like(own),
        valid,
        scale,
    )


def s_align(
    vision: Tensor,
    text: Tensor,
    pictures: Tensor,
    picture_mask: Tensor,
    sentences: Tensor,
    scale: Tensor,
) -> Tensor:
    """S-Align: symmetric InfoNCE between the mention enhanced by its pictures, m_v, and
    by its context, m_t. It pulls m_v towards m_t and can remove what only the picture
    knows: leave it out where pictures decide.

    Mentions of the same picture or sentence are not negatives of each other.

    vision, text (Tensor): m_v and m_t. *Shape:* ``(batch, width)``
    pictures (Tensor): frozen vectors, to recognise equal pictures.
        *Shape:* ``(batch, P, image_dim)``
    picture_mask (Tensor): a mention without any takes no part. *Shape:* ``(batch, P)``
    sentences (Tensor): identity of the sentence. *Shape:* ``(batch,)``
    scale (Tensor): scalar, 1 / temperature.
    RETURNS (Tensor): mean over mentions with a picture, 0 under two.
    """
    batch, n = picture_mask.shape
    alike = _alike(pictures.flatten(0, 1)).view(batch, n, batch, n)
    both = picture_mask.view(batch, n, 1, 1) & picture_mask.view(1, 1, batch, n)
    same_picture = (alike & both).any(dim=3).any(dim=1)
    same_sentence = sentences.unsqueeze(1) == sentences.unsqueeze(0)
    own = torch.eye(batch, dtype=torch.bool, device=vision.device)
    compared = own | ~(same_picture | same_sentence)
    return symmetric_info_nce(
        vision, text, own, compared, picture_mask.any(dim=1), scale
    )


def symmetric_info_nce(
    a: Tensor,
    b: Tensor,
    positive: Tensor,
    compared: Tensor,
    valid: Tensor,
    scale: Tensor,
) -> Tensor:
    """Mean of InfoNCE from a to b and from b to a: minus the log of the share that all
    positives have together.

    a, b (Tensor): the two sides of each pair. *Shape:* ``(pairs, width)``
    positive (Tensor): pairs whose sides belong together, each with itself; symmetric.
        *Shape:* ``(pairs, pairs)``
    compared (Tensor): pairs that take part in each other's sum, each in its own;
        symmetric. *Shape:* ``(pairs, pairs)``
    valid (Tensor): pairs that there are. *Shape:* ``(pairs,)``
    scale (Tensor): scalar, 1 / temperature, bounded by `MAX_SCALE`.
    RETURNS (Tensor): mean over valid pairs, 0 under two.
    """
    own = torch.eye(len(valid), dtype=torch.bool, device=valid.device)
    # A pair that is not there keeps itself, so that no sum is empty: its term is 0.
    compared = own | (compared & valid.unsqueeze(0) & valid.unsqueeze(1))
    cosines = normalize(a, dim=-1) @ normalize(b, dim=-1).T
    logits = cosines * scale.clamp(max=MAX_SCALE)
    every = logits.masked_fill(~compared, -torch.inf)
    right = logits.masked_fill(~(compared & positive), -torch.inf)
    terms = every.logsumexp(1) - right.logsumexp(1)
    terms = terms + every.logsumexp(0) - right.logsumexp(0)
    return terms.masked_fill(~valid, 0.0).sum() / (2 * valid.sum().clamp(min=1))


def _alike(vectors: Tensor) -> Tensor:
    with torch.no_grad():
        unit = normalize(vectors, dim=-1)
        return unit @ unit.T > ALIKE
