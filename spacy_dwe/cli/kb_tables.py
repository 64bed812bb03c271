"""`python -m spacy dwe kb csv`, `kb import-spacy` and `kb import`: entities of tables,
of spaCy's own KnowledgeBases, and of any registered source."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import BAR_DELAY, DweError, Errors
from ..files import require_writable
from .errors import clear_errors, warning_lines
from .options import EntitiesOut, takes_code

if TYPE_CHECKING:
    from ..kb.entity import Entity

Delimiter = Annotated[
    str | None,
    typer.Option(
        "--delimiter", help="Between cells: a character, or tab; found out if not given"
    ),
]
Encoding = Annotated[
    str, typer.Option("--encoding", help="Of the tables, such as cp1252 or utf-16")
]


@clear_errors
def csv_cli(
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE", help="CSV, TSV … with a row of column names; .gz as well"
        ),
    ],
    out: EntitiesOut,
    id_column: Annotated[
        str | None, typer.Option("--id", help="Column of ids; else the one named id")
    ] = None,
    title: Annotated[
        str | None, typer.Option(help="Column of titles, likewise")
    ] = None,
    description: Annotated[
        str | None, typer.Option(help="Column of descriptions")
    ] = None,
    aliases: Annotated[str | None, typer.Option(help="Column of other names")] = None,
    prior: Annotated[
        str | None, typer.Option(help="Column of the entity's probability, 0 to 1")
    ] = None,
    images: Annotated[
        str | None, typer.Option(help="Column of pictures' paths")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Column of links")] = None,
    separator: Annotated[
        str, typer.Option(help="Between aliases, or images, of a cell")
    ] = "|",
    alias_table: Annotated[
        Path | None,
        typer.Option(
            help="A row an alias, with columns id, alias, and prior or count: counts "
            "become the probability of the entity given the alias"
        ),
    ] = None,
    delimiter: Delimiter = None,
    encoding: Encoding = "utf-8",
    quotes: Annotated[
        bool,
        typer.Option("--quotes/--no-quotes", help="Whether quotes enclose cells"),
    ] = True,
) -> None:
    """Make entities.jsonl of a table.

    Columns are found by name, without regard to case; all others become extra keys of
    the entity. The file appears when it is complete.
    """
    from ..kb.entity import count_lines
    from ..sources.tables import entities_from_table

    require_writable(out, table, alias_table)
    if not separator:
        raise DweError(Errors.E145.format(option="--separator", value=separator))
    columns = {
        "id": id_column,
        "title": title,
        "description": description,
        "aliases": aliases,
        "prior": prior,
        "images": images,
        "url": url,
    }
    with warning_lines():
        entities = entities_from_table(
            table,
            columns=columns,
            separator=separator,
            alias_table=alias_table,
            delimiter=_character(delimiter),
            encoding=encoding,
            quotes=quotes,
        )
        _write(out, entities, count_lines(table))


@clear_errors
def import_spacy_cli(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="Folder that kb.to_disk wrote, or pipeline with an entity_linker: "
            "folder or installed package",
        ),
    ],
    out: EntitiesOut,
    titles: Annotated[
        Path | None,
        typer.Option(
            help="Table with columns id, title and, if you like, description; else the "
            "title is the entity's most probable alias"
        ),
    ] = None,
    vocab: Annotated[
        Path | None,
        typer.Option(
            help="Where the strings are, if they are not beside the KnowledgeBase: "
            "pipeline, its vocab folder, or strings.json"
        ),
    ] = None,
    delimiter: Delimiter = None,
    encoding: Encoding = "utf-8",
) -> None:
    """Make entities.jsonl of an InMemoryLookupKB, spaCy's own KnowledgeBase.

    Entities, aliases and the aliases' prior probabilities are kept. An entity's
    frequency becomes the extra key "frequency", not its prior: it may be any number.
    """
    from wasabi import Printer

    from ..sources.spacy_kb import entities_from_lookup_kb, read_lookup_kb
    from ..sources.table_file import TableLayout
    from ..sources.tables import titles_from_table

    require_writable(out, path, titles, vocab)
    with warning_lines():
        texts = {}
        if titles is not None:
            layout = TableLayout(_character(delimiter), encoding)
            texts = titles_from_table(titles, layout)
        kb = read_lookup_kb(path, vocab)
        _write(out, entities_from_lookup_kb(kb, texts, source=titles), len(kb))
    Printer().info(
        "spaCy's entity vectors are not carried over: they are of another encoder. New "
        f"ones are made by `python -m spacy dwe kb build {out} OUT.kb --text-encoder …`"
    )


@clear_errors
@takes_code
def import_cli(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="Registered name, such as spacy-dwe.TableSource.v1"
        ),
    ],
    out: EntitiesOut,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Argument of the source, JSON or a plain string; as often as needed",
        ),
    ] = None,
) -> None:
    """Make entities.jsonl of a registered KB source, one of your own for instance.

    The file appears when it is complete, and all of its entities are checked.
    """
    from ..sources import registered_entities

    with warning_lines():
        values = dict(map(_setting, settings or ()))
        _write(out, registered_entities(source, values), 0)


def _setting(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise DweError(
            Errors.E135.format(option="--set", expected="KEY=VALUE", value=text)
        )
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _write(out: Path, entities: "Iterable[Entity]", total: int) -> None:
    from tqdm import tqdm
    from wasabi import Printer

    from ..kb.entity import write_entities

    count = aliases = 0

    def counted() -> "Iterator[Entity]":
        nonlocal count, aliases
        bar = tqdm(entities, total=total or None, unit=" entities", delay=BAR_DELAY)
        for entity in bar:
            count += 1
            aliases += len(entity.aliases)
            yield entity

    write_entities(out, counted())
    Printer().good(f"{out}: {count:,} entities, {aliases:,} aliases")


def _character(delimiter: str | None) -> str | None:
    return "\t" if delimiter in ("tab", "\\t") else delimiter
