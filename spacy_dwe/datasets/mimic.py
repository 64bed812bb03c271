"""WikiMEL, Richpedia-MEL and WikiDiverse as cleaned for MIMIC."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from ..kb.entity import Entity
from .mel import read_mentions
from .published_files import (
    Record,
    not_published,
    records,
    split_files,
)
from .samples import LeftOut, PublishedDataset, Sample, merged

ENTITIES_FILE = "kb_entity.json"
DESCRIPTIONS = {"long": ("attr", "desc"), "brief": ("desc", "attr"), "none": ()}
"""Keys of an entity that its description is read from: the first that is not empty.
`attr` lists properties, `desc` is a short text."""


def find_mimic(src: Path) -> bool:
    """RETURNS (bool): whether a folder has MIMIC's layout."""
    return (src / ENTITIES_FILE).is_file()


def read_mimic(src: Path, descriptions: str = "long") -> PublishedDataset:
    """Read a dataset in MIMIC's layout.

    src (Path): folder of kb_entity.json and files such as WikiMEL_train.json.
    descriptions (str): "long", "brief" or "none", see `DESCRIPTIONS`.
    RETURNS (PublishedDataset): all of it.
    RAISES (DweError): a file is missing or malformed.
    """
    splits = split_files(src)
    if not find_mimic(src) or not splits:
        names = ", ".join(f"DATASET_{split}.json" for split in ("train", "dev", "test"))
        raise not_published(src, "MIMIC's cleaned data", (f"{ENTITIES_FILE}, {names}",))
    dataset = PublishedDataset("MIMIC", entities_from=ENTITIES_FILE)
    keys = DESCRIPTIONS[descriptions]
    dataset.descriptions = f"{keys[0]} of {ENTITIES_FILE}" if keys else "none"
    for split, path in splits.items():
        dataset.splits[split] = merged(_samples(path, dataset.left_out))
    _read_entities(src / ENTITIES_FILE, keys, dataset)
    return dataset


def _samples(path: Path, left_out: list[LeftOut]) -> Iterator[Sample]:
    for record in records(path, left_out):
        identifier = record.text("id")
        texts = record.texts("mentions", "mention")
        if texts is not None:
            unquoted = {"mentions": [unquote(text) for text in texts]}
            record = replace(record, value=record.value | unquoted)
        mentions = read_mentions(record, [])
        image = record.text("imgPath", default="")
        # All of its pictures were converted and called by what stands before a dot.
        yield Sample(
            identifier,
            record.text("sentence"),
            tuple(mentions),
            image.rsplit("/", 1)[-1].split(".")[0] or None,
        )


def _read_entities(
    path: Path, keys: tuple[str, ...], dataset: PublishedDataset
) -> None:
    for record in records(path, dataset.left_out):
        qid = record.text("qid", "answer")
        title = unquote(record.text("entity_name", default="")).strip()
        reason = "an entity without a title" if not title else ""
        if qid in dataset.entities:
            reason = "an entity with the id of an earlier one"
        if reason:
            dataset.left_out.append(LeftOut(path.name, f"{qid} {title}", reason))
            continue
        dataset.entities[qid] = Entity(
            qid, title, _description(record, keys), extra=_type(record)
        )
        images = record.texts("image_list")
        if images:
            dataset.entity_images[qid] = images


def _description(record: Record, keys: tuple[str, ...]) -> str:
    texts = (record.text(key, default="").strip() for key in keys)
    return next((text for text in texts if text), "")


def _type(record: Record) -> dict[str, str]:
    """What kind of entity it is; "entity" itself only says that it is no mention."""
    kind = record.value.get("type")
    is_told = isinstance(kind, str) and kind not in ("", "entity")
    return {"type": kind} if is_told else {}
