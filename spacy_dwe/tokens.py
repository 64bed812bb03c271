"""What spaCy-dwe adds to Doc and Span, and how it survives serialisation.

doc._.images         tuple[ImageRef, ...]; set it to paths, bytes or PIL images
span._.images        the same for one mention: the document's, unless set; () is none
span._.kb_candidates tuple[KBCandidate, ...], best first, written by the linker
span._.link_groups   tuple[str, ...], groups an evaluation reports apart

Values are always tuples, so that `.append`, which could not be seen, fails loudly.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import srsly
from spacy.tokens import Doc, Span

from .images import ImageRef, image_refs

CODEC = "spacy-dwe"
IMAGE_KEY = "__dwe_image__"
CANDIDATE_KEY = "__dwe_candidate__"

# spaCy's own form of key, so that Doc.from_docs moves a span's values with the span.
IMAGES = "_dwe_images"
CANDIDATES = "_dwe_kb_candidates"
GROUPS = "_dwe_link_groups"
DOCUMENT_ID = "dwe_document_id"

Chain = Callable[[Any], Any] | None


@dataclass(frozen=True, slots=True)
class KBCandidate:
    """One entity that a mention may mean.

    id, title, description (str): of the entity in the KnowledgeBase.
    probability (float): over the candidates and NIL.
    scores (dict[str, float]): what each scoring channel contributed to the logit.
    """

    id: str
    title: str
    description: str
    probability: float
    scores: dict[str, float] = field(default_factory=dict, hash=False)


def document_name(doc: Doc) -> str:
    """What messages call a document: the id it came with, else its first words."""
    identifier = doc.user_data.get(DOCUMENT_ID)
    if identifier is not None:
        return f"document {identifier}"
    text = " ".join(doc.text[:60].split())
    return f'document "{text[:40]}…"' if len(text) > 40 else f'document "{text}"'


def register_extensions() -> None:
    """Add the extension attributes and codecs. Calling it again changes nothing."""
    Doc.set_extension("images", getter=_doc_images, setter=_set_doc_images, force=True)
    Span.set_extension(
        "images", getter=_span_images, setter=_set_span_images, force=True
    )
    Span.set_extension(
        "kb_candidates", getter=_candidates, setter=_set_candidates, force=True
    )
    Span.set_extension("link_groups", getter=_groups, setter=_set_groups, force=True)
    srsly.msgpack_encoders.register(CODEC, func=encode_msgpack)
    srsly.msgpack_decoders.register(CODEC, func=decode_msgpack)


def encode_msgpack(obj: Any, chain: Chain = None) -> Any:
    """srsly's encoder hook: ImageRef and KBCandidate to plain data."""
    if isinstance(obj, ImageRef):
        return {IMAGE_KEY: [obj.path, obj.data, obj.sha256]}
    if isinstance(obj, KBCandidate):
        scores = {name: float(score) for name, score in obj.scores.items()}
        values = [obj.id, obj.title, obj.description, float(obj.probability), scores]
        return {CANDIDATE_KEY: values}
    return obj if chain is None else chain(obj)


def decode_msgpack(obj: Any, chain: Chain = None) -> Any:
    """srsly's decoder hook: the inverse of `encode_msgpack`."""
    if IMAGE_KEY in obj:
        return ImageRef(*obj[IMAGE_KEY])
    if CANDIDATE_KEY in obj:
        return KBCandidate(*obj[CANDIDATE_KEY])
    return obj if chain is None else chain(obj)


def _doc_key(name: str) -> Any:
    # Any, because spaCy's stubs say that the keys of user_data are strings.
    return ("._.", name, None, None)


def _span_key(span: Span, name: str) -> Any:
    return ("._.", name, span.start_char, span.end_char)


def _doc_images(doc: Doc) -> tuple[ImageRef, ...]:
    return tuple(doc.user_data.get(_doc_key(IMAGES), ()))


def _set_doc_images(doc: Doc, value: Any) -> None:
    doc.user_data[_doc_key(IMAGES)] = image_refs(value)


def _span_images(span: Span) -> tuple[ImageRef, ...]:
    own = span.doc.user_data.get(_span_key(span, IMAGES))
    return _doc_images(span.doc) if own is None else tuple(own)


def _set_span_images(span: Span, value: Any) -> None:
    key = _span_key(span, IMAGES)
    if value is None:
        span.doc.user_data.pop(key, None)
    else:
        span.doc.user_data[key] = image_refs(value)


def _candidates(span: Span) -> tuple[KBCandidate, ...]:
    return tuple(span.doc.user_data.get(_span_key(span, CANDIDATES), ()))


def _set_candidates(span: Span, value: Any) -> None:
    span.doc.user_data[_span_key(span, CANDIDATES)] = tuple(value or ())


def _groups(span: Span) -> tuple[str, ...]:
    return tuple(span.doc.user_data.get(_span_key(span, GROUPS), ()))


def _set_groups(span: Span, value: Any) -> None:
    span.doc.user_data[_span_key(span, GROUPS)] = tuple(value or ())


register_extensions()
