"""Pictures that entities name by URL, fetched into a folder: politely, once, and with
what is known of their authors and licences."""

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..errors import BAR_DELAY, DweError, Errors, Warnings
from ..files import replacing, require_writable, writing_jsonl
from ..images import ImageRef
from ..kb.entity import Entity, read_entities, write_entities
from .commons import (
    WIKIMEDIA_API,
    WikiFile,
    ask_for_files,
    is_wikimedia,
    thumbnail_width,
    wiki_file,
)
from .downloads import Downloads, site_of
from .mediawiki import MediaWiki
from .patience import Manners, NoAnswer, check_contact
from .picture_index import PictureIndex

IMAGE_WIDTH = 500
"""Pixels; one of the widths that Wikimedia keeps ready, and enough for CLIP."""
SOURCES_KEY = "picture_sources"
"""Of an entity: where each fetched picture is from, and whose it is."""

_TOLD = ("page", "licence", "licence_url", "author", "credit")
_REASONS = 5
"""Kinds of failures that a summary names."""


@dataclass
class PictureCounts:
    """What became of the pictures that entities name by URL.

    entities (int): all of them, with and without pictures.
    named (int): pictures by URL, counted with each entity.
    fetched (int): different ones that this run fetched.
    left_out (Counter): by reason.
    examples (dict[str, str]): one of each reason.
    """

    entities: int = 0
    named: int = 0
    fetched: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)


def fetch_pictures(
    entities: str | Path,
    out: str | Path,
    *,
    folder: str | Path | None = None,
    image_root: str | Path | None = None,
    manners: Manners | None = None,
    width: int = IMAGE_WIDTH,
    refresh: bool = False,
    api_url: str = WIKIMEDIA_API,
    show_progress: bool = False,
) -> PictureCounts:
    """Write entities whose pictures are files, so that a KB can be built of them
    without a network. Those that cannot be had are told by one warning, and listed in
    a file beside the output. A run that was stopped goes on where it was.

    entities (str | Path): entities.jsonl, or .jsonl.gz.
    out (str | Path): the entities to write; paths of pictures are relative to it.
    folder (str | Path | None): for the pictures; None = `picture_folder(out)`.
    image_root (str | Path | None): where relative paths of pictures that are files
        start; None = beside `entities`.
    manners (Manners | None): how servers are asked. Wikimedia's want a contact.
    width (int): of pictures from Wikimedia, in pixels; the next of
        `commons.THUMBNAIL_WIDTHS` is taken. Smaller pictures are taken as they are; 0 =
        all are.
    refresh (bool): ask again for what the folder has.
    api_url (str): of Wikimedia's wikis; `{lang}` is the host.
    show_progress (bool): show progress bars on stderr.
    RETURNS (PictureCounts): what became of the pictures.
    RAISES (DweError): Wikimedia is to be asked without a contact, or does not answer
        any more. What was fetched is kept.
    """
    entities, out = Path(entities), Path(out)
    require_writable(out, entities)
    with fetched_pictures(
        partial(read_entities, entities),
        folder or picture_folder(out),
        listed=failures_path(out),
        image_root=entities.parent if image_root is None else image_root,
        base=out.parent,
        manners=manners,
        width=width,
        refresh=refresh,
        api_url=api_url,
        show_progress=show_progress,
    ) as fetched:
        write_entities(out, fetched.entities())
        return fetched.counts


@contextmanager
def fetched_pictures(
    entities: Callable[[], Iterable[Entity]],
    folder: str | Path,
    *,
    listed: Path,
    image_root: str | Path,
    base: Path,
    manners: Manners | None = None,
    width: int = IMAGE_WIDTH,
    refresh: bool = False,
    api_url: str = WIKIMEDIA_API,
    show_progress: bool = False,
) -> Iterator["FetchedPictures"]:
    """Fetch the pictures of entities; the arguments are those of `fetch_pictures`.

    entities (Callable): gives them; called twice.
    listed (Path): the list of pictures that cannot be had.
    base (Path): where relative paths of pictures start in what comes out.
    YIELDS (FetchedPictures): gives the entities. When the block ends, a warning tells
        what is left out.
    """
    manners = manners or Manners()
    with PictureIndex(Path(folder), thumbnail_width(width)) as index:
        index.want(_wanted(entities()), refresh)
        _ask_wikis(index, manners, api_url, show_progress)
        index.want_pictures_of_files(refresh)
        n_fetched = _download(index, manners, show_progress)
        fetched = FetchedPictures(entities, index, Path(image_root), base, listed)
        fetched.counts.fetched = n_fetched
        yield fetched
        fetched.warn()


def picture_folder(out: Path) -> Path:
    """RETURNS (Path): where pictures are kept unless the user says otherwise."""
    return out.with_name(out.name + ".pictures")


def failures_path(out: Path) -> Path:
    """RETURNS (Path): the list of pictures that could not be had, and why."""
    return out.with_name(out.name + ".failed.jsonl")


class FetchedPictures:
    """Entities whose pictures were fetched.

    source (Callable): gives the entities as they were.
    index (PictureIndex): of the pictures.
    root (Path): where relative paths in the source start.
    base (Path): where those of the entities given start.
    listed (Path): what is left out is listed there.
    """

    def __init__(
        self,
        source: Callable[[], Iterable[Entity]],
        index: PictureIndex,
        root: Path,
        base: Path,
        listed: Path,
    ) -> None:
        self.source, self.index, self.listed = source, index, listed
        self.root, self.base = root.resolve(), base.resolve()
        self.counts = PictureCounts()

    def entities(self) -> Iterator[Entity]:
        """YIELDS (Entity): in the order of the source, one by one."""
        self.counts = replace(PictureCounts(), fetched=self.counts.fetched)
        with writing_jsonl(self.listed) as write:
            for entity in self.source():
                self.counts.entities += 1
                yield self._pictured(entity, write)
        if not self.counts.left_out:
            self.listed.unlink()

    def warn(self) -> None:
        counts, left_out = self.counts, self.counts.left_out
        if not left_out:
            return
        common = left_out.most_common(_REASONS)
        reasons = [f"{n:,} × {why} ({counts.examples[why]})" for why, n in common]
        if further := left_out.total() - sum(n for _, n in common):
            reasons.append(f"{further:,} for other reasons")
        message = Warnings.W270.format(
            n=left_out.total(),
            of=counts.named,
            reasons="; ".join(reasons),
            path=self.listed,
        )
        warnings.warn(message, stacklevel=4)

    def _pictured(
        self, entity: Entity, write: Callable[[Mapping[str, Any]], None]
    ) -> Entity:
        images, sources = [], self._earlier_sources(entity)
        for image in dict.fromkeys(entity.images):
            wanted = _by_url(image)
            if wanted is None:
                images.append(self._moved(image))
                continue
            self.counts.named += 1
            known = self._known(wanted)
            if "file" not in known:
                self._leave_out(entity, image, known["reason"])
                write({"id": entity.id, "image": image, "reason": known["reason"]})
                continue
            path = self._path(self.index.folder.resolve() / known["file"])
            images.append(path)
            told = {key: known[key] for key in _TOLD if key in known}
            sources.append({"path": path, "url": image, **told})
        if not sources:
            return replace(entity, images=tuple(images))
        return replace(
            entity,
            images=tuple(dict.fromkeys(images)),
            extra={**entity.extra, SOURCES_KEY: sources},
        )

    def _earlier_sources(self, entity: Entity) -> list[Any]:
        """RETURNS (list[Any]): what an earlier run told of pictures that are files."""
        sources = entity.extra.get(SOURCES_KEY)
        return [
            {**source, "path": self._moved(source["path"])}
            if isinstance(source, dict) and isinstance(source.get("path"), str)
            else source
            for source in (sources if isinstance(sources, list) else ())
        ]

    def _known(self, wanted: WikiFile | str) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): the "file" of a picture and what is told of it, or
        the "reason" why there is none."""
        described: dict[str, Any] = {"url": wanted}
        if isinstance(wanted, WikiFile):
            silent = {"reason": f"{wanted.wiki} gave no answer"}
            described = self.index.file(wanted) or silent
        if "url" not in described:
            return described
        silent = {"reason": f"{site_of(described['url'])} gave no answer"}
        return described | (self.index.picture(described["url"]) or silent)

    def _moved(self, image: str) -> str:
        """RETURNS (str): a picture that is a file, as the entities given name it."""
        if self.root == self.base or Path(image).is_absolute():
            return image
        return self._path(self.root / image)

    def _path(self, path: Path) -> str:
        """RETURNS (str): a path from where those of the entities given start."""
        try:
            return Path(os.path.relpath(path, self.base)).as_posix()
        except ValueError:  # on another drive
            return path.as_posix()

    def _leave_out(self, entity: Entity, image: str, reason: str) -> None:
        kind, name = reason.partition(" (")[0], ImageRef(path=image).name
        self.counts.left_out[kind] += 1
        self.counts.examples.setdefault(kind, f"such as {name} of {entity.id}")


def _wanted(entities: Iterable[Entity]) -> Iterator[WikiFile | str]:
    for entity in entities:
        for image in entity.images:
            if (wanted := _by_url(image)) is not None:
                yield wanted


def _by_url(image: str) -> WikiFile | str | None:
    """RETURNS (WikiFile | str | None): what to fetch of a picture; None of a file."""
    return wiki_file(image) or (image if ImageRef(path=image).is_url else None)


def _ask_wikis(
    index: PictureIndex, manners: Manners, api_url: str, show_progress: bool
) -> None:
    """Ask for the files that wikis were not asked for."""
    total = index.n_to_ask()
    if not total:
        return
    wikis = MediaWiki(
        manners.contact or "",
        api_url=api_url,
        rate=manners.rate,
        retries=manners.retries,
        timeout=manners.timeout,
    )
    silent: set[str] = set()
    with wikis, _bar(total, "files", "Asking for licences", show_progress) as bar:
        wikis.patience.on_wait = _tells(bar)
        for wiki, names in index.batches_to_ask():
            bar.update(len(names))
            if wiki in silent:
                continue
            try:
                answers = ask_for_files(wikis, wiki, names, index.width)
            except NoAnswer as error:
                silent.add(wiki)
                if silent >= set(index.wikis_to_ask()):
                    text = Errors.E270.format(**vars(error), folder=index.folder)
                    raise DweError(text) from None
            else:
                index.put_files(wiki, answers)


def _download(index: PictureIndex, manners: Manners, show_progress: bool) -> int:
    """RETURNS (int): pictures that were fetched."""
    sites = index.sites()
    if any(map(is_wikimedia, sites)):
        check_contact(manners.contact or "")
    last = dict.fromkeys(sites, 0)
    n_fetched = 0

    def next_url(site: str) -> str | None:
        row = index.next_of(site, last[site])
        if row is None:
            return None
        last[site], url = row
        return url

    total = sum(sites.values())
    with _bar(total, "pictures", "Fetching pictures", show_progress) as bar:
        downloads = Downloads(manners, _tells(bar)).run(sites, next_url)
        with closing(downloads):
            for got in downloads:
                bar.update()
                if got.reason:
                    answer = {"reason": got.reason, "may_pass": got.may_pass}
                else:
                    _store(index.folder / got.name, got.data)
                    n_fetched += 1
                    answer = {"file": got.name}
                index.put_picture(got.url, answer)
    return n_fetched


def _store(path: Path, data: bytes) -> None:
    if not path.is_file():
        with replacing(path) as temporary:
            temporary.write_bytes(data)


def _bar(total: int, unit: str, what: str, show_progress: bool) -> tqdm:
    return tqdm(
        total=total,
        unit=f" {unit}",
        desc=what,
        delay=BAR_DELAY,
        smoothing=0.02,
        disable=not show_progress,
    )


def _tells(bar: tqdm) -> Callable[[str, float], None]:
    return lambda reason, seconds: bar.set_postfix_str(
        f"waiting {seconds:.0f} s: {reason}"
    )
