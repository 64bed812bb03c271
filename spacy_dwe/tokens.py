"""What spaCy-dwe adds to Doc and Span, and how it survives serialisation.

doc._.images         tuple[ImageRef, ...]; set it to paths, bytes, PIL images, or
                     {"path": …, "boxes": […]}
span._.images        the same for one mention: the document's, unless set; () is none
span._.kb_candidates tuple[KBCandidate, ...], best first, written by linkers; under
                     another name where `candidates_attr` gives one
span._.link_groups   tuple[str, ...], groups an evaluation reports apart

Values are always tuples, so that `.append`, which could not be seen, fails loudly.
"""

from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import Any

from spacy.tokens import Doc, Span

from .errors import DweError, Errors
from .images import ImageRef, image_refs
from .links import KBCandidate

# spaCy's own form of key, so that Doc.from_docs moves a span's values with the span.
IMAGES = "_dwe_images"
CANDIDATES = "_dwe_{}"
LINK = "_dwe.link"
GROUPS = "_dwe_link_groups"
DOCUMENT_ID = "dwe_document_id"
EXTRA = "dwe_extra"
"""Keys of a document of documents.jsonl that this package does not know."""

NIL = "NIL"
"""`kb_id_` of an entity that the KB does not hold; spaCy's own constant."""


def document_name(doc: Doc) -> str:
    """What messages call a document: the id it came with, else its first words."""
    identifier = doc.user_data.get(DOCUMENT_ID)
    if identifier is not None:
        return f"document {identifier}"
    text = " ".join(doc.text[:60].split())
    return f'document "{text[:40]}…"' if len(text) > 40 else f'document "{text}"'


def images_at(doc: Doc, start: int, end: int) -> tuple[ImageRef, ...]:
    """RETURNS (tuple[ImageRef, ...]): pictures of the mention between two character
    offsets, whether or not they are a span of this Doc's tokens."""
    own = doc.user_data.get(_key(IMAGES, start, end))
    return _doc_images(doc) if own is None else tuple(own)


def has_own_images(doc: Doc, start: int, end: int) -> bool:
    """RETURNS (bool): whether `images_at` gives pictures of the mention alone."""
    return doc.user_data.get(_key(IMAGES, start, end)) is not None


def has_images(doc: Doc) -> bool:
    """RETURNS (bool): whether anyone set pictures, of the document or of a mention."""
    return bool(_image_keys(doc))


def replace_images(doc: Doc, source: Doc | None) -> None:
    """Give a document the pictures of another, of its mentions too, or none at all."""
    for key in _image_keys(doc):
        del doc.user_data[key]
    if source is not None:
        for key in _image_keys(source):
            doc.user_data[key] = source.user_data[key]


def attribute_at(name: str, start: int, end: int, *docs: Doc | None) -> Any:
    """What users set under a name of their own: `_.name` of a Span, or else of its Doc,
    or what documents.jsonl has under that key.

    start, end (int): character offsets of the Span.
    docs (Doc | None): where to look for what was set, in this order; getters and
        defaults are those of the first.
    RETURNS (Any): lists as tuples, so that it can be compared; None for nothing.
    RAISES (DweError): it is neither text, number nor a list of these.
    """
    for doc in docs:
        if doc is None:
            continue
        said = doc.user_data.get(_key(name, start, end))
        if said is None:
            said = doc.user_data.get(_key(name))
        if said is None:
            said = doc.user_data.get(EXTRA, {}).get(name)
        if said is not None:
            return _comparable(said, name, doc)
    own = docs[0]
    assert own is not None
    span = own.char_span(start, end, alignment_mode="expand")
    holders: list[Any] = [own] if span is None else [span, own]
    for holder in holders:
        if holder.has_extension(name):
            default, _, getter, _ = holder.get_extension(name)
            return _comparable(getter(holder) if getter else default, name, own)
    return None


def register_extensions() -> None:
    """Add the extension attributes. Calling it again changes nothing."""
    Doc.set_extension("images", getter=_doc_images, setter=_set_doc_images, force=True)
    Span.set_extension(
        "images", getter=_span_images, setter=_set_span_images, force=True
    )
    if not Span.has_extension("kb_candidates"):
        register_candidates("kb_candidates")
    Span.set_extension("link_groups", getter=_groups, setter=_set_groups, force=True)


def register_candidates(name: str) -> None:
    """Add an extension attribute that candidates are kept under, as a linker does that
    has another `candidates_attr`. Calling it again changes nothing.

    RAISES (DweError): it is registered as something else.
    """
    if Span.has_extension(name):
        getter = Span.get_extension(name)[2]
        if getattr(getter, "func", None) is not _candidates:
            raise DweError(Errors.E532.format(name=name))
        return
    key = CANDIDATES.format(name)
    Span.set_extension(
        name, getter=partial(_candidates, key), setter=partial(_set, key)
    )


def add_candidates(
    span: Span,
    candidates: Sequence[KBCandidate],
    *,
    attribute: str,
    linker: str,
    in_group: bool,
) -> None:
    """Keep candidates of a linker beside those of others, in place of its own and of
    those that nobody signed.

    in_group (bool): the span is of a group: others of the same characters, with other
        labels, have their own candidates.
    """
    key = _span_key(span, CANDIDATES.format(attribute), in_group)
    before = span.doc.user_data.get(key, ())
    others = tuple(each for each in before if each.linker not in ("", linker))
    span.doc.user_data[key] = _best_first(others, tuple(candidates))


def sign_link(
    span: Span, kb_id: str, *, linker: str, in_group: bool, overwrite: bool
) -> bool:
    """Whether a linker may write an id, or "NIL", on a span; if so, it is noted that it
    did: a linker takes its own link back where it finds NIL now, and nobody else's.
    """
    key, data = _span_key(span, LINK, in_group), span.doc.user_data
    before = span.kb_id_
    if before not in ("", NIL):
        is_own = tuple(data.get(key, ())) == (linker, before)
        if not overwrite or (kb_id == NIL and not is_own):
            return False
    data.pop(key, None)
    if kb_id != NIL:
        data[key] = (linker, kb_id)
    return True


def set_groups(span: Span, groups: Sequence[str], *, in_group: bool) -> None:
    """Set `link_groups`; `in_group` as in `add_candidates`."""
    span.doc.user_data[_span_key(span, GROUPS, in_group)] = tuple(groups)


def _comparable(value: Any, name: str, doc: Doc) -> Any:
    value = _tuples(value)
    try:
        hash(value)
    except TypeError:
        message = Errors.E526.format(name=name, doc=document_name(doc))
        raise DweError(message) from None
    return value


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, (list, tuple)) else value


def _key(name: str, start: int | None = None, end: int | None = None) -> Any:
    # Any, because spaCy's stubs say that the keys of user_data are strings.
    return ("._.", name, start, end)


def _image_keys(doc: Doc) -> list[Any]:
    keys = [key for key in doc.user_data if isinstance(key, tuple)]
    return [key for key in keys if key[:2] == ("._.", IMAGES)]


def _span_key(span: Span, name: str, in_group: bool = False) -> Any:
    if in_group:
        name = f"{name}:{span.label_}"
    return _key(name, span.start_char, span.end_char)


def _doc_images(doc: Doc) -> tuple[ImageRef, ...]:
    return tuple(doc.user_data.get(_key(IMAGES), ()))


def _set_doc_images(doc: Doc, value: Any) -> None:
    doc.user_data[_key(IMAGES)] = image_refs(value, document_name(doc))


def _span_images(span: Span) -> tuple[ImageRef, ...]:
    return images_at(span.doc, span.start_char, span.end_char)


def _set_span_images(span: Span, value: Any) -> None:
    key = _span_key(span, IMAGES)
    if value is None:
        span.doc.user_data.pop(key, None)
    else:
        span.doc.user_data[key] = image_refs(value, document_name(span.doc))


def _said(span: Span, name: str) -> list[tuple[Any, ...]]:
    """What was set for its characters, and what for its label in a group."""
    keys = (_span_key(span, name, in_group) for in_group in (False, True))
    data = span.doc.user_data
    return [tuple(data[key]) for key in keys if data.get(key)]


def _set(name: str, span: Span, value: Any) -> None:
    data, key = span.doc.user_data, _span_key(span, name)
    if (of_label := _span_key(span, name, in_group=True)) in data:
        data.pop(key, None)
        key = of_label
    data[key] = tuple(value or ())


def _candidates(name: str, span: Span) -> tuple[KBCandidate, ...]:
    return _best_first(*_said(span, name))


def _best_first(*parts: tuple[KBCandidate, ...]) -> tuple[KBCandidate, ...]:
    """Those of several linkers by probability; each of them has its own in order."""
    several = [part for part in parts if part]
    if len(several) < 2:
        return several[0] if several else ()
    return tuple(sorted(chain(*several), key=lambda each: -each.probability))


def _groups(span: Span) -> tuple[str, ...]:
    said = _said(span, GROUPS)
    return said[-1] if said else ()


def _set_groups(span: Span, value: Any) -> None:
    _set(GROUPS, span, value)


register_extensions()
