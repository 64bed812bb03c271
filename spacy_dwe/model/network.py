"""The linker's whole network: mention encoder, channel features, combiner, losses."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .channels import FeatureLayout
from .combiner import CombinedScores, Combiner
from .dwe import MentionEncoder, MentionInputs, Query, QueryHead
from .losses import IGNORED, info_nce, linking_loss

INITIAL_TEMPERATURE = 0.05


@dataclass(frozen=True, slots=True)
class EntityVectors:
    """Candidates' vectors from one KB vector set.

    vectors (Tensor): unit length. *Shape:* ``(batch, candidates, dim)``
    present (Tensor): *Shape:* ``(batch, candidates)``
    mean, std (float): cosine of random pairs of the set, to standardise by.
    """

    vectors: Tensor
    present: Tensor
    mean: float
    std: float


@dataclass(frozen=True, slots=True)
class LinkingBatch:
    """Everything the network sees of a batch of mentions, on one device.

    features (Tensor): features of all channels but dwe, in the order of the layout.
        *Shape:* ``(batch, candidates, features)``
    present (Tensor): *Shape:* as `features`, bool
    candidates (Tensor): False = padding. *Shape:* ``(batch, candidates)``
    described (Tensor): the entity has a description.
        *Shape:* ``(batch, candidates)``
    rows (Tensor): KB rows, -1 = padding. *Shape:* ``(batch, candidates)``, int64
    inputs (MentionInputs | None): for the mention encoder.
    entities (dict): candidates' vectors by vector set.
    """

    features: Tensor
    present: Tensor
    candidates: Tensor
    described: Tensor
    rows: Tensor
    inputs: MentionInputs | None
    entities: dict[str, EntityVectors]


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """What the weights' shapes follow from; saved beside them as JSON.

    channels (tuple): channels that have columns in the combiner.
    heads (dict): vector sets of the dwe channel; empty without that channel.
    text_width, image_dim (int): widths of the frozen encoders, 0 without that channel.
    width, n_heads, ffn_width, dropout, decoder: see `MentionEncoder`.
    dwe_trained (bool): False masks the dwe channel.
    """

    channels: tuple[str, ...]
    heads: dict[str, QueryHead]
    text_width: int
    image_dim: int
    width: int
    n_heads: int
    ffn_width: int
    dropout: float
    decoder: bool
    dwe_trained: bool


@dataclass(frozen=True, slots=True)
class NetworkOutput:
    """scores (CombinedScores): logits of candidates and NIL.
    queries (dict[str, Query]): the mention encoder's queries by vector set.
    """

    scores: CombinedScores
    queries: dict[str, Query]


@dataclass(frozen=True, slots=True)
class LossParts:
    """The losses of one batch, each a scalar; `total` is what is minimised."""

    total: Tensor
    linking: Tensor
    info_nce: Tensor


class LinkerNetwork(nn.Module):
    """Mention encoder and combiner. Knows neither images nor texts nor a KB.

    spec (NetworkSpec): its shapes.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        self.layout = FeatureLayout.of(spec.channels, tuple(spec.heads))
        self.combiner = Combiner(self.layout)
        self.dwe_trained = spec.dwe_trained
        self.mention_encoder: MentionEncoder | None = None
        if spec.heads:
            self.mention_encoder = MentionEncoder(
                text_width=spec.text_width,
                image_dim=spec.image_dim,
                heads=spec.heads,
                width=spec.width,
                n_heads=spec.n_heads,
                ffn_width=spec.ffn_width,
                dropout=spec.dropout,
                decoder=spec.decoder,
            )
            self.log_temperature = nn.Parameter(torch.tensor(INITIAL_TEMPERATURE).log())

    def forward(
        self,
        batch: LinkingBatch,
        channels: Sequence[str],
        channel_dropout: float = 0.0,
    ) -> NetworkOutput:
        """batch (LinkingBatch): the mentions.
        channels (Sequence[str]): channels switched on; the others are masked.
        channel_dropout (float): probability of masking a channel of a mention.
        RETURNS (NetworkOutput): logits and queries.
        """
        queries: dict[str, Query] = {}
        features, present = batch.features, batch.present
        if self.mention_encoder is not None:
            if "dwe" in channels and batch.inputs is not None:
                queries = self.mention_encoder(batch.inputs)
            cosines, there = self._dwe_features(batch, queries)
            features = torch.cat([features, cosines], dim=-1)
            present = torch.cat([present, there], dim=-1)
        mask = self._channel_mask(len(features), channels, channel_dropout)
        present = present & mask.to(present.device).unsqueeze(1)
        scores = self.combiner(features, present, batch.candidates, batch.described)
        return NetworkOutput(scores, queries)

    def loss(
        self,
        output: NetworkOutput,
        batch: LinkingBatch,
        targets: Tensor,
        info_nce_weight: float,
    ) -> LossParts:
        """targets (Tensor): position of the gold, number of candidates for NIL, or
            `IGNORED`. *Shape:* ``(batch,)``
        info_nce_weight (float): weight of InfoNCE beside the linking loss.
        RETURNS (LossParts): the losses.
        """
        linking = linking_loss(output.scores.log_probabilities(), targets)
        contrast = linking.new_zeros(())
        for name, query in output.queries.items():
            entities = batch.entities[name]
            position = targets.clamp(0, batch.rows.shape[1] - 1).unsqueeze(1)
            contrast = contrast + info_nce(
                query.vectors,
                entities.vectors,
                entities.present & batch.candidates,
                targets.masked_fill(~query.present, IGNORED),
                batch.rows.gather(1, position)[:, 0],
                self.log_temperature.exp().clamp(min=0.01),
            )
        contrast = contrast / max(1, len(output.queries))
        return LossParts(linking + info_nce_weight * contrast, linking, contrast)

    def _dwe_features(
        self, batch: LinkingBatch, queries: dict[str, Query]
    ) -> tuple[Tensor, Tensor]:
        values, there = [], []
        usable = self.training or self.dwe_trained
        for name in self.spec.heads:
            if not queries or not usable:
                values.append(batch.features.new_zeros(batch.candidates.shape))
                there.append(torch.zeros_like(batch.candidates))
                continue
            entities, query = batch.entities[name], queries[name]
            cosine = torch.einsum("bd,bcd->bc", query.vectors, entities.vectors)
            values.append((cosine - entities.mean) / entities.std)
            there.append(entities.present & query.present.unsqueeze(1))
        return torch.stack(values, dim=-1), torch.stack(there, dim=-1)

    def _channel_mask(
        self, n_mentions: int, channels: Sequence[str], dropout: float
    ) -> Tensor:
        """RETURNS (Tensor): False = masked. *Shape:* ``(batch, features)``"""
        mask = torch.zeros(n_mentions, len(self.layout), dtype=torch.bool)
        for channel in self.layout.channels:
            if channel not in channels:
                continue
            kept = torch.ones(n_mentions, dtype=torch.bool)
            if dropout:
                kept = torch.rand(n_mentions) >= dropout
            mask[:, self.layout.columns(channel)] = kept.unsqueeze(1)
        return mask
