"""Files of datasets as published, which are read with care."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ..errors import DweError, Errors
from .samples import SPLITS, LeftOut

ENTITIES = "entities.jsonl"
ACCOUNT = "account.json"
PICTURE_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff"),
    *(".avif", ".jp2", ".ppm", ".ico", ".tga"),
)
SPLIT_NAMES = {
    "train": "train",
    **dict.fromkeys(("dev", "val", "valid", "validation"), "dev"),
    "test": "test",
}
"""Words that name a split in a file's name, and the split."""


def check_output(src: Path, out: Path, overwrite: bool) -> None:
    """RAISES (DweError): a dataset at `src` is not to be written to `out`."""
    a, b = src.resolve(), out.resolve()
    if a == b or a in b.parents or b in a.parents:
        raise DweError(Errors.E257.format(out=out, src=src))
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        if not ((out / ENTITIES).is_file() and (out / ACCOUNT).is_file()):
            raise DweError(Errors.E110.format(path=out, what="converted dataset"))
        if not overwrite:
            raise DweError(Errors.E109.format(path=out))


class PictureFolders:
    """Finds pictures in folders, whatever the suffix: many were converted from what
    their names still say."""

    def __init__(self, folders: Iterable[Path] = ()) -> None:
        """folders (Iterable[Path]): searched in this order, and below."""
        self._paths: dict[str, str] = {}
        for folder in folders:
            for path in _pictures(folder):
                for key in (path.name, _stem(path.name)):
                    self._paths.setdefault(key, str(path))

    def __len__(self) -> int:
        return len(set(self._paths.values()))

    def find(self, *names: str | None) -> str | None:
        """RETURNS (str | None): absolute path of the first that is there, of names with
        or without a suffix, or with folders before them."""
        for name in names:
            if not name:
                continue
            base = name.replace("\\", "/").rsplit("/", 1)[-1]
            for key in (base, _stem(base)):
                if key in self._paths:
                    return self._paths[key]
        return None

    def find_download(self, url: str | None) -> str | None:
        """RETURNS (str | None): the picture of a URL, under the name that it has there
        or the MD5 sum of that, as WikiDiverse's own pictures are called."""
        if not url:
            return None
        quoted = url.rsplit("/", 1)[-1]
        name = unquote(urlsplit(url).path).rsplit("/", 1)[-1]
        return self.find(name, hashlib.md5(quoted.encode()).hexdigest())


class PicturePaths:
    """Finds pictures by their paths from a folder."""

    def __init__(self, root: Path) -> None:
        """root (Path): the folder."""
        self._root = root.absolute()

    def find(self, *names: str | None) -> str | None:
        """RETURNS (str | None): absolute path of the first that is there."""
        paths = (self._root / name for name in names if name)
        return next((str(path) for path in paths if path.is_file()), None)

    def find_download(self, url: str | None) -> str | None:
        """RETURNS (None): no path says which URL a picture is from."""
        return None


def _pictures(folder: Path) -> Iterator[Path]:
    for directory, folders, names in os.walk(folder.absolute()):
        folders.sort()
        for name in sorted(names):
            path = Path(directory, name)
            if path.suffix.lower() in PICTURE_SUFFIXES:
                yield path


def _stem(name: str) -> str:
    path = Path(name)
    return path.stem if path.suffix.lower() in (*PICTURE_SUFFIXES, ".svg") else name


def split_files(folder: Path) -> dict[str, Path]:
    """RETURNS (dict[str, Path]): the JSON file of each split, found by its name.
    RAISES (DweError): two files are named after one split."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*.json")):
        words = re.split(r"[^a-z]+", path.stem.lower())
        names = {SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES}
        for name in names:
            if name in found:
                raise DweError(Errors.E255.format(split=name, a=found[name], b=path))
            found[name] = path
    return {name: found[name] for name in SPLITS if name in found}


def first_file(folder: Path, names: Iterable[str]) -> Path | None:
    """RETURNS (Path | None): the first of some files that is there."""
    return next((folder / n for n in names if (folder / n).is_file()), None)


def not_published(folder: Path, dataset: str, expected: Sequence[str]) -> DweError:
    """RETURNS (DweError): the files of a dataset are not in a folder."""
    if not folder.exists():
        return DweError(Errors.E001.format(path=folder))
    if not folder.is_dir():
        return DweError(Errors.E254.format(path=folder, dataset=dataset))
    return DweError(
        Errors.E250.format(path=folder, dataset=dataset, files="; or ".join(expected))
    )


def read_json(path: Path, left_out: list[LeftOut]) -> Any:
    """Read a whole file.

    left_out (list[LeftOut]): told of keys that an object has twice: the last one holds.
    RAISES (DweError): it is not there, or is no JSON.
    """

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in items:
            if key in result and result[key] != value:
                shown = json.dumps(result[key], ensure_ascii=False)
                left_out.append(LeftOut(path.name, f"{key}: {shown}", "key used twice"))
            result[key] = value
        return result

    try:
        text = path.read_bytes().decode("utf-8-sig")
        return json.loads(text, object_pairs_hook=pairs)
    except FileNotFoundError:
        raise DweError(Errors.E001.format(path=path)) from None
    except UnicodeDecodeError as error:
        reason = f"not UTF-8 at byte {error.start + 1}"
    except json.JSONDecodeError as error:
        reason = f"{error.msg}, line {error.lineno}, column {error.colno}"
    except RecursionError:
        reason = "too deeply nested"
    raise DweError(Errors.E251.format(path=path, reason=reason))


def read_names(path: Path, left_out: list[LeftOut]) -> dict[str, str]:
    """RETURNS (dict[str, str]): a file that is one object of strings.
    RAISES (DweError): it is something else."""
    value = read_json(path, left_out)
    if not isinstance(value, dict):
        raise DweError(Errors.E251.format(path=path, reason="no object in {}"))
    for key, text in value.items():
        if not isinstance(text, str):
            reason = f"a string is expected, not {shown(text)}"
            raise DweError(Errors.E252.format(path=path, record=key, reason=reason))
    return value


@dataclass(frozen=True, slots=True)
class Record:
    """A record of a file, and who is told what is wrong with it.

    path (Path): the file.
    name (str): of the record, for errors.
    value (Any): what it holds.
    left_out (list[LeftOut]): told of what cannot be converted.
    """

    path: Path
    name: str
    value: Any
    left_out: list[LeftOut]

    def refusal(self, reason: str) -> DweError:
        """RETURNS (DweError): says what is wrong with the record."""
        return DweError(
            Errors.E252.format(path=self.path, record=self.name, reason=reason)
        )

    def leave_out(self, what: str, reason: str) -> None:
        """Note a value that cannot be converted."""
        own = self.value.get("id") if isinstance(self.value, dict) else None
        where = f"{self.path.name}, {self.name if own is None else own}"
        self.left_out.append(LeftOut(where, what, reason))

    def text(self, *keys: str, default: str | None = None) -> str:
        """RETURNS (str): the value of the first of some keys that there is, a number as
            its digits.
        RAISES (DweError): there is none and no default, or it is no string."""
        value = self._first(keys)
        if value is None:
            if default is None:
                raise self.refusal(f'"{keys[0]}" is missing')
            return default
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise self.refusal(f'"{keys[0]}" is a string, not {shown(value)}')
        return str(value)

    def texts(self, *keys: str) -> list[str] | None:
        """RETURNS (list[str] | None): the value of the first of some keys that there
            is, a list of strings or a single one; None if there is none.
        RAISES (DweError): it is something else."""
        value = self._first(keys)
        if value is None:
            return None
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(item, str) for item in values):
            expected = "a string or a list of them"
            raise self.refusal(f'"{keys[0]}" is {expected}, not {shown(value)}')
        return values

    def _first(self, keys: Sequence[str]) -> Any:
        given = (self.value.get(key) for key in keys)
        return next((value for value in given if value is not None), None)


def records(path: Path, left_out: list[LeftOut]) -> Iterator[Record]:
    """Records of a file that is an object of records by id, or a list of them.

    path (Path): the file.
    left_out (list[LeftOut]): told of what cannot be converted.
    YIELDS (Record): those that are objects, with their ids.
    RAISES (DweError): the file or a record is something else.
    """
    value = read_json(path, left_out)
    if isinstance(value, dict):
        items: Iterable[tuple[str, Any]] = value.items()
    elif isinstance(value, list):
        items = ((f"number {n}", record) for n, record in enumerate(value, start=1))
    else:
        raise DweError(Errors.E251.format(path=path, reason="no list or object"))
    for name, item in items:
        record = Record(path, name, item, left_out)
        if not isinstance(item, dict):
            raise record.refusal(f"an object in {{}} is expected, not {shown(item)}")
        if isinstance(value, dict) and "id" not in item:
            record = replace(record, value={**item, "id": name})
        yield record


def shown(value: Any) -> str:
    """RETURNS (str): a value for a message."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"
