"""What pictures cost beside the bare encoder.

    python benchmarks/bench_pictures.py --n 10000

A KB of n entities with some pictures each and n documents with one each, made-up JPEGs
on disk; there are no descriptions, so that no text is encoded. Milliseconds a picture
for decoding, resizing and the bare encoder, each alone; then for `kb build`, linking
the documents and linking them again, whole, and as multiples of the encoder. Last,
what is on disk, and what the cache takes with token states and without.

The encoder is an open_clip architecture with random weights: time does not depend on
their values, so nothing is downloaded. Peak memory is that of the process.
"""

import argparse
import logging
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import spacy
import torch
from bench_encoders import random_clip
from bench_names import made_up
from PIL import Image
from wasabi import msg

from spacy_dwe.building.build import build_kb
from spacy_dwe.documents import labelled_docs
from spacy_dwe.encoders.cache import FeatureCache
from spacy_dwe.encoders.protocol import MentionText, Reading
from spacy_dwe.encoders.registry import LazyClipEncoder, clip_encoder
from spacy_dwe.encoders.store import DiskStore, folder_beside
from spacy_dwe.files import write_jsonl
from spacy_dwe.images import decode
from spacy_dwe.kb.entity import Entity
from spacy_dwe.linking.pictures import DRAFT

SAMPLE = 64
"""Pictures that the steps are measured on, each alone."""
MENTIONS = 1000
"""Mentions that tell how much room token states take."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=500, help="entities, and documents")
    parser.add_argument("--per-entity", type=int, default=3, help="its pictures")
    parser.add_argument("--size", default="1280x960", help="of a picture, in pixels")
    parser.add_argument("--model", default="ViT-B-32", help="open_clip model name")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--folder", type=Path, help="keep everything here")
    args = parser.parse_args()
    logging.disable(logging.WARNING)  # open_clip minds that the weights are random
    with tempfile.TemporaryDirectory() as name:
        folder = args.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        width, height = map(int, args.size.split("x"))
        files = write_pictures(folder, args.n * (1 + args.per_entity), width, height)
        # In a process of its own: what making the weights takes is no part of the peak.
        making = get_context("spawn").Process(
            target=random_clip, args=(args.model, folder, "cpu")
        )
        making.start()
        making.join()
        clip = clip_encoder(f"local-dir:{folder}", device=args.device)
        of_documents, of_entities = files[: args.n], files[args.n :]
        entities = pictured(made_up(args.n), of_entities)
        whole = whole_rows(folder, entities, of_documents, clip)
        peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        steps = step_rows(clip, files[:SAMPLE])
        encoder_ms = steps[-1][1]
        msg.divider(f"{args.model} on {clip.device}, {torch.get_num_threads()} threads")
        rows = [
            (name, f"{ms:.2f}", f"{ms / encoder_ms:.2f} x")
            for name, ms in steps + whole
        ]
        header = (f"{args.size} JPEG", "ms a picture", "of the encoder")
        msg.table(rows, header=header, divider=True, aligns=("l", "r", "r"))
        sizes = size_rows(folder, clip, entities, args.n)
        sizes.append(("peak memory of all but the steps", f"{peak / 1e6:,.1f}"))
        msg.table(sizes, header=("", "MB"), divider=True, aligns=("l", "r"))


def write_pictures(folder: Path, n: int, width: int, height: int) -> list[Path]:
    """Smooth noise; those that are there are left as they are."""
    rng = np.random.default_rng(0)
    (folder / "pictures").mkdir(exist_ok=True)
    files = [folder / "pictures" / f"{i}.jpg" for i in range(n)]
    for file in files:
        coarse = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        if not file.exists():
            picture = Image.fromarray(coarse).resize((width, height))
            picture.save(file, "JPEG", quality=90)
    return files


def pictured(entities: Sequence[Entity], files: Sequence[Path]) -> list[Entity]:
    n = len(files) // len(entities)
    return [
        Entity(e.id, e.title, images=tuple(map(str, files[i * n : i * n + n])))
        for i, e in enumerate(entities)
    ]


def step_rows(
    encoder: LazyClipEncoder, files: Sequence[Path]
) -> list[tuple[str, float]]:
    """Steps one after another, in one thread but for torch's own."""
    data = [file.read_bytes() for file in files]
    pictures = [decode(each) for each in data]
    draft = DRAFT * max(encoder.input_size)
    ready = [encoder.resized(picture) for picture in pictures]
    encoder.encode_images(ready)
    runs: dict[str, Callable[[], object]] = {
        "decode": lambda: [decode(each) for each in data],
        "decode, no larger than needed": lambda: [
            decode(each, shortest=draft) for each in data
        ],
        "resize": lambda: [encoder.resized(picture) for picture in pictures],
        "bare encoder": lambda: encoder.encode_images(ready),
    }
    return [
        (name, 1000 * statistics.median(timed(run) for _ in range(3)) / len(files))
        for name, run in runs.items()
    ]


def whole_rows(
    folder: Path,
    entities: Sequence[Entity],
    files: Sequence[Path],
    clip: LazyClipEncoder,
) -> list[tuple[str, float]]:
    """As commands do it."""
    kb, documents = folder / "bench.kb", folder / "documents.jsonl"
    write_jsonl(documents, document_records(entities, files))
    n_of_kb = sum(len(entity.images) for entity in entities)
    built = timed(lambda: build_kb(entities, kb, clip=clip, overwrite=True))

    def link() -> None:
        nlp = spacy.blank("en")
        channels = ["name", "prior", "facts", "image"]
        config = {"clip": clip_spec(clip), "channels": channels}
        linker = nlp.add_pipe("dwe_linker", config=config)
        linker.load_kb(kb)
        linker.keep_features()
        for _ in nlp.pipe(labelled_docs(nlp, documents, folder)):
            pass

    linked, again = timed(link), timed(link)
    return [
        ("kb build", 1000 * built / n_of_kb),
        ("linking", 1000 * linked / len(files)),
        ("linking again", 1000 * again / len(files)),
    ]


def clip_spec(clip: LazyClipEncoder) -> dict[str, object]:
    return {key: value for key, value in clip.spec.items() if value is not None}


def document_records(
    entities: Sequence[Entity], files: Sequence[Path]
) -> Iterator[dict[str, object]]:
    for number, (entity, file) in enumerate(zip(entities, files)):
        text = f"In {1900 + number % 100} {entity.title} was seen, the {number}th time."
        mention = {"start": 8, "end": 8 + len(entity.title), "kb_id": entity.id}
        yield {
            "id": str(number),
            "text": text,
            "images": [str(file)],
            "mentions": [mention],
        }


def size_rows(
    folder: Path, encoder: LazyClipEncoder, entities: Sequence[Entity], n: int
) -> list[tuple[str, str]]:
    """Of the KB and of the cache, and of the cache's mentions by what is kept."""
    kb = folder / "bench.kb"
    beside = folder_beside(kb)
    assert beside is not None, "the folder is writable"
    rows = [
        ("KB", size_of(kb)),
        ("of it vectors", size_of(kb / "vectors")),
        ("cache beside it", DiskStore(beside).n_bytes),
    ]
    some = entities[:MENTIONS]
    mentions = [
        MentionText(f"In 1900 {e.title} was seen, the 1st time.", 8, 8 + len(e.title))
        for e in some
    ]
    for reading in (Reading.STATES, Reading.HALVES, Reading.POOLED):
        store = DiskStore(folder / f"mentions-{reading.name.lower()}")
        FeatureCache(store).mentions(encoder, mentions, reading)
        share = n / len(some)
        name = f"{n:,} mentions, {reading.name.lower()}"
        rows.append((name, round(store.n_bytes * share)))
    return [(name, f"{n_bytes / 1e6:,.1f}") for name, n_bytes in rows]


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
