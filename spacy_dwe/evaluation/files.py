"""Files of an evaluation: labelled documents in, metrics and predictions out."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from spacy.tokens import Doc, DocBin

from ..datasets.documents import make_docs, read_documents, writing_jsonl
from ..errors import DweError, Errors

if TYPE_CHECKING:
    from spacy.language import Language


def labelled_docs(
    nlp: "Language", path: Path, image_root: Path | None = None
) -> Iterator[Doc]:
    """Read documents with their labels as kb_id of their entities.

    path (Path): documents.jsonl, or a .spacy file that kept its user data.
    image_root (Path | None): where relative pictures start; None: the folder of `path`.
    """
    if path.suffix == ".spacy":
        yield from _docs_of_docbin(nlp, path)
        return
    for document in read_documents(path, image_root):
        yield from make_docs(nlp, document, with_gold=True)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, complete or not at all. NaN is an error."""
    with writing(path) as file:
        json.dump(value, file, ensure_ascii=False, indent=2, allow_nan=False)
        file.write("\n")


def write_jsonl(path: Path, records: Iterable[Any]) -> None:
    """Write a JSONL file, complete or not at all. NaN is an error."""
    with writing_jsonl(path) as write:
        for record in records:
            write(record)


def write_text(path: Path, text: str) -> None:
    """Write a text file, complete or not at all."""
    with writing(path) as file:
        file.write(text)


@contextmanager
def writing(path: Path) -> Iterator[IO[str]]:
    """Open a temporary neighbour that takes the name of `path` when all is written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _docs_of_docbin(nlp: "Language", path: Path) -> Iterator[Doc]:
    try:
        docs = DocBin().from_disk(path)
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DweError(Errors.E415.format(path=path, reason=reason)) from None
    return docs.get_docs(nlp.vocab)
