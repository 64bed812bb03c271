"""`python -m spacy dwe kb …`: build a KnowledgeBase, look into it, change it."""

import json
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import BAR_DELAY, DweError, Errors
from .errors import clear_errors, warning_lines
from .kb_change import (
    add_cli,
    encode_cli,
    merge_cli,
    rebuild_cli,
    remove_cli,
    update_cli,
)
from .kb_pictures import PictureChoice, fetch_pictures_cli, takes_pictures
from .kb_tables import csv_cli, import_cli, import_spacy_cli
from .kb_wiki import wikidata_cli, wikipedia_cli
from .options import (
    EntitiesArgument,
    EntitiesOut,
    ImageRootOption,
    KBArgument,
    OverwriteOption,
    takes_encoders,
)

if TYPE_CHECKING:
    from ..kb.knowledge_base import DweKnowledgeBase

kb_cli = typer.Typer(
    name="kb",
    help="Build KnowledgeBases, look into them and change them",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

_SHOWN = ("path", "bytes", "version", "entities", "names", "descriptions", "priors")
_DESCRIPTION_WIDTH = 60
_SEARCHED = 100
"""Entities, at least, among which the best are looked for, as the linker does."""


@clear_errors
@takes_encoders
@takes_pictures
def build_cli(
    entities: EntitiesArgument,
    out: Annotated[Path, typer.Argument(help="Folder of the new KnowledgeBase")],
    image_root: ImageRootOption = None,
    descriptions: Annotated[
        str,
        typer.Option(
            help="How much of them to keep: full, first-sentence, title (the title "
            "stands in their place) or none (entities get no vector of their text)"
        ),
    ] = "full",
    overwrite: OverwriteOption = False,
    *,
    pictures: PictureChoice,
    encoders: dict[str, Any],
) -> None:
    """Build a KnowledgeBase from a file of entities.

    Only "id" and "title" are required of an entity; "description", "aliases" (each a
    string or {"alias", "prior"}), "prior", "images" and "url" make linking better.
    Without encoders the name, prior and facts channels work. The KnowledgeBase appears
    when it is complete; OUT is never half written. Vectors are made once: a build that
    was stopped, or is made again with --overwrite, encodes what is new.
    """
    from wasabi import Printer

    from ..building.build import build_kb, check_output
    from ..kb.entity import count_lines

    root = entities.parent if image_root is None else image_root
    check_output(out, overwrite)  # Before pictures are fetched.
    with warning_lines(), pictures.read(entities, out, root) as read:
        kb = build_kb(
            read,
            out,
            encoders=encoders,
            image_root=root,
            descriptions=descriptions,
            overwrite=overwrite,
            total=count_lines(entities),
            show_progress=True,
        )
    Printer().good(f"{kb.path}: {len(kb):,} entities, {kb.meta['names']:,} names")


@clear_errors
def info_cli(
    path: KBArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Show what a KnowledgeBase holds and which encoders made its vectors."""
    from wasabi import Printer, table

    from ..kb.entity import META_KEY, kept_by
    from ..kb.knowledge_base import DweKnowledgeBase

    kb = DweKnowledgeBase(path)
    size = sum(file.stat().st_size for file in kb.path.rglob("*") if file.is_file())
    info = {"path": str(kb.path), "bytes": size, **kb.meta}
    if as_json:
        typer.echo(json.dumps(info, indent=2, ensure_ascii=False))
        return
    shown = {key: _cell(info[key]) for key in _SHOWN}
    shown[META_KEY.replace("_", " ")] = kept_by(kb.meta)
    if removed := kb.n_rows - len(kb):
        shown["removed rows"] = f"{removed:,} (`kb rebuild` drops them)"
    Printer().table(shown)
    if kb.vector_sets:
        rows = [
            (
                *(str(name), f"{len(v.array):,}", v.dim),
                "whitened" if v.standard else "as encoded",
                *(_encoder(v.spec), v.fingerprint),
            )
            for name, v in kb.vector_sets.items()
        ]
        header = (
            *("vector set", "vectors", "width", "compared"),
            *("encoder", "fingerprint"),
        )
        typer.echo(table(rows, header=header, divider=True))


@clear_errors
def search_cli(
    path: KBArgument,
    query: Annotated[list[str], typer.Argument(help="A name; several words are one")],
    n: Annotated[int, typer.Option("-n", min=1, help="Entities to show")] = 10,
) -> None:
    """Find entities by name: equal, partial or misspelt, best match first."""
    from wasabi import Printer, table

    from ..kb.knowledge_base import DweKnowledgeBase

    kb = DweKnowledgeBase(path)
    rows = _ranked(kb, " ".join(query), n)
    if not rows:
        Printer().warn(f"Nothing in {kb.path} resembles {' '.join(query)!r}")
        return
    header = ("id", "title", "match", "found by", "prior", "description")
    typer.echo(table(rows, header=header, divider=True))


@clear_errors
def export_cli(
    path: KBArgument,
    out: EntitiesOut,
) -> None:
    """Write the entities of a KnowledgeBase back to a file, without loss."""
    from tqdm import tqdm
    from wasabi import Printer

    from ..kb.entity import write_entities
    from ..kb.knowledge_base import DweKnowledgeBase

    kb = DweKnowledgeBase(path)
    write_entities(out, tqdm(kb, total=len(kb), unit=" entities", delay=BAR_DELAY))
    Printer().good(f"Wrote {len(kb):,} entities to {out}")


@clear_errors
def verify_cli(path: KBArgument) -> None:
    """Read all of a KnowledgeBase and look for damage.

    Exit status 1 if there is any, a line each.
    """
    from wasabi import Printer

    from ..kb.verify import kb_problems

    n_problems = 0
    for problem in kb_problems(path, show_progress=True):
        n_problems += 1
        typer.echo(problem)
    if n_problems:
        raise DweError(Errors.E182.format(path=path, n=n_problems))
    Printer().good(f"{path} is sound")


def _ranked(kb: "DweKnowledgeBase", name: str, n: int) -> list[tuple[str, ...]]:
    """RETURNS (list[tuple[str, ...]]): cells of the best n, in the linker's order."""
    from ..channels.name import name_columns
    from ..kb.candidates import found_by_names

    candidates = kb.search([name], max(n, _SEARCHED)).head(n)
    match = name_columns(kb.lexicon, [name], candidates)[:, 0]
    priors = kb.priors([name], candidates)
    titles = kb.titles(candidates.rows)
    return [
        (
            titles[i][0],
            titles[i][1],
            f"{match[i]:.2f}",
            ", ".join(found_by_names(int(candidates.found_by[i]))),
            "" if priors[i] != priors[i] else f"{priors[i]:.3g}",
            shorten(titles[i][2], _DESCRIPTION_WIDTH, placeholder=" …"),
        )
        for i in range(len(titles))
    ]


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _encoder(spec: dict[str, Any]) -> str:
    name = str(spec.get("model") or spec.get("name") or spec.get("@misc"))
    weights = spec.get("pretrained") or spec.get("weights")
    return f"{name} ({weights})" if weights else name


for name, command in (
    ("build", build_cli),
    ("info", info_cli),
    ("search", search_cli),
    ("add", add_cli),
    ("update", update_cli),
    ("remove", remove_cli),
    ("merge", merge_cli),
    ("encode", encode_cli),
    ("rebuild", rebuild_cli),
    ("verify", verify_cli),
    ("export", export_cli),
    ("wikipedia", wikipedia_cli),
    ("wikidata", wikidata_cli),
    ("fetch-pictures", fetch_pictures_cli),
    ("csv", csv_cli),
    ("import", import_cli),
    ("import-spacy", import_spacy_cli),
):
    kb_cli.command(name, no_args_is_help=True)(command)
