"""documents.jsonl: labelled or unlabelled mentions in texts with pictures.

Reading checks every line and names file and line of the first mistake, so that what
comes after it can trust its input.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spacy.tokens import Doc, DocBin, SpanGroup
from spacy.vocab import Vocab

from .errors import DweError, Errors
from .files import read_json_lines, require_file
from .images import ImageRef, given_boxes, image_entry, resolve
from .spans import LABEL, key_of, settings_of, spans_of
from .tokens import DOCUMENT_ID, EXTRA, NIL, set_groups

if TYPE_CHECKING:
    from spacy.language import Language

MENTIONS = "dwe_mentions"
"""Key of Doc.user_data: which of the document's mentions its spans are, in order."""

KNOWN_KEYS = ("id", "text", "images", "mentions")
SUFFIXES = (".jsonl", ".jsonl.gz", ".spacy")
"""Endings of the files that `labelled_docs` reads."""


@dataclass(frozen=True, slots=True)
class MentionRecord:
    """A mention: `text[start:end]` of its document, in characters.

    kb_id (str | None): the right entity; None = it is not in the KB (NIL).
    labelled (bool): False = nobody said, and kb_id means nothing.
    groups (tuple[str, ...]): groups that an evaluation reports apart.
    type (str): kind of entity, such as "Person"; "" if nobody said.
    source (Mapping[str, Any]): the JSON object, with keys unknown here.
    """

    start: int
    end: int
    kb_id: str | None = None
    labelled: bool = False
    groups: tuple[str, ...] = ()
    type: str = ""
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
    root = Path(path).parent if image_root is None else image_root
    lines: dict[str, int] = {}
    for number, source in read_json_lines(path):
        try:
            document = _document(source, number, root)
        except _Mistake as mistake:
            raise DweError(
                Errors.E003.format(path=path, line=number, reason=mistake)
            ) from None
        first = lines.setdefault(document.id, number)
        if first != number:
            raise DweError(
                Errors.E101.format(path=path, line=number, id=document.id, first=first)
            )
        yield document


def labelled_docs(
    nlp: "Language", path: Path, image_root: Path | None = None
) -> Iterator[Doc]:
    """Read documents with their labels as kb_id of their entities, or of the group of
    spans that the pipeline's linker reads.

    nlp (Language): gives tokenizer and vocabulary.
    path (Path): documents.jsonl, or a .spacy file that kept its user data.
    image_root (Path | None): where relative pictures start; None = the folder of
        `path`. Those of a .spacy file are not moved.
    YIELDS (Doc): as `make_docs` gives them.
    """
    if path.suffix == ".spacy":
        yield from docbin_docs(path, nlp.vocab)
        return
    for document in read_documents(path, image_root):
        yield from make_docs(nlp, document, with_gold=True)


def docbin_docs(path: Path, vocab: Vocab) -> Iterator[Doc]:
    """YIELDS (Doc): the documents of a .spacy file.
    RAISES (DweError): it is no such file."""
    try:
        doc_bin = DocBin().from_disk(require_file(path))
    except (DweError, OSError):
        raise
    except Exception as error:
        # zlib, msgpack or a missing key, after what the file holds instead.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DweError(
            Errors.E233.format(path=path, what=".spacy file", reason=reason)
        ) from None
    yield from doc_bin.get_docs(vocab)


def documents_by_id(
    path: Path, image_root: Path | None = None, spans_key: str | None = None
) -> dict[str, Document]:
    """The documents that `labelled_docs` gives, as they are.

    path, image_root: as in `labelled_docs`.
    spans_key (str | None): as in `document_objects`.
    RETURNS (dict[str, Document]): by id; documents of a .spacy file without one are
        called "number 1" and so on.
    """
    if path.suffix != ".spacy":
        return {document.id: document for document in read_documents(path, image_root)}
    found: dict[str, Document] = {}
    for number, doc in enumerate(docbin_docs(path, Vocab()), start=1):
        name = str(doc.user_data.get(DOCUMENT_ID, f"number {number}"))
        (record,) = document_objects([doc], spans_key)
        found[name] = _document({**record, "id": name}, number, path.parent)
    return found


def make_docs(
    nlp: "Language",
    document: Document,
    with_gold: bool = False,
    spans_key: str | None = None,
) -> list[Doc]:
    """spaCy's form of a document, not yet processed by any component.

    Tokens are split where a mention starts or ends inside of one, so that mentions keep
    their characters whatever the tokenizer does.

    nlp (Language): gives tokenizer and vocabulary.
    document (Document): the document.
    with_gold (bool): label the entities with their mentions' kb_id, "NIL" for those
        that are not in the KB; unlabelled ones keep "".
    spans_key (str | None): mentions become the group of spans of this name; None =
        that of the pipeline's linker, or entities where it has none.
    RETURNS (list[Doc]): one, or several copies of the text where mentions overlap and
        become entities, which cannot.
    """
    if len(document.text) > nlp.max_length:
        raise DweError(
            Errors.E231.format(
                id=document.id, length=len(document.text), limit=nlp.max_length
            )
        )
    if document.mentions is None:
        return [_add_document(nlp.make_doc(document.text), document)]
    spans_key = key_of(settings_of(nlp)) if spans_key is None else spans_key
    layers = _layers(document.mentions) or [[]]
    if spans_key is not None:
        layers = [list(range(len(document.mentions)))]
    docs = []
    for layer in layers:
        mentions = [document.mentions[index] for index in layer]
        golds = [mention.gold if with_gold else "" for mention in mentions]
        doc = nlp.make_doc(document.text)
        offsets = [_stripped(mention, document.text) for mention in mentions]
        types = [mention.type or LABEL for mention in mentions]
        ents = _entities(doc, offsets, types, golds)
        if None in ents:
            doc = _split(doc, offsets)
            ents = _entities(doc, offsets, types, golds)
        if spans_key is None:
            doc.set_ents(ents)
        else:
            doc.spans[spans_key] = SpanGroup(doc, name=spans_key, spans=ents)
        for ent, mention in zip(ents, mentions):
            if mention.groups:
                set_groups(ent, mention.groups, in_group=spans_key is not None)
        _add_document(doc, document)
        doc.user_data[MENTIONS] = tuple(layer)
        docs.append(doc)
    return docs


def document_objects(
    docs: Iterable[Doc], spans_key: str | None = None
) -> Iterator[dict[str, Any]]:
    """The inverse of `make_docs`: documents as JSON objects, entities as mentions.

    docs (Iterable[Doc]): neighbours with one id and text become one document again.
    spans_key (str | None): the spans of this group are the mentions.
    """
    objects = (_object_of(doc, n, spans_key) for n, doc in enumerate(docs, start=1))
    for _, (first, *others) in groupby(objects, itemgetter("id", "text")):
        for other in others:
            first["mentions"] += other["mentions"]
        yield first


class _Mistake(Exception):
    """What is wrong with a line."""


def _document(source: Any, line: int, root: str | Path) -> Document:
    if not isinstance(source, dict):
        raise _Mistake("a document is an object in {}")
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
    images = resolve(_images(source, str(identifier)), root)
    return Document(str(identifier), text, images, mentions, source)


def _images(source: Mapping[str, Any], identifier: str) -> Iterator[ImageRef]:
    """YIELDS (ImageRef): the pictures of a document, as their file names them."""
    entries = source.get("images")
    if entries is None:
        return
    if not isinstance(entries, list):
        raise _Mistake(f'"images" is a list of strings, not {_shown(entries)}')
    for entry in entries:
        path, boxes = entry, None
        if isinstance(entry, dict):
            path, boxes = entry.get("path"), entry.get("boxes")
        if not (path and isinstance(path, str)):
            raise _Mistake(
                '"images" is a list of strings, or of objects with "path" and "boxes": '
                f"{_shown(entry)} is neither"
            )
        try:
            given = given_boxes(boxes, f"{path} of document {identifier}")
        except DweError as error:
            raise _Mistake(error) from None
        yield ImageRef(path=path, boxes=given)


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
    groups = source.get("groups")
    if groups is not None and not (
        isinstance(groups, list) and all(g and isinstance(g, str) for g in groups)
    ):
        raise _Mistake(f'{name}: "groups" is a list of strings, not {_shown(groups)}')
    kind = source.get("type")
    if not (kind is None or isinstance(kind, str)):
        raise _Mistake(f'{name}: "type" is a string, not {_shown(kind)}')
    labelled, groups = "kb_id" in source, tuple(groups or ())
    return MentionRecord(start, end, kb_id, labelled, groups, kind or "", source)


def _offset(source: Mapping[str, Any], key: str, name: str) -> int:
    offset = source.get(key)
    if isinstance(offset, bool) or not isinstance(offset, int):
        raise _Mistake(f'{name}: "{key}" is a whole number, not {_shown(offset)}')
    return offset


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
    doc: Doc,
    offsets: Sequence[tuple[int, int]],
    types: Sequence[str],
    kb_ids: Sequence[str],
) -> list[Any]:
    """One Span a mention; None where tokens do not end with the mention."""
    return [
        doc.char_span(start, end, label=label, kb_id=kb_id)
        for (start, end), label, kb_id in zip(offsets, types, kb_ids)
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


def _object_of(doc: Doc, number: int, spans_key: str | None) -> dict[str, Any]:
    identifier = str(doc.user_data.get(DOCUMENT_ID, number))
    images = []
    for ref in doc._.images:
        entry = image_entry(ref)
        if entry is None:
            name = f"Document {identifier}"
            raise DweError(Errors.E234.format(doc=name, what="JSONL"))
        images.append(entry)
    mentions = []
    for ent in spans_of(doc, spans_key):
        mention: dict[str, Any] = {"start": ent.start_char, "end": ent.end_char}
        if ent.kb_id_:
            mention["kb_id"] = None if ent.kb_id_ == NIL else ent.kb_id_
        if ent._.link_groups:
            mention["groups"] = list(ent._.link_groups)
        if ent.label_ not in ("", LABEL):
            mention["type"] = ent.label_
        mentions.append(mention)
    extra = dict(doc.user_data.get(EXTRA, {}))
    known = {"id": identifier, "text": doc.text, "mentions": mentions}
    return {**known, **({"images": images} if images else {}), **extra}
