"""`python -m spacy dwe convert`: from and to the interchange format."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from ..errors import DweError, Errors
from .errors import BAR_DELAY

Item = TypeVar("Item")


def convert_cli(
    arguments: Annotated[
        list[str], typer.Argument(metavar="FORMAT SRC OUT", help="See above")
    ],
    to: Annotated[
        str | None,
        typer.Option("--to", help="The format, if it is not the first argument"),
    ] = None,
    lang: Annotated[
        str, typer.Option("--lang", help="Language of the tokenizer, for docbin")
    ] = "en",
    image_root: Annotated[
        Path | None,
        typer.Option(
            "--image-root",
            help="Where relative pictures start; else beside the documents",
        ),
    ] = None,
) -> None:
    """Convert SRC to OUT.

    FORMAT is docbin (documents.jsonl to a .spacy file with labels, pictures and groups,
    for training and evaluation) or jsonl (the way back). `convert docbin SRC OUT` and
    `convert SRC OUT --to docbin` are the same.
    """
    expected = ["SRC", "OUT"] if to is not None else ["FORMAT", "SRC", "OUT"]
    if len(arguments) != len(expected):
        raise typer.BadParameter(f"expected {' '.join(expected)}")
    name = arguments[0] if to is None else to
    src, out = Path(arguments[-2]), Path(arguments[-1])
    convert(name, src, out, lang=lang, image_root=image_root, silent=False)


def convert(
    format: str,
    src: Path,
    out: Path,
    *,
    lang: str = "en",
    image_root: Path | None = None,
    silent: bool = True,
) -> int:
    """Convert a file, see `convert_cli`.

    RETURNS (int): the number of documents.
    """
    from wasabi import Printer

    from ..files import require_file

    if format not in FORMATS:
        choices = ", ".join(FORMATS)
        raise DweError(Errors.E240.format(value=format, choices=choices))
    require_file(src)
    if out.exists() and out.samefile(src):
        raise DweError(Errors.E235.format(path=out))
    n_documents = FORMATS[format](src, out, lang, image_root, silent)
    msg = Printer(no_print=silent, pretty=not silent)
    msg.good(f"Wrote {n_documents:,} documents to {out}")
    return n_documents


def _to_docbin(
    src: Path, out: Path, lang: str, image_root: Path | None, silent: bool
) -> int:
    import spacy
    from spacy.tokens import DocBin

    from ..datasets.documents import make_docs, read_documents
    from ..files import replacing

    try:
        nlp = spacy.blank(lang)
    except ImportError as error:
        reason = f"{lang!r} is no language of spaCy ({error})"
        raise DweError(
            Errors.E400.format(pipeline=f"blank:{lang}", reason=reason)
        ) from None
    doc_bin = DocBin(store_user_data=True)
    n_documents = 0
    with replacing(out) as temporary:
        for document in _shown(read_documents(src, image_root), silent):
            for doc in make_docs(nlp, document, with_gold=True):
                doc_bin.add(doc)
            n_documents += 1
        if not n_documents:
            raise DweError(Errors.E004.format(path=src, what="documents"))
        doc_bin.to_disk(temporary)
    return n_documents


def _to_jsonl(
    src: Path, out: Path, lang: str, image_root: Path | None, silent: bool
) -> int:
    from spacy.vocab import Vocab

    from ..datasets.documents import docbin_docs, document_objects
    from ..files import writing_jsonl

    docs = docbin_docs(src, Vocab())
    n_documents = 0
    with writing_jsonl(out) as write:
        for record in _shown(document_objects(docs), silent):
            write(record)
            n_documents += 1
    return n_documents


def _shown(items: Iterable[Item], silent: bool) -> Iterable[Item]:
    from tqdm import tqdm

    shown: Iterable[Item] = tqdm(
        items, desc="Converting", unit=" docs", delay=BAR_DELAY, disable=silent
    )
    return shown


FORMATS: dict[str, Callable[[Path, Path, str, Path | None, bool], int]] = {
    "docbin": _to_docbin,
    "jsonl": _to_jsonl,
}
