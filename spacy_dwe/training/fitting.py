"""Weights of the combiner fitted to all training mentions at once.

A softmax regression over features of candidates is convex but for NIL, so that L-BFGS
finds in seconds what thousands of stochastic steps do not.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf, isfinite
from typing import TYPE_CHECKING

import numpy as np
import torch
from thinc.api import Model
from torch import Tensor

from ..errors import DweError, Errors
from ..linking.collate import collate
from ..model.architectures import NetworkShim, shim_of
from ..model.combiner import UNTRAINED_NIL, Combiner
from ..model.losses import linking_loss
from ..model.spec import A_ALIGN, S_ALIGN, VISION
from .labels import some_labelled_mentions
from .pictures import are_pictured, fit_refinements, with_other_pictures
from .targets import BLOCK, feature_scores, unshown, with_targets

if TYPE_CHECKING:
    from spacy.training import Example

    from ..kb.knowledge_base import DweKnowledgeBase
    from ..linking.mentions import Mention
    from ..model.inputs import LinkingBatch, PreparedMention
    from ..model.network import LinkerNetwork
    from ..settings import DweSettings, LinkerSettings

PRIOR_DEVIATION = 2.0
"""How far from its untrained value a weight is expected to be, in logits a unit of the
feature. It counts against few mentions and hardly against many."""
EDGE_DEVIATION = 0.6
"""The same of what a state of unit length at an edge of a mention says of NIL."""
PAIR_DEVIATION = 0.4
"""The same of what two states say together, along one axis each."""
MENTION = list(UNTRAINED_NIL).index("mention")
ITERATIONS = 60

Block = tuple["LinkingBatch", Tensor]
"""Features of some mentions, and the position of each gold."""


def fit_to_examples(
    network: "LinkerNetwork",
    get_examples: Callable[[], Iterable["Example"]],
    kb: "DweKnowledgeBase",
    prepare: "Callable[[Sequence[Mention]], list[PreparedMention]]",
    nil_share: float,
    settings: "DweSettings",
    *,
    attributes: Sequence[str] = (),
    linker: "LinkerSettings | None" = None,
) -> None:
    """Fit what is fitted to all training mentions at once: the weights of all features
    but dwe's, and the maps that pictures pass.

    network (LinkerNetwork): changed in place.
    get_examples (Callable): returns labelled examples.
    kb (DweKnowledgeBase): has the golds.
    prepare (Callable): finds and describes candidates.
    nil_share (float): as in `fitting_blocks`.
    settings (DweSettings): say which of the two is fitted.
    attributes (Sequence[str]): custom attributes that channels read.
    linker (LinkerSettings | None): say which spans are mentions; None = entities.
    """
    if not (settings.fit_combiner or network.spec.refined):
        return
    mentions, gold_ids = some_labelled_mentions(
        get_examples, attributes=attributes, settings=linker
    )
    gold_rows, combiner = kb.rows_of(gold_ids), untrained_combiner(network)
    if settings.fit_combiner:
        edges = bool(network.spec.edge_width)

        def features(prepared: "Sequence[PreparedMention]") -> "LinkingBatch":
            return collate(
                prepared, heads={}, pictures={}, pooled=True, device="cpu", edges=edges
            )

        batches = (
            (features(prepare(mentions[i : i + BLOCK])), gold_rows[i : i + BLOCK])
            for i in range(0, len(mentions), BLOCK)
        )
        blocks = fitting_blocks(batches, nil_share, seed=0)
        changed = _with_other_pictures(
            mentions, gold_rows, prepare, settings.other_pictures, seed=0
        )
        for prepared, rows in changed:
            batch, targets = with_targets(features(prepared), rows, 0.0)
            others = np.ones(len(rows), dtype=bool)
            blocks.append((batch, unshown(combiner, batch, targets, others)))
        combiner = fit_features(network, blocks)
    fit_refinements(network, mentions, gold_rows, kb, prepare, combiner)


def _with_other_pictures(
    mentions: "Sequence[Mention]",
    gold_rows: np.ndarray,
    prepare: "Callable[[Sequence[Mention]], list[PreparedMention]]",
    share: float,
    seed: int,
) -> "Iterator[tuple[list[PreparedMention], np.ndarray]]":
    """YIELDS (tuple[list[PreparedMention], np.ndarray]): some mentions once more, with
    pictures of others that are read, and the KB row of each gold."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        changed, others = with_other_pictures(mentions, gold_rows, share)
    which = np.flatnonzero(others)
    for first in range(0, len(which), BLOCK):
        own = which[first : first + BLOCK]
        prepared = prepare([changed[i] for i in own])
        kept = np.flatnonzero(are_pictured(prepared))
        if len(kept):
            yield [prepared[i] for i in kept], gold_rows[own[kept]]


def fitting_blocks(
    batches: "Iterable[tuple[LinkingBatch, np.ndarray]]", nil_share: float, seed: int
) -> list[Block]:
    """Where the golds are.

    batches (Iterable): features of mentions, and the KB row of each gold, -1 = NIL.
    nil_share (float): share of mentions whose gold is taken away to teach NIL.
    seed (int): draws them.
    RETURNS (list[Block]): what `fit` reads.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return [with_targets(batch, rows, nil_share) for batch, rows in batches]


def fit(combiner: Combiner, blocks: Sequence[Block], strength: float) -> None:
    """Fit weights of all features and of NIL by cross-entropy over the candidates and
    NIL. A gold that was not found makes a NIL row. Where the search leaves the finite
    numbers, the best weights that it had seen stay.

    combiner (Combiner): changed in place; its weights are where the penalty pulls to,
        so that a feature that no data shows keeps its own.
    blocks (Sequence[Block]): at least one mention.
    strength (float): of L2, beside the mean loss of a mention.
    """
    n = sum(len(targets) for _, targets in blocks)
    parameters: list[Tensor] = list(combiner.parameters())
    strengths = [strength] * len(parameters)
    edges = combiner.edges
    fitted = {edges.weight: EDGE_DEVIATION, edges.form: PAIR_DEVIATION}
    if len(edges):
        edges.look_at(_edges_of(blocks))
        for weights, deviation in fitted.items():
            parameters.append(weights.requires_grad_())
            strengths.append(strength * (PRIOR_DEVIATION / deviation) ** 2)
    start = [parameter.detach().clone() for parameter in parameters]
    optimiser = torch.optim.LBFGS(
        parameters,
        max_iter=ITERATIONS,
        line_search_fn="strong_wolfe",
        tolerance_change=1e-7,
    )

    best, lowest = start, inf

    def closure() -> Tensor:
        nonlocal best, lowest
        optimiser.zero_grad()
        total = torch.zeros(())
        for block in blocks:
            loss = fitting_loss(combiner, *block) / n
            loss.backward()
            total = total + loss.detach()
        pulls = [
            pull * ((weights - own) ** 2).sum()
            for pull, weights, own in zip(strengths, parameters, start)
        ]
        penalty = torch.stack(pulls).sum()
        penalty.backward()
        if len(edges) and combiner.nil.grad is not None:
            # Or a large factor would let small weights say much.
            combiner.nil.grad[MENTION] = 0.0
        objective = total + penalty.detach()
        value = float(objective)
        if not isfinite(value):
            raise FloatingPointError
        if value < lowest:
            lowest = value
            best = [parameter.detach().clone() for parameter in parameters]
        return objective

    try:
        optimiser.step(closure)
    except FloatingPointError:
        for parameter, own in zip(parameters, best):
            parameter.detach().copy_(own)
    optimiser.zero_grad()
    for weights in fitted:
        weights.detach_()


def _edges_of(blocks: Sequence[Block]) -> Tensor:
    return torch.cat([batch.edges for batch, _ in blocks if batch.edges is not None])


def fitting_loss(combiner: Combiner, batch: "LinkingBatch", targets: Tensor) -> Tensor:
    """RETURNS (Tensor): cross-entropy, summed over the mentions of a block."""
    scores = feature_scores(combiner, batch)
    return linking_loss(scores.log_probabilities(), targets) * len(targets)


def untrained_combiner(network: "LinkerNetwork") -> Combiner:
    """RETURNS (Combiner): of all features but the network's own, as it begins, on the
    CPU."""
    return Combiner(network.columns.without_dwe(), network.spec.edge_width)


def fit_features(network: "LinkerNetwork", blocks: Sequence[Block]) -> Combiner:
    """Fit the weights of all features but the network's own, which keep theirs.

    network (LinkerNetwork): its combiner is changed in place.
    blocks (Sequence[Block]): features without those of dwe, on the CPU.
    RETURNS (Combiner): of these features, with the same weights, on the CPU.
    """
    fitted = untrained_combiner(network)
    n = sum(len(targets) for _, targets in blocks)
    if not n:
        return fitted
    fit(fitted, blocks, strength=1 / (2 * PRIOR_DEVIATION**2 * n))
    whole = network.combiner
    columns = [network.columns.all.index(column) for column in fitted.columns.all]
    with torch.no_grad():
        whole.weight[columns] = fitted.weight.to(whole.weight.device)
        whole.bias[columns] = fitted.bias.to(whole.bias.device)
        whole.nil.copy_(fitted.nil)
        whole.edges.load_state_dict(fitted.edges.state_dict())
    return fitted


def add_gradients(
    model: Model, batch: "LinkingBatch", targets: "Tensor", channels: Sequence[str]
) -> dict[str, float]:
    """Add the gradients of a batch to those that the weights have.

    model (Model): of the component.
    batch (LinkingBatch): mentions with their negatives.
    targets (Tensor): position of each gold, see `with_targets`. Shape: (batch,)
    channels (Sequence[str]): channels in use.
    RETURNS (dict[str, float]): the loss as `total`, and its parts.
    RAISES (DweError): the loss is not finite; no gradient is added.
    """
    shim = shim_of(model)
    output, backprop = model.begin_update((batch, channels))
    parts = shim.network.loss(output, batch, targets, shim.settings)
    values = parts.values()
    if not isfinite(values["total"]):
        raise DweError(Errors.E512)
    backprop(parts.total)
    return values


def loss_parts(shim: NetworkShim) -> tuple[str, ...]:
    """RETURNS (tuple[str, ...]): parts of the loss that count for a network."""
    spec = shim.network.spec
    if not spec.heads:
        return ("linking",)
    weights = {"linking": 1.0, "contrast": shim.settings.info_nce_weight}
    if VISION in spec.modality_widths:
        # Without pictures, or their faces, there is nothing to align with.
        weights[A_ALIGN] = spec.has(A_ALIGN) * shim.settings.a_align_weight
        weights[S_ALIGN] = spec.has(S_ALIGN) * shim.settings.s_align_weight
    return tuple(part for part, weight in weights.items() if weight)
