"""Reading a dump as a stream: plain, gzip or bzip2, from any place it stood at.

A packed dump is often many packed members one after the other (multistream bzip2,
concatenated gzip). A reader that continues starts at the member that holds its place:
what lies before is not even unpacked.
"""

import bz2
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from tqdm import tqdm

from ...errors import DweError, Errors

_CHUNK = 1 << 17
"""Bytes read at once. Dumps unpack to ten times as much."""
BAR_DELAY = 0.5
"""Seconds before a progress bar shows; a mistake in the first lines comes sooner."""
_GZIP, _BZIP2 = b"\x1f\x8b", b"BZh"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reader stands.

    member (int): where a packed member starts in the file; 0 if it is not packed.
    skip (int): bytes before the place, counted from there when unpacked.
    """

    member: int = 0
    skip: int = 0


class DumpFile:
    """Reads a dump in pieces. What the file is, its first bytes say, not its name.

    consumed (int): bytes of the file, packed as they are, that have been read.
    """

    def __init__(self, path: Path, place: Place | None = None) -> None:
        """place (Place | None): where to start; None is the beginning."""
        self.path = path
        self._start = place or Place()
        with path.open("rb") as file:
            self._is_packed = file.read(3).startswith((_GZIP, _BZIP2))
        start = self._start
        self.consumed = start.member if self._is_packed else start.skip
        self._position = self._start.skip
        self._unpacked = 0
        self._members: deque[tuple[int, int]] = deque()

    @property
    def place(self) -> Place:
        """RETURNS (Place): the end of the last piece that was handed out."""
        while len(self._members) > 1 and self._members[1][0] <= self._position:
            self._members.popleft()
        if not self._members:
            return self._start
        unpacked, member = self._members[0]
        return Place(member, self._position - unpacked)

    def shown_pieces(self, separator: bytes, name: str, show: bool) -> Iterator[bytes]:
        """As `pieces`, with a progress bar of the bytes consumed.

        name (str): what the bar says that is read.
        show (bool): show it, on stderr.
        """
        with tqdm(
            desc=name,
            total=self.path.stat().st_size,
            initial=self.consumed,
            unit="B",
            unit_scale=True,
            delay=BAR_DELAY,
            disable=not show,
        ) as bar:
            for piece in self.pieces(separator):
                yield piece
                if self.consumed != bar.n:
                    bar.update(self.consumed - bar.n)

    def pieces(self, separator: bytes) -> Iterator[bytes]:
        """YIELDS (bytes): what lies between separators, without them; at the end what
        follows the last one, if there is anything.
        RAISES (DweError): the file is damaged or ends within a packed member.
        """
        rest = b""
        for chunk in self._chunks():
            parts = (rest + chunk).split(separator)
            rest = parts.pop()
            for part in parts:
                self._position += len(part) + len(separator)
                yield part
        if rest:
            self._position += len(rest)
            yield rest

    def _chunks(self) -> Iterator[bytes]:
        skip = self._start.skip
        with self.path.open("rb") as file:
            if not self._is_packed:
                yield from self._plain(file)
                return
            file.seek(self._start.member)
            for chunk in self._members_of(file):
                if skip < len(chunk):
                    yield chunk[skip:] if skip else chunk
                    skip = 0
                else:
                    skip -= len(chunk)

    def _plain(self, file: IO[bytes]) -> Iterator[bytes]:
        self._members.append((0, 0))
        file.seek(self._start.skip)
        while chunk := file.read(_CHUNK):
            self.consumed = file.tell()
            yield chunk

    def _members_of(self, file: IO[bytes]) -> Iterator[bytes]:
        unpacker: _Unpacker | None = None
        data = file.read(_CHUNK)
        while data:
            self.consumed = file.tell()
            if unpacker is None:
                # A header may lie across two chunks; tapes and some writers pad.
                data = data.lstrip(b"\0") or file.read(_CHUNK).lstrip(b"\0")
                data += file.read(_CHUNK) if len(data) < len(_BZIP2) else b""
                if not data:
                    break
                unpacker = self._unpacker(data)
                self._members.append((self._unpacked, file.tell() - len(data)))
            try:
                chunk = unpacker.decompress(data)
            except (OSError, zlib.error) as error:
                raise self._damaged(error) from None
            self._unpacked += len(chunk)
            if chunk:
                yield chunk
            if unpacker.eof:
                data = unpacker.unused_data or file.read(_CHUNK)
                unpacker = None
            else:
                data = file.read(_CHUNK)
        if unpacker is not None:
            raise DweError(Errors.E131.format(path=self.path))

    def _unpacker(self, data: bytes) -> "_Unpacker":
        if data.startswith(_BZIP2):
            return bz2.BZ2Decompressor()
        if data.startswith(_GZIP):
            return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        raise self._damaged("what follows there is not packed")

    def _damaged(self, reason: Any) -> DweError:
        return DweError(
            Errors.E130.format(path=self.path, offset=self.consumed, reason=reason)
        )


class _Unpacker(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


def head(path: Path, size: int = 1 << 16) -> bytes:
    """RETURNS (bytes): the first bytes of a dump, unpacked."""
    found = b""
    for chunk in DumpFile(path)._chunks():
        found += chunk
        if len(found) >= size:
            break
    return found[:size]
