"""Registry glue: the linker's network as a thinc model, unbuilt until it is needed."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import srsly
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from thinc.api import Model, Optimizer
from thinc.shims import Shim
from torch import Tensor, nn

from ..errors import DweError, Errors, Warnings
from .modalities import PAPER, Modality, all_modalities

if TYPE_CHECKING:
    from .network import LinkerNetwork
    from .spec import NetworkSpec

HEADS = ("dwe", "plain", "linear")
LOSSES = ("info_nce", "triplet", "n_pair")
NEGATIVES = ("all", "train_golds")
PRECISIONS = ("bf16", "fp32")

NONE: dict[str, Any] = {}


def build_dwe(
    width: int = 512,
    n_heads: int = 8,
    ffn_width: int = 2048,
    dropout: float = 0.4,
    decoder: bool = True,
    states: str = "tokens",
    channel_dropout: float = 0.15,
    nil_dropout: float = 0.1,
    info_nce_weight: float = 1.0,
    fit_combiner: bool = True,
    combiner_rate: float = 20.0,
    head: str = "dwe",
    read_mention: bool = False,
    gate: bool = True,
    modalities: Mapping[str, Any] = NONE,
    without: Sequence[str] = (),
    raw_image: bool = False,
    loss: str = "info_nce",
    margin: float = 0.5,
    negatives: str = "all",
    rare_word_negatives: int = 0,
    a_align_weight: float = 0.1,
    s_align_weight: float = 0.1,
    precision: str = "bf16",
) -> Model:
    """The DWE network and the combiner ("spacy-dwe.DWE.v1").

    Builds nothing: sizes that follow from the KB and the encoders are known only when
    the component is initialised or loaded.

    width (int): width of the network, d in the paper.
    n_heads (int): attention heads, h.
    ffn_width (int): inner width of feed-forward networks, f.
    dropout (float): dropout in the network. The paper's code uses .4.
    decoder (bool): enhancers end in a Transformer decoder layer; otherwise in a mean.
    states (str): "tokens" gives the network token states of mention and context;
        "pooled" their means (faster; each enhancer is then an MLP).
    channel_dropout (float): probability of masking a channel of a training mention,
        other than its name.
    nil_dropout (float): share of training mentions whose gold is taken out of their
        candidates to teach NIL; used only where no mention is labelled NIL.
    info_nce_weight (float): weight of `loss` on the dwe cosine beside the main loss.
    fit_combiner (bool): start from weights of the features that fit all training
        mentions, found by L-BFGS, instead of the untrained ones. Where mentions are
        labelled NIL, NIL learns by it from the words at a mention's edges, too.
    combiner_rate (float): learning rate of the combiner, as a multiple.
    head (str): "dwe", the network of the paper's figure; "plain", what the authors'
        released code computes; "linear", no network, but a residual linear map of the
        frozen vectors.
    read_mention (bool): the linear head reads the mention's own token states, too; the
        others always do. It then learns which entity a name means in which company:
        better where the mentions to link share entities with those trained on, worse
        where they do not.
    gate (bool): attributes are fused by a gate; otherwise added.
    modalities (Mapping[str, Modality]): further modalities by name, beside text, vision
        and attributes; one of these names replaces it. Read by the head "dwe" alone.
    without (Sequence[str]): modalities to leave out: a new network gets no part for
        them, and to one that has it they are absent.
    raw_image (bool): vision reads each whole picture, not its regions and faces, and no
        scene attributes; the network keeps its size.
    loss (str): "info_nce", "triplet" or "n_pair", on the dwe cosine.
    margin (float): of the triplet loss.
    negatives (str): "all" candidates are negatives of `loss`, or "train_golds" only:
        entities never seen as a gold are then not learned to be wrong. The main loss
        reads all candidates in either case.
    rare_word_negatives (int): further negatives of `loss` for each mention, drawn from
        the entities that share a rare word of the gold's description.
    a_align_weight, s_align_weight (float): weights of the alignments of faces with
        image regions and of the picture's mention with the text's.
    precision (str): "bf16" on a GPU and fp32 elsewhere, or "fp32".
    RETURNS (Model): `model.shims[0]` is the `NetworkShim`.
    RAISES (DweError): a setting has no such value.
    """
    if states not in ("tokens", "pooled"):
        raise DweError(Errors.E501.format(states=states))
    for name, value, known in (
        ("head", head, HEADS),
        ("loss", loss, LOSSES),
        ("negatives", negatives, NEGATIVES),
        ("precision", precision, PRECISIONS),
    ):
        if value not in known:
            choices = ", ".join(known)
            raise DweError(Errors.E517.format(name=name, value=value, choices=choices))
    all_of_them = all_modalities(
        modalities, pooled=states == "pooled", raw_image=raw_image
    )
    unknown = sorted({*without} - all_of_them.keys())
    if unknown or (head != "dwe" and modalities):
        raise DweError(
            Errors.E519.format(
                head=head,
                names=", ".join(unknown or modalities),
                known=", ".join(all_of_them if unknown else PAPER),
            )
        )
    settings = {
        "width": width,
        "n_heads": n_heads,
        "ffn_width": ffn_width,
        "dropout": dropout,
        "decoder": decoder,
        "states": states,
        "channel_dropout": channel_dropout,
        "nil_dropout": nil_dropout,
        "info_nce_weight": info_nce_weight,
        "fit_combiner": fit_combiner,
        "combiner_rate": combiner_rate,
        "head": head,
        "read_mention": read_mention,
        "gate": gate,
        "modalities": all_of_them,
        "without": tuple(without),
        "loss": loss,
        "margin": margin,
        "negatives": negatives,
        "rare_word_negatives": rare_word_negatives,
        "a_align_weight": a_align_weight,
        "s_align_weight": s_align_weight,
        "precision": precision,
    }
    return Model("spacy-dwe", _forward, shims=[NetworkShim(None, config=settings)])


def shim_of(model: Model) -> "NetworkShim":
    """RETURNS (NetworkShim): holds the torch network of a model of `build_dwe`."""
    shim = model.shims[0]
    assert isinstance(shim, NetworkShim)
    return shim


def _forward(model: Model, X: Any, is_train: bool) -> tuple[Any, Callable[..., Any]]:
    return model.shims[0](X, is_train)


class NetworkShim(Shim):
    """Holds the torch network for thinc; its bytes are safetensors, never pickle."""

    _model: "LinkerNetwork | None"
    _resumed = b""
    """State of the optimizer of an earlier run, until the first step takes it up."""

    @property
    def network(self) -> "LinkerNetwork":
        """RETURNS (LinkerNetwork): the built network.
        RAISES (DweError): it has not been built.
        """
        if self._model is None:
            raise DweError(Errors.E502)
        return self._model

    @property
    def read_modalities(self) -> "dict[str, Modality]":
        """RETURNS (dict[str, Modality]): modalities that the network has and the config
        does not leave out."""
        widths, without = self.network.spec.modality_widths, self.cfg["without"]
        return {
            name: modality
            for name, modality in self.cfg["modalities"].items()
            if name in widths and name not in without
        }

    @property
    def is_built(self) -> bool:
        """RETURNS (bool): whether there is a network."""
        return self._model is not None

    def build(self, spec: "NetworkSpec", device: str) -> "LinkerNetwork":
        """Make the network with fresh weights.

        spec (NetworkSpec): its shapes.
        device (str): torch device.
        RETURNS (LinkerNetwork): the network, in evaluation mode.
        RAISES (DweError): the config lacks one of its modalities.
        """
        from .network import LinkerNetwork

        self._check_modalities(spec)
        network = LinkerNetwork(
            spec, self.cfg["modalities"], precision=self.cfg["precision"]
        )
        self._model = network.to(device).eval()
        self._optimizer, self._resumed = None, b""
        return self._model

    def clear(self) -> None:
        """Forget the network."""
        self._model = None
        self._optimizer, self._resumed = None, b""

    def __call__(self, inputs: Any, is_train: bool) -> tuple[Any, Callable[..., Any]]:
        """inputs (tuple): (LinkingBatch, channels).
        RETURNS (tuple): the NetworkOutput, and a function that takes a loss and adds
            its gradients.
        """
        import torch

        batch, channels = inputs
        network = self.network.train(is_train)
        if not is_train:
            with torch.inference_mode():
                return network(batch, channels), lambda loss: None
        output = network(batch, channels, self.cfg["channel_dropout"])
        return output, lambda loss: loss.backward()

    def finish_update(self, optimizer: Optimizer) -> None:
        """Step the torch optimizer by the numbers of spaCy's."""

        if self._optimizer is None:
            self._optimizer = TorchOptimizer(
                self.network, combiner_rate=self.cfg["combiner_rate"]
            )
            self._take_up(self._optimizer)
        self._optimizer.step(optimizer)

    def optimizer_bytes(self) -> bytes:
        """RETURNS (bytes): state of the optimizer as safetensors; empty before the
        first step."""
        return self._resumed if self._optimizer is None else self._optimizer.to_bytes()

    def resume_optimizer(self, data: bytes) -> None:
        """Let the next step go on from the optimizer of an earlier run. Where that was
        of other weights, the step warns, and starts with a fresh one.

        data (bytes): what `optimizer_bytes` gave.
        """
        self._optimizer, self._resumed = None, data

    def _take_up(self, optimizer: "TorchOptimizer") -> None:
        if not self._resumed:
            return
        try:
            optimizer.from_bytes(self._resumed)
        except ValueError as error:
            warnings.warn(Warnings.W501.format(reason=error), stacklevel=5)
        self._resumed = b""

    def to_device(self, device_type: str, device_id: int) -> None:
        """The component moves the network by its own `device` setting."""

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): safetensors with the spec as metadata; empty if unbuilt."""
        if self._model is None:
            return b""
        from dataclasses import asdict

        from safetensors.torch import save

        spec = {**asdict(self._model.spec), "dwe_trained": self._model.dwe_trained}
        state = {k: v.contiguous().cpu() for k, v in self._model.state_dict().items()}
        return save(state, {"spec": srsly.json_dumps(spec)})

    def from_bytes(self, data: bytes, device: str = "cpu") -> "NetworkShim":
        """data (bytes): what `to_bytes` gave.
        RAISES (DweError): the bytes are damaged, or the config lacks a modality.
        """
        self.clear()
        if not data:
            return self
        from safetensors.torch import load

        try:
            state = load(data)
            header = int.from_bytes(data[:8], "little")
            metadata = srsly.json_loads(data[8 : 8 + header])["__metadata__"]
            spec = _spec_from_json(srsly.json_loads(metadata["spec"]))
        except _damages() as error:
            raise DweError(Errors.E503.format(reason=str(error))) from error
        self._check_modalities(spec)
        try:
            self.build(spec, device).load_state_dict(state)
        except _damages() as error:
            self.clear()
            raise DweError(Errors.E503.format(reason=str(error))) from error
        return self

    def _check_modalities(self, spec: "NetworkSpec") -> None:
        lacking = spec.modality_widths.keys() - self.cfg["modalities"].keys()
        if lacking:
            raise DweError(Errors.E516.format(names=", ".join(sorted(lacking))))


def _damages() -> tuple[type[Exception], ...]:
    """What safetensors, JSON, the spec and torch raise on wrong contents."""
    from safetensors import SafetensorError

    wrong = (AssertionError, KeyError, RuntimeError, TypeError, ValueError)
    return (SafetensorError, *wrong)


def _spec_from_json(data: dict[str, Any]) -> "NetworkSpec":
    from .spec import NetworkSpec, QueryHead

    heads = {name: QueryHead(**head) for name, head in data.pop("heads").items()}
    channels = tuple(data.pop("channels"))
    modalities = data.pop("modalities")
    if modalities is not None:
        modalities = {name: int(width) for name, width in dict(modalities).items()}
    return NetworkSpec(channels=channels, heads=heads, modalities=modalities, **data)


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
