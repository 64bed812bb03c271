"""Entities from spaCy's own InMemoryLookupKB."""

import mmap
import re
import struct
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from spacy.kb import InMemoryLookupKB
from spacy.util import get_package_path, is_package
from spacy.vocab import Vocab

from ..errors import DweError, Errors, Warnings
from ..files import require_file
from ..kb.entity import Alias, Entity
from .tables import titles_from_table

FREQUENCY = "frequency"
"""Extra key of an entity's frequency. It is no prior: spaCy asks for a log probability,
and people give counts."""

_CONTENTS = "contents"
_STRINGS = "strings.json"
# The file: number of entities, length of a vector; vectors; entities; number of
# aliases; for each alias its hash and number of candidates, and the candidates.
_PAIR = struct.Struct("=qq")
_NUMBER = struct.Struct("=q")
_ENTITY_BYTES = 16
_CANDIDATE_BYTES = 12
_HASH = re.compile(r"\d{2,}")


def spacy_kb_source(
    path: str, titles: str | None = None, vocab: str | None = None
) -> Iterator[Entity]:
    """The source spacy-dwe.SpacyKBSource.v1: a KnowledgeBase that spaCy saved.

    path, vocab (str): see `read_lookup_kb`.
    titles (str | None): a table of titles; see `titles_from_table`.
    """
    texts = titles_from_table(titles) if titles else {}
    source = Path(titles) if titles else None
    return entities_from_lookup_kb(read_lookup_kb(path, vocab), texts, source=source)


def entities_from_lookup_kb(
    kb: InMemoryLookupKB,
    titles: Mapping[str, tuple[str, str]] | None = None,
    *,
    source: Path | None = None,
) -> Iterator[Entity]:
    """The entities of a spaCy KnowledgeBase, sorted by id.

    An alias's prior is spaCy's p(entity | alias). Vectors are not carried over, as they
    are of another encoder. spaCy tells the frequency only of entities with an alias,
    the others cannot be linked there.

    kb (InMemoryLookupKB): the KnowledgeBase.
    titles (Mapping[str, tuple[str, str]] | None): titles and descriptions by id. An
        entity without gets the alias that most surely means it as title, the longest
        one of several; without an alias, its id.
    source (Path | None): where the titles are from, to name in a warning.
    YIELDS (Entity): the entities.
    RAISES (DweError): there are none, or a prior is no probability.
    """
    titles = titles or {}
    ids = sorted(kb.get_entity_strings())
    if not ids:
        raise DweError(Errors.E004.format(path="The KnowledgeBase", what="entities"))
    _warn_of_strangers(titles, ids, source)
    aliases, frequencies = _aliases(kb)
    for name in ids:
        own = aliases.get(name, [])
        title, description = titles.get(name) or (_best(own) or name, "")
        known = name in frequencies
        yield Entity(
            id=name,
            title=title,
            description=description,
            aliases=tuple(own),
            extra={FREQUENCY: frequencies[name]} if known else {},
        )


def read_lookup_kb(
    path: str | Path, vocab: str | Path | None = None
) -> InMemoryLookupKB:
    """Read a KnowledgeBase that spaCy saved.

    path (str | Path): folder that `kb.to_disk` wrote; the file of earlier versions; or
        a pipeline with an entity_linker, as a folder or the name of a package.
    vocab (str | Path | None): pipeline, vocab folder or strings.json that has the
        strings; None looks beside the KB and in the pipeline.
    RETURNS (InMemoryLookupKB): the KnowledgeBase, with all its strings.
    RAISES (DweError): there is none, it is damaged, or strings are missing.
    """
    place = _place_of(path)
    contents = place / _CONTENTS if place.is_dir() else place
    _check(contents)
    strings = Vocab()
    for file in _string_files(place, vocab):
        strings.strings.from_disk(file)
    kb = InMemoryLookupKB(strings, entity_vector_length=1)
    try:
        kb.read_contents(contents)
    except (OSError, ValueError, AssertionError) as error:
        raise _unreadable(contents, str(error) or type(error).__name__) from None
    try:
        kb.get_entity_strings()
        kb.get_alias_strings()
    except KeyError as error:
        found = _HASH.search(str(error).partition("hash")[2])
        raise DweError(
            Errors.E149.format(path=place, hash=found.group() if found else "?")
        ) from None
    return kb


def _aliases(
    kb: InMemoryLookupKB,
) -> tuple[dict[str, list[Alias]], dict[str, float]]:
    """RETURNS (tuple): aliases with priors, and the frequency, of each entity."""
    aliases: dict[str, list[Alias]] = {}
    frequencies: dict[str, float] = {}
    for alias in sorted(kb.get_alias_strings()):
        if not alias.strip():
            continue
        for candidate in kb.get_alias_candidates(alias):
            name, prior = candidate.entity_, _decimal(candidate.prior_prob)
            # spaCy lets the priors of an alias sum up to a little more than 1.
            if not 0 <= prior <= 1.0001:
                problem = f"{prior} is no prior of its alias {alias!r}, 0 to 1"
                raise DweError(Errors.E100.format(source=name, problem=problem))
            aliases.setdefault(name, []).append(Alias(alias, min(prior, 1.0)))
            frequency = _decimal(candidate.entity_freq)
            if np.isfinite(frequency):
                frequencies[name] = frequency
    return aliases, frequencies


def _best(aliases: list[Alias]) -> str | None:
    if not aliases:
        return None
    best = min(aliases, key=lambda a: (-(a.prior or 0.0), -len(a.alias), a.alias))
    return best.alias.strip()


def _decimal(value: float) -> float:
    """The shortest number that spaCy's single precision tells from others: 0.3 and not
    0.30000001192092896."""
    return float(str(np.float32(value)))


def _warn_of_strangers(
    titles: Mapping[str, Any], ids: list[str], source: Path | None
) -> None:
    known = set(ids)
    strangers = [name for name in titles if name not in known]
    if strangers:
        warnings.warn(
            Warnings.W142.format(
                path=source or "titles", count=len(strangers), id=strangers[0]
            ),
            stacklevel=3,
        )


def _place_of(path: str | Path) -> Path:
    """RETURNS (Path): the KB's folder, or its file, as spaCy 2 had it."""
    root = Path(path)
    if not root.exists() and is_package(str(path)):
        root = get_package_path(str(path))
    if not root.exists():
        raise DweError(Errors.E001.format(path=path))
    if _is_kb(root):
        return root
    # A component, a pipeline, a package: the KB lies deeper by a folder each.
    for pattern in ("kb", "*/kb", "*/*/kb"):
        found = [p for p in sorted(root.glob(pattern)) if _is_kb(p)]
        if len(found) > 1:
            choices = ", ".join(map(str, found))
            raise DweError(Errors.E147.format(path=path, choices=choices))
        if found:
            return found[0]
    raise DweError(Errors.E146.format(path=path))


def _is_kb(path: Path) -> bool:
    return path.is_file() or (path / _CONTENTS).is_file()


def _string_files(place: Path, vocab: str | Path | None) -> list[Path]:
    """RETURNS (list[Path]): all that may hold strings of the KB: its own, those of its
    pipeline, and those named."""
    folders = [place, place.parent, place.parent.parent / "vocab"]
    files = [folder / _STRINGS for folder in folders]
    found = [file for file in files if file.is_file()]
    if vocab is not None:
        given = Path(vocab)
        named = [given, given / _STRINGS, given / "vocab" / _STRINGS]
        found.append(next((file for file in named if file.is_file()), named[1]))
        require_file(found[-1])
    return found


def _check(contents: Path) -> None:
    """spaCy reads past the end of a file that was cut off, and takes what is no KB for
    a huge one."""
    size = contents.stat().st_size
    with contents.open("rb") as file:
        if size and _end(file) == size:
            return
        file.seek(0)
        is_reference = file.read(1) == b"{"
    reason = "it is cut off, or something else"
    if is_reference:
        reason = "it refers to a KnowledgeBase of another kind"
    raise _unreadable(contents, reason)


def _end(file: BinaryIO) -> int:
    """RETURNS (int): where a KB ends by the sizes that it says; -1 if it cannot be."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            entities, length = _PAIR.unpack_from(data)
            place = _PAIR.size + entities * (4 * length + _ENTITY_BYTES)
            (aliases,) = _NUMBER.unpack_from(data, place)
            place += _NUMBER.size
            for _ in range(aliases):
                _, candidates = _PAIR.unpack_from(data, place)
                if candidates < 0:
                    return -1
                place += _PAIR.size + candidates * _CANDIDATE_BYTES
        except (struct.error, OverflowError):
            return -1
    return place


def _unreadable(path: Path, reason: str) -> DweError:
    return DweError(Errors.E148.format(path=path, reason=reason))
