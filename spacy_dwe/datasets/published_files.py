"""Files of datasets: published ones are read with care, folders of converted ones are
written whole or not at all."""

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
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

Refuse = Callable[[str], DweError]
"""Makes the error of a record from what is wrong with it."""


def check_output(src: Path, out: Path, overwrite: bool) -> None:
    """RAISES (DweError): a dataset at `src` is not to be written to `out`."""
    a, b = src.resolve(), out.resolve()
    if a == b or a in b.parents or b in a.parents:
        raise DweError(Errors.E257.format(out=out, src=src))
    if out.is_file():
        raise DweError(Errors.E256.format(path=out))
    if out.is_dir() and any(out.iterdir()):
        if not ((out / ENTITIES).is_file() and (out / ACCOUNT).is_file()):
            raise DweError(Errors.E256.format(path=out))
        if not overwrite:
            raise DweError(Errors.E253.format(path=out))


@contextmanager
def published(out: Path) -> Iterator[Path]:
    """A hidden neighbour that takes the name `out` when the block ends well.

    YIELDS (Path): a new folder to write to.
    RAISES (DweError): no folder can be made there.
    """
    target = out.resolve()
    token = secrets.token_hex(4)
    draft = target.with_name(f".{target.name}.{token}.draft")
    former = target.with_name(f".{target.name}.{token}.former")
    try:
        draft.mkdir(parents=True)
    except OSError as error:
        raise DweError(
            Errors.E006.format(path=out, reason=error.strerror or error)
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


def records(path: Path, value: Any) -> Iterator[tuple[dict[str, Any], Refuse]]:
    """Records of a file that is an object of records by id, or a list of them.

    path (Path): the file, for messages.
    value (Any): what is in it.
    YIELDS (tuple[dict[str, Any], Refuse]): a record, and what makes its errors.
    """
    if isinstance(value, dict):
        items: Iterable[tuple[str, Any]] = value.items()
    elif isinstance(value, list):
        items = ((f"number {n}", record) for n, record in enumerate(value, start=1))
    else:
        raise DweError(Errors.E251.format(path=path, reason="no list or object"))
    for name, record in items:
        refuse = refusing(path, name)
        if not isinstance(record, dict):
            raise refuse(f"an object in {{}} is expected, not {shown(record)}")
        if isinstance(value, dict) and "id" not in record:
            record = {**record, "id": name}
        yield record, refuse


def refusing(path: Path, name: str) -> Refuse:
    """RETURNS (Refuse): makes errors that name a record of a file."""

    def refuse(reason: str) -> DweError:
        return DweError(Errors.E252.format(path=path, record=name, reason=reason))

    return refuse


def field_text(
    record: dict[str, Any],
    keys: Sequence[str],
    refuse: Refuse,
    default: str | None = None,
) -> str:
    """RETURNS (str): the value of the first of some keys that a record has, a number as
    its digits.
    RAISES (DweError): it has none and there is no default, or it is no string."""
    value = _field(record, keys)
    if value is None:
        if default is None:
            raise refuse(f'"{keys[0]}" is missing')
        return default
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise refuse(f'"{keys[0]}" is a string, not {shown(value)}')
    return str(value)


def field_texts(
    record: dict[str, Any], keys: Sequence[str], refuse: Refuse
) -> list[str] | None:
    """RETURNS (list[str] | None): the value of the first of some keys, a list of
    strings or a single one; None if there is none."""
    value = _field(record, keys)
    if value is None:
        return None
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) for item in values):
        raise refuse(f'"{keys[0]}" is a string or a list of them, not {shown(value)}')
    return values


def shown(value: Any) -> str:
    """RETURNS (str): a value for a message."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _field(record: dict[str, Any], keys: Sequence[str]) -> Any:
    return next((record[key] for key in keys if record.get(key) is not None), None)
