"""How well pairs such as "red cross" are found: python benchmarks/bench_pairs.py CLIP

Precision of the adjective-noun pairs that `SceneAttributes` finds on photographs of
drawn flags, whose specification says what is on them. Photographs are new in all three
rows; the flags of the first are known to the training of CLIP, those of the second are
made up as the training's are, those of the third are of places kept from it. The margin
is chosen on the first two: the least at which their precision reaches the target.
"""

import argparse
import random
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from wasabi import msg

from spacy_dwe.encoders import clip_encoder
from spacy_dwe.encoders.visual.findings import Scene
from spacy_dwe.encoders.visual.scenes import SceneAttributes

sys.path.append(str(Path(__file__).parents[1] / "scripts"))

from places.data import read_places
from places.flags import FlagSpec, draw
from places.made_up import random_flag
from places.pairs import pairs
from places.photograph import photograph

PLACES = Path("assets/places/places.jsonl")
MARGINS = np.arange(1.0, 6.01, 0.1)
TARGET = 0.7
CHOICE_SEED = 1_000_003
"""Of made-up flags and photographs; the training's own seeds are small."""
DRAWS = 2000


@dataclass(frozen=True, slots=True)
class Found:
    """One photograph.

    scores (np.ndarray): of the best pairs, best first. Shape: (top_k,)
    right (np.ndarray): whether each is on the flag. Shape: (top_k,), bool
    flag (int): which flag it is of.
    n_shown (int): pairs on the flag.
    """

    scores: np.ndarray
    right: np.ndarray
    flag: int
    n_shown: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", type=Path, help="folder that `sample clip` wrote")
    parser.add_argument("--photographs", type=int, default=8, help="of an unseen flag")
    parser.add_argument("--made-up", type=int, default=300, help="flags")
    parser.add_argument("--top-k", type=int, default=3)
    args = parser.parse_args()
    places = read_places(PLACES).rows
    unseen = [place.flag for place in places if place.unseen]
    rng = random.Random(CHOICE_SEED)
    flags: dict[str, tuple[list[FlagSpec], int]] = {
        "flags of the training": ([p.flag for p in places if not p.unseen], 2),
        "made-up flags": ([random_flag(rng, unseen) for _ in range(args.made_up)], 1),
        "unseen flags": (unseen, args.photographs),
    }
    found = {
        name: look(args.clip, specs, n, args.top_k)
        for name, (specs, n) in flags.items()
    }
    *known, _ = found.values()
    margin = chosen([row for rows in known for row in rows])
    header = ("", "photographs", f"precision@{args.top_k}", "95 %", "best possible")
    header += (f"at margin {margin:.1f}", "95 %", "pairs a photograph")
    rows = [line(name, rows, args.top_k, margin) for name, rows in found.items()]
    msg.table(rows, header=header, divider=True, aligns=["l"] + ["r"] * 7)


def look(clip: Path, flags: list[FlagSpec], n: int, top_k: int) -> list[Found]:
    """Photograph each flag n times and find pairs."""
    encoder = clip_encoder(f"local-dir:{clip}")
    finder = SceneAttributes(str(clip / "pairs.json"), top_k=top_k, margin=-np.inf)
    found = []
    for i, spec in enumerate(flags):
        drawing, shown = draw(spec), set(pairs(spec))
        seeds = (CHOICE_SEED + 1000 * i + k for k in range(n))
        images = [photograph(drawing, seed) for seed in seeds]
        vectors = encoder.encode_images(images)
        found += [row(scenes, shown, i) for scenes in finder(encoder, vectors)]
    return found


def row(scenes: tuple[Scene, ...], shown: set[str], flag: int) -> Found:
    scores = np.array([scene.score for scene in scenes])
    right = np.array([scene.words in shown for scene in scenes])
    return Found(scores, right, flag, len(shown))


def chosen(found: list[Found]) -> float:
    """RETURNS (float): the least margin that reaches the target, else the greatest."""
    for margin in MARGINS:
        if precision(found, margin) >= TARGET:
            return float(margin)
    return float(MARGINS[-1])


def precision(found: list[Found], margin: float = -np.inf) -> float:
    """RETURNS (float): share of all pairs given that are right."""
    given = sum(int((one.scores >= margin).sum()) for one in found)
    right = sum(int(one.right[one.scores >= margin].sum()) for one in found)
    return right / max(1, given)


def interval(found: list[Found], margin: float = -np.inf) -> tuple[float, float]:
    """95 %, by drawing flags with replacement."""
    by_flag: dict[int, list[int]] = {}
    for one in found:
        kept = one.scores >= margin
        counts = by_flag.setdefault(one.flag, [0, 0])
        counts[0] += int(kept.sum())
        counts[1] += int(one.right[kept].sum())
    counts = np.array(list(by_flag.values()))
    picks = np.random.default_rng(0).integers(0, len(counts), (DRAWS, len(counts)))
    given, right = counts[picks].sum(axis=1).T
    low, high = np.quantile(right / np.maximum(1, given), [0.025, 0.975])
    return float(low), float(high)


def line(name: str, found: list[Found], top_k: int, margin: float) -> tuple[str, ...]:
    best = np.mean([min(top_k, one.n_shown) / top_k for one in found])
    kept = np.mean([(one.scores >= margin).sum() for one in found])
    return (
        name,
        f"{len(found):,}",
        f"{precision(found):.3f}",
        "{:.2f} to {:.2f}".format(*interval(found)),
        f"{best:.3f}",
        f"{precision(found, margin):.3f}",
        "{:.2f} to {:.2f}".format(*interval(found, margin)),
        f"{kept:.2f}",
    )


if __name__ == "__main__":
    main()
