"""The linker's whole network: mention encoder, channel features, combiner, losses."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..settings import DweSettings
from .combiner import Combiner
from .dwe import EncodedMentions, MentionEncoder, Query
from .inputs import LinkingBatch
from .losses import linking_loss
from .modalities import Modality
from .objective import LossParts, NetworkOutput, Objective
from .spec import DWE, NetworkSpec


class LinkerNetwork(nn.Module):
    """Mention encoder and combiner. Knows neither images nor texts nor a KB.

    spec (NetworkSpec): its shapes.
    modalities (Mapping[str, Modality] | None): those of the spec; None = the paper's.
    precision (str): "bf16" or "fp32", see `MentionEncoder`.
    """

    def __init__(
        self,
        spec: NetworkSpec,
        modalities: Mapping[str, Modality] | None = None,
        *,
        precision: str = "fp32",
    ) -> None:
        super().__init__()
        self.spec = spec
        self.columns = spec.all_columns
        self.combiner = Combiner(self.columns, spec.edge_width)
        self.dwe_trained = spec.dwe_trained
        self.mention_encoder: MentionEncoder | None = None
        if spec.heads:
            self.mention_encoder = MentionEncoder(spec, modalities, precision=precision)
            self.objective = Objective(spec)

    @property
    def is_untrained(self) -> bool:
        """RETURNS (bool): whether it links zero-shot, by the weights it began with."""
        if self.spec.width:
            return False
        begun = Combiner(self.columns, self.spec.edge_width).state_dict()
        own = self.combiner.state_dict()
        return all(torch.equal(own[name].cpu(), begun[name]) for name in begun)

    def forward(
        self,
        batch: LinkingBatch,
        channels: Sequence[str],
        channel_dropout: float = 0.0,
    ) -> NetworkOutput:
        """batch (LinkingBatch): the mentions.
        channels (Sequence[str]): channels switched on; the others are masked.
        channel_dropout (float): probability of masking a channel of a mention; its
            name is never masked.
        RETURNS (NetworkOutput): logits and queries.
        """
        encoded = EncodedMentions({}, {})
        cosines: dict[str, Tensor] = {}
        features, present = batch.features, batch.present
        if self.mention_encoder is not None:
            if DWE in channels and batch.inputs is not None:
                encoded = self.mention_encoder(batch.inputs)
            cosines = {
                name: batch.entities[name].cosines(query.vectors)
                for name, query in encoded.queries.items()
            }
            values, there = self._dwe_features(batch, encoded.queries, cosines)
            features = torch.cat([features, values], dim=-1)
            present = torch.cat([present, there], dim=-1)
        mask = self._channel_mask(len(features), channels, channel_dropout)
        present = present & mask.to(present.device).unsqueeze(1)
        scores = self.combiner(
            features,
            present,
            batch.candidates,
            batch.described,
            batch.edges if "text" in channels else None,
        )
        return NetworkOutput(scores, encoded, cosines)

    def refine(
        self, space: str, weight: np.ndarray, bias: np.ndarray, offset: float
    ) -> None:
        """Set the map that pictures pass.

        space (str): of the pictures, one of the spec's `refined`.
        weight, bias (np.ndarray): see `Refinement`. Shapes: (dim, dim) and (dim,)
        offset (float): by how many deviations cosines of random pairs are lower for it,
            which an entity with pictures must not lose by.
        """
        assert self.mention_encoder is not None, "it reads pictures"
        state = {"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)}
        self.mention_encoder.refinements[space].load_state_dict(state)
        heads, columns = self.spec.heads.values(), self.columns.of(DWE)
        with torch.no_grad():
            for head, column in zip(heads, columns, strict=True):
                if head.of_pictures and head.picture == space:
                    self.combiner.bias[column] = self.combiner.weight[column] * offset

    def loss(
        self,
        output: NetworkOutput,
        batch: LinkingBatch,
        targets: Tensor,
        settings: DweSettings,
    ) -> LossParts:
        """output (NetworkOutput): what `forward` gave for the batch.
        batch (LinkingBatch): the mentions.
        targets (Tensor): position of the gold, number of candidates for NIL, or
            `IGNORED`. *Shape:* ``(batch,)``
        settings (DweSettings): which losses count.
        RETURNS (LossParts): the losses.
        """
        if self.mention_encoder is None:
            linking = linking_loss(output.scores.log_probabilities(), targets)
            zero = linking.new_zeros(())
            return LossParts(linking, linking, zero, zero, zero)
        return self.objective(self.mention_encoder, output, batch, targets, settings)

    def _dwe_features(
        self,
        batch: LinkingBatch,
        queries: dict[str, Query],
        cosines: dict[str, Tensor],
    ) -> tuple[Tensor, Tensor]:
        values, there = [], []
        usable = self.training or self.dwe_trained
        for name in self.spec.heads:
            if not queries or not usable:
                values.append(batch.features.new_zeros(batch.candidates.shape))
                there.append(torch.zeros_like(batch.candidates))
                continue
            entities, query = batch.entities[name], queries[name]
            values.append((cosines[name] - entities.mean) / entities.std)
            there.append(entities.present & query.present.unsqueeze(1))
        return torch.stack(values, dim=-1), torch.stack(there, dim=-1)

    def _channel_mask(
        self, n_mentions: int, channels: Sequence[str], dropout: float
    ) -> Tensor:
        """RETURNS (Tensor): False = masked. *Shape:* ``(batch, features)``"""
        mask = torch.zeros(n_mentions, len(self.columns), dtype=torch.bool)
        for channel, places in self.columns.by_channel.items():
            if channel not in channels:
                continue
            kept = torch.ones(n_mentions, dtype=torch.bool)
            # Every mention has a name: without one, NIL would be taught by scores that
            # no mention has.
            if dropout and channel != "name":
                kept = torch.rand(n_mentions) >= dropout
            mask[:, places] = kept.unsqueeze(1)
        return mask
