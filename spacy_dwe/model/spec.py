"""What the shapes of a network's weights follow from. Imports no torch."""

from dataclasses import dataclass

from .channels import CHANNELS

TEXT, VISION, ATTRIBUTES = "text", "vision", "attributes"
"""The modalities of the paper."""


@dataclass(frozen=True, slots=True)
class QueryHead:
    """One KB vector set that queries are compared with.

    dim (int): width of its vectors.
    text (bool): the text encoder's vectors live in this space.
    picture (bool): the image encoder's vectors live in this space.
    of_pictures (bool): the set holds entities' pictures, not their descriptions.
    """

    dim: int
    text: bool
    picture: bool
    of_pictures: bool


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """What the weights' shapes follow from; saved beside them as JSON.

    channels (tuple): channels that have columns in the combiner.
    heads (dict): vector sets of the dwe channel; empty without that channel.
    text_width, image_dim (int): widths of the frozen encoders, 0 without that channel.
    width, n_heads, ffn_width, dropout, decoder, head, gate: see `spacy-dwe.DWE.v1`.
    dwe_trained (bool): False masks the dwe channel.
    modalities (dict | None): width of what each modality extracts, of those that the
        network has; None = those of the paper that the encoders serve.
    shared_text (bool): phrases pass the projector of token states; they can where CLIP
        encodes both and their widths are equal.
    read_mention (bool): see `spacy-dwe.DWE.v1`.
    edge_width (int): width of what NIL reads of a mention's edges; 0 = nothing.
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
    head: str = "dwe"
    gate: bool = True
    modalities: dict[str, int] | None = None
    shared_text: bool = False
    read_mention: bool = False
    edge_width: int = 0

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


def untrained_spec() -> NetworkSpec:
    """RETURNS (NetworkSpec): of a network that links by features alone, zero-shot."""
    channels = tuple(channel for channel in CHANNELS if channel != "dwe")
    return NetworkSpec(channels, {}, 0, 0, 0, 0, 0, 0.0, False, False)
