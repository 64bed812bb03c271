"""A set under other names. Ids and titles say nothing in it, so a linker that goes by
pictures links as before, and one that learned names by heart does not."""

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from photo_sets.documents import (
    mentions_of,
    nouns_of,
    read_set,
    to_json,
    with_places,
)
from photo_sets.errors import Errors
from spacy_dwe.documents import Document
from spacy_dwe.errors import DweError
from spacy_dwe.files import replacing_folder, write_jsonl
from spacy_dwe.kb.entity import Entity, read_entities, write_entities

ENTITIES = "entities.jsonl"
_WORD = re.compile(r"[^\W\d_]+")
_VOWELS, _CONSONANTS = "aeiou", "bdfghjklmnprstvz"
_SHORTEST = 3
"""Letters of the words that are replaced: shorter ones name nobody."""


@dataclass(frozen=True, slots=True)
class Renaming:
    """New ids, and a new word for each word of a name, as long as it was: names are as
    alike as they were, and mentions stay where they stand.

    ids (dict[str, str]): by former id.
    words (dict[str, str]): by former word in lower case. Words of shared nouns stay.
    names (re.Pattern[str]): finds names in a text.
    """

    ids: dict[str, str]
    words: dict[str, str]
    names: re.Pattern[str]

    @classmethod
    def of(cls, entities: Sequence[Entity], seed: int) -> "Renaming":
        """entities (Sequence[Entity]): all that there are."""
        shared = {n for nouns in nouns_of(entities).values() for n in nouns.split(", ")}
        kept = {word for noun in shared for word in _words(noun)}
        names = {n for e in entities for n in e.names if n.casefold() not in shared}
        # A text may leave the noun away: "Golden Delicious" for the apple of that name.
        names |= {short for name in names if (short := _without(name, kept))}
        rng = random.Random(seed)
        words = _new_words(
            {w for name in names for w in _words(name)} - kept, kept, rng
        )
        numbers = rng.sample(range(len(entities)), len(entities))
        ids = {e.id: f"entity-{n:05}" for e, n in zip(entities, numbers)}
        longest_first = sorted(names, key=lambda name: (-len(name), name))
        found = "|".join(map(re.escape, longest_first))
        return cls(ids, words, re.compile(rf"\b(?:{found})\b", re.IGNORECASE))

    def name(self, name: str) -> str:
        """RETURNS (str): another name of the same length."""
        return _WORD.sub(lambda match: self._word(match[0]), name)

    def text(self, text: str) -> str:
        """RETURNS (str): a text of the same length, in which names are others."""
        return self.names.sub(lambda match: self.name(match[0]), text)

    def entity(self, entity: Entity) -> Entity:
        return replace(
            entity,
            id=self.ids[entity.id],
            title=self.name(entity.title),
            description=self.text(entity.description),
            aliases=tuple(
                replace(alias, alias=self.name(alias.alias)) for alias in entity.aliases
            ),
            url=None,
        )

    def document(self, document: Document) -> Document:
        mentions = tuple(
            replace(mention, kb_id=self.ids.get(mention.kb_id or "", mention.kb_id))
            for mention in mentions_of(document)
        )
        return replace(document, text=self.text(document.text), mentions=mentions)

    def _word(self, word: str) -> str:
        new = self.words.get(word.lower(), word)
        if word.isupper():
            return new.upper()
        return new.capitalize() if word[0].isupper() else new


def rename_set(folder: Path, out: Path, seed: int) -> int:
    """Write entities.jsonl and all documents beside it under other names, all or none.
    OUT is replaced.

    RETURNS (int): the number of entities.
    """
    entities = list(read_entities(folder / ENTITIES))
    others = sorted(path for path in folder.glob("*.jsonl") if path.name != ENTITIES)
    if out.resolve() == folder.resolve() or not entities:
        reason = "OUT is the same folder" if entities else "it has no entities"
        raise DweError(Errors.E287.format(path=folder, reason=reason))
    renaming = Renaming.of(entities, seed)
    with replacing_folder(out) as draft:
        renamed = map(renaming.entity, with_places(entities, folder))
        write_entities(draft / ENTITIES, renamed)
        for path in others:
            documents = map(renaming.document, read_set([path]))
            write_jsonl(draft / path.name, map(to_json, documents))
    return len(entities)


def _words(name: str) -> list[str]:
    """RETURNS (list[str]): in lower case."""
    return [word.lower() for word in _WORD.findall(name)]


def _without(name: str, nouns: set[str]) -> str:
    """RETURNS (str): what stands before the nouns that a name ends in, if these are two
    words or more."""
    found = list(_WORD.finditer(name))
    while found and found[-1][0].lower() in nouns:
        found.pop()
    return name[: found[-1].end()] if len(found) > 1 else ""


def _new_words(
    words: Iterable[str], taken: Iterable[str], rng: random.Random
) -> dict[str, str]:
    """RETURNS (dict[str, str]): a word of the same length for each."""
    used = set(taken)
    found = {}
    for word in sorted(word for word in words if len(word) >= _SHORTEST):
        new = word
        while new in used or new == word:
            letters = (_CONSONANTS, _VOWELS)
            new = "".join(rng.choice(letters[i % 2]) for i in range(len(word)))
        used.add(new)
        found[word] = new
    return found
