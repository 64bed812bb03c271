"""What a batch is learned by: its losses, and their gradients."""

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING

from thinc.api import Model

from ..errors import DweError, Errors
from ..model.architectures import NetworkShim, shim_of
from ..model.spec import VISION

if TYPE_CHECKING:
    from torch import Tensor

    from ..model.network import LinkingBatch


def add_gradients(
    model: Model, batch: "LinkingBatch", targets: "Tensor", channels: Sequence[str]
) -> dict[str, float]:
    """Add the gradients of a batch to those that the weights have.

    model (Model): of the component.
    batch (LinkingBatch): mentions with their negatives.
    targets (Tensor): position of each gold, see `with_targets`. Shape: (batch,)
    channels (Sequence[str]): channels in use.
    RETURNS (dict[str, float]): the loss as `total`, and its parts.
    RAISES (DweError): the loss is not finite; no gradient is added.
    """
    from ..model.objective import LossSettings

    shim = shim_of(model)
    output, backprop = model.begin_update((batch, channels))
    settings = LossSettings.of(shim.cfg)
    parts = shim.network.loss(output, batch, targets, settings)
    values = parts.values()
    if not isfinite(values["total"]):
        raise DweError(Errors.E512)
    backprop(parts.total)
    return values


def loss_parts(shim: NetworkShim) -> tuple[str, ...]:
    """RETURNS (tuple[str, ...]): parts of the loss that count for a network."""
    from ..model.objective import LossSettings

    spec = shim.network.spec
    if not spec.heads:
        return ("linking",)
    counted = LossSettings.of(shim.cfg).counted
    if VISION not in spec.modality_widths:
        # There is no picture to align anything with.
        counted = tuple(part for part in counted if not part.endswith("_align"))
    return ("linking", *counted)
