"""Fit what the name channel knows of names: which words are common in text, and the
small network that says how far a mention's words support an entity.

    python -m spacy dwe convert wikidiverse SRC wikidiverse
    python scripts/fit_names.py words wikidiverse wikimel richpedia
    python scripts/fit_names.py match wikidiverse wikimel --held-out wikidiverse

`words` counts words in the texts of each folder's train.jsonl and writes
spacy_dwe/names/common_words.txt. `match` makes KBs of a fifth of each folder's entities,
finds candidates for all mentions of train.jsonl in each, fits the network by the
likelihood of the gold, or of none of them, and writes spacy_dwe/channels/match.npz. With
--held-out, it prints what share of the mentions in the KB is linked rightly in that
folder's dev.jsonl where 1, 5 and 9 % of the others are linked in train.jsonl.
"""

import argparse
import hashlib
import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import spacy
import torch
from torch import Tensor, nn

from spacy_dwe.building.build import build_kb
from spacy_dwe.channels.matching import FEATURES, UNSUPPORTED, WEIGHTS
from spacy_dwe.channels.name import Compared
from spacy_dwe.documents import labelled_docs
from spacy_dwe.kb.entity import read_entities
from spacy_dwe.linking.mentions import mentions_of
from spacy_dwe.names.normalisation import normalise
from spacy_dwe.names.rarity import LEVELS, WORDS

SHARES = 5
"""Of the entities; a KB holds one."""
CANDIDATES = 40
OFTEN = 5
"""Texts that a listed word stands in, at least."""
COMMONEST = 30_000
"""Texts of a word at which its rarity would be 0."""
UNITS, STEPS, RATE, DECAY = 16, 600, 0.02, 1e-4
AT = (0.01, 0.05, 0.09)
"""Wrong links among mentions that the KB does not hold."""
MOST_DOCUMENTS = 6_000
"""Documents that are read of a folder, give or take, evenly from all of it."""


@dataclass
class Lists:
    """Candidates of mentions.

    features (np.ndarray): Shape: (n, len(FEATURES))
    offsets (np.ndarray): mention i owns those from `offsets[i]`. Shape: (n_lists + 1,)
    golds (np.ndarray): position of the gold in its list, -1 = none. Shape: (n_lists,)
    inside (np.ndarray): the KB holds the gold. Shape: (n_lists,), bool
    """

    features: np.ndarray
    offsets: np.ndarray
    golds: np.ndarray
    inside: np.ndarray

    @property
    def owner(self) -> np.ndarray:
        return np.repeat(np.arange(len(self.golds)), np.diff(self.offsets))


def lists_of(folder: Path, split: str) -> Lists:
    """RETURNS (Lists): of all mentions of a split, in a KB of each share."""
    nlp = spacy.blank("xx")
    docs = list(labelled_docs(nlp, folder / f"{split}.jsonl", None))
    docs = docs[:: max(round(len(docs) / MOST_DOCUMENTS), 1)]
    golds = [ent.kb_id_ for doc in docs for ent in doc.ents]
    mentions = mentions_of(docs)
    texts, contexts = [m.text for m in mentions], [m.context for m in mentions]
    parts = [_lists(folder, share, texts, contexts, golds) for share in range(SHARES)]
    ends = np.cumsum([0, *(part.offsets[-1] for part in parts)])
    return Lists(
        np.concatenate([part.features for part in parts]),
        np.concatenate([[0], *(p.offsets[1:] + end for p, end in zip(parts, ends))]),
        np.concatenate([part.golds for part in parts]),
        np.concatenate([part.inside for part in parts]),
    )


def _lists(
    folder: Path,
    share: int,
    texts: Sequence[str],
    contexts: Sequence[str],
    golds: Sequence[str],
) -> Lists:
    entities = (e for e in read_entities(folder / "entities.jsonl") if _in(e.id, share))
    with tempfile.TemporaryDirectory() as scratch:
        kb = build_kb(entities, Path(scratch) / "some.kb")
        found = kb.search(texts, CANDIDATES, contexts)
        features = [
            Compared(
                kb.lexicon,
                texts[start:end],
                contexts[start:end],
                found.span(start, end),
            ).features()
            for start, end in found.runs(1 << 14)
        ]
        rows = kb.rows_of(list(golds))
    is_gold = found.rows == rows[found.mentions]
    places = np.full(len(golds), -1)
    where = np.flatnonzero(is_gold)
    places[found.mentions[where]] = where - found.offsets[found.mentions[where]]
    return Lists(np.concatenate(features), found.offsets, places, rows >= 0)


def _in(id_: str, share: int) -> bool:
    return int(hashlib.md5(id_.encode()).hexdigest(), 16) % SHARES == share


class Network(nn.Module):
    """See `spacy_dwe.channels.matching.match_logits`."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.hidden = (
            nn.Linear(len(FEATURES), 1),
            nn.Linear(len(FEATURES), UNITS),
        )
        self.out = nn.Linear(UNITS, 1, bias=False)
        nn.init.zeros_(self.linear.weight)
        nn.init.constant_(self.linear.bias, -3)
        nn.init.normal_(self.out.weight, std=0.1)

    def forward(self, features: Tensor) -> Tensor:
        """RETURNS (Tensor): a logit a row. *Shape:* ``(n,)``"""
        hidden = self.out(torch.relu(self.hidden(features)))
        logits: Tensor = (self.linear(features) + hidden)[:, 0]
        return logits.clamp(min=UNSUPPORTED)

    def arrays(self) -> dict[str, np.ndarray]:
        """RETURNS (dict[str, np.ndarray]): what is shipped."""
        return {
            "linear": self.linear.weight.detach().numpy()[0],
            "bias": self.linear.bias.detach().numpy(),
            "hidden": self.hidden.weight.detach().numpy().T,
            "hidden_bias": self.hidden.bias.detach().numpy(),
            "out": self.out.weight.detach().numpy()[0],
        }


def fitted(parts: Sequence[Lists]) -> Network:
    """RETURNS (Network): all folders count the same."""
    torch.manual_seed(0)
    network = Network()
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    for _ in range(STEPS):
        optimiser.zero_grad()
        losses = [_loss(network(torch.from_numpy(p.features)), p) for p in parts]
        decay = torch.stack([(w**2).sum() for w in network.parameters()]).sum()
        (torch.stack(losses).mean() + DECAY * decay).backward()
        optimiser.step()
        schedule.step()
    return network


def _loss(logits: Tensor, lists: Lists) -> Tensor:
    """RETURNS (Tensor): mean cross-entropy over candidates and none of them."""
    golds = torch.from_numpy(lists.golds)
    places = torch.from_numpy(lists.offsets[:-1]) + golds.clamp(min=0)
    chosen = torch.where(golds >= 0, logits[places.clamp(max=len(logits) - 1)], 0.0)
    return (_log_sums(logits, lists) - chosen).mean()


def _log_sums(logits: Tensor, lists: Lists) -> Tensor:
    owner, n = torch.from_numpy(lists.owner), len(lists.golds)
    most = torch.zeros(n).scatter_reduce(0, owner, logits.detach(), "amax")
    sums = torch.zeros(n).scatter_add(0, owner, (logits - most[owner]).exp())
    return most + torch.log(sums + (-most).exp())


def ranked(network: Network, lists: Lists) -> tuple[np.ndarray, np.ndarray]:
    """RETURNS (tuple[np.ndarray, np.ndarray]): probability of the best candidate of
    each list, and whether it is the gold."""
    with torch.no_grad():
        logits = network(torch.from_numpy(lists.features))
        sums = _log_sums(logits, lists).numpy()
    scores, right = np.zeros(len(sums)), np.zeros(len(sums), dtype=bool)
    for i, (first, last) in enumerate(zip(lists.offsets, lists.offsets[1:])):
        if last > first:
            own = logits[first:last].numpy()
            scores[i] = math.exp(own.max() - sums[i])
            right[i] = own.argmax() == lists.golds[i]
    return scores, right


def report(network: Network, train: Lists, dev: Lists) -> Iterator[str]:
    """YIELDS (str): a line for each of `AT`."""
    scores, _ = ranked(network, train)
    outside = np.sort(scores[~train.inside])[::-1]
    scores, right = ranked(network, dev)
    for share in AT:
        threshold = outside[int(share * len(outside))]
        wrong = (scores[~dev.inside] > threshold).mean()
        good = (right & (scores > threshold))[dev.inside].mean()
        yield f"p > {threshold:.3f}: {wrong:.1%} wrong, {good:.1%} right"


def count_words(folders: Sequence[Path]) -> str:
    """RETURNS (str): what common_words.txt holds."""
    nlp, counts = spacy.blank("xx"), Counter[str]()
    for folder in folders:
        docs = labelled_docs(nlp, folder / "train.jsonl", None)
        for text in {doc.text for doc in docs}:
            counts.update(set(normalise(text).split()))
    levels: dict[int, list[str]] = {}
    for word, count in counts.items():
        if count >= OFTEN and not word.isdigit():
            rarity = 1 - math.log1p(count) / math.log(COMMONEST)
            level = min(max(int(rarity * LEVELS), 1), LEVELS - 1)
            levels.setdefault(level, []).append(word)
    lines = (f"{n} {' '.join(sorted(levels[n]))}\n" for n in sorted(levels))
    return "".join(lines)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("words", "match"))
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--held-out", type=Path)
    arguments = parser.parse_args()
    if arguments.what == "words":
        WORDS.write_text(count_words(arguments.folders), encoding="utf-8")
        return
    parts = {folder: lists_of(folder, "train") for folder in arguments.folders}
    network = fitted(list(parts.values()))
    np.savez(WEIGHTS, **network.arrays())  # type: ignore[arg-type]
    if arguments.held_out is not None:
        held_out = lists_of(arguments.held_out, "dev")
        train = parts[arguments.held_out]
        print("\n".join(report(network, train, held_out)))


if __name__ == "__main__":
    main()
