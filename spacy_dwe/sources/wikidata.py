"""A Wikidata JSON dump: one array, an entity a line, of which the items are read."""

import json
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..errors import DweError, Errors, Warnings
from .dump_files import DumpFile, Stage, Work, file_state, head
from .wikitext import Site

# What Wikimedia keeps for itself: pages of a wiki, not subjects of an article.
_INTERNAL = {
    "Q4167410": "disambiguation pages",
    "Q22808320": "disambiguation pages",
    "Q4167836": "categories",
    "Q24046192": "categories",
    "Q15647814": "categories",
    "Q20010800": "categories",
    "Q56428020": "categories",
    "Q11266439": "templates",
    "Q11753321": "templates",
    "Q19887878": "templates",
    "Q13406463": "lists",
    "Q15184295": "modules",
    "Q14204246": "project pages",
    "Q4663903": "portals",
    "Q17633526": "Wikinews articles",
    "Q21286738": "duplicate items",
    "Q17442446": "other internal items",
}
# Sites with sitelinks whose names end in "wiki" too.
_NO_WIKIPEDIAS = frozenset(
    f"{name}wiki"
    for name in (
        *("commons", "species", "meta", "wikidata", "mediawiki", "sources"),
        *("incubator", "outreach", "wikimania", "wikifunctions", "foundation"),
    )
)
_ANY_LANGUAGE = "mul"
"""Wikidata's code for labels that hold in every language that has none itself."""
_ITEM_ID = re.compile(r"Q([1-9][0-9]*)")
_LANGUAGE = re.compile(r"[a-z]{2,}(-[a-z0-9]+)*")
_UTF8_BOM = b"\xef\xbb\xbf"
_PATIENCE = 100
"""Lines of which none is right before a file is taken to be something else."""


json_loads: Callable[[bytes], Any] = json.loads
"""orjson's parser, twice as quick, if it is installed."""
with suppress(ImportError):
    json_loads = import_module("orjson").loads


@dataclass(frozen=True, slots=True)
class ItemChoice:
    """Which items become entities, and what is read of them.

    languages (tuple[str, ...]): languages of names and descriptions; the first one
        that has a label gives the title.
    instance_of (tuple[str, ...]): items of these types only, as "instance of" (P31)
        says it, without their subclasses.
    sitelink (str | None): items with a page on this wiki only, such as enwiki.
    min_sitelinks (int): items with pages on so many Wikipedias at least.
    with_internal (bool): also disambiguation pages, categories, templates, lists and
        what else Wikimedia keeps for itself.
    """

    languages: tuple[str, ...] = ("en",)
    instance_of: tuple[str, ...] = ()
    sitelink: str | None = None
    min_sitelinks: int = 1
    with_internal: bool = False

    def __post_init__(self) -> None:
        if not self.languages or not all(map(_LANGUAGE.fullmatch, self.languages)):
            raise DweError(
                Errors.E135.format(
                    option="--languages",
                    value=",".join(self.languages),
                    expected="codes with commas between, such as en,de",
                )
            )
        if not all(map(_ITEM_ID.fullmatch, self.instance_of)):
            raise DweError(
                Errors.E135.format(
                    option="--instance-of",
                    value=",".join(self.instance_of),
                    expected="items with commas between, such as Q5,Q515",
                )
            )


class ItemReader:
    """The stage that reads the items.

    wikis (Iterable[str]): wikis whose page titles are kept, to join their dumps.
    """

    name = "Wikidata"

    def __init__(self, dump: Path, choice: ItemChoice, wikis: Iterable[str]) -> None:
        self.dump, self.choice = dump, choice
        self.wikis = tuple(dict.fromkeys(wikis))
        self._links_to = tuple(
            dict.fromkeys((*self.wikis, *map(wiki_of, choice.languages)))
        )
        self._is_array = _starts_array(dump)
        self._types = [f'"{name}"'.encode() for name in choice.instance_of]
        self._sitelink = f'"{choice.sitelink}"'.encode() if choice.sitelink else b""

    @property
    def inputs(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): what decides the result, the file and options."""
        return {**file_state(self.dump), **asdict(self.choice), "wikis": self.wikis}

    def run(self, work: Work, stage: Stage, batch: int, show_progress: bool) -> None:
        """Read the items into `work`, from where it stands.

        batch (int): lines between two commits.
        """
        file = DumpFile(self.dump, stage.reader_place)
        counts = stage.counts
        for what in ("items", "kept", "without a label", "malformed lines"):
            counts.setdefault(what, 0)
        rows = _Rows(work.db, stage.number, self.wikis)
        last = b""
        for line in file.shown_pieces(b"\n", "Wikidata", show_progress):
            counts["lines"] += 1
            line = line.strip()
            if line:
                last = line
                self._read(line.removesuffix(b","), counts, rows)
            # The last line is left to the run that sees the end.
            if counts["lines"] % batch == 0 and line != b"]":
                rows.write(counts)
                stage.commit(file.place)
        if self._is_array and last != b"]":
            raise DweError(Errors.E131.format(path=self.dump))
        if not _any_read(counts):
            raise DweError(Errors.E136.format(path=self.dump, what="Wikidata JSON"))
        rows.write(counts)
        stage.finish()

    def _read(self, line: bytes, counts: Counter[str], rows: "_Rows") -> None:
        number = counts["lines"]
        if number == 1:
            line = line.removeprefix(_UTF8_BOM)
        if line in (b"[", b"]", b""):
            return
        reason = self._left_out_unread(line)
        if reason:
            counts["items"] += 1
            counts[reason] += 1
            return
        try:
            data = json_loads(line)
            if data["type"] != "item":
                counts["other entities"] += 1
                return
            item = item_number(data)
            left_out, record, titles = self._entity(data)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            counts["malformed lines"] += 1
            if counts["malformed lines"] >= _PATIENCE and not _any_read(counts):
                raise DweError(
                    Errors.E136.format(path=self.dump, what="Wikidata JSON")
                ) from None
            warnings.warn(
                Warnings.W130.format(
                    path=self.dump, line=number, reason=_reason(error)
                ),
                stacklevel=2,
            )
            return
        counts["items"] += 1
        if left_out:
            counts[left_out] += 1
        else:
            rows.add(item, record, titles)

    def _left_out_unread(self, line: bytes) -> str:
        """RETURNS (str): why an item is surely left out, seen without parsing; empty
        if it may be kept."""
        if not line.startswith(b'{"type":"item"') or not line.endswith(b"}"):
            return ""
        if self._sitelink and self._sitelink not in line:
            return f"not on {self.choice.sitelink}"
        if self.choice.min_sitelinks and (
            b'"sitelinks":{}' in line or b'"sitelinks":[]' in line
        ):
            return _FEW_SITELINKS
        if self._types and not any(name in line for name in self._types):
            return _OTHER_TYPE
        return ""

    def _entity(
        self, data: dict[str, Any]
    ) -> tuple[str, dict[str, Any], dict[str, str]]:
        """RETURNS (tuple[str, dict[str, Any], dict[str, str]]): why an item is left
        out, or empty; its record; its page titles by wiki."""
        pages = _map(data, "sitelinks")
        n_wikipedias = sum(map(_is_wikipedia, pages))
        claims = _map(data, "claims")
        left_out = self._left_out(claims, pages, n_wikipedias)
        if left_out:
            return left_out, {}, {}
        languages = (*self.choice.languages, _ANY_LANGUAGE)
        labels = _texts(data, "labels", languages)
        if not labels:
            return "without a label", {}, {}
        aliases = _map(data, "aliases")
        names = [*labels[1:]]
        for language in languages:
            names += [_clean(alias["value"]) for alias in aliases.get(language, ())]
        description = next(iter(_texts(data, "descriptions", languages)), "")
        record = {
            "title": labels[0],
            "description": description,
            "aliases": [name for name in dict.fromkeys(names) if name],
            "images": [_image_url(name) for name in best_values(claims, "P18")],
            "url": self._url(data["id"], pages),
            "sitelinks": n_wikipedias,
        }
        titles = {w: _clean(pages[w]["title"]) for w in self.wikis if w in pages}
        return "", record, titles

    def _left_out(
        self, claims: Mapping[str, Any], pages: Mapping[str, Any], n_wikipedias: int
    ) -> str:
        choice = self.choice
        if choice.sitelink and choice.sitelink not in pages:
            return f"not on {choice.sitelink}"
        types = {_id(value) for value in best_values(claims, "P31")}
        if not choice.with_internal:
            for name in types & _INTERNAL.keys():
                return _INTERNAL[name]
        if n_wikipedias < choice.min_sitelinks:
            return _FEW_SITELINKS
        if choice.instance_of and types.isdisjoint(choice.instance_of):
            return _OTHER_TYPE
        return ""

    def _url(self, item: str, pages: Mapping[str, Any]) -> str:
        for wiki in self._links_to:
            url = page_url(wiki, _clean(pages[wiki]["title"])) if wiki in pages else ""
            if url:
                return url
        return f"https://www.wikidata.org/wiki/{item}"


_FEW_SITELINKS = "on too few Wikipedias"
_OTHER_TYPE = "of another type"


class _Rows:
    """Rows that wait to be written together."""

    def __init__(self, db: Any, stage: int, wikis: Iterable[str]) -> None:
        self._db, self._stage = db, stage
        self._sites = {wiki: Site(wiki) for wiki in wikis}
        self._items: list[tuple[int, str, int]] = []
        self._titles: list[tuple[str, str, int, int, int]] = []

    def add(self, item: int, record: dict[str, Any], titles: dict[str, str]) -> None:
        self._items.append((item, json.dumps(record, ensure_ascii=False), self._stage))
        for wiki, title in titles.items():
            name = self._sites[wiki].title(title)
            self._titles.append((wiki, name, item, 1, self._stage))

    def write(self, counts: Counter[str]) -> None:
        insert = "INSERT OR IGNORE INTO"
        done = self._db.executemany(f"{insert} items VALUES (?, ?, ?)", self._items)
        counts["kept"] += max(done.rowcount, 0)
        repeated = len(self._items) - max(done.rowcount, 0)
        if repeated:
            counts["repeated"] += repeated
        self._db.executemany(f"{insert} titles VALUES (?, ?, ?, ?, ?)", self._titles)
        self._items.clear()
        self._titles.clear()


def best_values(claims: Mapping[str, Any], name: str) -> list[Any]:
    """RETURNS (list[Any]): the values of a property that Wikidata holds true: those of
    preferred rank if there are any, else of normal rank; unknown ones left out."""
    statements = [s for s in claims.get(name, ()) if s.get("rank") != "deprecated"]
    preferred = [s for s in statements if s.get("rank") == "preferred"]
    snaks = [statement["mainsnak"] for statement in preferred or statements]
    return [s["datavalue"]["value"] for s in snaks if s["snaktype"] == "value"]


_PROJECT = re.compile(
    r"(.+?)(wiki|wiktionary|wikivoyage|wikiquote|wikisource|wikinews|wikibooks|"
    r"wikiversity)"
)
# Wikis whose names are older than their languages' codes.
_WIKIS = {"be-tarask": "be_x_oldwiki", "nb": "nowiki", "yue": "zh_yuewiki"}
_HOSTS = {"be_x_oldwiki": "be-tarask"}


def page_url(wiki: str, title: str) -> str:
    """RETURNS (str): where a page is read; empty if the wiki is of no project that
    has its languages' wikis at LANGUAGE.PROJECT.org."""
    match = _PROJECT.fullmatch(wiki)
    if match is None:
        return ""
    path = quote(title.replace(" ", "_"), safe="/:(),!'*;@")
    host = _HOSTS.get(wiki, match[1].replace("_", "-"))
    project = "wikipedia" if match[2] == "wiki" else match[2]
    return f"https://{host}.{project}.org/wiki/{path}"


def wiki_of(language: str) -> str:
    return _WIKIS.get(language, language.replace("-", "_") + "wiki")


def _image_url(name: str) -> str:
    path = quote(name.replace(" ", "_"), safe="(),!'*;@")
    return f"https://commons.wikimedia.org/wiki/Special:FilePath/{path}"


def _is_wikipedia(wiki: str) -> bool:
    return wiki.endswith("wiki") and wiki not in _NO_WIKIPEDIAS


def _map(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    # Nothing is written as [] in some dumps, for PHP's empty arrays are both.
    value: dict[str, Any] = data.get(key) or {}
    return value


def _texts(data: Mapping[str, Any], key: str, languages: Iterable[str]) -> list[str]:
    found = _map(data, key)
    texts = [_clean(found[code]["value"]) for code in languages if code in found]
    return [text for text in texts if text]


def _clean(text: str) -> str:
    # Half of a surrogate pair is JSON, and is text nowhere else.
    text.encode()
    return " ".join(text.split())


def _id(value: Mapping[str, Any]) -> str:
    return str(value["id"] if "id" in value else f"Q{value['numeric-id']}")


def item_number(data: Mapping[str, Any]) -> int:
    match = _ITEM_ID.fullmatch(data["id"])
    if match is None:
        raise ValueError(f"{data['id']!r} is no item's id")
    return int(match[1])


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return str(error)


def _any_read(counts: Counter[str]) -> bool:
    return bool(counts["items"] or counts["other entities"])


def _starts_array(dump: Path) -> bool:
    first = head(dump, 1 << 10).removeprefix(_UTF8_BOM).lstrip()
    if not first.startswith((b"[", b"{")):
        raise DweError(Errors.E136.format(path=dump, what="Wikidata JSON"))
    return first.startswith(b"[")
