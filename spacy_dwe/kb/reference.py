"""How a config names a KnowledgeBase."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from spacy.vocab import Vocab

from .storage.folder import kb_path, reference_to

if TYPE_CHECKING:
    from .knowledge_base import DweKnowledgeBase


class KBReference:
    """A KB that is opened when it is first needed.

    configured (str | None): its path in the config; None = it is set later, or comes
        with what was saved.
    """

    def __init__(self, configured: str | None) -> None:
        self.configured = configured
        self.path: Path | None = _absolute(configured) if configured else None
        self._kb: DweKnowledgeBase | None = None

    def opened(self, vocab: Vocab) -> "DweKnowledgeBase | None":
        """The KB, opened when first asked for.

        vocab (Vocab): of the pipeline.
        RETURNS (DweKnowledgeBase | None): None where nothing names one.
        RAISES (DweError): it cannot be opened.
        """
        if self._kb is None and self.path is not None:
            from .knowledge_base import DweKnowledgeBase

            self.use(DweKnowledgeBase(self.path, vocab))
        return self._kb

    def use(self, kb: "DweKnowledgeBase") -> None:
        """kb (DweKnowledgeBase): takes the place of the one before."""
        self._kb = kb
        self.path = Path(kb.path)

    def state(self, pipeline: Path | None) -> dict[str, Any]:
        """What is saved: never the KB itself.

        pipeline (Path | None): folder that the pipeline is saved in; None = in bytes.
        RETURNS (dict[str, Any]): JSON.
        """
        kb = None
        if self.path is not None and pipeline is not None:
            kb = reference_to(self.path, pipeline)
        elif self.path is not None:
            kb = str(self.path.resolve())
        return {"kb": kb, "configured_kb": self.configured}

    def set_state(self, state: dict[str, Any], pipeline: Path | None) -> bool:
        """Refer to the KB that was saved, or to that of the variable DWE_KB.

        state (dict[str, Any]): what `state` gave.
        pipeline (Path | None): folder that the pipeline is loaded from.
        RETURNS (bool): whether the KB is another than before.
        """
        if self.configured != state["configured_kb"]:
            # The config was changed since, and so names the KB to use.
            return False
        here = kb_path("")
        if not here and state["kb"] is None:
            return False
        self._kb = None
        self.path = _absolute(here or (pipeline or Path()) / state["kb"])
        return True


def _absolute(path: str | Path) -> Path:
    """The KB is opened later, when the current folder may be another."""
    return Path(path).expanduser().absolute()
