"""`python -m spacy dwe kb …`: build a KnowledgeBase and look into it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from ..errors import DweError, Errors
from .errors import clear_errors, warning_lines

if TYPE_CHECKING:
    from ..kb.knowledge_base import DweKnowledgeBase

kb_cli = typer.Typer(
    name="kb",
    help="Build a KnowledgeBase and look into it",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

_LOCAL_DIR = "local-dir:"
_DESCRIPTION_WIDTH = 60
_SEARCHED = 100
"""Entities, at least, among which the best are looked for, as the linker does."""


@kb_cli.command("build", no_args_is_help=True)
@clear_errors
def build_cli(
    entities: Annotated[
        Path,
        typer.Argument(help="Entities, one JSON object a line (.jsonl, .jsonl.gz)"),
    ],
    out: Annotated[Path, typer.Argument(help="Folder of the new KnowledgeBase")],
    text_encoder: Annotated[
        str | None,
        typer.Option(
            "--text-encoder",
            help="Sentence encoder for descriptions: folder, or name on the hub",
        ),
    ] = None,
    clip: Annotated[
        str | None,
        typer.Option(
            "--clip",
            help="CLIP model for descriptions and pictures: open_clip's name for it, "
            "or local-dir:PATH",
        ),
    ] = None,
    clip_weights: Annotated[
        str | None,
        typer.Option("--clip-weights", help="open_clip's pretrained tag, or a file"),
    ] = None,
    image_root: Annotated[
        Path | None,
        typer.Option(
            "--image-root",
            help="Where relative pictures start; else beside the entities",
        ),
    ] = None,
    device: Annotated[
        str, typer.Option("--device", help="auto, cpu, cuda, cuda:1")
    ] = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the KnowledgeBase at OUT")
    ] = False,
) -> None:
    """Build a KnowledgeBase from a file of entities.

    Only "id" and "title" are required of an entity; "description", "aliases" (each a
    string or {"alias", "prior"}), "prior", "images" and "url" make linking better.
    Without encoders the name, prior and facts channels work. The KnowledgeBase appears
    when it is complete; OUT is never half written.
    """
    from wasabi import Printer

    from ..encoders.registry import clip_encoder
    from ..encoders.registry import text_encoder as make_text_encoder
    from ..kb.build import build_kb
    from ..kb.io import count_lines, read_entities

    text = None
    if text_encoder is not None:
        text = make_text_encoder(_absolute(text_encoder), device=device)
    both = None
    if clip is not None:
        weights = _absolute(clip_weights) if clip_weights else None
        both = clip_encoder(_absolute_model(clip), weights, device=device)
    elif clip_weights:
        raise DweError(Errors.E420.format(option="--clip-weights", needed="--clip"))
    with warning_lines():
        kb = build_kb(
            read_entities(entities),
            out,
            text_encoder=text,
            clip=both,
            image_root=entities.parent if image_root is None else image_root,
            overwrite=overwrite,
            total=count_lines(entities),
            show_progress=True,
        )
    Printer().good(f"{kb.path}: {len(kb):,} entities, {kb.meta['names']:,} names")


@kb_cli.command("info", no_args_is_help=True)
@clear_errors
def info_cli(
    path: Annotated[Path, typer.Argument(help="Folder of the KnowledgeBase")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Show what a KnowledgeBase holds and which encoders made its vectors."""
    from wasabi import Printer, table

    from ..kb.knowledge_base import DweKnowledgeBase

    kb = DweKnowledgeBase(path)
    if as_json:
        typer.echo(json.dumps(_info(kb), indent=2, ensure_ascii=False))
        return
    info = _info(kb)
    vectors = info.pop("vectors")
    Printer().table({key: _cell(value) for key, value in info.items()})
    if vectors:
        rows = [
            (name, v["count"], v["dim"], _encoder(v["spec"]), v["fingerprint"])
            for name, v in vectors.items()
        ]
        header = ("vectors", "entities", "width", "encoder", "fingerprint")
        typer.echo(table(rows, header=header, divider=True))


@kb_cli.command("search", no_args_is_help=True)
@clear_errors
def search_cli(
    path: Annotated[Path, typer.Argument(help="Folder of the KnowledgeBase")],
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
    header = ("id", "title", "match", "prior", "description")
    typer.echo(table(rows, header=header, divider=True))


def _ranked(kb: "DweKnowledgeBase", name: str, n: int) -> list[tuple[str, ...]]:
    """RETURNS (list[tuple[str, ...]]): cells of the best n, by n-gram cosine."""
    candidates = kb.search([name], max(n, _SEARCHED))
    features = kb.name_features([name], candidates)
    match = features[:, 0]
    exact = features[:, 1]
    priors = kb.priors([name], candidates)
    order = np.lexsort((kb.sort_keys(candidates.rows), -match.round(5), -exact))
    titles = kb.titles(candidates.rows)
    return [
        (
            titles[i][0],
            titles[i][1],
            f"{match[i]:.2f}",
            "" if priors[i] != priors[i] else f"{priors[i]:.3g}",
            _shortened(titles[i][2]),
        )
        for i in order[:n].tolist()
    ]


def _info(kb: "DweKnowledgeBase") -> dict[str, Any]:
    size = sum(file.stat().st_size for file in kb.path.rglob("*") if file.is_file())
    return {"path": str(kb.path), "bytes": size, **kb.meta}


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _encoder(spec: dict[str, Any]) -> str:
    name = str(spec.get("model") or spec.get("name") or spec.get("@misc"))
    weights = spec.get("pretrained")
    return f"{name} ({weights})" if weights else name


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    if len(line) <= _DESCRIPTION_WIDTH:
        return line
    return line[: _DESCRIPTION_WIDTH - 1] + "…"


def _absolute(name: str) -> str:
    """The KB remembers its encoders: a path must hold from any folder. What names no
    file is a model's name."""
    path = Path(name).expanduser()
    return str(path.absolute()) if path.exists() else name


def _absolute_model(name: str) -> str:
    """As `_absolute`, for open_clip's names of models."""
    if not name.startswith(_LOCAL_DIR):
        return name
    return _LOCAL_DIR + _absolute(name.removeprefix(_LOCAL_DIR))
