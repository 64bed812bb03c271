"""The labels of a document: what a mention should be linked to."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from spacy.tokens import Doc, Span

from ..datasets.documents import LABEL, labelled_docs
from ..tokens import DOCUMENT_ID, NIL

if TYPE_CHECKING:
    from spacy.language import Language


@dataclass(frozen=True, slots=True)
class Gold:
    """The label of one mention.

    document (str): id of the document.
    kb_id (str | None): id of the right entity; None: it is not in the KB (NIL).
    groups (tuple[str, ...]): groups that the mention is reported in.
    label (str): type of the mention; "" if nobody said.
    pictured (bool): the mention or its document has pictures.
    """

    document: str
    kb_id: str | None
    groups: tuple[str, ...] = ()
    label: str = field(default="", compare=False)
    pictured: bool = field(default=False, compare=False)


def gold_ids(
    nlp: "Language", paths: Iterable[Path], image_root: Path | None = None
) -> set[str]:
    """RETURNS (set[str]): labels of all mentions of files of documents."""
    return {
        ent.kb_id_
        for path in paths
        for doc in labelled_docs(nlp, path, image_root)
        for ent in doc.ents
        if ent.kb_id_
    }


def gold_mentions(reference: Doc, name: str) -> tuple[Doc, list[Gold]]:
    """Split a labelled document into the question and the answers.

    reference (Doc): entities with a kb_id are labelled.
    name (str): what to call the document if it came without an id.
    RETURNS (tuple[Doc, list[Gold]]): a copy whose entities are the labelled ones
        without their labels, and the label of each in order.
    """
    document = str(reference.user_data.get(DOCUMENT_ID, name))
    labelled = [ent for ent in reference.ents if ent.kb_id_]
    doc = reference.copy()
    doc.user_data = dict(reference.user_data)
    doc.set_ents([Span(doc, e.start, e.end, label=e.label) for e in labelled])
    golds = [
        Gold(
            document,
            None if ent.kb_id_ == NIL else ent.kb_id_,
            ent._.link_groups,
            "" if ent.label_ == LABEL else ent.label_,
            bool(ent._.images),
        )
        for ent in labelled
    ]
    return doc, golds
