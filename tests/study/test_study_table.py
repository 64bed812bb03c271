"""From the runs of variants to one table, its Markdown and its plot."""

import json
from dataclasses import replace

import numpy as np
import pytest
from made_outcomes import outcome
from PIL import Image

from spacy_dwe.errors import DweError
from spacy_dwe.evaluation.ranking import metrics
from spacy_dwe.evaluation.significance import holm
from study.markdown import study_markdown
from study.plot import write_study_plot
from study.table import ALL, VariantRuns, study_table

N = 120


def outcomes(seed, rate):
    """A mention a document: every sixth is NIL, every fourth is hard, half are seen."""
    random = np.random.default_rng(seed)
    made = []
    for i, hit in enumerate(random.random(N) < rate):
        groups = ("hard",) if i % 4 == 0 else ()
        if i % 6 == 0:
            predicted = None if hit else "Q1"
            one = outcome(None, gold=None, predicted=predicted, document=str(i))
        else:
            one = outcome(1 if hit else 3, document=str(i), groups=groups)
            one = replace(one, seen=i % 2 == 0)
        made.append(one)
    return made


def runs(name, rate, against=None, kind="retrained", seeds=(0, 1, 2), question=""):
    of_seeds = {seed: outcomes(seed, rate) for seed in seeds}
    return VariantRuns(name, kind, question, against, of_seeds)


@pytest.fixture(scope="module")
def table():
    variants = [
        runs("base", 0.5, kind="trained"),
        runs("better", 0.9, "base", question="What helps"),
        runs("same", 0.5, "base", "switched off at test", question="What does not"),
    ]
    return study_table(variants, draws=500)


def found(cells, **wanted):
    (cell,) = [
        cell for cell in cells if all(getattr(cell, k) == v for k, v in wanted.items())
    ]
    return cell


def test_a_mean_is_that_of_the_metrics_of_its_runs(table):
    measured = [
        metrics(outcomes(seed, 0.5), protocol="full", channels=[], inputs="", draws=0)
        for seed in range(3)
    ]
    for metric, part, of in (
        ("top1", ALL, lambda m: m["top1"]),
        ("mrr", "hard", lambda m: m["by"]["hard"]["mrr"]),
        ("top1", "gold:unseen", lambda m: m["breakdowns"]["seen"]["unseen"]["top1"]),
        ("nil_f1", ALL, lambda m: m["nil_f1"]),
    ):
        cell = found(table.means, name="base", metric=metric, part=part)
        expected = [of(m) for m in measured]
        assert cell.estimate.by_seed == pytest.approx(expected)
        assert cell.estimate.value == pytest.approx(np.mean(expected))


def test_differences_are_judged_over_the_whole_table(table):
    cells = table.differences
    assert [cell.p_holm for cell in cells] == holm([cell.estimate.p for cell in cells])
    better = found(cells, name="better", metric="top1", part=ALL)
    assert better.verdict == "better" and better.estimate.interval[0] > 0
    assert better.n == N - N // 6
    same = {cell.verdict for cell in cells if cell.name == "same"}
    assert same == {"not shown"}
    nil = [(cell.name, cell.part) for cell in cells if cell.metric == "nil_f1"]
    assert nil == [("better", ALL), ("same", ALL)]


def test_only_seeds_that_both_have_are_compared():
    variants = [
        runs("base", 0.5, seeds=(0, 1)),
        runs("other", 0.9, "base", seeds=(1, 2)),
        runs("failed", 0.9, "base", seeds=()),
    ]
    table = study_table(variants, metrics=["top1"], parts=[], draws=200)
    assert [(c.name, c.seeds) for c in table.differences] == [("other", [1])]
    assert [(c.name, c.seeds) for c in table.means] == [
        ("base", [0, 1]),
        ("other", [1, 2]),
    ]
    assert "Fewer than 3 seeds" in study_markdown("Few", table)


def test_what_cannot_be_compared_is_refused():
    base = runs("base", 0.5)
    other = replace(base, name="other", outcomes={4: outcomes(4, 0.5)[1:]})
    with pytest.raises(DweError, match=r"E278.*other, seed 4"):
        study_table([base, other])
    with pytest.raises(DweError, match="E279"):
        study_table([replace(base, outcomes={})])


def test_a_part_without_mentions_is_told_and_left_out():
    with pytest.warns(UserWarning, match=r"W162.*'easy'.*hard, gold:seen"):
        table = study_table([runs("base", 0.5)], parts=["easy", "hard"], draws=100)
    assert {cell.part for cell in table.means} == {"all", "hard"}


def test_the_table_can_be_read_by_people_and_programs(table):
    text = study_markdown("Title", table, failed={"worse, seed 1": "no memory"})
    assert text.startswith("# Title\n")
    assert "### What helps" in text and "| **better** |" in text
    assert "| not shown |" in text
    assert "**Failed**: worse, seed 1: no memory" in text
    assert "NIL F1" in text and "Top-1, gold seen" in text
    rows = [line for line in text.splitlines() if line.startswith("| better | retrain")]
    assert len(rows) == 1 + 9, "a mean, and each metric of each part"
    cell = json.loads(json.dumps(table.differences[0].to_json()))
    assert {"name", "against", "value", "interval", "p", "p_holm", "verdict"} <= set(
        cell
    )


def test_the_plot_has_a_mark_for_each_comparison(table, tmp_path):
    write_study_plot(tmp_path / "study.png", "Title", table)
    with Image.open(tmp_path / "study.png") as image:
        assert image.width > image.height > 300
    write_study_plot(tmp_path / "study.svg", "Title", table)
    svg = (tmp_path / "study.svg").read_text()
    for text in ("What helps", "better − base", "same − base", "Top-1", "NIL F1"):
        assert f">{text}</text>" in svg
    assert not list(tmp_path.glob(".*"))
