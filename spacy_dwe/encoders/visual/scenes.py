"""Scene attributes: adjective-noun pairs and kinds of places that fit a picture."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .banks import SCENES, bank_vectors, read_bank
from .findings import Scene

if TYPE_CHECKING:
    from ..protocol import PictureReader

TINY = 1e-6


@dataclass(frozen=True, slots=True)
class SceneAttributes:
    """Ranks a bank by CLIP against the picture as a whole.

    Cosines of different kinds of words have different ranges, and the range differs
    between CLIP models. So each group of the bank is standardised over its own entries
    first, and the margin holds for any of them.

    bank (str | Path | None): file with them; None = the one in this package.
    top_k (int): attributes of a picture, of all groups together.
    margin (float): deviations above the mean of its group that an entry must have.
    """

    bank: str | Path | None = None
    top_k: int = 5
    margin: float = 1.5

    @property
    def settings(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): all that shapes the outcome, JSON."""
        bank = read_bank(self.bank or SCENES).fingerprint
        return {"bank": bank, "top_k": self.top_k, "margin": self.margin}

    def __call__(
        self, encoder: "PictureReader", pooled: np.ndarray
    ) -> list[tuple[Scene, ...]]:
        """
        pooled (np.ndarray): unit vectors of pictures. Shape: (n, dim), float32
        RETURNS (list[tuple[Scene, ...]]): of each picture, best first.
        """
        bank = read_bank(self.bank or SCENES)
        texts = bank_vectors(encoder, bank)
        cosines = pooled @ texts.T
        scores = np.empty_like(cosines)
        for group in bank.groups.values():
            own = cosines[:, group]
            spread = np.maximum(own.std(axis=1, keepdims=True), TINY)
            scores[:, group] = (own - own.mean(axis=1, keepdims=True)) / spread
        order = np.argsort(-scores, axis=1, kind="stable")[:, : self.top_k]
        return [
            tuple(
                Scene(
                    words=bank.entries[i].words,
                    kind=bank.entries[i].group,
                    score=float(scores[row, i]),
                    similarity=float(cosines[row, i]),
                    vector=texts[i],
                )
                for i in best
                if scores[row, i] >= self.margin and bank.entries[i].words
            )
            for row, best in enumerate(order)
        ]
