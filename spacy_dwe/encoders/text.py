"""Sentence encoders by transformers: all that knows transformers (extra `text`)."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DweError, Errors
from .hub import hub_guard, is_on_hub
from .inference import (
    distinct,
    fingerprint,
    length_batches,
    mention_rows,
    resolve_device,
    unit,
    unit_vectors,
    window,
)
from .protocol import MentionFeatures, MentionText, Progress, edge_states
from .towers import MiddleReader, middle_states

POOLINGS = ("mean", "cls", "max", "lasttoken")

# Modes of 1_Pooling/config.json, as older and newer versions spell them. The mean over
# the root of the length is the mean once vectors have unit length, as all have here.
POOLING_MODES = {
    "mean_tokens": "mean",
    "mean_sqrt_len_tokens": "mean",
    "cls_token": "cls",
    "max_tokens": "max",
    **{pooling: pooling for pooling in POOLINGS},
}
PROBE = "a text of several words"
FILES = ("config.json", "tokenizer.json", "modules.json", "1_Pooling/config.json")
PLAIN_MODULES = ("Transformer", "Pooling", "Normalize")


class SentenceEncoder:
    """A frozen transformer with pooling: texts to unit vectors.

    spec (dict): the config block with `name`, `max_tokens` and `pooling`, see
        `registry.text_encoder`, which also explains the other arguments.
    """

    def __init__(
        self, spec: dict[str, Any], device: str = "auto", batch_size: int = 64
    ) -> None:
        self.spec = spec
        self.device = resolve_device(device)
        self.batch_size = batch_size
        name = spec["name"]
        self._tokenizer, model, files = _load(name)
        self.pooling = _pooling(name, spec.get("pooling"), files)
        own_limit = min(
            int(self._tokenizer.model_max_length),
            int(getattr(model.config, "max_position_embeddings", None) or 1 << 30),
        )
        self.max_tokens = min(int(spec.get("max_tokens") or own_limit), own_limit)
        used = {
            "model": _architecture(files["config.json"]),
            "pooling": self.pooling,
            "max_tokens": self.max_tokens,
            "tokenizer": files["tokenizer.json"] or self._tokenizer.get_vocab(),
        }
        self.fingerprint = fingerprint(used, model.state_dict())
        self._model = model.to(self.device)
        self._middle = MiddleReader(self._model)
        # Two threads that set a fast tokenizer's truncation at once make it panic.
        self._lock = threading.Lock()
        self.dim = self.width = int(model.config.hidden_size)
        for *_, states, middle in self._batches(self._tokenize([PROBE])):
            self._middle.check(middle, states)

    def encode_texts(
        self, texts: Sequence[str], progress: Progress | None = None
    ) -> np.ndarray:
        """Unit vectors of texts. Shape: (len(texts), dim), float32"""
        unique, index = distinct(texts)
        batches = self._batches(self._tokenize(unique))
        return unit_vectors(batches, index, self.dim, progress)

    def encode_mentions(self, mentions: Sequence[MentionText]) -> list[MentionFeatures]:
        """Mentions in context, each distinct one once; see `MentionFeatures`."""
        unique, index = distinct(mentions)
        cut = self._cut_around(unique)
        tokens = self._tokenize([mention.context for mention in cut])
        features: dict[int, MentionFeatures] = {}
        for batch, pooled, states, middle in self._batches(tokens):
            vectors, arrays = unit(pooled.cpu().numpy()), states.cpu().numpy()
            for row, vector, array, below in zip(
                batch, vectors, arrays, middle_states(middle, states)
            ):
                special = np.asarray(tokens["special_tokens_mask"][row], dtype=bool)
                # A text without tokens keeps its special ones: no row is worse.
                kept = np.flatnonzero(~special) if not special.all() else [0]
                offsets = np.asarray(tokens["offset_mapping"][row])[kept]
                own = _rows_of(cut[row], offsets)
                edges = edge_states(below[kept], own)
                features[row] = MentionFeatures(vector.copy(), array[kept], own, edges)
        return [features[row] for row in index]

    def _cut_around(self, mentions: Sequence[MentionText]) -> list[MentionText]:
        """Contexts that fit `max_tokens`, with their mentions."""
        if not mentions:
            return []
        with self._lock:
            tokens = self._tokenizer(
                [mention.context for mention in mentions],
                add_special_tokens=False,
                return_offsets_mapping=True,
                verbose=False,
            )
        budget = self.max_tokens - self._tokenizer.num_special_tokens_to_add()
        return [
            mention if len(offsets) <= budget else _cut(mention, offsets, budget)
            for mention, offsets in zip(mentions, tokens["offset_mapping"])
        ]

    def _tokenize(self, texts: Sequence[str]) -> Mapping[str, list[list[Any]]]:
        if not texts:
            return {"input_ids": []}
        with self._lock:
            tokens: Mapping[str, list[list[Any]]] = self._tokenizer(
                list(texts),
                truncation=True,
                max_length=self.max_tokens,
                return_offsets_mapping=True,
                return_special_tokens_mask=True,
            )
        return tokens

    def _batches(
        self, tokens: Mapping[str, list[list[Any]]]
    ) -> Iterator[tuple[np.ndarray, Tensor, Tensor, Tensor | None]]:
        """Run the model over tokenized texts, similar lengths together.

        YIELDS (tuple): positions (b,), pooled vectors (b, dim), states of all tokens,
            special and padding ones included (b, n_tokens, width), and their states in
            the middle of the model.
        """
        lengths = [len(ids) for ids in tokens["input_ids"]]
        for batch in length_batches(lengths, self.batch_size * self.max_tokens):
            longest = max(1, lengths[batch[0]])
            inputs = {
                name: _padded([tokens[name][i] for i in batch], longest, padding)
                for name, padding in self._inputs(tokens).items()
            }
            mask = inputs["attention_mask"].to(self.device)
            with torch.inference_mode():
                moved = {name: ids.to(self.device) for name, ids in inputs.items()}
                output, middle = self._middle(partial(self._model, **moved))
                states = output.last_hidden_state.float()
                pooled = _pool(states, mask.bool(), self.pooling)
            yield batch, pooled, states, middle

    def _inputs(self, tokens: Mapping[str, Any]) -> dict[str, int]:
        """What the model reads, and the value each is padded with."""
        paddings = {
            "input_ids": self._tokenizer.pad_token_id or 0,
            "attention_mask": 0,
            "token_type_ids": 0,
        }
        return {name: value for name, value in paddings.items() if name in tokens}


def _pool(states: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """
    states (Tensor): Shape: (n, n_tokens, width)
    mask (Tensor): True = a token, False = padding. Shape: (n, n_tokens)
    RETURNS (Tensor): Shape: (n, width)
    """
    there = mask.unsqueeze(-1)
    if pooling == "cls":
        return states[:, 0]
    if pooling == "max":
        return states.masked_fill(~there, float("-inf")).amax(dim=1)
    if pooling == "lasttoken":
        last = mask.sum(dim=1) - 1
        return states[torch.arange(len(states), device=states.device), last]
    summed = states.masked_fill(~there, 0.0).sum(dim=1)
    return summed / there.sum(dim=1).clamp(min=1)


def _padded(rows: Sequence[Sequence[int]], length: int, padding: int) -> Tensor:
    padded = torch.full((len(rows), length), padding, dtype=torch.long)
    for target, row in zip(padded, rows):
        target[: len(row)] = torch.tensor(row, dtype=torch.long)
    return padded


def _cut(
    mention: MentionText, offsets: Sequence[tuple[int, int]], budget: int
) -> MentionText:
    """As much context as fits around the mention. offsets: (n_tokens, 2), characters"""
    rows = _rows_of(mention, np.asarray(offsets))
    inside = min(rows.stop - rows.start, budget)
    n_left, n_right = window(rows.start, inside, len(offsets) - rows.stop, budget)
    first = offsets[rows.start - n_left][0]
    last = offsets[rows.start + inside + n_right - 1][1]
    return MentionText(
        mention.context[first:last],
        max(0, mention.start - first),
        min(mention.end, last) - first,
    )


def _rows_of(mention: MentionText, offsets: np.ndarray) -> slice:
    """The tokens that share a character with the mention. offsets: (n_tokens, 2)"""
    begins, ends = offsets[:, 0], offsets[:, 1]
    before = int(np.searchsorted(ends, mention.start, side="right"))
    behind = int(np.searchsorted(begins, mention.end, side="left"))
    return mention_rows(before, behind - before, len(offsets))


def _load(name: str) -> tuple[Any, Any, dict[str, Any]]:
    """Tokenizer, model in eval mode on the CPU, and what sentence-transformers left
    beside it."""
    try:
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import cached_file
    except ImportError:
        raise DweError(Errors.E220.format(name=name)) from None
    path = str(Path(name).expanduser())
    is_local = Path(path).is_dir()
    files: dict[str, Any] = {}
    try:
        with hub_guard(name, is_on_hub(name)), _without_progress_bar(is_local):
            tokenizer = AutoTokenizer.from_pretrained(path)
            model = AutoModel.from_pretrained(path)
            for file in FILES:
                found = cached_file(
                    path,
                    file,
                    _raise_exceptions_for_missing_entries=False,
                    _raise_exceptions_for_connection_errors=False,
                )
                files[file] = json.loads(Path(found).read_text("utf8")) if found else {}
    except DweError:
        raise
    except Exception as error:
        # What fails is a network, a file or a state dict: any kind of exception.
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise DweError(Errors.E221.format(name=name, reason=reason)) from None
    if not tokenizer.is_fast:
        raise DweError(Errors.E223.format(name=name))
    if model.config.is_encoder_decoder:
        model = model.get_encoder()
    return tokenizer, model.float().eval().requires_grad_(False), files


@contextmanager
def _without_progress_bar(is_local: bool) -> Iterator[None]:
    """A bar is for a download, not for a second of reading local weights."""
    from transformers.utils import logging

    hide = is_local and logging.is_progress_bar_enabled()
    if hide:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if hide:
            logging.enable_progress_bar()


def _pooling(name: str, asked: str | None, files: Mapping[str, Any]) -> str:
    choices = ", ".join(POOLINGS)
    if asked is not None:
        if asked not in POOLINGS:
            raise DweError(
                Errors.E226.format(what="pooling", value=asked, choices=choices)
            )
        return asked
    for module in files["modules.json"]:
        kind = module["type"].rsplit(".", 1)[-1]
        if kind not in PLAIN_MODULES:
            what = f"a {kind} module after its pooling"
            raise DweError(Errors.E222.format(name=name, what=what, choices=choices))
    config = files["1_Pooling/config.json"]
    prefix = "pooling_mode_"
    modes = [k.removeprefix(prefix) for k, on in config.items() if on is True]
    if isinstance(config.get("pooling_mode"), str):
        modes = [config["pooling_mode"]]
    modes = [mode for mode in modes if mode != "include_prompt"]
    if not modes:
        return "mean"
    pooling = POOLING_MODES.get(modes[0]) if len(modes) == 1 else None
    if pooling is None:
        what = f"the pooling {' + '.join(modes)}"
        raise DweError(Errors.E222.format(name=name, what=what, choices=choices))
    return pooling


def _architecture(config: Mapping[str, Any]) -> dict[str, Any]:
    """A model's config.json without what says where and by what it was saved."""
    ignored = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")
    return {key: value for key, value in config.items() if key not in ignored}
