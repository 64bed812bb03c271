"""A KnowledgeBase as it grows, beside spaCy's InMemoryLookupKB of the same names.

    python benchmarks/bench_growth.py
    python benchmarks/bench_growth.py --sizes 100000 1000000 --names entities.jsonl

Titles are recombined from the words of real names (`--names`: entities.jsonl) or made
up, descriptions are random words. Each KB is built, opened and asked in a process of
its own. `search` finds 100 candidates: for the last word of a title, for a whole
title, for that in a sentence of 25 words, and for a title with a typing mistake; `@10`
and `@100` are how often that finds its entity. `add`
puts one entity into the KB. Memory is what opening adds to the process (Linux only).
`ratio` is InMemoryLookupKB's figure over ours. `CPU s` is what a build takes of all
cores, whatever else the machine does; searches are timed so, too.
"""

import argparse
import multiprocessing
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from bench_names import made_up
from spacy.kb import InMemoryLookupKB
from spacy.vocab import Vocab
from wasabi import table

from spacy_dwe.building.build import build_kb
from spacy_dwe.building.update import add_entities
from spacy_dwe.kb.entity import Entity, read_entities
from spacy_dwe.kb.knowledge_base import DweKnowledgeBase

MENTIONS = 1000
IN_MEMORY = 1_000_000
"""Entities up to which spaCy's KB is measured, too."""
WARM_UP = 10
FOUND_AMONG = (10, 100)
"""Candidates among which a misspelt title's entity should be."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--names", type=Path, help="entities.jsonl to take words from")
    parser.add_argument("--folder", type=Path, help="where the KBs are made")
    arguments = parser.parse_args()
    words = _words(arguments.names)
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for size in arguments.sizes:
            path = Path(folder) / f"{size}.kb"
            figures = _apart(_build, words, size, path)
            figures |= _apart(_use, words, size, path)
            if size <= IN_MEMORY:
                spacy_kb = Path(folder) / f"{size}.spacy"
                _apart(_build_in_memory, words, size, spacy_kb)
                figures |= _apart(_use_in_memory, words, size, spacy_kb)
            rows.append(_row(size, figures))
    header = (
        *("entities", "build s", "CPU s", "peak MB", "disk MB"),
        *("open ms", "ratio", "memory MB", "ratio"),
        *("last word µs", "title µs", "in context µs", "misspelt µs", "@10", "@100"),
        *("exact µs", "ratio", "add ms"),
    )
    print(table(rows, header=header, divider=True, aligns=("r",) * len(header)))


def _row(size: int, figures: dict[str, float]) -> tuple[str, ...]:
    def ratio(theirs: str, ours: str) -> str:
        if theirs not in figures:
            return ""
        return f"{figures[theirs] / max(figures[ours], 1e-9):,.1f}"

    return (
        f"{size:,}",
        f"{figures['build']:.0f}",
        f"{figures['cpu']:.0f}",
        f"{figures['peak']:,.0f}",
        f"{figures['disk']:,.0f}",
        f"{figures['open'] * 1e3:.1f}",
        ratio("spacy_open", "open"),
        f"{figures['memory']:.1f}",
        ratio("spacy_memory", "memory"),
        f"{figures['last'] * 1e6:.0f}",
        f"{figures['title'] * 1e6:.0f}",
        f"{figures['context'] * 1e6:.0f}",
        f"{figures['misspelt'] * 1e6:.0f}",
        *(f"{figures[f'found_{n}']:.3f}" for n in FOUND_AMONG),
        f"{figures['exact'] * 1e6:.1f}",
        ratio("spacy_exact", "exact"),
        f"{figures['add'] * 1e3:.0f}",
    )


def _words(path: Path | None) -> list[str]:
    entities = made_up(20_000) if path is None else read_entities(path)
    return [word for entity in entities for word in entity.title.split()]


def entities(words: list[str], size: int) -> Iterator[Entity]:
    """Made-up people and places; the same for the same words and size."""
    draw = random.Random(size)
    for i in range(size):
        title = " ".join(draw.choices(words, k=draw.choice((2, 2, 2, 3))))
        about = " ".join(draw.choices(words, k=25)).lower()
        yield Entity(f"Q{i}", title, f"{about}, {draw.randint(1700, 2020)}.")


def _some(words: list[str], size: int) -> list[Entity]:
    step = max(1, size // MENTIONS)
    return [e for i, e in enumerate(entities(words, size)) if i % step == 0]


def _build(words: list[str], size: int, path: Path) -> dict[str, float]:
    start, busy = time.perf_counter(), time.process_time()
    build_kb(entities(words, size), path)
    seconds, cpu = time.perf_counter() - start, time.process_time() - busy
    build_kb([Entity("Q1", "One")], path.with_suffix(".warm"))
    disk = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return {"build": seconds, "cpu": cpu, "peak": _memory(), "disk": disk / 1e6}


def _use(words: list[str], size: int, path: Path) -> dict[str, float]:
    some = _some(words, size)
    titles = [entity.title for entity in some]
    contexts = dict(zip(titles, (f"{e.title}: {e.description}" for e in some)))
    draw = random.Random(0)
    misspelt = [_mistake(title, draw) for title in titles]
    DweKnowledgeBase(path.with_suffix(".warm"))
    before = _resident()
    start = time.perf_counter()
    kb = DweKnowledgeBase(path)
    figures = {"open": time.perf_counter() - start, "memory": _resident() - before}
    figures |= {
        "last": _each(kb.search, [title.split()[-1] for title in titles]),
        "title": _each(kb.search, titles),
        "context": _each(
            lambda some: kb.search(some, contexts=[contexts[t] for t in some]), titles
        ),
        "misspelt": _each(kb.search, misspelt),
        "exact": _each(kb.exact, titles),
    }
    found = kb.search(misspelt)
    for n in FOUND_AMONG:
        hits = [e.id in kb.ids(rows) for e, rows in zip(some, found.head(n))]
        figures[f"found_{n}"] = sum(hits) / len(hits)
    start = time.perf_counter()
    add_entities(path, [Entity("new", "A new one", "It was not there.")])
    figures["add"] = time.perf_counter() - start
    return figures


def _build_in_memory(words: list[str], size: int, path: Path) -> dict[str, float]:
    kb = InMemoryLookupKB(Vocab(), 1)
    ids: list[str] = []
    owners: dict[str, list[str]] = {}
    for entity in entities(words, size):
        ids.append(entity.id)
        owners.setdefault(entity.title, []).append(entity.id)
    kb.set_entities(ids, [1] * size, [[1.0]] * size)
    for alias, own in owners.items():
        kb.add_alias(alias, own, [0.999 / len(own)] * len(own))
    kb.to_disk(path)
    return {}


def _use_in_memory(words: list[str], size: int, path: Path) -> dict[str, float]:
    titles = [entity.title for entity in _some(words, size)]
    before = _resident()
    start = time.perf_counter()
    kb = InMemoryLookupKB(Vocab(), 1)
    kb.from_disk(path)
    seconds = time.perf_counter() - start
    memory = _resident() - before
    exact = _each(lambda some: [list(kb.get_alias_candidates(t)) for t in some], titles)
    return {"spacy_open": seconds, "spacy_memory": memory, "spacy_exact": exact}


def _mistake(title: str, draw: random.Random) -> str:
    """Two neighbouring letters of the longest word change places."""
    word = max(title.split(), key=len)
    at = draw.randrange(max(1, len(word) - 1))
    wrong = word[:at] + word[at : at + 2][::-1] + word[at + 2 :]
    return title.replace(word, wrong, 1)


def _each(work: Callable[[list[str]], object], mentions: list[str]) -> float:
    """RETURNS (float): CPU seconds a mention, warm."""
    work(mentions[:WARM_UP])
    work(mentions)
    start = time.process_time()
    work(mentions)
    return (time.process_time() - start) / len(mentions)


def _memory() -> float:
    """RETURNS (float): most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _resident() -> float:
    """RETURNS (float): memory that this process has now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def _apart(work: Callable[..., dict[str, float]], *arguments: Any) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, *arguments).result()


if __name__ == "__main__":
    main()
