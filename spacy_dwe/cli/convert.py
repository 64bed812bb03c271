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

DATASETS = ("wikimel", "richpedia", "wikidiverse", "mimic", "grocery")
OPEN_WORLD = "open-world"
OF_DOCUMENTS = ("lang", "image_root", "spans_key")
OF_KB = ("kb_share", "seed")
OF_DATASETS = (
    *("images", "descriptions", "descriptions_file", "hold_out", "image_urls"),
    *(*OF_KB, "overwrite"),
)
OF_GROCERY = ("images", "descriptions_file", "hold_out", *OF_KB, "overwrite")
"""Options of formats, as the arguments that they become."""


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
    kb_share: Annotated[
        float | None,
        typer.Option(
            "--kb-share",
            help="Share of entities to keep, for a test with mentions outside the KB. "
            "With 0.2 the seeds 0 to 4 keep five parts that share none",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            help="Chooses what is held out or kept, and grocery's sentences (0)",
        ),
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

    FORMAT is open-world: SRC is entities.jsonl, and OUT becomes the --kb-share of it.
    Documents stay as they are: mentions of the other entities are now outside the KB,
    which `evaluate --open-world` measures.

    FORMAT is a dataset, wikimel, richpedia, wikidiverse, mimic or grocery: SRC is the
    folder of its files as published, and OUT becomes a folder of entities.jsonl,
    train.jsonl and so on, with an account of what they hold (account.json).
    docs/datasets.md says where to fetch datasets.
    """
    expected = ["SRC", "OUT"] if to is not None else ["FORMAT", "SRC", "OUT"]
    if len(arguments) != len(expected):
        raise typer.BadParameter(f"expected {' '.join(expected)}")
    name = arguments[0] if to is None else to
    src, out = Path(arguments[-2]), Path(arguments[-1])
    options: dict[str, Any] = {
        "lang": lang,
        "image_root": image_root,
        "spans_key": spans_key,
        "images": images,
        "descriptions": descriptions,
        "descriptions_file": descriptions_file,
        "hold_out": hold_out,
        "kb_share": kb_share,
        "seed": seed,
        "image_urls": image_urls or None,
        "overwrite": overwrite or None,
    }
    given = {key: value for key, value in options.items() if value is not None}
    if name in DATASETS:
        _require_options(name, given, OF_GROCERY if name == "grocery" else OF_DATASETS)
        _convert_published(name, src, out, given)
    elif name == OPEN_WORLD:
        _require_options(name, given, OF_KB)
        cut_entities(src, out, **given, silent=False)
    else:
        if name in FORMATS:
            _require_options(name, given, OF_DOCUMENTS)
        convert(name, src, out, **given, silent=False)


def _require_options(
    name: str, given: dict[str, Any], allowed: tuple[str, ...]
) -> None:
    """RAISES (DweError): the user gave an option of other formats."""
    for option in given:
        if option not in allowed:
            flag = "--" + option.replace("_", "-")
            raise DweError(Errors.E258.format(option=flag, format=name))


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
        because = result["conversion"]["left_out_because"].items()
        reasons = ", ".join(f"{reason}: {n:,}" for reason, n in because)
        msg.warn(f"{left_out:,} left out: see {out / LEFT_OUT}", reasons)
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
        choices = ", ".join((*FORMATS, OPEN_WORLD, *DATASETS))
        raise DweError(Errors.E413.format(what="format", value=format, choices=choices))
    require_file(src)
    require_writable(out, src)
    n_documents = FORMATS[format](src, out, lang, image_root, spans_key, silent)
    msg = Printer(no_print=silent, pretty=not silent)
    msg.good(f"Wrote {n_documents:,} documents to {out}")
    return n_documents


def cut_entities(
    src: Path,
    out: Path,
    *,
    kb_share: float = 0.2,
    seed: int = 0,
    silent: bool = True,
) -> int:
    """Write a share of the entities of a file, see `datasets.splits.is_kept`.

    RETURNS (int): the number of entities.
    """
    from wasabi import Printer

    from ..datasets.splits import require_share, some_entities
    from ..files import require_file, require_writable
    from ..kb.entity import read_entities, write_entities

    require_share("--kb-share", kb_share)
    require_file(src)
    require_writable(out, src)
    entities = {entity.id: entity for entity in _shown(read_entities(src), silent)}
    kept = some_entities(entities, kb_share, seed, src)
    write_entities(out, kept.values())
    msg = Printer(no_print=silent, pretty=not silent)
    msg.good(f"Wrote {len(kept):,} of {len(entities):,} entities to {out}")
    return len(kept)


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
