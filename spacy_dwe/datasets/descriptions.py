"""Descriptions of a dataset's entities from another file."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..errors import DweError, Errors
from ..files import require_file
from ..kb.entity import Entity
from ..kb.io import read_entities
from .wiki_page_urls import page_title

SEPARATOR = "@@@@"
"""Between page and description in WikiDiverse's own table."""


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


def _described(path: Path) -> Iterator[tuple[str, list[str], str]]:
    if ".jsonl" in path.suffixes:
        for entity in read_entities(path):
            yield entity.id, _names(entity), entity.description.strip()
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


def _names(entity: Entity) -> list[str]:
    """Its title, and the title that was asked for where that was a redirect."""
    return [entity.title, *(alias.alias for alias in entity.aliases)]
