"""Predictions as files: what `evaluate --predictions` writes, and what others read."""

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from ..errors import DweError, Errors
from ..files import read_json_lines, write_text, writing
from .evaluate import Evaluation
from .outcomes import Outcome

if TYPE_CHECKING:
    from rdflib import Graph

    from ..kb.knowledge_base import DweKnowledgeBase

NIF = "http://persistence.uni-leipzig.org/nlp2rdf/ontologies/nif-core#"
ITSRDF = "http://www.w3.org/2005/11/its/rdf#"
WIKIDATA = "http://www.wikidata.org/entity/"
BASE = "urn:spacy-dwe:"
"""Names documents, and entities that are not of Wikidata."""


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
            query = _query_id(outcome)
            qrels.write(f"{query} 0 {_encoded(outcome.gold or '')} 1\n")
            scores = _strictly_falling(mention.scores[:n])
            ids = kb.ids(mention.rows[:n])
            for rank, (kb_id, score) in enumerate(zip(ids, scores), 1):
                run.write(f"{query} Q0 {_encoded(kb_id)} {rank} {score:.7f} {name}\n")


def _query_id(outcome: Outcome) -> str:
    """RETURNS (str): name of a mention without white space."""
    return f"{_encoded(outcome.document)}#{outcome.start}-{outcome.end}"


def _encoded(name: str) -> str:
    return quote(name, safe="()',.;:!*@&=+$~/-_")


def _strictly_falling(scores: np.ndarray) -> np.ndarray:
    """Scores that keep their order when they are sorted without regard to ids."""
    steps = 1e-6 * np.arange(len(scores))
    return np.minimum.accumulate(scores.astype(np.float64)) - steps


def write_nif(
    path: Path, outcomes: Sequence[Outcome], texts: Mapping[str, str]
) -> None:
    """Write documents and the links predicted in them as Turtle.

    Each document is a nif:Context; each mention a nif:Phrase of it with
    itsrdf:taIdentRef and itsrdf:taConfidence. A mention linked to NIL has no
    taIdentRef. Ids such as Q23 become entities of Wikidata.

    path (Path): the file.
    outcomes (Sequence[Outcome]): what was linked.
    texts (Mapping[str, str]): the text of each document, by id.
    RAISES (DweError): rdflib is not installed.
    """
    require_rdflib()
    from rdflib import Graph, URIRef

    graph = Graph()
    graph.bind("nif", NIF)
    graph.bind("itsrdf", ITSRDF)
    for document, text in texts.items():
        node = _add_string(graph, "Context", document, 0, len(text))
        graph.add((node, URIRef(NIF + "isString"), _literal(text)))
    for outcome in outcomes:
        document, start, end = outcome.document, outcome.start, outcome.end
        text = texts[document]
        told = {
            NIF + "anchorOf": _literal(text[start:end]),
            NIF + "referenceContext": _node(document, 0, len(text)),
            ITSRDF + "taConfidence": _literal(outcome.probability, "double"),
        }
        if outcome.predicted is not None:
            told[ITSRDF + "taIdentRef"] = URIRef(_entity_uri(outcome.predicted))
        node = _add_string(graph, "Phrase", document, start, end)
        for name, value in told.items():
            graph.add((node, URIRef(name), value))
    write_text(path, graph.serialize(format="turtle"))


def require_rdflib() -> None:
    """RAISES (DweError): rdflib is not installed."""
    if find_spec("rdflib") is None:
        raise DweError(Errors.E435)


def _entity_uri(kb_id: str) -> str:
    """RETURNS (str): of Wikidata for ids such as Q23, else a URN."""
    if re.fullmatch(r"Q\d+", kb_id):
        return WIKIDATA + kb_id
    return f"{BASE}entity:{quote(kb_id, safe='')}"


def _add_string(graph: "Graph", kind: str, document: str, start: int, end: int) -> Any:
    """RETURNS (URIRef): of a piece of a document, whose kind and offsets are added."""
    from rdflib import RDF, URIRef

    node = _node(document, start, end)
    for name in ("OffsetBasedString", kind):
        graph.add((node, RDF.type, URIRef(NIF + name)))
    for name, offset in (("beginIndex", start), ("endIndex", end)):
        graph.add((node, URIRef(NIF + name), _literal(offset, "nonNegativeInteger")))
    return node


def _node(document: str, start: int, end: int) -> Any:
    from rdflib import URIRef

    return URIRef(f"{BASE}document:{quote(document, safe='')}#offset_{start}_{end}")


def _literal(value: Any, kind: str = "string") -> Any:
    from rdflib import XSD, Literal

    return Literal(value, datatype=XSD[kind])
