"""Two mentions, and the pictures of their document: who gets them, and what of it.

    python benchmarks/bench_sharing.py DATA --kb my.kb --split dev

DATA is a folder of documents with a mention and a picture each, of which those of a
group (`--group`) are joined in pairs: texts that do not tell namesakes apart, so that
whatever is told apart comes from pictures.

    one picture    two names; the picture shows one of both
    two pictures   two names; a picture of each
    one name       the same name twice, for different entities; the picture shows one
    a third one    two names; the picture shows an entity that has neither

Each is linked with its pictures, with pictures that all mentions read (`all read`), and
with none; the mention that a picture shows also in its own document (`alone`).
"Changed" is the share of mentions whose best candidate is not that of the document
without pictures, "p ≥ .9" that of links so sure. Nothing is trained; DWE_FEATURE_CACHE
keeps what encoders say.
"""

import argparse
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import spacy
from wasabi import msg

from spacy_dwe.documents import Document, MentionRecord, make_docs, read_documents
from spacy_dwe.kb.knowledge_base import DweKnowledgeBase
from spacy_dwe.linking.sharing import PictureShares, Share
from spacy_dwe.names.normalisation import normalise

if TYPE_CHECKING:
    from spacy.language import Language

    from spacy_dwe.images import ImageRef
    from spacy_dwe.linking.mentions import Mention
    from spacy_dwe.linking.sharing import Seen
    from spacy_dwe.pipeline import DweLinker

SURE = 0.9
KINDS = ("one picture", "two pictures", "one name", "a third one")


class Pair(NamedTuple):
    """Two documents made one.

    shown (tuple[bool, bool]): whether a picture shows each mention, in order.
    parts (tuple[Document, Document]): in order.
    """

    document: Document
    shown: tuple[bool, bool]
    parts: tuple[Document, Document]


@dataclass(frozen=True, slots=True)
class Decision:
    """best (str | None): the best candidate's id."""

    gold: str | None
    best: str | None
    linked: str | None
    probability: float


class Everybody(PictureShares):
    """All mentions of a document read all its pictures."""

    def of(
        self,
        mentions: "Sequence[Mention]",
        vectors: "Mapping[ImageRef, Seen]",
    ) -> list[tuple[Share, ...]]:
        return [tuple(map(Share, mention.images)) for mention in mentions]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="SPLIT.jsonl and its pictures")
    parser.add_argument("--kb", type=Path, required=True)
    parser.add_argument("--split", default="dev")
    parser.add_argument("--group", default="undecidable", help="of mentions to join")
    parser.add_argument("--n", type=int, default=300, help="documents of each kind")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    documents = [
        document
        for document in read_documents(args.folder / f"{args.split}.jsonl")
        if usable(document, args.group)
    ]
    nlp = spacy.blank("en")
    # Words of the other text are no context.
    nlp.add_pipe("sentencizer")
    linker = cast("DweLinker", nlp.add_pipe("dwe_linker"))
    linker.load_kb(args.kb)
    assert linker.kb is not None
    names = names_of(linker.kb, documents)
    rows = []
    for kind in KINDS:
        pairs = list(made(documents, names, kind, args.n, random.Random(args.seed)))
        if not pairs:
            msg.warn(f"No two documents make one of the kind {kind!r}")
            continue
        rows += measured(nlp, kind, pairs)
    header = (
        *("", "n", "shown: Top-1", "right links"),
        *("other: changed", "linked", f"p ≥ {SURE:g}"),
    )
    msg.divider(f"{args.folder.name} {args.split}, {len(documents)} documents")
    msg.table(rows, header=header, divider=True, aligns=("l", *"rrrrrr"))


def usable(document: Document, group: str) -> bool:
    mentions = document.mentions or ()
    return (
        len(mentions) == len(document.images) == 1
        and mentions[0].kb_id is not None
        and group in mentions[0].groups
    )


def names_of(
    kb: DweKnowledgeBase, documents: Sequence[Document]
) -> dict[str, frozenset[str]]:
    """RETURNS (dict[str, frozenset[str]]): normalised names of entities, by id."""
    ids = sorted({str(only(document).kb_id) for document in documents})
    return {
        entity.id: frozenset(
            normalise(name)
            for name in (entity.title, *(alias.alias for alias in entity.aliases))
        )
        for entity in kb.entities(kb.rows_of(ids))
    }


def only(document: Document) -> MentionRecord:
    """RETURNS (MentionRecord): the mention of a document that has one."""
    assert document.mentions is not None
    (mention,) = document.mentions
    return mention


def text_of(document: Document) -> str:
    mention = only(document)
    return document.text[mention.start : mention.end].lower()


def made(
    documents: Sequence[Document],
    names: dict[str, frozenset[str]],
    kind: str,
    n: int,
    rng: random.Random,
) -> Iterator[Pair]:
    """YIELDS (Pair): `n` of a kind, or as many as a hundred tries for each make."""
    tries = (rng.sample(documents, 3) for _ in range(100 * n))
    n_made = 0
    for shown, other, third in tries:
        one, two = text_of(shown), text_of(other)
        same_entity = only(shown).kb_id == only(other).kb_id
        names_third = names[str(only(third).kb_id)] & {normalise(one), normalise(two)}
        if (
            (one == two) != (kind == "one name")
            or same_entity
            or (kind == "a third one" and names_third)
        ):
            continue
        images = {
            "two pictures": (*shown.images, *other.images),
            "a third one": third.images,
        }.get(kind, shown.images)
        flags = {"two pictures": (True, True), "a third one": (False, False)}
        order = [(shown, True), (other, False)]
        rng.shuffle(order)
        (first, is_first), (second, is_second) = order
        yield Pair(
            joined(first, second, images, f"{kind} {n_made}"),
            flags.get(kind, (is_first, is_second)),
            (first, second),
        )
        n_made += 1
        if n_made == n:
            return


def joined(
    first: Document, second: Document, images: "tuple[ImageRef, ...]", name: str
) -> Document:
    start = len(first.text) + 1
    moved = only(second)
    moved = replace(moved, start=moved.start + start, end=moved.end + start)
    text = f"{first.text} {second.text}"
    return Document(name, text, images, (only(first), moved))


def measured(
    nlp: "Language", kind: str, pairs: Sequence[Pair]
) -> list[tuple[str, ...]]:
    """RETURNS (list[tuple[str, ...]]): lines of the table."""
    whole = [pair.document for pair in pairs]
    bare = decisions(nlp, [replace(document, images=()) for document in whole])
    shown = np.array([pair.shown for pair in pairs]).ravel()
    rows = [row(f"{kind}: competing", decisions(nlp, whole), bare, shown)]
    evidence = cast("DweLinker", nlp.get_pipe("dwe_linker")).evidence
    own, evidence._shares = evidence._shares, Everybody(evidence.kb)
    rows.append(row("   all read", decisions(nlp, whole), bare, shown))
    evidence._shares = own
    if shown.any():
        parts = [part for pair in pairs for part in pair.parts]
        alone = decisions(nlp, [replace(p, id=f"{i}") for i, p in enumerate(parts)])
        rows.append((*row("   alone", alone, bare, shown)[:4], "", "", ""))
    rows.append(row("   no picture", bare, bare, shown))
    return rows


def decisions(nlp: "Language", documents: Sequence[Document]) -> list[Decision]:
    """RETURNS (list[Decision]): of all mentions, in order."""
    docs = [doc for each in documents for doc in make_docs(nlp, each)]
    golds = [mention.kb_id for each in documents for mention in each.mentions or ()]
    spans = [span for doc in nlp.pipe(docs, batch_size=200) for span in doc.ents]
    found = []
    for gold, span in zip(golds, spans, strict=True):
        candidates = span._.kb_candidates
        best = candidates[0] if candidates else None
        linked = None if span.kb_id_ in ("", "NIL") else span.kb_id_
        probability = best.probability if best else 0.0
        found.append(Decision(gold, best and best.id, linked, probability))
    return found


def row(
    name: str, found: Sequence[Decision], bare: Sequence[Decision], shown: np.ndarray
) -> tuple[str, ...]:
    """shown (np.ndarray): mentions that a picture shows. Shape: (len(found),), bool"""
    top = np.array([one.best == one.gold for one in found])
    right = np.array([one.linked == one.gold for one in found])
    changed = np.array([one.best != was.best for one, was in zip(found, bare)])
    linked = np.array([one.linked is not None for one in found])
    sure = linked & np.array([one.probability >= SURE for one in found])
    return (
        name,
        f"{len(found) // 2}",
        *(share(what, shown) for what in (top, right)),
        *(share(what, ~shown) for what in (changed, linked, sure)),
    )


def share(what: np.ndarray, among: np.ndarray) -> str:
    return f"{what[among].mean():.3f}".removeprefix("0") if among.any() else "–"


if __name__ == "__main__":
    main()
