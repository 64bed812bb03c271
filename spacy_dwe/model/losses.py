"""Training objectives. Each takes scores and says which of them are right."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

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


def info_nce(
    queries: Tensor,
    entities: Tensor,
    valid: Tensor,
    targets: Tensor,
    gold_rows: Tensor,
    temperature: Tensor,
) -> Tensor:
    """InfoNCE of the dwe cosine over name candidates and, as further negatives, the
    golds of the other mentions in the batch; a gold shared by two mentions is never a
    negative of either.

    queries (Tensor): unit vectors. *Shape:* ``(batch, dim)``
    entities (Tensor): unit vectors of the candidates.
        *Shape:* ``(batch, candidates, dim)``
    valid (Tensor): the candidate exists and has a vector.
        *Shape:* ``(batch, candidates)``
    targets (Tensor): position of the gold among the candidates; any other value leaves
        the mention out. *Shape:* ``(batch,)``
    gold_rows (Tensor): identity of the gold, to recognise equal ones.
        *Shape:* ``(batch,)``
    temperature (Tensor): scalar.
    RETURNS (Tensor): mean over the mentions whose gold has a vector, 0 without any.
    """
    n_candidates = entities.shape[1]
    usable = (targets >= 0) & (targets < n_candidates)
    position = targets.clamp(0, n_candidates - 1).unsqueeze(1)
    usable = usable & valid.gather(1, position)[:, 0]
    if not usable.any():
        return queries.sum() * 0.0
    queries, entities, valid = queries[usable], entities[usable], valid[usable]
    position, gold_rows = position[usable], gold_rows[usable]
    index = position.unsqueeze(2).expand(-1, 1, entities.shape[2])
    golds = entities.gather(1, index)[:, 0]
    own = torch.einsum("bd,bcd->bc", queries, entities)
    same = gold_rows.unsqueeze(1) == gold_rows.unsqueeze(0)
    left_out = torch.cat([~valid, same], dim=1)
    logits = torch.cat([own, queries @ golds.T], dim=1) / temperature
    # Masked after the division: -inf / temperature has the gradient 0 * inf = NaN.
    return cross_entropy(logits.masked_fill(left_out, -torch.inf), position[:, 0])
