"""Reading a table's rows, with the place of every mistake."""

import codecs
import csv
import io
import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DweError, Errors
from ..files import open_bytes, require_file

DELIMITERS = ",\t;|"
"""Tried on the row of column names; the one that finds most of them is taken."""

_LONGEST_CELL = (1 << 31) - 1
_BOM = "\ufeff"
_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class TableLayout:
    """How a table is written.

    delimiter (str | None): between cells; None finds out from the column names.
    encoding (str): of the text; a byte order mark is passed over.
    quotes (bool): whether quotes enclose a cell, in which delimiters and line ends are
        text. Without, they are characters as any other.
    """

    delimiter: str | None = None
    encoding: str = "utf-8"
    quotes: bool = True


class Table:
    """The rows of a table with a row of column names; they are read one by one, each
    time the table is iterated over. Rows without any text are passed over.

    path (Path): the file.
    names (list[str]): of the columns.
    fields (dict[str, int]): place in a row of each field that has a column.
    others (dict[str, int]): place of each other column that has a name.
    """

    def __init__(
        self,
        path: str | Path,
        fields: Mapping[str, str | None],
        required: Collection[str],
        layout: TableLayout | None = None,
        options: bool = False,
    ) -> None:
        """path (str | Path): the file, packed if its name ends in .gz.
        fields (Mapping[str, str | None]): column of each field, without regard to case;
            None means the one of that name, if there is one.
        required (Collection[str]): fields that must have a column.
        layout (TableLayout | None): how the table is written.
        options (bool): whether the command line has an option for each field.
        """
        self.path = require_file(path)
        self._layout = layout or TableLayout()
        if self._layout.delimiter is not None and len(self._layout.delimiter) != 1:
            raise DweError(
                Errors.E145.format(option="--delimiter", value=self._layout.delimiter)
            )
        wanted = {field: _folded(name or field) for field, name in fields.items()}
        self._delimiter, header = self._best_header(set(wanted.values()))
        places = self._places(header)
        for field, name in wanted.items():
            if name not in places and (field in required or fields[field] is not None):
                raise DweError(
                    Errors.E140.format(
                        path=self.path,
                        column=fields[field] or field,
                        field=field,
                        columns=", ".join(map(repr, header)),
                        advice=f". Name the right one with --{field}" * options,
                    )
                )
        self.names = header
        self.fields = {f: places[name] for f, name in wanted.items() if name in places}
        self.others = {
            header[place]: place
            for name, place in places.items()
            if name not in wanted.values()
        }

    def __iter__(self) -> Iterator["Row"]:
        records = self._records(self._delimiter)
        next(records)
        for line, cells in records:
            if len(cells) != len(self.names):
                reason = (
                    f"{len(cells)} cells, where the row of column names has "
                    f"{len(self.names)}"
                )
                raise DweError(
                    Errors.E003.format(path=self.path, line=line, reason=reason)
                )
            yield Row(self, line, cells)

    def _best_header(self, wanted: set[str]) -> tuple[str, list[str]]:
        """RETURNS (tuple[str, list[str]]): the delimiter, and the names of columns."""
        found = []
        problem = Errors.E004.format(path=self.path, what="row of column names")
        for delimiter in self._layout.delimiter or DELIMITERS:
            try:
                _, cells = next(self._records(delimiter), (0, []))
            except DweError as error:
                problem = str(error)
                continue
            if cells:
                header = [cell.strip() for cell in cells]
                hits = len(wanted.intersection(map(_folded, header)))
                found.append((hits, len(header), delimiter, header))
        if not found:
            raise DweError(problem)
        _, _, delimiter, header = max(found, key=lambda item: item[:2])
        return delimiter, header

    def _places(self, header: list[str]) -> dict[str, int]:
        places: dict[str, int] = {}
        for place, name in enumerate(header):
            if name and places.setdefault(_folded(name), place) != place:
                raise DweError(Errors.E142.format(path=self.path, column=name))
        return places

    def _records(self, delimiter: str) -> Iterator[tuple[int, list[str]]]:
        """YIELDS (tuple[int, list[str]]): line in which each row begins, and its cells;
        the names of columns first."""
        quoting: Any = csv.QUOTE_MINIMAL if self._layout.quotes else csv.QUOTE_NONE
        lines = _lines(self.path, self._layout.encoding)
        reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True)
        begin = 1
        csv.field_size_limit(_LONGEST_CELL)
        try:
            for cells in reader:
                line, begin = begin, reader.line_num + 1
                if any(map(str.strip, cells)):
                    yield line, cells
        except csv.Error as error:
            reason = (
                f"a quoted cell ends wrongly ({error}). Pass --no-quotes if quotes are "
                "plain text"
            )
            raise DweError(
                Errors.E003.format(path=self.path, line=begin, reason=reason)
            ) from None


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table. What is asked for has no white space around it.

    table (Table): the table.
    line (int): the line of the file in which it begins.
    cells (list[str]): its cells.
    """

    table: Table
    line: int
    cells: list[str]

    def text(self, field: str) -> str:
        """RETURNS (str): the cell of a field; empty where it has no column."""
        place = self.table.fields.get(field)
        return "" if place is None else self.cells[place].strip()

    def required(self, field: str) -> str:
        """RETURNS (str): as `text`.
        RAISES (DweError): it is empty.
        """
        text = self.text(field)
        if not text:
            raise self._wrong(self.table.fields[field], "is empty")
        return text

    def texts(self, field: str, separator: str) -> list[str]:
        """RETURNS (list[str]): the parts of a cell, empty ones left out."""
        parts = (part.strip() for part in self.text(field).split(separator))
        return [part for part in parts if part]

    def number(self, field: str, highest: float = math.inf) -> float | None:
        """RETURNS (float | None): as `number_at`; None where the field has no column,
        or the cell is empty."""
        if not self.text(field):
            return None
        return self.number_at(self.table.fields[field], highest)

    def number_at(self, place: int, highest: float = math.inf) -> float:
        """RETURNS (float): the number in a cell.
        RAISES (DweError): it is no number from 0 to `highest`.
        """
        text = self.cells[place].strip()
        try:
            value = float(text)
        except ValueError:
            raise self._wrong(place, f"{text!r} is no number") from None
        if not (math.isfinite(value) and 0 <= value <= highest):
            limits = "from 0 on" if highest == math.inf else f"from 0 to {highest:g}"
            raise self._wrong(place, f"must be a number {limits}, not {text}")
        return value

    def _wrong(self, place: int, problem: str) -> DweError:
        return DweError(
            Errors.E141.format(
                path=self.table.path,
                line=self.line,
                column=self.table.names[place],
                problem=problem,
            )
        )


def _lines(path: Path, encoding: str) -> Iterator[str]:
    """YIELDS (str): the lines of a file, with their ends."""
    number = 0
    try:
        codecs.lookup(encoding)
        with (
            open_bytes(path) as file,
            io.TextIOWrapper(file, encoding, newline="") as text,
        ):
            for number, line in enumerate(text, start=1):
                if "\0" in line:
                    reason = "it holds a NUL byte, so it is no text of that encoding"
                    raise _undecodable(path, number, encoding, reason)
                yield line.removeprefix(_BOM) if number == 1 else line
    except LookupError:
        raise DweError(Errors.E144.format(encoding=encoding)) from None
    except UnicodeDecodeError as error:
        # It is the piece of the file behind the last line that is not text.
        before = error.object[: error.start].decode(encoding, "ignore")
        behind = 1 + len(_LINE_END.findall(before))
        byte = f"byte 0x{error.object[error.start]:02x}"
        raise _undecodable(path, number + behind, encoding, byte) from None


def _undecodable(path: Path, line: int, encoding: str, reason: str) -> DweError:
    return DweError(
        Errors.E143.format(path=path, line=line, encoding=encoding, reason=reason)
    )


def _folded(name: str) -> str:
    return name.strip().casefold()
