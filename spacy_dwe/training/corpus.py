"""Training corpora that keep their pictures."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from spacy.tokens import Doc
from spacy.training import Example

from ..documents import SUFFIXES, labelled_docs
from ..errors import DweError, Errors

if TYPE_CHECKING:
    from spacy.language import Language

Reader = Callable[["Language"], Iterable[Example]]


def create_corpus(
    path: Path | None, image_root: Path | None = None, limit: int = 0
) -> Reader:
    """A reader of documents.jsonl and .spacy files ("spacy-dwe.Corpus.v1").

    spaCy's own reader makes predicted documents from their text and so loses pictures.
    This one keeps `doc._.images` and tokenises so that every mention is a span.

    path (Path | None): a .jsonl, .jsonl.gz or .spacy file, or a directory of them. None
        is for configs whose user is to name it: reading is then an error.
    image_root (Path | None): where relative picture paths of a .jsonl start; the
        directory of the file if None.
    limit (int): read at most so many documents, 0 = all.
    RETURNS (Reader): a function from a pipeline to examples, whose predicted documents
        have tokens and pictures, and no annotations.
    RAISES (DweError): when read, if the file is missing, or holds no document.
    """

    def read(nlp: "Language") -> Iterator[Example]:
        if path is None:
            raise DweError(Errors.E520)
        files = _files(Path(path))
        docs = chain.from_iterable(labelled_docs(nlp, f, image_root) for f in files)
        empty = True
        for reference in islice(docs, limit or None):
            empty = False
            yield Example(_unannotated(reference), reference)
        if empty:
            raise DweError(Errors.E004.format(path=path, what="documents"))

    return read


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise DweError(Errors.E001.format(path=path))
    if not path.is_dir():
        return [path]
    return sorted(p for p in path.iterdir() if p.name.endswith(SUFFIXES))


def _unannotated(reference: Doc) -> Doc:
    """RETURNS (Doc): the same tokens and user data, which pictures are."""
    return Doc(
        reference.vocab,
        words=[token.text for token in reference],
        spaces=[bool(token.whitespace_) for token in reference],
        user_data=dict(reference.user_data),
    )
