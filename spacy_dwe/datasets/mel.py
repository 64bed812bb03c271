"""Richpedia-MEL and WikiMEL (Wikidata-MEL), as MEL-GHMFC and MELBench publish them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..kb.entity import Alias, Entity
from .published_files import (
    Record,
    first_file,
    not_published,
    read_names,
    records,
    split_files,
)
from .samples import LeftOut, PublishedDataset, Sample, SampleMention, merged
from .splits import split_as_listed

TITLES, NAMES = "qid2ne.json", "ne2qid.json"
DESCRIPTIONS = {
    "long": ("qid2abs_long.json", "qid2abs.json"),
    "brief": ("qid2abs.json",),
    "none": (),
}
"""Files that the descriptions are read from: the first that is there."""

SINGLE_FILES = {
    "richpedia": ("Richpedia-MEL.json", "Richpedia.json", "RichpediaMEL.json"),
    "wikimel": ("Wikidata-MEL.json", "WikiMEL.json", "Wiki-MEL.json"),
}
"""Names of a file with all samples."""

FOLDERS = ("", "input_data")
"""Where the files lie below the folder that is given."""


@dataclass(frozen=True, slots=True)
class MelFiles:
    """The files of a dataset.

    folder (Path): where they lie.
    single (Path | None): all samples in one file.
    splits (dict[str, Path]): else a file a split.
    """

    folder: Path
    single: Path | None
    splits: dict[str, Path]


def find_mel(src: Path, name: str) -> MelFiles | None:
    """RETURNS (MelFiles | None): the files below a folder, if they are there."""
    for below in FOLDERS:
        folder = src / below
        splits = split_files(folder)
        if splits:
            return MelFiles(folder, None, splits)
        single = first_file(folder, SINGLE_FILES[name])
        if single is not None:
            return MelFiles(folder, single, {})
    return None


def read_mel(src: Path, name: str, descriptions: str = "long") -> PublishedDataset:
    """Read Richpedia-MEL or WikiMEL.

    src (Path): folder of train.json, test.json and so on, or of one file with all
        samples and splits.json; with qid2ne.json, ne2qid.json, qid2abs.json.
    name (str): "richpedia" or "wikimel".
    descriptions (str): "long", "brief" or "none", see `DESCRIPTIONS`.
    RETURNS (PublishedDataset): all of it.
    RAISES (DweError): a file is missing or malformed.
    """
    files = find_mel(src, name)
    if files is None:
        one = SINGLE_FILES[name][0]
        expected = (
            f"train.json and test.json with {TITLES} (MEL-GHMFC)",
            f"{one} with splits.json and {TITLES} (MELBench)",
        )
        raise not_published(src, name, expected)
    has_list = bool(files.splits) or (files.folder / TITLES).is_file()
    dataset = PublishedDataset("MEL-GHMFC" if has_list else "MELBench")
    golds: list[tuple[str, str]] = []
    if files.single is not None:
        samples = merged(_samples(files.single, dataset, golds))
        split_as_listed(samples, files.single.with_name("splits.json"), dataset)
    else:
        for split, path in files.splits.items():
            dataset.splits[split] = merged(_samples(path, dataset, golds))
    _read_entities(files.folder, descriptions, dataset, golds)
    return dataset


def _samples(
    path: Path, dataset: PublishedDataset, golds: list[tuple[str, str]]
) -> Iterator[Sample]:
    for record in records(path, dataset.left_out):
        identifier, sentence = record.text("id"), record.text("sentence")
        mentions = tuple(read_mentions(record, golds))
        yield Sample(identifier, sentence, mentions, record.value.get("imgPath"))


def read_mentions(
    record: Record, golds: list[tuple[str, str]]
) -> Iterator[SampleMention]:
    """Mentions of a record that has parallel lists of them, or one of each.

    record (Record): those without text are noted in it.
    golds (list[tuple[str, str]]): told of right entities, id and name.
    YIELDS (SampleMention): the mentions; "nil" or an empty answer is NIL.
    RAISES (DweError): the lists differ in length.
    """
    texts = record.texts("mentions", "mention")
    answers = record.texts("answer", "answers", "qid")
    names = record.texts("entities", "entity")
    if texts is None or answers is None:
        missing = "mentions" if texts is None else "answer"
        raise record.refusal(f'"{missing}" is missing')
    names = [""] * len(answers) if names is None else names
    if not len(texts) == len(answers) == len(names):
        raise record.refusal(
            f"{len(texts)} mentions, {len(names)} entities and {len(answers)} answers"
        )
    for text, answer, name in zip(texts, answers, names):
        kb_id = None if is_nil(answer) else answer.strip()
        if kb_id is not None:
            golds.append((kb_id, name.strip() or kb_id))
        if not text.strip():
            record.leave_out(answer, "a mention without text")
            continue
        yield SampleMention(text.strip(), kb_id)


def is_nil(answer: str) -> bool:
    """RETURNS (bool): whether an answer says that no entity is meant."""
    return answer.strip().lower() in ("", "nil", "none", "null")


def _read_entities(
    folder: Path,
    descriptions: str,
    dataset: PublishedDataset,
    golds: list[tuple[str, str]],
) -> None:
    titles = dict(reversed(golds))
    dataset.entities_from = "the golds of the samples"
    if (folder / TITLES).is_file():
        titles = read_names(folder / TITLES, dataset.left_out)
        dataset.entities_from = TITLES
    elif dataset.layout == "MEL-GHMFC":
        raise not_published(folder, "the list of entities", (TITLES,))
    path = first_file(folder, DESCRIPTIONS[descriptions])
    texts = {} if path is None else read_names(path, dataset.left_out)
    dataset.descriptions = "none" if path is None else path.name
    aliases: dict[str, list[Alias]] = {}
    if (folder / NAMES).is_file():
        for name, qid in read_names(folder / NAMES, dataset.left_out).items():
            if qid in titles and name.strip() and name != titles[qid]:
                aliases.setdefault(qid, []).append(Alias(name))
    for qid, title in titles.items():
        if not title.strip():
            dataset.left_out.append(LeftOut(TITLES, qid, "an entity without a title"))
            continue
        dataset.entities[qid] = Entity(
            qid,
            title,
            texts.get(qid, "").strip(),
            tuple(aliases.get(qid, ())),
        )
    for qid in texts.keys() - titles.keys():
        assert path is not None
        reason = "a description of no entity"
        dataset.left_out.append(LeftOut(path.name, qid, reason))
