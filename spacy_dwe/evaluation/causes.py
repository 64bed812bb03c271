"""Why a decision was wrong, by rules: one main cause a miss, and tags.

The main cause is the first of the rules below that applies; where none does it is what
the channels say, see `cause_of`. The order goes from what no evidence could repair (a
label that is not in the KB) over what single pieces of evidence explain to how the
channels voted. Whether a label is wrong or ambiguous is not guessed.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from ..names.normalisation import bare, normalise
from .misses import Miss

if TYPE_CHECKING:
    from ..kb.entity import Entity

SIMILAR_TITLE = 0.9
"""Matching characters (`difflib`) of two titles that are nearly the same."""
SIMILAR_DESCRIPTION = 0.8
"""Shared words among all words of two descriptions that are nearly the same."""
SHORT_DESCRIPTION = 5
"""Words; a description with fewer says little."""
FEW_SHARED = 0.5
"""Share of the mention's words found in a name, below which it is no form of it."""

OUTVOTED = "outvoted_by_"
MISLED = "misled_by_"
READ_CHANNELS = frozenset({"text", "facts", "dwe"})
"""Channels that read descriptions."""
IMAGE = "image"
TAG_TITLES = {
    "nil_predicted": "NIL was chosen",
    "rank_2_5": "gold at rank 2–5",
    "rank_6_20": "gold at rank 6–20",
    "rank_beyond_20": "gold beyond rank 20",
    "exact_name": "linked entity bears the mention as its name",
    "other_name": "linked entity does not bear the mention as its name",
    "no_description": "gold without description",
    "short_description": "gold with a short description",
    "gold_unpictured": "gold without picture in the KnowledgeBase",
    "mention_unpictured": "no picture with the text",
    "gold_unseen": "gold not seen in training",
}
"""Tags that are no causes; those of channels, such as "for:text", come beside them."""

_BRACKETED = re.compile(r"\s*[(（][^()（）]*[)）]\s*$")

Applies = Callable[[Miss], bool]


@dataclass(frozen=True, slots=True)
class Rule:
    """A cause and when it applies.

    key (str): its name in JSON.
    title (str): its name on the page.
    meaning (str): when it applies, and what would help.
    applies (Applies): whether it explains a miss.
    """

    key: str
    title: str
    meaning: str
    applies: Applies


@dataclass(frozen=True, slots=True)
class Verdict:
    """cause (str): the main cause. tags (tuple[str, ...]): all causes that apply, and
    what else is known of the miss, in a fixed order."""

    cause: str
    tags: tuple[str, ...]


def cause_of(miss: Miss) -> Verdict:
    """The main cause of a miss and its tags.

    Without a rule that applies it is the channel that was most strongly for the winner:
    it outvoted the channels that were for the gold, or misled where there were none.
    """
    causes = [rule.key for rule in RULES.values() if rule.applies(miss)]
    if miss.against or not causes:
        family = OUTVOTED if miss.for_gold else MISLED
        strongest = min(miss.differences, key=lambda c: (miss.differences[c], c))
        causes.append(f"{family}{strongest}")
    return Verdict(causes[0], (*causes, *_tags(miss)))


def title_and_meaning(cause: str) -> tuple[str, str]:
    """RETURNS (tuple[str, str]): the name of a cause on the page; when it applies, and
    what would help."""
    if cause in RULES:
        return RULES[cause].title, RULES[cause].meaning
    if cause.startswith(OUTVOTED):
        channel = cause.removeprefix(OUTVOTED)
        return f"Outvoted by {channel}", (
            "Another channel voted for the right entity, but was outvoted, above all "
            f"by {channel}."
        )
    channel = cause.removeprefix(MISLED)
    return f"Misled by {channel}", (
        "No channel voted for the right entity; the one most strongly for the winner "
        f"was {channel}."
    )


RULES: dict[str, Rule] = {}
"""By key, the first that explains most first."""


def _rule(title: str, meaning: str) -> Callable[[Applies], Applies]:
    """Add a function to the rules, behind those above it, with its name as the key."""

    def add(applies: Applies) -> Applies:
        key = applies.__name__.removeprefix("_")
        RULES[key] = Rule(key, title, meaning, applies)
        return applies

    return add


@_rule(
    "Labelled NIL, but linked",
    "The label says that the KnowledgeBase lacks the entity. A higher threshold or a "
    "NIL logit fitted on NIL labels trades these for over-confident NIL.",
)
def _nil_linked(miss: Miss) -> bool:
    return miss.outcome.gold is None


@_rule(
    "Right entity not in the KnowledgeBase",
    "No linker can find it: add the entity, or label the mention NIL.",
)
def _not_in_kb(miss: Miss) -> bool:
    return miss.outcome.gold is not None and not miss.outcome.in_kb


@_rule(
    "Right entity not among the candidates",
    "Nothing was scored for it: more candidates, aliases, or candidates by description "
    "(hybrid).",
)
def _not_retrieved(miss: Miss) -> bool:
    return miss.outcome.in_kb and not miss.outcome.retrieved


@_rule(
    "Over-confident NIL",
    "The right entity was first among the entities, but NIL or the threshold won.",
)
def _nil_won(miss: Miss) -> bool:
    return miss.gold_at is not None and miss.gold_at == miss.winner_at


@_rule(
    "Near-duplicate entity",
    "Neither title nor description tells the two apart: they may be one entity, or "
    "their descriptions say too little.",
)
def _near_duplicate(miss: Miss) -> bool:
    return miss.rivals is not None and nearly_same(*miss.rivals)


@_rule(
    "Only the winner has a picture",
    "The right entity has no picture in the KnowledgeBase, the winner has one, and the "
    "image channel voted for it: add a picture.",
)
def _image_missing(miss: Miss) -> bool:
    if miss.rivals is None or IMAGE not in miss.against:
        return False
    gold, winner = miss.rivals
    return bool(winner.images) and not gold.images


@_rule(
    "Picture misled",
    "The image channel voted against the right entity more strongly than any other "
    "channel.",
)
def _image_misled(miss: Miss) -> bool:
    return miss.against[:1] == [IMAGE]


@_rule(
    "Namesakes",
    "The two have the same title, so that only context, prior or picture could have "
    "decided.",
)
def _same_title(miss: Miss) -> bool:
    return miss.rivals is not None and same_title(*(e.title for e in miss.rivals))


@_rule(
    "Mention’s words not in the entity’s names",
    "Less than half of the mention’s words stand in a name of the right entity: a "
    "generic word, nickname, demonym, abbreviation, other spelling or language. An "
    "alias would help.",
)
def _name_differs(miss: Miss) -> bool:
    """An unretrieved gold may have a name that is nothing like the mention, too."""
    if miss.gold is None or _nil_won(miss):
        return False
    return shared_words(miss.outcome.text, miss.gold) < FEW_SHARED


@_rule(
    "Description missing",
    "The right entity has no description, the winner has one, and a channel that reads "
    "descriptions voted for it.",
)
def _description_missing(miss: Miss) -> bool:
    if miss.rivals is None or READ_CHANNELS.isdisjoint(miss.against):
        return False
    gold, winner = (entity.description.strip() for entity in miss.rivals)
    return not gold and bool(winner)


@_rule(
    "Mention is the winner’s exact name",
    "The winner bears the mention as its name and the right entity does not: an alias "
    "may be missing.",
)
def _winner_named(miss: Miss) -> bool:
    if miss.rivals is None:
        return False
    gold, winner = (bears(entity, miss.outcome.text) for entity in miss.rivals)
    return winner and not gold


@_rule(
    "Mention fits both names",
    "All words of the mention are in a name of either entity, as a family name is. "
    "Only context, prior or picture could have decided.",
)
def _shared_name(miss: Miss) -> bool:
    mention = miss.outcome.text
    return miss.rivals is not None and all(
        shared_words(mention, entity) == 1 for entity in miss.rivals
    )


@_rule(
    "Description short",
    f"The right entity is described in fewer than {SHORT_DESCRIPTION} words, the "
    "winner in more, and a channel that reads descriptions voted for the winner.",
)
def _description_short(miss: Miss) -> bool:
    if miss.rivals is None or READ_CHANNELS.isdisjoint(miss.against):
        return False
    gold, winner = map(_is_short, miss.rivals)
    return gold and not winner


@_rule(
    "Mention not in its sentence",
    "The sentence lacks the mention, which was put in front of it: what the sentence "
    "says need not be about it.",
)
def _mention_added(miss: Miss) -> bool:
    return miss.added


@_rule("Equal scores", "Both have the same score, and the order of ids decided.")
def _tied(miss: Miss) -> bool:
    return miss.tied


def _tags(miss: Miss) -> Iterator[str]:
    outcome = miss.outcome
    if outcome.predicted is None:
        yield "nil_predicted"
    elif miss.winner is not None:
        exact = bears(miss.winner, outcome.text)
        yield "exact_name" if exact else "other_name"
    if outcome.retrieved and not _nil_won(miss):
        yield _rank_tag(outcome.rank or 0.0)
    if miss.gold is not None:
        if not miss.gold.description.strip():
            yield "no_description"
        elif _is_short(miss.gold):
            yield "short_description"
        if miss.with_images and not miss.gold.images:
            yield "gold_unpictured"
    if miss.with_images and not miss.pictured:
        yield "mention_unpictured"
    if outcome.seen is False:
        yield "gold_unseen"
    yield from (f"for:{channel}" for channel in miss.for_gold)
    yield from (f"against:{channel}" for channel in miss.against)
    if outcome.gold is None and miss.evidence:
        strongest = max(miss.evidence, key=lambda channel: miss.evidence[channel])
        yield f"evidence:{strongest}"


def _rank_tag(rank: float) -> str:
    if rank <= 5:
        return "rank_2_5"
    return "rank_6_20" if rank <= 20 else "rank_beyond_20"


def bears(entity: "Entity", mention: str) -> bool:
    """RETURNS (bool): whether the mention is, normalised, a name of the entity."""
    wanted = normalise(mention)
    return any(normalise(name) == wanted for name in entity.names)


def shared_words(mention: str, entity: "Entity") -> float:
    """RETURNS (float): share of the mention's words that one name of the entity has, as
    they stand but for case and diacritics, or as an initial. An article or possessive
    is no word of it."""
    words = normalise(bare(mention)).split()
    names = [normalise(name).split() for name in entity.names]
    return max(
        sum(any(_is_form(word, part) for part in name) for word in words) / len(words)
        for name in names
    )


def same_title(first: str, second: str) -> bool:
    """RETURNS (bool): whether titles are equal but for what a bracket at the end says,
    case, diacritics and punctuation."""
    return _bare(first) == _bare(second)


def nearly_same(first: "Entity", second: "Entity") -> bool:
    """RETURNS (bool): whether neither title nor description tells entities apart, see
    `SIMILAR_TITLE` and `SIMILAR_DESCRIPTION`."""
    titles = _bare(first.title), _bare(second.title)
    words = [set(normalise(e.description).split()) for e in (first, second)]
    if not all(words):
        return False
    if SequenceMatcher(None, *titles, autojunk=False).ratio() < SIMILAR_TITLE:
        return False
    shared = len(words[0] & words[1]) / len(words[0] | words[1])
    return shared >= SIMILAR_DESCRIPTION


def _bare(title: str) -> str:
    return normalise(_BRACKETED.sub("", title) or title)


def _is_form(word: str, part: str) -> bool:
    """Whether a word is a part of a name or its initial."""
    return word == part or (len(word) == 1 and part.startswith(word))


def _is_short(entity: "Entity") -> bool:
    return len(normalise(entity.description).split()) < SHORT_DESCRIPTION
