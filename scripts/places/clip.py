"""Training the sample's tiny CLIP, in the format that open_clip loads again.

It learns from made-up flags, photographed anew at every step, and from the seen
places, to bring a photograph and a text close that tell of the same flag. It is small
enough for two CPU cores and two minutes, and real enough for everything that the
linker does with CLIP: `local-dir:OUT` is then a model like any other.
"""

import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
import tqdm
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from places.captions import among_prose, random_caption, random_name
from places.data import Place, read_places
from places.errors import Errors
from places.flags import FlagSpec, caption, describe, draw
from places.made_up import random_flag
from places.pairs import all_pairs
from places.pairs import pairs as pairs_of
from places.photograph import shoot
from spacy_dwe.encoders.inference import resolve_device
from spacy_dwe.errors import DweError
from spacy_dwe.files import replacing, require_writable, write_json

WEIGHTS = "open_clip_model.safetensors"
CONFIG = "open_clip_config.json"
BANK = "pairs.json"
"""Adjective-noun pairs of flags, as a bank of scene attributes."""

CANVAS = 96, 64
"""Width and height at which drawings wait to be photographed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How the tiny CLIP is trained; `training` in its config.

    flags (int): made-up flags to draw.
    batch (int): pairs a step; the other pairs are the negatives.
    places (float): share of a batch that comes from the seen places.
    prose (float): share of steps whose texts have prose around the flag.
    pairs (float): weight of the contrast between photographs and adjective-noun pairs,
        such as "red cross"; 0 leaves it out.
    rate (float): highest learning rate; it rises over `warmup` steps and falls along
        a cosine.
    """

    flags: int = 6000
    batch: int = 128
    places: float = 0.1
    prose: float = 0.5
    pairs: float = 0.5
    rate: float = 2e-3
    warmup: int = 40
    weight_decay: float = 0.05


@dataclass(frozen=True, slots=True)
class Drawing:
    """A flag as pixels and words; `place` when it is a seen place's own."""

    pixels: Tensor
    ratio: float
    phrases: list[str]
    pairs: list[str]
    place: Place | None = None


def train_tiny_clip(
    places_jsonl: Path,
    out: Path,
    *,
    config: Path,
    steps: int = 200,
    pairs: float | None = None,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Train a tiny CLIP on made-up flags and on the seen places of the sample.

    places_jsonl (Path): the sample's places; made-up flags keep away from the flags of
        the unseen ones.
    out (Path): becomes a folder for open_clip's `local-dir:` scheme, with a bank of
        words for flags beside the model.
    config (Path): JSON with `model_cfg` and `preprocess_cfg` as open_clip has them,
        and `training`, a `Recipe`.
    steps (int): the length of training; time follows from it, never the reverse, so
        that a seed gives the same weights.
    pairs (float | None): weight of adjective-noun pairs, instead of the recipe's.
    RAISES (DweError): a file cannot be read or written, told before the work.
    """
    settings = _settings(config)
    recipe = _recipe(settings.pop("training", {}), config)
    if pairs is not None:
        recipe = replace(recipe, pairs=pairs)
    target = resolve_device(device)
    for name in (WEIGHTS, CONFIG, BANK):
        require_writable(out / name)
    places = read_places(places_jsonl).rows
    own = [_drawing(place.flag, place) for place in places if not place.unseen]
    unseen = [place.flag for place in places if place.unseen]
    made_up = _draw_made_up(recipe.flags, random.Random(seed), unseen)

    torch.manual_seed(seed)
    model = _untrained(settings["model_cfg"], target)
    batches = Batches(made_up, own, recipe, settings, seed, target)
    _fit(model, batches, recipe, steps)
    _save(model, settings, out)


def _settings(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DweError(Errors.E001.format(path=path))
    try:
        settings: dict[str, Any] = json.loads(path.read_text("utf8"))
        missing = {"embed_dim", "vision_cfg", "text_cfg"} - set(settings["model_cfg"])
    except (ValueError, KeyError, TypeError) as err:
        raise DweError(Errors.E301.format(path=path, reason=repr(err))) from None
    if missing:
        reason = f"{sorted(missing)[0]} is missing"
        raise DweError(Errors.E301.format(path=path, reason=reason))
    return settings


def _recipe(settings: Any, path: Path) -> Recipe:
    try:
        return Recipe(**settings)
    except TypeError as err:
        reason = f'"training": {err}'
        raise DweError(Errors.E301.format(path=path, reason=reason)) from None


def _draw_made_up(
    n: int, rng: random.Random, exclude: Sequence[FlagSpec]
) -> list[Drawing]:
    todo = tqdm.trange(n, desc="Drawing made-up flags", unit="flag")
    return [_drawing(random_flag(rng, exclude)) for _ in todo]


def _drawing(spec: FlagSpec, place: Place | None = None) -> Drawing:
    image = draw(spec, CANVAS[1])
    pixels = np.array(image.resize(CANVAS, Image.Resampling.BILINEAR))
    ratio = image.width / image.height
    return Drawing(
        torch.from_numpy(pixels).permute(2, 0, 1),
        ratio,
        describe(spec),
        pairs_of(spec),
        place,
    )


@dataclass(frozen=True, slots=True)
class Batch:
    """Photographs and tokens of their texts, row by row of the same flag.

    shown (Tensor): each flag's adjective-noun pairs among all there are, of equal
        weight and 1 together. Shape: (batch, n_pairs)
    """

    pictures: Tensor
    tokens: Tensor
    shown: Tensor


def _untrained(model_cfg: dict[str, Any], device: torch.device) -> open_clip.CLIP:
    model = open_clip.CLIP(**model_cfg)
    model.set_grad_checkpointing(False)
    return model.to(device).train()


class Batches:
    """Endless batches of flags."""

    def __init__(
        self,
        made_up: Sequence[Drawing],
        places: Sequence[Drawing],
        recipe: Recipe,
        settings: dict[str, Any],
        seed: int,
        device: torch.device,
    ) -> None:
        self.made_up, self.places, self.recipe = made_up, places, recipe
        self.frames = _frames([drawing.place for drawing in places if drawing.place])
        self.device = device
        self.rng = random.Random(seed)
        self.generator = torch.Generator().manual_seed(seed)
        model_cfg, preprocess = settings["model_cfg"], settings["preprocess_cfg"]
        size = model_cfg["vision_cfg"]["image_size"]
        self.size = (size, size) if isinstance(size, int) else (size[0], size[1])
        self.mean = torch.tensor(preprocess["mean"], device=device).view(3, 1, 1)
        self.std = torch.tensor(preprocess["std"], device=device).view(3, 1, 1)
        length = model_cfg["text_cfg"]["context_length"]
        self.tokenize = open_clip.SimpleTokenizer(context_length=length)
        words = all_pairs()
        self.columns = {pair: column for column, pair in enumerate(words)}
        self.pair_tokens = self.tokenize(words).to(device)

    def __iter__(self) -> Iterator[Batch]:
        while True:
            yield self._batch()

    def _batch(self) -> Batch:
        rng, recipe = self.rng, self.recipe
        n = min(round(recipe.places * recipe.batch), len(self.places))
        drawings = rng.sample(self.places, n)
        drawings += rng.sample(self.made_up, recipe.batch - n)
        prose = rng.random() < recipe.prose
        texts = [self._text(drawing, prose) for drawing in drawings]
        return Batch(
            self._photographs(drawings),
            self.tokenize(texts).to(self.device),
            self._shown(drawings),
        )

    def _shown(self, drawings: Sequence[Drawing]) -> Tensor:
        shown = torch.zeros(len(drawings), len(self.columns))
        for row, drawing in enumerate(drawings):
            for pair in drawing.pairs:
                shown[row, self.columns[pair]] = 1 / len(drawing.pairs)
        return shown.to(self.device)

    def _photographs(self, drawings: Sequence[Drawing]) -> Tensor:
        pixels = torch.stack([drawing.pixels for drawing in drawings]).to(self.device)
        ratios = torch.tensor([drawing.ratio for drawing in drawings])
        pictures = shoot(
            pixels / 255, ratios.to(self.device), self.size, self.generator
        )
        return (pictures - self.mean) / self.std

    def _text(self, drawing: Drawing, prose: bool) -> str:
        """A caption, alone or in the description of a place: its own where it has
        one, else that of a made-up place, or of a seen place whose flag and name are
        exchanged, so that neither names nor facts tell anything of a flag."""
        rng = self.rng
        if not prose:
            return random_caption(rng, drawing.phrases)
        if drawing.place and rng.random() < 0.5:
            return f"{drawing.place.title}. {drawing.place.description}"
        caption = random_caption(rng, drawing.phrases)
        if self.frames and rng.random() < 0.6:
            before, name, after = rng.choice(self.frames)
            other = random_name(rng)
            text = f"{before}{caption}{after}".replace(name, other)
            return f"{rng.choice([name, other])}. {text}"
        return f"{random_name(rng)}. {among_prose(rng, caption)}"


def _frames(places: Sequence[Place]) -> list[tuple[str, str, str]]:
    """RETURNS (list[tuple]): descriptions without their flag's sentence: what is before
    it, the place's name, and what is behind it."""
    frames = []
    for place in places:
        before, flag, after = place.description.partition(caption(place.flag))
        if flag:
            frames.append((before, place.name, after))
    return frames


def _fit(model: open_clip.CLIP, batches: Batches, recipe: Recipe, steps: int) -> None:
    decayed: list[nn.Parameter] = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": recipe.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=recipe.rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _rate(step, recipe.warmup, steps)
    )
    smooth: float | None = None
    progress = tqdm.trange(steps, desc="Training the tiny CLIP", unit="step")
    for _, batch in zip(progress, batches):
        loss = _loss(model, batch, batches.pair_tokens, recipe)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        value = loss.item()
        if not math.isfinite(value):
            raise DweError(Errors.E302.format(reason=f"the loss became {value}"))
        smooth = value if smooth is None else 0.95 * smooth + 0.05 * value
        progress.set_postfix(loss=f"{smooth:.3f}", refresh=False)
    model.eval()


def _rate(step: int, warmup: int, steps: int) -> float:
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 + 0.5 * math.cos(math.pi * (step - warmup) / max(1, steps - warmup))


def _loss(
    model: open_clip.CLIP, batch: Batch, pair_tokens: Tensor, recipe: Recipe
) -> Tensor:
    """Contrast of photographs with texts of their flags, and with single pairs, the
    shown ones against all others: most of these differ in the noun or the colour
    alone, which a batch's own pairs seldom do."""
    image = F.normalize(model.encode_image(batch.pictures), dim=-1)
    same = torch.eye(len(image), device=image.device)
    loss = _contrast(model, image, batch.tokens, same)
    if recipe.pairs:
        pairs_loss = _contrast(model, image, pair_tokens, batch.shown)
        loss = loss + recipe.pairs * pairs_loss
    return loss


def _contrast(
    model: open_clip.CLIP, image: Tensor, tokens: Tensor, shown: Tensor
) -> Tensor:
    """Symmetric InfoNCE over the batch, temperature learned.

    image (Tensor): unit vectors. Shape: (batch, embed_dim)
    tokens (Tensor): of texts. Shape: (n_texts, context_length)
    shown (Tensor): how much of each text is on each picture; a text of several
        pictures has all of them as its positives, a text of none is a negative alone.
        Shape: (batch, n_texts)
    """
    text = F.normalize(_encode_texts(model, tokens), dim=-1)
    logits = model.logit_scale.exp() * image @ text.T
    total = shown.sum(dim=0)
    found = total > 0
    by_text = (shown[:, found] / total[found]).T
    by_picture = F.cross_entropy(logits, shown)
    return (by_picture + F.cross_entropy(logits.T[found], by_text)) / 2


def _encode_texts(model: open_clip.CLIP, tokens: Tensor) -> Tensor:
    """`model.encode_text` without what does not reach its result: the padding behind
    the longest text, and the last block's states before the end of a text. Causal
    attention makes both exact, and training nearly twice as fast.

    RETURNS (Tensor): Shape: (batch, embed_dim)
    """
    ends = tokens.argmax(dim=-1)
    length = int(ends.max()) + 1
    states = model.token_embedding(tokens[:, :length])
    states = states + model.positional_embedding[:length]
    mask = model.attn_mask[:length, :length]
    *blocks, last = model.transformer.resblocks
    for block in blocks:
        states = block(states, attn_mask=mask)
    normed = last.ln_1(states)
    rows = torch.arange(len(states), device=states.device)
    seen = mask[ends].repeat_interleave(last.attn.num_heads, dim=0)[:, None]
    attended = last.attention(normed[rows, ends][:, None], normed, normed, seen)
    end = states[rows, ends] + last.ls_1(attended[:, 0])
    end = end + last.ls_2(last.mlp(last.ln_2(end)))
    return model.ln_final(end) @ model.text_projection


def _save(model: open_clip.CLIP, settings: dict[str, Any], out: Path) -> None:
    weights = {name: tensor.cpu() for name, tensor in model.state_dict().items()}
    with replacing(out / WEIGHTS) as temporary:
        save_file(weights, temporary)
    write_json(out / BANK, {"groups": {"pair": all_pairs()}})
    write_json(out / CONFIG, settings)
