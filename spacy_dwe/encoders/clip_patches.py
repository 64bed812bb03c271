"""What a CLIP image tower says of each patch, from the same pass as its vector.

A tower is trained to put the pooled vector into the space of texts, not the patches.
Three ways lead there without further weights:

* A tower that averages its tokens: each token's own share of the average, exactly.
* A tower that reads its class token: the values of the last block, each patch attending
  to patches with a similar query, without the block's residual and its feed-forward
  layer, which hold what the picture is about as a whole (ClearCLIP, arXiv 2407.12442;
  the values by MaskCLIP, arXiv 2112.01071).
* A tower with an attention pool (CoCa, SigLIP): what the pool would say if it looked
  at that patch alone.
"""

from collections.abc import Callable
from typing import Any

from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from .hooks import seen

Reader = Callable[[Tensor], Tensor]
"""From states (batch, tokens, width) to vectors (batch, patches, dim)."""


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
