"""Registry glue: the linker's network as a thinc model, unbuilt until it is needed."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import srsly
from thinc.api import Model, Optimizer
from thinc.shims import Shim

from ..errors import DweError, Errors

if TYPE_CHECKING:
    from .network import LinkerNetwork, NetworkSpec


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
    combiner_rate: float = 20.0,
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
    channel_dropout (float): probability of masking a channel of a training mention.
    nil_dropout (float): share of training mentions whose gold is taken out of their
        candidates to teach NIL; used only where no mention is labelled NIL.
    info_nce_weight (float): weight of InfoNCE on the dwe cosine beside the main loss.
    combiner_rate (float): learning rate of the combiner, as a multiple.
    RETURNS (Model): `model.shims[0]` is the `NetworkShim`.
    RAISES (DweError): `states` is neither of the two.
    """
    if states not in ("tokens", "pooled"):
        raise DweError(Errors.E501.format(states=states))
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
        "combiner_rate": combiner_rate,
    }
    return Model("spacy-dwe", _forward, shims=[NetworkShim(None, config=settings)])


def _forward(model: Model, X: Any, is_train: bool) -> tuple[Any, Callable[..., Any]]:
    return model.shims[0](X, is_train)


class NetworkShim(Shim):
    """Holds the torch network for thinc; its bytes are safetensors, never pickle."""

    _model: "LinkerNetwork | None"

    @property
    def network(self) -> "LinkerNetwork":
        """RETURNS (LinkerNetwork): the built network.
        RAISES (DweError): it has not been built.
        """
        if self._model is None:
            raise DweError(Errors.E502)
        return self._model

    @property
    def is_built(self) -> bool:
        """RETURNS (bool): whether there is a network."""
        return self._model is not None

    def build(self, spec: "NetworkSpec", device: str) -> "LinkerNetwork":
        """Make the network with fresh weights.

        spec (NetworkSpec): its shapes.
        device (str): torch device.
        RETURNS (LinkerNetwork): the network, in evaluation mode.
        """
        from .network import LinkerNetwork

        self._model = LinkerNetwork(spec).to(device).eval()
        self._optimizer = None
        return self._model

    def clear(self) -> None:
        """Forget the network."""
        self._model = None
        self._optimizer = None

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
        from .optimizer import TorchOptimizer

        if self._optimizer is None:
            self._optimizer = TorchOptimizer(
                self.network, combiner_rate=self.cfg["combiner_rate"]
            )
        self._optimizer.step(optimizer)

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
        RAISES (DweError): the bytes are damaged.
        """
        self.clear()
        if not data:
            return self
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            state = load(data)
            header = int.from_bytes(data[:8], "little")
            metadata = srsly.json_loads(data[8 : 8 + header])["__metadata__"]
            spec = _spec_from_json(srsly.json_loads(metadata["spec"]))
            self.build(spec, device).load_state_dict(state)
        except (
            # What safetensors, JSON, the spec and torch raise on wrong contents.
            SafetensorError,
            AssertionError,
            KeyError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:
            self.clear()
            raise DweError(Errors.E503.format(reason=str(error))) from error
        return self


def _spec_from_json(data: dict[str, Any]) -> "NetworkSpec":
    from .dwe import QueryHead
    from .network import NetworkSpec

    heads = {name: QueryHead(**head) for name, head in data.pop("heads").items()}
    channels = tuple(data.pop("channels"))
    return NetworkSpec(channels=channels, heads=heads, **data)
