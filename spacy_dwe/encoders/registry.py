"""The registered encoder factories. Light: they return encoders that load later."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DweError, Errors
from .lazy import LazyClipEncoder, LazyTextEncoder
from .specs import spec_from

if TYPE_CHECKING:
    from .clip import ClipEncoder
    from .text import SentenceEncoder

CLIP = "spacy-dwe.ClipEncoder.v1"
TEXT = "spacy-dwe.TextEncoder.v1"


def clip_encoder(
    model: str,
    pretrained: str | None = None,
    device: str = "auto",
    batch_size: int = 64,
    precision: str = "fp32",
) -> LazyClipEncoder:
    """A CLIP model of open_clip, for texts and pictures in one space.

    model (str): an open_clip model name, or `local-dir:PATH`, a folder with
        open_clip_config.json and the weights.
    pretrained (str | None): a pretrained tag of that model, or a file with weights;
        not used with local-dir.
    device (str): "auto" (the GPU where torch sees one), "cpu", "cuda", "cuda:1".
    batch_size (int): full-length texts, or pictures, in one forward pass.
    precision (str): "fp32", or "bf16" and "fp16", which are used on a GPU only.
    """
    spec = {"@misc": CLIP, "model": model, "pretrained": pretrained}
    return LazyClipEncoder(
        spec, _load_clip, device=device, batch_size=batch_size, precision=precision
    )


def text_encoder(
    name: str,
    device: str = "auto",
    max_tokens: int = 96,
    batch_size: int = 64,
    pooling: str | None = None,
) -> LazyTextEncoder:
    """A sentence encoder that transformers can load (extra `text`).

    name (str): a folder, or a name on the Hugging Face hub.
    device (str): "auto" (the GPU where torch sees one), "cpu", "cuda", "cuda:1".
    max_tokens (int): longer texts are cut, mentions in context around the mention.
    batch_size (int): full-length texts in one forward pass.
    pooling (str | None): "mean", "cls", "max" or "lasttoken"; None reads what the
        model's folder says, and is "mean" where it says nothing.
    """
    spec = {"@misc": TEXT, "name": name, "max_tokens": max_tokens, "pooling": pooling}
    return LazyTextEncoder(spec, _load_text, device=device, batch_size=batch_size)


def encoder_from_spec(
    spec: Mapping[str, Any], device: str = "auto", base: str | Path | None = None
) -> LazyTextEncoder:
    """The encoder that a config block describes, such as a KB's meta.json keeps.

    spec (Mapping[str, Any]): an encoder's `spec`.
    device (str): where to run it.
    base (str | Path | None): folder of the KB whose block it is, which may carry the
        encoder.
    RETURNS (LazyTextEncoder): for a ClipEncoder's block a LazyClipEncoder.
    """
    factories: dict[str, Callable[..., LazyTextEncoder]] = {
        CLIP: clip_encoder,
        TEXT: text_encoder,
    }
    settings = {**spec_from(spec, base), "device": device}
    factory = factories.get(settings.pop("@misc", ""))
    if factory is None:
        known = ", ".join(factories)
        raise DweError(Errors.E225.format(spec=dict(spec), known=known))
    try:
        return factory(**settings)
    except TypeError as error:
        known = f"the arguments of the factory ({error})"
        raise DweError(Errors.E225.format(spec=dict(spec), known=known)) from None


def _load_clip(spec: dict[str, Any], **options: Any) -> "ClipEncoder":
    from .clip import ClipEncoder

    return ClipEncoder(spec, **options)


def _load_text(spec: dict[str, Any], **options: Any) -> "SentenceEncoder":
    from .text import SentenceEncoder

    return SentenceEncoder(spec, **options)
