"""Mentions as the linker sees them: a name, its context and its pictures."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spacy.tokens import Doc, Span

from ..spans import linked_spans
from ..tokens import attribute_at, document_name, has_own_images, images_at

if TYPE_CHECKING:
    from ..encoders.protocol import MentionText
    from ..images import ImageRef
    from ..settings import LinkerSettings

WINDOW = 48
"""Tokens of context on either side where a document has no sentence boundaries."""


@dataclass(frozen=True, slots=True)
class Mention:
    """One mention of a batch of documents. Mentions are equal where all that evidence
    can read of them is, wherever they stand.

    doc (int): position of its document in the batch.
    doc_name (str): how messages call the document.
    start, end (int): character offsets in the document.
    text (str): the mention.
    context (str): the sentence it stands in, or a window of tokens without one.
    context_start (int): character offset of the mention in its context.
    images (tuple[ImageRef, ...]): its own pictures, else its document's.
    owns_images (bool): whether they are its own.
    sharing (tuple[str, ...]): texts of the mentions that compete for its document's
        pictures, its own among them; empty where nobody else does.
    attributes (tuple): name, value and its `repr` of the custom attributes that
        channels read: 1 and True are equal, but not the same.
    """

    doc: int = field(compare=False)
    doc_name: str = field(compare=False)
    start: int = field(compare=False)
    end: int = field(compare=False)
    text: str
    context: str
    context_start: int
    images: "tuple[ImageRef, ...]"
    attributes: tuple[tuple[str, Any, str], ...] = ()
    owns_images: bool = False
    sharing: tuple[str, ...] = ()

    @property
    def in_context(self) -> "MentionText":
        """RETURNS (MentionText): what a text encoder reads."""
        from ..encoders.protocol import MentionText

        return MentionText(
            self.context, self.context_start, self.context_start + len(self.text)
        )


def mentions_of(
    docs: Sequence[Doc],
    attributes: Sequence[str] = (),
    settings: "LinkerSettings | None" = None,
) -> list[Mention]:
    """RETURNS (list[Mention]): the linked spans of all documents, in order."""
    return [
        mention
        for index, doc in enumerate(docs)
        for mention in mentions_in(
            doc, index, linked_spans(doc, settings), attributes=attributes
        )
    ]


def mentions_in(
    doc: Doc,
    index: int,
    spans: Iterable[Span],
    pictured: Doc | None = None,
    *,
    attributes: Sequence[str] = (),
    labelled: Doc | None = None,
) -> list[Mention]:
    """Mentions of one document.

    doc (Doc): gives text and sentence boundaries.
    index (int): position of the document in its batch.
    spans (Iterable[Span]): mentions; may belong to another Doc of the same text.
    pictured (Doc | None): gives the pictures, if not `doc`.
    attributes (Sequence[str]): custom attributes to read.
    labelled (Doc | None): gives those that `doc` lacks, as predicted documents are made
        from text alone in training.
    RETURNS (list[Mention]): one a span.
    """
    name, text = document_name(doc), doc.text
    pictured = doc if pictured is None else pictured
    has_sentences = doc.has_annotation("SENT_START")
    spans = list(spans)
    sharing = _sharing(pictured, spans)
    mentions = []
    for span in spans:
        start, end = span.start_char, span.end_char
        here = span
        if span.doc is not doc:
            here = doc.char_span(start, end, alignment_mode="expand") or span
        context_start, context = _context(here, text, has_sentences)
        images = images_at(pictured, start, end)
        owns_images = has_own_images(pictured, start, end)
        mentions.append(
            Mention(
                doc=index,
                doc_name=name,
                start=start,
                end=end,
                text=span.text,
                context=context,
                context_start=start - context_start,
                images=images,
                owns_images=owns_images,
                sharing=sharing if images and not owns_images else (),
                attributes=tuple(
                    (each, value, repr(value))
                    for each in attributes
                    for value in [attribute_at(each, start, end, doc, labelled)]
                ),
            )
        )
    return mentions


def _sharing(pictured: Doc, spans: Sequence[Span]) -> tuple[str, ...]:
    """RETURNS (tuple[str, ...]): distinct texts of those without pictures of their own;
    none where there is one alone."""
    texts = {
        span.text
        for span in spans
        if not has_own_images(pictured, span.start_char, span.end_char)
    }
    return tuple(sorted(texts)) if len(texts) > 1 else ()


def _context(span: Span, text: str, has_sentences: bool) -> tuple[int, str]:
    """text (str): of the document.
    RETURNS (tuple[int, str]): character offset of the context, and its text.
    """
    doc = span.doc
    if has_sentences:
        first, last = span[0].sent.start, span[-1].sent.end
    else:
        first = max(0, span.start - WINDOW)
        last = min(len(doc), span.end + WINDOW)
    start, end = doc[first].idx, doc[last - 1].idx + len(doc[last - 1])
    return start, text[start:end]
