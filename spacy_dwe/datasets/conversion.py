"""From a dataset as published to entities.jsonl and a file of documents a split."""

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..errors import BAR_DELAY, DweError, Errors
from ..files import (
    replacing_folder,
    require_file,
    write_json,
    writing,
    writing_jsonl,
)
from ..kb.entity import Entity
from .grocery import GROCERY, read_grocery
from .mel import read_mel
from .mimic import find_mimic, read_mimic
from .published_files import (
    ACCOUNT,
    ENTITIES,
    PictureFolders,
    PicturePaths,
    check_output,
    not_published,
)
from .samples import PublishedDataset, Sample, fits, place_mentions
from .splits import (
    HELD_OUT,
    golds_are_apart,
    hold_out,
    require_share,
    some_entities,
)
from .statistics import dataset_statistics
from .wikidiverse import WIKIDIVERSE, read_wikidiverse

DESCRIPTIONS = ("long", "brief", "none")
LEFT_OUT = "left-out.tsv"
IMAGE_FOLDERS = ("images", "mention_image", "kb_image", "wikinewsImgs")
"""Folders of pictures that datasets are published with."""


@dataclass(frozen=True, slots=True)
class ConversionOptions:
    """What a user may choose.

    images (Path | None): folder of pictures; None = those of `IMAGE_FOLDERS` that lie
        in the dataset.
    descriptions (str): "long", "brief" or "none".
    descriptions_file (Path | None): entities.jsonl with better descriptions, or
        WikiDiverse's own table of them.
    hold_out (float): share of train to move to held-out.jsonl.
    kb_share (float): share of the entities to keep, see `splits.is_kept`. Documents
        stay as they are, so some golds are then outside the KB.
    seed (int): chooses what is held out, and what is kept; for grocery the sentences,
        too.
    image_urls (bool): give URLs of pictures as images, to be downloaded when they are
        looked at; else they are kept under "image_url".
    overwrite (bool): replace a converted dataset that is there.
    """

    images: Path | None = None
    descriptions: str = "long"
    descriptions_file: Path | None = None
    hold_out: float = 0.0
    kb_share: float = 1.0
    seed: int = 0
    image_urls: bool = False
    overwrite: bool = False


def convert_dataset(
    name: str,
    src: Path,
    out: Path,
    options: ConversionOptions | None = None,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Convert a published dataset to a folder, which is written whole or not at all.

    name (str): wikimel, richpedia, wikidiverse, mimic or grocery.
    src (Path): folder of its files.
    out (Path): folder for entities.jsonl, train.jsonl, dev.jsonl and test.jsonl (those
        that there are), held-out.jsonl, account.json, and left-out.tsv if something is
        left out.
    options (ConversionOptions | None): None means the defaults.
    show_progress (bool): show progress bars on stderr.
    RETURNS (dict[str, Any]): what account.json holds.
    RAISES (DweError): a file is missing or malformed, or `out` cannot be written.
    """
    options = options or ConversionOptions()
    _check(options)
    dataset = read_published(name, src, options)
    check_output(src, out, options.overwrite)
    conversion: dict[str, Any] = {
        "dataset": name,
        "layout": dataset.layout,
        "entities_from": dataset.entities_from,
        "descriptions_from": dataset.descriptions,
    }
    if options.descriptions_file is not None:
        from .descriptions import describe

        described = describe(dataset.entities, options.descriptions_file)
        conversion["descriptions_from"] = options.descriptions_file.name
        conversion["described_from_file"] = described
    if options.hold_out:
        if "train" not in dataset.splits:
            raise DweError(Errors.E261.format(path=src))
        apart = golds_are_apart(dataset.splits)
        train, held_out = hold_out(
            dataset.splits["train"], options.hold_out, options.seed, apart=apart
        )
        dataset.splits["train"] = train
        dataset.splits = {"train": train, HELD_OUT: held_out, **dataset.splits}
        conversion["hold_out"] = {
            "fraction": options.hold_out,
            "seed": options.seed,
            "samples": len(held_out),
            "golds_apart": apart,
        }
    if options.kb_share < 1:
        n, share = len(dataset.entities), options.kb_share
        kept = some_entities(dataset.entities, share, options.seed, src)
        dataset.entities = kept
        chosen = {"share": share, "seed": options.seed, "kept": len(kept), "of": n}
        conversion["kb_share"] = chosen
    with replacing_folder(out) as draft:
        pictures = _pictures(src, options, dataset)
        writer = _Writer(dataset, pictures, options.image_urls, show_progress)
        writer.write(draft)
        conversion |= writer.counts()
        result = dataset_statistics(draft, conversion, show_progress)
        write_json(draft / ACCOUNT, result)
    return result


def read_published(
    name: str, src: Path, options: ConversionOptions
) -> PublishedDataset:
    """RETURNS (PublishedDataset): a dataset in whichever layout its files have.
    RAISES (DweError): a file is missing or malformed."""
    if src.is_file() or not src.exists():
        raise not_published(src, name, ())
    if name == GROCERY:
        return read_grocery(src, options.images, options.seed)
    if name == "mimic" or find_mimic(src):
        return read_mimic(src, options.descriptions)
    if name == WIKIDIVERSE:
        return read_wikidiverse(src)
    return read_mel(src, name, options.descriptions)


def _check(options: ConversionOptions) -> None:
    require_share("--kb-share", options.kb_share)
    wrong: list[tuple[str, str, object]] = []
    if options.descriptions not in DESCRIPTIONS:
        expected = ", ".join(DESCRIPTIONS)
        wrong.append(("--descriptions", expected, options.descriptions))
    if not 0 <= options.hold_out < 1:
        wrong.append(("--hold-out", "a share of 0 to 1", options.hold_out))
    if options.images is not None and not options.images.is_dir():
        wrong.append(("--images", "a folder", options.images))
    for option, expected, value in wrong:
        raise DweError(
            Errors.E135.format(option=option, expected=expected, value=value)
        )
    if options.descriptions_file is not None:
        require_file(options.descriptions_file)


def _pictures(
    src: Path, options: ConversionOptions, dataset: PublishedDataset
) -> PictureFolders | PicturePaths:
    if dataset.picture_root is not None:
        return PicturePaths(dataset.picture_root)
    if options.images is not None:
        return PictureFolders([options.images])
    folders = [src / name for name in IMAGE_FOLDERS]
    return PictureFolders([folder for folder in folders if folder.is_dir()])


@dataclass
class _Writer:
    """Writes a dataset and counts what happens to it."""

    dataset: PublishedDataset
    pictures: PictureFolders | PicturePaths
    image_urls: bool
    show_progress: bool = False
    missing_images: dict[str, int] = field(default_factory=dict)
    moved: dict[str, int] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        with writing_jsonl(folder / ENTITIES) as write:
            for entity in self.dataset.entities.values():
                write(self._pictured(entity).to_json())
        for split, samples in self.dataset.splits.items():
            with writing_jsonl(folder / f"{split}.jsonl") as write:
                shown = tqdm(
                    samples,
                    desc=split,
                    delay=BAR_DELAY,
                    leave=False,
                    disable=not self.show_progress,
                )
                for sample in shown:
                    write(self._document(sample, split))
        if self.dataset.left_out:
            with writing(folder / LEFT_OUT) as file:
                file.write("where\twhat\treason\n")
                for item in self.dataset.left_out:
                    cells = (item.where, item.what, item.reason)
                    file.write("\t".join(" ".join(c.split()) for c in cells) + "\n")

    def counts(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): what the files that were written do not tell."""
        splits = self.dataset.splits
        ids = {split: {s.id for s in samples} for split, samples in splits.items()}
        shared = {
            f"{a}/{b}": len(ids[a] & ids[b])
            for a, b in combinations(splits, 2)
            if ids[a] & ids[b]
        }
        without = self.dataset.without_sample
        return {
            "distinct_samples": len(set().union(*ids.values())),
            "same_sample_in_two_splits": shared,
            "split_ids_without_sample": {k: len(v) for k, v in without.items()},
            "published_offsets_not_used": self.moved,
            "images_not_found": self.missing_images,
            "left_out": len(self.dataset.left_out),
            "left_out_because": dict(Counter(i.reason for i in self.dataset.left_out)),
        }

    def _pictured(self, entity: Entity) -> Entity:
        names = self.dataset.entity_images.get(entity.id, [])
        found = [self.pictures.find(name) for name in names or [entity.id]]
        images = tuple(dict.fromkeys(path for path in found if path is not None))
        self._count("entities", len(names) - len(images))
        return replace(entity, images=images) if images else entity

    def _count(self, where: str, n: int) -> None:
        if n > 0:
            self.missing_images[where] = self.missing_images.get(where, 0) + n

    def _document(self, sample: Sample, split: str) -> dict[str, Any]:
        placed = place_mentions(sample.sentence, sample.mentions)
        mentions = []
        for mention, (start, end), added in zip(
            sample.mentions, placed.spans, placed.added
        ):
            record: dict[str, Any] = {
                "start": start,
                "end": end,
                "kb_id": mention.kb_id,
            }
            if mention.type:
                record["type"] = mention.type
            if added:
                record["added"] = True
            elif placed.text[start:end] != mention.text:
                record["published"] = mention.text
            if mention.candidates:
                record["candidates"] = list(mention.candidates)
            if mention.groups:
                record["groups"] = list(mention.groups)
            mentions.append(record)
            if mention.span is not None and not fits(sample.sentence, mention):
                self.moved[split] = self.moved.get(split, 0) + 1
        document = {"id": sample.id, "text": placed.text, "mentions": mentions}
        return {**document, **self._images(sample, split), **sample.extra}

    def _images(self, sample: Sample, split: str) -> dict[str, Any]:
        path = self.pictures.find(sample.image) if sample.image else None
        path = path or self.pictures.find_download(sample.image_url)
        if path is None and not sample.image:
            path = self.pictures.find(sample.id)
        result: dict[str, Any] = {} if path is None else {"images": [path]}
        if path is None:
            self._count(split, 1)
        if sample.image_url:
            if self.image_urls and path is None:
                result["images"] = [sample.image_url]
            result["image_url"] = sample.image_url
        return result
