"""Search for names that share words with a mention, or nearly do.

A name is known here by its number: its position in the order in which names were
written. `NameIndex` is all that the rest of the KB knows of a search engine.
"""

import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import tantivy

from ..errors import DweError, Errors
from .normalisation import initials

_WORDS = "words"
_INITIALS = "initials"
_NUMBER = "number"
_FREQUENCIES = "freq"
_WRITER_BYTES = 64 << 20

MAX_WORDS = 32
"""Words of a mention that are searched for; what is longer is no name."""
MIN_FUZZY = 4
"""Letters a word needs to be looked for under other spellings."""
MIN_FUZZIER = 8
"""Letters a word needs to be looked for at edit distance 2."""
INITIALS = range(2, 7)
"""Letters of an abbreviation such as JFK."""


class NameIndex(Protocol):
    """Ranks the names that resemble a mention."""

    def search(self, keys: Sequence[str], n: int) -> list[list[int]]:
        """Search for normalised mentions.

        RETURNS (list[list[int]]): at most n numbers of names a mention, best first.
        """
        ...


class NamesWriter:
    """Changes an index in place, or makes one. Nothing counts before `commit`."""

    def __init__(self, folder: Path) -> None:
        """folder (Path): the index; made if there is none."""
        self._folder = folder
        self._schema = _schema()
        if folder.is_dir():
            index = tantivy.Index.open(str(folder))
        else:
            folder.mkdir(parents=True)
            index = tantivy.Index(self._schema, path=str(folder))
        # One thread: the same names give the same index, hence the same order of ties.
        self._writer = index.writer(heap_size=_WRITER_BYTES, num_threads=1)

    def add(self, first: int, keys: Iterable[str]) -> None:
        """Index normalised names.

        first (int): number of the first one; the others follow.
        """
        for number, key in enumerate(keys, start=first):
            document = tantivy.Document()
            document.add_text(_WORDS, key)
            short = initials(key.split())
            if len(short) in INITIALS:
                document.add_text(_INITIALS, short)
            document.add_unsigned(_NUMBER, number)
            self._writer.add_document(document)

    def remove(self, numbers: Sequence[int]) -> None:
        """Take names out of the index."""
        if numbers:
            # Deleting by term instead takes numbers for signed and finds none.
            query = tantivy.Query.term_set_query(self._schema, _NUMBER, list(numbers))
            self._writer.delete_documents_by_query(query)

    def commit(self) -> None:
        """Complete the index; it cannot be written to after that."""
        self._writer.commit()
        self._writer.wait_merging_threads()
        self._unlock()

    def close(self) -> None:
        """Give up what was not committed."""
        self._writer.rollback()
        self._writer.wait_merging_threads()
        self._unlock()

    def _unlock(self) -> None:
        for lock in self._folder.glob(".tantivy-*.lock"):
            lock.unlink()


class TantivyNames:
    """A `NameIndex` on disk, ranked by BM25 over words. A word that no name has is
    looked for under similar spellings."""

    def __init__(self, kb: Path, folder: str) -> None:
        """kb (Path): the KB's folder.
        folder (str): where `NamesWriter` put the index, below it.
        """
        if not (kb / folder).is_dir():
            raise DweError(Errors.E104.format(path=kb, file=folder))
        try:
            self._searcher = _open(kb / folder)
            # Tantivy opens the files of a field when it is first asked of it.
            for field in (_WORDS, _INITIALS):
                self._searcher.doc_freq(field, "")
        except ValueError as error:
            raise DweError(
                Errors.E105.format(path=kb, file=folder, reason=error)
            ) from None
        self._schema = _schema()

    def __len__(self) -> int:
        return int(self._searcher.num_docs)

    def search(self, keys: Sequence[str], n: int) -> list[list[int]]:
        return [self._search(key.split()[:MAX_WORDS], n) for key in keys]

    def _search(self, words: list[str], n: int) -> list[int]:
        parts: list[Any] = []
        unknown = []
        for word in words:
            if self._searcher.doc_freq(_WORDS, word):
                parts.append(self._term(_WORDS, word))
            elif len(word) >= MIN_FUZZY:
                unknown.append(word)
        parts += [self._fuzzy(word, 1) for word in unknown]
        if len(words) == 1 and len(words[0]) in INITIALS:
            parts.append(self._term(_INITIALS, words[0]))
        numbers = self._numbers(parts, n)
        if not numbers:
            longer = [word for word in unknown if len(word) >= MIN_FUZZIER]
            numbers = self._numbers([self._fuzzy(word, 2) for word in longer], n)
        return numbers

    def _numbers(self, parts: list[Any], n: int) -> list[int]:
        if not parts:
            return []
        should = tantivy.Occur.Should
        query = tantivy.Query.boolean_query([(should, part) for part in parts])
        hits = self._searcher.search(query, n, count=False).hits
        addresses = [address for _, address in hits]
        numbers: list[int] = self._searcher.fast_field_values(_NUMBER, addresses)
        return numbers

    def _term(self, field: str, word: str) -> Any:
        return tantivy.Query.term_query(self._schema, field, word, _FREQUENCIES)

    def _fuzzy(self, word: str, distance: int) -> Any:
        return tantivy.Query.fuzzy_term_query(self._schema, _WORDS, word, distance)


def _schema() -> Any:
    builder = tantivy.SchemaBuilder()
    for field in (_WORDS, _INITIALS):
        builder.add_text_field(
            field, tokenizer_name="whitespace", index_option=_FREQUENCIES
        )
    # Indexed, so that a name can be removed by its number.
    builder.add_unsigned_field(_NUMBER, fast=True, indexed=True)
    return builder.build()


def _open(folder: Path) -> Any:
    if os.access(folder, os.W_OK):
        return _searcher(folder)
    # Tantivy writes a lock file even to read, and reading once leaves it behind.
    with tempfile.TemporaryDirectory(prefix="spacy-dwe-") as links:
        for file in folder.absolute().iterdir():
            if file.suffix != ".lock":
                (Path(links) / file.name).symlink_to(file)
        return _searcher(Path(links))


def _searcher(folder: Path) -> Any:
    index = tantivy.Index.open(str(folder))
    index.config_reader("manual")
    index.reload()
    return index.searcher()
