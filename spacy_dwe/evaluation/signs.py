"""Three signs that a linker is less than its Top-1 says: the right entity is often near
and not first; trained again, it links otherwise; it does as well without what it is
said to read."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..model.spec import ATTRIBUTES, DWE
from .bootstrap import DRAWS, document_index, ratio_intervals
from .evaluate import linker_settings
from .outcomes import Outcome
from .ranking import ratio_terms

if TYPE_CHECKING:
    from ..pipeline import DweLinker

FINDINGS, PICTURES = "objects, faces and scenes", "pictures"
"""What can be taken away from a linker, beside `ATTRIBUTES`: the modality of scenes,
all that was found on pictures, so that these count as a whole, and pictures."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What one linker decided, in little room. Shape of each: (n_mentions,)

    top1, top5 (np.ndarray): the right entity is the first, or among the first five;
        False where the label is NIL.
    link (np.ndarray): a number for each entity, and one for NIL.
    """

    top1: np.ndarray
    top5: np.ndarray
    link: np.ndarray


@dataclass(slots=True)
class Trial:
    """Decisions about the same mentions, as they come in.

    documents (np.ndarray): number of the document of each mention.
    ranked (np.ndarray): mentions whose label is an entity: those that are counted.
    whole (dict): of each linker, by name.
    without (dict): of each linker, by what was taken away.
    """

    documents: np.ndarray
    ranked: np.ndarray
    whole: dict[str, Decided]
    without: dict[str, list[Decided]]
    _numbers: dict[str | None, int]

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> "Trial":
        """RETURNS (Trial): about these mentions, without any decision yet."""
        documents = document_index([outcome.document for outcome in outcomes])
        ranked = np.array([outcome.rank is not None for outcome in outcomes])
        return cls(documents, ranked, {}, {}, {})

    def decided(self, outcomes: Sequence[Outcome]) -> Decided:
        """RETURNS (Decided): what a linker decided about the mentions."""
        terms = ratio_terms(outcomes, ("top1", "top5"))
        numbers = self._numbers
        link = [numbers.setdefault(o.predicted, len(numbers)) for o in outcomes]
        top1, top5 = (terms[name][0].astype(bool) for name in ("top1", "top5"))
        return Decided(top1, top5, np.array(link, dtype=np.int32))


def switches(linker: "DweLinker") -> list[str]:
    """What a linker reads of pictures that can be taken away, pictures last.

    linker (DweLinker): has linked.
    RETURNS (list[str]): of `ATTRIBUTES`, `FINDINGS` and `PICTURES`.
    """
    if not linker.looks:
        return [PICTURES]
    shim = linker.network_shim
    has_network = DWE in linker.channels and shim.network.spec.head != "linear"
    reads = {
        ATTRIBUTES: has_network and ATTRIBUTES in shim.read_modalities,
        FINDINGS: has_network or linker.visual.finds_views,
        PICTURES: True,
    }
    return [what for what, is_read in reads.items() if is_read]


@contextmanager
def taken_away(linker: "DweLinker", what: str) -> Iterator[None]:
    """Let a linker link without something for the length of a block."""
    if what != ATTRIBUTES:
        less = {"visual": None} if what == FINDINGS else {"use_images": False}
        with linker_settings(linker, less):
            yield
        return
    shim = linker.network_shim
    own = shim.settings
    shim.settings = replace(own, without=(*own.without, what))
    try:
        yield
    finally:
        shim.settings = own


def signs_of_trouble(
    trial: Trial, *, draws: int = DRAWS, seed: int = 0
) -> dict[str, Any]:
    """What SIGNS.json holds. Intervals are 95 %, documents drawn with replacement; of
    several linkers what is measured is the mean over these.

    trial (Trial): with one linker at least.
    draws, seed (int): of the intervals.
    RETURNS (dict[str, Any]): `gap` of Top-1 and Top-5, of each linker and their mean;
        `seeds`, None with one linker; `without`, by what was taken away.
    """
    whole = trial.whole
    share = _Share(trial, draws, seed)
    top1 = np.mean([run.top1 for run in whole.values()], axis=0)
    gaps = {name: share.gap([run]) for name, run in whole.items()}
    without = {}
    for what, runs in trial.without.items():
        left = np.mean([run.top1 for run in runs], axis=0)
        changed = [a.link != b.link for a, b in zip(whole.values(), runs)]
        without[what] = {
            "top1": share.of(left),
            "lost": share.of(top1 - left),
            "changed": share.of(np.mean(changed, axis=0), every=True),
        }
    return {
        "n": int(trial.ranked.sum()),
        "n_mentions": len(trial.ranked),
        "n_documents": len(np.unique(trial.documents)),
        "gap": {"linkers": gaps, "mean": share.gap([*whole.values()])},
        "seeds": _seeds(whole, share) if len(whole) > 1 else None,
        "without": without,
    }


def _seeds(whole: Mapping[str, Decided], share: "_Share") -> dict[str, Any]:
    values = [share.of(run.top1)["value"] for run in whole.values()]
    links = np.stack([run.link for run in whole.values()])
    return {
        "n": len(values),
        "top1": values,
        "deviation": round(float(np.std(values, ddof=1)), 6),
        "lowest": min(values),
        "highest": max(values),
        "changed": share.of((links != links[0]).any(axis=0), every=True),
    }


@dataclass(frozen=True, slots=True)
class _Share:
    """Means over mentions, with intervals of the same draws."""

    trial: Trial
    draws: int
    seed: int

    def of(self, values: np.ndarray, *, every: bool = False) -> dict[str, Any]:
        """values (np.ndarray): of each mention. Shape: (n_mentions,)
        every (bool): count mentions labelled NIL, too.
        RETURNS (dict[str, Any]): `value`, and `interval`, low and high; None where
            there is nothing to be counted."""
        trial = self.trial
        counted = np.ones_like(trial.ranked) if every else trial.ranked
        if not counted.any():
            return {"value": None, "interval": None}
        top = (counted * values).astype(np.float64)[None]
        low, high = ratio_intervals(
            top,
            counted.astype(np.float64)[None],
            trial.documents,
            draws=self.draws,
            seed=self.seed,
        )
        interval = [round(float(bound[0]), 6) for bound in (low, high)]
        value = round(float(top.sum() / counted.sum()), 6)
        return {"value": value, "interval": interval}

    def gap(self, runs: Sequence[Decided]) -> dict[str, Any]:
        top1 = np.mean([run.top1 for run in runs], axis=0)
        top5 = np.mean([run.top5 for run in runs], axis=0)
        return {
            "top1": self.of(top1),
            "top5": self.of(top5),
            "gap": self.of(top5 - top1),
        }
