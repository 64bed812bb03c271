"""How much of its entities' descriptions a KnowledgeBase keeps."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ..errors import DweError, Errors
from .entity import Entity
from .sentences import first_sentence

FULL = "full"
META_KEY = "descriptions_kept"
"""Entry of a KB's meta; without it, all of each description was kept."""

_KEPT: Mapping[str, Callable[[Entity], str]] = {
    FULL: lambda entity: entity.description,
    "first-sentence": lambda entity: first_sentence(entity.description),
    "title": lambda entity: entity.title,
    "none": lambda entity: "",
}
KINDS = tuple(_KEPT)
"""All of it, its first sentence, the title in its place, or nothing. With the title,
encoders read the title alone; with nothing, an entity has no vector of its text."""


def with_descriptions(entities: Iterable[Entity], kind: str) -> Iterator[Entity]:
    """Entities with as much of their descriptions as is kept.

    entities (Iterable[Entity]): with all of it.
    kind (str): one of `KINDS`.
    RETURNS (Iterator[Entity]): the entities, read as they are needed.
    RAISES (DweError): there is no such kind.
    """
    if kind not in _KEPT:
        choices = ", ".join(KINDS)
        raise DweError(
            Errors.E413.format(what="descriptions", value=kind, choices=choices)
        )
    kept = _KEPT[kind]
    return (replace(entity, description=kept(entity)) for entity in entities)


def kept_by(meta: Mapping[str, Any]) -> str:
    """RETURNS (str): the kind that a KB was built with, from its meta."""
    return str(meta.get(META_KEY, FULL))
