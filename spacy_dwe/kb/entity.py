"""An entity as it stands in entities.jsonl and comes back from the KB."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from ..errors import DweError, Errors
from ..files import open_bytes, read_json_lines, write_jsonl


@dataclass(frozen=True, slots=True)
class Alias:
    """Another name of an entity.

    alias (str): the name.
    prior (float | None): probability that this name means this entity.
    extra (Mapping[str, Any]): keys of its JSON object that mean nothing here.
    """

    alias: str
    prior: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def to_json(self) -> str | dict[str, Any]:
        """RETURNS (str | dict[str, Any]): the name, or an object if there is more."""
        prior = {} if self.prior is None else {"prior": self.prior}
        if not prior and not self.extra:
            return self.alias
        return {"alias": self.alias, **prior, **self.extra}


@dataclass(frozen=True, slots=True)
class Entity:
    """One entry of a KnowledgeBase; only `id` and `title` are required.

    id (str): what `span.kb_id_` is set to.
    title (str): the entity's own name.
    description (str): what is known of it; the first words matter most.
    aliases (tuple[Alias, ...]): its other names.
    prior (float | None): probability of the entity where a name has no prior.
    images (tuple[str, ...]): paths of its pictures.
    url (str | None): where a reader finds more.
    extra (Mapping[str, Any]): keys of the JSON object that mean nothing here.
    """

    id: str
    title: str
    description: str = ""
    aliases: tuple[Alias, ...] = ()
    prior: float | None = None
    images: tuple[str, ...] = ()
    url: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def names(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): the title, then the aliases."""
        return (self.title, *(alias.alias for alias in self.aliases))

    @classmethod
    def from_json(cls, data: Any, *, source: str = "entity") -> Self:
        """Check and read one object of entities.jsonl.

        data (Any): the parsed JSON value.
        source (str): where it stands, for the error message.
        RETURNS (Entity): the entity; unknown keys are kept in `extra`.
        """
        if not isinstance(data, dict):
            raise _malformed(source, f"expected an object, not {_kind(data)}")
        images = data.get("images")
        return cls(
            id=_text(data, "id", source, required=True),
            title=_text(data, "title", source, required=True),
            description=_text(data, "description", source),
            aliases=_aliases(data.get("aliases"), source),
            prior=_prior(data.get("prior"), '"prior"', source),
            images=tuple(_strings(images, '"images"', source)),
            url=_text(data, "url", source) or None,
            extra={key: value for key, value in data.items() if key not in _KNOWN},
        )

    def to_json(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): the JSON object, without what is not set."""
        data: dict[str, Any] = {"id": self.id, "title": self.title}
        if self.description:
            data["description"] = self.description
        if self.aliases:
            data["aliases"] = [alias.to_json() for alias in self.aliases]
        if self.prior is not None:
            data["prior"] = self.prior
        if self.images:
            data["images"] = list(self.images)
        if self.url is not None:
            data["url"] = self.url
        return {**data, **self.extra}


_KNOWN = {"id", "title", "description", "aliases", "prior", "images", "url"}


def entity_text(entity: Entity) -> str:
    """RETURNS (str): what text encoders read of an entity: title and description, or
    the title alone where the description is no more than that."""
    if entity.description == entity.title:
        return entity.title
    return f"{entity.title}. {entity.description}"


def _text(
    data: dict[str, Any], key: str, source: str, *, required: bool = False
) -> str:
    value = data.get(key)
    if value is None:
        if required:
            raise _malformed(source, f'"{key}" is missing')
        return ""
    if not isinstance(value, str):
        raise _malformed(source, f'"{key}" must be a string, not {_kind(value)}')
    if required and not value.strip():
        raise _malformed(source, f'"{key}" is empty')
    return value


def _strings(value: Any, what: str, source: str) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(
        isinstance(item, str) and item.strip() for item in value
    ):
        raise _malformed(source, f"{what} must be a list of non-empty strings")
    return value


def _aliases(value: Any, source: str) -> tuple[Alias, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise _malformed(source, f'"aliases" must be a list, not {_kind(value)}')
    aliases = []
    for item in value:
        name, prior, extra = item, None, {}
        if isinstance(item, dict):
            extra = {key: v for key, v in item.items() if key not in ("alias", "prior")}
            name = item.get("alias")
            prior = _prior(item.get("prior"), '"prior" of an alias', source)
        if not isinstance(name, str) or not name.strip():
            raise _malformed(
                source,
                'an alias must be a non-empty string or {"alias": string, "prior": …}',
            )
        aliases.append(Alias(name, prior, extra))
    return tuple(aliases)


def _prior(value: Any, what: str, source: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _malformed(source, f"{what} must be a number, not {_kind(value)}")
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise _malformed(source, f"{what} must lie between 0 and 1, not {value}")
    return float(value)


def _kind(value: Any) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "a string",
        bool: "true or false",
        int: "a number",
        float: "a number",
        type(None): "null",
    }
    return names.get(type(value), type(value).__name__)


def _malformed(source: str, problem: str) -> DweError:
    return DweError(Errors.E100.format(source=source, problem=problem))


def read_entities(path: str | Path) -> Iterator[Entity]:
    """Read entities one by one; the file is never held in memory.

    path (str | Path): entities.jsonl or entities.jsonl.gz.
    YIELDS (Entity): the entities in order; ids are distinct.
    RAISES (DweError): a line is malformed or repeats an id; the message names it.
    """
    lines_of: dict[str, int] = {}
    for number, value in read_json_lines(path):
        entity = Entity.from_json(value, source=f"{path}, line {number}")
        first = lines_of.setdefault(entity.id, number)
        if first != number:
            raise DweError(
                Errors.E101.format(path=path, line=number, id=entity.id, first=first)
            )
        yield entity
    if not lines_of:
        raise DweError(Errors.E004.format(path=path, what="entities"))


def count_lines(path: str | Path) -> int:
    """RETURNS (int): lines of a file, gzipped or not; 0 if it is not readable. Good
    enough for a progress bar."""
    try:
        with open_bytes(Path(path)) as file:
            return sum(1 for _ in file)
    except (OSError, DweError):
        return 0


def write_entities(path: str | Path, entities: Iterable[Entity]) -> None:
    """Write entities.jsonl, gzipped if the name ends in .gz."""
    write_jsonl(path, (entity.to_json() for entity in entities))


# A full stop after one or two letters is most often that of an abbreviation.
SENTENCE_END = re.compile(
    r"""(?<=[\w)\]"”’»%]{3})[.!?…।]+["'”’»)\]]*(?=\s)|[。！？]+[”」』）]*"""
)
_OPENING, _CLOSING = "([{（［", ")]}）］"


def first_sentence(text: str) -> str:
    """The first sentence of a text. An end between brackets is none.

    text (str): such as the abstract of an article.
    RETURNS (str): on one line; all of the text where no sentence ends before it does.
    """
    text = " ".join(text.split())
    for match in SENTENCE_END.finditer(text):
        before = text[: match.start()]
        opened = sum(before.count(mark) for mark in _OPENING)
        if opened <= sum(before.count(mark) for mark in _CLOSING):
            return text[: match.end()]
    return text


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
