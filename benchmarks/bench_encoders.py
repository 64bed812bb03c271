"""How much the encoders save: python benchmarks/bench_encoders.py

Text: rows cut at their end-of-text token against rows of full length (77 tokens).
Pictures: each distinct one encoded once against one pass for each mention.

Both ways run in turns in one process, on an open_clip architecture with random weights:
time does not depend on their values, so nothing is downloaded.
"""

import argparse
import json
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image
from safetensors.torch import save_file
from wasabi import msg

from spacy_dwe.encoders.cache import FeatureCache
from spacy_dwe.encoders.clip import ClipEncoder
from spacy_dwe.images import content_hash, decode, image_refs

NAMES = ("Georgia", "Congo", "Samoa", "Guinea", "Limburg", "La Rioja", "Macedonia")
SENTENCE = "{} won the match on a rainy Saturday in front of a large crowd."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="ViT-B-32", help="open_clip model name")
    parser.add_argument("--texts", type=int, default=32)
    parser.add_argument("--pictures", type=int, default=4)
    parser.add_argument("--mentions", type=int, default=4, help="mentions a picture")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    logging.disable(logging.WARNING)  # open_clip minds that the weights are random
    with tempfile.TemporaryDirectory() as folder:
        encoder = random_clip(args.model, Path(folder), args.device)
        rows = [
            text_row(encoder, args.texts, args.repeats),
            picture_row(encoder, args.pictures, args.mentions, args.repeats),
        ]
    header = ("", "naive", "spacy-dwe", "ratio", "largest difference")
    msg.divider(f"{args.model} on {encoder.device}, {torch.get_num_threads()} threads")
    msg.table(rows, header=header, divider=True, aligns=("l", "r", "r", "r", "r"))


def random_clip(model: str, folder: Path, device: str) -> ClipEncoder:
    config = open_clip.get_model_config(model)
    document = {"model_cfg": config, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(document))
    torch.manual_seed(0)
    weights = open_clip.create_model(model).state_dict()
    weights = {name: tensor.contiguous() for name, tensor in weights.items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    return ClipEncoder({"model": f"local-dir:{folder}"}, device=device)


def text_row(encoder: ClipEncoder, n_texts: int, repeats: int) -> list[str]:
    texts = [SENTENCE.format(f"{NAMES[i % len(NAMES)]} {i}") for i in range(n_texts)]
    tower = encoder._tower

    def whole() -> np.ndarray:
        tower.is_trimmable = False
        try:
            return encoder.encode_texts(texts)
        finally:
            tower.is_trimmable = True

    def trimmed() -> np.ndarray:
        return encoder.encode_texts(texts)

    n_tokens = statistics.mean(tower.lengths(encoder._tokens(texts)))
    label = f"{n_texts} texts of {n_tokens:.0f} tokens"
    return [label, *compared(whole, trimmed, n_texts, repeats)]


def picture_row(
    encoder: ClipEncoder, n_pictures: int, n_mentions: int, repeats: int
) -> list[str]:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (n_pictures, 480, 640, 3), dtype=np.uint8)
    refs = image_refs([Image.fromarray(picture) for picture in pixels])
    mentions = [ref for ref in refs for _ in range(n_mentions)]
    data = {content_hash(ref.data or b""): ref.data or b"" for ref in refs}

    def each() -> np.ndarray:
        return np.concatenate(
            [encoder.encode_images([decode(ref.data or b"")]) for ref in mentions]
        )

    def once() -> np.ndarray:
        vectors = FeatureCache().pictures(
            encoder, list(data), lambda key: decode(data[key])
        )
        return np.stack([vectors[ref.sha256 or ""] for ref in mentions])

    label = f"{len(mentions)} mentions of {n_pictures} pictures"
    return [label, *compared(each, once, len(mentions), repeats)]


def compared(
    naive: Callable[[], np.ndarray],
    ours: Callable[[], np.ndarray],
    n_items: int,
    repeats: int,
) -> list[str]:
    """Median time an item of both, in turns, their ratio and how far results differ."""
    times: dict[str, list[float]] = {"naive": [], "ours": []}
    results = {}
    for turn in range(repeats + 1):
        for name, run in (("naive", naive), ("ours", ours)):
            start = time.perf_counter()
            results[name] = run()
            if turn:
                times[name].append((time.perf_counter() - start) / n_items)
    slow, fast = statistics.median(times["naive"]), statistics.median(times["ours"])
    difference = np.abs(results["naive"] - results["ours"]).max()
    cells = [f"{1000 * seconds:.2f} ms each" for seconds in (slow, fast)]
    return [*cells, f"{slow / fast:.1f} x", f"{difference:.0e}"]


if __name__ == "__main__":
    main()
