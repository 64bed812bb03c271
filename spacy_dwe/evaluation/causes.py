"""Why a decision was wrong, by rules: one main cause a miss, and tags.

The main cause is the first of `RULES` that applies; where none does it is what the
channels say, see `cause_of`. The order goes from what no evidence could repair (a label
that is not in the KB) over what single pieces of evidence explain to how the channels
voted. Whether a label is wrong or ambiguous is not guessed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..names.normalisation import normalise
from .misses import Miss, bears, nearly_same, same_title, shared_words

if TYPE_CHECKING:
    from ..kb.entity import Entity

SHORT_DESCRIPTION = 5
"""Words; a description with fewer says little."""
FEW_SHARED = 0.5
"""Share of the mention's words found in a name, below which it is no form of it."""

OUTVOTED = "outvoted_by_"
MISLED = "misled_by_"
READ_CHANNELS = frozenset({"text", "facts", "dwe"})
"""Channels that read descriptions."""
IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Rule:
    """A cause and when it applies.

    key (str): its name in JSON.
    title (str): its name on the page.
    meaning (str): when it applies, and what would help.
    applies (Callable[[Miss], bool]): whether it explains a miss.
    """

    key: str
    title: str
    meaning: str
    applies: Callable[[Miss], bool]


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
    causes = [rule.key for rule in RULES if rule.applies(miss)]
    if miss.against or not causes:
        family = OUTVOTED if miss.for_gold else MISLED
        strongest = min(miss.differences, key=lambda c: (miss.differences[c], c))
        causes.append(f"{family}{strongest}")
    return Verdict(causes[0], (*causes, *_tags(miss)))


def title_of(cause: str) -> str:
    """RETURNS (str): the name of a cause on the page."""
    return _rule(cause).title


def meaning_of(cause: str) -> str:
    """RETURNS (str): when a cause applies, and what would help."""
    return _rule(cause).meaning


def _nil_linked(miss: Miss) -> bool:
    return miss.outcome.gold is None


def _not_in_kb(miss: Miss) -> bool:
    return miss.outcome.gold is not None and not miss.outcome.in_kb


def _not_retrieved(miss: Miss) -> bool:
    return miss.outcome.in_kb and not miss.outcome.retrieved


def _nil_won(miss: Miss) -> bool:
    return miss.gold_at is not None and miss.gold_at == miss.winner_at


def _near_duplicate(miss: Miss) -> bool:
    return (
        bool(miss.differences)
        and miss.gold is not None
        and miss.winner is not None
        and nearly_same(miss.gold, miss.winner)
    )


def _image_missing(miss: Miss) -> bool:
    return (
        IMAGE in miss.against
        and miss.gold is not None
        and miss.winner is not None
        and not miss.gold.images
        and bool(miss.winner.images)
    )


def _image_misled(miss: Miss) -> bool:
    return miss.against[:1] == [IMAGE]


def _same_title(miss: Miss) -> bool:
    return (
        bool(miss.differences)
        and miss.gold is not None
        and miss.winner is not None
        and same_title(miss.gold.title, miss.winner.title)
    )


def _name_differs(miss: Miss) -> bool:
    """An unretrieved gold may have a name that is nothing like the mention, too."""
    return (
        miss.gold is not None
        and not _nil_won(miss)
        and shared_words(miss.outcome.text, miss.gold) < FEW_SHARED
    )


def _description_missing(miss: Miss) -> bool:
    return (
        miss.gold is not None
        and miss.winner is not None
        and not miss.gold.description.strip()
        and bool(miss.winner.description.strip())
        and not READ_CHANNELS.isdisjoint(miss.against)
    )


def _description_short(miss: Miss) -> bool:
    return (
        miss.gold is not None
        and miss.winner is not None
        and _is_short(miss.gold)
        and not _is_short(miss.winner)
        and not READ_CHANNELS.isdisjoint(miss.against)
    )


def _winner_named(miss: Miss) -> bool:
    mention = miss.outcome.text
    return (
        bool(miss.differences)
        and miss.gold is not None
        and miss.winner is not None
        and bears(miss.winner, mention)
        and not bears(miss.gold, mention)
    )


def _shared_name(miss: Miss) -> bool:
    mention = miss.outcome.text
    return (
        bool(miss.differences)
        and miss.gold is not None
        and miss.winner is not None
        and shared_words(mention, miss.gold) == 1
        and shared_words(mention, miss.winner) == 1
    )


RULES = (
    Rule(
        "nil_linked",
        "Labelled NIL, but linked",
        "The label says that the KnowledgeBase lacks the entity. A higher threshold or "
        "a NIL logit fitted on NIL labels trades these for over-confident NIL.",
        _nil_linked,
    ),
    Rule(
        "not_in_kb",
        "Right entity not in the KnowledgeBase",
        "No linker can find it: add the entity, or label the mention NIL.",
        _not_in_kb,
    ),
    Rule(
        "not_retrieved",
        "Right entity not among the candidates",
        "Nothing was scored for it: more candidates, aliases, or candidates by "
        "description (hybrid).",
        _not_retrieved,
    ),
    Rule(
        "nil_won",
        "Over-confident NIL",
        "The right entity was first among the entities, but NIL or the threshold won.",
        _nil_won,
    ),
    Rule(
        "near_duplicate",
        "Near-duplicate entity",
        "Neither title nor description tells the two apart: they may be one entity, or "
        "their descriptions say too little.",
        _near_duplicate,
    ),
    Rule(
        "image_missing",
        "Only the winner has a picture",
        "The right entity has no picture in the KnowledgeBase, the winner has one, and "
        "the image channel voted for it: add a picture.",
        _image_missing,
    ),
    Rule(
        "image_misled",
        "Picture misled",
        "The image channel voted against the right entity more strongly than any other "
        "channel.",
        _image_misled,
    ),
    Rule(
        "same_title",
        "Namesakes",
        "The two have the same title, so that only context, prior or picture could "
        "have decided.",
        _same_title,
    ),
    Rule(
        "name_differs",
        "Mention’s words not in the entity’s names",
        "Less than half of the mention’s words stand in a name of the right entity: a "
        "generic word, nickname, demonym, abbreviation, other spelling or language. An "
        "alias would help.",
        _name_differs,
    ),
    Rule(
        "description_missing",
        "Description missing",
        "The right entity has no description, the winner has one, and a channel that "
        "reads descriptions voted for it.",
        _description_missing,
    ),
    Rule(
        "winner_named",
        "Mention is the winner’s exact name",
        "The winner bears the mention as its name and the right entity does not: an "
        "alias may be missing.",
        _winner_named,
    ),
    Rule(
        "shared_name",
        "Mention fits both names",
        "All words of the mention are in a name of either entity, as a family name is. "
        "Only context, prior or picture could have decided.",
        _shared_name,
    ),
    Rule(
        "description_short",
        "Description short",
        f"The right entity is described in fewer than {SHORT_DESCRIPTION} words, the "
        "winner in more, and a channel that reads descriptions voted for the winner.",
        _description_short,
    ),
    Rule(
        "mention_added",
        "Mention not in its sentence",
        "The sentence lacks the mention, which was put in front of it: what the "
        "sentence says need not be about it.",
        lambda miss: miss.added,
    ),
    Rule(
        "tied",
        "Equal scores",
        "Both have the same score, and the order of ids decided.",
        lambda miss: miss.tied,
    ),
)
_BY_KEY = {rule.key: rule for rule in RULES}

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


def _rule(cause: str) -> Rule:
    if cause in _BY_KEY:
        return _BY_KEY[cause]
    if cause.startswith(OUTVOTED):
        channel = cause.removeprefix(OUTVOTED)
        title = f"Outvoted by {channel}"
        meaning = (
            "Another channel voted for the right entity, but was outvoted, above all "
            f"by {channel}."
        )
    else:
        channel = cause.removeprefix(MISLED)
        title = f"Misled by {channel}"
        meaning = (
            "No channel voted for the right entity; the one most strongly for the "
            f"winner was {channel}."
        )
    return Rule(cause, title, meaning, lambda miss: True)


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
    if getattr(outcome, "seen", None) is False:
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


def _is_short(entity: "Entity") -> bool:
    return len(normalise(entity.description).split()) < SHORT_DESCRIPTION
