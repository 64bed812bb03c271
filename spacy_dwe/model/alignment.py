"""Objectives that pull two modalities of one mention together (Song et al., AAAI-24,
section on the dual-way enhancement), with the masks that the paper leaves out."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

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
