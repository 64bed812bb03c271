"""What photographs do to the links of one or several linkers: where the text does not
decide, where it does and the picture is wrong, and where the picture is foreign, that
is, shows something that the mention cannot mean."""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from photo_sets.documents import mentions_of, nouns_of, read_set, shown_in
from photo_sets.measures import FOREIGN, OTHER_SET, UNDECIDABLE
from spacy_dwe.cli.options import load_linking_pipeline
from spacy_dwe.documents import Document, make_docs
from spacy_dwe.evaluation.evaluate import evaluate_docs
from spacy_dwe.evaluation.outcomes import Outcome
from spacy_dwe.files import require_file
from spacy_dwe.images import ImageRef
from spacy_dwe.kb.entity import read_entities

FOLD = "{fold}"
"""Stands for the number of a fold in the path of a pipeline."""


@dataclass(frozen=True, slots=True)
class Part:
    """Documents that the same model links: a split, or what one fold left out.

    fold (str): its number; "" without folds.
    """

    fold: str
    documents: list[Document]


def trial_parts(
    folder: Path, split: str, entities: Path, others: Iterable[Path], seed: int
) -> list[Part]:
    """The documents of a split, and those with other pictures.

    folder (Path): holds SPLIT.jsonl, or fold-0/SPLIT.jsonl and so on.
    entities (Path): entities.jsonl, whose shared names are the nouns.
    others (Iterable[Path]): documents of another set, whose photographs are taken.
    seed (int): of the choice of pictures, the same for all linkers.
    """
    file = f"{split}.jsonl"
    own = folder / file
    folds = [] if own.exists() else sorted(folder.glob(f"fold-*/{file}"))
    splits = {path.parent.name.removeprefix("fold-"): path for path in folds}
    read = {
        fold: read_set([require_file(path)])
        for fold, path in (splits or {"": own}).items()
    }
    nouns = nouns_of(read_entities(entities))
    shown = shown_in(document for documents in read.values() for document in documents)
    pictures = {path: nouns.get(entity, entity) for path, entity in shown.items()}
    strange = dict.fromkeys(shown_in(read_set(others)), "")
    return [
        Part(
            fold,
            [
                *documents,
                *_exchanged(documents, pictures, nouns, FOREIGN, seed),
                *_exchanged(documents, strange, nouns, OTHER_SET, seed),
            ],
        )
        for fold, documents in read.items()
    ]


def _exchanged(
    documents: Iterable[Document],
    pictures: Mapping[str, str],
    nouns: Mapping[str, str],
    group: str,
    seed: int,
) -> Iterator[Document]:
    """YIELDS (Document): those with an undecidable mention, which is labelled NIL,
    beside a picture of another noun.

    pictures (Mapping[str, str]): noun that each picture shows, by path.
    """
    by_noun: dict[str, list[str]] = {}
    for document in documents:
        for mention in mentions_of(document):
            if UNDECIDABLE not in mention.groups or not mention.kb_id:
                continue
            noun = nouns.get(mention.kb_id, mention.kb_id)
            if noun not in by_noun:
                by_noun[noun] = [p for p in sorted(pictures) if pictures[p] != noun]
            if not by_noun[noun]:
                continue
            draw = random.Random(f"{seed} {group} {document.id} {mention.start}")
            picture = draw.choice(by_noun[noun])
            asked = replace(mention, kb_id=None, labelled=True, groups=(group,))
            yield replace(
                document,
                id=f"{document.id} {mention.start} {group}",
                images=(ImageRef(path=picture),),
                mentions=(asked,),
            )


def linked(parts: Sequence[Part], pipeline: str, kb: Path | None) -> list[Outcome]:
    """Link the documents of all parts.

    pipeline (str): as of `evaluate`; "{fold}" in it stands for each part's.
    """
    outcomes: list[Outcome] = []
    loaded: tuple[str, Any, Any] | None = None
    for part in parts:
        name = pipeline.replace(FOLD, part.fold)
        if loaded is None or loaded[0] != name:
            loaded = (name, *load_linking_pipeline(name, kb))
        _, nlp, linker = loaded
        docs = [
            doc
            for document in part.documents
            for doc in make_docs(nlp, document, with_gold=True)
        ]
        outcomes += evaluate_docs(nlp, linker, docs, draws=0).outcomes
    return outcomes
