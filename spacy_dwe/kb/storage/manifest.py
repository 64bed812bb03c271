"""The files of a version with their checksums; and one writer a KB, whose lock the
system lets go of if its process dies."""

import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DweError, Errors
from ..arrays import UNREADABLE
from ..index.snapshot import FOLDER as NAMES_FOLDER
from ..index.snapshot import shared_files
from ..vectors.files import files_of
from .store import FileRecord

FILE_NAME = ".lock"


@contextmanager
def writer_lock(kb: Path) -> Iterator[None]:
    """Keep other writers out of a KB's folder. Readers do not ask.

    kb (Path): the folder.
    RAISES (DweError): another process writes to it, or this one may not.
    """
    from filelock import FileLock, Timeout

    try:
        lock = FileLock(kb / FILE_NAME, timeout=0)
        lock.acquire()
    except Timeout:
        raise DweError(Errors.E114.format(path=kb)) from None
    except OSError as error:
        raise DweError(
            Errors.E006.format(path=kb, reason=error.strerror or error)
        ) from None
    try:
        yield
    finally:
        lock.release()


def is_locked(kb: Path) -> bool:
    """RETURNS (bool): whether a process is writing to a KB's folder."""
    try:
        with writer_lock(kb):
            return False
    except DweError:
        return True


_BLOCK = 1 << 22


def file_records(
    kb: Path,
    snapshot: str,
    vectors: Mapping[str, Mapping[str, Any]],
    known: Iterable[FileRecord] = (),
    base: str | None = None,
) -> list[FileRecord]:
    """The files of a version. What an older version knows of a file is not read again.

    kb (Path): the KB's folder.
    snapshot (str): of the version.
    vectors (Mapping[str, Mapping[str, Any]]): its vector sets.
    known (Iterable[FileRecord]): files of the older version.
    base (str | None): snapshot of the older version, where this one extends it.
    RETURNS (list[FileRecord]): one a file.
    """
    old = {record.path: record for record in known}
    shared = shared_files() if base is not None else frozenset[str]()
    records = []
    folder = f"{NAMES_FOLDER}/{snapshot}"
    for file in sorted((kb / folder).rglob("*")):
        # Hidden files say nothing to readers, and not every copy has them.
        if file.is_dir() or file.name.startswith("."):
            continue
        name = file.relative_to(kb / folder).as_posix()
        before = None
        if name in shared or (base is not None and _is_segment(name)):
            before = old.get(f"{NAMES_FOLDER}/{base}/{name}")
        records.append(file_record(kb, f"{folder}/{name}", before))
    for entry in vectors.values():
        records += [file_record(kb, path, old.get(path)) for path in files_of(entry)]
    return records


def file_record(kb: Path, name: str, before: FileRecord | None = None) -> FileRecord:
    """Read a file.

    kb (Path): the KB's folder.
    name (str): the file's path below it.
    before (FileRecord | None): what is known of its beginning, which is not read again.
    RETURNS (FileRecord): its size and checksum.
    """
    path = kb / name
    size = path.stat().st_size - _header_bytes(path)
    done, checksum = (0, 0) if before is None else (before.n_bytes, before.checksum)
    if done > size:
        raise DweError(Errors.E105.format(path=kb, file=name, reason="it is cut off"))
    return FileRecord(name, size, _checksum(path, done, size, checksum))


def problem(kb: Path, record: FileRecord) -> str | None:
    """RETURNS (str | None): what is wrong with a file, if anything is."""
    path = kb / record.path
    try:
        size = path.stat().st_size - _header_bytes(path)
        if size < record.n_bytes:
            return f"{record.path} is cut off at {size:,} of {record.n_bytes:,} bytes"
        found = _checksum(path, 0, record.n_bytes, 0)
    except FileNotFoundError:
        return f"{record.path} is missing"
    except UNREADABLE as error:
        return f"{record.path} cannot be read ({error})"
    if found != record.checksum:
        return f"{record.path} has been altered: its checksum differs"
    return None


def sync_folders(kb: Path) -> None:
    """Make new file names last through a power cut."""
    for folder in (kb, *(path for path in kb.rglob("*") if path.is_dir())):
        if hasattr(os, "O_DIRECTORY"):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _checksum(path: Path, first: int, last: int, checksum: int) -> int:
    with path.open("rb") as file:
        file.seek(_header_bytes(path) + first)
        while first < last:
            block = file.read(min(_BLOCK, last - first))
            if not block:
                break
            checksum = zlib.crc32(block, checksum)
            first += len(block)
    return checksum


def _header_bytes(path: Path) -> int:
    """RETURNS (int): length of an array's header, which changes as the array grows."""
    if path.suffix != ".npy":
        return 0
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        return file.tell()


def _is_segment(name: str) -> bool:
    """RETURNS (bool): whether it is a file of the index that is written once."""
    return "/" in name and not name.endswith(".json")
