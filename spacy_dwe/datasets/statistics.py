"""What a converted dataset holds, and what of it gives answers away: texts and pictures
that occur twice, golds seen in train, names alone."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from ..documents import Document, read_documents
from ..errors import DweError, Errors
from ..images import ImageRef, content_hash, read_bytes
from ..kb.entity import Entity, read_entities
from .name_probe import Probed, probe_names
from .published_files import ACCOUNT, ENTITIES
from .splits import HELD_OUT, words_of

TRAIN = ("train", HELD_OUT)
"""Splits that a model may learn from; all others are evaluated on."""
SHINGLE_WORDS = 3
SIMILAR = 0.8
"""Jaccard similarity of their shingles from which on two texts are near-duplicates."""
_ORDER = ("train", HELD_OUT, "dev", "valid", "val", "test")


def dataset_statistics(
    folder: str | Path,
    conversion: Mapping[str, Any] | None = None,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Count a folder of entities.jsonl and documents, one .jsonl a split.

    folder (str | Path): the folder.
    conversion (Mapping[str, Any] | None): what the files do not tell: where they were
        converted from, and what was left out.
    show_progress (bool): show progress bars on stderr.
    RETURNS (dict[str, Any]): what account.json holds: counts, and shares as fractions.
    RAISES (DweError): a file is missing or malformed.
    """
    folder = Path(folder)
    if not (folder / ENTITIES).is_file():
        raise DweError(Errors.E260.format(path=folder, file=ENTITIES))
    paths = document_files(folder)
    if not paths:
        raise DweError(Errors.E260.format(path=folder, file="documents"))
    entities = list(read_entities(folder / ENTITIES))
    known = {entity.id for entity in entities}
    splits = {
        name: _Split(list(read_documents(path)), known) for name, path in paths.items()
    }
    documents = (d for split in splits.values() for d in split.documents)
    pictures = _Pictures(folder, documents)
    pictured = pictures.of_entities(entities)
    return {
        **({} if conversion is None else {"conversion": conversion}),
        "entities": _entity_counts(entities, pictures),
        "splits": {name: split.counts(pictures) for name, split in splits.items()},
        "texts": _text_counts(splits),
        "images": _image_counts(splits, pictures, pictured),
        **_gold_counts(entities, splits, show_progress),
    }


def conversion_of(folder: Path) -> dict[str, Any] | None:
    """RETURNS (dict[str, Any] | None): what an earlier account of a folder tells of its
    conversion, which the other files do not."""
    path = folder / ACCOUNT
    if not path.is_file():
        return None
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DweError(
            Errors.E233.format(path=path, what="account", reason=error)
        ) from None
    return earlier.get("conversion") if isinstance(earlier, dict) else None


def document_files(folder: Path) -> dict[str, Path]:
    """RETURNS (dict[str, Path]): the files of documents in a folder, by split."""
    names = [p.stem for p in sorted(folder.glob("*.jsonl")) if p.name != ENTITIES]
    ordered = [name for name in _ORDER if name in names]
    ordered += [name for name in names if name not in _ORDER]
    return {name: folder / f"{name}.jsonl" for name in ordered}


@dataclass
class _Split:
    """The documents of a split.

    documents (list[Document]): all of them.
    known (set[str]): ids of entities.
    """

    documents: list[Document]
    known: set[str]
    texts: list[tuple[str, ...]] = field(init=False)

    def __post_init__(self) -> None:
        self.texts = [words_of(sentence(document)) for document in self.documents]

    def mentions(self) -> Iterator[Probed]:
        """YIELDS (Probed): those that have a gold."""
        for document in self.documents:
            for mention in document.mentions or ():
                if mention.kb_id is not None:
                    text = document.text[mention.start : mention.end]
                    yield text, document.text, mention.kb_id

    def golds(self) -> Counter[str]:
        return Counter(gold for _, _, gold in self.mentions())

    def counts(self, pictures: "_Pictures") -> dict[str, int]:
        mentions = [m for document in self.documents for m in document.mentions or ()]
        sources = [mention.source for mention in mentions]
        images = Counter(pictures.state(document) for document in self.documents)
        return {
            "samples": len(self.documents),
            "without_mention": sum(not d.mentions for d in self.documents),
            "mentions": len(mentions),
            "nil": sum(m.labelled and m.kb_id is None for m in mentions),
            "unlabelled": sum(not mention.labelled for mention in mentions),
            "repeated": self._repeated(),
            "not_word_for_word": self._not_word_for_word(),
            "found_but_for_case_or_space": sum("published" in s for s in sources),
            "added": sum(source.get("added") is True for source in sources),
            "gold_not_an_entity": sum(
                m.kb_id is not None and m.kb_id not in self.known for m in mentions
            ),
            "with_image": images[_THERE],
            "with_image_url": images[_URL],
            "with_unreadable_image": images[_UNREADABLE],
            "without_image": images[_NONE],
        }

    def _repeated(self) -> int:
        """Mentions with place and gold of another one before them."""
        return sum(
            len(document.mentions)
            - len({(m.start, m.end, m.gold) for m in document.mentions})
            for document in self.documents
            if document.mentions
        )

    def _not_word_for_word(self) -> int:
        n = 0
        for document in self.documents:
            own = sentence(document)
            for mention in document.mentions or ():
                text = document.text[mention.start : mention.end]
                n += mention.source.get("published", text) not in own
        return n


def sentence(document: Document) -> str:
    """RETURNS (str): the text of a document behind the mentions put in front of it."""
    added = [m.end for m in document.mentions or () if m.source.get("added") is True]
    return document.text[max(added) + len(". ") :] if added else document.text


_THERE, _URL, _UNREADABLE, _NONE = "there", "url", "unreadable", "none"


class _Pictures:
    """Pictures by their content; by path or URL where they are not there. Of entities'
    pictures only those are read that have as many bytes as one of a document."""

    def __init__(self, folder: Path, documents: Iterable[Document]) -> None:
        """folder (Path): where entities' relative pictures start.
        documents (Iterable[Document]): all that are asked about.
        """
        self.folder = folder
        self._keys: dict[str, str] = {}
        refs = (ref for document in documents for ref in document.images)
        self._sizes = {_size(ref) for ref in refs} - {0}

    def key(self, ref: ImageRef) -> str:
        """RETURNS (str): equal for equal pictures."""
        name = str(ref.path)
        if name not in self._keys:
            self._keys[name] = name
            if _size(ref) in self._sizes:
                with suppress(DweError):
                    self._keys[name] = content_hash(read_bytes(ref))
        return self._keys[name]

    def state(self, document: Document) -> str:
        """RETURNS (str): what there is to see of a document's pictures."""
        refs = document.images
        if any(_size(ref) for ref in refs):
            return _THERE
        if any(ref.is_url for ref in refs) or document.source.get("image_url"):
            return _URL
        return _UNREADABLE if refs else _NONE

    def of_document(self, document: Document) -> set[str]:
        url = document.source.get("image_url")
        keys = {self.key(ref) for ref in document.images}
        return keys | ({url} if isinstance(url, str) and url else set())

    def refs(self, entity: Entity) -> list[ImageRef]:
        paths = [ImageRef(path=path) for path in entity.images]
        return [
            ref if ref.is_url else ImageRef(path=str(self.folder / str(ref.path)))
            for ref in paths
        ]

    def of_entities(self, entities: Sequence[Entity]) -> set[str]:
        return {self.key(ref) for entity in entities for ref in self.refs(entity)}


def _size(ref: ImageRef) -> int:
    """RETURNS (int): bytes of a picture's file, 0 if it is not there."""
    if ref.is_url:
        return 0
    try:
        return Path(str(ref.path)).stat().st_size
    except (OSError, ValueError):
        return 0


def _entity_counts(entities: Sequence[Entity], pictures: _Pictures) -> dict[str, int]:
    titles = Counter(entity.title for entity in entities)
    return {
        "entities": len(entities),
        "without_description": sum(not e.description.strip() for e in entities),
        "without_image": sum(
            not any(_size(ref) or ref.is_url for ref in pictures.refs(e))
            for e in entities
        ),
        "shared_titles": sum(count > 1 for count in titles.values()),
        "entities_with_shared_title": sum(c for c in titles.values() if c > 1),
    }


def _text_counts(splits: Mapping[str, _Split]) -> dict[str, Any]:
    between = {}
    for (a, one), (b, other) in combinations(splits.items(), 2):
        repeats = repeats_between(other.texts, one.texts)
        between[f"{b} in {a}"] = asdict(repeats)
    return {
        "repeated_within": {n: repeats_within(s.texts) for n, s in splits.items()},
        "repeated_between": between,
    }


def _image_counts(
    splits: Mapping[str, _Split], pictures: _Pictures, pictured: set[str]
) -> dict[str, dict[str, int]]:
    by_document = {
        name: [pictures.of_document(document) for document in split.documents]
        for name, split in splits.items()
    }
    train = {key for n in TRAIN for keys in by_document.get(n, ()) for key in keys}
    return {
        name: {
            "also_entity": sum(not keys.isdisjoint(pictured) for keys in documents),
            "also_train": sum(not keys.isdisjoint(train) for keys in documents),
        }
        for name, documents in by_document.items()
        if name not in TRAIN
    }


def _gold_counts(
    entities: Sequence[Entity], splits: Mapping[str, _Split], show_progress: bool
) -> dict[str, Any]:
    evaluated = {name: split for name, split in splits.items() if name not in TRAIN}
    golds: Counter[str] = sum(
        (split.golds() for name, split in splits.items() if name in TRAIN), Counter()
    )
    mentions = {name: list(split.mentions()) for name, split in evaluated.items()}
    names = probe_names(entities, golds.keys(), mentions, show_progress)
    seen = {}
    for name, split in evaluated.items():
        own = split.golds()
        n, n_seen = own.total(), sum(own[gold] for gold in own.keys() & golds.keys())
        share = round(n_seen / n, 6) if n else None
        seen[name] = {"mentions": n, "seen": n_seen, "share": share}
    return {
        "golds_seen_in_train": seen,
        "name_alone": {name: asdict(probe) for name, probe in names.items()},
    }


@dataclass(frozen=True, slots=True)
class Repeats:
    """Texts of one collection that another one has, too.

    equal (int): but for case, punctuation and white space.
    similar (int): nearly, see `SIMILAR`, and not equal.
    """

    equal: int
    similar: int


def repeats_within(texts: Iterable[tuple[str, ...]]) -> int:
    """RETURNS (int): texts that have an equal one before them."""
    return sum(count - 1 for count in Counter(texts).values())


def repeats_between(
    texts: Sequence[tuple[str, ...]], others: Sequence[tuple[str, ...]]
) -> Repeats:
    """Count the texts that stand among others. Exact: two texts are compared when they
    share a shingle among the rarest of either, as similar ones must.

    texts, others (Sequence[tuple[str, ...]]): as `words_of` gives them.
    RETURNS (Repeats): of `texts`; one that repeats several others counts once.
    """
    known = set(others)
    new = [text for text in texts if text not in known]
    sets = [_shingles(text) for text in known]
    frequency = Counter(shingle for shingles in sets for shingle in shingles)
    index: dict[Hashable, list[int]] = defaultdict(list)
    for i, shingles in enumerate(sets):
        for shingle in _rarest(shingles, frequency):
            index[shingle].append(i)
    similar = 0
    for text in new:
        own = _shingles(text)
        near = {
            i for shingle in _rarest(own, frequency) for i in index.get(shingle, ())
        }
        similar += any(_jaccard(own, sets[i]) >= SIMILAR for i in near)
    return Repeats(len(texts) - len(new), similar)


def _shingles(words: tuple[str, ...]) -> set[Hashable]:
    n = max(len(words) - SHINGLE_WORDS + 1, 1)
    return {words[i : i + SHINGLE_WORDS] for i in range(n)}


def _rarest(shingles: set[Hashable], frequency: Counter[Hashable]) -> list[Hashable]:
    """The shingles of which two similar sets have at least one in common."""
    n = len(shingles) - math.ceil(SIMILAR * len(shingles)) + 1
    return sorted(shingles, key=lambda shingle: (frequency[shingle], shingle))[:n]


def _jaccard(a: set[Hashable], b: set[Hashable]) -> float:
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared)
