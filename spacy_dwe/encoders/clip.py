"""CLIP by open_clip: all that knows open_clip, its towers and its tokenizers."""

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transformer import text_global_pool
from PIL.Image import Image
from PIL.Image import new as new_image
from torch import Tensor, nn
from torchvision.transforms import Compose, ToTensor

from .clip_loading import cleaned, load_model, load_tokenizer
from .inference import (
    distinct,
    fingerprint,
    length_batches,
    mention_rows,
    resolve_device,
    resolve_precision,
    unit,
    unit_vectors,
    window,
)
from .protocol import MentionFeatures, MentionText, PictureBatch, Progress, edge_states
from .towers import MiddleReader, PatchReader, middle_states
from .views import cropped, middle_box
from .visual.boxes import Box

GREY = 128, 128, 128

CHARACTERS_PER_TOKEN = 24
"""Context further from a mention than this many characters for each token of the limit
is not even tokenized."""


class ClipEncoder:
    """A frozen CLIP model: texts and pictures to unit vectors of one space.

    spec (dict): the config block with `model` and `pretrained`, see
        `registry.clip_encoder`, which also explains the other arguments.
    """

    def __init__(
        self,
        spec: dict[str, Any],
        device: str = "auto",
        batch_size: int = 64,
        precision: str = "fp32",
    ) -> None:
        self.spec = spec
        self.device = resolve_device(device)
        self._precision = resolve_precision(precision, self.device)
        self.batch_size = batch_size
        name, pretrained = cleaned(spec["model"]), spec.get("pretrained")
        model, config = load_model(name, pretrained)
        self._tokens = Tokens(load_tokenizer(name, config["model"]))
        self.fingerprint = fingerprint(config, model.state_dict())
        self._tower = TextTower(model, self._tokens.context_length)
        self._model = model.to(self.device)
        preprocess = open_clip.transform.PreprocessCfg(**model.visual.preprocess_cfg)
        self._resize, self._normalize = _transforms(preprocess)
        self._resize_mode = str(preprocess.resize_mode)
        self.input_size = _height_and_width(preprocess.size)
        self._patches = PatchReader(model.visual)
        self._blank: Tensor | None = None
        self._middle = MiddleReader(self._tower.layers)
        pooled, states, middle = self._read(self._tokens.rows([[]]))
        self._middle.check(middle, states)
        self.dim, self.width = pooled.shape[-1], states.shape[-1]

    @property
    def max_tokens(self) -> int:
        return self._tokens.context_length

    def encode_texts(
        self, texts: Sequence[str], progress: Progress | None = None
    ) -> np.ndarray:
        """Unit vectors of texts. Shape: (len(texts), dim), float32"""
        unique, index = distinct(texts)
        ids = self._tokens(unique) if unique else torch.zeros((0, 1), dtype=torch.long)
        return unit_vectors(self._batches(ids), index, self.dim, progress)

    def encode_mentions(self, mentions: Sequence[MentionText]) -> list[MentionFeatures]:
        """Mentions in context, each distinct one once; see `MentionFeatures`."""
        unique, index = distinct(mentions)
        windows = [self._tokens.around(mention) for mention in unique]
        ids = self._tokens.rows([content for content, _ in windows])
        features: dict[int, MentionFeatures] = {}
        first = self._tokens.n_before
        for batch, pooled, states, middle in self._batches(ids):
            for row, vector, state, below in zip(
                batch,
                unit(_numpy(pooled)),
                _numpy(states),
                middle_states(middle, states),
            ):
                content, rows = windows[row]
                own = slice(first, first + max(1, len(content)))
                features[row] = MentionFeatures(
                    vector.copy(),
                    state[own].copy(),
                    rows,
                    edge_states(below[own], rows),
                )
        return [features[row] for row in index]

    def encode_images(
        self, images: Sequence[Image], progress: Progress | None = None
    ) -> np.ndarray:
        """Unit vectors of decoded RGB pictures. Shape: (len(images), dim), float32"""
        vectors = np.zeros((len(images), self.dim), dtype=np.float32)
        for start in range(0, len(images), self.batch_size):
            some = images[start : start + self.batch_size]
            pixels = self._pixels(some)
            with torch.inference_mode(), self._precision():
                pooled = self._model.encode_image(pixels)
            vectors[start : start + len(some)] = _numpy(pooled)
            if progress is not None:
                progress(len(some))
        return unit(vectors)

    @property
    def has_patches(self) -> bool:
        """Whether the image tower has patches that can be read."""
        return self._patches.grid is not None

    @property
    def logit_scale(self) -> float:
        """What cosines of pictures and texts were multiplied by in training."""
        return float(self._model.logit_scale.exp())

    def encode_pictures(self, images: Sequence[Image]) -> PictureBatch:
        """Pictures and their patches, of one forward pass: no more pictures at a time
        than `batch_size`, or the patches of all are in memory at once."""
        pooled, patches = self._read_patches(images)
        if patches is not None and self._blank is None:
            _, blank = self._read_patches([new_image("RGB", (64, 64), GREY)])
            self._blank = blank[0] if blank is not None else None
        views = [self._view(image) for image in images]
        return PictureBatch(unit(_numpy(pooled)), patches, self._blank, views)

    def _read_patches(self, images: Sequence[Image]) -> tuple[Tensor, Tensor | None]:
        pixels = self._pixels(images)
        with torch.inference_mode(), self._precision():
            pooled, patches = self._patches(lambda: self._model.encode_image(pixels))
        grid = self._patches.grid
        if patches is None or grid is None:
            return pooled, None
        return pooled, patches.unflatten(1, grid)

    def _pixels(self, images: Sequence[Image]) -> Tensor:
        ready = [self._normalize(self.resized(image)) for image in images]
        return torch.stack(ready).to(self.device)

    def resized(self, image: Image) -> Image:
        """RETURNS (Image): a picture scaled and cropped to what the tower reads, which
        has the same vector. Safe to call in threads."""
        return self._resize(cropped(image))

    def _view(self, image: Image) -> Box:
        """What of a picture the tower sees: its middle where the sides are cropped, and
        more than all of it where they are padded."""
        left, top, right, bottom = middle_box(image)
        width, height = right - left, bottom - top
        if self._resize_mode == "squash":
            return Box(left, top, right, bottom)
        rows, cols = self.input_size
        shorter = max(rows / height, cols / width)
        longer = min(rows / height, cols / width)
        scale = longer if self._resize_mode == "longest" else shorter
        x, y = (left + right) / 2, (top + bottom) / 2
        half_width, half_height = cols / scale / 2, rows / scale / 2
        return Box(x - half_width, y - half_height, x + half_width, y + half_height)

    def _batches(
        self, ids: Tensor
    ) -> Iterator[tuple[np.ndarray, Tensor, Tensor, Tensor | None]]:
        """Run the text tower over rows of token ids, cut where that is exact.

        ids (Tensor): Shape: (n, context_length), int64
        YIELDS (tuple): positions (b,), projected vectors (b, dim), states after the
            final norm (b, n_tokens, width), and those in the middle of the tower.
        """
        lengths = self._tower.lengths(ids)
        for batch in length_batches(lengths, self.batch_size * ids.shape[1]):
            yield batch, *self._read(ids[batch][:, : lengths[batch[0]]])

    def _read(self, ids: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        with torch.inference_mode(), self._precision():
            (pooled, states), middle = self._middle(
                partial(self._tower, ids.to(self.device))
            )
        return pooled, states, middle


class TextTower:
    """The text half of any open_clip model: pooled vectors and token states.

    CLIP's own tower is causal and read at its end-of-text token, so tokens behind that
    one change nothing and are cut (a name of 4 tokens costs 1/13 of 77). Towers that
    look both ways (SigLIP), are read at a class token behind the padding (CoCa) or come
    from transformers see the padding, or may: they get every row in full.

    model (nn.Module): CLIP, CustomTextCLIP or CoCa.
    context_length (int): tokens in a full row.
    """

    def __init__(self, model: nn.Module, context_length: int) -> None:
        tower: Any = getattr(model, "text", model)
        self.module = tower
        self.pool_type = str(
            getattr(tower, "text_pool_type", None) or getattr(tower, "pool_type", "")
        )
        self.eos_id: Any = getattr(tower, "text_eos_id", None) or getattr(
            tower, "eos_id", None
        )
        self._is_plain = (
            hasattr(tower, "token_embedding")
            and getattr(tower, "cls_emb", None) is None
            and not getattr(tower, "use_pad_mask", False)
        )
        self.is_trimmable = (
            self._is_plain
            and self.pool_type in ("argmax", "eos")
            and _is_causal(getattr(tower, "attn_mask", None), context_length)
        )
        if not self._is_plain:
            tower.output_tokens = True

    @property
    def layers(self) -> nn.Module:
        """RETURNS (nn.Module): the part that has the layers. CLIP's own text tower is
        no module apart from that of its pictures."""
        layers: nn.Module = self.module.transformer
        return layers

    def lengths(self, ids: Tensor) -> list[int]:
        """Tokens that the tower needs. Shape of ids: (n, context_length)"""
        if not self.is_trimmable:
            return [ids.shape[1]] * len(ids)
        read_at = ids if self.pool_type == "argmax" else ids.eq(self.eos_id).int()
        lengths: list[int] = (read_at.argmax(dim=-1) + 1).tolist()
        return lengths

    def __call__(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """
        ids (Tensor): Shape: (n, n_tokens), int64
        RETURNS (tuple[Tensor, Tensor]): projected vectors (n, dim), not normalised, and
            states after the final norm (n, n_tokens, width).
        """
        return self._plain(ids) if self._is_plain else self._whole(ids)

    def _plain(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        tower, n_tokens = self.module, ids.shape[1]
        dtype = tower.transformer.get_cast_dtype()
        mask = tower.attn_mask
        if mask is not None:
            mask = mask[:n_tokens, :n_tokens]
        x = tower.token_embedding(ids).to(dtype)
        x = x + tower.positional_embedding[:n_tokens].to(dtype)
        states = tower.ln_final(tower.transformer(x, attn_mask=mask))
        pooled = text_global_pool(states, ids, self.pool_type, self.eos_id)
        projection = tower.text_projection
        if isinstance(projection, nn.Linear):
            pooled = projection(pooled)
        elif projection is not None:
            pooled = pooled @ projection
        return pooled, states

    def _whole(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        pooled, states = self.module(ids)
        if getattr(self.module, "cls_emb", None) is not None:
            # The tower applies its final norm to the class token alone.
            states = self.module.ln_final(states)
        missing = ids.shape[1] - states.shape[1]
        if missing:
            # Poolers of open_clip's transformers adapter drop the leading class token.
            states = nn.functional.pad(states, (0, 0, missing, 0))
        return pooled, states


class Tokens:
    """An open_clip tokenizer, and rows of token ids put together from pieces.

    Its tokenizers give no character offsets, so a mention is found by tokenizing the
    text before it, the mention and the text behind it apart.

    tokenizer (Callable): of open_clip.get_tokenizer.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        # Those of transformers cannot be used by two threads at once.
        self._lock = threading.Lock()
        self.context_length = int(tokenizer.context_length)
        self._last: tuple[int, ...] = ()
        if isinstance(tokenizer, SimpleTokenizer):
            self._before: tuple[int, ...] = (tokenizer.sot_token_id,)
            self._behind: tuple[int, ...] = (tokenizer.eot_token_id,)
            self._padding = 0
        else:
            inner = tokenizer.tokenizer
            self._padding = int(inner.pad_token_id or 0)
            if getattr(tokenizer, "tokenizer_mode", "") == "clips":
                self._before = (inner.bos_token_id,)
                self._behind = (inner.eos_token_id,)
                self._last = (inner.cls_token_id,)
            else:
                probe = self._pieces("a")
                whole = list(inner("a").input_ids)
                at = whole.index(probe[0]) if probe else len(whole)
                self._before = tuple(whole[:at])
                self._behind = tuple(whole[at + len(probe) :])
        special = len(self._before) + len(self._behind) + len(self._last)
        self.budget = self.context_length - special

    @property
    def n_before(self) -> int:
        """Special tokens before the text."""
        return len(self._before)

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Shape: (len(texts), context_length), int64"""
        with self._lock:
            ids: Tensor = self._tokenizer(list(texts))
        return ids

    def around(self, mention: MentionText) -> tuple[list[int], slice]:
        """Ids of a mention and as much of its context as fits, and the mention's rows
        among them."""
        reach = self.budget * CHARACTERS_PER_TOKEN
        context, start, end = mention.context, mention.start, mention.end
        left = self._pieces(context[max(0, start - reach) : start])
        inside = self._pieces(context[start:end])[: self.budget]
        right = self._pieces(context[end : end + reach])
        n_left, n_right = window(len(left), len(inside), len(right), self.budget)
        content = [*left[len(left) - n_left :], *inside, *right[:n_right]]
        return content, mention_rows(n_left, len(inside), max(1, len(content)))

    def rows(self, contents: Sequence[Sequence[int]]) -> Tensor:
        """Full rows with special tokens and padding.

        contents (Sequence[Sequence[int]]): ids, at most `budget` each.
        RETURNS (Tensor): Shape: (len(contents), context_length), int64
        """
        shape = (len(contents), self.context_length)
        ids = torch.full(shape, self._padding, dtype=torch.long)
        for row, content in zip(ids, contents):
            tokens = [*self._before, *content, *self._behind]
            row[: len(tokens)] = torch.tensor(tokens)
            if self._last:
                row[-1] = self._last[0]
        if getattr(self._tokenizer, "strip_sep_token", False):
            ids[ids == self._tokenizer.tokenizer.sep_token_id] = 0
        return ids

    def _pieces(self, text: str) -> list[int]:
        if not text or text.isspace():
            return []
        if isinstance(self._tokenizer, SimpleTokenizer):
            pieces = self._tokenizer.encode(text)
        else:
            clean = getattr(self._tokenizer, "clean_fn", None)
            cleaned = (
                clean(text)
                if clean
                else open_clip.tokenizer.canonicalize_text(
                    open_clip.tokenizer.basic_clean(text)
                )
            )
            with self._lock:
                pieces = self._tokenizer.tokenizer(
                    cleaned, add_special_tokens=False
                ).input_ids
        return list(pieces)


def _numpy(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = tensor.float().cpu().numpy()
    return array


def _is_causal(mask: Tensor | None, context_length: int) -> bool:
    if mask is None or tuple(mask.shape) != (context_length, context_length):
        return False
    future = torch.ones_like(mask, dtype=torch.bool).triu(1)
    return bool((mask[future] == float("-inf")).all())


def _transforms(
    preprocess: open_clip.transform.PreprocessCfg,
) -> tuple[Callable[[Image], Image], Callable[[Image], Tensor]]:
    """RETURNS (tuple[Callable, Callable]): the half of open_clip's preprocessing that
    scales and crops, and changes nothing about what has the right size; and the half
    that makes numbers of pixels."""
    steps = open_clip.transform.image_transform_v2(preprocess, is_train=False)
    kinds = [isinstance(step, ToTensor) for step in steps.transforms]
    middle = kinds.index(True)
    return Compose(steps.transforms[:middle]), Compose(steps.transforms[middle:])


def _height_and_width(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])
