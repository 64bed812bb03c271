"""Fit what the name channel knows of names: which words are common in text, and the
small network that says how far a mention's words support an entity.

    python -m spacy dwe convert wikidiverse SRC wikidiverse
    python scripts/fit_names.py words wikidiverse wikimel richpedia
    python scripts/fit_names.py match \\
        $(printf 'wikidiverse %.0s' 1 2 3 4 5 6) wikimel --held-out wikidiverse

`words` counts words in the texts of each folder's train.jsonl and writes
spacy_dwe/names/common_words.txt. `match` makes KBs of a fifth of each folder's
entities, finds candidates for all mentions of train.jsonl in each, and for other
wordings of the first folder's names, fits the network by the likelihood of the gold, or
of none of them, a folder that is named several times counting as often, and writes
spacy_dwe/channels/match.npz. With --held-out, it prints what share of the mentions in
the KB is linked rightly in that folder's dev.jsonl where 1, 5 and 9 % of the others are
linked in train.jsonl.
"""

import argparse
import hashlib
import math
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

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
from spacy_dwe.names.normalisation import normalise, without_qualifier
from spacy_dwe.names.rarity import LEVELS, WORDS

SHARES = 5
"""Of the entities; a KB holds one."""
CANDIDATES = 40
OFTEN = 6
"""How often a listed word occurs, at least."""
COMMONEST, SMOOTHING = 2_000, 4
"""Rarity is 1 − ln(1 + count / 4) / ln 2000."""
OF_TITLES = 2
"""What a word of a title counts more than one of a text."""
CALENDAR = (
    "january february march april may june july august september october november "
    "december monday tuesday wednesday thursday friday saturday sunday"
)
COMMON_DAY = 400
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
MADE_UP = 1_500
"""Entities of a folder whose names are worded otherwise."""
OF_MADE_UP = 3
"""How often these count."""
PLACES = ("Street", "University", "Award", "Foundation", "Airport", "County", "Bridge")
HONORED = ("President", "Dr.", "Mr.", "Mrs.", "Ms.", "Sir", "Senator", "King", "Saint")
UNITS, STEPS, RATE, DECAY = 24, 800, 0.02, 1e-4
BLOCK = 5_000
"""Lists of each folder that a step reads."""
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

    def block(self, start: int) -> "Lists":
        """RETURNS (Lists): `BLOCK` of them."""
        own = slice(start, start + BLOCK)
        offsets = self.offsets[start : start + BLOCK + 1]
        features = self.features[offsets[0] : offsets[-1]]
        return Lists(features, offsets - offsets[0], self.golds[own], self.inside[own])


def lists_of(folder: Path, split: str) -> Lists:
    """RETURNS (Lists): of all mentions of a split, in a KB of each share."""
    nlp = spacy.blank("xx")
    docs = list(labelled_docs(nlp, folder / f"{split}.jsonl", None))
    docs = docs[:: max(round(len(docs) / MOST_DOCUMENTS), 1)]
    golds = [ent.kb_id_ for doc in docs for ent in doc.ents]
    mentions = mentions_of(docs)
    texts, contexts = [m.text for m in mentions], [m.context for m in mentions]
    parts = [_lists(folder, share, texts, contexts, golds) for share in range(SHARES)]
    return _together(parts)


def _together(parts: Sequence[Lists]) -> Lists:
    ends = np.cumsum([0, *(part.offsets[-1] for part in parts)])
    return Lists(
        np.concatenate([part.features for part in parts]),
        np.concatenate([[0], *(p.offsets[1:] + end for p, end in zip(parts, ends))]),
        np.concatenate([part.golds for part in parts]),
        np.concatenate([part.inside for part in parts]),
    )


def made_up(folder: Path) -> Lists:
    """RETURNS (Lists): of other wordings of the entities' names, and of names that are
    no wordings of theirs, each alone."""
    random = Random(0)
    entities = list(read_entities(folder / "entities.jsonl"))
    some = random.sample(entities, min(MADE_UP, len(entities)))
    titles = [without_qualifier(e.title) for e in some]
    pairs = [
        (mention, entity.id if is_name else "")
        for entity, title in zip(some, titles)
        for mention, is_name in wordings(title, titles, random)
    ]
    texts = [mention for mention, _ in pairs]
    golds = [gold for _, gold in pairs]
    parts = [_lists(folder, share, texts, texts, golds) for share in range(SHARES)]
    return _together(parts)


def wordings(
    title: str, titles: Sequence[str], random: Random
) -> Iterator[tuple[str, bool]]:
    """YIELDS (tuple[str, bool]): a mention, and whether the title's entity may be meant
    by it."""
    words, other = title.split(), random.choice(titles).split()
    yield _misspelt(title, random), True
    yield f"{title}'s", True
    if any(word.isdigit() for word in words):
        yield re.sub(r"\d", lambda d: str((int(d[0]) + 1) % 10), title, count=1), False
    if len(words) < 2 or not all(word[:1].isupper() for word in words):
        return
    yield "#" + "".join(words), True
    yield f"{title} {random.choice(PLACES)}", False
    if len(words) > 2:
        letters = [word[0] for word in words]
        yield random.choice(("".join(letters), ".".join(letters) + ".")), True
        yield f"{words[0]} {words[-1]}", True
    yield f"{words[0][0]}. {' '.join(words[1:])}", True
    yield f"{words[0][0]}. {words[-1]}", True
    yield f"{random.choice(HONORED)} {random.choice((title, words[-1]))}", True
    yield words[-1], True
    yield _misspelt(words[-1], random), True
    if len(other) > 1 and other[0] not in words and other[-1] not in words:
        yield f"{other[0]} {words[-1]}", False
        yield f"{words[0]} {other[-1]}", False


def _misspelt(title: str, random: Random) -> str:
    place = random.randrange(2, max(len(title), 3))
    letter = random.choice("aeinorst")
    return random.choice(
        (
            title[:place] + title[place + 1 :],
            title[:place] + letter + title[place:],
            title[:place] + letter + title[place + 1 :],
            title[: place - 1]
            + title[place : place + 1]
            + title[place - 1 : place]
            + title[place + 1 :],
        )
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


def fitted(parts: Sequence[Lists], counts: Sequence[int]) -> Network:
    """counts (Sequence[int]): how often each part counts.
    RETURNS (Network): on the CPU.
    """
    shares = torch.tensor(counts) / sum(counts)
    torch.manual_seed(0)
    network = Network()
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    random = np.random.default_rng(0)
    for _ in range(STEPS):
        optimiser.zero_grad()
        blocks = [
            part.block(int(random.integers(max(len(part.golds) - BLOCK, 1))))
            for part in parts
        ]
        losses = [_loss(network(torch.from_numpy(b.features)), b) for b in blocks]
        decay = torch.stack([(w**2).sum() for w in network.parameters()]).sum()
        ((shares * torch.stack(losses)).sum() + DECAY * decay).backward()
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
    """Words that do not begin with a capital letter are common in text; those of many
    titles, first names among them, say as little.

    RETURNS (str): what common_words.txt holds.
    """
    counts = Counter[str]()
    nlp = spacy.blank("xx")
    titles: dict[str, str] = {}
    for folder in folders:
        docs = labelled_docs(nlp, folder / "train.jsonl", None)
        for text in {doc.text for doc in docs}:
            small = (word for word in _WORD.findall(text) if word[0].islower())
            counts.update(normalise(" ".join(small)).split())
        entities = read_entities(folder / "entities.jsonl")
        titles |= {entity.id: without_qualifier(entity.title) for entity in entities}
    for title in titles.values():
        counts.update(dict.fromkeys(normalise(title).split(), OF_TITLES))
    counts.update(dict.fromkeys(CALENDAR.split(), COMMON_DAY))
    levels: dict[int, list[str]] = {}
    for word, count in counts.items():
        if count >= OFTEN and not word.isdigit():
            rarity = 1 - math.log1p(count / SMOOTHING) / math.log(COMMONEST)
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
    counts = Counter(arguments.folders)
    parts = {folder: lists_of(folder, "train") for folder in counts}
    more = made_up(arguments.folders[0])
    network = fitted([*parts.values(), more], [*counts.values(), OF_MADE_UP])
    np.savez(WEIGHTS, **network.arrays())  # type: ignore[arg-type]
    if arguments.held_out is not None:
        held_out = lists_of(arguments.held_out, "dev")
        train = parts[arguments.held_out]
        print("\n".join(report(network, train, held_out)))


if __name__ == "__main__":
    main()
