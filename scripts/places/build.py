"""Building the "places" sample: entities, documents, photographs of drawn flags."""

import hashlib
import io
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tqdm
from PIL import Image

from places.data import Place, Places, read_places
from places.errors import Errors
from places.flags import draw
from places.photograph import shoot
from places.plan import Document, Picture, plan_sample
from places.scenes import scene
from spacy_dwe.errors import DweError
from spacy_dwe.files import write_jsonl

CANVAS = 144, 96
"""Width and height at which drawings wait to be photographed."""
PHOTOGRAPH = 112, 84
BATCH = 64
IMAGES = "images"
ENTITIES = "entities.jsonl"

Account = dict[str, Counter[str]]


def build_places(
    places_jsonl: Path, out: Path, seed: int = 0, scale: float = 1.0
) -> Account:
    """Write the sample, complete or not at all.

    places_jsonl (Path): the places, as `data.read_places` reads them.
    out (Path): a folder that will hold entities.jsonl, train.jsonl, dev.jsonl,
        test.jsonl, its controls test-permuted.jsonl and test-swapped.jsonl, and
        images/. An earlier sample there is replaced.
    seed (int): the same seed gives the same files.
    scale (float): of all sizes; below 1 for a quick look.
    RETURNS (dict[str, Counter[str]]): of each file, how many documents, pictures and
        mentions it has, and mentions of each group.
    """
    places = read_places(places_jsonl)
    if out.exists() and not _replaceable(out):
        raise DweError(Errors.E323.format(path=out))
    plan = plan_sample(places, seed, scale)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        wanted = {d.picture for ds in plan.documents.values() for d in ds if d.picture}
        files = _photograph(
            wanted.union(plan.pictures.values()), places, seed, temporary / IMAGES
        )
        entities = _entities(places, plan.pictures, files)
        write_jsonl(temporary / ENTITIES, entities)
        for stem, documents in plan.documents.items():
            records = (_record(document, files) for document in documents)
            write_jsonl(temporary / f"{stem}.jsonl", records)
        temporary.chmod(0o755)
        _take_place(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    account = {stem: _count(documents) for stem, documents in plan.documents.items()}
    return {"entities": _count_entities(places, plan.pictures), **account}


def _replaceable(out: Path) -> bool:
    return out.is_dir() and ((out / ENTITIES).is_file() or not any(out.iterdir()))


def _take_place(temporary: Path, out: Path) -> None:
    if out.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        out.rename(old / out.name)
        temporary.rename(out)
        shutil.rmtree(old)
    else:
        temporary.rename(out)


def _photograph(
    pictures: Iterable[Picture], places: Places, seed: int, folder: Path
) -> dict[Picture, str]:
    """Draw and photograph pictures; each purpose and batch with its own randomness.

    RETURNS (dict[Picture, str]): of each its file, relative to the sample.
    """
    folder.mkdir()
    drawings = {place.id: _drawing(place) for place in places.rows}
    order = sorted(pictures, key=lambda p: (p.purpose, p.number, p.subject or ""))
    files: dict[Picture, str] = {}
    progress = tqdm.tqdm(total=len(order), desc="Photographs", unit="picture")
    for batch in _batches(order):
        generator = torch.Generator().manual_seed(_seed(seed, batch[0]))
        shown = [_shown(picture, drawings, seed) for picture in batch]
        flags = torch.stack([pixels for pixels, _ in shown])
        ratios = torch.tensor([ratio for _, ratio in shown])
        shots = shoot(flags, ratios, PHOTOGRAPH[::-1], generator)
        chances = random.Random(_seed(seed, batch[0]))
        for picture, shot in zip(batch, shots, strict=True):
            data = _jpeg(shot, chances.randint(45, 90))
            name = f"{hashlib.sha256(data).hexdigest()[:16]}.jpg"
            (folder / name).write_bytes(data)
            files[picture] = f"{IMAGES}/{name}"
        progress.update(len(batch))
    progress.close()
    return files


def _drawing(place: Place) -> tuple[torch.Tensor, float]:
    image = draw(place.flag, CANVAS[1])
    return _pixels(image), image.width / image.height


def _pixels(image: Image.Image) -> torch.Tensor:
    """RETURNS (Tensor): in [0, 1]. Shape: (3, height, width)"""
    resized = image.resize(CANVAS, Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1) / 255


def _shown(
    picture: Picture, drawings: Mapping[str, tuple[torch.Tensor, float]], seed: int
) -> tuple[torch.Tensor, float]:
    if picture.subject is not None:
        return drawings[picture.subject]
    landscape = scene(random.Random(_seed(seed, picture)), CANVAS)
    return _pixels(landscape), CANVAS[0] / CANVAS[1]


def _batches(pictures: Sequence[Picture]) -> Iterator[Sequence[Picture]]:
    """Pictures of one purpose, so that adding one elsewhere changes none of them."""
    for purpose in sorted({picture.purpose for picture in pictures}):
        own = [picture for picture in pictures if picture.purpose == purpose]
        for start in range(0, len(own), BATCH):
            yield own[start : start + BATCH]


def _seed(seed: int, picture: Picture) -> int:
    text = f"{seed} {picture.purpose} {picture.number} {picture.subject}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


def _jpeg(shot: torch.Tensor, quality: int) -> bytes:
    """shot (Tensor): in [0, 1]. Shape: (3, height, width)"""
    pixels = (shot * 255).round().byte().permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return file.getvalue()


def _entities(
    places: Places, pictures: Mapping[str, Picture], files: Mapping[Picture, str]
) -> Iterator[dict[str, Any]]:
    for place in places.rows:
        prior = 1 / len(places.namesakes[place.name])
        picture = pictures.get(place.id)
        yield {
            "id": place.id,
            "title": place.title,
            "description": place.description,
            "aliases": [{"alias": place.name, "prior": prior}, *place.aliases],
            "images": [files[picture]] if picture else [],
            "url": f"https://www.wikidata.org/wiki/{place.id}",
        }


def _record(document: Document, files: Mapping[Picture, str]) -> dict[str, Any]:
    record: dict[str, Any] = {
        "id": document.id,
        "text": document.text,
        "images": [files[document.picture]] if document.picture else [],
        "mentions": [
            {"start": m.start, "end": m.end, "kb_id": m.gold, "groups": list(m.groups)}
            for m in document.mentions
        ],
    }
    if document.swapped_to:
        record["swapped_to"] = document.swapped_to
    return record


def _count(documents: Sequence[Document]) -> Counter[str]:
    counts = Counter(documents=len(documents))
    for document in documents:
        counts["pictures"] += document.picture is not None
        for mention in document.mentions:
            counts["mentions"] += 1
            counts.update(mention.groups)
    return counts


def _count_entities(places: Places, pictures: Mapping[str, Picture]) -> Counter[str]:
    return Counter(
        entities=len(places.rows),
        pictures=len(pictures),
        ambiguous_names=len(places.ambiguous),
        unseen=sum(place.unseen for place in places.rows),
    )
