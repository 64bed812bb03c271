"""How the values on a Doc become msgpack and come back.

srsly loads these functions by entry point while spaCy itself is being imported, so
this module must not import spaCy.
"""

from collections.abc import Callable
from typing import Any

from .images import GivenBox, ImageRef
from .links import KBCandidate

IMAGE_KEY = "__dwe_image__"
CANDIDATE_KEY = "__dwe_candidate__"

Chain = Callable[[Any], Any] | None


def encode_msgpack(obj: Any, chain: Chain = None) -> Any:
    """srsly's encoder hook: ImageRef and KBCandidate to plain data."""
    if isinstance(obj, ImageRef):
        boxes = [[box.row for box in obj.boxes]] if obj.boxes else []
        return {IMAGE_KEY: [obj.path, obj.data, obj.sha256, *boxes]}
    if isinstance(obj, KBCandidate):
        scores = {name: float(score) for name, score in obj.scores.items()}
        entity = [obj.id, obj.title, obj.description]
        values = [float(obj.probability), scores, list(obj.found_by), obj.linker]
        return {CANDIDATE_KEY: entity + values}
    return obj if chain is None else chain(obj)


def decode_msgpack(obj: Any, chain: Chain = None) -> Any:
    """srsly's decoder hook: the inverse of `encode_msgpack`. Who reads such values can
    also ask the Doc for them: it has the extension attributes from then on."""
    if IMAGE_KEY in obj:
        path, data, sha256, *boxes = obj[IMAGE_KEY]
        given = tuple(GivenBox(*box) for rows in boxes for box in rows)
        value: ImageRef | KBCandidate = ImageRef(path, data, sha256, given)
    elif CANDIDATE_KEY in obj:
        # Some files hold candidates that do not say how they were found, or by whom.
        values = list(obj[CANDIDATE_KEY])
        id, title, description, probability, scores = values[:5]
        found_by = tuple(values[5]) if len(values) > 5 else ()
        value = KBCandidate(
            id, title, description, probability, scores, found_by, *values[6:]
        )
    else:
        return obj if chain is None else chain(obj)
    from . import tokens  # noqa: F401

    return value
