"""`python -m spacy dwe sample …`: make the bundled sample and its tiny CLIP."""

from pathlib import Path
from typing import Annotated

import typer

from .errors import clear_errors

sample_cli = typer.Typer(
    name="sample",
    help="Make the bundled sample and its tiny CLIP",
    no_args_is_help=True,
    add_completion=False,
)

COLUMNS = "documents", "mentions", "pictures", "undecidable", "decidable"

PlacesFile = Annotated[
    Path, typer.Argument(help="The places, one JSON object a line: places.jsonl")
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of all that is drawn")]


@sample_cli.command("places", no_args_is_help=True)
@clear_errors
def places_cli(
    places: PlacesFile,
    out: Annotated[Path, typer.Argument(help="Folder of the sample to be")],
    seed: Seed = 0,
    scale: Annotated[
        float,
        typer.Option("--scale", min=0.01, max=1.0, help="Share of the sentences"),
    ] = 1.0,
) -> None:
    """
    Write the "places" sample: entities, sentences, photographs of drawn flags, and the
    controls with pictures permuted and swapped. An earlier sample in OUT is replaced.
    """
    from wasabi import msg

    from ..datasets.places.build import build_places

    account = build_places(places, out, seed, scale)
    entities = account.pop("entities")
    msg.good(
        f"{entities['entities']} places, {entities['ambiguous_names']} shared names, "
        f"{entities['unseen']} unseen places, {entities['pictures']} with a picture"
    )
    others = sorted({group for counts in account.values() for group in counts})
    columns = [*COLUMNS, *(group for group in others if group not in COLUMNS)]
    rows = [
        (stem, *(counts[column] for column in columns))
        for stem, counts in account.items()
    ]
    aligns = ("l", *("r" for _ in columns))
    msg.table(rows, header=("", *columns), divider=True, aligns=aligns)
    msg.info(f"Written to {out}")


@sample_cli.command("clip", no_args_is_help=True)
@clear_errors
def clip_cli(
    places: PlacesFile,
    out: Annotated[Path, typer.Argument(help="Folder of the model to be")],
    config: Annotated[
        Path, typer.Option("--config", "-c", help="The model's shape and training")
    ],
    steps: Annotated[
        int, typer.Option("--steps", min=1, help="Length of the training")
    ] = 200,
    pairs: Annotated[
        float | None,
        typer.Option(
            "--pairs",
            min=0.0,
            help='Weight of pairs such as "red cross" [default: the config\'s]',
        ),
    ] = None,
    seed: Seed = 0,
    device: Annotated[
        str, typer.Option("--device", help="auto, cpu, cuda, …")
    ] = "auto",
) -> None:
    """
    Train a tiny CLIP on drawn flags and words for them, never on an unseen place's.
    OUT is then a model for `--clip local-dir:OUT`.
    """
    from wasabi import msg

    from ..datasets.places.clip import train_tiny_clip

    train_tiny_clip(
        places,
        out,
        config=config,
        steps=steps,
        pairs=pairs,
        seed=seed,
        device=device,
    )
    msg.good(f"Use it as local-dir:{out}")
