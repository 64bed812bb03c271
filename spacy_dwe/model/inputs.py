"""What the network reads of a batch of mentions: frozen features and their masks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from .entity_vectors import EntityVectors

if TYPE_CHECKING:
    from spacy.tokens import Doc

    from ..encoders.protocol import MentionFeatures


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
class Pictures:
    """Whole pictures of a batch of mentions in one space.

    vectors (Tensor): unit length. *Shape:* ``(batch, P, dim)``
    mask (Tensor): True = valid. *Shape:* ``(batch, P)``
    """

    vectors: Tensor
    mask: Tensor

    @classmethod
    def none(cls, batch: int, device: torch.device) -> "Pictures":
        """RETURNS (Pictures): of mentions that have none."""
        vectors = torch.zeros(batch, 0, 0, device=device)
        return cls(vectors, vectors.new_zeros(batch, 0, dtype=torch.bool))

    @property
    def present(self) -> Tensor:
        """RETURNS (Tensor): mentions with a picture. *Shape:* ``(batch,)``"""
        return self.mask.any(dim=1)

    def mean(self) -> Tensor:
        """RETURNS (Tensor): unit vector of a mention's pictures together, zero without
        any. *Shape:* ``(batch, dim)``"""
        valid = self.vectors * self.mask.unsqueeze(-1)
        return normalize(valid.sum(dim=1), dim=-1)

    def to(self, device: torch.device | str) -> "Pictures":
        """RETURNS (Pictures): the same on another device."""
        return Pictures(self.vectors.to(device), self.mask.to(device))


@dataclass(frozen=True, slots=True)
class MentionInputs:
    """Frozen features of a batch of mentions; True in a mask = valid.

    mention (Tensor): token states of the mention. *Shape:* ``(batch, M, text_width)``
    mention_mask (Tensor): at least one a row, where a text encoder reads any.
        *Shape:* ``(batch, M)``
    text (Tensor): the mention in its context, pooled, unit length; 0 wide without a
        text encoder. *Shape:* ``(batch, text_dim)``
    pictures (dict[str, Pictures]): whole pictures, by space; the first is CLIP's, if
        the network reads that.
    modalities (dict[str, Slots]): what enhances the mention, by modality: of the paper,
        ``text`` has `states`, token states of the context; ``vision`` has `objects`,
        vectors of image regions, and may have `faces`, vectors of facial phrases, with
        `face_mask`; ``attributes`` has `scenes`, vectors of scene attributes.
    """

    mention: Tensor
    mention_mask: Tensor
    text: Tensor
    pictures: dict[str, Pictures]
    modalities: dict[str, Slots]

    @property
    def whole(self) -> Pictures:
        """RETURNS (Pictures): in the first space, none where there is no space."""
        nothing = Pictures.none(len(self.text), self.text.device)
        return next(iter(self.pictures.values()), nothing)

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
            {space: own.to(device) for space, own in self.pictures.items()},
            {name: slots.to(device) for name, slots in self.modalities.items()},
        )


@dataclass(frozen=True, slots=True)
class MentionPlace:
    """Where a mention stands, for a modality that reads what users set on documents.

    docs (tuple[Doc, ...]): where to look, in this order: the document, and in training
        the labelled one, as predicted documents are made from text alone.
    start, end (int): character offsets, as in the keys of `Span._`.
    """

    docs: "tuple[Doc, ...]" = ()
    start: int = 0
    end: int = 0


NO_VECTORS = np.zeros((0, 0), dtype=np.float32)
NO_MASK = np.zeros(0, dtype=bool)


@dataclass(slots=True)
class PreparedMention:
    """All that is fixed of one mention: computed once, used in every epoch.

    rows (np.ndarray): KB rows of the candidates. Shape: (n_candidates,), int32
    found_by (np.ndarray): how each was found, as `FoundBy`.
        Shape: (n_candidates,), uint8
    features (np.ndarray): channel features but for dwe.
        Shape: (n_candidates, n_features), float32
    present (np.ndarray): which features there are. Shape: as features, bool
    described (np.ndarray): candidates with a description. Shape: (n_candidates,), bool
    text (MentionFeatures | None): what the text encoder says, if it was asked.
    pictures (Mapping[str, np.ndarray]): unit vectors of its pictures, by space, CLIP's
        first. Shape of each: (n_pictures, dim)
    objects, faces, face_mask, scenes (np.ndarray): what was found on them, see
        `MentionPictures`.
    sentence (str): what it stands in; mentions of the same one are told by it.
    itself (Mapping[str, int]): by vector set, the place of the KB's vector that a
        picture of it is, and is not compared with.
    """

    rows: np.ndarray
    found_by: np.ndarray
    features: np.ndarray
    present: np.ndarray
    described: np.ndarray
    text: "MentionFeatures | None"
    pictures: Mapping[str, np.ndarray]
    objects: np.ndarray = field(default_factory=lambda: NO_VECTORS)
    faces: np.ndarray = field(default_factory=lambda: NO_VECTORS)
    face_mask: np.ndarray = field(default_factory=lambda: NO_MASK)
    scenes: np.ndarray = field(default_factory=lambda: NO_VECTORS)
    sentence: str = ""
    itself: Mapping[str, int] = field(default_factory=dict)

    @property
    def whole(self) -> np.ndarray:
        """RETURNS (np.ndarray): vectors of its pictures in the first space.
        Shape: (n_pictures, dim)"""
        return next(iter(self.pictures.values()), NO_VECTORS)

    @property
    def n_bytes(self) -> int:
        """RETURNS (int): memory that it holds."""
        arrays = [self.rows, self.found_by, self.features, self.present]
        arrays += [self.described, *self.pictures.values(), self.objects]
        arrays += [self.faces, self.face_mask, self.scenes]
        n_text = 0 if self.text is None else self.text.nbytes
        return n_text + sum(array.nbytes for array in arrays)


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
    sentences (Tensor | None): identity of each mention's sentence; None = all differ.
        *Shape:* ``(batch,)``, int64
    negatives (Tensor | None): candidates that may be negatives of the contrastive
        loss; None = all. *Shape:* ``(batch, candidates)``
    hard (dict): by vector set, vectors of entities that are no candidates, as further
        negatives of the contrastive loss.
    edges (Tensor | None): token states at the edges of each mention, see
        `MentionFeatures.edges`; None = unread. *Shape:* ``(batch, edge_width)``
    shown (Tensor | None): how far the pictures of each are taken to show its gold,
        between 0 and 1; None = all do. *Shape:* ``(batch,)``
    from_kb (Tensor | None): True = a picture of the KB under a name of its entity:
        nothing but the contrastive loss of pictures learns from it; None = none is.
        *Shape:* ``(batch,)``, bool
    """

    features: Tensor
    present: Tensor
    candidates: Tensor
    described: Tensor
    rows: Tensor
    inputs: MentionInputs | None
    entities: dict[str, EntityVectors]
    sentences: Tensor | None = None
    negatives: Tensor | None = None
    hard: dict[str, EntityVectors] = field(default_factory=dict)
    edges: Tensor | None = None
    shown: Tensor | None = None
    from_kb: Tensor | None = None
