"""How a config names a KnowledgeBase."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from spacy.vocab import Vocab

from ..errors import DweError, Errors

if TYPE_CHECKING:
    from .knowledge_base import DweKnowledgeBase

KB_VARIABLE = "DWE_KB"
"""Environment variable whose path replaces the one in a config or saved pipeline."""


def kb_path(path: str) -> str:
    """RETURNS (str): the path to open: that of the variable DWE_KB where it is set."""
    return os.environ.get(KB_VARIABLE) or path


def reference_to(kb: Path, base: Path) -> str:
    """RETURNS (str): path of a KB, relative to `base` if it lies inside."""
    kb, base = kb.resolve(), base.resolve()
    return kb.relative_to(base).as_posix() if kb.is_relative_to(base) else str(kb)


def kb_from_path(path: str | None) -> Callable[..., "DweKnowledgeBase"]:
    """Open a KB made by `python -m spacy dwe kb build`. It serves dwe_linker's
    `kb_loader`, and `kb_loader` and `generate_empty_kb` of spaCy's entity_linker.

    path (str | None): the KB's folder; the variable DWE_KB overrides it. None is for
        configs whose user is to name it: opening it is an error.
    RETURNS (Callable[[Vocab], DweKnowledgeBase]): registered as
        spacy-dwe.KBFromPath.v1.
    """

    def load_kb(vocab: Vocab, entity_vector_length: int = 0) -> "DweKnowledgeBase":
        from .knowledge_base import DweKnowledgeBase

        place = kb_path(path or "")
        if not place:
            raise DweError(Errors.E521)
        return DweKnowledgeBase(place, vocab)

    return load_kb
