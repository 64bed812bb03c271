"""KB sources: whatever gives the entities of a KnowledgeBase, from Wikipedia, dumps,
tables or another KnowledgeBase.

A module belongs here if it turns something into `Entity` objects. It knows nothing of
vectors and indexes: `building` makes a KnowledgeBase of what it gives.

A source of your own is a function of what it reads, registered in spaCy's `misc`:

    @spacy.registry.misc("my.Source.v1")
    def my_source(path: str) -> Iterator[Entity]: ...

`build_kb(my_source("…"), "my.kb")` takes it as it is, and so does the command
`kb import my.Source.v1 OUT.jsonl --code my_source.py --set path=…`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..errors import DweError, Errors
from ..kb.entity import Alias, Entity

Source = Callable[..., Iterable[Entity]]
"""Its arguments are settings, JSON values. It gives entities with distinct ids, one by
one if there are many, and raises DweError where its input is wrong."""


def registered_entities(name: str, settings: Mapping[str, Any]) -> Iterator[Entity]:
    """The entities of a registered source, each of them checked.

    name (str): such as spacy-dwe.TableSource.v1.
    settings (Mapping[str, Any]): the source's arguments.
    YIELDS (Entity): the entities in order.
    RAISES (DweError): there is no such source, an argument is wrong, or what comes is
        no entity or has an id that was there before.
    """
    from spacy import registry
    from thinc.api import ConfigValidationError

    if not registry.has("misc", name):
        raise DweError(Errors.E118.format(name=name))
    try:
        block = {"source": {"@misc": name, **settings}}
        found = registry.resolve(block)["source"]
    except ConfigValidationError as error:
        problems = (
            f"{e['loc'][-1]}: {e['msg']}" if e["loc"] else e["msg"]
            for e in error.errors
        )
        raise DweError(
            Errors.E119.format(name=name, problem="; ".join(problems))
        ) from None
    if not isinstance(found, Iterable):
        problem = f"gives no entities, but a {type(found).__name__}"
        raise DweError(Errors.E119.format(name=name, problem=problem))
    return _checked(found, name)


def _checked(entities: Iterable[Any], name: str) -> Iterator[Entity]:
    seen: set[str] = set()
    for entity in entities:
        if not isinstance(entity, Entity) or not all(
            isinstance(alias, Alias) for alias in entity.aliases
        ):
            problem = "an Entity, its aliases of Alias, was expected"
            raise DweError(
                Errors.E100.format(source=f"{entity!r:.80} of {name}", problem=problem)
            )
        source = f"entity {len(seen) + 1:,} of {name}"
        Entity.from_json(entity.to_json(), source=source)
        if entity.id in seen:
            problem = f"the id {entity.id!r} occurs twice"
            raise DweError(Errors.E100.format(source=source, problem=problem))
        seen.add(entity.id)
        yield entity
    if not seen:
        raise DweError(Errors.E004.format(path=name, what="entities"))
