"""Documents of photographs: which noun a mention is of, what its picture shows, and a
part held out by photograph."""

import random
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from photo_sets.errors import Errors
from spacy_dwe.documents import Document, MentionRecord, read_documents
from spacy_dwe.errors import DweError
from spacy_dwe.files import replacing_folder, write_jsonl
from spacy_dwe.images import ImageRef, image_entry, resolve
from spacy_dwe.kb.entity import Entity

RIGHT = "picture:right"
"""Group of mentions whose picture shows what is meant."""


def read_set(paths: Iterable[Path]) -> list[Document]:
    """Documents of several files, whose pictures do not depend on where a file lies.

    RETURNS (list[Document]): in order.
    RAISES (DweError): two have the same id.
    """
    found: dict[str, tuple[Path, Document]] = {}
    for path in paths:
        for document in read_documents(path, path.parent.resolve()):
            if document.id in found:
                first, _ = found[document.id]
                message = Errors.E288.format(path=path, id=document.id, other=first)
                raise DweError(message)
            found[document.id] = path, document
    return [document for _, document in found.values()]


def to_json(document: Document) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): a line of documents.jsonl, pictures by their paths."""
    record = {**document.source, "id": document.id, "text": document.text}
    if document.images:
        record["images"] = [image_entry(ref) for ref in document.images]
    if document.mentions is not None:
        record["mentions"] = [_mention(mention) for mention in document.mentions]
    return record


def _mention(mention: MentionRecord) -> dict[str, Any]:
    record = {**mention.source, "start": mention.start, "end": mention.end}
    if mention.labelled:
        record["kb_id"] = mention.kb_id
    return {**record, "groups": list(mention.groups)} if mention.groups else record


def mentions_of(document: Document) -> Sequence[MentionRecord]:
    """RETURNS (Sequence[MentionRecord]): none where the document does not say."""
    return document.mentions or ()


def with_places(entities: Iterable[Entity], folder: Path) -> Iterator[Entity]:
    """YIELDS (Entity): entities of a file in a folder, whose pictures do not depend on
    where it lies."""
    for entity in entities:
        given = [ImageRef(path=image) for image in entity.images]
        refs = resolve(given, folder.resolve())
        yield replace(entity, images=tuple(ref.path for ref in refs if ref.path))


def nouns_of(entities: Iterable[Entity]) -> dict[str, str]:
    """Nouns are aliases that several entities share. Those that an entity has two of
    count as one, such as "duck, merganser".

    RETURNS (dict[str, str]): noun by entity id; without those that share none.
    """
    bearers: dict[str, set[str]] = defaultdict(set)
    for entity in entities:
        for alias in entity.aliases:
            bearers[alias.alias.casefold()].add(entity.id)
    parts: list[tuple[set[str], set[str]]] = []
    for noun in sorted(noun for noun, ids in bearers.items() if len(ids) > 1):
        tied = [part for part in parts if part[1] & bearers[noun]]
        parts = [part for part in parts if part not in tied]
        nouns = {noun}.union(*(part[0] for part in tied))
        parts.append((nouns, bearers[noun].union(*(part[1] for part in tied))))
    return {id_: ", ".join(sorted(nouns)) for nouns, ids in parts for id_ in ids}


def shown_in(documents: Iterable[Document]) -> dict[str, str]:
    """RETURNS (dict[str, str]): entity id by the path of the picture that shows it,
    where a mention says so."""
    return {
        ref.path: mention.kb_id
        for document in documents
        for mention in mentions_of(document)
        for ref in document.images
        if RIGHT in mention.groups and mention.kb_id and ref.path
    }


def hold_out(
    documents: Sequence[Document], share: float, seed: int
) -> tuple[list[Document], list[Document]]:
    """Part documents in two by their photographs: those with the same one stay
    together, so that a checkpoint is chosen by photographs that it did not see.

    share (float): of the documents, to hold out, about.
    RETURNS (tuple[list[Document], list[Document]]): what stays, and what is held out,
        in their order.
    """
    by_picture: dict[Hashable, list[str]] = defaultdict(list)
    for document in documents:
        pictures = tuple(ref.path for ref in document.images)
        by_picture[pictures or document.id].append(document.id)
    groups = list(by_picture.values())
    random.Random(seed).shuffle(groups)
    held: set[str] = set()
    for group in groups:
        if len(held) >= round(share * len(documents)):
            break
        held.update(group)
    kept = [document for document in documents if document.id not in held]
    return kept, [document for document in documents if document.id in held]


def write_parts(out: Path, parts: Mapping[str, Sequence[Document]]) -> None:
    """Write STEM.jsonl for each part, all or none. OUT is replaced.

    RAISES (DweError): one of them would be empty.
    """
    for stem, documents in parts.items():
        if not documents:
            raise DweError(
                Errors.E287.format(path=out, reason=f"{stem} would be empty")
            )
    with replacing_folder(out) as draft:
        for stem, documents in parts.items():
            write_jsonl(draft / f"{stem}.jsonl", map(to_json, documents))
