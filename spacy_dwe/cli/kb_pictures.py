"""`python -m spacy dwe kb fetch-pictures`, and the options of commands that fetch the
pictures of entities themselves."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DweError, Errors
from .errors import clear_errors, warning_lines
from .options import EntitiesArgument, EntitiesOut, ImageRootOption, with_options

if TYPE_CHECKING:
    from ..kb.entity import Entity

ContactOption = Annotated[
    str | None,
    typer.Option(
        "--contact",
        envvar="DWE_CONTACT",
        help="Your e-mail address or URL; Wikimedia's policy demands one",
    ),
]
RetriesOption = Annotated[
    int,
    typer.Option(
        "--retries",
        min=0,
        help="How often a request that fails is tried again; 2 at most for a host "
        "that never answered",
    ),
]
FetchUrlsOption = Annotated[
    bool,
    typer.Option(
        "--fetch-urls",
        help="Fetch pictures that are URLs, as `kb fetch-pictures` does; else they "
        "are left out with a warning",
    ),
]
PicturesOption = Annotated[
    Path | None,
    typer.Option(
        "--pictures", help="Folder for fetched pictures [default: KB.pictures]"
    ),
]


@clear_errors
def fetch_pictures_cli(
    entities: EntitiesArgument,
    out: EntitiesOut,
    contact: ContactOption = None,
    folder: Annotated[
        Path | None, typer.Option(help="For the pictures [default: OUT.pictures]")
    ] = None,
    image_root: ImageRootOption = None,
    width: Annotated[
        int,
        typer.Option(
            min=0,
            help="Of pictures from Wikimedia, in pixels; the next of 250, 330, 500, "
            "960, 1280 … is taken; 0 = the originals",
        ),
    ] = 500,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Ask again for what the folder has")
    ] = False,
    rate: Annotated[
        float, typer.Option(min=0.01, help="Requests a second and host, at most")
    ] = 5.0,
    retries: RetriesOption = 5,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for a picture")] = 60,
    api_url: Annotated[
        str, typer.Option(hidden=True, help="Of Wikimedia's wikis; {lang} is the host")
    ] = "https://{lang}/w/api.php",
) -> None:
    """Fetch the pictures that entities name by URL, so that a KB can be built of OUT
    without a network.

    Files of Wikimedia, as `kb wikidata` and `kb wikipedia` name them, come as
    thumbnails, with author and licence in OUT ("picture_sources"); for them give your
    e-mail address or URL by --contact or DWE_CONTACT. All else is fetched as it is.

    What was fetched is not fetched again: a run that was stopped goes on where it was.
    Pictures that cannot be had are counted by reason, and listed in OUT.failed.jsonl.
    """
    from wasabi import Printer

    from ..sources.patience import Manners
    from ..sources.pictures import fetch_pictures, picture_folder

    manners = Manners(contact, rate=rate, retries=retries, timeout=timeout)
    folder = folder or picture_folder(out)
    with warning_lines(), _kept_in(folder):
        counts = fetch_pictures(
            entities,
            out,
            folder=folder,
            image_root=image_root,
            manners=manners,
            width=width,
            refresh=refresh,
            api_url=api_url,
            show_progress=True,
        )
    there = counts.named - counts.left_out.total()
    Printer().good(
        f"{out}: {counts.entities:,} entities, {there:,} pictures in {folder}, "
        f"{counts.fetched:,} of them fetched now"
    )


@dataclass(frozen=True, slots=True)
class PictureChoice:
    """Whether a command fetches the pictures of entities.

    fetch_urls (bool): it does.
    contact (str | None): who asks for them.
    folder (Path | None): where they are kept; None = beside the KB.
    """

    fetch_urls: bool
    contact: str | None
    folder: Path | None

    @contextmanager
    def read(
        self, entities: Path, kb: Path, image_root: Path
    ) -> "Iterator[Iterator[Entity]]":
        """YIELDS (Iterator[Entity]): the entities of a file, their pictures fetched."""
        from ..kb.entity import read_entities

        if not self.fetch_urls:
            if self.folder is not None:
                option, needed = "--pictures", "--fetch-urls"
                raise DweError(Errors.E420.format(option=option, needed=needed))
            yield read_entities(entities)
            return
        from ..sources.patience import Manners
        from ..sources.pictures import failures_path, fetched_pictures, picture_folder

        folder = self.folder or picture_folder(kb)
        with (
            _kept_in(folder),
            fetched_pictures(
                functools.partial(read_entities, entities),
                folder,
                listed=failures_path(kb),
                image_root=image_root,
                base=image_root,
                manners=Manners(self.contact),
                show_progress=True,
            ) as fetched,
        ):
            yield fetched.entities()


def takes_pictures(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command that reads entities: it gets the options of `PictureChoice`,
    and its argument is `pictures`."""

    options = {
        "fetch_urls": (FetchUrlsOption, False),
        "contact": (ContactOption, None),
        "pictures": (PicturesOption, None),
    }

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        chosen = [kwargs.pop(name) for name in options]
        return command(*args, pictures=PictureChoice(*chosen), **kwargs)

    return with_options(run, command, (), **options)


def next_step(entities: Path) -> str:
    """RETURNS (str): how to go on with entities whose pictures are URLs."""
    pictured = entities.with_name(f"pictured-{entities.name}")
    command = f"python -m spacy dwe kb fetch-pictures {entities} {pictured}"
    return f"Pictures are URLs. To fetch them:\n{command} --contact you@example.org"


@contextmanager
def _kept_in(folder: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"\nPictures are kept in {folder}: run again to go on", err=True)
        raise
