"""`python -m spacy dwe link`: documents in, documents with links out."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import BAR_DELAY, DweError, Errors, Warnings
from .errors import warning_lines
from .options import (
    ChannelsOption,
    ImageRootOption,
    KBOption,
    PipelineArgument,
    load_linking_pipeline,
    parse_channels,
    parse_overrides,
    takes_code,
    tell_features,
)

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc, Span

    from ..documents import Document, MentionRecord

SCORE_DIGITS = 5
UNREADABLE_IMAGE = Warnings.W001.split(maxsplit=1)[0]


@takes_code
def link_cli(
    ctx: typer.Context,
    pipeline: PipelineArgument,
    data: Annotated[Path, typer.Argument(help="Documents (.jsonl, .jsonl.gz)")],
    output: Annotated[Path, typer.Argument(help="Where to write the links (.jsonl)")],
    kb: KBOption = None,
    channels: ChannelsOption = None,
    image_root: ImageRootOption = None,
    top_k: Annotated[
        int | None,
        typer.Option("--top-k", min=1, help="Candidates to write for each mention"),
    ] = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="Documents at a time")
    ] = 256,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Make an unreadable picture an error"),
    ] = False,
) -> None:
    """Link the mentions of documents to a KnowledgeBase.

    A document's own mentions are linked where it has "mentions", those that the
    pipeline's NER finds where it does not. OUTPUT has the documents with a kb_id (null:
    not in the KB), its probability and the ranked candidates for each mention; one that
    is not linked because of its label has none of these, or its own kb_id. OUTPUT is
    complete or not there. Settings of the pipeline are overridden by their dotted name,
    such as --components.dwe_linker.threshold 0.3
    """
    link(
        pipeline,
        data,
        output,
        kb=kb,
        channels=parse_channels(channels),
        image_root=image_root,
        top_k=top_k,
        batch_size=batch_size,
        strict=strict,
        overrides=parse_overrides(ctx.args),
        silent=False,
    )


def link(
    pipeline: str | Path,
    data: Path,
    output: Path,
    *,
    kb: Path | None = None,
    channels: list[str] | None = None,
    image_root: Path | None = None,
    top_k: int | None = None,
    batch_size: int = 256,
    strict: bool = False,
    overrides: dict[str, Any] | None = None,
    silent: bool = True,
) -> Counter[str]:
    """Link a file, see `link_cli`.

    RETURNS (Counter[str]): how many documents, mentions, linked, nil, images and
        unreadable (of the images) there were.
    """
    from spacy.util import minibatch
    from tqdm import tqdm
    from wasabi import Printer

    from ..documents import read_documents
    from ..files import require_file, require_writable, writing_jsonl

    require_file(data)
    require_writable(output, data)
    nlp, linker = load_linking_pipeline(pipeline, kb, channels, overrides)
    if top_k is not None:
        linker.top_k = top_k
    linker.strict_images = linker.strict_images or strict
    counts: Counter[str] = Counter()

    def note(warning: str) -> None:
        counts["unreadable"] += UNREADABLE_IMAGE in warning

    documents = read_documents(data, image_root)
    with (
        writing_jsonl(output) as write,
        tqdm(desc="Linking", unit=" docs", delay=BAR_DELAY, disable=silent) as bar,
        warning_lines(note, silent),
    ):
        for some in minibatch(documents, batch_size):
            for record in linked_records(nlp, some, batch_size, str(pipeline)):
                write(record)
                _count(record, counts)
            bar.update(len(some))
    msg = Printer(no_print=silent, pretty=not silent)
    if not counts["documents"]:
        msg.warn(Warnings.W200.format(path=data))
    tell_features(msg, linker)
    msg.good(f"Wrote {output}", summary(counts, linker.evidence.reads_images))
    return counts


def linked_records(
    nlp: "Language", documents: "list[Document]", batch_size: int, pipeline: str
) -> Iterator[dict[str, Any]]:
    """Documents as JSON objects with links, in order.

    nlp (Language): with a linker that has a KB.
    documents (list[Document]): as many as are linked together.
    batch_size (int): texts that components process together.
    pipeline (str): what an error calls the pipeline.
    """
    from ..documents import make_docs
    from ..spans import mention_finders

    finders = mention_finders(nlp)
    given: list[list[Doc]] = []
    open_ended: list[list[Doc]] = []
    for document in documents:
        if document.mentions is None and not finders:
            raise DweError(Errors.E232.format(id=document.id, pipeline=pipeline))
        docs = make_docs(nlp, document)
        (open_ended if document.mentions is None else given).append(docs)
    # Mentions that came with the document are not overwritten by NER.
    linked_given = _piped(nlp, given, batch_size, finders)
    linked_found = _piped(nlp, open_ended, batch_size, [])
    for document in documents:
        if document.mentions is None:
            (doc,) = next(linked_found)
            mentions = [_found(span) | link for span, link in _links(nlp, doc)]
        else:
            mentions = _given(nlp, document.mentions, next(linked_given))
        yield {**document.source, "id": document.id, "mentions": mentions}


def summary(counts: Counter[str], reads_images: bool) -> str:
    """The counts in words.

    counts (Counter[str]): what `link` returns.
    reads_images (bool): whether the linker looked at pictures at all.
    """
    parts = [
        f"{counts['documents']:,} documents",
        f"{counts['mentions']:,} mentions",
        f"{counts['linked']:,} linked",
        f"{counts['nil']:,} NIL",
    ]
    if counts["images"]:
        read = f"{counts['unreadable']:,} of them unreadable"
        parts.append(
            f"{counts['images']:,} images, {read if reads_images else 'not looked at'}"
        )
    return ", ".join(parts)


def _piped(
    nlp: "Language",
    groups: "list[list[Doc]]",
    batch_size: int,
    disable: list[str],
) -> "Iterator[list[Doc]]":
    docs = nlp.pipe(
        (doc for group in groups for doc in group),
        batch_size=batch_size,
        disable=disable,
    )
    for group in groups:
        yield list(islice(docs, len(group)))


def _given(
    nlp: "Language", mentions: "tuple[MentionRecord, ...]", docs: "list[Doc]"
) -> list[dict[str, Any]]:
    from ..documents import MENTIONS

    links: dict[int, dict[str, Any]] = {}
    for doc in docs:
        found = _links(nlp, doc)
        for index, (_, link) in zip(doc.user_data[MENTIONS], found, strict=True):
            links[index] = link
    return [{**mention.source, **links[i]} for i, mention in enumerate(mentions)]


def _links(nlp: "Language", doc: "Doc") -> "list[tuple[Span, dict[str, Any]]]":
    """The mentions of a document and their links, empty where none was looked for."""
    from ..spans import linkers_of, numbered_spans, spans_of

    linkers = linkers_of(nlp)
    key = linkers[0].settings.spans_key
    attributes = dict.fromkeys(each.settings.candidates_attr for each in linkers)
    linked = {
        number
        for each in linkers
        if each.settings.spans_key == key
        for number, _ in numbered_spans(doc, each.settings)
    }
    return [
        (span, _link(span, list(attributes)) if number in linked else {})
        for number, span in enumerate(spans_of(doc, key))
    ]


def _found(span: "Span") -> dict[str, Any]:
    return {"start": span.start_char, "end": span.end_char, "label": span.label_}


def _link(span: "Span", attributes: list[str]) -> dict[str, Any]:
    from ..tokens import NIL

    kb_id = span.kb_id_ if span.kb_id_ not in ("", NIL) else None
    candidates = [each for name in attributes for each in span._.get(name)]
    chosen = (round(c.probability, SCORE_DIGITS) for c in candidates if c.id == kb_id)
    return {
        "kb_id": kb_id,
        "probability": next(chosen, None),
        "candidates": [
            {
                "id": candidate.id,
                "title": candidate.title,
                "probability": round(candidate.probability, SCORE_DIGITS),
                "scores": {
                    channel: round(score, SCORE_DIGITS)
                    for channel, score in candidate.scores.items()
                },
                "found_by": list(candidate.found_by),
                "linker": candidate.linker,
            }
            for candidate in candidates
        ],
    }


def _count(record: dict[str, Any], counts: Counter[str]) -> None:
    looked_at = [each for each in record["mentions"] if "probability" in each]
    linked = sum(mention["kb_id"] is not None for mention in looked_at)
    counts["documents"] += 1
    counts["mentions"] += len(looked_at)
    counts["linked"] += linked
    counts["nil"] += len(looked_at) - linked
    counts["images"] += len(record.get("images") or ())
