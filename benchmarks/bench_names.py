"""Speed of names: search, features and look-ups, in microseconds a mention.

    python benchmarks/bench_names.py
    python benchmarks/bench_names.py --entities entities.jsonl

Without a file the names are made up: a few common first names and many last names,
so that most mentions have namesakes. `ratio` says how many times slower the plain way
is: a Python loop over pairs for the features, spaCy's InMemoryLookupKB for the exact
look-up and for opening. Times are CPU times, the best of several runs.
"""

import argparse
import math
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from spacy.kb import InMemoryLookupKB
from spacy.vocab import Vocab
from wasabi import table

from spacy_dwe.building.build import build_kb
from spacy_dwe.channels.facts import LIFE_SPAN, fact_columns
from spacy_dwe.channels.name import name_columns
from spacy_dwe.kb.candidates import Candidates
from spacy_dwe.kb.entity import Entity, read_entities
from spacy_dwe.kb.index.lexicon import description_words, years_in
from spacy_dwe.kb.knowledge_base import DweKnowledgeBase
from spacy_dwe.names.normalisation import GRAM_ORDER, initials, normalise

BATCH = 256
CANDIDATES = 100
RUNS = 7
NAIVE = 16
"""Mentions for the slow ways, which need no more to be timed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entities", type=Path, help="entities.jsonl to measure on")
    parser.add_argument("--n", type=int, default=20_000, help="made-up entities")
    parser.add_argument("--mentions", type=int, default=1024)
    arguments = parser.parse_args()
    if arguments.entities is None:
        entities = made_up(arguments.n)
    else:
        entities = list(read_entities(arguments.entities))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        kb = build_kb(entities, Path(folder) / "names.kb")
        built = time.perf_counter() - start
        rows = measure(kb, entities, arguments.mentions, Path(folder))
    print(f"{len(kb):,} entities, {kb.meta['names']:,} names, built in {built:.1f} s")
    header = ("operation", "µs a mention", "plain way", "ratio")
    print(table(rows, header=header, divider=True, aligns=("l", "r", "r", "r")))


def measure(
    kb: DweKnowledgeBase, entities: list[Entity], n_mentions: int, folder: Path
) -> list[tuple[str, str, str, str]]:
    golds = random.Random(0).choices(entities, k=n_mentions)
    mentions = [gold.title.split()[-1] for gold in golds]
    contexts = [f"{gold.description} in 1950" for gold in golds]
    batches = [
        (mentions[i : i + BATCH], contexts[i : i + BATCH], _filled(kb, mentions, i))
        for i in range(0, n_mentions, BATCH)
    ]
    lookup, opening = _in_memory(entities, folder)
    plain = _PlainFeatures(entities)

    def timed(work: Callable[[list[str], list[str], Candidates], object]) -> float:
        return _best(lambda: [work(*batch) for batch in batches]) / n_mentions

    names = timed(lambda m, _, c: name_columns(kb.lexicon, m, c))
    facts = timed(lambda _, t, c: fact_columns(kb.lexicon, t, c))
    exact = timed(lambda m, _, __: kb.exact(m))
    few = batches[0][2].span(0, NAIVE)
    slow_names = _best(lambda: plain.names(mentions[:NAIVE], few), runs=1) / NAIVE
    slow_facts = _best(lambda: plain.facts(contexts[:NAIVE], few), runs=1) / NAIVE
    slow_exact = _best(lambda: [lookup(m) for m in mentions]) / n_mentions
    open_kb = _best(lambda: DweKnowledgeBase(kb.path, kb.vocab))
    return [
        _row(
            "search, 100 candidates", timed(lambda m, _, __: kb.search(m, CANDIDATES))
        ),
        _row("exact", exact, slow_exact),
        _row("name_features, 100 pairs", names, slow_names),
        _row("fact_features, 100 pairs", facts, slow_facts),
        _row("priors", timed(lambda m, _, c: kb.priors(m, c))),
        _row("sort_keys", timed(lambda _, __, c: kb.sort_keys(c.rows))),
        _row("titles, 10 rows", timed(lambda _, __, c: kb.titles(_tops(c)))),
        _row("opening the KB, once", open_kb, opening),
    ]


def made_up(n: int) -> list[Entity]:
    """People with 300 first names and about as many last names as people by fours."""
    draw = random.Random(0)
    syllables = [
        a + b for a in "bdfgklmnprstv" for b in ("a", "e", "i", "o", "u", "an")
    ]

    def name() -> str:
        return "".join(draw.choices(syllables, k=draw.randint(2, 3))).title()

    first = [name() for _ in range(300)]
    last = [name() for _ in range(max(n // 4, 1))]
    words = [name().lower() for _ in range(2000)]
    entities = []
    for i in range(n):
        born = draw.randint(1700, 2000)
        about = " ".join(draw.choices(words, k=30))
        title = f"{draw.choice(first)} {draw.choice(last)}"
        entities.append(Entity(f"Q{i}", title, f"{about}, {born} to {born + 60}"))
    return entities


class _PlainFeatures:
    """The features as a loop over pairs; what depends on one entity is prepared."""

    def __init__(self, entities: list[Entity]) -> None:
        self.titles = [entity.title for entity in entities]
        self.keys = [normalise(title) for title in self.titles]
        self.grams = [_grams(key) for key in self.keys]
        self.facts_of = [set(description_words(e.description)) for e in entities]
        self.years = [years_in(entity.description) for entity in entities]
        self.gram_idf = _idf(self.grams)
        self.word_idf = _idf([set(key.split()) for key in self.keys])
        self.fact_idf = _idf(self.facts_of)

    def names(self, mentions: list[str], candidates: Candidates) -> list[list[float]]:
        out = []
        for mention, rows in zip(mentions, candidates):
            key = normalise(mention)
            words, grams = key.split(), _grams(key)
            for row in rows.tolist():
                own = self.keys[row].split()
                shared = set(words) & set(own)
                out.append(
                    [
                        _cosine(grams, self.grams[row], self.gram_idf),
                        key == self.keys[row],
                        mention == self.titles[row],
                        len(shared) / len(set(words)),
                        len(shared) / len(set(own)),
                        words[0] == own[0],
                        words[-1] == own[-1],
                        max((self.word_idf[word] for word in shared), default=0.0),
                        "".join(words) == initials(own),
                    ]
                )
        return out

    def facts(self, contexts: list[str], candidates: Candidates) -> list[list[float]]:
        out = []
        for context, rows in zip(contexts, candidates):
            words, years = set(description_words(context)), set(years_in(context))
            for row in rows.tolist():
                own = self.years[row] or [min(years)]
                last = own[-1] if len(own) > 1 else own[0] + LIFE_SPAN
                gap = max(own[0] - min(years), max(years) - last, 0)
                weight = sum(self.fact_idf[w] ** 2 for w in words & self.facts_of[row])
                overlap = len(years & set(own)) / len(years)
                out.append([overlap, gap / (gap + 20), weight / (weight + 1)])
        return out


def _grams(key: str) -> set[str]:
    padded = f" {key} "
    return {padded[i : i + GRAM_ORDER] for i in range(len(padded) - GRAM_ORDER + 1)}


def _idf(sets: list[set[str]]) -> dict[str, float]:
    counts: dict[str, int] = {}
    for items in sets:
        for item in items:
            counts[item] = counts.get(item, 0) + 1
    return {item: math.log(1 + len(sets) / n) for item, n in counts.items()}


def _cosine(left: set[str], right: set[str], idf: dict[str, float]) -> float:
    shared = sum(idf[gram] ** 2 for gram in left & right)
    norms = [sum(idf.get(gram, 0.0) ** 2 for gram in own) for own in (left, right)]
    return shared / (math.sqrt(norms[0] * norms[1]) or 1.0)


def _filled(kb: DweKnowledgeBase, mentions: list[str], start: int) -> Candidates:
    """Candidates of a batch, filled up to 100 each with random entities."""
    generator = np.random.default_rng(start)
    found = kb.search(mentions[start : start + BATCH], CANDIDATES)
    fill = [
        generator.integers(kb.n_rows, size=CANDIDATES - len(rows)) for rows in found
    ]
    return Candidates.from_lists(
        np.concatenate([rows, more]) for rows, more in zip(found, fill)
    )


def _in_memory(
    entities: list[Entity], folder: Path
) -> tuple[Callable[[str], object], float]:
    """RETURNS (tuple): look-up in spaCy's own KB, and seconds that opening it takes."""
    kb = InMemoryLookupKB(Vocab(), 1)
    kb.set_entities(
        [e.id for e in entities], [1] * len(entities), [[1.0]] * len(entities)
    )
    aliases: dict[str, list[str]] = {}
    for entity in entities:
        aliases.setdefault(entity.title, []).append(entity.id)
        aliases.setdefault(entity.title.split()[-1], []).append(entity.id)
    for alias, ids in aliases.items():
        distinct = list(dict.fromkeys(ids))
        kb.add_alias(alias, distinct, [1 / len(distinct) * 0.999] * len(distinct))
    kb.to_disk(folder / "in-memory")
    seconds = _best(
        lambda: InMemoryLookupKB(Vocab(), 1).from_disk(folder / "in-memory")
    )
    return lambda mention: list(kb.get_alias_candidates(mention)), seconds


def _tops(candidates: Candidates) -> np.ndarray:
    return np.concatenate([rows[:10] for rows in candidates])


def _best(work: Callable[[], object], runs: int = RUNS) -> float:
    times = []
    for _ in range(runs):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def _row(
    name: str, fast: float, slow: float | None = None
) -> tuple[str, str, str, str]:
    if slow is None:
        return name, f"{fast * 1e6:,.1f}", "", ""
    return name, f"{fast * 1e6:,.1f}", f"{slow * 1e6:,.1f}", f"{slow / fast:,.1f}"


if __name__ == "__main__":
    main()
