"""What looking costs beside CLIP: python benchmarks/bench_visual.py

Milliseconds a picture for decoding, one bare CLIP pass, and what objects, faces and
scenes add, each alone, on an open_clip architecture with random weights: time does not
depend on their values, so nothing is downloaded. The bank of words is encoded before.
"""

import argparse
import io
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from bench_encoders import random_clip
from PIL import Image
from wasabi import msg

from spacy_dwe.encoders.visual.extractor import VisualExtractor
from spacy_dwe.encoders.visual.faces import FaceFinder
from spacy_dwe.encoders.visual.objects import PatchRegions
from spacy_dwe.encoders.visual.scenes import SceneAttributes
from spacy_dwe.images import decode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="ViT-B-32", help="open_clip model name")
    parser.add_argument("--pictures", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--no-faces", action="store_true", help="without OpenCV")
    args = parser.parse_args()
    logging.disable(logging.WARNING)  # open_clip minds that the weights are random
    data = pictures(args.pictures)
    images = [decode(item) for item in data]
    with tempfile.TemporaryDirectory() as folder:
        encoder = random_clip(args.model, Path(folder), args.device)

    def looking(extractor: VisualExtractor) -> Callable[[], object]:
        return lambda: extractor(encoder, images)

    runs: dict[str, Callable[[], object]] = {
        "decode": lambda: [decode(item) for item in data],
        "CLIP": lambda: encoder.encode_images(images),
        "CLIP + objects": looking(VisualExtractor(objects=PatchRegions())),
        "CLIP + scenes": looking(VisualExtractor(scenes=SceneAttributes())),
        "CLIP + objects + scenes": looking(
            VisualExtractor(PatchRegions(), None, SceneAttributes())
        ),
    }
    if not args.no_faces:
        finder = FaceFinder()
        runs["face detection"] = lambda: [finder.detect(image) for image in images]
    times = measured(runs, args.repeats, len(images))
    rows = [
        (name, f"{1000 * seconds:.2f}", f"{seconds / times['CLIP']:.2f} x")
        for name, seconds in times.items()
    ]
    msg.divider(f"{args.model} on {encoder.device}, {torch.get_num_threads()} threads")
    header = ("", "ms a picture", "of CLIP")
    msg.table(rows, header=header, divider=True, aligns=("l", "r", "r"))


def pictures(n: int) -> list[bytes]:
    """Smooth noise of 640 x 480 as JPEG."""
    rng = np.random.default_rng(0)
    files = []
    for _ in range(n):
        coarse = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(coarse).resize((640, 480)).save(buffer, "JPEG")
        files.append(buffer.getvalue())
    return files


def measured(
    runs: dict[str, Callable[[], object]], repeats: int, n: int
) -> dict[str, float]:
    """Median seconds a picture of each, in turns; the first turn warms up."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if turn:
                times[name].append((time.perf_counter() - start) / n)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


if __name__ == "__main__":
    main()
