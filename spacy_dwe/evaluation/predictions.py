"""Predictions as files: what `evaluate --predictions` writes, and what others read."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from ..errors import DweError, Errors
from ..files import read_json_lines, writing
from .evaluate import Evaluation
from .outcomes import Outcome

if TYPE_CHECKING:
    from ..kb.knowledge_base import DweKnowledgeBase


def prediction_records(
    kb: "DweKnowledgeBase", evaluation: Evaluation
) -> Iterator[dict[str, Any]]:
    """One JSON object for each labelled mention: its outcome and its candidates.

    kb (DweKnowledgeBase): gives ids and titles.
    evaluation (Evaluation): what was measured.
    YIELDS (dict[str, Any]): `Outcome.to_json`, the protocol, and `candidates`, the best
        and, where it is not one of them, the gold.
    """
    protocol = evaluation.metrics["protocol"]
    for outcome, mention in zip(evaluation.outcomes, evaluation.scored):
        candidates = [
            {
                "id": entity_id,
                "title": title,
                "probability": round(float(mention.probabilities[i]), 6),
                "score": round(float(mention.scores[i]), 5),
                "scores": {
                    channel: round(float(values[i]), 5)
                    for channel, values in mention.contributions.items()
                },
            }
            for i, (entity_id, title, _) in enumerate(kb.titles(mention.rows))
        ]
        yield {"protocol": protocol, **outcome.to_json(), "candidates": candidates}


def read_predictions(path: Path) -> tuple[str, list[Outcome]]:
    """Read what `prediction_records` gave.

    path (Path): JSONL.
    RETURNS (tuple[str, list[Outcome]]): the protocol, and the outcomes in order.
    RAISES (DweError): it is no such file; the line is named.
    """
    outcomes, protocols = [], set()
    for number, record in read_json_lines(path):
        try:
            outcomes.append(Outcome.from_json(record))
            protocols.add(record["protocol"])
        except (KeyError, TypeError) as error:
            reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            raise DweError(
                Errors.E433.format(path=path, line=number, reason=reason)
            ) from None
        if len(protocols) > 1:
            reason = f"another protocol, {record['protocol']!r}"
            raise DweError(Errors.E433.format(path=path, line=number, reason=reason))
    if not outcomes:
        raise DweError(Errors.E004.format(path=path, what="predictions"))
    return protocols.pop(), outcomes


def write_trec(
    folder: Path, kb: "DweKnowledgeBase", evaluation: Evaluation, n: int
) -> None:
    """Write `run.txt` and `qrels.txt` as trec_eval and its kin read them.

    A query is a mention, `DOCUMENT#START-END`, a document an entity, both
    percent-encoded where they hold white space. Mentions labelled NIL are left out.
    Scores fall by a hair from candidate to candidate, since these tools break ties
    their own way.

    folder (Path): made if need be.
    kb (DweKnowledgeBase): gives ids.
    evaluation (Evaluation): what was measured, with the n best candidates.
    n (int): candidates a mention, at most.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = f"spacy-dwe-{evaluation.metrics['protocol']}"
    pairs = zip(evaluation.outcomes, evaluation.scored)
    ranked = [(o, mention) for o, mention in pairs if o.gold is not None]
    with (
        writing(folder / "run.txt") as run,
        writing(folder / "qrels.txt") as qrels,
    ):
        for outcome, mention in ranked:
            query = query_id(outcome)
            qrels.write(f"{query} 0 {_encoded(outcome.gold or '')} 1\n")
            scores = _strictly_falling(mention.scores[:n])
            ids = kb.ids(mention.rows[:n])
            for rank, (kb_id, score) in enumerate(zip(ids, scores), 1):
                run.write(f"{query} Q0 {_encoded(kb_id)} {rank} {score:.7f} {name}\n")


def query_id(outcome: Outcome) -> str:
    """RETURNS (str): name of a mention without white space."""
    return f"{_encoded(outcome.document)}#{outcome.start}-{outcome.end}"


def _encoded(name: str) -> str:
    return quote(name, safe="()',.;:!*@&=+$~/-_")


def _strictly_falling(scores: np.ndarray) -> np.ndarray:
    """Scores that keep their order when they are sorted without regard to ids."""
    steps = 1e-6 * np.arange(len(scores))
    return np.minimum.accumulate(scores.astype(np.float64)) - steps
