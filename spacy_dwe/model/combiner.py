"""What the tokens at the edges of a mention say of NIL."""

from dataclasses import dataclass
from math import log
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ..encoders.protocol import EDGES
from .spec import DWE, Columns

AXES = 128
"""Directions of each edge's states that pairs of edges are read along."""
ROUNDING = 1e-5
"""States of unit length that differ by less from their mean are the same."""


class EdgeReader(nn.Module):
    """v(z) = w · z + p(z)ᵀ A p(z), where z is each edge's state less the mean of that
    edge, of unit length, and p(z) is z along a few axes of each edge.

    States of a tower have much in common, whatever the token: hence the mean. The
    quadratic term reads two edges together: "afternoon" before "tea" says another thing
    of it than before "sun". That is our reading. The weights are buffers: as many as
    they are, they are fitted to all mentions at once (`training.fitting`), and steps of
    the optimizer would learn the training mentions by heart.

    width (int): of the states of all edges together; 0 = it reads nothing.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.weight: Tensor
        self.axes: Tensor
        self.form: Tensor
        n_axes = min(AXES, width // EDGES)
        self.register_buffer("mean", torch.zeros(EDGES, width // EDGES))
        self.register_buffer("weight", torch.zeros(width))
        self.register_buffer("axes", torch.zeros(EDGES, width // EDGES, n_axes))
        self.register_buffer("form", torch.zeros(EDGES * n_axes, EDGES * n_axes))

    def __len__(self) -> int:
        return len(self.weight)

    def forward(self, edges: Tensor) -> Tensor:
        """edges (Tensor): see `MentionFeatures.edges`. *Shape:* ``(batch, width)``
        RETURNS (Tensor): logits, 0 before anything was fitted. *Shape:* ``(batch,)``
        """
        states = self._centred(edges)
        pairs = torch.einsum("bew,ewa->bea", states, self.axes).flatten(1)
        return states.flatten(1) @ self.weight + ((pairs @ self.form) * pairs).sum(1)

    def look_at(self, edges: Tensor) -> None:
        """Set what does not depend on NIL: the means, and as axes the directions in
        which each edge's states vary most, the first eigenvectors of their second
        moments about the mean.

        edges (Tensor): of some mentions. *Shape:* ``(mentions, width)``
        """
        self.mean.copy_(self._by_edge(edges).mean(dim=0))
        states = self._centred(edges)
        moments = torch.einsum("bew,bev->ewv", states, states) / len(edges)
        n_axes = self.axes.shape[2]
        self.axes.copy_(_eigenvectors(moments)[..., -n_axes:])

    def _centred(self, edges: Tensor) -> Tensor:
        states = self._by_edge(edges) - self.mean
        length = torch.linalg.vector_norm(states, dim=2, keepdim=True)
        return normalize(states.masked_fill(length < ROUNDING, 0.0), dim=2)

    def _by_edge(self, edges: Tensor) -> Tensor:
        return edges.unflatten(1, (EDGES, -1))


def _eigenvectors(moments: Tensor) -> Tensor:
    """In float32, LAPACK fails for some moments that lie along few lines."""
    try:
        vectors: Tensor = torch.linalg.eigh(moments).eigenvectors
        if vectors.isfinite().all():
            return vectors
    except torch.linalg.LinAlgError:
        pass
    vectors = torch.linalg.eigh(moments.double()).eigenvectors
    return vectors


UNTRAINED_NIL = {
    "bias": 0.0,
    "best": 1.0,
    "margin": 0.0,
    "name": 0.0,
    "described": 0.0,
    "mention": 1.0,
    "match": -1.0,
    "text": -2.4,
    "doubt": 1.0,
}
"""The NIL logit before training, as a function of the best candidate and of the
mention, which says nothing before it was learnt from labelled NIL. NIL is as good as
the best candidate, less what the mention's own words say for that one: evidence of
sentence and picture chooses among candidates, and makes no link. A picture that shows
none of them unmakes one where it is what should have chosen."""
DEFAULT_COVERAGE = 0.45
"""Share of the mentions whose entity the KB holds, where nobody said so untrained."""
FITTED_COVERAGE = 0.2
"""The same where `UNTRAINED_NIL` was fitted."""
SURE, SEEN = 1e-9, 1e-3
"""How near to 0 and 1 a share counts: one that is set, and one that was fitted to, as
mentions that hardly any data has teach NIL no less than this."""
COLUMNS_OF_NIL = {
    "name": ("name", "ngram_cosine"),
    "match": ("name", "match"),
    "text": ("text", "description"),
    "shown": ("image", "shown"),
}
"""Channel and name of the columns of the best candidate that NIL reads."""
BESIDE_PICTURES = 0.35
"""What the sentence counts beside pictures that say whom they show: who attaches one
need not write it down."""
PICTURED = ("image", DWE)
"""Channels that pictures may speak in."""
LEAST_TEXT, MOST_TEXT = -0.15, 1.0
"""Deviations at which what the text says to NIL ends: a surname is taken for somebody
the sentence is about, and a sentence about something else says little."""
SHOWN, STEEP = 0.0, 2.0
"""What the picture says for the best candidate where it is as good as nothing, and how
fast doubt grows below."""
UNSURE = 2.0
"""Logits by which NIL is better than the best candidate if all the doubt there can be
is there."""
ALLOWED = 3.0
"""Match of all entities where names are not compared."""
NIL_LOGITS = ("best", "margin")
"""Features of NIL that are logits of candidates themselves."""


@dataclass(frozen=True, slots=True)
class CombinedScores:
    """Logits over the candidates and NIL.

    logits (Tensor): -inf where there is no candidate. *Shape:* ``(batch, candidates)``
    nil (Tensor): *Shape:* ``(batch,)``
    nil_features (Tensor): what NIL's logit is linear in beside its bias, in the order
        of `UNTRAINED_NIL`; 0 where there is no candidate. *Shape:* ``(batch, 8)``
    by_column (Tensor): what each feature added to each logit.
        *Shape:* ``(batch, candidates, features)``
    """

    logits: Tensor
    nil: Tensor
    nil_features: Tensor
    by_column: Tensor

    def log_probabilities(self) -> Tensor:
        """RETURNS (Tensor): log p, NIL last. *Shape:* ``(batch, candidates + 1)``"""
        joined = torch.cat([self.logits, self.nil.unsqueeze(1)], dim=1)
        return joined.log_softmax(dim=1)


def coverage_shift(coverage: float, fitted: float) -> float:
    """What to add to NIL's logit where a KB holds another share of the entities than
    where NIL was fitted: probabilities change by the odds of the two (Saerens, Latinne
    & Decaestecker, 2002, Neural Computation 14, equation 2.4).

    coverage (float): share of the mentions whose entity is in the KB.
    fitted (float): the share in the data that NIL was fitted to.
    RETURNS (float): 0 where they are equal.
    """
    if coverage == fitted:
        return 0.0
    return log_odds(fitted, SEEN) - log_odds(coverage)


def log_odds(share: float, least: float = SURE) -> float:
    """RETURNS (float): finite for 0 and 1, too, which count as `least` and 1 − it."""
    inside = min(max(share, least), 1 - least)
    return log(inside / (1 - inside))


class Combiner(nn.Module):
    """s(e) = Σ_c m_c · (w_c · x_c + b_c · present_c), and NIL as one more candidate.

    A missing or switched-off feature is masked by m_c: it neither adds to a score nor
    takes from it. NIL's logit is linear in the best score, its margin over the second
    (over 0 where there is none), and what the best candidate has: likeness and match of
    its name, a description and its fit, because a softmax over candidates alone gives a
    single candidate probability 1. It also depends on doubt: where everything but
    pictures leaves it open which candidate is meant, and the pictures do not show the
    best one, no name is a reason to link. Untrained, the weights are those that the
    columns say. Beside pictures that say whom they show, the text counts less.

    Where mentions labelled NIL taught it, NIL's logit also depends on what stands at
    the edges of a mention: "deep red" is a film in a list of films and a colour before
    "flowers", whatever the candidates are; see `EdgeReader`.

    columns (Columns): of the feature matrix.
    edge_width (int): width of what is read of a mention's edges; 0 = nothing.
    """

    def __init__(self, columns: Columns, edge_width: int = 0) -> None:
        super().__init__()
        self.columns = columns
        weights = [column.weight for column in columns.all]
        self.weight = nn.Parameter(torch.tensor(weights))
        self.bias = nn.Parameter(torch.zeros(len(columns)))
        self.nil = nn.Parameter(torch.tensor(list(UNTRAINED_NIL.values())))
        self.edges = EdgeReader(edge_width)
        places = {name: i for i, name in enumerate(columns.names)}
        self._read = [places.get(name) for name in COLUMNS_OF_NIL.values()]
        self._unpictured = [
            i for i, each in enumerate(columns.all) if each.channel not in PICTURED
        ]
        self._shown = places.get(COLUMNS_OF_NIL["shown"])
        self._is_text: Tensor
        is_text = torch.tensor([each.channel == "text" for each in columns.all])
        self.register_buffer("_is_text", is_text, persistent=False)

    def forward(
        self,
        features: Tensor,
        present: Tensor,
        candidates: Tensor,
        described: Tensor,
        edges: Tensor | None = None,
    ) -> CombinedScores:
        """features (Tensor): *Shape:* ``(batch, candidates, features)``
        present (Tensor): False = missing or switched off. Same shape, bool
        candidates (Tensor): False = padding. *Shape:* ``(batch, candidates)``
        described (Tensor): the entity has a description.
            *Shape:* ``(batch, candidates)``
        edges (Tensor | None): token states at the edges of the mention; None = unread.
            *Shape:* ``(batch, edge_width)``
        RETURNS (CombinedScores): the logits.
        """
        by_column = torch.where(present, features * self.weight + self.bias, 0.0)
        if self._shown is not None:
            pictured = present[..., self._shown].any(dim=1)
            share = torch.where(pictured, BESIDE_PICTURES, 1.0)[:, None, None]
            by_column = torch.where(self._is_text, by_column * share, by_column)
        logits = by_column.sum(dim=-1).masked_fill(~candidates, -torch.inf)
        mention = torch.zeros_like(logits[:, 0])
        if edges is not None and len(self.edges):
            mention = self.edges(edges)
        others = by_column[..., self._unpictured].sum(dim=-1)
        others = others.masked_fill(~candidates, -torch.inf)
        nil_features = self._nil_features(
            features, present, logits, others, described, mention
        )
        nil = self.nil[0] + nil_features @ self.nil[1:]
        return CombinedScores(logits, nil, nil_features, by_column)

    def left_open(self, scores: CombinedScores, positions: Tensor) -> Tensor:
        """How far everything but pictures leaves it open which candidate is meant.

        scores (CombinedScores): what `forward` gave.
        positions (Tensor): of the candidate that is asked about. *Shape:* ``(batch,)``
        RETURNS (Tensor): 0 where it is certain that it is this one, 1 where another is
            as likely. *Shape:* ``(batch,)``
        """
        others = scores.by_column[..., self._unpictured].sum(dim=-1)
        others = others.masked_fill(~torch.isfinite(scores.logits), -torch.inf)
        return _undecided(others, positions.unsqueeze(1))

    def shows(
        self,
        scores: CombinedScores,
        features: Tensor,
        present: Tensor,
        positions: Tensor,
    ) -> Tensor:
        """How far the pictures of mentions are taken to show their gold. Where the rest
        leaves it open which entity is meant, whoever labelled the mention saw it on the
        picture; where the text says so, a picture may be of anything, and what
        the KB's own pictures say counts.

        scores (CombinedScores): what `forward` gave.
        features, present (Tensor): what it was given.
        positions (Tensor): of the golds. *Shape:* ``(batch,)``
        RETURNS (Tensor): between 0 and 1. *Shape:* ``(batch,)``
        """
        best = positions.unsqueeze(1)
        shown = self._of_best(self._shown, features, present, best)
        likely = torch.sigmoid(STEEP * (shown - SHOWN)).nan_to_num(1.0)
        return torch.maximum(self.left_open(scores, positions), likely)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any
    ) -> None:
        """Weights that were saved before NIL read as much do not read the rest."""
        nil = state_dict[f"{prefix}nil"]
        more = len(UNTRAINED_NIL) - len(nil)
        state_dict[f"{prefix}nil"] = nn.functional.pad(nil, (0, more))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def divide_logits(self, temperature: float, nil: Tensor | None = None) -> None:
        """Divide every logit by a temperature. No order of candidates changes.

        temperature (float): above 0.
        nil (Tensor | None): bias and weights that give NIL's logit from its features
            before the division; None = NIL's logit is divided, too. *Shape:* ``(9,)``
        """
        own = [name not in NIL_LOGITS for name in UNTRAINED_NIL]
        with torch.no_grad():
            self.weight.div_(temperature)
            self.bias.div_(temperature)
            if nil is None:
                self.nil[own] = self.nil[own] / temperature
            else:
                self.nil[:] = nil.to(self.nil)
                others = [not each for each in own]
                self.nil[others] = self.nil[others] * temperature

    def _nil_features(
        self,
        features: Tensor,
        present: Tensor,
        logits: Tensor,
        others: Tensor,
        described: Tensor,
        mention: Tensor,
    ) -> Tensor:
        some = torch.isfinite(logits).any(dim=1)
        best = logits.argmax(dim=1, keepdim=True)
        top = torch.where(torch.isfinite(logits), logits, 0.0)
        second = torch.where(
            torch.isfinite(logits).scatter(1, best, False), logits, -torch.inf
        ).amax(dim=1)
        top = top.gather(1, best)[:, 0]
        margin = top - torch.where(torch.isfinite(second), second, 0.0)
        name, match, text, shown = (
            self._of_best(place, features, present, best) for place in self._read
        )
        match = match.nan_to_num(ALLOWED)
        text = text.nan_to_num(0.0).clamp(LEAST_TEXT, MOST_TEXT)
        has_description = described.to(top.dtype).gather(1, best)[:, 0]
        missing = torch.sigmoid(STEEP * (SHOWN - shown)).nan_to_num(0.0)
        doubt = _undecided(others, best) * missing * (match.clamp(min=0.0) + UNSURE)
        values = torch.stack(
            [
                *(top, margin, name.nan_to_num(0.0), has_description),
                *(mention, match, text, doubt),
            ],
            dim=1,
        )
        return torch.where(some[:, None], values, 0.0)

    @staticmethod
    def _of_best(
        place: int | None, features: Tensor, present: Tensor, best: Tensor
    ) -> Tensor:
        """RETURNS (Tensor): a column of the best candidate; NaN = it is missing.
        *Shape:* ``(batch,)``"""
        if place is None:
            return features.new_full((len(best),), torch.nan)
        known = present[..., place].gather(1, best)[:, 0]
        own = features[..., place].gather(1, best)[:, 0]
        return torch.where(known, own, torch.nan)


def _undecided(logits: Tensor, best: Tensor) -> Tensor:
    """logits (Tensor): without pictures. *Shape:* ``(batch, candidates)``
    best (Tensor): the candidate that is best with them. *Shape:* ``(batch, 1)``
    RETURNS (Tensor): 0 where it is certain without them, 1 where another candidate is
        as likely. *Shape:* ``(batch,)``
    """
    share = logits.softmax(dim=1).gather(1, best)[:, 0]
    return (2 * (1 - share.nan_to_num(1.0))).clamp(0.0, 1.0)
