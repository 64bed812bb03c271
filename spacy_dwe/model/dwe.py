"""The trainable half of DWE: from frozen features of a mention to query vectors."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, normalize, softplus

from .body import DweBody, LinearBody, PlainBody
from .inputs import MentionInputs, Pictures
from .modalities import Modality, all_modalities
from .spec import FACES, VISION, NetworkSpec, QueryHead

NEARLY_ZERO = -5.0
"""softplus(-5) = .007: a weight that starts at next to nothing but can grow."""
ONE = 0.5413248546129181
"""softplus(ONE) = 1."""

BF16_DEVICES = ("cuda",)
"""Where bf16 is faster; elsewhere `precision = "bf16"` computes in fp32."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is compared with the vectors of one set.

    vectors (Tensor): unit length. *Shape:* ``(batch, dim)``
    present (Tensor): False where the mention has nothing that lives in the set's
        space; its vector then says nothing. *Shape:* ``(batch,)``
    """

    vectors: Tensor
    present: Tensor


@dataclass(frozen=True, slots=True)
class EncodedMentions:
    """queries (dict[str, Query]): a query for each vector set.
    enhanced (dict[str, Tensor]): the mention as each modality enhanced it.
        *Shape:* ``(batch, width)`` each
    """

    queries: dict[str, Query]
    enhanced: dict[str, Tensor]


class Refinement(nn.Module):
    """A map of pictures' vectors, y = unit(W x + b), which is fitted to all training
    pictures at once (`training.pictures`) and starts as the identity. Its weights are
    buffers: steps of the optimizer learn what is added to it.

    dim (int): width of the vectors.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight: Tensor
        self.bias: Tensor
        self.register_buffer("weight", torch.eye(dim))
        self.register_buffer("bias", torch.zeros(dim))

    def forward(self, pictures: Pictures) -> Pictures:
        """RETURNS (Pictures): the same, mapped."""
        if not pictures.mask.shape[1]:
            return pictures
        mapped = linear(pictures.vectors, self.weight, self.bias)
        # Padding must not be normalised: its gradient is infinite.
        mapped = torch.where(pictures.mask.unsqueeze(-1), mapped, 1.0)
        return Pictures(normalize(mapped, dim=-1), pictures.mask)


class MentionEncoder(nn.Module):
    """DWE's network and one query head for each KB vector set.

    The head adds a correction, zero at initialisation, to the frozen vectors that
    already live in the set's space: untrained, a query is the encoder's own vector.
    Entity vectors are never transformed, so that training encodes no KB again and a
    new entity can be linked at once. That residual form is our reading. So is the map
    that pictures pass first, `Refinement`.

    spec (NetworkSpec): its shapes.
    modalities (Mapping[str, Modality] | None): those of the spec; None = the paper's.
    precision (str): "bf16" computes the body under autocast on a GPU; vectors that are
        compared stay fp32.
    """

    def __init__(
        self,
        spec: NetworkSpec,
        modalities: Mapping[str, Modality] | None = None,
        *,
        precision: str = "fp32",
    ) -> None:
        super().__init__()
        self.body = _body(spec, modalities or all_modalities({}))
        self.in_bf16 = precision == "bf16"
        self.reads_faces = spec.has(FACES)
        self.heads = dict(spec.heads)
        self.refinements = nn.ModuleDict(
            {space: Refinement(spec.pictures[space]) for space in spec.refined}
        )
        self.corrections = nn.ModuleDict()
        self.anchor_weights = nn.ParameterDict()
        for name, head in self.heads.items():
            correction = nn.Linear(self.body.hidden_width, head.dim, bias=False)
            nn.init.zeros_(correction.weight)
            self.corrections[name] = correction
            # One vector alone is as long as it likes.
            is_sum = head.text and head.picture is not None
            weights = nn.Parameter(_initial_anchor_weights(head), is_sum)
            self.anchor_weights[name] = weights

    @property
    def uses_bf16(self) -> bool:
        """RETURNS (bool): whether the body computes in bf16 where it is."""
        device = next(self.parameters()).device.type
        return self.in_bf16 and device in BF16_DEVICES

    def forward(self, inputs: MentionInputs) -> EncodedMentions:
        """inputs (MentionInputs): frozen features.
        RETURNS (EncodedMentions): queries, and what S-Align compares.
        """
        device = inputs.text.device.type
        use_bf16 = self.in_bf16 and device in BF16_DEVICES
        refined = self._refined(inputs)
        with torch.autocast(device, torch.bfloat16, enabled=use_bf16):
            hidden = self.body(refined)
        queries = {}
        for name, head in self.heads.items():
            seen = refined if head.of_pictures else inputs
            anchor, present = self._anchor(name, head, seen)
            correction = self.corrections[name](hidden.vector.to(anchor.dtype))
            queries[name] = Query(normalize(anchor + correction, dim=-1), present)
        return EncodedMentions(queries, hidden.enhanced)

    def _refined(self, inputs: MentionInputs) -> MentionInputs:
        """RETURNS (MentionInputs): with pictures as their maps make them."""
        pictures = {
            space: self.refinements[space](own) if space in self.refinements else own
            for space, own in inputs.pictures.items()
        }
        return replace(inputs, pictures=pictures)

    def face_pairs(self, inputs: MentionInputs) -> tuple[Tensor, Tensor] | None:
        """What A-Align compares.

        inputs (MentionInputs): frozen features.
        RETURNS (tuple[Tensor, Tensor] | None): P_txt(f_i) and P_img(o_i) of all slots;
            None where no mention has a face or nothing projects any.
            *Shape:* ``(batch, slots, width)`` each
        """
        vision = inputs.slots(VISION)
        has_faces = self.reads_faces and len(vision) and "faces" in vision.arrays
        if not has_faces or isinstance(self.body, LinearBody):
            return None
        project = self.body.project
        if project.image is None:
            return None
        return (
            project.phrase(vision.arrays["faces"]),
            project.image(vision.arrays["objects"]),
        )

    def _anchor(
        self, name: str, head: QueryHead, inputs: MentionInputs
    ) -> tuple[Tensor, Tensor]:
        """u = unit(Σ softplus(α_j) · unit(x_j)) over the frozen vectors in the space,
        and whether the mention has any."""
        batch = len(inputs.text)
        weights = softplus(self.anchor_weights[name])
        total = inputs.text.new_zeros(batch, head.dim)
        present = total.new_zeros(batch, dtype=torch.bool)
        if head.text:
            total = total + weights[0] * inputs.text
            present = torch.ones_like(present)
        if head.picture is not None:
            pictures = inputs.pictures[head.picture]
            pictured = pictures.present
            if pictures.mask.shape[1]:
                total = total + weights[1] * pictures.mean()
            # Beside pictures, a text alone would be measured on another scale.
            present = pictured if head.of_pictures else present | pictured
        # A row without any vector must not be normalised: its gradient is infinite.
        total = torch.where(present.unsqueeze(-1), total, torch.ones_like(total))
        return normalize(total, dim=-1), present


def _body(
    spec: NetworkSpec, modalities: Mapping[str, Modality]
) -> DweBody | PlainBody | LinearBody:
    if spec.head == "plain":
        return PlainBody(spec)
    if spec.head == "linear":
        return LinearBody(spec)
    return DweBody(spec, modalities)


def _initial_anchor_weights(head: QueryHead) -> Tensor:
    """The vector of the set's own kind starts at 1, the other at nothing: text and
    pictures sit apart in CLIP's space, so that their plain sum means little."""
    text, picture = ONE, ONE
    if head.text and head.picture is not None:
        text = NEARLY_ZERO if head.of_pictures else ONE
        picture = ONE if head.of_pictures else NEARLY_ZERO
    return torch.tensor([text, picture])
