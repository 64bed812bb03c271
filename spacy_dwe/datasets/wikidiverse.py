"""WikiDiverse: captions of Wikinews with links to Wikipedia, in its layouts.

* Captions: `[sentence, image URL, topic, [[mention, type, start, end, page URL], …]]`,
  or lists of such captions, a passage each.
* Mentions with candidates: `[sentence, image URL, mention, type, left, right, page URL,
  [candidate, …], topic, start, end]`.
* Records with Wikidata ids: `{"id", "sentence", "imgPath", "mention": […], "entity":
  […], "answer": […], "img-url"}` and splits.json.

No list of entities is published: they are those that mentions are linked to, or that
are candidates.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..kb.entity import Alias, Entity
from .descriptions import page_title, page_url
from .mel import is_nil, read_mentions
from .published_files import (
    Record,
    first_file,
    not_published,
    read_json,
    records,
    shown,
    split_files,
)
from .samples import LeftOut, PublishedDataset, Sample, SampleMention, merged
from .splits import split_as_listed

WIKIDIVERSE = "wikidiverse"
SINGLE_FILES = ("WikiDiverse.json", "wikidiverse.json")
_CAPTION, _WITH_CANDIDATES = 4, 9
"""Values of a caption, and of a mention with candidates at least."""
_LINK = ("mention", "type", "start", "end", "page URL")


def read_wikidiverse(src: Path) -> PublishedDataset:
    """Read WikiDiverse.

    src (Path): folder of train.json, valid.json and test.json (or train_w_10cands.json
        and so on), or of WikiDiverse.json and splits.json.
    RETURNS (PublishedDataset): all of it. Ids of entities are titles of pages, or
        Wikidata ids where the file has these.
    RAISES (DweError): a file is missing or malformed.
    """
    splits = split_files(src)
    single = first_file(src, SINGLE_FILES)
    if splits:
        return _read_captions(splits)
    if single is not None:
        return _read_records(single)
    expected = ("train.json, valid.json and test.json", "WikiDiverse.json, splits.json")
    raise not_published(src, "WikiDiverse", expected)


@dataclass(slots=True)
class _Seen:
    """What the samples tell of entities.

    names (dict[str, Counter[str]]): names by id.
    types (dict[str, Counter[str]]): types by id.
    has_candidates (bool): whether there are entities that no mention is linked to.
    """

    names: dict[str, Counter[str]] = field(default_factory=dict)
    types: dict[str, Counter[str]] = field(default_factory=dict)
    has_candidates: bool = False

    def add(self, kb_id: str, name: str, type: str | None = None) -> None:
        self.names.setdefault(kb_id, Counter())[name] += 1
        if type:
            self.types.setdefault(kb_id, Counter())[type] += 1

    def add_candidate(self, kb_id: str) -> None:
        self.names.setdefault(kb_id, Counter([kb_id]))
        self.has_candidates = True

    def entities(self, are_pages: bool) -> dict[str, Entity]:
        """RETURNS (dict[str, Entity]): titled as most often, with the rest as aliases.

        are_pages (bool): whether ids are titles of pages."""
        result = {}
        for kb_id, counts in self.names.items():
            title, *others = [name for name, _ in counts.most_common()]
            types = self.types.get(kb_id)
            result[kb_id] = Entity(
                kb_id,
                title,
                aliases=tuple(Alias(name) for name in others),
                url=page_url(kb_id) if are_pages else None,
                extra={"type": types.most_common(1)[0][0]} if types else {},
            )
        return result


def _finish(dataset: PublishedDataset, seen: _Seen, are_pages: bool) -> None:
    dataset.entities = seen.entities(are_pages)
    what = "golds and candidates" if seen.has_candidates else "golds"
    dataset.entities_from = (
        f"the {what} of all splits; no list of entities is published"
    )


def _read_captions(splits: dict[str, Path]) -> PublishedDataset:
    dataset, seen = PublishedDataset("WikiDiverse"), _Seen()
    for split, path in splits.items():
        samples = _captions(path, dataset.left_out, seen)
        numbered = enumerate(samples, start=1)
        dataset.splits[split] = [replace(s, id=f"{split}-{n}") for n, s in numbered]
    _finish(dataset, seen, are_pages=True)
    return dataset


def _captions(path: Path, left_out: list[LeftOut], seen: _Seen) -> list[Sample]:
    """RETURNS (list[Sample]): captions, each with the mentions that have a place of
    their own in the file; one that is published twice stays so."""
    found: dict[tuple[str, str | None], Sample] = {}
    for record in _items(path, left_out):
        if not isinstance(record.value, list):
            raise record.refusal(f"a list is expected, not {shown(record.value)}")
        if len(record.value) == _CAPTION:
            found[record.name, None] = _caption(record, seen)
            continue
        sample = _with_candidates(record, seen)
        earlier = found.get((sample.sentence, sample.image_url))
        if earlier is not None:
            sample = replace(earlier, mentions=earlier.mentions + sample.mentions)
        found[sample.sentence, sample.image_url] = sample
    return list(found.values())


def _caption(record: Record, seen: _Seen) -> Sample:
    sentence, url, topic, links = record.value
    if not isinstance(links, list):
        raise record.refusal(f"the mentions are a list, not {shown(links)}")
    mentions = []
    for link in links:
        if not isinstance(link, list) or len(link) != len(_LINK):
            expected = f"[{', '.join(_LINK)}]"
            raise record.refusal(f"a mention is {expected}, not {shown(link)}")
        mentions.append(_mention(link, record, seen))
    found = [mention for mention in mentions if mention is not None]
    return _sample(sentence, url, topic, found, record)


def _with_candidates(record: Record, seen: _Seen) -> Sample:
    item = record.value
    if len(item) < _WITH_CANDIDATES:
        raise record.refusal(
            "a caption is [sentence, image URL, topic, mentions] and a mention with "
            f"candidates has 9 or 11 values, but this has {len(item)}: {shown(item)}"
        )
    sentence, url, text, type, _, _, page, candidates, topic, *span = item
    if not isinstance(candidates, list):
        raise record.refusal(f"the candidates are a list, not {shown(candidates)}")
    start, end = span[:2] if len(span) > 1 else (None, None)
    mention = _mention((text, type, start, end, page), record, seen)
    if mention is None:
        return _sample(sentence, url, topic, [], record)
    titles = [page_title(name) for name in candidates if isinstance(name, str)]
    ids = tuple(dict.fromkeys(title for title in titles if title is not None))
    for title in ids:
        seen.add_candidate(title)
    return _sample(sentence, url, topic, [replace(mention, candidates=ids)], record)


def _mention(link: Sequence[Any], record: Record, seen: _Seen) -> SampleMention | None:
    text, type, start, end, page = link
    if not isinstance(text, str) or not isinstance(page, str | None):
        values = shown([text, page])
        raise record.refusal(f"a mention and its page are strings, not {values}")
    if not text.strip():
        record.leave_out(page or "nil", "a mention without text")
        return None
    kb_id = None
    if page is not None and not is_nil(page):
        kb_id = page_title(page)
        if kb_id is None:
            record.leave_out(f"{text}: {page}", "the address of no page")
            return None
    kind = type.strip() if isinstance(type, str) and type.strip() else None
    if kb_id is not None:
        seen.add(kb_id, kb_id, kind)
    return SampleMention(text.strip(), kb_id, _span(text, start, end), kind)


def _span(text: str, start: Any, end: Any) -> tuple[int, int] | None:
    """Offsets without white space at the ends, if there are any."""
    if not (isinstance(start, int) and isinstance(end, int)):
        return None
    left = len(text) - len(text.lstrip())
    return start + left, end - (len(text) - len(text.rstrip()))


def _sample(
    sentence: Any, url: Any, topic: Any, mentions: list[SampleMention], record: Record
) -> Sample:
    if not isinstance(sentence, str):
        raise record.refusal(f"the sentence is a string, not {shown(sentence)}")
    image_url = url.strip() if isinstance(url, str) and url.strip() else None
    extra = {"topic": topic} if isinstance(topic, str) and topic else {}
    return Sample("", sentence, tuple(mentions), image_url=image_url, extra=extra)


def _items(path: Path, left_out: list[LeftOut]) -> Iterator[Record]:
    """YIELDS (Record): captions or mentions, also those in passages."""
    value = read_json(path, left_out)
    if not isinstance(value, list):
        whole = Record(path, "1", value, left_out)
        raise whole.refusal(f"a list is expected, not {shown(value)}")
    for number, item in enumerate(value, start=1):
        is_passage = isinstance(item, list) and item and isinstance(item[0], list)
        for part, inner in enumerate(item if is_passage else [item], start=1):
            name = f"number {number}" + (f", caption {part}" if is_passage else "")
            yield Record(path, name, inner, left_out)


def _read_records(path: Path) -> PublishedDataset:
    dataset, seen = PublishedDataset("WikiDiverse with Wikidata ids"), _Seen()
    samples = []
    for record in records(path, dataset.left_out):
        identifier = record.text("id")
        names: list[tuple[str, str]] = []
        mentions = tuple(read_mentions(record, names))
        for kb_id, name in names:
            seen.add(kb_id, name)
        sample = Sample(
            identifier,
            record.text("sentence"),
            mentions,
            record.text("imgPath", default="") or None,
            record.text("img-url", default="") or None,
        )
        samples.append(sample)
    samples = merged(samples)
    split_as_listed(samples, path.with_name("splits.json"), dataset)
    _finish(dataset, seen, are_pages=False)
    return dataset
