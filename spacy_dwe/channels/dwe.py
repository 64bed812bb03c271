"""What the trained network says: its queries are compared with the candidates' vectors
where the network runs, so that its columns, one a head, are made there."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from .base import READ_PICTURES, READ_TEXT

if TYPE_CHECKING:
    from ..kb.candidates import Candidates
    from .base import CandidateView, MentionView, Values


class DweChannel:
    """Cosines of the network's queries; "spacy-dwe.DweChannel.v1"."""

    columns: Mapping[str, float] = {}
    reads = (READ_TEXT, READ_PICTURES)

    def compute(
        self, mentions: "MentionView", candidates: "Candidates", kb: "CandidateView"
    ) -> "Values":
        return np.zeros((len(candidates.rows), 0), dtype=np.float32), True
