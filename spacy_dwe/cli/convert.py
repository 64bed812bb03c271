"""`python -m spacy dwe convert`: from and to the interchange format, and from published
datasets."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from ..errors import BAR_DELAY, DweError, Errors
from .errors import warning_lines
from .options import ImageRootOption, OverwriteOption

Item = TypeVar("Item")

DATASETS = ("wikimel", "richpedia", "wikidiverse", "mimic")


def convert_cli(
    arguments: Annotated[
        list[str], typer.Argument(metavar="FORMAT SRC OUT", help="See above")
    ],
    to: Annotated[
        str | None,
        typer.Option("--to", help="The format, if it is not the first argument"),
    ] = None,
    lang: Annotated[
        str | None,
        typer.Option("--lang", help="Language of the tokenizer, for docbin (en)"),
    ] = None,
    image_root: ImageRootOption = None,
    spans_key: Annotated[
        str | None,
        typer.Option(
            "--spans-key",
            help="Mentions are the spans of this group of a .spacy file [default: "
            "doc.ents]",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option("--images", help="Pictures of a dataset [default: SRC/images]"),
    ] = None,
    descriptions: Annotated[
        str | None,
        typer.Option(
            "--descriptions",
            help="Of a dataset's entities: long (default), brief, none",
        ),
    ] = None,
    descriptions_file: Annotated[
        Path | None,
        typer.Option(
            "--descriptions-file", help="entities.jsonl with better descriptions"
        ),
    ] = None,
    hold_out: Annotated[
        float | None,
        typer.Option("--hold-out", help="Share of train to put in held-out.jsonl"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Chooses what is held out (0)")
    ] = None,
    image_urls: Annotated[
        bool,
        typer.Option(
            "--image-urls", help="Name pictures by URL where no file is there"
        ),
    ] = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Convert SRC to OUT.

    FORMAT is docbin (documents.jsonl to a .spacy file with labels, pictures and groups,
    for training and evaluation) or jsonl (the way back). `convert docbin SRC OUT` and
    `convert SRC OUT --to docbin` are the same.

    FORMAT is a dataset, wikimel, richpedia, wikidiverse or mimic: SRC is the folder of
    its files as published, and OUT becomes a folder of entities.jsonl, train.jsonl and
    so on, with an account of what they hold (account.json). docs/datasets.md says where
    to fetch datasets.
    """
    expected = ["SRC", "OUT"] if to is not None else ["FORMAT", "SRC", "OUT"]
    if len(arguments) != len(expected):
        raise typer.BadParameter(f"expected {' '.join(expected)}")
    name = arguments[0] if to is None else to
    src, out = Path(arguments[-2]), Path(arguments[-1])
    of_documents = {"lang": lang, "image_root": image_root, "spans_key": spans_key}
    of_datasets = {
        "images": images,
        "descriptions": descriptions,
        "descriptions_file": descriptions_file,
        "hold_out": hold_out,
        "seed": seed,
        "image_urls": image_urls or None,
        "overwrite": overwrite or None,
    }
    if name in DATASETS:
        _convert_published(name, src, out, _given(name, of_datasets, of_documents))
    else:
        given = _given(name, of_documents, of_datasets)
        convert(name, src, out, **given, silent=False)


def _given(
    name: str, options: dict[str, Any], others: dict[str, Any]
) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): the options of a format that the user gave.
    RAISES (DweError): the user gave one of other formats."""
    for option, value in others.items():
        if value is not None and name in (*FORMATS, *DATASETS):
            flag = "--" + option.replace("_", "-")
            raise DweError(Errors.E258.format(option=flag, format=name))
    return {option: value for option, value in options.items() if value is not None}


def _convert_published(
    dataset: str, src: Path, out: Path, options: dict[str, Any]
) -> None:
    from wasabi import Printer

    from ..datasets.conversion import LEFT_OUT, ConversionOptions, convert_dataset
    from .account import print_account

    chosen = ConversionOptions(**options)
    with warning_lines():
        result = convert_dataset(dataset, src, out, chosen, show_progress=True)
    msg = Printer()
    print_account(msg, result)
    left_out = result["conversion"]["left_out"]
    if left_out:
        msg.warn(f"{left_out:,} left out: see {out / LEFT_OUT}")
    msg.good(f"Wrote {out}")


def convert(
    format: str,
    src: Path,
    out: Path,
    *,
    lang: str = "en",
    image_root: Path | None = None,
    spans_key: str | None = None,
    silent: bool = True,
) -> int:
    """Convert a file, see `convert_cli`.

    RETURNS (int): the number of documents.
    """
    from wasabi import Printer

    from ..files import require_file, require_writable

    if format not in FORMATS:
        choices = ", ".join((*FORMATS, *DATASETS))
        raise DweError(Errors.E413.format(what="format", value=format, choices=choices))
    require_file(src)
    require_writable(out, src)
    n_documents = FORMATS[format](src, out, lang, image_root, spans_key, silent)
    msg = Printer(no_print=silent, pretty=not silent)
    msg.good(f"Wrote {n_documents:,} documents to {out}")
    return n_documents


def _to_docbin(
    src: Path,
    out: Path,
    lang: str,
    image_root: Path | None,
    spans_key: str | None,
    silent: bool,
) -> int:
    import spacy
    from spacy.tokens import DocBin

    from ..documents import make_docs, read_documents
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
            for doc in make_docs(nlp, document, True, spans_key):
                doc_bin.add(doc)
            n_documents += 1
        if not n_documents:
            raise DweError(Errors.E004.format(path=src, what="documents"))
        doc_bin.to_disk(temporary)
    return n_documents


def _to_jsonl(
    src: Path,
    out: Path,
    lang: str,
    image_root: Path | None,
    spans_key: str | None,
    silent: bool,
) -> int:
    from spacy.vocab import Vocab

    from ..documents import docbin_docs, document_objects
    from ..files import writing_jsonl

    docs = docbin_docs(src, Vocab())
    n_documents = 0
    with writing_jsonl(out) as write:
        for record in _shown(document_objects(docs, spans_key), silent):
            write(record)
            n_documents += 1
    return n_documents


def _shown(items: Iterable[Item], silent: bool) -> Iterable[Item]:
    from tqdm import tqdm

    shown: Iterable[Item] = tqdm(
        items, desc="Converting", unit=" docs", delay=BAR_DELAY, disable=silent
    )
    return shown


FORMATS: dict[str, Callable[[Path, Path, str, Path | None, str | None, bool], int]] = {
    "docbin": _to_docbin,
    "jsonl": _to_jsonl,
}
