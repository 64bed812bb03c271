"""Whether a mention's own words support an entity: features of a mention and a name,
and a small network that makes one number of them.

`match` is a logit beside that of "none of them", 0, where a fifth of all mentions has
its entity in the KB. The network was fitted by `scripts/fit_names.py` to captions and
sentences whose entities are mostly *not* in the KB, by the likelihood of the gold, or
else of none, among a mention's candidates.
"""

from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..kb.index.lexicon import NUMBER_BIT, WHOLE_WEIGHT
from ..names.forms import (
    CACHED,
    FIRST_LETTERS,
    acronyms,
    alike,
    beginning,
    capitals,
    spellings,
)
from ..names.likeness import ragged
from ..names.normalisation import (
    BUCKETS,
    normalise,
    text_hashes,
    word_buckets,
)
from ..names.rarity import MINOR, last_word, rarity, weights

if TYPE_CHECKING:
    from ..kb.index.lexicon import Lexicon

FEATURES = (
    "ngram_cosine",  # of character n-grams
    "equal",
    "joined",  # equal but for spaces
    "acronym",  # the mention abbreviates the name
    "spelt_out",  # the name abbreviates the mention
    "mention_coverage",  # share of the mention's words, by rarity, with those alike
    "name_coverage",
    "mention_words",  # the same of equal words alone
    "name_words",
    "rarest_shared",
    "rarest_missing",  # of the mention's words that the name lacks
    "name_rest",  # rarity of all words that the mention lacks
    "rest_around",  # share of them that stands in the context
    "rest_around_sum",
    "title_around",  # share of the title's other words that stands there
    "first",  # first words are equal
    "last",
    "one_word",
    "rarest",
    "n_name_words",
    "n_shared",
    "lower",  # begins with a small letter or a digit
    "upper",  # short, and all capital letters
    "numbers",  # a number that only one of both has
    "length",
    "other_name",  # the name lacks a word that the mention writes with a capital
)
"""Each lies in [0, 1]."""
UNSUPPORTED = -12.0
"""Of a name that the mention shares no word with, in whatever spelling."""
ALIKE_COSINE = 0.2
"""n-gram cosine from which on words that are not equal are compared."""
MOST_WORDS = 12
"""Words of a mention that are looked at one by one."""
SHORT = 6
"""Letters of an acronym at most."""
LEAST_REST, LONGEST = 0.5, 0.25
"""Rarity, at least, of what another name says beside the mention; and what a name that
says much counts more than one that says as little."""
MOST_REST, MOST_AROUND, MOST_COUNTED, MOST_SHARED, MOST_LETTERS = 3, 2, 6, 3, 12
"""What makes a feature 1."""
HALF_ALIKE = 0.5
NEARLY_ALL = 0.15
"""Rarity of what a mention that is taken to be whole may have beside a name."""
MORE_NUMBERS = 0.3
"""Of a name with a number that the mention lacks: less than 1 the other way round."""
TINY = 1e-6
NOTHING = "\0"
OPENING = "#@\"'“‘«„("
EQUAL, LEAST_EQUAL = FEATURES.index("equal"), 1.0
"""Of an equal name, however common its words are."""
SUPPORTING = [
    FEATURES.index(name) for name in ("mention_coverage", "joined", "spelt_out")
]
"""Features that say that a mention has something of a name."""
WEIGHTS = Path(__file__).with_name("match.npz")


class MentionWords:
    """What is read of mentions for comparing them with names.

    mentions (Sequence[str]): as written.
    keys (list[str]): `bare`, and normalised.
    contexts (Sequence[str]): what each stands in.
    """

    def __init__(
        self, mentions: Sequence[str], keys: list[str], contexts: Sequence[str]
    ) -> None:
        every = [key.split() or [""] for key in keys]
        self.split = [list(dict.fromkeys(own))[:MOST_WORDS] for own in every]
        self.n_words = np.array([*map(len, every)])
        self.n_split = np.array([*map(len, self.split)])
        ends = [word for words in every for word in (words[0], last_word(words))]
        self.end_buckets = word_buckets(ends).reshape(-1, 2)
        joined = ["".join(words) for words in every]
        # No name has the hash of what stands for none.
        self.joined = text_hashes([word or NOTHING for word in joined])
        short = [word if 1 < len(word) <= SHORT else NOTHING for word in joined]
        self.abbreviation = text_hashes(short)
        letters = [own or NOTHING for words in every for own in acronyms(words)]
        self.acronyms = text_hashes(letters).reshape(len(keys), -1)
        self.rarity = np.zeros((len(keys), self.n_split.max()), dtype=np.float32)
        for own, words in zip(self.rarity, self.split):
            own[: len(words)] = weights(words)
        self.upper = np.array([len(m) <= SHORT and m.isupper() for m in mentions])
        # WHO is no common word.
        n_letters = np.array([*map(len, joined)])
        self.rarity[self.upper & (self.n_split == 1) & (n_letters > 2), 0] = 1.0
        self.capital = np.zeros(self.rarity.shape, dtype=bool)
        for place, words in enumerate(self.split):
            big = capitals(mentions[place])
            self.capital[place, : len(words)] = [word in big for word in words]
        self.capital &= self.rarity > MINOR
        self.numbers = np.array([sum(map(str.isdigit, words)) for words in self.split])
        starts = [mention.lstrip(OPENING)[:1] for mention in mentions]
        self.lower = np.array([c.islower() or c.isdigit() for c in starts])
        self.length = np.array([len(word) / MOST_LETTERS for word in joined])
        texts = {text: normalise(text) for text in {*contexts}}
        known = {text: [*dict.fromkeys(words.split())] for text, words in texts.items()}
        self.around = [known[text] for text in contexts]
        self.texts = [texts[text] for text in contexts]


def match_features(
    lexicon: "Lexicon",
    mentions: MentionWords,
    names: np.ndarray,
    titles: np.ndarray,
    owner: np.ndarray,
    cosine: np.ndarray,
    equal: np.ndarray,
) -> np.ndarray:
    """Compare mentions with one name each of their candidates.

    lexicon (Lexicon): of the KB.
    mentions (MentionWords): the mentions.
    names, titles (np.ndarray): a name, and the title, of each pair. Shape: (n,)
    owner (np.ndarray): mention of each pair, ascending. Shape: (n,)
    cosine (np.ndarray): of n-grams. Shape: (n,)
    equal (np.ndarray): the normalised name equals the mention. Shape: (n,), bool
    RETURNS (np.ndarray): in the order of `FEATURES`. Shape: (n, 26), float32
    """
    words = _SharedWords(lexicon, mentions, names, owner)
    title_rest, title_around = words.rest.copy(), words.around.copy()
    other_title = np.flatnonzero(names != titles)
    if len(other_title):
        title = _SharedWords(lexicon, mentions, titles[other_title], owner[other_title])
        title_rest[other_title] = title.rest
        title_around[other_title] = title.around
    joined = equal | (lexicon.name_joined[names] == mentions.joined[owner])
    short = lexicon.name_initials[names] == mentions.abbreviation[owner, None]
    acronym = short.any(axis=1)
    spelt_out = (lexicon.name_joined[names, None] == mentions.acronyms[owner]).any(1)
    own, theirs = words.alike(lexicon, (cosine >= ALIKE_COSINE) & ~joined)
    shared = words.shared | joined[:, None]
    likeness = np.maximum(own, shared)
    common = np.where(joined, words.total, words.common)
    resembling = np.minimum(common + theirs, words.total)
    rare = mentions.rarity[owner]
    whole, total = np.maximum(rare.sum(axis=1), TINY), np.maximum(words.total, TINY)
    covered = np.maximum((rare * likeness).sum(axis=1) / whole, acronym)
    # Apollo 13 has nothing of Apollo 11.
    covered[words.other_numbers] = 0.0
    missing = (rare * (1 - likeness)).max(axis=1, initial=0)
    other = (mentions.capital[owner] & (likeness < HALF_ALIKE)).any(axis=1)
    # Denis Thatcher is not Margaret, though she stands beside him.
    is_whole = missing < NEARLY_ALL
    columns = (
        *(cosine, equal, joined, acronym, spelt_out),
        *(covered, resembling / total),
        *((rare * shared).sum(axis=1) / whole, common / total),
        (rare * likeness).max(axis=1, initial=0),
        missing,
        (words.total - resembling) / MOST_REST,
        is_whole * words.around / np.maximum(words.rest, TINY),
        is_whole * words.around / MOST_AROUND,
        is_whole * title_around / np.maximum(title_rest, TINY),
        *equal_ends(lexicon, mentions, names, owner).T,
        mentions.n_words[owner] == 1,
        rare.max(axis=1, initial=0),
        words.n_words / MOST_COUNTED,
        ((likeness == 1) & (rare > 0)).sum(axis=1) / MOST_SHARED,
        *(mentions.lower[owner], mentions.upper[owner]),
        words.differing_numbers,
        mentions.length[owner],
        other & (acronym == 0),
    )
    return np.stack(columns, axis=1, dtype=np.float32, casting="unsafe").clip(0, 1)


def named_around(
    lexicon: "Lexicon",
    mentions: MentionWords,
    names: np.ndarray,
    pairs: np.ndarray,
    owner: np.ndarray,
) -> np.ndarray:
    """Whether the context has another name of a candidate, in full: one that says more
    than the mention does.

    names (np.ndarray): all names of all candidates. Shape: (n,)
    pairs (np.ndarray): the pair of each. Shape: (n,)
    owner (np.ndarray): mention of each pair. Shape: (n_pairs,)
    RETURNS (np.ndarray): 0 for none, else from 3/4 up to 1 by the rarity of what the
        mention lacks of the longest. Shape: (n_pairs,), float32
    """
    out = np.zeros(len(owner), dtype=np.float32)
    of = owner[pairs]
    ends = lexicon.name_ends[names]
    there = _places(mentions.around, ends.ravel(), np.repeat(of, 2)) >= 0
    likely = np.flatnonzero(there.reshape(-1, 2).all(axis=1))
    texts = lexicon.texts_of(names[likely])
    for text, mention, pair in zip(texts, of[likely].tolist(), pairs[likely].tolist()):
        words = text.split()
        own = mentions.split[mention]
        rest = sum(
            weight for word, weight in zip(words, weights(words)) if word not in own
        )
        if rest >= LEAST_REST and f" {text} " in f" {mentions.texts[mention]} ":
            said = 1 - LONGEST * (1 - min(rest / MOST_REST, 1.0))
            out[pair] = max(out[pair], said)
    return out


def equal_ends(
    lexicon: "Lexicon", mentions: MentionWords, names: np.ndarray, owner: np.ndarray
) -> np.ndarray:
    """RETURNS (np.ndarray): whether the first words are equal, and the last ones. Other
    arguments as of `match_features`. Shape: (n, 2), bool"""
    return lexicon.name_ends[names] == mentions.end_buckets[owner]


class _SharedWords:
    """The words of a name for each pair, and which of them the mention and its context
    have.

    shared (np.ndarray): words of the mention that the name has.
        Shape: (n, most words), bool
    total, common (np.ndarray): rarity of all words of the name, and of those that the
        mention has. Shape: (n,)
    rest, around (np.ndarray): of those that it lacks, and of these that the context
        has. Shape: (n,)
    """

    def __init__(
        self,
        lexicon: "Lexicon",
        mentions: MentionWords,
        names: np.ndarray,
        owner: np.ndarray,
    ) -> None:
        self.mentions, self.names, self.owner = mentions, names, owner
        starts, flat, pairs = ragged(lexicon.word_offsets, names)
        codes, buckets = lexicon.word_weights[flat], lexicon.words[flat]
        rarity = (codes & WHOLE_WEIGHT) / np.float32(WHOLE_WEIGHT)
        place = _places(mentions.split, buckets, owner[pairs])
        around = _places(mentions.around, buckets, owner[pairs]) >= 0
        has = place >= 0
        self.shared = np.zeros((len(names), mentions.rarity.shape[1]), dtype=bool)
        self.shared[pairs[has], place[has]] = True
        self.total = np.add.reduceat(rarity, starts)
        self.common = np.add.reduceat(rarity * has, starts)
        self.rest = self.total - self.common
        self.around = np.add.reduceat(rarity * (around & ~has), starts)
        self.n_words = np.diff(np.append(starts, len(flat)))
        is_number = codes >= NUMBER_BIT
        numbers = np.add.reduceat(is_number, starts, dtype=np.int64)
        both = np.add.reduceat(is_number & has, starts, dtype=np.int64)
        more = mentions.numbers[owner] > both
        self.other_numbers = more & (numbers > both)
        self.differing_numbers = np.where(more, 1, MORE_NUMBERS * (numbers > both))

    def alike(
        self, lexicon: "Lexicon", which: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compare words that are not equal.

        which (np.ndarray): pairs to compare. Shape: (n,), bool
        RETURNS (tuple[np.ndarray, np.ndarray]): how like each word of the mention is to
            one of the name, and the rarity of the words of the name that are like one
            of the mention, by likeness. Shapes: (n, most words) and (n,)
        """
        own = np.zeros(self.shared.shape, dtype=np.float32)
        theirs = np.zeros(len(self.names), dtype=np.float32)
        complete = self.shared.sum(axis=1) >= self.mentions.n_split[self.owner]
        pairs = np.flatnonzero(which & ~complete)
        owners = self.owner[pairs].tolist()
        distinct, place = np.unique(self.names[pairs], return_inverse=True)
        texts = lexicon.texts_of(distinct)
        split = {i: self.mentions.split[i] for i in owners}
        near = _near(split, {*" ".join(texts).split()})
        for pair, i, j in zip(pairs.tolist(), owners, place.tolist()):
            name = texts[j].split()
            if near[i].isdisjoint(name):
                continue
            words = split[i]
            shared = self.shared[pair].tolist()
            missing = [word for word, has in zip(words, shared) if not has]
            others = [word for word in dict.fromkeys(name) if word not in words]
            likes = [[alike(word, other) for word in missing] for other in others]
            mine = dict.fromkeys(words, 0.0)
            mine |= zip(missing, map(max, zip(*likes)))
            likeness = dict(zip(others, map(max, likes)))
            _add_joined(mine, likeness)
            mine[words[0]] = max(mine[words[0]], _first_names(words, name))
            own[pair, : len(words)] = [*mine.values()]
            theirs[pair] = sum(rarity(word) * like for word, like in likeness.items())
        return own, theirs


def _near(mentions: dict[int, list[str]], vocabulary: set[str]) -> dict[int, set[str]]:
    """Most names have no word that is like one of a mention: this finds those that may.

    mentions (dict[int, list[str]]): distinct words of each.
    vocabulary (set[str]): words of names.
    RETURNS (dict[int, set[str]]): of each mention, words of the names without which no
        likeness is found.
    """
    forms = {f for words in mentions.values() for word in words for f in _of(word)}
    known: dict[str, list[str]] = {}
    for word in vocabulary:
        for form in forms.intersection(_of(word)):
            known.setdefault(form, []).append(word)
    near = {}
    for i, words in mentions.items():
        own = {w for word in words for form in _of(word) for w in known.get(form, ())}
        own.update(left + right for left, right in pairwise(words))
        own.update(word[:end] for word in words for end in range(1, len(word)))
        own.difference_update(words)
        if len(words) > 1 and len(words[0]) <= FIRST_LETTERS:
            own.add(words[-1])
        near[i] = own
    return near


@lru_cache(CACHED)
def _of(word: str) -> tuple[str, ...]:
    """RETURNS (tuple[str, ...]): forms of which words that are `alike` share one."""
    start = beginning(word)
    return (*spellings(word), start) if start else spellings(word)


def _add_joined(own: dict[str, float], theirs: dict[str, float]) -> None:
    """Words that the other side joins, Di Caprio and DiCaprio, are equal.

    own (dict[str, float]): how like each of the mention's words is to one of the name.
    theirs (dict[str, float]): the same of words that the name alone has.
    """
    for left, right in pairwise(own):
        if left + right in theirs:
            own[left] = own[right] = theirs[left + right] = 1.0
    for left, right in pairwise(theirs):
        if left + right in own:
            own[left + right] = theirs[left] = theirs[right] = 1.0


def _first_names(words: Sequence[str], name: Sequence[str]) -> float:
    """RETURNS (float): how well the first word abbreviates first names, J. F. Kennedy,
    where the last words are equal."""
    if len(words) < 2 or len(name) < 2 or words[-1] != name[-1]:
        return 0.0
    letters = "".join(word[0] for word in name[:-1])
    if len(words[0]) > FIRST_LETTERS or letters[0] != words[0][0]:
        return 0.0
    return 0.9 if letters.startswith(words[0]) else 0.5


def _places(
    words: Sequence[Sequence[str]], buckets: np.ndarray, owner: np.ndarray
) -> np.ndarray:
    """RETURNS (np.ndarray): where among the owner's words each bucket is, else -1.
    Shape: as buckets"""
    own = word_buckets([word for line in words for word in line])
    known, local = np.unique(own, return_inverse=True)
    column = np.full(BUCKETS, len(known), dtype=np.int32)
    column[known] = np.arange(len(known))
    table = np.full((len(words), len(known) + 1), -1, dtype=np.int16)
    counts = [len(line) for line in words]
    rows = np.repeat(np.arange(len(words)), counts)
    places = np.arange(len(own)) - np.repeat(np.cumsum(counts) - counts, counts)
    table[rows, local] = np.minimum(places, np.iinfo(np.int16).max)
    return table[owner, column[buckets]]


def match_logits(features: np.ndarray) -> np.ndarray:
    """One layer of rectified units beside a linear map.

    features (np.ndarray): Shape: (n, 26), float32
    RETURNS (np.ndarray): `UNSUPPORTED` at least. Shape: (n,), float32
    """
    weights = _weights()
    # A product of matrices would round a pair by which others are beside it.
    hidden = np.einsum("nf,fh->nh", features, weights["hidden"])
    hidden = np.maximum(hidden + weights["hidden_bias"], 0)
    logits = np.einsum("nf,f->n", features, weights["linear"])
    logits += np.einsum("nh,h->n", hidden, weights["out"]) + weights["bias"]
    logits = np.where(features[:, EQUAL] > 0, np.maximum(logits, LEAST_EQUAL), logits)
    supported = features[:, SUPPORTING].max(axis=1) > 0
    return np.where(supported, np.maximum(logits, UNSUPPORTED), UNSUPPORTED)


@cache
def _weights() -> dict[str, np.ndarray]:
    with np.load(WEIGHTS) as arrays:
        return dict(arrays)
