"""documents.jsonl: labelled or unlabelled mentions in texts with pictures.

Reading checks every line and names file and line of the first mistake, so that what
comes after it can trust its input. Writing is all or nothing.
"""

import gzip
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from spacy.tokens import Doc

from ..errors import DweError, Errors
from ..images import ImageRef, resolve
from ..tokens import DOCUMENT_ID

if TYPE_CHECKING:
    from spacy.language import Language

NIL = "NIL"
"""kb_id of a mention that is labelled as not being in the KB."""

LABEL = "ENTITY"
"""Label of the entities that are made from mentions, which have none of their own."""

MENTIONS = "dwe_mentions"
"""Key of Doc.user_data: which of the document's mentions doc.ents are, in order."""

EXTRA = "dwe_extra"
"""Key of Doc.user_data: keys of the document that this package does not know."""

KNOWN_KEYS = ("id", "text", "images", "mentions")
SUFFIXES = (".jsonl", ".jsonl.gz")


@dataclass(frozen=True, slots=True)
class MentionRecord:
    """A mention: `text[start:end]` of its document, in characters.

    kb_id (str | None): the right entity; None = it is not in the KB (NIL).
    labelled (bool): False = nobody said, and kb_id means nothing.
    groups (tuple[str, ...]): groups that an evaluation reports apart.
    source (Mapping[str, Any]): the JSON object, with keys unknown here.
    """

    start: int
    end: int
    kb_id: str | None = None
    labelled: bool = False
    groups: tuple[str, ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)

    @property
    def gold(self) -> str:
        """The label as spaCy writes it: an id, "NIL", or "" for unlabelled."""
        return (self.kb_id or NIL) if self.labelled else ""


@dataclass(frozen=True, slots=True)
class Document:
    """A text with its pictures and mentions.

    images (tuple[ImageRef, ...]): relative paths start at the image root.
    mentions (tuple[MentionRecord, ...] | None): None = the document does not say.
    source (Mapping[str, Any]): the JSON object, with keys unknown here.
    """

    id: str
    text: str
    images: tuple[ImageRef, ...] = ()
    mentions: tuple[MentionRecord, ...] | None = None
    source: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)


def read_documents(
    path: str | Path, image_root: str | Path | None = None
) -> Iterator[Document]:
    """Read a file line by line.

    path (str | Path): documents, .jsonl or .jsonl.gz.
    image_root (str | Path | None): where relative pictures start; None = the folder of
        the file.
    YIELDS (Document): a document without an id is named by its line.
    """
    path = Path(path)
    if not path.is_file():
        raise DweError(Errors.E001.format(path=path))
    root = path.parent if image_root is None else image_root
    lines: dict[str, int] = {}
    for number, source in _objects(path):
        try:
            document = _document(source, number, root)
        except _Mistake as mistake:
            raise DweError(
                Errors.E003.format(path=path, line=number, reason=mistake)
            ) from None
        first = lines.setdefault(document.id, number)
        if first != number:
            raise DweError(
                Errors.E230.format(path=path, line=number, id=document.id, first=first)
            )
        yield document


def make_docs(
    nlp: "Language", document: Document, with_gold: bool = False
) -> list[Doc]:
    """spaCy's form of a document, not yet processed by any component.

    Tokens are split where a mention starts or ends inside of one, so that mentions keep
    their characters whatever the tokenizer does.

    nlp (Language): gives tokenizer and vocabulary.
    document (Document): the document.
    with_gold (bool): label the entities with their mentions' kb_id, "NIL" for those
        that are not in the KB; unlabelled ones keep "".
    RETURNS (list[Doc]): one, or several copies of the text where mentions overlap,
        since the entities of a Doc cannot.
    """
    if len(document.text) > nlp.max_length:
        raise DweError(
            Errors.E231.format(
                id=document.id, length=len(document.text), limit=nlp.max_length
            )
        )
    if document.mentions is None:
        return [_add_document(nlp.make_doc(document.text), document)]
    docs = []
    for layer in _layers(document.mentions) or [[]]:
        mentions = [document.mentions[index] for index in layer]
        golds = [mention.gold if with_gold else "" for mention in mentions]
        doc = nlp.make_doc(document.text)
        offsets = [_stripped(mention, document.text) for mention in mentions]
        ents = _entities(doc, offsets, golds)
        if None in ents:
            doc = _split(doc, offsets)
            ents = _entities(doc, offsets, golds)
        doc.set_ents(ents)
        for ent, mention in zip(ents, mentions):
            if mention.groups:
                ent._.link_groups = mention.groups
        _add_document(doc, document)
        doc.user_data[MENTIONS] = tuple(layer)
        docs.append(doc)
    return docs


def document_objects(docs: Iterable[Doc]) -> Iterator[dict[str, Any]]:
    """The inverse of `make_docs`: documents as JSON objects, entities as mentions.

    docs (Iterable[Doc]): neighbours with one id and text become one document again.
    """
    pending: dict[str, Any] | None = None
    for number, doc in enumerate(docs, start=1):
        current = _object_of(doc, number)
        if pending is not None and all(
            pending[k] == current[k] for k in ("id", "text")
        ):
            pending["mentions"] += current["mentions"]
            continue
        if pending is not None:
            yield pending
        pending = current
    if pending is not None:
        yield pending


@contextmanager
def writing_jsonl(path: str | Path) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Write a file of JSON lines that is complete or absent: it takes its name when the
    block ends without an error, and replaces an older file only then.

    path (str | Path): .jsonl, or .jsonl.gz.
    YIELDS (Callable): writes one object. NaN is an error.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with _created(temporary, path.suffix == ".gz") as file:

            def write(record: Mapping[str, Any]) -> None:
                file.write(json.dumps(record, ensure_ascii=False, allow_nan=False))
                file.write("\n")

            yield write
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


class _Mistake(Exception):
    """What is wrong with a line."""


def _objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with _opened(path) as file:
        try:
            for number, line in enumerate(file, start=1):
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                if line.strip():
                    yield number, _object(line, path, number)
        except (EOFError, gzip.BadGzipFile) as error:
            raise DweError(
                Errors.E233.format(path=path, what="gzip file", reason=error)
            ) from None


def _object(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except UnicodeDecodeError as error:
        reason = f"not UTF-8 at byte {error.start + 1}"
    except json.JSONDecodeError as error:
        reason = f"{error.msg}, column {error.colno}"
    else:
        if isinstance(value, dict):
            return value
        reason = "a document is an object in {}"
    raise DweError(Errors.E002.format(path=path, line=number, reason=reason))


def _document(source: dict[str, Any], line: int, root: str | Path) -> Document:
    identifier = source.get("id", line)
    if isinstance(identifier, bool) or not isinstance(identifier, (str, int)):
        raise _Mistake(f'"id" is a string, not {_shown(identifier)}')
    text = source.get("text")
    if not isinstance(text, str):
        raise _Mistake(f'"text" is a string, not {_shown(text)}')
    mentions = source.get("mentions")
    if mentions is not None:
        if not isinstance(mentions, list):
            raise _Mistake(f'"mentions" is a list, not {_shown(mentions)}')
        mentions = tuple(
            _mention(mention, f"mention {number}", text)
            for number, mention in enumerate(mentions, start=1)
        )
    images = resolve(_strings(source, "images", ""), root)
    return Document(str(identifier), text, images, mentions, source)


def _mention(source: Any, name: str, text: str) -> MentionRecord:
    if not isinstance(source, dict):
        raise _Mistake(f"{name} is an object, not {_shown(source)}")
    start = _offset(source, "start", name)
    end = _offset(source, "end", name)
    if not 0 <= start < end <= len(text):
        raise _Mistake(
            f"{name}: the characters {start} to {end} are not in the text, "
            f"which has {len(text)}"
        )
    if text[start:end].isspace():
        raise _Mistake(f"{name}: the characters {start} to {end} are only white space")
    kb_id = source.get("kb_id")
    if not (kb_id is None or (isinstance(kb_id, str) and kb_id)):
        raise _Mistake(f'{name}: "kb_id" is an id or null, not {_shown(kb_id)}')
    groups = _strings(source, "groups", f"{name}: ")
    return MentionRecord(start, end, kb_id, "kb_id" in source, groups, source)


def _offset(source: Mapping[str, Any], key: str, name: str) -> int:
    offset = source.get(key)
    if isinstance(offset, bool) or not isinstance(offset, int):
        raise _Mistake(f'{name}: "{key}" is a whole number, not {_shown(offset)}')
    return offset


def _strings(source: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    values = source.get(key)
    if values is None:
        return ()
    if not isinstance(values, list) or not all(
        v and isinstance(v, str) for v in values
    ):
        raise _Mistake(f'{where}"{key}" is a list of strings, not {_shown(values)}')
    return tuple(values)


def _shown(value: Any) -> str:
    if value is None:
        return "absent"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _layers(mentions: tuple[MentionRecord, ...]) -> list[list[int]]:
    """Positions of mentions in as few lists without overlaps as the greedy way finds;
    each is in order of the text."""
    layers: list[list[int]] = []
    order = sorted(range(len(mentions)), key=lambda i: (mentions[i].start, i))
    for index in order:
        for layer in layers:
            if mentions[layer[-1]].end <= mentions[index].start:
                layer.append(index)
                break
        else:
            layers.append([index])
    return layers


def _entities(
    doc: Doc, offsets: Sequence[tuple[int, int]], kb_ids: Sequence[str]
) -> list[Any]:
    """One Span a mention; None where tokens do not end with the mention."""
    return [
        doc.char_span(start, end, label=LABEL, kb_id=kb_id)
        for (start, end), kb_id in zip(offsets, kb_ids)
    ]


def _stripped(mention: MentionRecord, text: str) -> tuple[int, int]:
    """Offsets without white space at the ends: a space belongs to no token."""
    inside = text[mention.start : mention.end]
    left = len(inside) - len(inside.lstrip())
    return mention.start + left, mention.start + len(inside.rstrip())


def _split(doc: Doc, offsets: Iterable[tuple[int, int]]) -> Doc:
    """The same text with token boundaries at all offsets."""
    cuts = {offset for pair in offsets for offset in pair}
    words, spaces = [], []
    for token in doc:
        inside = range(token.idx + 1, token.idx + len(token))
        edges = [0, *sorted(c - token.idx for c in cuts if c in inside), len(token)]
        words += [token.text[a:b] for a, b in pairwise(edges)]
        spaces += [False] * (len(edges) - 2) + [bool(token.whitespace_)]
    return Doc(doc.vocab, words=words, spaces=spaces)


def _add_document(doc: Doc, document: Document) -> Doc:
    doc.user_data[DOCUMENT_ID] = document.id
    if document.images:
        doc._.images = document.images
    extra = {k: v for k, v in document.source.items() if k not in KNOWN_KEYS}
    if extra:
        doc.user_data[EXTRA] = extra
    return doc


def _object_of(doc: Doc, number: int) -> dict[str, Any]:
    identifier = str(doc.user_data.get(DOCUMENT_ID, number))
    images = []
    for ref in doc._.images:
        if ref.path is None:
            name = f"Document {identifier}"
            raise DweError(Errors.E234.format(doc=name, what="JSONL"))
        images.append(ref.path)
    mentions = []
    for ent in doc.ents:
        mention: dict[str, Any] = {"start": ent.start_char, "end": ent.end_char}
        if ent.kb_id_:
            mention["kb_id"] = None if ent.kb_id_ == NIL else ent.kb_id_
        if ent._.link_groups:
            mention["groups"] = list(ent._.link_groups)
        mentions.append(mention)
    extra = dict(doc.user_data.get(EXTRA, {}))
    known = {"id": identifier, "text": doc.text, "mentions": mentions}
    return {**known, **({"images": images} if images else {}), **extra}


def _opened(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    return path.open("rb")


def _created(path: Path, compressed: bool) -> IO[str]:
    if compressed:
        return gzip.open(path, "wt", encoding="utf-8", newline="\n")
    return path.open("w", encoding="utf-8", newline="\n")
