"""Mentions linked a second, beside spaCy's own EntityLinker in the same process.

    python benchmarks/bench_link.py
    python benchmarks/bench_link.py --entities my.entities.jsonl --documents my.jsonl

Both link the mentions given in the documents by name, without any weights trained:
dwe_linker ranks up to 100 candidates with its name channel, EntityLinker looks the
exact name up and runs its untrained encoder. The last row is `dwe link` from JSONL to
JSONL: reading, tokenising, linking, writing, but no imports. Wall times, the best of
several runs.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import spacy
from bench_names import made_up
from spacy.kb import InMemoryLookupKB
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.vocab import Vocab
from wasabi import table

from spacy_dwe.building.build import build_kb
from spacy_dwe.cli.link import link
from spacy_dwe.documents import make_docs, read_documents
from spacy_dwe.files import writing_jsonl
from spacy_dwe.kb.entity import Entity, read_entities

RUNS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entities", type=Path, help="entities.jsonl to link to")
    parser.add_argument("--documents", type=Path, help="documents.jsonl to link")
    arguments = parser.parse_args()
    entities = (
        list(read_entities(arguments.entities))
        if arguments.entities
        else made_up(20_000)
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kb = folder / "bench.kb"
        build_kb(entities, kb)
        documents = arguments.documents or _made_up_documents(entities, folder)
        rows = measure(entities, kb, documents, folder / "links.jsonl")
    header = ("linker", "mentions/s", "ratio")
    print(table(rows, header=header, divider=True, aligns=("l", "r", "r")))


def measure(
    entities: Sequence[Entity], kb: Path, documents: Path, out: Path
) -> list[tuple[str, str, str]]:
    ours = spacy.blank("en")
    ours.add_pipe("dwe_linker", config={"channels": ["name"]}).load_kb(kb)
    theirs = _entity_linker(entities)
    records = list(read_documents(documents))
    docs = [doc for record in records for doc in make_docs(ours, record)]
    n = sum(len(doc.ents) for doc in docs)
    their_docs = [_moved(doc, theirs.vocab) for doc in docs]
    dwe = n / _best(lambda: list(ours.pipe(docs, batch_size=256)))
    stock = n / _best(lambda: list(theirs.pipe(their_docs, batch_size=256)))
    file = n / _best(lambda: link("blank:en", documents, out, kb=kb, channels=["name"]))
    return [
        ("spaCy EntityLinker", f"{stock:,.0f}", "1.0"),
        ("dwe_linker", f"{dwe:,.0f}", f"{dwe / stock:.1f}"),
        ("dwe link, file to file", f"{file:,.0f}", f"{file / stock:.1f}"),
    ]


def _entity_linker(entities: Sequence[Entity]) -> Language:
    nlp = spacy.blank("en")

    def load(vocab: Vocab) -> InMemoryLookupKB:
        kb = InMemoryLookupKB(vocab, entity_vector_length=64)
        by_name: dict[str, list[str]] = {}
        for entity in entities:
            kb.add_entity(entity=entity.id, freq=1, entity_vector=[0.1] * 64)
            by_name.setdefault(entity.title, []).append(entity.id)
        for name, ids in by_name.items():
            kb.add_alias(
                alias=name, entities=ids, probabilities=[0.99 / len(ids)] * len(ids)
            )
        return kb

    linker = nlp.add_pipe("entity_linker")
    doc = nlp.make_doc(entities[0].title)
    doc.ents = [Span(doc, 0, len(doc), label="ENTITY", kb_id=entities[0].id)]
    doc[0].is_sent_start = True
    example = Example(doc.copy(), doc)
    linker.initialize(lambda: [example], nlp=nlp, kb_loader=load)
    return nlp


def _moved(doc: Doc, vocab: Vocab) -> Doc:
    """The same document for the other pipeline, one sentence long, which EntityLinker
    cannot do without."""
    moved = Doc(vocab).from_bytes(doc.to_bytes(exclude=["user_data"]))
    for token in moved:
        token.is_sent_start = token.i == 0
    return moved


def _made_up_documents(entities: Sequence[Entity], folder: Path) -> Path:
    rng = random.Random(0)
    path = folder / "documents.jsonl"
    with writing_jsonl(path) as write:
        for number in range(4000):
            gold = rng.choice(entities)
            text = f"In {rng.randrange(1900, 2000)} {gold.title} was seen in the town."
            mention = {"start": 8, "end": 8 + len(gold.title)}
            write({"id": str(number), "text": text, "mentions": [mention]})
    return path


def _best(work: Callable[[], object]) -> float:
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    main()
