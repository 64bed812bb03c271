"""Candidates: how many golds are among them, and what a mention costs.

    python benchmarks/bench_candidates.py
    python benchmarks/bench_candidates.py --entities entities.jsonl --documents d.jsonl
    python benchmarks/bench_candidates.py --kb my.kb --documents d.jsonl

Without files, entities and mentions are made up: mentions are full, partial, misspelt,
abbreviated names or names in another order. `ratio` is the time in terms of the search
by name. The others: spaCy's InMemoryLookupKB looks up aliases as written;
scikit-learn's TF-IDF of character n-grams (char_wb, 2 to 4) multiplies the mentions
with all names; rapidfuzz's WRatio compares each mention with every name. All give the
best 100. Times are CPU times, encoding left out.

The second table is dense retrieval: exact search through float16 vectors on disk
against the bare product of float32 matrices of the same shape, and the memory that it
takes beside the file; then of as many entities in two vector sets together.
"""

import argparse
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import spacy
import torch
from bench_names import made_up
from rapidfuzz import fuzz, process
from sklearn.feature_extraction.text import TfidfVectorizer
from spacy.kb import InMemoryLookupKB
from spacy.vocab import Vocab
from wasabi import table

from spacy_dwe.building.build import build_kb
from spacy_dwe.documents import read_documents
from spacy_dwe.kb.entity import Entity, read_entities
from spacy_dwe.kb.generators import NameCandidates, hybrid_candidates
from spacy_dwe.kb.knowledge_base import DweKnowledgeBase
from spacy_dwe.kb.vectors.entity_index import EntityIndex
from spacy_dwe.kb.vectors.joint_search import JointSearch, Queries
from spacy_dwe.kb.vectors.sets import SetName, VectorSet
from spacy_dwe.linking.mentions import mentions_of

N = 100
"""Candidates a mention."""
RECALL_AT = (1, 10, 100)
BATCH = 256
RUNS = 3
SLOW_MENTIONS = 50
"""Mentions for WRatio, which takes tens of milliseconds for each."""
DIM = 384
CHUNK = 10_000
"""Vectors made at a time."""


@dataclass(frozen=True, slots=True)
class Mention:
    """A mention in its context, and the id of its entity."""

    text: str
    context: str
    gold: str


Find = Callable[[Sequence[Mention]], list[list[str]]]
"""Ids of candidates for each mention, best first."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entities", type=Path, help="entities.jsonl to measure on")
    parser.add_argument("--documents", type=Path, help="documents with gold labels")
    parser.add_argument("--kb", type=Path, help="a KB, with vectors if you have them")
    parser.add_argument("--n", type=int, default=20_000, help="made-up entities")
    parser.add_argument("--mentions", type=int, default=2000, help="mentions, at most")
    parser.add_argument(
        "--vectors",
        type=int,
        nargs="*",
        default=[50_000, 200_000],
        help="sizes for dense retrieval; none leaves it out",
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.kb is not None:
            kb = DweKnowledgeBase(arguments.kb)
            entities = list(kb)
        else:
            entities = (
                made_up(arguments.n)
                if arguments.entities is None
                else list(read_entities(arguments.entities))
            )
            kb = build_kb(entities, Path(folder) / "candidates.kb")
        if arguments.documents is None:
            mentions = made_up_mentions(entities, arguments.mentions)
        else:
            mentions = labelled(arguments.documents, arguments.mentions)
        header = ("candidates", "µs a mention", *(f"@{k}" for k in RECALL_AT), "ratio")
        print(f"{len(kb):,} entities, {len(mentions):,} mentions, recall of golds")
        rows = compare(kb, entities, mentions)
        print(table(rows, header=header, divider=True, aligns=("l", *"rrrrr")))
        if arguments.vectors:
            rows = [
                line(n, Path(folder))
                for n in arguments.vectors
                for line in (dense, joint)
            ]
            header = ("vectors", "bare product, s", "search, s", "ratio", "memory, MB")
            print(f"\nthe {N} nearest for {BATCH} queries of {DIM} dimensions, on CPU")
            print(table(rows, header=header, divider=True, aligns=tuple("rrrrr")))


def compare(
    kb: DweKnowledgeBase, entities: list[Entity], mentions: list[Mention]
) -> list[tuple[str, ...]]:
    names = NameCandidates(use_context=False)
    ours = measured("names", by_generator(kb, names), mentions)
    lines = [
        ours,
        measured("names, context", by_generator(kb, NameCandidates()), mentions),
    ]
    if kb.text_set is not None:
        lines.append(measured("names, context, dense", by_pipeline(kb), mentions))
    lines += [
        measured("exact, InMemoryLookupKB", in_memory(entities), mentions),
        measured("character TF-IDF", by_tfidf(entities), mentions),
        measured("WRatio", by_wratio(entities), mentions[:SLOW_MENTIONS]),
    ]
    return [
        (
            name,
            f"{seconds * 1e6:,.1f}",
            *(f"{value:.4f}" for value in recall),
            f"{seconds / ours[1]:,.3g}",
        )
        for name, seconds, recall in lines
    ]


def measured(
    name: str, find: Find, mentions: list[Mention]
) -> tuple[str, float, list[float]]:
    """RETURNS (tuple[str, float, list[float]]): name, seconds a mention, recall."""
    batches = [mentions[i : i + BATCH] for i in range(0, len(mentions), BATCH)]
    found = [ids for batch in batches for ids in find(batch)]
    times = []
    for _ in range(RUNS if len(mentions) > SLOW_MENTIONS else 1):
        start = time.process_time()
        for batch in batches:
            find(batch)
        times.append(time.process_time() - start)
    recall = [
        np.mean([m.gold in ids[:k] for m, ids in zip(mentions, found)]).item()
        for k in RECALL_AT
    ]
    return name, min(times) / len(mentions), recall


def by_generator(kb: DweKnowledgeBase, generate: NameCandidates) -> Find:
    ids = _Ids(kb)

    def find(mentions: Sequence[Mention]) -> list[list[str]]:
        batch = SimpleNamespace(
            texts=[mention.text for mention in mentions],
            contexts=[mention.context for mention in mentions],
        )
        return ids.of(generate(kb, batch, N))

    return find


def by_pipeline(kb: DweKnowledgeBase) -> Find:
    """Names and dense retrieval; vectors of mentions come from the linker's cache."""
    nlp = spacy.blank("xx")
    linker = nlp.add_pipe("dwe_linker")
    linker.load_kb(kb.path)
    linker.generate_candidates = hybrid_candidates()
    linker.n_candidates = N
    ids = _Ids(kb)

    def find(mentions: Sequence[Mention]) -> list[list[str]]:
        docs = []
        for mention in mentions:
            doc = nlp.make_doc(mention.context)
            start = mention.context.index(mention.text)
            span = doc.char_span(
                start, start + len(mention.text), "NAME", alignment_mode="expand"
            )
            doc.set_ents([span])
            docs.append(doc)
        return ids.of(linker.evidence.candidates(mentions_of(docs)))

    return find


def in_memory(entities: list[Entity]) -> Find:
    kb = InMemoryLookupKB(Vocab(), 1)
    ids = [entity.id for entity in entities]
    kb.set_entities(ids, [1] * len(ids), [[1.0]] * len(ids))
    aliases: dict[str, list[str]] = {}
    for name, owner in _names(entities):
        aliases.setdefault(name, []).append(owner)
    for alias, owners in aliases.items():
        distinct = list(dict.fromkeys(owners))
        kb.add_alias(alias, distinct, [0.999 / len(distinct)] * len(distinct))

    def find(mentions: Sequence[Mention]) -> list[list[str]]:
        return [
            [c.entity_ for c in kb.get_alias_candidates(mention.text)][:N]
            for mention in mentions
        ]

    return find


def by_tfidf(entities: list[Entity]) -> Find:
    names, owners = zip(*_names(entities), strict=True)
    vectoriser = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4))
    matrix = vectoriser.fit_transform(names).T.tocsr()

    def find(mentions: Sequence[Mention]) -> list[list[str]]:
        scores = vectoriser.transform([m.text for m in mentions]) @ matrix
        found = []
        for start, end in zip(scores.indptr, scores.indptr[1:]):
            own = scores.data[start:end]
            best = np.argpartition(-own, N)[:N] if len(own) > N else np.arange(len(own))
            best = best[np.argsort(-own[best], kind="stable")]
            found.append([owners[i] for i in scores.indices[start:end][best]])
        return found

    return find


def by_wratio(entities: list[Entity]) -> Find:
    names, owners = zip(*_names(entities), strict=True)

    def find(mentions: Sequence[Mention]) -> list[list[str]]:
        return [
            [
                owners[place]
                for _, _, place in process.extract(
                    mention.text, names, scorer=fuzz.WRatio, limit=N
                )
            ]
            for mention in mentions
        ]

    return find


def dense(n: int, folder: Path) -> tuple[str, ...]:
    """One line on exact search through n vectors in a file."""
    draw = np.random.default_rng(0)
    path = folder / "vectors.npy"
    file = np.lib.format.open_memmap(path, "w+", np.float16, (n, DIM))
    for start in range(0, n, CHUNK):
        part = draw.standard_normal((min(CHUNK, n - start), DIM))
        file[start : start + len(part)] = part / np.linalg.norm(part, axis=1)[:, None]
    file.flush()
    queries = draw.standard_normal((BATCH, DIM)).astype(np.float32)
    vectors = np.asarray(np.load(path, mmap_mode="r"))
    index = EntityIndex(vectors)
    search = partial(index.top_k, queries, N)
    bare_seconds, search_seconds = alternately(bare_product(vectors, queries), search)
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
        peak = fresh.submit(search_memory, path, queries).result()
    ratio = search_seconds / bare_seconds
    cells = (f"{bare_seconds:.3f}", f"{search_seconds:.3f}", f"{ratio:.2f}")
    return f"{n:,}", *cells, f"{peak / 1e6:,.0f}"


def joint(n: int, folder: Path) -> tuple[str, ...]:
    """One line on search in two sets of the vectors that `dense` left in the folder."""
    draw = np.random.default_rng(1)
    path = folder / "vectors.npy"
    names = [SetName("description", space) for space in ("one", "other")]
    queries = {
        name: Queries(
            draw.standard_normal((BATCH, DIM)).astype(np.float32), np.ones(BATCH, bool)
        )
        for name in names
    }
    vectors = np.load(path, mmap_mode="r")
    bare = bare_product(np.asarray(vectors), queries[names[0]].vectors)
    search = partial(joint_search(path, names), queries, N)
    bare_seconds, search_seconds = alternately(lambda: (bare(), bare()), search)
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
        peak = fresh.submit(joint_memory, path, queries).result()
    ratio = search_seconds / bare_seconds
    cells = (f"{bare_seconds:.3f}", f"{search_seconds:.3f}", f"{ratio:.2f}")
    return f"{n:,} in two sets", *cells, f"{peak / 1e6:,.0f}"


def joint_search(path: Path, names: Sequence[SetName]) -> JointSearch:
    vectors = np.load(path, mmap_mode="r")
    places = np.arange(len(vectors) + 1, dtype=np.int32)
    sets = {
        name: VectorSet(
            name=name,
            fingerprint="drawn",
            spec={},
            dim=DIM,
            mean=0.0,
            std=DIM**-0.5,
            cross_mean=None,
            cross_std=None,
            array=np.asarray(vectors),
            offsets=places,
            places=places[:-1],
        )
        for name in names
    }
    return JointSearch(sets, live=None, sort_key=places[:-1], device="cpu")


def joint_memory(path: Path, queries: dict[SetName, Queries]) -> int:
    """RETURNS (int): as `search_memory`."""
    search = joint_search(path, [*queries])
    search({name: own[:1] for name, own in queries.items()}, N)
    with peak_memory() as peak:
        search(queries, N)
    return peak[0]


def search_memory(path: Path, queries: np.ndarray) -> int:
    """RETURNS (int): bytes that a search takes at most, in a process that has done
    nothing else; pages of the file left out."""
    vectors = np.asarray(np.load(path, mmap_mode="r"))
    EntityIndex(vectors[:1000]).top_k(queries[:1], N)
    with peak_memory() as peak:
        EntityIndex(vectors).top_k(queries, N)
    return peak[0]


def bare_product(vectors: np.ndarray, queries: np.ndarray) -> Callable[[], object]:
    """RETURNS (Callable): multiplies matrices that are in memory, as float32."""
    matrix = torch.from_numpy(vectors.astype(np.float32))
    out = torch.empty(len(queries), len(vectors))
    return lambda: torch.mm(torch.from_numpy(queries), matrix.T, out=out)


def alternately(*works: Callable[[], object]) -> list[float]:
    """RETURNS (list[float]): the best time of each, in CPU seconds."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(RUNS + 2):
        for work, own in zip(works, times):
            start = time.process_time()
            work()
            own.append(time.process_time() - start)
    return [min(own) for own in times]


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """YIELDS (list[int]): gets the bytes that the block took at most, pages of mapped
    files left out."""
    peak, done = [0], threading.Event()
    before = _anonymous_bytes()

    def watch() -> None:
        while not done.wait(0.002):
            peak[0] = max(peak[0], _anonymous_bytes() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def made_up_mentions(entities: list[Entity], n: int) -> list[Mention]:
    """Names as people write them, in a sentence that gives the first name away."""
    draw = random.Random(0)
    mentions = []
    for i in range(n):
        entity = draw.choice(entities)
        first, *_, last = entity.title.split()
        forms = [
            entity.title,
            last,
            f"{last}, {first}",
            f"{first[0]}. {last}",
            f"{first} {_misspelt(last, draw)}",
            _misspelt(last, draw),
        ]
        text = forms[i % len(forms)]
        mentions.append(Mention(text, f"{text}, whom friends call {first}", entity.id))
    return mentions


def labelled(documents: Path, n: int) -> list[Mention]:
    """RETURNS (list[Mention]): those with an entity, a sample if there are more."""
    mentions = [
        Mention(
            document.text[mention.start : mention.end], document.text, mention.kb_id
        )
        for document in read_documents(documents)
        for mention in document.mentions or ()
        if mention.kb_id is not None
    ]
    return random.Random(0).sample(mentions, min(n, len(mentions)))


class _Ids:
    """Ids by row, read beforehand: they are no part of finding candidates."""

    def __init__(self, kb: DweKnowledgeBase) -> None:
        self._ids = dict(zip(rows := kb.all_rows(1).rows.tolist(), kb.ids(rows)))

    def of(self, candidates: Sequence[np.ndarray]) -> list[list[str]]:
        return [[self._ids[row] for row in rows.tolist()] for rows in candidates]


def _names(entities: list[Entity]) -> Iterator[tuple[str, str]]:
    for entity in entities:
        yield entity.title, entity.id
        for alias in entity.aliases:
            yield alias.alias, entity.id


def _misspelt(word: str, draw: random.Random) -> str:
    """A letter left out, doubled, changed, or two swapped."""
    i = draw.randrange(1, len(word))
    kind = draw.randrange(4)
    if kind == 0:
        return word[:i] + word[i + 1 :]
    if kind == 1:
        return word[:i] + word[i - 1] + word[i:]
    if kind == 2:
        return word[:i] + draw.choice("aeioubdfgklmnprstv") + word[i + 1 :]
    return word[: i - 1] + word[i] + word[i - 1] + word[i + 1 :]


def _anonymous_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main()
