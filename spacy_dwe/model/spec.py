"""What the shapes and columns of a network follow from. Imports no torch."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

DWE = "dwe"
"""The channel whose columns the network itself makes, one a head."""


class Column(NamedTuple):
    """One number a candidate.

    channel (str): the kind of evidence that it belongs to.
    name (str): distinct among those of its channel.
    weight (float): logits a unit of it before training.
    """

    channel: str
    name: str
    weight: float = 1.0


@dataclass(frozen=True)
class Columns:
    """The columns of a feature matrix, in order; those of a channel stand together."""

    all: tuple[Column, ...]

    def __len__(self) -> int:
        return len(self.all)

    @property
    def names(self) -> tuple[tuple[str, str], ...]:
        """RETURNS (tuple[tuple[str, str], ...]): channel and name of each."""
        return tuple((column.channel, column.name) for column in self.all)

    @cached_property
    def by_channel(self) -> dict[str, list[int]]:
        """RETURNS (dict[str, list[int]]): places of each channel's columns."""
        places: dict[str, list[int]] = {}
        for place, column in enumerate(self.all):
            places.setdefault(column.channel, []).append(place)
        return places

    @property
    def channels(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): channels that have a column."""
        return tuple(self.by_channel)

    def of(self, channel: str) -> list[int]:
        """RETURNS (list[int]): places of one channel's columns."""
        return self.by_channel.get(channel, [])

    def without_dwe(self) -> "Columns":
        """RETURNS (Columns): those that channels compute, without the network's."""
        return Columns(tuple(c for c in self.all if c.channel != DWE))


TEXT, VISION, ATTRIBUTES = "text", "vision", "attributes"
"""The modalities of the paper."""

PICTURES, PHRASES, FACES, ATTENTION = "pictures", "phrases", "faces", "attention"
"""Parts that a network has where something is read by them: the projectors of pictures
and of phrases, the half of a visual token that is of a face, the plain head's
attention."""
CONTRAST, A_ALIGN, S_ALIGN = "contrast", "a_align", "s_align"
"""Losses, which are parts where they learn a temperature."""


@dataclass(frozen=True, slots=True)
class QueryHead:
    """One KB vector set that queries are compared with.

    dim (int): width of its vectors.
    text (bool): the text encoder's vectors live in this space.
    picture (str | None): the space, if pictures are encoded in it.
    of_pictures (bool): the set holds entities' pictures, not their descriptions.
    """

    dim: int
    text: bool
    picture: str | None
    of_pictures: bool


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """What the weights' shapes follow from; saved beside them as JSON.

    columns (tuple): of all channels but dwe, in the order of the combiner's weights.
    heads (dict): vector sets of the dwe channel; empty without that channel.
    text_width (int): width of the text encoder's states, 0 where none is read.
    pictures (dict): width of the vectors of whole pictures, by space; CLIP's first,
        which is the one that the paper's network reads.
    width, n_heads, ffn_width, dropout, decoder, head, gate: see `spacy-dwe.DWE.v1`.
    dwe_trained (bool): False masks the dwe channel.
    modalities (dict | None): width of what each modality extracts, of those that the
        network has; None = those of the paper that the encoders serve.
    shared_text (bool): phrases pass the projector of token states; they can where CLIP
        encodes both and their widths are equal.
    read_mention (bool): see `spacy-dwe.DWE.v1`.
    edge_width (int): width of what NIL reads of a mention's edges; 0 = nothing.
    refined (tuple): spaces of pictures whose vectors pass a map that is fitted to all
        training pictures before they are compared with the entities' pictures.
    parts (tuple | None): what else it has, of the names above; None = all of them, as
        networks had that were saved without.
    """

    columns: tuple[Column, ...]
    heads: dict[str, QueryHead]
    text_width: int
    pictures: dict[str, int]
    width: int
    n_heads: int
    ffn_width: int
    dropout: float
    decoder: bool
    dwe_trained: bool
    head: str = "dwe"
    gate: bool = True
    modalities: dict[str, int] | None = None
    shared_text: bool = False
    read_mention: bool = False
    edge_width: int = 0
    refined: tuple[str, ...] = ()
    parts: tuple[str, ...] | None = None

    def has(self, part: str) -> bool:
        """RETURNS (bool): whether the network has a part."""
        return self.parts is None or part in self.parts

    @property
    def all_columns(self) -> Columns:
        """RETURNS (Columns): of the combiner: those of channels, then one a head. What
        starts as the weight of a standardised dwe cosine counts from the first step of
        training on; until then the channel is masked, as it would repeat `text`."""
        return Columns((*self.columns, *(Column(DWE, name) for name in self.heads)))

    @property
    def channels(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): channels that have columns."""
        return self.all_columns.channels

    @property
    def image_dim(self) -> int:
        """RETURNS (int): width of the first of `pictures`, 0 where none are read."""
        return next(iter(self.pictures.values()), 0)

    @property
    def modality_widths(self) -> dict[str, int]:
        """RETURNS (dict[str, int]): width of what each modality extracts."""
        if self.modalities is not None:
            return self.modalities
        image = self.image_dim
        widths = {TEXT: self.text_width, VISION: image, ATTRIBUTES: image}
        return {name: width for name, width in widths.items() if width}

    @property
    def text_dim(self) -> int:
        """RETURNS (int): width of the text encoder's pooled vectors, 0 where no set
        has any to compare with."""
        return next((head.dim for head in self.heads.values() if head.text), 0)


def untrained_spec(columns: Iterable[Column]) -> NetworkSpec:
    """columns (Iterable[Column]): of channels.
    RETURNS (NetworkSpec): of a network that links by features alone, zero-shot."""
    return NetworkSpec(tuple(columns), {}, 0, {}, 0, 0, 0, 0.0, False, False)
