"""What a channel is: a kind of evidence that gives each candidate a few numbers."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..errors import DweError, Errors
from ..model.spec import Column

if TYPE_CHECKING:
    from ..kb.candidates import Candidates
    from ..kb.index.lexicon import Lexicon
    from ..kb.vectors.sets import SetName, VectorSet

READ_TEXT, READ_PICTURES, ATTRIBUTE = "text", "pictures", "_."

Values = tuple[np.ndarray, "np.ndarray | bool"]
"""Values of columns, and which there are. Shapes: (n_candidates, n_columns), float32
and bool, or True where there are all."""


class CandidateView(Protocol):
    """What a channel may ask of a KnowledgeBase.

    lexicon (Lexicon): names and facts as arrays.
    vector_sets (Mapping[SetName, VectorSet]): vectors of descriptions and pictures.
    """

    @property
    def lexicon(self) -> "Lexicon": ...

    @property
    def vector_sets(self) -> "Mapping[SetName, VectorSet]": ...

    def priors(self, mentions: Sequence[str], candidates: "Candidates") -> np.ndarray:
        """RETURNS (np.ndarray): probability that a mention means the candidate, NaN
        where nobody said. Shape: (n_candidates,), float32"""
        ...

    def values(self, key: str, rows: Sequence[int] | np.ndarray) -> list[Any]:
        """RETURNS (list[Any]): what entities.jsonl says under a key of the user's own,
        for each row; None where it says nothing."""
        ...


class MentionView(Protocol):
    """What a channel may ask of a batch of mentions.

    texts (Sequence[str]): the mentions.
    contexts (Sequence[str]): the sentence or window that each stands in.
    text_set (SetName | None): vectors of the KB that `text_vectors` compare with.
    picture_spaces (Sequence[str]): spaces of `picture_vectors`, CLIP's first.
    owns_pictures (Sequence[bool]): whether its pictures are a mention's own, and not
        its document's.
    """

    @property
    def texts(self) -> Sequence[str]: ...

    @property
    def contexts(self) -> Sequence[str]: ...

    @property
    def text_set(self) -> "SetName | None": ...

    @property
    def picture_spaces(self) -> Sequence[str]: ...

    @property
    def owns_pictures(self) -> Sequence[bool]: ...

    def text_vectors(self) -> np.ndarray | None:
        """RETURNS (np.ndarray | None): unit vectors of the mentions in their contexts;
        None without a text encoder. Shape: (n_mentions, dim), float32"""
        ...

    def picture_vectors(self, space: str) -> Sequence[np.ndarray]:
        """RETURNS (Sequence[np.ndarray]): unit vectors of each mention's pictures in a
        space, as those of the KB there. Shape of each: (n_pictures, dim), float32"""
        ...

    def picture_views(self, space: str) -> Sequence[Sequence[np.ndarray]]:
        """RETURNS (Sequence[Sequence[np.ndarray]]): of each of the mention's pictures,
        unit vectors of its views: the whole, and the regions where boxes came with it
        or `settings.visual` found some. Of a document's picture those alone that belong
        to the mention. Shape of each: (n_views, dim), float32"""
        ...

    def attribute(self, name: str) -> Sequence[Any]:
        """RETURNS (Sequence[Any]): the custom attribute `_.name` of each mention's Span
        or else of its Doc, or what documents.jsonl says under that key; lists as
        tuples, None where there is nothing."""
        ...


class Channel(Protocol):
    """A kind of evidence. One from outside is a class with these three, registered in
    spaCy's `misc` and named in the config as
    `[components.dwe_linker.more_channels.NAME]`.

    columns (Mapping[str, float]): names of its columns, in the order of what `compute`
        returns, and what a unit of each counts in logits before training.
    reads (Sequence[str]): what it reads of mentions beside their texts and contexts:
        "text", the vectors of a text encoder; "pictures"; "_.NAME", an attribute. Only
        what some channel reads is encoded.
    """

    @property
    def columns(self) -> Mapping[str, float]: ...

    @property
    def reads(self) -> Sequence[str]: ...

    def compute(
        self, mentions: MentionView, candidates: "Candidates", kb: CandidateView
    ) -> Values:
        """Compare mentions with their candidates. A value depends on one mention and
        one entity, never on other candidates, the batch or the size of the KB, and is
        bounded or standardised.

        RETURNS (Values): a row for each candidate of each mention, in their order.
        """
        ...


def columns_of(channels: Mapping[str, Channel]) -> tuple[Column, ...]:
    """RETURNS (tuple[Column, ...]): the columns of channels, by the channels' names."""
    return tuple(
        Column(name, column, weight)
        for name, channel in channels.items()
        for column, weight in channel.columns.items()
    )


def attributes_read(channels: Iterable[Channel]) -> tuple[str, ...]:
    """RETURNS (tuple[str, ...]): names of the custom attributes that channels read."""
    read = (name for channel in channels for name in channel.reads)
    names = [
        name.removeprefix(ATTRIBUTE) for name in read if name.startswith(ATTRIBUTE)
    ]
    return tuple(dict.fromkeys(names))


def check_channels(names: Iterable[str], known: Iterable[str]) -> tuple[str, ...]:
    """RETURNS (tuple[str, ...]): the names in the order of those known, each once.
    RAISES (DweError): one is unknown, or there is none.
    """
    wanted, known = list(names), list(known)
    unknown = sorted(set(wanted) - set(known))
    if unknown or not wanted:
        raise DweError(
            Errors.E500.format(
                channels=", ".join(unknown) or "(none)", known=", ".join(known)
            )
        )
    return tuple(name for name in known if name in wanted)


def check_own_channels(channels: Mapping[str, Any], taken: Iterable[str]) -> None:
    """Refuse what is no channel.

    channels (Mapping[str, Any]): somebody's, by name.
    taken (Iterable[str]): names that others have.
    RAISES (DweError): one is no `Channel`, or has another's name.
    """
    for name, channel in channels.items():
        columns = getattr(channel, "columns", None)
        reads = getattr(channel, "reads", None)
        is_channel = isinstance(columns, Mapping) and isinstance(reads, (list, tuple))
        known = is_channel and all(
            each in (READ_TEXT, READ_PICTURES) or str(each).startswith(ATTRIBUTE)
            for each in reads or ()
        )
        if name in taken or not (known and hasattr(channel, "compute")):
            raise DweError(Errors.E529.format(name=name, taken=", ".join(taken)))
