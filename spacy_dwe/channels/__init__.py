"""Channels: each a kind of evidence that a mention means a candidate, as columns of
numbers. A new kind is a file here, or one outside the package: see `base.Channel`."""

from collections.abc import Mapping

from .base import Channel
from .dwe import DweChannel
from .facts import FactsChannel
from .image import ImageChannel
from .name import NameChannel
from .prior import PriorChannel
from .text import TextChannel

CHANNELS: Mapping[str, Channel] = {
    "name": NameChannel(),
    "prior": PriorChannel(),
    "facts": FactsChannel(),
    "text": TextChannel(),
    "image": ImageChannel(),
    "dwe": DweChannel(),
}
"""Those of this package, in the order of their columns."""
