"""What the network reads of a batch of mentions: frozen features and their masks."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Slots:
    """What one modality extracted of a batch of mentions.

    arrays (dict[str, Tensor]): values by name. *Shape:* ``(batch, slots, …)``
    mask (Tensor): True = valid; a mention without any has an empty row.
        *Shape:* ``(batch, slots)``, slots ≥ 0
    """

    arrays: dict[str, Tensor]
    mask: Tensor

    @classmethod
    def none(cls, batch: int, device: torch.device) -> "Slots":
        """RETURNS (Slots): of mentions that have nothing."""
        return cls({}, torch.zeros(batch, 0, dtype=torch.bool, device=device))

    def __len__(self) -> int:
        """RETURNS (int): slots, padding included; of the widest mention."""
        return self.mask.shape[1]

    def to(self, device: torch.device | str) -> "Slots":
        """RETURNS (Slots): the same on another device."""
        arrays = {name: array.to(device) for name, array in self.arrays.items()}
        return Slots(arrays, self.mask.to(device))


@dataclass(frozen=True, slots=True)
class MentionInputs:
    """Frozen features of a batch of mentions; True in a mask = valid.

    mention (Tensor): token states of the mention. *Shape:* ``(batch, M, text_width)``
    mention_mask (Tensor): at least one a row. *Shape:* ``(batch, M)``
    text (Tensor): the mention in its context, pooled, unit length.
        *Shape:* ``(batch, text_dim)``
    pictures (Tensor): vectors of whole pictures, unit length.
        *Shape:* ``(batch, P, image_dim)``
    picture_mask (Tensor): *Shape:* ``(batch, P)``
    modalities (dict[str, Slots]): what enhances the mention, by modality: of the paper,
        ``text`` has `states`, token states of the context; ``vision`` has `objects`,
        vectors of image regions, and may have `faces`, vectors of facial phrases, with
        `face_mask`; ``attributes`` has `scenes`, vectors of scene attributes.
    """

    mention: Tensor
    mention_mask: Tensor
    text: Tensor
    pictures: Tensor
    picture_mask: Tensor
    modalities: dict[str, Slots]

    def slots(self, modality: str) -> Slots:
        """RETURNS (Slots): of a modality, none where nobody supplied any."""
        if modality in self.modalities:
            return self.modalities[modality]
        return Slots.none(len(self.text), self.text.device)

    def to(self, device: torch.device | str) -> "MentionInputs":
        """RETURNS (MentionInputs): the same on another device."""
        return MentionInputs(
            self.mention.to(device),
            self.mention_mask.to(device),
            self.text.to(device),
            self.pictures.to(device),
            self.picture_mask.to(device),
            {name: slots.to(device) for name, slots in self.modalities.items()},
        )
