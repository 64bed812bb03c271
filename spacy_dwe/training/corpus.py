"""Training corpora that keep their pictures."""

from collections.abc import Callable, Iterable, Iterator
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
    return _Corpus(None if path is None else Path(path), image_root, limit)


class _Corpus:
    def __init__(self, path: Path | None, image_root: Path | None, limit: int) -> None:
        self.path = path
        self.image_root = image_root
        self.limit = limit

    def __call__(self, nlp: "Language") -> Iterator[Example]:
        count = 0
        for reference in self._documents(nlp):
            yield Example(_unannotated(reference), reference)
            count += 1
            if count == self.limit:
                return
        if not count:
            raise DweError(Errors.E004.format(path=self.path, what="documents"))

    def _documents(self, nlp: "Language") -> Iterator[Doc]:
        if self.path is None:
            raise DweError(Errors.E520)
        for file in _files(self.path):
            yield from labelled_docs(nlp, file, self.image_root)


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
