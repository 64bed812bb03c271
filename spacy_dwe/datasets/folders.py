"""Folders of converted datasets: written whole or not at all."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import DweError, Errors

ENTITIES = "entities.jsonl"
ACCOUNT = "account.json"


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
