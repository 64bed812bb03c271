"""What pictures cost beside the bare encoder.

    python benchmarks/bench_pictures.py --n 10000 --size 640x480
    python benchmarks/bench_pictures.py --n 1000 --encoder timm:tf_efficientnet_lite0

A KB of n entities with some pictures each and n documents with one each, made-up JPEGs
on disk of which no two have the same bytes; there are no descriptions, so that no text
is encoded. Milliseconds a picture, by the clock and of all processors, for decoding,
preparing and the bare encoder, each alone; then for `kb build`, linking the documents
and linking them again, whole, and as multiples of the bare encoder. "Of it rest" is
what linking takes of the processors beside these steps. Then how many pictures the
encoder was given, and last what is on disk, and what the cache takes with token states
and without.

The encoder is an open_clip architecture, or a model as of `--picture-encoder`, with
random weights: time does not depend on their values, so nothing is downloaded. Peak
memory is that of the process.
"""

import argparse
import io
import logging
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import spacy
import timm
import torch
from bench_encoders import random_clip
from bench_names import made_up
from PIL import Image
from safetensors.torch import save_file
from wasabi import msg

from spacy_dwe.building.build import build_kb
from spacy_dwe.documents import labelled_docs
from spacy_dwe.encoders.cache import FeatureCache
from spacy_dwe.encoders.decoding import PICTURES_AT_A_TIME, shortest_side, stages
from spacy_dwe.encoders.names import PICTURE_LIBRARIES
from spacy_dwe.encoders.protocol import MentionText, Reading
from spacy_dwe.encoders.registry import (
    LazyClipEncoder,
    LazyPictureEncoder,
    clip_encoder,
    picture_encoder,
)
from spacy_dwe.encoders.store import DiskStore, folder_beside
from spacy_dwe.files import write_jsonl
from spacy_dwe.images import decode
from spacy_dwe.kb.entity import Entity

SAMPLE = 256
"""Pictures that the steps are measured on, each alone."""
RUNS = 3
"""Of each step; the median counts."""
MENTIONS = 1000
"""Mentions that tell how much room token states take."""
GRAIN = 6
"""Deviation of the noise on a picture, of 255; makes files as large as photographs."""

Encoder = LazyClipEncoder | LazyPictureEncoder


class Times(NamedTuple):
    """Seconds by the clock, and of all processors."""

    wall: float
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=500, help="entities, and documents")
    parser.add_argument("--per-entity", type=int, default=3, help="its pictures")
    parser.add_argument("--size", default="1280x960", help="of a picture, in pixels")
    parser.add_argument("--quality", type=int, default=85, help="of the JPEGs")
    parser.add_argument(
        "--encoder", default="ViT-B-32", help="open_clip model, or timm:NAME"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--folder", type=Path, help="keep everything here")
    args = parser.parse_args()
    logging.disable(logging.WARNING)  # open_clip minds that the weights are random
    with tempfile.TemporaryDirectory() as name:
        folder = args.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        width, height = map(int, args.size.split("x"))
        n_files = args.n * (1 + args.per_entity)
        files = write_pictures(folder, n_files, width, height, args.quality)
        # In a process of its own: what making the weights takes is no part of the peak.
        making = get_context("spawn").Process(
            target=make_weights, args=(args.encoder, folder)
        )
        making.start()
        making.join()
        encoder = encoder_of(args.encoder, folder, args.device)
        of_documents, of_entities = files[: args.n], files[args.n :]
        entities = pictured(made_up(args.n), of_entities)
        before = step_times(encoder, files[:SAMPLE])
        whole, counts = whole_times(folder, entities, of_documents, encoder)
        peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        after = step_times(encoder, files[:SAMPLE])
        steps = {
            name: Times(*(statistics.mean(pair) for pair in zip(one, after[name])))
            for name, one in before.items()
        }
        msg.divider(
            f"{args.encoder}, {torch.get_num_threads()} threads, {args.n:,} documents"
        )
        size = np.mean([file.stat().st_size for file in files[:SAMPLE]])
        header = f"JPEG, {size / 1e3:.0f} kB", "clock, ms", "processors, ms"
        msg.table(
            time_rows(steps, whole),
            header=(f"{args.size} {header[0]}", *header[1:], "of the encoder"),
            divider=True,
            aligns=("l", "r", "r", "r"),
        )
        rows = [(name, f"{n:,}") for name, n in counts.items()]
        msg.table(rows, header=("", "encoded"), divider=True, aligns=("l", "r"))
        sizes = size_rows(folder, encoder, entities, args.n)
        sizes.append(("peak memory", f"{peak / 1e6:,.1f}"))
        msg.table(sizes, header=("", "MB"), divider=True, aligns=("l", "r"))


def write_pictures(
    folder: Path, n: int, width: int, height: int, quality: int
) -> list[Path]:
    """Smooth noise with grain, some hundred pictures of which each file is one with
    bytes behind it that nobody reads; those that are there are left as they are."""
    rng = np.random.default_rng(0)
    (folder / "pictures").mkdir(exist_ok=True)
    made = []
    for _ in range(min(n, SAMPLE)):
        coarse = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        picture = np.asarray(Image.fromarray(coarse).resize((width, height)))
        grainy = picture + rng.normal(0, GRAIN, picture.shape)
        file = io.BytesIO()
        Image.fromarray(grainy.clip(0, 255).astype(np.uint8)).save(
            file, "JPEG", quality=quality
        )
        made.append(file.getvalue())
    files = [folder / "pictures" / f"{i}.jpg" for i in range(n)]
    for number, path in enumerate(files):
        if not path.exists():
            path.write_bytes(made[number % len(made)] + str(number).encode())
    return files


def make_weights(name: str, folder: Path) -> None:
    library, _, model = name.partition(":")
    if library != "timm":
        random_clip(name, folder, "cpu")
        return
    torch.manual_seed(0)
    weights = timm.create_model(model, pretrained=False).state_dict()
    save_file(weights, folder / "weights.safetensors")


def encoder_of(name: str, folder: Path, device: str) -> Encoder:
    if name.partition(":")[0] in PICTURE_LIBRARIES:
        weights = str(folder / "weights.safetensors")
        return picture_encoder(name, weights=weights, device=device)
    return clip_encoder(f"local-dir:{folder}", device=device)


def pictured(entities: Sequence[Entity], files: Sequence[Path]) -> list[Entity]:
    n = len(files) // len(entities)
    return [
        Entity(e.id, e.title, images=tuple(map(str, files[i * n : i * n + n])))
        for i, e in enumerate(entities)
    ]


def step_times(encoder: Encoder, files: Sequence[Path]) -> dict[str, Times]:
    """Steps one after another, in one thread but for torch's own."""
    data = [file.read_bytes() for file in files]
    prepare, encode = stages(encoder)
    shortest = shortest_side(encoder)
    pictures = [decode(each, shortest=shortest) for each in data]
    ready = [prepare(picture) for picture in pictures]
    at_once = PICTURES_AT_A_TIME // 2
    batches = [ready[i : i + at_once] for i in range(0, len(ready), at_once)]
    encode(batches[0])
    runs: dict[str, Callable[[], object]] = {
        "decode": lambda: [decode(each, shortest=shortest) for each in data],
        "prepare": lambda: [prepare(picture) for picture in pictures],
        "bare encoder": lambda: [encode(batch) for batch in batches],
    }
    times: dict[str, list[Times]] = {name: [] for name in runs}
    for _ in range(RUNS):
        for name, run in runs.items():
            wall, cpu = timed(run)
            times[name].append(Times(wall / len(files), cpu / len(files)))
    return {
        name: Times(*map(statistics.median, zip(*each))) for name, each in times.items()
    }


def whole_times(
    folder: Path, entities: Sequence[Entity], files: Sequence[Path], encoder: Encoder
) -> tuple[dict[str, Times], dict[str, int]]:
    """As commands do it.

    RETURNS (tuple): times a picture, and how many the encoder was given."""
    kb, documents = folder / "bench.kb", folder / "documents.jsonl"
    write_jsonl(documents, document_records(entities, files))
    is_clip = isinstance(encoder, LazyClipEncoder)
    spaces = {"clip" if is_clip else "pictures": encoder}

    def link() -> None:
        nlp = spacy.blank("en")
        channels = ["name", "prior", "facts", "image"]
        linker: Any = nlp.add_pipe("dwe_linker", config={"channels": channels})
        linker.load_kb(kb)
        linker.keep_features()
        for _ in nlp.pipe(labelled_docs(nlp, documents, folder)):
            pass

    runs: dict[str, tuple[Callable[[], object], int]] = {
        "kb build": (
            lambda: build_kb(entities, kb, encoders=spaces, overwrite=True),
            sum(len(entity.images) for entity in entities),
        ),
        "linking": (link, len(files)),
        "linking again": (link, len(files)),
    }
    times, counts = {}, {}
    with counted(encoder) as count:
        for name, (run, n) in runs.items():
            before = sum(count)
            wall, cpu = timed(run)
            times[name] = Times(wall / n, cpu / n)
            counts[name] = sum(count) - before
    return times, counts


@contextmanager
def counted(encoder: Encoder) -> Iterator[list[int]]:
    """YIELDS (list[int]): how many pictures each call of such an encoder had."""
    kind: Any = type(encoder._encoder())
    name = stages(encoder).encode.__name__
    plain, count = getattr(kind, name), []

    def counting(self: object, pictures: Sequence[Any], *args: Any) -> np.ndarray:
        count.append(len(pictures))
        vectors: np.ndarray = plain(self, pictures, *args)
        return vectors

    setattr(kind, name, counting)
    try:
        yield count
    finally:
        setattr(kind, name, plain)


def time_rows(
    steps: dict[str, Times], whole: dict[str, Times]
) -> list[tuple[str, str, str, str]]:
    bare = steps["bare encoder"].wall
    rows = [
        (name, f"{1000 * wall:.2f}", f"{1000 * cpu:.2f}", f"{wall / bare:.2f} x")
        for name, (wall, cpu) in {**steps, **whole}.items()
    ]
    rest = whole["linking"].cpu - sum(step.cpu for step in steps.values())
    at = [name for name, *_ in rows].index("linking") + 1
    rows.insert(at, ("   of it rest", "", f"{1000 * rest:.2f}", ""))
    return rows


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
    folder: Path, encoder: Encoder, entities: Sequence[Entity], n: int
) -> list[tuple[str, str]]:
    """Of the KB and of the cache, and of the cache's mentions by what is kept."""
    kb = folder / "bench.kb"
    beside = folder_beside(kb)
    assert beside is not None, "the folder is writable"
    vectors = [*(kb / "vectors").glob("*.npy")]
    standard = sum(f.stat().st_size for f in vectors if ".standard." in f.name)
    parts = (".offsets.", ".places.", ".keys.", ".standard.")
    raw = sum(
        f.stat().st_size for f in vectors if not any(part in f.name for part in parts)
    )
    rows = [
        ("KB", size_of(kb)),
        ("   of it vectors", raw),
        ("   of it vectors, standardised", standard),
        ("cache beside it", DiskStore(beside).n_bytes),
    ]
    if not isinstance(encoder, LazyClipEncoder):
        return [(name, f"{n_bytes / 1e6:,.1f}") for name, n_bytes in rows]
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


def timed(run: Callable[[], object]) -> Times:
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return Times(time.perf_counter() - wall, time.process_time() - cpu)


if __name__ == "__main__":
    main()
