"""What `spacy train` says of a linker: one line an evaluation."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import IO, TYPE_CHECKING, Any

import srsly
from wasabi import Printer

from ..errors import DweError, Errors
from ..settings import FACTORY

if TYPE_CHECKING:
    from spacy.language import Language

    from .state import TrainingClock

Info = dict[str, Any]
LogStep = Callable[[Info | None], None]
Setup = Callable[..., tuple[LogStep, Callable[[], None]]]

PROGRESS_BARS = ("train", "eval")
SPACING = 2
NIL_SCORE = "nel_nil_f"
SCORES = {"nel_top1": "TOP-1", "nel_mrr": "MRR", NIL_SCORE: "NIL F1"}
"""Scores that are shown wherever they were measured, whatever their weight."""
PARTS = {
    "linking": "LINKING",
    "contrast": "CONTRAST",
    "a_align": "A-ALIGN",
    "s_align": "S-ALIGN",
}
BEST = "*"
UNKNOWN = "–"


def console_logger(
    progress_bar: str | None = None,
    console_output: bool = True,
    output_file: str | Path | None = None,
) -> Setup:
    """Show how a linker trains ("spacy-dwe.ConsoleLogger.v1").

    Losses are means over the updates since the line before, of other components sums,
    as spaCy has it. Scores are in percent.

    progress_bar (str | None): "eval" shows the steps to the next evaluation, "train"
        those of the whole run.
    console_output (bool): print the lines.
    output_file (str | Path | None): also write each evaluation there, as a line of
        JSON. A file that exists is kept, and nothing written.
    RETURNS (Callable): sets the logger up for a pipeline.
    RAISES (DweError): there is no such progress bar.
    """
    if progress_bar is not None and progress_bar not in PROGRESS_BARS:
        choices = ", ".join(PROGRESS_BARS)
        raise DweError(Errors.E522.format(value=progress_bar, choices=choices))

    def set_up(
        nlp: "Language", stdout: IO[str] = sys.stdout, stderr: IO[str] = sys.stderr
    ) -> tuple[LogStep, Callable[[], None]]:
        evaluations = _Evaluations(nlp)
        file = _opened(output_file, stdout)
        table = _Table(stdout)
        bar = _Bar(nlp, progress_bar if console_output else None, stderr)

        def log_step(info: Info | None) -> None:
            if info is None:
                bar.advance()
                return
            record = evaluations.record(info)
            if file is not None:
                file.write(srsly.json_dumps(record) + "\n")
                file.flush()
            bar.close()
            if console_output:
                table.write(dict(evaluations.columns(record)))
            bar.open(info)

        def finalize() -> None:
            bar.close()
            if console_output:
                for place in evaluations.places:
                    stdout.write(f"Encoder outputs: {place}\n")
            if file is not None:
                file.close()

        return log_step, finalize

    return set_up


class _Evaluations:
    """Makes records of the evaluations of a run: what is written, and what is shown.

    nlp (Language): the pipeline, without components that are frozen.
    """

    def __init__(self, nlp: "Language") -> None:
        self.linkers: dict[str, Any] = {
            name: nlp.get_pipe(name)
            for name in nlp.pipe_names
            if nlp.get_pipe_meta(name).factory == FACTORY
        }
        self.others = [
            name
            for name, pipe in nlp.pipeline
            if getattr(pipe, "is_trainable", False) and name not in self.linkers
        ]
        training = nlp.config["training"]
        self.weights: dict[str, float] = {
            name: weight
            for name, weight in training["score_weights"].items()
            if weight is not None
        }
        self.clock = _RunClock(training["max_steps"], training["max_epochs"])
        self._clocks: dict[str, TrainingClock] = {
            name: replace(linker.clock) for name, linker in self.linkers.items()
        }

    @property
    def places(self) -> list[str]:
        """RETURNS (list[str]): where linkers keep what encoders put out."""
        caches = (linker.cache for linker in self.linkers.values())
        return list(dict.fromkeys(c.place for c in caches if c is not None and c.place))

    def record(self, info: Info) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): what spaCy's own loggers write, and what is known
        of linkers besides."""
        scores = {
            name: 100 * value
            for name, value in info["other_scores"].items()
            if isinstance(value, int | float) and name != "speed"
        }
        score = float(info["score"])
        return {
            "epoch": info["epoch"],
            "step": info["step"],
            "losses": {name: float(loss) for name, loss in info["losses"].items()},
            "scores": scores,
            "score": score,
            # spaCy saves model-best again for a score as good as the best.
            "best": score == max(score for score, _ in info["checkpoints"]),
            "seconds": self.clock.seconds,
            "seconds_left": self.clock.left(info["step"], info["epoch"]),
            "linkers": {name: self._linker(name, info) for name in self.linkers},
        }

    def _linker(self, name: str, info: Info) -> dict[str, Any]:
        linker, losses = self.linkers[name], info["losses"]
        now, before = replace(linker.clock), self._clocks[name]
        self._clocks[name] = now
        updates = now.updates - before.updates
        seconds = now.seconds - before.seconds
        mentions = now.mentions - before.mentions
        keys = {"loss": name} | {part: f"{name}_{part}" for part in linker.loss_parts}
        return {
            **{
                label: losses.get(key, 0.0) / updates if updates else None
                for label, key in keys.items()
            },
            "mentions": mentions,
            "mentions_per_second": mentions / seconds if updates else None,
        }

    def columns(self, record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """YIELDS (tuple[str, str]): title and content of each column of a record."""
        yield "E", str(record["epoch"])
        yield "#", str(record["step"])
        for name, linker in record["linkers"].items():
            prefix = f"{name} " if len(self.linkers) > 1 else ""
            yield prefix + "LOSS", _decimals(linker["loss"], 3)
            for part in self.linkers[name].loss_parts:
                yield prefix + PARTS.get(part, part.upper()), _decimals(linker[part], 3)
        for name in self.others:
            yield f"LOSS {name}".upper(), _decimals(record["losses"].get(name), 2)
        scores = record["scores"]
        for name in self._scores(scores):
            yield SCORES.get(name, name.upper()), _decimals(scores.get(name), 2)
        yield "SCORE", f"{record['score']:.2f}"
        yield "BEST", BEST if record["best"] else ""
        for name, linker in record["linkers"].items():
            prefix = f"{name} " if len(self.linkers) > 1 else ""
            yield prefix + "M/S", _decimals(linker["mentions_per_second"], 0)
        yield "LEFT", _duration(record["seconds_left"])

    def _scores(self, measured: Mapping[str, float]) -> list[str]:
        """Those of linkers that say something, and those of others that spaCy shows."""
        own = [name for name in SCORES if self.linkers and name in measured]
        knows_nil = any(linker.nil_is_labelled for linker in self.linkers.values())
        if NIL_SCORE in own and not (knows_nil or measured[NIL_SCORE]):
            # Measured because a mention was taken for NIL: there may be none at all.
            own.remove(NIL_SCORE)
        return own + [
            name
            for name, weight in self.weights.items()
            if name not in own and (weight or not name.startswith("nel_"))
        ]


class _RunClock:
    """Time of a run, evaluations included.

    max_steps, max_epochs (int): when it ends at the latest; 0 or less = never.
    """

    def __init__(self, max_steps: int, max_epochs: int) -> None:
        self.max_steps = max_steps
        self.max_epochs = max_epochs
        self._start = perf_counter()
        self._first: tuple[int, float] | None = None

    @property
    def seconds(self) -> float:
        """RETURNS (float): since the run began."""
        return perf_counter() - self._start

    def left(self, step: int, epoch: int) -> float | None:
        """RETURNS (float | None): seconds to the end, if patience does not end it
        before; None where it cannot be told."""
        now = self.seconds
        if self._first is None:
            # The first step loads encoders, and says nothing of the others.
            self._first = (step, now)
            return None
        first_step, first_seconds = self._first
        done = step - first_step
        remaining: list[float] = []
        if self.max_steps > 0:
            remaining.append(self.max_steps - step)
        if self.max_epochs > 0 and epoch > 0:
            # Epochs that are over tell how many steps each has.
            remaining.append(step * (self.max_epochs - epoch) / epoch)
        if not remaining or done <= 0:
            return None
        return max(0.0, min(remaining)) * (now - first_seconds) / done


class _Table:
    """Prints records below a header, which the first one gives its columns."""

    def __init__(self, stdout: IO[str]) -> None:
        self.stdout = stdout
        self._printer = Printer(no_print=True)
        self._titles: list[str] = []

    def write(self, cells: Mapping[str, str]) -> None:
        """cells (Mapping[str, str]): by title of their column."""
        if not self._titles:
            self._titles = list(cells)
            self._row(self._titles)
            self._row(["-" * self._width(title) for title in self._titles])
        self._row([cells.get(title, UNKNOWN) for title in self._titles])

    def _row(self, cells: Sequence[str]) -> None:
        widths = [self._width(title) for title in self._titles]
        aligns = ["r"] * len(widths)
        row = self._printer.row(cells, widths=widths, aligns=aligns, spacing=SPACING)
        print(row, file=self.stdout, flush=True)

    @staticmethod
    def _width(title: str) -> int:
        return max(len(title), 4 if title in ("E", "M/S") else 6)


class _Bar:
    """A progress bar below the table, on a terminal only."""

    def __init__(self, nlp: "Language", kind: str | None, stderr: IO[str]) -> None:
        self.kind = kind
        self.stderr = stderr
        self.max_steps = nlp.config["training"]["max_steps"]
        self.frequency = nlp.config["training"]["eval_frequency"]
        self._bar: Any = None

    def open(self, info: Info) -> None:
        """Start again after an evaluation."""
        if self.kind is None:
            return
        from tqdm import tqdm

        whole = self.kind == "train"
        self._bar = tqdm(
            total=(self.max_steps or None) if whole else self.frequency,
            initial=info["step"] if whole else 0,
            desc=f"Epoch {info['epoch'] + 1}",
            disable=None,
            leave=False,
            file=self.stderr,
        )

    def advance(self) -> None:
        """Count a step."""
        if self._bar is not None:
            self._bar.update(1)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _opened(path: str | Path | None, stdout: IO[str]) -> IO[str] | None:
    if path is None:
        return None
    path = Path(path)
    printer = Printer(no_print=True)
    if path.exists():
        line = printer.warn(f"{path} exists: evaluations are not written to it")
        print(line, file=stdout, flush=True)
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    print(printer.info(f"Writing evaluations to {path}"), file=stdout, flush=True)
    return path.open("w", encoding="utf-8")


def _decimals(value: float | None, digits: int) -> str:
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return UNKNOWN
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
