"""Entities from tables: CSV, TSV and the like, with a row of column names."""

import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path

from ..errors import DweError, Errors, Warnings
from ..kb.entity import Alias, Entity
from ..names.normalisation import normalise
from .table_file import Row, Table, TableLayout

FIELDS = ("id", "title", "description", "aliases", "prior", "images", "url")
"""What is read of an entity. A column of the same name serves if none is named."""

SEPARATOR = "|"
"""Between the aliases, or the images, of a cell."""

_SITELINKS = "sitelinks"
"""An extra key that means something to the KB, if it is a number."""
_BATCH = 10_000


def entities_from_table(
    path: str | Path,
    *,
    columns: Mapping[str, str | None] | None = None,
    separator: str = SEPARATOR,
    alias_table: str | Path | None = None,
    delimiter: str | None = None,
    encoding: str = "utf-8",
    quotes: bool = True,
) -> Iterator[Entity]:
    """Read entities row by row; of the tables only ids are held in memory. This is the
    source spacy-dwe.TableSource.v1.

    Columns that are no field of an entity become its extra keys, empty cells left out:
    strings, but for sitelinks, which is a number. A column without a name is left out.

    path (str | Path): the table, packed if its name ends in .gz.
    columns (Mapping[str, str | None] | None): column of each of `FIELDS`, without
        regard to case; None means the one of that name, if there is one.
    separator (str): between the aliases, or the images, of a cell.
    alias_table (str | Path | None): see `AliasTable`. Its priors hold for aliases that
        the first table names as well.
    delimiter (str | None), encoding (str), quotes (bool): how both tables are written,
        see `TableLayout`.
    YIELDS (Entity): the entities in order; ids are distinct.
    RAISES (DweError): a column is missing, or a row is malformed or repeats an id; the
        message names file, line and column.
    """
    layout = TableLayout(delimiter, encoding, quotes)
    table = Table(
        path,
        {field: (columns or {}).get(field) for field in FIELDS},
        required=("id", "title"),
        layout=layout,
        options=True,
    )
    _warn_of_taken(table)
    if alias_table is None:
        yield from _entities(table, separator, None)
        return
    with closing(AliasTable(alias_table, layout)) as aliases:
        yield from _entities(table, separator, aliases)


class AliasTable:
    """A long table: a row an alias, with the columns id, alias, and prior or count.

    Counts become p(entity | alias). As the KB looks names up without regard to case,
    diacritics and punctuation, spellings that differ in these alone are counted
    together. Ids that are no entities count as well: the alias means them at times. The
    aliases lie in a temporary database, not in memory.
    """

    def __init__(self, path: str | Path, layout: TableLayout | None = None) -> None:
        """path (str | Path): the table, packed if its name ends in .gz.
        layout (TableLayout | None): how it is written.
        """
        fields = dict.fromkeys(("id", "alias", "prior", "count"))
        self._table = Table(path, fields, required=("id", "alias"), layout=layout)
        given = self._table.fields
        self._counted = "count" in given and "prior" not in given
        self._database = sqlite3.connect("", isolation_level=None)
        try:
            self._fill()
        except BaseException:
            self.close()
            raise

    def of(self, entity: str) -> list[Alias]:
        """RETURNS (list[Alias]): the distinct aliases of an entity, in order."""
        lines = self._database.execute(
            "SELECT alias, key, value, (SELECT total FROM totals "
            "WHERE totals.key = aliases.key) FROM aliases WHERE id = ? ORDER BY rowid",
            (entity,),
        ).fetchall()
        if not self._counted:
            return _merged(Alias(alias, value) for alias, _, value, _ in lines)
        counts: dict[str, float] = {}
        for _, key, count, _ in lines:
            counts[key] = counts.get(key, 0) + count
        return _merged(
            Alias(alias, min(counts[key] / total, 1.0) if total else None)
            for alias, key, _, total in lines
        )

    def warn_of_strangers(self, ids: Mapping[str, int], table: Path) -> None:
        """Warn if there are aliases of ids that the table of entities has not."""
        lines = self._database.execute(
            "SELECT id, MIN(line) FROM aliases GROUP BY id ORDER BY MIN(line)"
        )
        strangers = [(name, line) for name, line in lines if name not in ids]
        if strangers:
            name, line = strangers[0]
            warnings.warn(
                Warnings.W140.format(
                    path=self._table.path,
                    table=table,
                    count=len(strangers),
                    id=name,
                    line=line,
                ),
                stacklevel=2,
            )

    def close(self) -> None:
        """Forget the aliases."""
        self._database.close()

    def _fill(self) -> None:
        execute = self._database.execute
        execute("PRAGMA journal_mode = OFF")
        execute("CREATE TABLE aliases (id, alias, key, value, line)")
        rows = iter(self._table)
        execute("BEGIN")
        while batch := [self._line(row) for row in islice(rows, _BATCH)]:
            self._database.executemany("INSERT INTO aliases VALUES (?,?,?,?,?)", batch)
        execute("CREATE INDEX aliases_by_id ON aliases (id)")
        execute("CREATE TABLE totals (key PRIMARY KEY, total) WITHOUT ROWID")
        if self._counted:
            execute(
                "INSERT INTO totals SELECT key, SUM(value) FROM aliases GROUP BY key"
            )
        execute("COMMIT")

    def _line(self, row: Row) -> tuple[str, str, str, float | None, int]:
        alias = row.required("alias")
        if self._counted:
            row.required("count")
            value = row.number("count")
        else:
            value = row.number("prior", highest=1.0)
        return row.required("id"), alias, normalise(alias), value, row.line


def titles_from_table(
    path: str | Path, layout: TableLayout | None = None
) -> dict[str, tuple[str, str]]:
    """Read a table with the columns id, title and, if you like, description.

    path (str | Path): the table, packed if its name ends in .gz.
    layout (TableLayout | None): how it is written.
    RETURNS (dict[str, tuple[str, str]]): title and description of each id.
    RAISES (DweError): as of `entities_from_table`.
    """
    fields = dict.fromkeys(("id", "title", "description"))
    table = Table(path, fields, required=("id", "title"), layout=layout)
    lines: dict[str, int] = {}
    return {
        _new_id(row, lines): (row.required("title"), row.text("description"))
        for row in table
    }


def _entities(
    table: Table, separator: str, aliases: AliasTable | None
) -> Iterator[Entity]:
    lines: dict[str, int] = {}
    for row in table:
        name = _new_id(row, lines)
        own = [Alias(alias) for alias in row.texts("aliases", separator)]
        yield Entity(
            id=name,
            title=row.required("title"),
            description=row.text("description"),
            aliases=tuple(_merged([*own, *(aliases.of(name) if aliases else ())])),
            prior=row.number("prior", highest=1.0),
            images=tuple(row.texts("images", separator)),
            url=row.text("url") or None,
            extra=_extra(row),
        )
    if not lines:
        raise DweError(Errors.E004.format(path=table.path, what="entities"))
    if aliases is not None:
        aliases.warn_of_strangers(lines, table.path)


def _new_id(row: Row, lines: dict[str, int]) -> str:
    name = row.required("id")
    first = lines.setdefault(name, row.line)
    if first != row.line:
        path = row.table.path
        raise DweError(
            Errors.E101.format(path=path, line=row.line, id=name, first=first)
        )
    return name


def _merged(aliases: Iterator[Alias] | list[Alias]) -> list[Alias]:
    """RETURNS (list[Alias]): each alias once, with the highest prior it has."""
    priors: dict[str, float | None] = {}
    for alias in aliases:
        known = priors.get(alias.alias)
        if known is None or (alias.prior is not None and alias.prior > known):
            priors[alias.alias] = alias.prior
    return [Alias(alias, prior) for alias, prior in priors.items()]


def _extra(row: Row) -> dict[str, str | float]:
    extra: dict[str, str | float] = {}
    for column, place in row.table.others.items():
        text = row.cells[place]
        if column in FIELDS or not text.strip():
            continue
        if column.lower() == _SITELINKS:
            value = row.number_at(place)
            extra[_SITELINKS] = int(value) if value.is_integer() else value
        else:
            extra[column] = text
    return extra


def _warn_of_taken(table: Table) -> None:
    """A column called title is not an extra key where another one is the title."""
    for column in table.others:
        if column in FIELDS:
            warnings.warn(
                Warnings.W141.format(path=table.path, column=column), stacklevel=3
            )
