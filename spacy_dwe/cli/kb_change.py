"""`python -m spacy dwe kb add|update|remove|merge|encode|rebuild`: a KB that lives."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from ..errors import DweError, Errors
from .errors import clear_errors, warning_lines
from .kb_pictures import PictureChoice, takes_pictures
from .options import EntitiesArgument, ImageRootOption, KBArgument, takes_encoders

if TYPE_CHECKING:
    from ..building.update import Changes, Conflict


@clear_errors
@takes_encoders
@takes_pictures
def add_cli(
    path: KBArgument,
    entities: EntitiesArgument,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave entities that are there as they are")
    ] = False,
    image_root: ImageRootOption = None,
    *,
    pictures: PictureChoice,
    encoders: dict[str, Any],
    device: str,
) -> None:
    """Add entities to a KnowledgeBase.

    An id that is there already stops the command, and nothing is changed. The KB can
    be read all the while; readers see the new entities when they open it again. The
    encoders are those that the KB remembers: name them only if they have moved.
    """
    conflict: Conflict = "keep" if keep else "error"
    _add(path, entities, conflict, encoders, image_root, pictures, device)


@clear_errors
@takes_encoders
@takes_pictures
def update_cli(
    path: KBArgument,
    entities: EntitiesArgument,
    image_root: ImageRootOption = None,
    *,
    pictures: PictureChoice,
    encoders: dict[str, Any],
    device: str,
) -> None:
    """Replace entities of a KnowledgeBase, and add those that it has not.

    Each entity of the file replaces the one with its id as a whole. Only entities whose
    text or pictures are new are encoded.
    """
    _add(path, entities, "replace", encoders, image_root, pictures, device)


@clear_errors
def remove_cli(
    path: KBArgument,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID...", help="Ids of entities")
    ] = None,
    from_file: Annotated[
        Path | None, typer.Option("--from", help="File with an id a line")
    ] = None,
) -> None:
    """Remove entities from a KnowledgeBase by id."""
    from ..building.update import remove_entities
    from ..files import read_lines

    names = list(ids or [])
    if from_file is not None:
        names += [name for _, name in read_lines(from_file)]
    if not names:
        raise DweError(Errors.E180)
    _tell(path, remove_entities(path, names))


@clear_errors
@takes_encoders
def merge_cli(
    path: KBArgument,
    others: Annotated[
        list[Path], typer.Argument(metavar="OTHER...", help="KnowledgeBases to add")
    ],
    on_conflict: Annotated[
        str,
        typer.Option(help="Where both have an id: error, keep (KB's own) or replace"),
    ] = "error",
    image_root: ImageRootOption = None,
    *,
    encoders: dict[str, Any],
    device: str,
) -> None:
    """Add the entities of other KnowledgeBases to one. Vectors of the same encoder are
    taken over."""
    from ..building.update import Conflict, merge_kbs

    choices = get_args(Conflict)
    if on_conflict not in choices:
        what, known = "--on-conflict", ", ".join(choices)
        raise DweError(Errors.E413.format(what=what, value=on_conflict, choices=known))
    with warning_lines():
        changes = merge_kbs(
            path,
            others,
            on_conflict=cast("Conflict", on_conflict),
            encoders=encoders,
            image_root=image_root,
            device=device,
            show_progress=True,
        )
    _tell(path, changes)


@clear_errors
@takes_encoders
def encode_cli(
    path: KBArgument,
    image_root: ImageRootOption = None,
    *,
    encoders: dict[str, Any],
) -> None:
    """Give a KnowledgeBase vectors, or replace those of another encoder.

    It can be stopped at any time: the same command continues where it was.
    """
    from wasabi import Printer

    from ..building.update import encode_kb
    from ..kb.knowledge_base import DweKnowledgeBase

    if not encoders:
        raise DweError(Errors.E181)
    with warning_lines():
        encode_kb(path, encoders=encoders, image_root=image_root, show_progress=True)
    for name, vectors in DweKnowledgeBase(path).vector_sets.items():
        Printer().good(f"{name}: {len(vectors.array):,} vectors of {vectors.dim}")


@clear_errors
@takes_encoders
def rebuild_cli(
    path: KBArgument,
    encode_again: Annotated[
        bool, typer.Option("--encode-again", help="Trust no vector that is there")
    ] = False,
    no_vectors: Annotated[
        bool, typer.Option("--no-vectors", help="Go without vectors")
    ] = False,
    image_root: ImageRootOption = None,
    *,
    encoders: dict[str, Any],
    device: str,
) -> None:
    """Make the indexes and vectors of a KnowledgeBase again from its entities.

    It repairs a KB whose database is whole, brings one of an earlier version up to
    date, drops what removed entities left behind, and keeps the vectors that are
    sound.
    """
    from wasabi import Printer

    from ..building.update import rebuild_kb

    with warning_lines():
        kb = rebuild_kb(
            path,
            encoders=encoders,
            image_root=image_root,
            device=device,
            vectors="drop" if no_vectors else "encode" if encode_again else "reuse",
            show_progress=True,
        )
    Printer().good(f"{kb.path}: {len(kb):,} entities, {kb.meta['names']:,} names")


def _add(
    path: Path,
    entities: Path,
    on_conflict: "Conflict",
    encoders: dict[str, Any],
    image_root: Path | None,
    pictures: PictureChoice,
    device: str,
) -> None:
    from ..building.update import add_entities
    from ..kb.entity import count_lines
    from ..kb.knowledge_base import DweKnowledgeBase

    root = entities.parent if image_root is None else image_root
    if pictures.fetch_urls:
        DweKnowledgeBase(path)  # Before pictures are fetched.
    with warning_lines(), pictures.read(entities, path, root) as read:
        changes = add_entities(
            path,
            read,
            on_conflict=on_conflict,
            encoders=encoders,
            image_root=root,
            device=device,
            total=count_lines(entities),
            show_progress=True,
        )
    _tell(path, changes)


def _tell(path: Path, changes: "Changes") -> None:
    from dataclasses import asdict

    from wasabi import Printer

    done = [f"{n:,} {what}" for what, n in asdict(changes).items() if n]
    Printer().good(f"{path}: {', '.join(done) or 'nothing to do'}")
