"""Folders of pictures, which datasets name by file or by id."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff"),
    *(".avif", ".jp2", ".ppm", ".ico", ".tga"),
)


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
            if path.suffix.lower() in SUFFIXES:
                yield path


def _stem(name: str) -> str:
    path = Path(name)
    return path.stem if path.suffix.lower() in (*SUFFIXES, ".svg") else name
