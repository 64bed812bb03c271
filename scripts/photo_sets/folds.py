"""Nouns left out of training: what is learnt of photographs, and not of classes, holds
for things that training did not show."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from photo_sets.documents import (
    hold_out,
    mentions_of,
    nouns_of,
    read_set,
    shown_in,
    to_json,
    with_places,
)
from photo_sets.errors import Errors
from spacy_dwe.documents import Document
from spacy_dwe.errors import DweError
from spacy_dwe.files import replacing_folder, write_jsonl
from spacy_dwe.kb.entity import read_entities, write_entities

ENTITIES, ADDED = "entities.jsonl", "added.jsonl"
PARTS = ("train", "dev", "test")
SEEN, UNSEEN = "name:seen", "name:unseen"


@dataclass(frozen=True, slots=True)
class Fold:
    """nouns (list[str]): those left out.
    parts (dict[str, list[Document]]): "train" and "dev", which chooses a checkpoint,
        name none of them and show none of what they mean; "test" has their mentions.
    """

    nouns: list[str]
    parts: dict[str, list[Document]]

    def __str__(self) -> str:
        return "; ".join(self.nouns)


def leave_nouns_out(
    entities: Path,
    files: Sequence[Path],
    tests: Sequence[Path] = (),
    *,
    folds: int,
    share: float,
    seed: int,
) -> list[Fold]:
    """Part the nouns of a set, so that each is left out once.

    entities (Path): entities.jsonl, whose shared names are the nouns. All stay in the
        KB of every fold.
    files (Sequence[Path]): documents to train on, and to leave out of it.
    tests (Sequence[Path]): documents to ask for instead of those left out, where there
        are photographs that no fold trains on.
    share (float): of what a fold trains on, to choose a checkpoint by; by photograph.
    seed (int): of the parting, and of that share.
    RAISES (DweError): there are fewer nouns than folds.
    """
    nouns = nouns_of(read_entities(entities))
    documents = read_set(files)
    asked = read_set(tests) if tests else documents
    counts = Counter(noun for document in asked for noun in _named(document, nouns))
    if len(counts) < folds:
        reason = f"{len(counts)} shared nouns do not make {folds} folds"
        raise DweError(Errors.E287.format(path=entities, reason=reason))
    shown = {path: nouns.get(id_, "") for path, id_ in shown_in(documents).items()}
    found = []
    for left_out in _parted(counts, folds, seed):
        rest = [
            document
            for document in documents
            if left_out.isdisjoint(_named(document, nouns))
            and left_out.isdisjoint(
                shown.get(ref.path or "") for ref in document.images
            )
        ]
        train, dev = hold_out(rest, share, seed)
        test = [
            _unseen(document, nouns, left_out)
            for document in asked
            if not left_out.isdisjoint(_named(document, nouns))
        ]
        parts = dict(zip(PARTS, (train, dev, test)))
        found.append(Fold(sorted(left_out), parts))
    return found


def write_folds(out: Path, folds: Sequence[Fold], entities: Path) -> None:
    """Write fold-0/train.jsonl and so on; the entities of all folds; and, for a KB that
    grows after training, those that a fold trains with, fold-0/entities.jsonl, and
    those that it leaves out, fold-0/added.jsonl. All or none; OUT is replaced."""
    everything = list(with_places(read_entities(entities), entities.parent))
    nouns = nouns_of(everything)
    with replacing_folder(out) as draft:
        write_entities(draft / ENTITIES, everything)
        for number, fold in enumerate(folds):
            folder = draft / f"fold-{number}"
            for stem, documents in fold.parts.items():
                write_jsonl(folder / f"{stem}.jsonl", map(to_json, documents))
            for name, left_out in ((ENTITIES, False), (ADDED, True)):
                own = (e for e in everything if _is_of(nouns, e.id, fold) == left_out)
                write_entities(folder / name, own)


def _is_of(nouns: Mapping[str, str], entity: str, fold: Fold) -> bool:
    return nouns.get(entity) in fold.nouns


def _named(document: Document, nouns: Mapping[str, str]) -> set[str]:
    """RETURNS (set[str]): nouns of what a document's mentions mean."""
    meant = (mention.kb_id or "" for mention in mentions_of(document))
    return {nouns[kb_id] for kb_id in meant if kb_id in nouns}


def _parted(counts: Mapping[str, int], folds: int, seed: int) -> list[set[str]]:
    """RETURNS (list[set[str]]): nouns of about as many mentions in all; the seed
    chooses among nouns that are as frequent."""
    rng = random.Random(seed)
    nouns = sorted(counts)
    rng.shuffle(nouns)
    parts: list[set[str]] = [set() for _ in range(folds)]
    for noun in sorted(nouns, key=lambda noun: -counts[noun]):
        smallest = min(
            parts, key=lambda part: (sum(counts[n] for n in part), len(part))
        )
        smallest.add(noun)
    return parts


def _unseen(
    document: Document, nouns: Mapping[str, str], left_out: set[str]
) -> Document:
    """RETURNS (Document): with the mentions of nouns that are left out, whose names
    training has not seen now, whatever was seen before."""
    mentions = tuple(
        replace(
            mention,
            groups=tuple(UNSEEN if g == SEEN else g for g in mention.groups),
        )
        for mention in mentions_of(document)
        if nouns.get(mention.kb_id or "") in left_out
    )
    return replace(document, mentions=mentions)
