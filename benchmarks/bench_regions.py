"""What regions are worth on photographs with other things in them.

Each document's photograph is laid on a canvas beside two others, of entities with
another name: "right", or a third such one stands in its place: "foreign". The linker is
untrained, mentions are those that text does not decide.

    python benchmarks/bench_regions.py DATA KB
"""

import argparse
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import spacy
from PIL import Image
from spacy.language import Language
from tqdm import tqdm

from spacy_dwe.encoders.visual.extractor import VisualExtractor
from spacy_dwe.encoders.visual.objects import GridRegions

CANVAS = 620, 470
SHARES = (0.21, 0.30), (0.10, 0.18), (0.10, 0.18)
"""Of the canvas that each photograph takes; the document's own is the first."""
LONGEST = 340
TRIES = 200
SLACK = (-0.06, 0.10)
"""How much wider than the photograph a box is, on each side."""

Box = tuple[int, int, int, int]


class Scene(NamedTuple):
    """A canvas, where its photographs are, and the document that it stands beside."""

    image: Image.Image
    boxes: list[list[float]]
    document: dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "data", type=Path, help="folder with entities.jsonl, SPLIT.jsonl"
    )
    parser.add_argument("kb", type=Path, help="its KB, with pictures")
    parser.add_argument("--split", default="dev")
    parser.add_argument("--limit", type=int, help="documents")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    nlp = spacy.blank("en")
    nlp.add_pipe("dwe_linker").load_kb(args.kb)
    for kind in ("right", "foreign"):
        made = scenes(args.data, args.split, kind, args.seed, args.limit)
        some = list(tqdm(made, f"Laying {kind}"))
        for views in ("whole", "box", "boxes", "grid"):
            print(f"{kind:8}{views:6}", measured(nlp, some, views), flush=True)


def measured(nlp: Language, some: list[Scene], views: str) -> str:
    """RETURNS (str): Top-1, and of the mentions that are linked the shares of all."""
    grid = VisualExtractor(GridRegions()) if views == "grid" else None
    nlp.get_pipe("dwe_linker").visual = grid  # type: ignore[attr-defined]
    n_boxes = {"box": 1, "boxes": 3}.get(views, 0)
    docs = []
    for scene in some:
        (mention,) = scene.document["mentions"]
        doc = nlp.make_doc(scene.document["text"])
        ends = mention["start"], mention["end"]
        doc.ents = [doc.char_span(*ends, label="X", alignment_mode="expand")]
        doc._.images = [{"data": scene.image, "boxes": scene.boxes[:n_boxes]}]
        docs.append(doc)
    top = right = linked = sure = 0
    for scene, doc in zip(some, nlp.pipe(docs)):
        (ent,), gold = doc.ents, scene.document["mentions"][0]["kb_id"]
        best = ent._.kb_candidates[0]
        is_linked = ent.kb_id_ != "NIL"
        top += best.id == gold
        right += ent.kb_id_ == gold
        linked += is_linked
        sure += is_linked and best.probability >= 0.9
    shares = [each / len(some) for each in (top, right, linked, sure)]
    names = "top-1", "linked right", "linked", "with p ≥ .9"
    return "  ".join(f"{name} {share:.3f}" for name, share in zip(names, shares))


def scenes(
    data: Path, split: str, kind: str, seed: int, limit: int | None
) -> Iterator[Scene]:
    """YIELDS (Scene): of each document whose text does not decide."""
    drawn = random.Random(seed)
    names = {e["id"]: names_of(e) for e in read(data / "entities.jsonl")}
    documents = list(read(data / f"{split}.jsonl"))
    photos = [(d["images"][0], d["mentions"][0]["kb_id"]) for d in documents]
    open_ones = [
        each for each in documents if "undecidable" in each["mentions"][0]["groups"]
    ]
    drawn.shuffle(open_ones)
    for document in open_ones[:limit]:
        mention = document["mentions"][0]
        said = document["text"][mention["start"] : mention["end"]].lower()
        others = [path for path, entity in photos if said not in names[entity]]
        paths = drawn.sample(others, 3)
        if kind == "right":
            paths[0] = document["images"][0]
        laid = lay(drawn, [Image.open(data / p).convert("RGB") for p in paths])
        yield Scene(*laid, document)


def lay(
    drawn: random.Random, photos: list[Image.Image]
) -> tuple[Image.Image, list[list[float]]]:
    """RETURNS (tuple): canvas, and loose boxes of the photographs on it."""
    noise = Image.frombytes("RGB", (4, 3), drawn.randbytes(36))
    canvas = noise.resize(CANVAS, Image.Resampling.BICUBIC)
    boxes: list[Box] | None = None
    while boxes is None:
        boxes = places(drawn, [sized(drawn, *each) for each in zip(photos, SHARES)])
    for photo, box in zip(photos, boxes):
        size = box[2] - box[0], box[3] - box[1]
        canvas.paste(photo.resize(size, Image.Resampling.LANCZOS), box[:2])
    return canvas, [loose(drawn, box) for box in boxes]


def sized(
    drawn: random.Random, photo: Image.Image, shares: tuple[float, float]
) -> tuple[int, int]:
    """RETURNS (tuple[int, int]): width and height that a photograph gets."""
    area = drawn.uniform(*shares) * CANVAS[0] * CANVAS[1]
    scale = (area / (photo.width * photo.height)) ** 0.5
    scale = min(scale, LONGEST / max(photo.size))
    return int(scale * photo.width), int(scale * photo.height)


def places(drawn: random.Random, sizes: list[tuple[int, int]]) -> list[Box] | None:
    """RETURNS (list[Box] | None): beside each other; None where none was found."""
    taken: list[Box] = []
    for size in sizes:
        for _ in range(TRIES):
            left = drawn.randint(0, CANVAS[0] - size[0])
            top = drawn.randint(0, CANVAS[1] - size[1])
            box = left, top, left + size[0], top + size[1]
            if not any(overlap(box, other) for other in taken):
                taken.append(box)
                break
    return taken if len(taken) == len(sizes) else None


def overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def loose(drawn: random.Random, box: Box) -> list[float]:
    """RETURNS (list[float]): as somebody draws it by hand."""
    left, top, right, bottom = box
    x, y = right - left, bottom - top
    a, b, c, d = (drawn.uniform(*SLACK) for _ in range(4))
    return [left - a * x, top - b * y, right + c * x, bottom + d * y]


def names_of(entity: dict[str, Any]) -> set[str]:
    aliases = entity.get("aliases", [])
    said = [each if isinstance(each, str) else each["alias"] for each in aliases]
    return {name.lower() for name in [entity["title"], *said]}


def read(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


if __name__ == "__main__":
    sys.exit(main())
