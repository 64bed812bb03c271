"""Flags as a camera sees them: folds, light, perspective, blur, noise, JPEG.

Everything is drawn from a seeded generator, so a picture can be made again, and a
whole batch is photographed at once, so that training can do it at every step.
"""

import io
import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

ASPECT = 4 / 3
"""Width to height of a photograph."""


def photograph(
    image: Image.Image, seed: int, size: tuple[int, int] = (128, 96)
) -> Image.Image:
    """Photograph a drawing once.

    image (Image): of a flag.
    seed (int): the same seed gives the same picture; it is not kept in it.
    size (tuple[int, int]): width and height of the photograph in pixels.
    RETURNS (Image): RGB, without metadata.
    """
    generator = torch.Generator().manual_seed(seed)
    flag = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1) / 255
    ratio = torch.tensor([image.width / image.height])
    picture = shoot(flag[None], ratio, (size[1], size[0]), generator)[0]
    pixels = (picture * 255).round().byte().permute(1, 2, 0).numpy()
    quality = int(torch.randint(35, 90, (), generator=generator))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def shoot(
    flags: Tensor, ratios: Tensor, size: tuple[int, int], generator: torch.Generator
) -> Tensor:
    """Photograph a batch of drawings, each under its own conditions.

    flags (Tensor): in [0, 1], resized to one shape. Shape: (batch, 3, height, width)
    ratios (Tensor): each flag's own width to height. Shape: (batch,)
    size (tuple[int, int]): height and width of the photographs in pixels.
    generator (torch.Generator): on the CPU, where all chances are drawn.
    RETURNS (Tensor): in [0, 1]. Shape: (batch, 3, *size)
    """
    batch = len(flags)
    chance = Chance(batch, generator, flags.device)
    where, shade = _fold(_aim(ratios, size, chance), chance)
    seen = F.grid_sample(flags, where, padding_mode="border", align_corners=False)
    inside = ((1 - where.abs().amax(dim=-1)) * 0.25 * min(size)).clamp(0, 1)[:, None]
    picture = torch.lerp(_background(size, chance), seen * shade, inside)
    picture = _blur(_light(picture, chance), chance)
    noise = chance.normal(3, *size) * chance.uniform(0.0, 0.06)
    return (picture + noise).clamp(0, 1)


class Chance:
    """Draws one value for each picture of a batch, shaped to broadcast over it."""

    def __init__(
        self, batch: int, generator: torch.Generator, device: torch.device
    ) -> None:
        self.batch, self.generator, self.device = batch, generator, device

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """RETURNS (Tensor): Shape: (batch, *shape), by default (batch, 1, 1, 1)."""
        drawn = torch.rand(self.batch, *(shape or (1, 1, 1)), generator=self.generator)
        return (low + (high - low) * drawn).to(self.device)

    def normal(self, *shape: int) -> Tensor:
        """RETURNS (Tensor): Shape: (batch, *shape)"""
        drawn = torch.randn(self.batch, *shape, generator=self.generator)
        return drawn.to(self.device)


def _frame(size: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    """RETURNS (tuple): x and y of each pixel, from -1 to 1. Shapes: (height, width)"""
    ys, xs = (
        (torch.arange(n, device=device) + 0.5) * (2 / n) - 1 for n in (size[0], size[1])
    )
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    return x, y


def _aim(ratios: Tensor, size: tuple[int, int], chance: Chance) -> Tensor:
    """Where on its flag each pixel looks: zoom, shift, rotation and perspective.

    RETURNS (Tensor): flag coordinates from -1 to 1. Shape: (batch, height, width, 2)
    """
    x, y = _frame(size, chance.device)
    x, y = x * ASPECT, y.expand(chance.batch, *size)
    # Half the flag's sides, in half heights of the picture, when it just fits.
    half_width = torch.minimum(ratios, torch.full_like(ratios, ASPECT))
    half_height = half_width / ratios
    # A long flag is not shown whole: it would leave too much of the picture empty.
    grow = half_height.clamp(max=0.75).reciprocal() * 0.75
    zoom = (grow[:, None, None] * chance.uniform(0.8, 1.2, 1, 1)).reciprocal()
    turn = chance.uniform(-0.2, 0.2, 1, 1)
    x = x + chance.uniform(-0.12, 0.12, 1, 1)
    y = y + chance.uniform(-0.12, 0.12, 1, 1)
    depth = 1 + chance.uniform(-0.15, 0.15, 1, 1) * x
    depth = depth + chance.uniform(-0.15, 0.15, 1, 1) * y
    u = (x * turn.cos() - y * turn.sin()) * zoom / depth
    v = (x * turn.sin() + y * turn.cos()) * zoom / depth
    return torch.stack(
        [u / half_width[:, None, None], v / half_height[:, None, None]], dim=-1
    )


def _fold(where: Tensor, chance: Chance) -> tuple[Tensor, Tensor]:
    """Let the cloth wave: it shifts what is seen, and its slopes are lit unevenly.

    RETURNS (tuple): displaced coordinates, and brightness. Shapes: (batch, height,
        width, 2) and (batch, 1, height, width)
    """
    shade = torch.ones_like(where[..., 0])
    for _ in range(2):
        angle = chance.uniform(-0.9, 0.9, 1, 1)
        waves = chance.uniform(0.6, 2.2, 1, 1) * math.pi
        along = where[..., 0] * angle.cos() + where[..., 1] * angle.sin()
        phase = along * waves + chance.uniform(0, 2 * math.pi, 1, 1)
        depth = chance.uniform(0.0, 0.05, 1, 1)
        shift = depth * phase.sin()
        where = where + torch.stack([0.4 * shift, shift], dim=-1)
        shade = shade + chance.uniform(0.0, 3.0, 1, 1) * depth * phase.cos()
    return where, shade[:, None]


def _background(size: tuple[int, int], chance: Chance) -> Tensor:
    """Plain, a gradient, or blue above and pale below like a sky.

    RETURNS (Tensor): Shape: (batch, 3, height, width)
    """
    _, y = _frame(size, chance.device)
    top, bottom = chance.uniform(0, 1, 3, 1, 1), chance.uniform(0, 1, 3, 1, 1)
    sky = chance.uniform(0, 1) < 0.4
    plain = chance.uniform(0, 1) < 0.3
    blue = torch.tensor([0.35, 0.6, 0.9], device=chance.device).view(3, 1, 1)
    top = torch.where(sky, 0.8 * blue + 0.2 * top, top)
    bottom = torch.where(sky, 0.85 + 0.15 * bottom, torch.where(plain, top, bottom))
    return torch.lerp(top, bottom, (y + 1) / 2)


def _light(picture: Tensor, chance: Chance) -> Tensor:
    """A gradient of light, exposure, and a cast of colour."""
    x, y = _frame((picture.shape[-2], picture.shape[-1]), chance.device)
    gradient = 1 + chance.uniform(-0.18, 0.18) * x + chance.uniform(-0.18, 0.18) * y
    cast = chance.uniform(0.9, 1.1, 3, 1, 1)
    exposure = chance.uniform(0.65, 1.1)
    haze = chance.uniform(0.0, 0.15)
    return torch.lerp(picture * gradient * exposure * cast, cast * 0.8, haze)


def _blur(picture: Tensor, chance: Chance) -> Tensor:
    """A Gaussian over up to five pixels, each picture with its own width."""
    batch, channels, height, width = picture.shape
    sigma = chance.uniform(0.15, 1.0, 1) * (min(height, width) / 64)
    taps = torch.arange(-2, 3, device=picture.device)
    kernel = torch.exp(-0.5 * (taps / sigma) ** 2)
    kernel = (kernel / kernel.sum(dim=-1, keepdim=True)).repeat_interleave(channels, 0)
    flat = F.pad(picture.reshape(1, -1, height, width), (2, 2, 2, 2), mode="replicate")
    groups = batch * channels
    flat = F.conv2d(flat, kernel[:, None, None, :], groups=groups)
    flat = F.conv2d(flat, kernel[:, None, :, None], groups=groups)
    return flat.view(picture.shape)
