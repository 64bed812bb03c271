"""Parts: splits as a dataset lists them, a part of train held out, a part of a KB."""

import hashlib
import random
import re
import warnings
from collections.abc import Hashable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from ..errors import DweError, Errors, Warnings
from ..kb.entity import Entity
from .published_files import SPLIT_NAMES, read_json, shown
from .samples import SPLITS, UNSPLIT, PublishedDataset, Sample

HELD_OUT = "held-out"

APART = 0.05
"""Share of the mentions of dev and test whose gold is in train, up to which golds are
taken to have been parted on purpose."""
ENOUGH = 0.95
"""Share of the samples asked for with which less is no surprise."""

_WORD = re.compile(r"\w+")


def split_as_listed(
    samples: Sequence[Sample], path: Path, dataset: PublishedDataset
) -> None:
    """Give samples to the splits of a list. One that several splits name is in each;
    one that none names is in `UNSPLIT`, as are all where there is no list; ids that no
    sample has are kept as such.

    samples (Sequence[Sample]): with distinct ids.
    path (Path): splits.json.
    dataset (PublishedDataset): given the samples.
    RAISES (DweError): it is something else.
    """
    splits = _listed(path, dataset) if path.is_file() else {}
    by_id = {sample.id: sample for sample in samples}
    for split in (name for name in SPLITS if name in splits):
        ids = splits[split]
        dataset.splits[split] = [by_id[i] for i in ids if i in by_id]
        without = [i for i in ids if i not in by_id]
        if without:
            dataset.without_sample[split] = without
    named = {i for ids in splits.values() for i in ids}
    rest = [sample for sample in samples if sample.id not in named]
    if rest or not splits:
        dataset.splits[UNSPLIT] = rest


def _listed(path: Path, dataset: PublishedDataset) -> dict[str, list[str]]:
    """RETURNS (dict[str, list[str]]): distinct ids by split."""
    value = read_json(path, dataset.left_out)
    if not isinstance(value, dict):
        raise DweError(Errors.E251.format(path=path, reason="no object of splits"))
    result: dict[str, list[str]] = {}
    for name, ids in value.items():
        split = SPLIT_NAMES.get(name.lower())
        if split is None or split in result or not isinstance(ids, list):
            reason = f"a list of ids for each of train, dev and test, not {shown(ids)}"
            raise DweError(Errors.E252.format(path=path, record=name, reason=reason))
        result[split] = list(dict.fromkeys(str(identifier) for identifier in ids))
    return result


def golds_are_apart(splits: Mapping[str, Sequence[Sample]]) -> bool:
    """Whether the published dev and test ask for entities that train does not show.

    splits (Mapping[str, Sequence[Sample]]): as published.
    RETURNS (bool): True as well where there is nothing but train.
    """
    golds = {
        split: [m.kb_id for each in samples for m in each.mentions if m.kb_id]
        for split, samples in splits.items()
    }
    shown = set(golds.pop("train", ()))
    asked = [kb_id for split in golds if split != UNSPLIT for kb_id in golds[split]]
    return sum(kb_id in shown for kb_id in asked) <= APART * len(asked)


def hold_out(
    train: Sequence[Sample], fraction: float, seed: int, *, apart: bool = True
) -> tuple[list[Sample], list[Sample]]:
    """Part train in two, so that the second can choose among checkpoints: samples with
    the same sentence stay together, so that none is in both, and, as in dev and test of
    some datasets, samples with a common gold. The same seed gives the same.

    train (Sequence[Sample]): the split.
    fraction (float): share of samples to hold out, at most. Where common golds tie most
        samples together there may be fewer, which is a warning.
    seed (int): of the choice.
    apart (bool): keep samples with a common gold together; see `golds_are_apart`.
    RETURNS (tuple[list[Sample], list[Sample]]): what stays, and what is held out, in
        the order of `train`.
    """
    groups = list(_tied(train, apart).values())
    random.Random(seed).shuffle(groups)
    room = round(fraction * len(train))
    chosen: set[int] = set()
    for group in groups:
        if len(chosen) + len(group) <= room:
            chosen.update(group)
    if len(chosen) < ENOUGH * room:
        warnings.warn(Warnings.W250.format(n=len(chosen), wanted=room), stacklevel=2)
    kept = [sample for i, sample in enumerate(train) if i not in chosen]
    return kept, [train[i] for i in sorted(chosen)]


def some_entities(
    entities: Mapping[str, Entity], share: float, seed: int, path: Path
) -> dict[str, Entity]:
    """A KB that holds a part of the world.

    entities (Mapping[str, Entity]): by id.
    share, seed: see `is_kept`.
    path (Path): where they are from.
    RETURNS (dict[str, Entity]): those that are kept, in their order.
    RAISES (DweError): these are none.
    """
    kept = {id_: own for id_, own in entities.items() if is_kept(id_, share, seed)}
    if not kept:
        n = len(entities)
        message = Errors.E262.format(share=share, seed=seed, n=n, path=path)
        raise DweError(message)
    return kept


def is_kept(identifier: str, share: float, seed: int) -> bool:
    """Whether an entity is in the part of a KB that a seed chooses, whatever else there
    is. Ids fall into n classes by their MD5 sum, and a share of m / n is m of them: the
    seeds 0 to 4 of a share of .2 part all entities in five.

    share (float): above 0, at most 1; to a thousandth.
    seed (int): which of the parts.
    """
    exact = Fraction(share).limit_denominator(1000)
    number = int(hashlib.md5(identifier.encode()).hexdigest(), 16)
    place = number - seed * exact.numerator
    return place % exact.denominator < exact.numerator


def require_share(option: str, share: float) -> None:
    """RAISES (DweError): it is no share of entities that could be kept."""
    if not 0.001 <= share <= 1:
        expected = "a share of 0.001 to 1"
        message = Errors.E135.format(option=option, expected=expected, value=share)
        raise DweError(message)


def _tied(train: Sequence[Sample], by_golds: bool) -> dict[int, list[int]]:
    """Samples by the first that each is tied to, directly or through others."""
    parents = list(range(len(train)))

    def root(i: int) -> int:
        while parents[i] != i:
            parents[i] = parents[parents[i]]
            i = parents[i]
        return i

    first_with: dict[Hashable, int] = {}
    for i, sample in enumerate(train):
        golds = {m.kb_id for m in sample.mentions if m.kb_id is not None}
        keys: list[Hashable] = [words_of(sample.sentence)]
        if by_golds:
            keys += golds
        for key in keys:
            a, b = root(first_with.setdefault(key, i)), root(i)
            parents[max(a, b)] = min(a, b)
    groups: dict[int, list[int]] = {}
    for i in range(len(train)):
        groups.setdefault(root(i), []).append(i)
    return groups


def words_of(text: str) -> tuple[str, ...]:
    """RETURNS (tuple[str, ...]): what is compared of a text."""
    return tuple(_WORD.findall(text.casefold()))
