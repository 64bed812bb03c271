"""Entities of Wikipedia: the page that an address names, as annotators typed or pasted
it, and descriptions from another file."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, unquote

from ..errors import DweError, Errors
from ..files import require_file
from ..kb.entity import Entity, read_entities

# Characters slipped in before https://, or were lost, so only the rest is looked at.
_PAGE = re.compile(
    r"(?:([a-z][a-z-]*)(?:\.m)?\.wikipedia\.org)?/wiki/(.+)", re.IGNORECASE
)
_INDEX = re.compile(
    r"([a-z][a-z-]*)(?:\.m)?\.wikipedia\.org/w/index\.php\?.*?title=([^&]+)"
)
_QUERY = re.compile(r"\?[a-z]\w*=.*$")
_ENGLISH = ("", "en", "www")
_SAFE = "/:(),.'!*;@&=+$-_~"
SEPARATOR = "@@@@"
"""Between page and description in WikiDiverse's own table."""


def page_title(url: str) -> str | None:
    """The title of a page: percent-decoded, with spaces, its first letter a capital as
    on Wikipedia. That of another Wikipedia than the English one has its language before
    it, as in "de:Titel".

    url (str): an address, or a title.
    RETURNS (str | None): None if it is no page's.
    """
    url = url.strip().strip("[]\"'<>").strip()
    found = _PAGE.search(url) or _INDEX.search(url)
    if found is None:
        return _title(url) if url and "/" not in url and ":" not in url else None
    language = (found[1] or "").lower()
    title = _title(_QUERY.sub("", found[2].split("#")[0]))
    if title is None or language in _ENGLISH:
        return title
    return f"{language}:{title}"


def page_url(title: str) -> str:
    """RETURNS (str): the address of a page named as by `page_title`."""
    language, separator, rest = title.partition(":")
    is_other = bool(separator) and language.islower() and not rest.startswith(" ")
    site, page = (language, rest) if is_other else ("en", title)
    return (
        f"https://{site}.wikipedia.org/wiki/{quote(page.replace(' ', '_'), safe=_SAFE)}"
    )


def _title(text: str) -> str | None:
    title = " ".join(unquote(text).replace("_", " ").split())
    return title[0].upper() + title[1:] if title else None


def describe(entities: dict[str, Entity], path: Path) -> int:
    """Give entities the descriptions of a file, by id or else by title.

    entities (dict[str, Entity]): by id; changed.
    path (Path): entities.jsonl as `kb wikipedia` writes it, or WikiDiverse's table,
        page@@@@description a line.
    RETURNS (int): entities that got one.
    RAISES (DweError): the file is missing or malformed.
    """
    by_id: dict[str, str] = {}
    by_title: dict[str, str] = {}
    for identifier, names, text in _described(path):
        if text:
            by_id.setdefault(identifier, text)
            for name in names:
                by_title.setdefault(name.casefold(), text)
    n = 0
    for kb_id, entity in entities.items():
        found = by_id.get(kb_id) or by_title.get(entity.title.casefold())
        if found:
            entities[kb_id] = replace(entity, description=found)
            n += 1
    return n


def _described(path: Path) -> Iterator[tuple[str, Sequence[str], str]]:
    if ".jsonl" in path.suffixes:
        for entity in read_entities(path):
            # A title that was asked for and was a redirect is an alias.
            yield entity.id, entity.names, entity.description.strip()
        return
    with require_file(path).open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            page, separator, text = line.partition(SEPARATOR)
            title = page_title(page)
            if not separator or title is None:
                reason = f"page{SEPARATOR}description is expected"
                raise DweError(
                    Errors.E003.format(path=path, line=number, reason=reason)
                )
            yield title, [title], " ".join(text.split())
