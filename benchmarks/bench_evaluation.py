"""What evaluation adds to linking: metrics, intervals, breakdowns.

    python benchmarks/bench_evaluation.py
    python benchmarks/bench_evaluation.py --kb my.kb --documents labelled.jsonl

Without files, entities and 5,000 mentions with some 100 candidates each are made up.
`ratio` is CPU time in terms of linking the same documents by `nlp.pipe` in the same
process, encoders' outputs known to both.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import spacy
from bench_candidates import made_up_mentions
from bench_names import made_up
from spacy.tokens import Doc
from wasabi import table

from spacy_dwe.building.build import build_kb
from spacy_dwe.documents import Document, MentionRecord, labelled_docs
from spacy_dwe.documents import make_docs as docs_of
from spacy_dwe.evaluation.bootstrap import DRAWS
from spacy_dwe.evaluation.evaluate import evaluate_docs

MENTIONS = 5000
ENTITIES = 20_000
RUNS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kb", type=Path, help="a KB to link to")
    parser.add_argument("--documents", type=Path, help="labelled documents")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        nlp = spacy.blank("en")
        linker = nlp.add_pipe("dwe_linker")
        if arguments.kb is None:
            entities = made_up(ENTITIES)
            linker.load_kb(build_kb(entities, Path(folder) / "made-up.kb").path)
            docs = [
                doc
                for number, mention in enumerate(made_up_mentions(entities, MENTIONS))
                for doc in docs_of(nlp, labelled(number, mention), with_gold=True)
            ]
        else:
            linker.load_kb(arguments.kb)
            docs = list(labelled_docs(nlp, arguments.documents))
        rows = measure(nlp, linker, docs)
    header = ("", "CPU s", "ratio")
    print(table(rows, header=header, divider=True, aligns=("l", "r", "r")))


def labelled(number: int, mention: object) -> Document:
    text = mention.context
    start = text.index(mention.text)
    record = MentionRecord(start, start + len(mention.text), mention.gold, True)
    return Document(str(number), text, (), (record,))


def measure(nlp, linker, docs: list[Doc]) -> list[tuple[str, str, str]]:
    def linking() -> None:
        questions = [doc.copy() for doc in docs]
        list(nlp.pipe(questions, batch_size=256))

    def bare() -> None:
        evaluate_docs(nlp, linker, docs, draws=0)

    def full() -> None:
        evaluate_docs(nlp, linker, docs, draws=DRAWS, seen=set())

    works = {
        "link": linking,
        "evaluate, no intervals": bare,
        f"evaluate, {DRAWS:,} draws": full,
    }
    linking()
    seconds = {name: best(work) for name, work in works.items()}
    base = seconds["link"]
    return [(name, f"{s:.2f}", f"{s / base:.3f}") for name, s in seconds.items()]


def best(work: Callable[[], None]) -> float:
    times = []
    for _ in range(RUNS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


if __name__ == "__main__":
    main()
