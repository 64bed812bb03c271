"""One writer a KB; the system lets go of the lock of a process that dies."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import DweError, Errors

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
