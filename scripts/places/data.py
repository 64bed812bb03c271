"""The places of the sample: facts, the name they share with others, and their flag."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from places.errors import Errors
from places.flags import distance, parse_flag
from spacy_dwe.errors import DweError
from spacy_dwe.files import read_json_lines

SPLITS = "seen", "unseen"
QID = re.compile(r"Q[1-9]\d*")
ALIKE = 0.2
"""Two flags of one name must be at least this far apart: see `flags.distance`."""


@dataclass(frozen=True, slots=True)
class Place:
    """A row of places.jsonl.

    id (str): of Wikidata.
    title (str): of the entity; it may say which of its namesakes it is.
    name (str): how sentences call it. Places with the same one are namesakes.
    article (str): "the" where a sentence puts it in front of the name.
    aliases (tuple[str, ...]): other names, its own alone.
    kind (str): country, province, city…
    split (str): "seen", or "unseen" when neither CLIP nor a linker may train on it.
    description (str): facts, and a sentence that names what is on the flag.
    clues (tuple[str, ...]): noun phrases that tell a reader which place is meant.
    flag (dict): a specification as of `flags.parse_flag`.
    """

    id: str
    title: str
    name: str
    aliases: tuple[str, ...]
    kind: str
    split: str
    description: str
    clues: tuple[str, ...]
    flag: Mapping[str, Any] = field(hash=False)
    article: str = ""

    @property
    def unseen(self) -> bool:
        return self.split == "unseen"


@dataclass(frozen=True)
class Places:
    """All places, in the order of their file."""

    rows: tuple[Place, ...]

    @cached_property
    def namesakes(self) -> dict[str, tuple[Place, ...]]:
        """RETURNS (dict[str, tuple[Place, ...]]): the places of each name."""
        named: dict[str, list[Place]] = defaultdict(list)
        for place in self.rows:
            named[place.name].append(place)
        return {name: tuple(places) for name, places in named.items()}

    @cached_property
    def ambiguous(self) -> dict[str, tuple[Place, ...]]:
        """RETURNS (dict[str, tuple[Place, ...]]): of each name of several places."""
        named = self.namesakes.items()
        return {name: places for name, places in named if len(places) > 1}


def read_places(path: Path) -> Places:
    """Read and check places.jsonl.

    RAISES (DweError): with the line of a place that is incomplete, doubled, or hard to
        tell from a namesake by its flag.
    """
    places = [_place(path, number, row) for number, row in read_json_lines(path)]
    if not places:
        raise DweError(Errors.E004.format(path=path, what="places"))
    _check(path, places)
    return Places(tuple(places))


def _place(path: Path, number: int, row: Any) -> Place:
    def refuse(reason: str) -> DweError:
        return DweError(Errors.E320.format(path=path, line=number, reason=reason))

    if not isinstance(row, dict):
        raise refuse("an object was expected")
    for key in ("id", "title", "name", "kind", "split", "description"):
        if not isinstance(row.get(key), str) or not row[key]:
            raise refuse(f"{key!r} must be a text")
    for key in ("aliases", "clues"):
        if not _is_texts(row.get(key)):
            raise refuse(f"{key!r} must be a list of texts")
    if not QID.fullmatch(row["id"]):
        raise refuse(f"{row['id']!r} is no Wikidata id")
    if row["split"] not in SPLITS:
        raise refuse(f"'split' must be one of {', '.join(SPLITS)}")
    if len(row["clues"]) < 2:
        raise refuse("a place needs at least two clues")
    try:
        parse_flag(row.get("flag", {}))
    except DweError as err:
        raise refuse(str(err)) from None
    return Place(
        id=row["id"],
        title=row["title"],
        name=row["name"],
        aliases=tuple(row["aliases"]),
        kind=row["kind"],
        split=row["split"],
        description=row["description"],
        clues=tuple(row["clues"]),
        flag=row["flag"],
        article=row.get("article", ""),
    )


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _check(path: Path, places: Iterable[Place]) -> None:
    ids: set[str] = set()
    named: dict[str, list[Place]] = defaultdict(list)
    for place in places:
        if place.id in ids:
            raise DweError(Errors.E321.format(path=path, id=place.id))
        ids.add(place.id)
        for other in named[place.name]:
            if other.split != place.split:
                reason = "one is seen, the other unseen"
            elif distance(place.flag, other.flag) < ALIKE:
                reason = "their flags can hardly be told apart"
            else:
                continue
            message = Errors.E322.format(
                path=path, a=other.title, b=place.title, reason=reason
            )
            raise DweError(message)
        named[place.name].append(place)
