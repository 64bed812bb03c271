"""Mentions that a training step learns from a second, from cached features.

    python benchmarks/bench_training_step.py
    python benchmarks/bench_training_step.py --head linear
    python benchmarks/bench_training_step.py --device cuda --states tokens

Three rows, one network (all three enhancers where `--head` is dwe, one query head):

  training step      padding, forward, all losses, backward, optimizer
  straightforward    the same network and optimizer; candidate vectors are read one row
                     at a time, and N-pair builds its (batch, batch, width) tensor
  bare modules       forward and backward of mention encoder and combiner on tensors
                     that are there already: no step can be faster than that

The median of several steps after two that do not count: wall time on a GPU, on a CPU
the time of the processor, so that what else the machine does is left out.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import DTypeLike
from spacy.util import fix_random_seed
from thinc.api import Adam
from torch import Tensor
from wasabi import table

from spacy_dwe.channels import CHANNELS
from spacy_dwe.channels.base import columns_of
from spacy_dwe.encoders.protocol import EDGES, MentionFeatures
from spacy_dwe.kb.vectors.sets import SetName, VectorSet
from spacy_dwe.linking.collate import collate
from spacy_dwe.model.architectures import TorchOptimizer
from spacy_dwe.model.inputs import LinkingBatch, PreparedMention
from spacy_dwe.model.losses import linking_loss
from spacy_dwe.model.network import LinkerNetwork
from spacy_dwe.model.spec import NetworkSpec, QueryHead
from spacy_dwe.settings import DweSettings
from spacy_dwe.training.targets import with_targets

SET = "description@clip"
N_ENTITIES, TOKENS, MENTION_TOKENS, SCENES = 20_000, 24, 3, 5
CHANNEL_DROPOUT = 0.15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--head", default="dwe", choices=("dwe", "linear", "plain"))
    parser.add_argument("--states", default="pooled", choices=("pooled", "tokens"))
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--slots", type=int, default=3)
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    fix_random_seed(0)
    with tempfile.TemporaryDirectory() as name:
        bench = TrainingBench(arguments, Path(name))
        seconds = {
            "training step": bench.measure(bench.step),
            "straightforward": bench.measure(bench.straightforward_step),
            "bare modules": bench.measure(bench.bare_step),
        }
    ours = seconds["training step"]
    rows = [
        (
            what,
            f"{1000 * took:,.1f}",
            f"{arguments.batch / took:,.0f}",
            f"{took / ours:.2f}",
        )
        for what, took in seconds.items()
    ]
    header = ("", "ms/step", "mentions/s", "time")
    print(table(rows, header=header, divider=True, aligns=("l", "r", "r", "r")))


class TrainingBench:
    """A network, its optimizer, and a batch of prepared mentions on made-up vectors."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.device, self.steps = arguments.device, arguments.steps
        self.pooled = arguments.states == "pooled"
        self.width = arguments.width
        self.random = np.random.default_rng(0)
        self.network = LinkerNetwork(
            _spec(self.width, arguments.head), precision="bf16"
        )
        self.network.to(self.device).train()
        self.optimizer = TorchOptimizer(self.network, combiner_rate=20.0)
        self.numbers = Adam(1e-4, L2=1e-3, L2_is_weight_decay=True, grad_clip=1.0)
        self.vectors = self._vectors(folder)
        n_features = len(self.network.columns) - 1
        self.mentions = [
            self._mention(arguments.slots, arguments.candidates, n_features)
            for _ in range(arguments.batch)
        ]
        self.golds = np.array([mention.rows[0] for mention in self.mentions])
        self.ready, _ = self._batch(self.vectors)

    def measure(self, step: Callable[[], None]) -> float:
        """RETURNS (float): seconds that a step takes."""
        on_gpu = self.device == "cuda"
        clock = time.perf_counter if on_gpu else time.process_time
        times = []
        for number in range(self.steps + 2):
            start = clock()
            step()
            if on_gpu:
                torch.cuda.synchronize()
            if number >= 2:
                times.append(clock() - start)
        return median(times)

    def step(self) -> None:
        batch, targets = self._batch(self.vectors)
        output = self.network(batch, CHANNELS, CHANNEL_DROPOUT)
        loss = self.network.loss(output, batch, targets, DweSettings())
        loss.total.backward()
        self.optimizer.step(self.numbers)

    def straightforward_step(self) -> None:
        batch, targets = self._batch(_OneRowAtATime(self.vectors))
        output = self.network(batch, CHANNELS, CHANNEL_DROPOUT)
        linking = linking_loss(output.scores.log_probabilities(), targets)
        entities = batch.entities[SET].vectors
        golds, negatives = entities[:, 0], entities[:, 1]
        (
            linking + _broad_n_pair(output.queries[SET].vectors, golds, negatives)
        ).backward()
        self.optimizer.step(self.numbers)

    def bare_step(self) -> None:
        scores = self.network(self.ready, CHANNELS).scores
        (scores.logits.sum() + scores.nil.sum()).backward()
        self.network.zero_grad(set_to_none=True)

    def _batch(
        self, vectors: "VectorSet | _OneRowAtATime"
    ) -> tuple[LinkingBatch, Tensor]:
        batch = collate(
            self.mentions,
            heads={SET: vectors},  # type: ignore[dict-item]
            pictures={"clip": self.width},
            pooled=self.pooled,
            device=self.device,
        )
        return with_targets(batch, self.golds, 0.1)

    def _vectors(self, folder: Path) -> VectorSet:
        np.save(folder / "vectors.npy", self._units(N_ENTITIES).astype(np.float16))
        return VectorSet(
            name=SetName.read(SET),
            fingerprint="made up",
            spec={},
            dim=self.width,
            mean=0.0,
            std=0.05,
            cross_mean=None,
            cross_std=None,
            array=np.load(folder / "vectors.npy", mmap_mode="r"),
            offsets=np.arange(N_ENTITIES + 1, dtype=np.int32),
            places=np.arange(N_ENTITIES, dtype=np.int32),
        )

    def _units(self, n: int) -> np.ndarray:
        values = self.random.standard_normal((n, self.width), dtype=np.float32)
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    def _mention(self, slots: int, candidates: int, features: int) -> PreparedMention:
        return PreparedMention(
            rows=self.random.choice(N_ENTITIES, candidates, False).astype(np.int32),
            found_by=np.ones(candidates, dtype=np.uint8),
            features=self.random.random((candidates, features), dtype=np.float32),
            present=np.ones((candidates, features), dtype=bool),
            described=np.ones(candidates, dtype=bool),
            text=MentionFeatures(
                self._units(1)[0],
                self._units(TOKENS),
                slice(0, MENTION_TOKENS),
                self._units(EDGES).ravel(),
            ),
            pictures={"clip": self._units(1)},
            objects=self._units(slots),
            faces=self._units(slots),
            face_mask=self.random.random(slots) < 0.5,
            scenes=self._units(SCENES),
        )


class _OneRowAtATime:
    """A vector set as a loop would read it."""

    def __init__(self, vectors: VectorSet) -> None:
        self.vectors, self.offsets = vectors, vectors.offsets
        self.mean, self.std = vectors.mean, vectors.std

    def gather(
        self, rows: Sequence[int] | np.ndarray, dtype: DTypeLike
    ) -> tuple[np.ndarray, np.ndarray]:
        read = [self.vectors.gather([row], dtype) for row in rows]
        return np.concatenate([v for v, _ in read]), np.concatenate(
            [p for _, p in read]
        )


def _broad_n_pair(queries: Tensor, golds: Tensor, negatives: Tensor) -> Tensor:
    differences = negatives.unsqueeze(0) - golds.unsqueeze(1)
    scores = (queries.unsqueeze(1) @ differences.transpose(1, 2))[:, 0]
    return torch.log1p(scores.exp().sum(dim=1)).mean()


def _spec(width: int, head: str) -> NetworkSpec:
    return NetworkSpec(
        columns=columns_of(CHANNELS),
        heads={SET: QueryHead(width, text=True, picture="clip", of_pictures=False)},
        text_width=width,
        pictures={"clip": width},
        width=width,
        n_heads=8,
        ffn_width=4 * width,
        dropout=0.4,
        head=head,
        decoder=True,
        dwe_trained=True,
        shared_text=True,
    )


if __name__ == "__main__":
    main()
