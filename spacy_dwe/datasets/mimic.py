"""WikiMEL, Richpedia-MEL and WikiDiverse as cleaned for MIMIC."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ..kb.entity import Entity
from .mel import read_mentions
from .published_files import (
    Refuse,
    field_text,
    field_texts,
    not_published,
    read_json,
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
        value = read_json(path, dataset.left_out)
        dataset.splits[split] = merged(_samples(path, value, dataset.left_out))
    _read_entities(src / ENTITIES_FILE, keys, dataset)
    return dataset


def _samples(path: Path, value: Any, left_out: list[LeftOut]) -> Iterator[Sample]:
    for record, refuse in records(path, value):
        identifier = field_text(record, ("id",), refuse)
        where = f"{path.name}, {identifier}"
        texts = field_texts(record, ("mentions", "mention"), refuse)
        if texts is not None:
            record = {**record, "mentions": [unquote(text) for text in texts]}
        mentions = read_mentions(record, refuse, where, left_out, [])
        image = field_text(record, ("imgPath",), refuse, "")
        # All of its pictures were converted and called by what stands before a dot.
        yield Sample(
            identifier,
            field_text(record, ("sentence",), refuse),
            tuple(mentions),
            image.rsplit("/", 1)[-1].split(".")[0] or None,
        )


def _read_entities(
    path: Path, keys: tuple[str, ...], dataset: PublishedDataset
) -> None:
    for record, refuse in records(path, read_json(path, dataset.left_out)):
        qid = field_text(record, ("qid", "answer"), refuse)
        title = unquote(field_text(record, ("entity_name",), refuse, "")).strip()
        reason = "an entity without a title" if not title else ""
        if qid in dataset.entities:
            reason = "an entity with the id of an earlier one"
        if reason:
            dataset.left_out.append(LeftOut(path.name, f"{qid} {title}", reason))
            continue
        dataset.entities[qid] = Entity(
            qid, title, _description(record, keys, refuse), extra=_type(record)
        )
        images = field_texts(record, ("image_list",), refuse)
        if images:
            dataset.entity_images[qid] = images


def _description(record: dict[str, Any], keys: tuple[str, ...], refuse: Refuse) -> str:
    texts = (field_text(record, (key,), refuse, "").strip() for key in keys)
    return next((text for text in texts if text), "")


def _type(record: dict[str, Any]) -> dict[str, str]:
    """What kind of entity it is; "entity" itself only says that it is no mention."""
    kind = record.get("type")
    return (
        {"type": kind} if isinstance(kind, str) and kind not in ("", "entity") else {}
    )
