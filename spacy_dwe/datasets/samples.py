"""A dataset as its authors published it, whatever the layout of its files."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..kb.entity import Entity
from .offsets import Span

SPLITS = ("train", "dev", "test")
UNSPLIT = "unsplit"
"""Name for the samples that are in no split."""


@dataclass(frozen=True, slots=True)
class SampleMention:
    """A mention of a sample.

    text (str): as published, not empty.
    kb_id (str | None): the right entity; None = it is not in the KB (NIL).
    span (Span | None): offsets in the sentence, where the dataset has them.
    type (str | None): such as Person, where the dataset has them.
    candidates (tuple[str, ...]): ids, where the dataset has retrieved some.
    """

    text: str
    kb_id: str | None
    span: Span | None = None
    type: str | None = None
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """A sentence with its mentions and its picture.

    id (str): names it in its split.
    image (str | None): name of its picture's file; None = that of its id.
    image_url (str | None): where its picture comes from.
    extra (Mapping[str, Any]): what else the dataset says, such as its topic.
    """

    id: str
    sentence: str
    mentions: tuple[SampleMention, ...]
    image: str | None = None
    image_url: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something published that cannot be converted.

    where (str): file and record.
    what (str): the value.
    reason (str): why it is left out.
    """

    where: str
    what: str
    reason: str


@dataclass(slots=True)
class PublishedDataset:
    """All of a dataset.

    layout (str): whose layout the files have.
    entities (dict[str, Entity]): by id, without pictures.
    entities_from (str): what the entities were read from.
    descriptions (str): what their descriptions were read from.
    splits (dict[str, list[Sample]]): by split; a sample may be in several.
    without_sample (dict[str, list[str]]): ids of each split that no sample has.
    left_out (list[LeftOut]): what cannot be converted.
    entity_images (dict[str, list[str]]): names of entities' picture files, where the
        dataset lists them.
    """

    layout: str
    entities: dict[str, Entity] = field(default_factory=dict)
    entities_from: str = ""
    descriptions: str = "none"
    splits: dict[str, list[Sample]] = field(default_factory=dict)
    without_sample: dict[str, list[str]] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    entity_images: dict[str, list[str]] = field(default_factory=dict)


def merged(samples: Iterable[Sample]) -> list[Sample]:
    """Samples of one split with distinct ids: those that differ in nothing but their
    mentions become one, as where a dataset has a record for each mention; others with
    the id of an earlier one get a number behind it.

    RETURNS (list[Sample]): in the order of their first records.
    """
    found: dict[str, Sample] = {}
    for sample in samples:
        for name in _names(sample.id):
            earlier = found.get(name)
            if earlier is None:
                found[name] = replace(sample, id=name)
                break
            if _is_same(earlier, sample):
                found[name] = replace(
                    earlier, mentions=earlier.mentions + sample.mentions
                )
                break
    return list(found.values())


def _names(identifier: str) -> Iterator[str]:
    yield identifier
    number = 2
    while True:
        yield f"{identifier}-{number}"
        number += 1


def _is_same(a: Sample, b: Sample) -> bool:
    return (a.sentence, a.image, a.image_url) == (b.sentence, b.image, b.image_url)
