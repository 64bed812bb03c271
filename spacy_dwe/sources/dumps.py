"""Entities of dumps of Wikidata and Wikipedia: stages read the dumps into a database of
their work, and what it then knows of an item makes an entity."""

import glob
import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from ..errors import BAR_DELAY, DweError, Errors, Warnings
from ..files import require_file, require_writable
from ..kb.entity import Alias, Entity, write_entities
from ..names.normalisation import normalise
from .anchors import LinkJoiner, bare_title
from .dump_files import Stage, Work, head
from .page_dumps import CirrusReader, PageReader, XmlReader, is_cirrus_dump, is_xml_dump
from .wikidata import ItemChoice, ItemReader
from .wikitext import require_parser

StageCounts = list[tuple[str, dict[str, int]]]
"""What each stage met: the stage's name, and its counts by their names."""

_BATCH = 20_000
"""Lines or pages between two commits: some seconds of work, some 100 MB of memory."""


@dataclass(frozen=True, slots=True)
class NameChoice:
    """Which anchors become aliases, and which counts become priors.

    min_count (int): links by which a name is known for an entity.
    min_prior (float): share of a name's links that lead to the entity.
    """

    min_count: int = 2
    min_prior: float = 0.001


def convert_dumps(
    wikidata: str | Path,
    out: str | Path,
    *,
    wikipedia: Sequence[str | Path] = (),
    items: ItemChoice | None = None,
    names: NameChoice | None = None,
    description_chars: int = 1000,
    batch: int = _BATCH,
    on_message: Callable[[str], None] | None = None,
    show_progress: bool = False,
) -> StageCounts:
    """Make entities.jsonl of dumps. What is done is kept in a database beside the
    output, OUT.work, until the output is complete: the same call goes on where another
    was stopped, however it was.

    wikidata (str | Path): a JSON dump, plain or packed.
    out (str | Path): entities.jsonl, packed if its name ends in .gz.
    wikipedia (Sequence[str | Path]): XML or CirrusSearch dumps of Wikipedias. An
        entity's description is taken from the first that has it.
    items (ItemChoice | None): which items become entities; None for the defaults.
    names (NameChoice | None): which anchors become aliases; None for the defaults.
    description_chars (int): length of a description from Wikipedia, at most.
    batch (int): lines or pages between two commits.
    on_message (Callable[[str], None] | None): told what is kept of an earlier run.
    show_progress (bool): show progress bars on stderr.
    RETURNS (StageCounts): what was met, over all runs that it took.
    """
    wikidata, out = require_file(wikidata), Path(out)
    say = on_message or (lambda _: None)
    sources = _wikipedias([Path(path) for path in wikipedia], description_chars)
    wikis = [source.site.wiki for source in sources]
    reader = ItemReader(wikidata, items or ItemChoice(), wikis)
    _check_output(out, [wikidata, *(source.dump for source in sources)])
    steps: list[_Reader] = [reader, *sources]
    if sources:
        steps.append(LinkJoiner())
    met: StageCounts = []
    with Work(out) as work:
        stages, changed = work.plan([step.inputs for step in steps])
        if changed is not None:
            say(f"Inputs or options changed: {steps[changed].name} begins again")
        for stage, step in zip(stages, steps, strict=True):
            if stage.done:
                say(f"{step.name}: done before")
            else:
                if stage.place is not None:
                    say(f"{step.name}: goes on where it was stopped")
                step.run(work, stage, batch, show_progress)
            if stage.number == 0:
                _check_items(work, stage, out)
                _check_wikis(work, wikis, wikidata)
            met.append((step.name, dict(stage.counts)))
        written = _write(work, out, names or NameChoice(), show_progress)
        met.append(("Entities", written))
        work.remove()
    return met


class _Reader(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def inputs(self) -> Mapping[str, Any]: ...

    def run(
        self, work: Work, stage: Stage, batch: int, show_progress: bool
    ) -> None: ...


def _wikipedias(paths: Sequence[Path], description_chars: int) -> list[PageReader]:
    """Look into the dumps for what they are. Of a wiki with dumps of both kinds the
    one gives the texts and the other the links, each what it is better at."""
    sources: list[PageReader] = []
    for path in map(require_file, paths):
        start = head(path)
        if is_xml_dump(start):
            sources.append(XmlReader(path, description_chars))
        elif is_cirrus_dump(start):
            sources.append(CirrusReader(path, description_chars))
        else:
            raise DweError(
                Errors.E136.format(path=path, what="Wikipedia XML or CirrusSearch")
            )
    rendered = {s.site.wiki for s in sources if isinstance(s, CirrusReader)}
    linked = {s.site.wiki for s in sources if isinstance(s, XmlReader)}
    for source in sources:
        if isinstance(source, CirrusReader):
            source.with_links = source.site.wiki not in linked
        else:
            source.with_texts = source.site.wiki not in rendered
            if source.with_texts:
                require_parser()
    return sources


def _check_output(out: Path, inputs: Sequence[Path]) -> None:
    require_writable(out, *inputs)
    resolved = [path.resolve() for path in inputs]
    for path in inputs:
        if resolved.count(path.resolve()) > 1:
            raise DweError(Errors.E138.format(path=path))


def _check_items(work: Work, stage: Stage, out: Path) -> None:
    if not stage.counts["kept"]:
        work.remove()
        counts = ", ".join(f"{count:,} {what}" for what, count in stage.counts.items())
        raise DweError(Errors.E139.format(path=out, counts=counts))


def _check_wikis(work: Work, wikis: Sequence[str], wikidata: Path) -> None:
    for wiki in dict.fromkeys(wikis):
        found = work.db.execute("SELECT 1 FROM titles WHERE wiki = ? LIMIT 1", (wiki,))
        if found.fetchone() is None:
            warnings.warn(Warnings.W132.format(path=wikidata, wiki=wiki), stacklevel=3)


def _write(
    work: Work, out: Path, names: NameChoice, show_progress: bool
) -> dict[str, int]:
    n_items = work.db.execute("SELECT count(*) FROM items").fetchone()[0]
    _remove_abandoned(out)
    counts: Counter[str] = Counter()
    entities = tqdm(
        _joined_entities(work, names, counts),
        desc="Writing",
        total=n_items,
        unit=" entities",
        delay=BAR_DELAY,
        disable=not show_progress,
    )
    write_entities(out, entities)
    return dict(counts)


def _remove_abandoned(out: Path) -> None:
    """Remove what a run left that was killed while it wrote. No other is at work on
    the same output: the work database is locked."""
    for path in out.resolve().parent.glob(f".{glob.escape(out.resolve().name)}.*"):
        if path.suffix[1:].isdigit():
            path.unlink()


def _joined_entities(
    work: Work, names: NameChoice, counts: Counter[str]
) -> Iterator[Entity]:
    """Join what is known of each item.

    An entity has no prior of its own, only its names have. What could be counted for
    it, its share of all links, answers another question than "how often does this name
    mean this entity", and is smaller by orders of magnitude than any prior it would
    stand beside. How well known an entity is the sitelinks say.

    The short description of Wikidata is not put in front of Wikipedia's text: its first
    sentence says the same, and encoders read the first words only. It is kept apart.

    counts (Counter[str]): counts what the entities have.
    YIELDS (Entity): entities, in the order of their items' numbers.
    """
    for item, packed in work.db.execute("SELECT item, entity FROM items ORDER BY item"):
        record = json.loads(packed)
        text, facts = _page(work, item)
        description = text or record["description"]
        extra: dict[str, Any] = {"sitelinks": record["sitelinks"]}
        if text and record["description"]:
            extra["short_description"] = record["description"]
        aliases = _aliases(work, item, record, names)
        counts["entities"] += 1
        counts["with text of Wikipedia"] += bool(text)
        counts["with Wikidata's description only"] += bool(description and not text)
        counts["without a description"] += not description
        counts["with a picture"] += bool(record["images"])
        counts["aliases"] += len(aliases)
        counts["priors"] += sum(alias.prior is not None for alias in aliases)
        yield Entity(
            id=f"Q{item}",
            title=record["title"],
            description=description,
            aliases=tuple(aliases),
            images=tuple(record["images"]),
            url=record["url"],
            extra={**extra, **facts},
        )


def _page(work: Work, item: int) -> tuple[str, dict[str, Any]]:
    """RETURNS (tuple[str, dict[str, Any]]): the first text of an item, in the order of
    the dumps, and what else its pages say."""
    text, facts = "", dict[str, Any]()
    for found, packed in work.db.execute(
        "SELECT text, facts FROM pages WHERE item = ? ORDER BY stage, row", (item,)
    ):
        text = text or found
        if packed:
            facts = {**json.loads(packed), **facts}
    return text, facts


def _aliases(
    work: Work, item: int, record: dict[str, Any], choice: NameChoice
) -> list[Alias]:
    """RETURNS (list[Alias]): the names beside the title: Wikidata's, then those of
    pages and redirects, then anchors, the most frequent first. Names that are one for
    the KB come once. The title is among them if it has a prior."""
    title = record["title"]
    written = {normalise(title): title}
    for alias in record["aliases"]:
        written.setdefault(normalise(alias), alias)
    pages = work.db.execute(
        "SELECT title, is_name FROM titles WHERE item = ? ORDER BY wiki, title", (item,)
    ).fetchall()
    for name, is_name in pages:
        if is_name:
            bare = bare_title(name)
            written.setdefault(normalise(bare), bare)
    priors: dict[str, float | None] = {}
    if pages:
        priors = {key: _unlinked_prior(work, key, choice) for key in written}
    for key, anchor, n, total in work.db.execute(
        "SELECT key, anchor, n, total FROM names JOIN keys USING (key) "
        "WHERE item = ? ORDER BY n DESC, key",
        (item,),
    ):
        prior = float(f"{n / total:.4g}")
        if n >= choice.min_count and prior >= choice.min_prior:
            written.setdefault(key, anchor)
        if key in written and total >= choice.min_count:
            priors[key] = prior
    return [
        Alias(name, priors.get(key))
        for key, name in written.items()
        if name != title or priors.get(key) is not None
    ]


def _unlinked_prior(work: Work, key: str, choice: NameChoice) -> float | None:
    """RETURNS (float | None): 0 for a name that is linked, but elsewhere; None for one
    of which nothing is known."""
    found = work.db.execute("SELECT total FROM keys WHERE key = ?", (key,)).fetchone()
    return 0.0 if found is not None and found[0] >= choice.min_count else None
