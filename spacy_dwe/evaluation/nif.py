"""Links as NIF 2.0, which GERBIL and other tools of the semantic web read."""

import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..errors import DweError, Errors
from ..files import write_text
from .outcomes import Outcome

if TYPE_CHECKING:
    from rdflib import Graph

NIF = "http://persistence.uni-leipzig.org/nlp2rdf/ontologies/nif-core#"
ITSRDF = "http://www.w3.org/2005/11/its/rdf#"
WIKIDATA = "http://www.wikidata.org/entity/"
BASE = "urn:spacy-dwe:"
"""Names documents, and entities that are not of Wikidata."""


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
    from rdflib import Graph

    graph = Graph()
    graph.bind("nif", NIF)
    graph.bind("itsrdf", ITSRDF)
    for document, text in texts.items():
        _add_context(graph, document, text)
    for outcome in outcomes:
        _add_phrase(graph, outcome, texts[outcome.document])
    write_text(path, graph.serialize(format="turtle"))


def require_rdflib() -> None:
    """RAISES (DweError): rdflib is not installed."""
    if find_spec("rdflib") is None:
        raise DweError(Errors.E435)


def entity_uri(kb_id: str) -> str:
    """RETURNS (str): of Wikidata for ids such as Q23, else a URN."""
    if re.fullmatch(r"Q\d+", kb_id):
        return WIKIDATA + kb_id
    return f"{BASE}entity:{quote(kb_id, safe='')}"


def _add_context(graph: "Graph", document: str, text: str) -> None:
    node = _node(document, 0, len(text))
    _add_string(graph, node, "Context", 0, len(text))
    _add(graph, node, NIF + "isString", _literal(text))


def _add_phrase(graph: "Graph", outcome: Outcome, text: str) -> None:
    from rdflib import URIRef

    start, end = outcome.start, outcome.end
    node = _node(outcome.document, start, end)
    _add_string(graph, node, "Phrase", start, end)
    _add(graph, node, NIF + "anchorOf", _literal(text[start:end]))
    context = _node(outcome.document, 0, len(text))
    _add(graph, node, NIF + "referenceContext", context)
    if outcome.predicted is not None:
        entity = URIRef(entity_uri(outcome.predicted))
        _add(graph, node, ITSRDF + "taIdentRef", entity)
    _add(graph, node, ITSRDF + "taConfidence", _literal(outcome.probability, "double"))


def _add_string(graph: "Graph", node: Any, kind: str, start: int, end: int) -> None:
    from rdflib import RDF, URIRef

    for name in ("OffsetBasedString", kind):
        graph.add((node, RDF.type, URIRef(NIF + name)))
    for name, offset in (("beginIndex", start), ("endIndex", end)):
        _add(graph, node, NIF + name, _literal(offset, "nonNegativeInteger"))


def _add(graph: "Graph", node: Any, predicate: str, value: Any) -> None:
    from rdflib import URIRef

    graph.add((node, URIRef(predicate), value))


def _node(document: str, start: int, end: int) -> Any:
    from rdflib import URIRef

    return URIRef(f"{BASE}document:{quote(document, safe='')}#offset_{start}_{end}")


def _literal(value: Any, kind: str = "string") -> Any:
    from rdflib import XSD, Literal

    return Literal(value, datatype=XSD[kind])
