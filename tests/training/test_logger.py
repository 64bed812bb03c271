"""What a run shows, by hand-made evaluations; tests/test_spacy_cli.py has real ones."""

import io
import json
from itertools import pairwise

import pytest
import spacy
from thinc.api import Adam
from tiny_world import SMALL_MODEL, example, linking_pipeline

from spacy_dwe.errors import DweError
from spacy_dwe.training.logger import console_logger

SCORES = {"nel_top1": 0.5, "nel_mrr": 0.75, "nel_recall_100": 1.0, "nel_micro_f": 0.4}


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Run:
    """A logger on a pipeline, and what it printed."""

    def __init__(self, nlp, config=None, **settings):
        nlp.config["training"] = {
            "max_steps": 100,
            "max_epochs": 0,
            "eval_frequency": 10,
            "score_weights": {"nel_top1": 1.0, "nel_micro_f": 0.0},
            **(config or {}),
        }
        self.out, self.err = io.StringIO(), Terminal()
        self.log_step, self.finalize = console_logger(**settings)(
            nlp, self.out, self.err
        )
        self.checkpoints = []

    def evaluate(self, step=0, score=0.5, losses=None, scores=SCORES, epoch=0):
        self.checkpoints.append((score, step))
        info = {
            "epoch": epoch,
            "step": step,
            "score": score,
            "other_scores": scores,
            "losses": losses or {},
            "checkpoints": self.checkpoints,
            "seconds": 0,
            "words": 0,
        }
        self.log_step(info)

    @property
    def lines(self):
        """The cells of each line, by title."""
        text = [line for line in self.out.getvalue().splitlines() if line.strip()]
        start = next(i for i, line in enumerate(text) if line.startswith("   E"))
        rule = text[start + 1]
        titles = self._cells(text[start], rule)
        return [dict(zip(titles, self._cells(t, rule))) for t in text[start + 2 :]]

    @staticmethod
    def _cells(line, rule):
        ends = [
            i for i in range(len(rule)) if rule[i] == "-" and rule[i + 1 : i + 2] != "-"
        ]
        cuts = [0, *[end + 1 for end in ends]]
        return [line[a:b].strip() for a, b in pairwise(cuts)]


@pytest.fixture
def nlp(described_kb, examples):
    nlp = linking_pipeline(described_kb, model=SMALL_MODEL)
    nlp.initialize(lambda: examples(nlp))
    return nlp


def update(nlp, made, times):
    losses = {}
    for _ in range(times):
        nlp.update(made, sgd=Adam(0.001), losses=losses)
    return losses


def test_a_line_says_how_the_linker_trains(nlp, examples):
    run = Run(nlp)
    once = update(nlp, examples(nlp), 1)
    run.evaluate(0, losses=once)
    run.evaluate(10, 0.6, update(nlp, examples(nlp), 3), {**SCORES, "nel_top1": 0.6})
    first, second = run.lines
    titles = "E # LOSS LINKING CONTRAST S-ALIGN TOP-1 MRR SCORE BEST M/S LEFT"
    assert list(first) == titles.split()
    assert first["LOSS"] == f"{once['dwe_linker']:.3f}"
    assert first["LINKING"] == f"{once['dwe_linker_linking']:.3f}"
    assert (first["TOP-1"], first["MRR"], second["TOP-1"]) == (
        "50.00",
        "75.00",
        "60.00",
    )
    assert 0 < float(second["LOSS"]) < 2 * float(first["LOSS"]), "a mean, no sum"
    assert float(second["M/S"]) > 0
    assert first["LEFT"] == "–" and second["LEFT"].count(":") == 1


def test_the_best_so_far_is_marked(nlp):
    run = Run(nlp)
    for step, score in enumerate([0.5, 0.4, 0.6, 0.6]):
        run.evaluate(step, score)
    assert [line["BEST"] for line in run.lines] == ["*", "", "*", "*"]


@pytest.mark.parametrize(
    "settings",
    [
        {"model": {**SMALL_MODEL, "a_align_weight": 0.0, "s_align_weight": 0.0}},
        {"model": SMALL_MODEL, "use_images": False},
    ],
)
def test_parts_that_cannot_count_are_not_shown(described_kb, examples, settings):
    nlp = linking_pipeline(described_kb, **settings)
    nlp.initialize(lambda: examples(nlp))
    run = Run(nlp)
    run.evaluate(losses=update(nlp, examples(nlp), 1))
    (line,) = run.lines
    assert "CONTRAST" in line and not {"A-ALIGN", "S-ALIGN"} & line.keys()


def test_evaluations_are_not_counted_as_training(nlp, examples):
    made = examples(nlp)
    update(nlp, made, 1)
    clock = nlp.get_pipe("dwe_linker").clock
    before = clock.seconds
    nlp.evaluate(made)
    assert clock.seconds == before > 0
    assert (clock.updates, clock.mentions) == (1, len(made))


def test_no_mention_to_train_on_is_no_number(nlp):
    run = Run(nlp)
    run.evaluate(losses=update(nlp, [example(nlp, "Rain.")], 1))
    (line,) = run.lines
    assert line["LOSS"] == line["LINKING"] == line["M/S"] == "–"


@pytest.mark.parametrize("golds, shown", [(["NIL", "Korea-red"], True), ([], False)])
def test_nil_is_shown_where_there_is_any(nlp, examples, golds, shown):
    labels = [example(nlp, "To Korea.", ("Korea", gold)) for gold in golds]
    nlp.initialize(lambda: labels or examples(nlp))
    run = Run(nlp)
    run.evaluate(scores={**SCORES, "nel_nil_f": 0.0})
    assert ("NIL F1" in run.lines[0]) == shown


class TestOtherComponents:
    def test_they_show_losses_and_scores(self, nlp):
        nlp.add_pipe("textcat")
        run = Run(nlp, {"score_weights": {"nel_top1": 1.0, "cats_score": 0.0}})
        losses = {"dwe_linker": 0.0, "textcat": 1.25}
        run.evaluate(losses=losses, scores={**SCORES, "cats_score": 0.9})
        (line,) = run.lines
        assert (line["LOSS TEXTCAT"], line["CATS_SCORE"]) == ("1.25", "90.00")
        assert "TOP-1" in line

    def test_a_pipeline_without_a_linker_works(self):
        nlp = spacy.blank("xx")
        nlp.add_pipe("textcat")
        run = Run(nlp, {"score_weights": {"cats_score": 1.0}})
        run.evaluate(losses={"textcat": 1.25}, scores={"cats_score": 0.9})
        (line,) = run.lines
        assert (line["LOSS TEXTCAT"], line["CATS_SCORE"]) == ("1.25", "90.00")
        assert not {"M/S", "TOP-1"} & line.keys()

    def test_two_linkers_stand_side_by_side(self, nlp, described_kb, examples):
        second = nlp.add_pipe("dwe_linker", "second", config={"channels": ["name"]})
        second.load_kb(described_kb)
        second.initialize(lambda: examples(nlp))
        run = Run(nlp)
        run.evaluate(losses=update(nlp, examples(nlp), 1))
        (line,) = run.lines
        assert {"dwe_linker LOSS", "second LOSS", "second LINKING"} <= line.keys()
        assert "second CONTRAST" not in line, "it has no network"


class TestTimeLeft:
    @pytest.mark.parametrize(
        "config, known",
        [
            ({"max_steps": 100}, True),
            ({"max_steps": 0, "max_epochs": 5}, True),
            ({"max_steps": 0, "max_epochs": 0}, False),
        ],
    )
    def test_it_needs_an_end(self, nlp, config, known):
        run = Run(nlp, config)
        run.evaluate(0)
        run.evaluate(50, epoch=2)
        assert (run.lines[-1]["LEFT"] != "–") == known

    def test_it_is_proportional(self, nlp, monkeypatch):
        now = iter([0.0, *[10.0] * 2, *[110.0] * 2])
        monkeypatch.setattr("spacy_dwe.training.logger.perf_counter", lambda: next(now))
        run = Run(nlp)
        run.evaluate(0)
        run.evaluate(20)
        assert run.lines[-1]["LEFT"] == "6:40", "80 steps, 20 in 100 seconds"


class TestFile:
    def test_one_object_an_evaluation(self, nlp, examples, tmp_path):
        path = tmp_path / "new" / "log.jsonl"
        run = Run(nlp, output_file=path, console_output=False)
        losses = update(nlp, examples(nlp), 2)
        run.evaluate(0, losses=losses)
        first = json.loads(path.read_text())
        run.evaluate(10, 0.4)
        run.finalize()
        assert len(path.read_text().splitlines()) == 2
        assert (first["epoch"], first["step"], first["score"]) == (0, 0, 0.5)
        assert first["losses"] == pytest.approx(losses)
        assert first["scores"]["nel_recall_100"] == 100, "all scores, in percent"
        own = first["linkers"]["dwe_linker"]
        assert own["loss"] == pytest.approx(losses["dwe_linker"] / 2)
        assert own["mentions"] == 2 * len(examples(nlp))
        assert "log.jsonl" in run.out.getvalue() and "LOSS" not in run.out.getvalue()

    def test_a_file_that_exists_is_kept(self, nlp, tmp_path):
        path = tmp_path / "log.jsonl"
        path.write_text("old")
        run = Run(nlp, output_file=path)
        run.evaluate()
        run.finalize()
        assert path.read_text() == "old"
        assert "exists" in run.out.getvalue()


class TestProgressBar:
    @pytest.mark.parametrize("kind, total", [("eval", 10), ("train", 100)])
    def test_it_counts_steps(self, nlp, kind, total):
        run = Run(nlp, progress_bar=kind)
        run.evaluate(0)
        for _ in range(5):
            run.log_step(None)
        run.finalize()
        assert f"/{total}" in run.err.getvalue()

    def test_another_kind_is_refused(self):
        with pytest.raises(DweError, match=r"E522.*'sideways'.*train, eval"):
            console_logger(progress_bar="sideways")
