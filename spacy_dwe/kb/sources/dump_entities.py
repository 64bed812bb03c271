"""The entities that the stages in the work database make together."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..entity import Alias, Entity
from ..normalisation import normalise
from .dump_work import Work
from .wiki_pages import bare_title


@dataclass(frozen=True, slots=True)
class NameChoice:
    """Which anchors become aliases, and which counts become priors.

    min_count (int): links by which a name is known for an entity.
    min_prior (float): share of a name's links that lead to the entity.
    """

    min_count: int = 2
    min_prior: float = 0.001


def joined_entities(
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
