"""Files that come in are checked; files that go out are complete or absent."""

import gzip
import json
import os
import secrets
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NoReturn, cast

from .errors import DweError, Errors

_UTF8_BOM = b"\xef\xbb\xbf"


def require_file(path: str | Path) -> Path:
    """RETURNS (Path): the path.
    RAISES (DweError): there is no file, or it is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise DweError(Errors.E005.format(path=path))
    if not path.is_file():
        raise DweError(Errors.E001.format(path=path))
    return path


def read_json_lines(path: str | Path) -> Iterator[tuple[int, Any]]:
    """Read a file of JSON lines, which is never held in memory. Empty lines and a byte
    order mark are passed over.

    path (str | Path): .jsonl, or .jsonl.gz.
    YIELDS (tuple[int, Any]): number and value of each line.
    RAISES (DweError): a line is not UTF-8 or not JSON, which NaN is not; the message
        names it.
    """
    path = require_file(path)
    with open_bytes(path) as file:
        for number, line in enumerate(file, start=1):
            text = line.removeprefix(_UTF8_BOM) if number == 1 else line
            if text.strip():
                yield number, _parse(text, path, number)


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading, unpacked if its name ends in .gz.

    RAISES (DweError): it is read, and is no complete gzip file.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    with cast("IO[bytes]", opened(path, "rb")) as file:
        try:
            yield file
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DweError(
                Errors.E233.format(path=path, what="complete gzip file", reason=error)
            ) from None


def require_writable(path: str | Path, *inputs: str | Path | None) -> None:
    """RAISES (DweError): no file can be written there, or it is one of the inputs.
    Asked before long work."""
    for source in [Path(given) for given in inputs if given is not None]:
        if source.exists() and Path(path).exists() and source.samefile(path):
            raise DweError(Errors.E235.format(path=path))
    _temporary(Path(path))[1].unlink()


def read_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Read a text file, unpacked if its name ends in .gz. Empty lines and a byte order
    mark are passed over.

    YIELDS (tuple[int, str]): number and text of each line, without white space around.
    RAISES (DweError): a line is not UTF-8; the message names it.
    """
    path = require_file(path)
    with open_bytes(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                text = line.removeprefix(_UTF8_BOM).decode().strip()
            except UnicodeDecodeError as error:
                reason = f"not UTF-8 at byte {error.start + 1}"
                raise DweError(
                    Errors.E003.format(path=path, line=number, reason=reason)
                ) from None
            if text:
                yield number, text


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary neighbour of a file that takes its name when the block ends without
    an error, and replaces an older file only then.

    path (str | Path): the file to be; its folder is made if need be.
    YIELDS (Path): where to write.
    RAISES (DweError): nothing can be written there, told before the block begins.
    """
    target, temporary = _temporary(Path(path))
    try:
        yield temporary
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def writing(path: str | Path) -> Iterator[IO[str]]:
    """Write a text file, complete or not at all; see `replacing`.

    path (str | Path): the file, packed if its name ends in .gz.
    """
    compressed = Path(path).suffix == ".gz"
    with replacing(path) as temporary:
        opened = cast("Callable[..., IO[str]]", gzip.open if compressed else open)
        with opened(temporary, "wt", encoding="utf-8", newline="\n") as file:
            yield file


@contextmanager
def writing_jsonl(path: str | Path) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Write a file of JSON lines, complete or not at all; see `replacing`.

    path (str | Path): .jsonl, or .jsonl.gz.
    YIELDS (Callable): writes one object. NaN is an error.
    """
    with writing(path) as file:

        def write(record: Mapping[str, Any]) -> None:
            file.write(json.dumps(record, ensure_ascii=False, allow_nan=False))
            file.write("\n")

        yield write


def write_jsonl(path: str | Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write a file of JSON lines, complete or not at all. NaN is an error."""
    with writing_jsonl(path) as write:
        for record in records:
            write(record)


def write_json(path: str | Path, value: Any) -> None:
    """Write a JSON file, complete or not at all. NaN is an error."""
    with writing(path) as file:
        json.dump(value, file, ensure_ascii=False, indent=2, allow_nan=False)
        file.write("\n")


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, complete or not at all."""
    with writing(path) as file:
        file.write(text)


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """A hidden neighbour of a folder that takes its name when the block ends well, and
    replaces an older folder only then.

    path (str | Path): the folder to be; those above it are made if need be.
    YIELDS (Path): a new folder to write to.
    RAISES (DweError): no folder can be made there.
    """
    target = Path(path).resolve()
    token = secrets.token_hex(4)
    draft = target.with_name(f".{target.name}.{token}.draft")
    former = target.with_name(f".{target.name}.{token}.former")
    try:
        draft.mkdir(parents=True)
    except OSError as error:
        raise DweError(
            Errors.E006.format(path=path, reason=error.strerror or error)
        ) from None
    try:
        yield draft
        if target.exists():
            target.rename(former)
        draft.rename(target)
    finally:
        if former.exists() and not target.exists():
            former.rename(target)
        for folder in (draft, former):
            shutil.rmtree(folder, ignore_errors=True)


def _temporary(path: Path) -> tuple[Path, Path]:
    """RETURNS (tuple[Path, Path]): the file behind a path, and a new neighbour."""
    if path.is_dir():
        raise DweError(Errors.E005.format(path=path))
    if path.exists() and not path.is_file():
        reason = "it is no file that can be replaced"
        raise DweError(Errors.E006.format(path=path, reason=reason))
    target = path.resolve()
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
    except OSError as error:
        raise DweError(
            Errors.E006.format(path=path, reason=error.strerror or error)
        ) from None
    return target, temporary


def _parse(line: bytes, path: Path, number: int) -> Any:
    try:
        value = json.loads(line.decode("utf-8"), parse_constant=_refuse)
        if b"\\u" in line:
            # Half of a surrogate pair is JSON, and is text nowhere else.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        return value
    except UnicodeDecodeError as error:
        reason = f"not UTF-8 at byte {error.start + 1}"
    except UnicodeEncodeError as error:
        reason = f"half a surrogate pair, {error.object[error.start]!a}"
    except json.JSONDecodeError as error:
        reason = f"{error.msg}, column {error.colno}"
    except RecursionError:
        reason = "too deeply nested"
    except ValueError as error:
        reason = str(error)
    raise DweError(Errors.E002.format(path=path, line=number, reason=reason))


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number in JSON")
