"""An entity as it stands in entities.jsonl and comes back from the KB."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from ..errors import DweError, Errors


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
