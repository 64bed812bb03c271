"""Registry glue: the linker's network as a thinc model, unbuilt until it is needed."""

import warnings
from collections.abc import Callable, Collection
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import srsly
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from thinc.api import Model, Optimizer
from thinc.shims import Shim
from torch import Tensor, nn

from ..errors import DweError, Errors, Warnings
from ..settings import DweSettings, takes
from .modalities import OF_PAPER, PAPER, Modality, all_modalities
from .spec import DWE

if TYPE_CHECKING:
    from ..encoders.protocol import Reading
    from .dwe import Query
    from .inputs import MentionInputs
    from .network import LinkerNetwork
    from .spec import NetworkSpec, QueryHead


@takes(DweSettings)
def build_dwe(**settings: Any) -> Model:
    """The DWE network and the combiner ("spacy-dwe.DWE.v1").

    Builds nothing: sizes that follow from the KB and the encoders are known only when
    the component is initialised or loaded.

    **settings: the fields of `DweSettings`, which says what they are.
    RETURNS (Model): `model.shims[0]` is the `NetworkShim`.
    RAISES (DweError): a setting has no such value.
    """
    given = DweSettings(**settings)
    modalities = all_modalities(
        given.modalities, pooled=given.states == "pooled", raw_image=given.raw_image
    )
    unknown = sorted({*given.without} - modalities.keys())
    if unknown or (given.head != "dwe" and given.modalities):
        raise DweError(
            Errors.E519.format(
                head=given.head,
                names=", ".join(unknown or given.modalities),
                known=", ".join(modalities if unknown else PAPER),
            )
        )
    shim = NetworkShim(replace(given, modalities=modalities))
    return Model("spacy-dwe", _forward, shims=[shim])


def shim_of(model: Model) -> "NetworkShim":
    """RETURNS (NetworkShim): holds the torch network of a model of `build_dwe`."""
    shim = model.shims[0]
    assert isinstance(shim, NetworkShim)
    return shim


def _forward(model: Model, X: Any, is_train: bool) -> tuple[Any, Callable[..., Any]]:
    return model.shims[0](X, is_train)


COLUMNS_UNSAVED = {
    "name": "ngram_cosine exact exact_title mention_coverage title_coverage "
    "first_token last_token rarity initials",
    "prior": "prior",
    "facts": "year_overlap year_conflict shared_words description_length sitelinks",
    "text": "description",
    "image": "picture_description picture_picture",
}
"""Columns, in the order of their weights, of channels that were saved without them."""


class NetworkShim(Shim):
    """Holds the torch network for thinc; its bytes are safetensors, never pickle.

    settings (DweSettings): of a new network, and of training; all modalities are named
        in them, the paper's as well. A loaded network keeps the shapes and the head
        that it was saved with.
    """

    _model: "LinkerNetwork | None"
    _resumed = b""
    """State of the optimizer of an earlier run, until the first step takes it up."""

    def __init__(self, settings: DweSettings) -> None:
        super().__init__(None)
        self.settings = settings

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
        widths, without = self.network.spec.modality_widths, self.settings.without
        return {
            name: modality
            for name, modality in self.settings.modalities.items()
            if name in widths and name not in without
        }

    def reading(self, channels: Collection[str]) -> "Reading":
        """What the network reads of the texts of mentions.

        channels (Collection[str]): those in use.
        RETURNS (Reading): states only where they are looked at one by one.
        """
        from ..encoders.protocol import Reading

        spec, encoder = self.network.spec, self.network.mention_encoder
        if encoder is not None and DWE in channels:
            if spec.head != "linear":
                if not {*map(type, self.read_modalities.values())} <= OF_PAPER:
                    return Reading.STATES
                if self.settings.states == "pooled":
                    return Reading.MEANS
                return Reading.HALVES if encoder.uses_bf16 else Reading.STATES
            if spec.read_mention:
                return Reading.MEANS
        reads_edges = spec.edge_width and "text" in channels
        return Reading.EDGES if reads_edges else Reading.POOLED

    def is_trained(self, channels: Collection[str]) -> bool:
        """channels (Collection[str]): those in use.
        RETURNS (bool): whether there are queries that were learned."""
        if self._model is None or DWE not in channels:
            return False
        return self._model.dwe_trained and bool(self._model.spec.heads)

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
            spec, self.settings.modalities, precision=self.settings.precision
        )
        self._model = network.to(device).eval()
        self._optimizer, self._resumed = None, b""
        return self._model

    def clear(self) -> None:
        """Forget the network."""
        self._model = None
        self._optimizer, self._resumed = None, b""

    def clear_untrained(self) -> None:
        """Forget a network that only links zero-shot: it was not trained, and another
        is made when it is needed."""
        if self.is_built and not self.network.spec.width:
            self.clear()

    def __call__(self, inputs: Any, is_train: bool) -> tuple[Any, Callable[..., Any]]:
        """inputs (tuple): (LinkingBatch, channels).
        RETURNS (tuple): the NetworkOutput, and a function that takes a loss and adds
            its gradients.
        """
        batch, channels = inputs
        network = self.network.train(is_train)
        if not is_train:
            with torch.inference_mode():
                return network(batch, channels), lambda loss: None
        output = network(batch, channels, self.settings.channel_dropout)
        return output, lambda loss: loss.backward()

    def queries(self, inputs: "MentionInputs") -> "dict[str, Query]":
        """What the network, as it is now, compares mentions with entities by.

        inputs (MentionInputs): frozen features of the mentions.
        RETURNS (dict[str, Query]): a query for each vector set.
        """
        encoder = self.network.eval().mention_encoder
        if encoder is None:
            return {}
        with torch.inference_mode():
            return encoder(inputs).queries

    def finish_update(self, optimizer: Optimizer) -> None:
        """Step the torch optimizer by the numbers of spaCy's."""
        if self._optimizer is None:
            self._optimizer = TorchOptimizer(
                self.network, combiner_rate=self.settings.combiner_rate
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
        """RETURNS (bytes): safetensors with the spec as metadata; empty for what links
        zero-shot, which is made again of the channels there are."""
        if self._model is None or self._model.is_untrained:
            return b""
        state = {k: v.contiguous().cpu() for k, v in self._model.state_dict().items()}
        spec = _spec_to_json(self._model.spec, dwe_trained=self._model.dwe_trained)
        return save(state, {"spec": spec})

    def from_bytes(self, data: bytes, device: str = "cpu") -> "NetworkShim":
        """data (bytes): what `to_bytes` gave.
        RAISES (DweError): the bytes are damaged, or the config lacks a modality.
        """
        self.clear()
        if not data:
            return self
        try:
            state, metadata = load(data), _metadata(data)
            spec = _spec_from_json(metadata["spec"])
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
        lacking = spec.modality_widths.keys() - self.settings.modalities.keys()
        if lacking:
            raise DweError(Errors.E516.format(names=", ".join(sorted(lacking))))


def _metadata(data: bytes) -> Any:
    """What is written beside tensors, of which `safetensors` tells for files only."""
    header = int.from_bytes(data[:8], "little")
    return srsly.json_loads(data[8 : 8 + header])["__metadata__"]


def _damages() -> tuple[type[Exception], ...]:
    """What safetensors, JSON, the spec and torch raise on wrong contents."""
    wrong = (AssertionError, KeyError, RuntimeError, TypeError, ValueError)
    return (SafetensorError, *wrong)


def _spec_to_json(spec: "NetworkSpec", *, dwe_trained: bool) -> str:
    columns = [(column.channel, column.name) for column in spec.columns]
    return srsly.json_dumps(
        {**asdict(spec), "columns": columns, "dwe_trained": dwe_trained}
    )


def _spec_from_json(text: str) -> "NetworkSpec":
    from .spec import Column, NetworkSpec

    data: dict[str, Any] = srsly.json_loads(text)
    heads = {name: _head(name, head) for name, head in data.pop("heads").items()}
    if "pictures" not in data:
        # Version 0.1 had one space of pictures, and did not say which.
        width = data.pop("image_dim")
        space = next((head.picture for head in heads.values() if head.picture), "clip")
        data["pictures"] = {space: width} if width else {}
    modalities = data.pop("modalities")
    if modalities is not None:
        modalities = {name: int(width) for name, width in dict(modalities).items()}
    if "columns" not in data:
        # Version 0.1 saved the channels alone.
        data["columns"] = [
            (channel, column)
            for channel in data.pop("channels")
            for column in COLUMNS_UNSAVED.get(channel, "").split()
        ]
    columns = tuple(Column(*names) for names in data.pop("columns"))
    for name in ("parts", "refined"):
        if data.get(name) is not None:
            data[name] = tuple(data[name])
    return NetworkSpec(columns=columns, heads=heads, modalities=modalities, **data)


def _head(name: str, saved: dict[str, Any]) -> "QueryHead":
    from .spec import QueryHead

    if isinstance(saved["picture"], bool):
        # Version 0.1 saved whether pictures live in the space of the set.
        space = name.partition("@")[2] if saved["picture"] else None
        saved = {**saved, "picture": space}
    return QueryHead(**saved)


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
            shapes = srsly.json_loads(_metadata(data)["shapes"])
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
