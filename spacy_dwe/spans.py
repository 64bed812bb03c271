"""Which spans of a Doc are linked: its entities or a group of its spans, by label."""

from typing import TYPE_CHECKING, Any

from spacy.tokens import Doc, Span

from .settings import FACTORY, LinkerSettings

if TYPE_CHECKING:
    from spacy.language import Language

LABEL = "ENTITY"
"""Label of spans that are made from mentions without a type of their own."""


def spans_of(doc: Doc, key: str | None) -> list[Span]:
    """RETURNS (list[Span]): the entities, or the group `doc.spans[key]`, in order."""
    if key is None:
        return list(doc.ents)
    return list(doc.spans[key]) if key in doc.spans else []


def key_of(settings: LinkerSettings | None) -> str | None:
    """RETURNS (str | None): the group that a linker reads, None = the entities."""
    return None if settings is None else settings.spans_key


def numbered_spans(
    doc: Doc, settings: LinkerSettings | None = None
) -> list[tuple[int, Span]]:
    """The spans that are mentions to a linker.

    doc (Doc): the document.
    settings (LinkerSettings | None): of the linker; None = all entities.
    RETURNS (list[tuple[int, Span]]): place among the entities or in the group, and the
        span. One without tokens is no mention.
    """
    spans = spans_of(doc, key_of(settings))
    return [
        (number, span)
        for number, span in enumerate(spans)
        if len(span) and (settings is None or _links(settings, span))
    ]


def linked_spans(doc: Doc, settings: LinkerSettings | None = None) -> list[Span]:
    """RETURNS (list[Span]): those of `numbered_spans`."""
    return [span for _, span in numbered_spans(doc, settings)]


def set_kb_id(span: Span, number: int, kb_id: str, key: str | None) -> None:
    """Write the id of an entity where it can be read again.

    span (Span): of `numbered_spans`.
    number (int): its place there.
    kb_id (str): the id.
    key (str | None): the group; None = the entities.
    """
    if key is None:
        for token in span:
            token.ent_kb_id_ = kb_id
        return
    # Spans that a group gives are copies: the one in it is replaced.
    span.doc.spans[key][number] = Span(
        span.doc, span.start, span.end, span.label, kb_id=kb_id, span_id=span.id
    )


def linkers_of(nlp: "Language") -> list[Any]:
    """RETURNS (list[DweLinker]): the pipeline's linkers, in order."""
    names = [n for n in nlp.pipe_names if nlp.get_pipe_meta(n).factory == FACTORY]
    return [nlp.get_pipe(name) for name in names]


def settings_of(nlp: "Language") -> LinkerSettings | None:
    """RETURNS (LinkerSettings | None): of the pipeline's first linker."""
    settings: list[LinkerSettings] = [each.settings for each in linkers_of(nlp)]
    return settings[0] if settings else None


def mention_finders(nlp: "Language") -> list[str]:
    """RETURNS (list[str]): components that set what the pipeline's linker reads."""
    read = "doc.ents" if key_of(settings_of(nlp)) is None else "doc.spans"
    return [n for n in nlp.pipe_names if read in nlp.get_pipe_meta(n).assigns]


def _links(settings: LinkerSettings, span: Span) -> bool:
    keep, discard = settings.labels_keep, settings.labels_discard
    if not keep and not discard:
        return True
    label = span.label_
    kept = not keep or label in keep or label in ("", LABEL)
    return kept and label not in discard
