"""A torch AdamW that obeys spaCy's `[training.optimizer]` block."""

import srsly
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from thinc.api import Optimizer
from torch import Tensor, nn

from ..errors import DweError, Errors

MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""What AdamW keeps for each weight."""


class TorchOptimizer:
    """Drives AdamW by the numbers of a thinc optimizer.

    thinc's own Adam would move every tensor between frameworks. The learning rate,
    betas, eps and L2 are read before each step, so that schedules rule here too. L2
    with `L2_is_weight_decay = false` becomes plain Adam with L2. `grad_clip` bounds the
    global norm of all gradients (thinc clips each tensor on its own), 0 = off.
    L2 spares weights of sums, norms and biases.

    network (nn.Module): a `LinkerNetwork`.
    combiner_rate (float): learning rate, as a multiple of the network's, of the
        combiner's weights, which are logits of size 1 to 10, and of the few weights
        that mix frozen vectors.
    """

    def __init__(self, network: nn.Module, *, combiner_rate: float) -> None:
        self._named = dict(network.named_parameters())
        self.parameters = list(self._named.values())
        groups = _parameter_groups(network, combiner_rate)
        # fused needs a device that has it; both the CPU and CUDA do.
        self.adam = torch.optim.AdamW(groups, lr=0.0, fused=True)

    def step(self, sgd: Optimizer) -> None:
        """Apply the accumulated gradients and clear them.

        sgd (Optimizer): where the numbers come from.
        RAISES (DweError): it is not Adam.
        """
        if sgd.use_radam or not (sgd.b1 or sgd.b2):
            raise DweError(Errors.E513)
        if sgd.grad_clip:
            nn.utils.clip_grad_norm_(self.parameters, sgd.grad_clip)
        decoupled = bool(sgd.L2_is_weight_decay)
        for group in self.adam.param_groups:
            group["lr"] = float(sgd.learn_rate) * group["rate"]
            group["betas"] = (float(sgd.b1), float(sgd.b2))
            group["eps"] = float(sgd.eps)
            group["weight_decay"] = float(sgd.L2) * group["decayed"]
            group["decoupled_weight_decay"] = decoupled
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): safetensors of the moments and numbers of steps, with the
        shapes of the weights as metadata."""
        state = {
            f"{kind}/{name}": self.adam.state[parameter][kind].contiguous().cpu()
            for name, parameter in self._named.items()
            for kind in MOMENTS
            if kind in self.adam.state.get(parameter, ())
        }
        return save(state, {"shapes": srsly.json_dumps(self._shapes())})

    def from_bytes(self, data: bytes) -> "TorchOptimizer":
        """Go on from the moments of another run.

        data (bytes): what `to_bytes` gave.
        RETURNS (TorchOptimizer): the optimizer.
        RAISES (ValueError): they are of other weights, or damaged. Nothing is changed.
        """
        try:
            tensors = load(data)
            header = int.from_bytes(data[:8], "little")
            metadata = srsly.json_loads(data[8 : 8 + header])["__metadata__"]
            shapes = srsly.json_loads(metadata["shapes"])
        except (SafetensorError, KeyError, TypeError) as error:
            raise ValueError(f"it is damaged: {error}") from error
        self._check_shapes(shapes)
        state: dict[Tensor, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            kind, _, name = key.partition("/")
            parameter = self._named[name]
            state.setdefault(parameter, {})[kind] = tensor.to(parameter.device)
        self.adam.state.update(state)
        return self

    def _shapes(self) -> dict[str, list[int]]:
        return {name: list(each.shape) for name, each in self._named.items()}

    def _check_shapes(self, theirs: dict[str, list[int]]) -> None:
        ours = self._shapes()
        for name in sorted(ours.keys() | theirs.keys()):
            if ours.get(name) != theirs.get(name):
                raise ValueError(
                    f"{name} has the shape {theirs.get(name)} there, and "
                    f"{ours.get(name)} here"
                )


def _parameter_groups(network: nn.Module, combiner_rate: float) -> list[dict]:
    mixing, vectors, matrices = [], [], []
    for name, parameter in network.named_parameters():
        if name.startswith("combiner.") or "anchor_weights" in name:
            mixing.append(parameter)
        elif parameter.ndim < 2:
            vectors.append(parameter)
        else:
            matrices.append(parameter)
    groups = [
        {"params": mixing, "rate": combiner_rate, "decayed": 0.0},
        {"params": vectors, "rate": 1.0, "decayed": 0.0},
        {"params": matrices, "rate": 1.0, "decayed": 1.0},
    ]
    return [group for group in groups if group["params"]]
