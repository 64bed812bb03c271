"""What is read off towers while they run: token states from the middle of a text tower,
vectors of patches from an image tower of open_clip."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

HEIGHT = 2 / 3
"""Share of the layers below. With it `cache.MENTION` has to change: stores hold what
was read before."""

Result = TypeVar("Result")
Reader = Callable[[Tensor], Tensor]
"""From states (batch, tokens, width) to vectors (batch, patches, dim)."""


@contextmanager
def seen(module: nn.Module, *, at_input: bool = False) -> Iterator[list[Any]]:
    """What leaves a module in this thread; others may run it meanwhile.

    module (nn.Module): the part.
    at_input (bool): what enters it instead, its first argument.
    YIELDS (list[Any]): one item a call, in order.
    """
    owner, noted = threading.get_ident(), []

    def note(_: nn.Module, inputs: tuple[Any, ...], output: Any = None) -> None:
        if threading.get_ident() == owner:
            noted.append(inputs[0] if at_input else output)

    hook: Any
    if at_input:
        hook = module.register_forward_pre_hook(note)
    else:
        hook = module.register_forward_hook(note)
    try:
        yield noted
    finally:
        hook.remove()


class MiddleReader:
    """Reads token states off a layer in the middle of a tower.

    tower (nn.Module): its longest list is that of its layers, or it runs one layer
        repeatedly. Of another kind, it has no middle that can be read.
    """

    def __init__(self, tower: nn.Module) -> None:
        stacks = [part for part in tower.modules() if isinstance(part, nn.ModuleList)]
        layers = max(stacks, key=len, default=nn.ModuleList())
        self._layer: nn.Module | None = None
        if len(layers):
            self._layer = layers[_below(len(layers))]

    def __call__(self, run: Callable[[], Result]) -> tuple[Result, Tensor | None]:
        """
        run (Callable): one forward pass of the tower.
        RETURNS (tuple[Any, Tensor | None]): what it returns, and states of all tokens,
            which may end with a class token. Shape: (n, n_tokens, width)
        """
        if self._layer is None:
            return run(), None
        with seen(self._layer) as outputs:
            result = run()
        if not outputs:
            return result, None
        states: Any = outputs[_below(len(outputs))]
        if isinstance(states, tuple):
            states = states[0]
        return result, states if isinstance(states, Tensor) else None

    def check(self, middle: Tensor | None, states: Tensor) -> None:
        """Read nothing from now on if states lie otherwise than the last ones do: some
        towers put the tokens first, which a batch may hide.

        middle (Tensor | None): of one text of several tokens.
        states (Tensor): its last states. Shape: (1, n_tokens, width)
        """
        if middle is None or middle[:, : states.shape[1]].shape != states.shape:
            self._layer = None


def middle_states(middle: Tensor | None, states: Tensor) -> np.ndarray:
    """
    middle (Tensor | None): what `MiddleReader` saw.
    states (Tensor): the last ones. Shape: (n, n_tokens, width)
    RETURNS (np.ndarray): states in the middle, or the last ones of a tower without.
        Shape: as `states`, float32
    """
    chosen = states if middle is None else middle[:, : states.shape[1]]
    array: np.ndarray = chosen.to(torch.float32).cpu().numpy()
    return array


def _below(n: int) -> int:
    return max(0, round(HEIGHT * n) - 1)


class PatchReader:
    """Reads patch vectors off an image tower of open_clip.

    visual (nn.Module): the tower.
    grid (tuple[int, int] | None): rows and columns of its patches; None where it has
        none that can be read (ResNets, ConvNeXt, poolers of other kinds).
    """

    def __init__(self, visual: nn.Module) -> None:
        self.grid: tuple[int, int] | None = None
        self._source: nn.Module = visual
        self._at_input = True
        self._read: Reader | None = None
        if isinstance(visual, VisionTransformer):
            self._of_vision_transformer(visual)
        elif isinstance(visual, TimmModel):
            self._of_timm(visual)

    def __call__(self, run: Callable[[], Tensor]) -> tuple[Tensor, Tensor | None]:
        """
        run (Callable): one forward pass of the tower.
        RETURNS (tuple[Tensor, Tensor | None]): what it returns, and unit vectors of the
            patches. Shapes: (batch, dim), (batch, rows * cols, dim), float32
        """
        if self._read is None:
            return run(), None
        with seen(self._source, at_input=self._at_input) as states:
            pooled = run()
        patches = self._read(states[0])
        return pooled, F.normalize(patches.float(), dim=-1)

    def _of_vision_transformer(self, visual: VisionTransformer) -> None:
        tower: Any = visual
        if tower.attn_pool is not None:
            if tower.attn_pool_contrastive is not None:
                return
            self._source, self._read = tower.attn_pool, _by_pooler(tower)
        elif tower.pool_type == "avg":
            self._source, self._at_input = tower.transformer, False
            self._read = _by_average(tower)
        elif tower.pool_type == "tok":
            block = tower.transformer.resblocks[-1]
            if not hasattr(block.attn, "in_proj_weight"):
                return
            self._source, self._read = block, _by_values(tower, block)
        else:
            return
        rows, cols = tower.grid_size
        self.grid = int(rows), int(cols)

    def _of_timm(self, visual: TimmModel) -> None:
        trunk: Any = visual.trunk
        grid = getattr(getattr(trunk, "patch_embed", None), "grid_size", None)
        if grid is None or type(getattr(trunk, "attn_pool", None)).__name__ != (
            "AttentionPoolLatent"
        ):
            return
        self.grid = int(grid[0]), int(grid[1])
        n_patches = self.grid[0] * self.grid[1]
        self._source, self._read = trunk.attn_pool, _by_latent_pool(visual, n_patches)


def _projected(tower: Any, states: Tensor) -> Tensor:
    return states if tower.proj is None else states @ tower.proj


def _by_average(tower: Any) -> Reader:
    def read(states: Tensor) -> Tensor:
        return _projected(tower, tower.ln_post(states[:, 1:]))

    return read


def _by_values(tower: Any, block: Any) -> Reader:
    attn = block.attn

    def read(states: Tensor) -> Tensor:
        normed = block.ln_1(states)[:, 1:]
        width = normed.shape[-1]
        weight, bias = attn.in_proj_weight, attn.in_proj_bias
        # The keys, in the middle third, are not needed.
        query = F.linear(normed, weight[:width], _part(bias, 0, width))
        value = F.linear(normed, weight[2 * width :], _part(bias, 2 * width, 3 * width))
        shape = (*normed.shape[:2], attn.num_heads, -1)
        query, value = (x.reshape(shape).transpose(1, 2) for x in (query, value))
        mixed = F.scaled_dot_product_attention(query, query, value)
        mixed = mixed.transpose(1, 2).reshape(normed.shape)
        return _projected(tower, tower.ln_post(block.ls_1(attn.out_proj(mixed))))

    return read


def _by_pooler(tower: Any) -> Reader:
    pooler = tower.attn_pool
    attn = pooler.attn

    def read(states: Tensor) -> Tensor:
        normed = pooler.ln_k(states[:, 1:])
        width = attn.embed_dim
        weight = attn.v_proj_weight
        if weight is None:
            weight = attn.in_proj_weight[2 * width :]
        bias = _part(attn.in_proj_bias, 2 * width, 3 * width)
        value = attn.out_proj(F.linear(normed, weight, bias))
        return _projected(tower, tower.ln_post(value))

    return read


def _by_latent_pool(visual: TimmModel, n_patches: int) -> Reader:
    trunk: Any = visual.trunk
    pool = trunk.attn_pool

    def read(states: Tensor) -> Tensor:
        # Some pools see the class token in front of the patches, others do not.
        patches = states[:, -n_patches:]
        value = pool.proj(pool.kv(patches)[..., patches.shape[-1] :])
        if pool.mlp is not None:
            value = value + pool.mlp(pool.norm(value))
        vectors: Tensor = visual.head(trunk.head(trunk.fc_norm(value)))
        return vectors

    return read


def _part(bias: Tensor | None, start: int, end: int) -> Tensor | None:
    return None if bias is None else bias[start:end]
