"""How many mentions of a set can be right at most by what is known."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from clues.plan import Planned

COUNTS = ("mentions", "photographs", "nouns", "text", "picture", "both")


def account_of(documents: Sequence[Planned]) -> dict[str, Any]:
    """Counts and ceilings of a split.

    RETURNS (dict[str, Any]): counts, and shares of the mentions: `text`, right if one
        always says what is asked for most often by that clue; `allowed`, if one draws
        from all of whom it is true; `picture`, right if one says whoever on that
        canvas is asked for most often; `place`, the place of the gold that is asked for
        most often; `both`, how many have one alone on the canvas of whom the clue is
        true.
    """
    asked = [(each, question) for each in documents for question in each.questions]
    golds = [question.gold for _, question in asked]
    if not asked:
        return {"mentions": 0}
    n = len(asked)
    fits = [
        [id_ for id_ in each.pictured if id_ in question.allowed]
        for each, question in asked
    ]
    return {
        "mentions": n,
        "documents": len(documents),
        "canvases": len({each.photographs for each in documents}),
        "photographs": len({path for each in documents for path in each.photographs}),
        "nouns": len({each.noun for each in documents}),
        "entities": len(set(golds)),
        "text": _ceiling(((each.text, q.start) for each, q in asked), golds),
        "clue": _ceiling(((each.noun, q.clue) for each, q in asked), golds),
        "allowed": round(sum(1 / len(q.allowed) for _, q in asked) / n, 4),
        "picture": _ceiling((each.photographs for each, _ in asked), golds),
        "place": _ceiling(
            (len(each.pictured) for each, _ in asked),
            [each.pictured.index(q.gold) for each, q in asked],
        ),
        "both": round(sum(fit == [q.gold] for fit, (_, q) in zip(fits, asked)) / n, 4),
    }


def _ceiling(known: Iterable[Hashable], golds: Sequence[Hashable]) -> float:
    """RETURNS (float): share of what can be right, if one always says what is most
    often right where the same is known."""
    by_known: dict[Hashable, Counter[Hashable]] = defaultdict(Counter)
    for key, gold in zip(known, golds, strict=True):
        by_known[key][gold] += 1
    most = sum(counts.most_common(1)[0][1] for counts in by_known.values())
    return round(most / len(golds), 4)
