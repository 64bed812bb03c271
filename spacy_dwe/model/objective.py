"""What training minimises: the linking loss, and what helps the mention encoder."""

from collections.abc import Collection
from dataclasses import dataclass, fields
from math import log

import torch
from torch import Tensor, nn

from ..settings import DweSettings
from .combiner import CombinedScores
from .dwe import EncodedMentions, MentionEncoder, Query
from .inputs import LinkingBatch, MentionInputs
from .losses import (
    IGNORED,
    Contrast,
    a_align,
    info_nce,
    linking_loss,
    n_pair,
    s_align,
    triplet,
)
from .spec import A_ALIGN, CONTRAST, S_ALIGN, TEXT, VISION, NetworkSpec


@dataclass(frozen=True, slots=True)
class NetworkOutput:
    """scores (CombinedScores): logits of candidates and NIL.
    encoded (EncodedMentions): what the mention encoder says, nothing where it was not
        asked.
    cosines (dict[str, Tensor]): of each query with the candidates, by vector set.
        *Shape:* ``(batch, candidates)``
    """

    scores: CombinedScores
    encoded: EncodedMentions
    cosines: dict[str, Tensor]

    @property
    def queries(self) -> dict[str, Query]:
        """RETURNS (dict[str, Query]): the mention encoder's queries by vector set."""
        return self.encoded.queries


CONTRAST_TEMPERATURE = 0.05
MIN_TEMPERATURE = 0.01
ALIGN_TEMPERATURE = 0.07


@dataclass(frozen=True, slots=True)
class LossParts:
    """The losses of one batch, each a scalar, before it is weighed.

    total (Tensor): what is minimised.
    linking (Tensor): cross-entropy over candidates and NIL.
    contrast (Tensor): InfoNCE, triplet or N-pair, mean over the query heads.
    a_align, s_align (Tensor): the alignments; 0 where their weight is.
    """

    total: Tensor
    linking: Tensor
    contrast: Tensor
    a_align: Tensor
    s_align: Tensor

    def values(self) -> dict[str, float]:
        """RETURNS (dict[str, float]): every part by name, for logging."""
        names = [field.name for field in fields(self)]
        stacked = torch.stack([getattr(self, name).detach() for name in names])
        return dict(zip(names, stacked.tolist()))


class Objective(nn.Module):
    """Adds up the losses; holds their temperatures, each learned on its own. One of a
    loss that was not in use when the network was made stays as it is.

    spec (NetworkSpec): says which are in use.
    """

    log_temperature: Tensor
    a_align_scale: Tensor
    s_align_scale: Tensor

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self._start(spec, CONTRAST, "log_temperature", log(CONTRAST_TEMPERATURE))
        self._start(spec, A_ALIGN, "a_align_scale", -log(ALIGN_TEMPERATURE))
        self._start(spec, S_ALIGN, "s_align_scale", -log(ALIGN_TEMPERATURE))

    def _start(self, spec: NetworkSpec, loss: str, name: str, value: float) -> None:
        if spec.has(loss):
            self.register_parameter(name, nn.Parameter(torch.tensor(value)))
        else:
            self.register_buffer(name, torch.tensor(value), persistent=False)

    def forward(
        self,
        encoder: MentionEncoder,
        output: "NetworkOutput",
        batch: "LinkingBatch",
        targets: Tensor,
        settings: DweSettings,
    ) -> LossParts:
        """encoder (MentionEncoder): gives what A-Align compares.
        output (NetworkOutput): what the network says of the mentions.
        batch (LinkingBatch): the mentions' candidates.
        targets (Tensor): position of the gold, number of candidates for NIL, or
            `IGNORED`. *Shape:* ``(batch,)``
        settings (DweSettings): what counts.
        RETURNS (LossParts): the losses.
        """
        encoded = output.encoded
        labels = targets
        if batch.from_kb is not None:
            labels = targets.masked_fill(batch.from_kb, IGNORED)
        linking = linking_loss(output.scores.log_probabilities(), labels)
        zero = linking.new_zeros(())
        contrast, faces, aligned = zero, zero, zero
        if settings.info_nce_weight:
            of_pictures = {n for n, h in encoder.heads.items() if h.of_pictures}
            contrast = self._contrast(
                output, batch, targets, of_pictures, settings, zero
            )
        if settings.a_align_weight and batch.inputs is not None:
            faces = self._a_align(encoder, batch.inputs, zero)
        if settings.s_align_weight and batch.inputs is not None:
            aligned = self._s_align(encoded, batch, batch.inputs, zero)
        total = (
            linking
            + settings.info_nce_weight * contrast
            + settings.a_align_weight * faces
            + settings.s_align_weight * aligned
        )
        return LossParts(total, linking, contrast, faces, aligned)

    def _contrast(
        self,
        output: "NetworkOutput",
        batch: "LinkingBatch",
        targets: Tensor,
        of_pictures: Collection[str],
        settings: DweSettings,
        zero: Tensor,
    ) -> Tensor:
        n_candidates = batch.rows.shape[1]
        position = targets.clamp(0, n_candidates - 1).unsqueeze(1)
        allowed = batch.candidates
        if batch.negatives is not None:
            # The gold is no negative, and stays.
            allowed = allowed & batch.negatives.scatter(1, position, True)
        total = zero
        for name, query in output.queries.items():
            entities = batch.entities[name]
            valid, own = entities.present & allowed, output.cosines[name]
            if name in batch.hard:
                hard = batch.hard[name]
                own = torch.cat([own, hard.cosines(query.vectors)], dim=1)
                valid = torch.cat([valid, hard.present], dim=1)
            unlabelled = ~query.present | (targets >= n_candidates)
            weights = batch.shown if name in of_pictures else None
            if batch.from_kb is not None and name not in of_pictures:
                unlabelled = unlabelled | batch.from_kb
            contrast = Contrast.of(
                own,
                entities.cosines_across(query.vectors, position[:, 0]),
                valid,
                targets.masked_fill(unlabelled, IGNORED),
                batch.rows.gather(1, position)[:, 0],
                weights,
            )
            total = total + self._term(contrast, settings)
        return total / max(1, len(output.queries))

    def _term(self, contrast: Contrast, settings: DweSettings) -> Tensor:
        if settings.loss == "triplet":
            return triplet(contrast, settings.margin)
        if settings.loss == "n_pair":
            return n_pair(contrast)
        return info_nce(contrast, self.log_temperature.exp().clamp(min=MIN_TEMPERATURE))

    def _a_align(
        self, encoder: MentionEncoder, inputs: MentionInputs, zero: Tensor
    ) -> Tensor:
        pairs = encoder.face_pairs(inputs)
        if pairs is None:
            return zero
        vision = inputs.slots(VISION)
        return a_align(
            *pairs,
            vision.arrays["faces"],
            vision.arrays["objects"],
            vision.mask & vision.arrays["face_mask"],
            self.a_align_scale.exp(),
        )

    def _s_align(
        self,
        encoded: EncodedMentions,
        batch: "LinkingBatch",
        inputs: MentionInputs,
        zero: Tensor,
    ) -> Tensor:
        enhanced, vision = encoded.enhanced, inputs.slots(VISION)
        sentences, pictured = batch.sentences, inputs.whole.mask
        if not (enhanced.keys() >= {TEXT, VISION} and len(vision)):
            return zero
        if batch.shown is not None:
            # A picture of something else says nothing of the sentence beside it.
            pictured = pictured & (batch.shown > 0).unsqueeze(1)
        if batch.from_kb is not None:
            pictured = pictured & ~batch.from_kb.unsqueeze(1)
        if sentences is None:
            sentences = torch.arange(len(vision.mask), device=zero.device)
        return s_align(
            enhanced[VISION].to(zero.dtype),
            enhanced[TEXT].to(zero.dtype),
            inputs.whole.vectors,
            pictured,
            sentences,
            self.s_align_scale.exp(),
        )
