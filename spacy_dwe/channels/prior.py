"""How often a name means an entity."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..kb.candidates import Candidates
    from .base import CandidateView, MentionView, Values


class PriorChannel:
    """The prior of the alias, else of the entity; "spacy-dwe.PriorChannel.v1"."""

    columns: Mapping[str, float] = {"prior": 4.0}
    reads = ()

    def compute(
        self, mentions: "MentionView", candidates: "Candidates", kb: "CandidateView"
    ) -> "Values":
        priors = kb.priors(mentions.texts, candidates)[:, None]
        return np.nan_to_num(priors), ~np.isnan(priors)
