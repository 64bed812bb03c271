"""Banks of words that pictures are compared with: JSON files, read and encoded once.

`{"templates": ["a photo of {}."], "groups": {"animal": ["cat", {"words": "dog",
"text": "a dog on a lead"}]}}`: the text of an entry, put into each template, is what
CLIP encodes; the words are what is said where it is found. An entry with `"words": ""`
competes with its group and says nothing when it wins.
"""

import hashlib
import json
import threading
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import DweError, Errors
from ...files import require_file
from ..inference import unit

if TYPE_CHECKING:
    from ..protocol import TextEncoder

FOLDER = Path(__file__).parent / "bank_files"
OBJECTS = FOLDER / "objects.json"
FACES = FOLDER / "faces.json"
SCENES = FOLDER / "scenes.json"

KEPT = 16
"""Encoded banks that a process keeps."""


@dataclass(frozen=True, slots=True)
class Entry:
    """words (str): what is said; text (str): what is encoded."""

    group: str
    words: str
    text: str


@dataclass(frozen=True)
class Bank:
    """Entries in the order of their file, those of a group together."""

    entries: tuple[Entry, ...]
    templates: tuple[str, ...]

    @cached_property
    def groups(self) -> dict[str, slice]:
        """RETURNS (dict[str, slice]): the entries of each group."""
        groups: dict[str, slice] = {}
        for i, entry in enumerate(self.entries):
            start = groups[entry.group].start if entry.group in groups else i
            groups[entry.group] = slice(start, i + 1)
        return groups

    @cached_property
    def fingerprint(self) -> str:
        """RETURNS (str): 16 hexadecimal digits, of all that shapes words or vectors."""
        rows = [[e.group, e.words, e.text] for e in self.entries]
        content = json.dumps([rows, self.templates], ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def read_bank(path: str | Path) -> Bank:
    """Read and check a bank, once per process for each state of its file.

    RAISES (DweError): with the file and the entry that is wrong.
    """
    path = require_file(Path(path).expanduser())
    return _read(path, path.stat().st_mtime_ns)


def file_digest(name: str | Path) -> str:
    """
    name (str | Path): a file, or a name that something else knows.
    RETURNS (str): digest of the file's content, as findings are kept for longer than a
        file need stay what it is; of what is no file, the name.
    """
    path = Path(name).expanduser()
    if not path.is_file():
        return str(name)
    return _content_digest(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=KEPT)
def _content_digest(path: Path, _: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bank_vectors(encoder: "TextEncoder", bank: Bank) -> np.ndarray:
    """The bank in an encoder's space, once per process: the mean over its templates.

    RETURNS (np.ndarray): unit vectors, read-only.
        Shape: (len(bank.entries), dim), float32
    """
    key = encoder.fingerprint, bank.fingerprint
    with _lock:
        if key not in _vectors:
            if len(_vectors) >= KEPT:
                del _vectors[next(iter(_vectors))]
            _vectors[key] = _encode(encoder, bank)
        return _vectors[key]


_lock = threading.Lock()
_vectors: dict[tuple[str, str], np.ndarray] = {}


def _encode(encoder: "TextEncoder", bank: Bank) -> np.ndarray:
    texts = [
        template.format(entry.text)
        for template in bank.templates
        for entry in bank.entries
    ]
    shape = len(bank.templates), len(bank.entries), -1
    vectors = unit(encoder.encode_texts(texts).reshape(shape).mean(axis=0))
    vectors.flags.writeable = False
    return vectors


@lru_cache(maxsize=KEPT)
def _read(path: Path, _: int) -> Bank:
    def refuse(where: str, reason: str) -> DweError:
        return DweError(Errors.E205.format(path=path, where=where, reason=reason))

    try:
        content = json.loads(path.read_text("utf-8"))
    except UnicodeDecodeError as error:
        raise refuse(f"byte {error.start + 1}", "not UTF-8") from None
    except ValueError as error:
        raise refuse("the file", f"not JSON ({error})") from None
    if not isinstance(content, dict):
        raise refuse("the file", "an object was expected")
    unknown = sorted(set(content) - {"templates", "groups"})
    if unknown:
        raise refuse(repr(unknown[0]), 'only "templates" and "groups" are known')
    templates = content.get("templates", ["{}"])
    if not isinstance(templates, list) or not templates:
        raise refuse("'templates'", "a list of texts was expected")
    for i, template in enumerate(templates):
        if not isinstance(template, str) or not _is_template(template):
            raise refuse(f"templates[{i}]", "a text with one {} was expected")
    groups = content.get("groups")
    if not isinstance(groups, dict) or not groups:
        raise refuse("'groups'", "an object of lists was expected")
    entries: list[Entry] = []
    for name, rows in groups.items():
        if not isinstance(rows, list) or not rows:
            raise refuse(f"groups.{name}", "a list of entries was expected")
        entries += [
            _entry(name, row, refuse, f"groups.{name}[{i}]")
            for i, row in enumerate(rows)
        ]
        own = [entry.text for entry in entries if entry.group == name]
        doubled = next((text for text in own if own.count(text) > 1), None)
        if doubled is not None:
            raise refuse(f"groups.{name}", f"{doubled!r} stands there twice")
    return Bank(tuple(entries), tuple(templates))


def _is_template(template: str) -> bool:
    try:
        return template.count("{}") == 1 and "\0" in template.format("\0")
    except (IndexError, KeyError, ValueError):
        return False


def _entry(group: str, row: Any, refuse: Any, where: str) -> Entry:
    if isinstance(row, str):
        row = {"words": row}
    if not isinstance(row, dict) or set(row) - {"words", "text"}:
        raise refuse(where, 'a text, or an object with "words" and "text" was expected')
    words = row.get("words", "")
    text = row.get("text", words)
    if not isinstance(words, str) or not isinstance(text, str):
        raise refuse(where, '"words" and "text" must be texts')
    if not text.strip():
        raise refuse(where, "there is no text to encode")
    return Entry(group, words.strip(), text.strip())
