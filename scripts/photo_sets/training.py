"""Linkers that are compared on photographs, each trained as `spacy train` does."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spacy_dwe.kb.knowledge_base import DweKnowledgeBase

LINKER = "components.dwe_linker"
FITTED = ["name", "prior", "facts", "text", "image"]
"""Channels of features alone."""


@dataclass(frozen=True, slots=True)
class Trained:
    """How a linker is trained.

    settings (Mapping[str, Any]): config values, beside the config's own.
    needs_text, needs_vectors (bool): a KB with vectors of a text encoder, or any.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    needs_text: bool = False
    needs_vectors: bool = True

    def lacks(self, kb: DweKnowledgeBase) -> str:
        """RETURNS (str): what the KB does not have, "" if it has all."""
        if self.needs_text and kb.text_set is None:
            return "a text encoder (--vars.text_encoder_options '--text-encoder NAME')"
        if self.needs_vectors and not kb.vector_sets:
            return "a picture encoder (--vars.picture_encoder NAME)"
        return ""


LINKERS: Mapping[str, Trained] = {
    "features": Trained({f"{LINKER}.channels": FITTED}, needs_vectors=False),
    "linear": Trained(),
    "network": Trained({f"{LINKER}.model.head": "dwe"}, needs_text=True),
}
"""By name. "linear" is the config as it is."""


def train_linkers(
    config: Path,
    data: tuple[Path, Path],
    kb: Path,
    out: Path,
    *,
    settings: Mapping[str, Any],
    gpu_id: int,
) -> Iterator[tuple[str, str]]:
    """Train what a KB has the vectors for, into OUT/NAME/model-best.

    data (tuple[Path, Path]): documents to train on, and to choose a checkpoint by.
    settings (Mapping[str, Any]): config values of every training.
    YIELDS (tuple[str, str]): each name before its training, and what the KB lacks for
        it, "" if nothing; it is not trained then.
    """
    from shutil import rmtree

    from spacy.cli.train import train

    opened = DweKnowledgeBase(kb)
    paths = dict(zip(("paths.train", "paths.dev", "paths.kb"), map(str, (*data, kb))))
    for name, linker in LINKERS.items():
        # What an earlier run left, with other settings or another KB, is not compared.
        rmtree(out / name, ignore_errors=True)
        lacks = linker.lacks(opened)
        yield name, lacks
        if not lacks:
            overrides = {**paths, **settings, **linker.settings}
            train(config, out / name, use_gpu=gpu_id, overrides=overrides)
