"""Entities from Wikipedia by a list of titles: asked for politely, kept on disk."""

import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import DweError, Errors, Warnings
from ..files import require_writable, writing
from ..kb.entity import Entity, write_entities
from .mediawiki import MediaWiki
from .patience import Manners
from .pictures import IMAGE_WIDTH, failures_path, fetched_pictures
from .wikipedia_pages import (
    AskedTitle,
    entity_id,
    is_disambiguation,
    make_entity,
    picture_url,
    read_titles,
)
from .wikipedia_requests import PageCache, TitleRequests, follow

_LONGEST_DOWNLOAD = 300.0

Page = tuple[str, int]
"""A page's language and id."""


@dataclass
class TitleCounts:
    """What became of the titles: each gave an entity, repeated one, or is left out.

    titles (int): asked for.
    entities (int): written.
    redirected (int): titles that a redirect led to their page.
    repeated (int): titles of an entity that an earlier one gave.
    left_out (Counter): by kind: missing, invalid, disambiguation, other.
    described (int): entities with a description.
    pictured (int): entities with a picture.
    requests (int): sent.
    """

    titles: int = 0
    entities: int = 0
    redirected: int = 0
    repeated: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    described: int = 0
    pictured: int = 0
    requests: int = 0


def fetch_wikipedia(
    titles: str | Path,
    out: str | Path,
    wiki: MediaWiki,
    *,
    language: str = "en",
    cache: str | Path | None = None,
    refresh: bool = False,
    image_width: int = IMAGE_WIDTH,
    download_images: str | Path | None = None,
    keep_disambiguation: bool = False,
    show_progress: bool = False,
) -> TitleCounts:
    """Write the entities that Wikipedia's pages of some titles are about. Titles
    without one are told by warnings, and listed in a file beside the output.

    titles (str | Path): a title or a page's address a line; see `read_titles`.
    out (str | Path): entities.jsonl, or .jsonl.gz.
    wiki (MediaWiki): is asked.
    language (str): of titles that do not say theirs.
    cache (str | Path | None): where answers are kept, so that nothing is asked twice;
        None = `cache_path(out)`.
    refresh (bool): ask again for what the cache has.
    image_width (int): of the pictures, in pixels; 0 = the originals.
    download_images (str | Path | None): a folder for the pictures; None = entities have
        their URLs.
    keep_disambiguation (bool): take disambiguation pages for entities.
    show_progress (bool): show progress bars on stderr.
    RETURNS (TitleCounts): what became of the titles.
    RAISES (DweError): the wiki does not answer any more. What it said is kept.
    """
    out = Path(out)
    asked = read_titles(titles, language)
    require_writable(out, titles)
    source = f"{wiki.api_url} width={image_width}"
    with PageCache(cache or cache_path(out), source) as answers:
        if refresh:
            answers.forget([link for a in asked for link, _ in follow(answers, a)])
        requests = TitleRequests(wiki, answers, language, show_progress)
        requests.ask_for(asked, image_width)
        found = _Found(Path(titles), answers, keep_disambiguation)
        for title in asked:
            found.add(title)
        _write_left_out(left_out_path(out), found.left_out)
        if not found.entities:
            raise DweError(
                Errors.E125.format(
                    path=titles, count=len(asked), listed=left_out_path(out)
                )
            )
        counts = found.counts
        if download_images is None:
            write_entities(out, _counted(found.make(), counts))
        else:
            with fetched_pictures(
                found.make,
                download_images,
                listed=failures_path(out),
                image_root=out.parent,
                base=out.parent,
                manners=_of_pictures(wiki),
                width=image_width,
                refresh=refresh,
                show_progress=show_progress,
            ) as fetched:
                write_entities(out, _counted(fetched.entities(), counts))
    counts.requests = wiki.patience.n_requests
    return counts


def cache_path(out: Path) -> Path:
    """RETURNS (Path): where answers are kept unless the user says otherwise."""
    return out.with_name(out.name + ".cache")


def left_out_path(out: Path) -> Path:
    """RETURNS (Path): the list of titles without an entity: line, title, reason."""
    return out.with_name(out.name + ".left-out.tsv")


class _Found:
    """The entities of titles, in the order of the titles."""

    def __init__(self, path: Path, cache: PageCache, keep_disambiguation: bool) -> None:
        self.path, self.cache = path, cache
        self.keep_disambiguation = keep_disambiguation
        self.counts = TitleCounts()
        self.entities: dict[str, dict[Page, None]] = {}
        self.names: dict[str, list[str]] = {}
        self.left_out: list[tuple[AskedTitle, str]] = []
        self._ids: dict[Page, str] = {}

    def add(self, asked: AskedTitle) -> None:
        self.counts.titles += 1
        if asked.problem:
            self._leave_out(asked, "invalid", asked.problem)
            return
        (language, title), answer = list(follow(self.cache, asked))[-1]
        if answer is None or "language" in answer:
            self._leave_out(asked, "other", "it leads from wiki to wiki")
        elif "left_out" in answer:
            self._leave_out(asked, answer["left_out"], answer["reason"])
        else:
            self._add_page(asked, title, (language, answer["page"]), answer["redirect"])

    def _add_page(
        self, asked: AskedTitle, title: str, page: Page, redirect: bool
    ) -> None:
        if page not in self._ids:
            described = self.cache.page(*page)
            if described["ns"] != 0:
                reason = f"{described['title']!r} is no article"
                self._leave_out(asked, "other", reason)
                return
            if is_disambiguation(described) and not self.keep_disambiguation:
                self._leave_out(asked, "disambiguation", "a disambiguation page")
                return
            self._ids[page] = entity_id(page[0], described)
        id_ = self._ids[page]
        if id_ in self.entities:
            self.counts.repeated += 1
        self.entities.setdefault(id_, {})[page] = None
        if redirect:
            self.counts.redirected += 1
            self.names.setdefault(id_, []).append(title)

    def make(self) -> Iterator[Entity]:
        """YIELDS (Entity): those of the titles; their pictures are URLs."""
        for id_, members in self.entities.items():
            pages = [(page[0], self.cache.page(*page)) for page in members]
            url = picture_url(pages[0][1])
            yield make_entity(pages, self.names.get(id_, ()), [url] if url else [])

    def _leave_out(self, asked: AskedTitle, kind: str, reason: str) -> None:
        self.counts.left_out[kind] += 1
        self.left_out.append((asked, reason))
        warnings.warn(
            Warnings.W120.format(
                path=self.path, line=asked.line, title=asked.text, reason=reason
            ),
            stacklevel=2,
        )


def _of_pictures(wiki: MediaWiki) -> Manners:
    """RETURNS (Manners): a wiki in one's own network may have its pictures there, and
    pictures take longer than answers."""
    manners = wiki.manners
    return replace(
        manners,
        timeout=max(manners.timeout, _LONGEST_DOWNLOAD),
        allow_private=wiki.is_private() or None,
    )


def _counted(entities: Iterator[Entity], counts: TitleCounts) -> Iterator[Entity]:
    for entity in entities:
        counts.entities += 1
        counts.described += bool(entity.description)
        counts.pictured += bool(entity.images)
        yield entity


def _write_left_out(path: Path, left_out: list[tuple[AskedTitle, str]]) -> None:
    if not left_out:
        path.unlink(missing_ok=True)
        return
    with writing(path) as file:
        for asked, reason in left_out:
            cells = (str(asked.line), asked.text, reason)
            file.write("\t".join(" ".join(cell.split()) for cell in cells) + "\n")
