"""What a published dataset holds, and where its mentions stand in their sentences."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..kb.entity import Entity

Span = tuple[int, int]

SPLITS = ("train", "dev", "test")
UNSPLIT = "unsplit"
"""Name for the samples that are in no split."""
_EXACT, _PART, _FOLDED, _INSIDE = range(4)
"""How well an occurrence fits, best first: a whole word as written, the beginning or
end of one, whole words but for case and white space, anything as written."""


@dataclass(frozen=True, slots=True)
class SampleMention:
    """A mention of a sample.

    text (str): as published, not empty, without white space at the ends.
    kb_id (str | None): the right entity; None = it is not in the KB (NIL).
    span (Span | None): offsets in the sentence, where the dataset has them.
    type (str | None): such as Person, where the dataset has them.
    candidates (tuple[str, ...]): ids, where the dataset has retrieved some.
    groups (tuple[str, ...]): groups that an evaluation reports apart.
    """

    text: str
    kb_id: str | None = None
    span: Span | None = None
    type: str | None = None
    candidates: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


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
    picture_root (Path | None): names of pictures are paths from here; None = files are
        called so, in whichever folder.
    """

    layout: str
    entities: dict[str, Entity] = field(default_factory=dict)
    entities_from: str = ""
    descriptions: str = "none"
    splits: dict[str, list[Sample]] = field(default_factory=dict)
    without_sample: dict[str, list[str]] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    entity_images: dict[str, list[str]] = field(default_factory=dict)
    picture_root: Path | None = None


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


@dataclass(frozen=True, slots=True)
class PlacedText:
    """A sentence in which every mention has its place.

    text (str): the sentence, behind the mentions that it lacks.
    spans (tuple[Span, ...]): of each mention, in the order given.
    added (tuple[bool, ...]): whether each was put in front.
    """

    text: str
    spans: tuple[Span, ...]
    added: tuple[bool, ...]


def place_mentions(sentence: str, mentions: Sequence[SampleMention]) -> PlacedText:
    """Find mentions in a sentence. Longer mentions choose first, equal ones stand from
    left to right in the order given, and a place inside of another mention's is taken
    last. One that is given more often than the sentence has it shares its place with
    the mention of the same gold; where there is none, no two have the same place. What
    the sentence lacks is put in front of it, each mention followed by ". ".

    sentence (str): the text as published.
    mentions (Sequence[SampleMention]): offsets that do not fit are not used.
    RETURNS (PlacedText): `text[start:end]` is the mention, but for case and white space
        where it was found so.
    """
    places: dict[int, Span] = {}
    for i, mention in enumerate(mentions):
        if mention.span is not None and fits(sentence, mention):
            places[i] = mention.span
    labels: dict[tuple[str, str | None], Span] = {}
    for i in sorted(range(len(mentions)), key=lambda i: -len(mentions[i].text)):
        label = mentions[i].text, mentions[i].kb_id
        if i not in places:
            place = _best_place(sentence, mentions[i].text, list(places.values()))
            place = place or labels.get(label)
            if place is None:
                continue
            places[i] = place
        labels.setdefault(label, places[i])
    front, starts = "", {}
    for i, mention in enumerate(mentions):
        if i not in places:
            starts[i] = len(front)
            front += f"{mention.text}. "
    spans = []
    for i, mention in enumerate(mentions):
        if i in places:
            start, end = places[i]
            spans.append((start + len(front), end + len(front)))
        else:
            spans.append((starts[i], starts[i] + len(mention.text)))
    added = tuple(i in starts for i in range(len(mentions)))
    return PlacedText(front + sentence, tuple(spans), added)


def fits(sentence: str, mention: SampleMention) -> bool:
    """RETURNS (bool): whether the dataset's offsets are those of the mention."""
    if mention.span is None:
        return False
    start, end = mention.span
    return 0 <= start < end and sentence[start:end] == mention.text


def _best_place(sentence: str, mention: str, taken: list[Span]) -> Span | None:
    free = [found for found in _as_written(sentence, mention) if found[1] not in taken]
    if all(fit == _INSIDE for fit, _ in free):
        found_so = _but_for_case(sentence, mention)
        free += [found for found in found_so if found[1] not in taken]
    if not free:
        return None

    def rank(found: tuple[int, Span]) -> tuple[int, bool, int]:
        fit, (start, end) = found
        overlaps = any(start < right and left < end for left, right in taken)
        return fit, overlaps, start

    return min(free, key=rank)[1]


def _as_written(sentence: str, mention: str) -> Iterator[tuple[int, Span]]:
    """YIELDS (tuple[int, Span]): how well each occurrence fits, and where it is."""
    start = sentence.find(mention)
    while start >= 0:
        end = start + len(mention)
        n_bounds = _is_bound(sentence, start) + _is_bound(sentence, end)
        yield (_INSIDE, _PART, _EXACT)[n_bounds], (start, end)
        start = sentence.find(mention, start + 1)


def _but_for_case(sentence: str, mention: str) -> Iterator[tuple[int, Span]]:
    """YIELDS (tuple[int, Span]): whole words that are the mention but for case and
    white space."""
    folded, sources = _fold(sentence)
    wanted, _ = _fold(mention)
    start = folded.find(wanted)
    while start >= 0:
        last = sources[start + len(wanted) - 1]
        span = sources[start][0], last[1]
        if _is_bound(sentence, span[0]) and _is_bound(sentence, span[1]):
            yield _FOLDED, span
        start = folded.find(wanted, start + 1)


def _is_bound(text: str, offset: int) -> bool:
    """Whether a word can start or end at an offset."""
    if offset in (0, len(text)):
        return True
    return not (text[offset - 1].isalnum() and text[offset].isalnum())


def _fold(text: str) -> tuple[str, list[Span]]:
    """RETURNS (tuple[str, list[Span]]): the text without case, runs of white space as
    one space; and which characters of the text each of its characters stands for."""
    folded: list[str] = []
    sources: list[Span] = []
    for i, character in enumerate(text):
        if character.isspace():
            if folded and folded[-1] == " ":
                sources[-1] = sources[-1][0], i + 1
                continue
            character = " "
        for part in character.casefold():
            folded.append(part)
            sources.append((i, i + 1))
    return "".join(folded), sources
