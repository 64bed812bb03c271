"""Links as they stand on a Doc. Imports no spaCy."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class KBCandidate:
    """One entity that a mention may mean.

    id, title, description (str): of the entity in the KnowledgeBase.
    probability (float): over the candidates and NIL.
    scores (dict[str, float]): what each scoring channel contributed to the logit.
    found_by (tuple[str, ...]): how it became a candidate: exact, words, initials,
        spelling, context, dense, all; see `FoundBy`.
    linker (str): name of the component that found it.
    """

    id: str
    title: str
    description: str
    probability: float
    scores: dict[str, float] = field(default_factory=dict, hash=False)
    found_by: tuple[str, ...] = ()
    linker: str = ""
