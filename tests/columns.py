"""Columns of the channels of this package."""

from spacy_dwe.channels import CHANNELS
from spacy_dwe.channels.base import columns_of
from spacy_dwe.model.spec import DWE, Column, Columns


def columns(names, heads=()):
    """Of some channels, in their order, with those of dwe for vector sets."""
    own = {name: channel for name, channel in CHANNELS.items() if name in names}
    return Columns((*columns_of(own), *(Column(DWE, head) for head in heads)))
