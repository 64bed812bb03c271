"""The scoring channels: which features each emits and what they weigh untrained.

Every feature is bounded or standardised, and depends on one mention and one entity
only: never on the other candidates, the batch or the size of the KB.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import DweError, Errors

CHANNELS = ("name", "prior", "facts", "text", "image", "dwe")

NAME_FEATURES = (
    "ngram_cosine",
    "exact",
    "exact_title",
    "mention_coverage",
    "title_coverage",
    "first_token",
    "last_token",
    "rarity",
    "initials",
)
FACT_FEATURES = (
    "year_overlap",
    "year_conflict",
    "shared_words",
    "description_length",
    "sitelinks",
)

UNTRAINED_WEIGHTS: dict[str, dict[str, float]] = {
    "name": {
        "ngram_cosine": 2.0,
        "exact": 0.5,
        "exact_title": 0.5,
        "mention_coverage": 5.0,
        "title_coverage": 1.0,
        "first_token": 1.5,
        "last_token": 3.0,
        "rarity": 2.5,
        "initials": 1.0,
    },
    "prior": {"prior": 4.0},
    "facts": {
        "year_overlap": 0.6,
        "year_conflict": -3.0,
        "shared_words": 5.0,
        "description_length": 0.7,
        "sitelinks": 1.0,
    },
    "text": {"description": 3.5},
    "image": {"picture_description": 1.5, "picture_picture": 1.5},
}
"""Logit units per unit of feature. `text` and `image` features are standardised by the
mean and deviation of random pairs, so that one number serves every encoder."""

UNTRAINED_DWE_WEIGHT = 1.0
"""Where the weight of each standardised dwe cosine starts in training. Until then the
channel is masked: it would repeat `text`."""

UNTRAINED_NIL = {
    "bias": 2.0,
    "best": 0.0,
    "margin": 0.0,
    "name": 6.0,
    "described": 0.0,
    "mention": 1.0,
}
"""The NIL logit before training, as a function of the best candidate and of the
mention, which says nothing before it was learnt from labelled NIL."""


@dataclass(frozen=True)
class FeatureLayout:
    """Which column of the feature matrix belongs to which channel.

    names (tuple): (channel, feature) of every column.
    """

    names: tuple[tuple[str, str], ...]

    @classmethod
    def of(
        cls, channels: Iterable[str], dwe_sets: Sequence[str] = ()
    ) -> "FeatureLayout":
        """Columns of the channels, in the order of `CHANNELS`.

        channels (Iterable[str]): channels to lay out.
        dwe_sets (Sequence[str]): KB vector sets that the dwe channel compares with.
        RAISES (DweError): a channel is unknown.
        """
        wanted = check_channels(channels)
        columns = {name: tuple(UNTRAINED_WEIGHTS.get(name, ())) for name in CHANNELS}
        columns["dwe"] = tuple(dwe_sets)
        return cls(tuple((c, f) for c in CHANNELS if c in wanted for f in columns[c]))

    def __len__(self) -> int:
        return len(self.names)

    @property
    def channels(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): channels that have a column."""
        return tuple(dict.fromkeys(channel for channel, _ in self.names))

    def columns(self, channel: str) -> list[int]:
        """RETURNS (list[int]): the columns of one channel."""
        return [i for i, (owner, _) in enumerate(self.names) if owner == channel]

    def untrained_weights(self) -> list[float]:
        """RETURNS (list[float]): one weight a column."""
        return [
            UNTRAINED_WEIGHTS.get(channel, {}).get(feature, UNTRAINED_DWE_WEIGHT)
            for channel, feature in self.names
        ]


def check_channels(channels: Iterable[str]) -> tuple[str, ...]:
    """RETURNS (tuple[str, ...]): the channels in canonical order, each once.
    RAISES (DweError): a channel is unknown, or there is none.
    """
    wanted = list(channels)
    unknown = sorted(set(wanted) - set(CHANNELS))
    if unknown or not wanted:
        raise DweError(
            Errors.E500.format(
                channels=", ".join(unknown) or "(none)", known=", ".join(CHANNELS)
            )
        )
    return tuple(name for name in CHANNELS if name in wanted)


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
