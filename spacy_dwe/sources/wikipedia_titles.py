"""A file of Wikipedia titles: one a line, as a title or as the page's address."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from ..errors import DweError, Errors
from ..files import open_bytes, require_file

MAX_TITLE_BYTES = 255
"""Of MediaWiki."""

_LANGUAGE = re.compile(r"[a-z][a-z0-9-]*")
_ILLEGAL = re.compile(r"[\x00-\x1f\x7f<>\[\]{}|\ufffd]")
_HOST = re.compile(r"([a-z][a-z0-9-]*)(?:\.m)?\.wikipedia\.org")
_SCHEME = re.compile(r"https?://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class AskedTitle:
    """A line of the file.

    line (int): its number.
    text (str): what it says.
    language (str): of the Wikipedia that is asked.
    title (str): what is asked there, without an anchor.
    problem (str): why it cannot be asked; empty where it can.
    """

    line: int
    text: str
    language: str
    title: str
    problem: str = ""


def read_titles(path: str | Path, language: str) -> list[AskedTitle]:
    """Read titles. Blank lines and those that start with # are passed over.

    path (str | Path): a text file in UTF-8, or one packed as .gz.
    language (str): of titles that do not name their Wikipedia.
    RETURNS (list[AskedTitle]): the titles in order.
    """
    check_language(language)
    titles = [
        _parse(number, text, language)
        for number, text in _lines(require_file(path))
        if text and not text.startswith("#")
    ]
    if not titles:
        raise DweError(Errors.E004.format(path=path, what="titles"))
    return titles


def check_language(language: str) -> None:
    """RAISES (DweError): this can be no Wikipedia's code."""
    if not _LANGUAGE.fullmatch(language):
        reason = "a Wikipedia's code looks like en or zh-yue"
        raise DweError(
            Errors.E121.format(option="--language", value=language, reason=reason)
        )


def page_of_address(url: str) -> tuple[str, str] | None:
    """RETURNS (tuple[str, str] | None): language and title of a Wikipedia page's
    address; None if it is none."""
    try:
        parts = urlsplit(url)
        host = _HOST.fullmatch((parts.hostname or "").lower())
    except ValueError:
        return None
    if host is None:
        return None
    folder, _, title = parts.path.removeprefix("/").partition("/")
    if folder == "w":
        title = parse_qs(parts.query).get("title", [""])[0]
    elif folder == "wiki" or folder.startswith(host[1]):
        # Languages with several scripts also have /zh-tw/ and the like.
        title = unquote(title)
    else:
        return None
    title = clean_title(title)
    return (host[1], title) if title else None


def clean_title(text: str) -> str:
    """RETURNS (str): a title as MediaWiki writes it, but for its first letter, and
    without an anchor."""
    words = text.partition("#")[0].replace("_", " ").split()
    return unicodedata.normalize("NFC", " ".join(words))


def _parse(number: int, text: str, language: str) -> AskedTitle:
    if _SCHEME.match(text):
        page = page_of_address(text)
        if page is None:
            problem = "it is no address of a Wikipedia page"
            return AskedTitle(number, text, language, text, problem)
        return AskedTitle(number, text, *page, _problem(page[1]))
    title = clean_title(text)
    return AskedTitle(number, text, language, title, _problem(title))


def _problem(title: str) -> str:
    if illegal := _ILLEGAL.search(title):
        return f"a title cannot hold {illegal[0]!r}"
    if len(title.encode()) > MAX_TITLE_BYTES:
        return f"it is longer than the {MAX_TITLE_BYTES} bytes of a title"
    return ""


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with open_bytes(path) as file:
            for number, line in enumerate(file, start=1):
                yield number, line.decode("utf-8").lstrip("\ufeff").strip()
    except UnicodeDecodeError as error:
        reason = f"not UTF-8 at byte {error.start + 1}"
        raise DweError(
            Errors.E003.format(path=path, line=number, reason=reason)
        ) from None
