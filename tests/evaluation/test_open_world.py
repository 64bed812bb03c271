"""A KB that holds a part of the world: which mentions are linked wrongly, and what a
threshold would change."""

import json

import numpy as np
import pytest
import spacy
from typer.testing import CliRunner

from spacy_dwe.building.build import build_kb
from spacy_dwe.cli import dwe_cli
from spacy_dwe.cli.evaluate import evaluate
from spacy_dwe.errors import DweError
from spacy_dwe.evaluation.evaluate import evaluate_docs
from spacy_dwe.evaluation.open_world import (
    Links,
    _along_threshold,
    _measure,
    measure_open_world,
)
from spacy_dwe.kb.entity import Alias, Entity

DOCUMENTS = [
    ("Georgia's team flew to American Samoa.", ("Georgia's", "Q1"), ("American", "Q9")),
    ("Samoans met the Samoan band Tiki.", ("Samoans", None), ("Tiki", "Q8")),
    ("Peach State won in Atlantis.", ("Peach State", "Q2"), ("Atlantis", "Q7")),
    ("American Samoa, or Samoa?", ("American Samoa", "Q4"), ("Samoa?", "")),
]


@pytest.fixture
def data(tmp_path):
    """Mentions of four of the KB, of three that it lacks, one NIL, and one without a
    label."""
    lines = []
    for number, (text, *mentions) in enumerate(DOCUMENTS):
        found = []
        for name, kb_id in mentions:
            start = text.index(name)
            label = {} if kb_id == "" else {"kb_id": kb_id}
            span = {"start": start, "end": start + len(name), **label}
            found.append({**span, "groups": ["odd" if number % 2 else "even"]})
        lines.append(json.dumps({"id": str(number), "text": text, "mentions": found}))
    path = tmp_path / "documents.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def links(score, *, inside, right, linked=None):
    """Best first; as many documents as mentions."""
    inside, right = np.array(inside, dtype=bool), np.array(right, dtype=bool)
    scores = np.array(score, dtype=np.float64)
    made = scores > 0 if linked is None else np.array(linked, dtype=bool)
    return Links(inside, right, made, scores, np.arange(len(scores)))


def test_figures_of_six_mentions_by_hand():
    """Right, wrong (outside), two of equal score, one below NIL, one never linked."""
    own = links(
        [0.9, 0.8, 0.7, 0.7, -0.6, -np.inf],
        inside=[1, 0, 1, 0, 1, 1],
        right=[1, 0, 1, 0, 1, 0],
    )
    measured = _measure(own, 0, 0) | _along_threshold(own)
    assert measured["right_links"] == 0.5 and measured["wrong_links"] == 0
    assert measured["wrong_link_rate"] == 1.0
    assert measured["precision"] == 0.5
    # A quarter of the gold at a precision of 1, 2/4 and 3/5.
    assert measured["average_precision"] == pytest.approx(0.25 * (1 + 0.5 + 0.6))
    assert measured["right_at_1"] == measured["right_at_9"] == 0.25
    assert measured["thresholds"] == dict.fromkeys(
        ("right_at_1", "right_at_5", "right_at_9"), 0.9
    )
    assert [(p["threshold"], p["wrong_link_rate"]) for p in measured["curve"]] == [
        (0.9, 0.0),
        (0.8, 0.5),
        (0.7, 1.0),
        (None, 1.0),
    ]


@pytest.mark.parametrize("is_inside", [True, False])
def test_what_is_not_there_is_not_measured(is_inside):
    own = links([0.9, 0.4], inside=[is_inside] * 2, right=[is_inside] * 2)
    measured = _measure(own, 50, 0) | _along_threshold(own)
    assert measured["right_at_5"] is None
    assert set(measured["thresholds"].values()) == {None}
    assert (measured["wrong_link_rate"] is None) == is_inside
    assert (measured["average_precision"] is None) != is_inside
    assert "right_at_5" not in measured["intervals"]


def test_intervals_hold_the_figure_and_are_by_document():
    rng = np.random.default_rng(0)
    inside = rng.random(300) < 0.5
    score = np.sort(rng.random(300))[::-1]
    right = inside & (rng.random(300) < score)
    own = links(score, inside=inside, right=right, linked=score > 0.4)
    measured = _measure(own, 200, 0)
    assert measured == _measure(own, 200, 0)
    for name, (low, high) in measured["intervals"].items():
        assert low <= measured[name] <= high, name
        assert low < high, name
    one = Links(own.inside, own.right, own.linked, own.score, np.zeros(300, int))
    low, high = _measure(one, 200, 0)["intervals"]["average_precision"]
    assert low == high == measured["average_precision"]


def test_equal_names_link_what_is_not_ambiguous(tmp_path, labelled):
    """A name in the KB stands before what is left of it without a possessive; several
    entities of one name are parted by their priors, if these differ. An apostrophe
    makes no other name."""
    entities = [
        Entity("Q1", "Lone", "one", (Alias("lone"), Alias("Half", 0.9))),
        Entity("Q2", "Even", "one", (Alias("Half", 0.1), Alias("Twin", 0.5))),
        Entity("Q3", "Odd's", "another", (Alias("Twin", 0.5), Alias("Same"))),
        Entity("Q4", "Odd", "that", (Alias("Same"),)),
    ]
    build_kb(entities, tmp_path / "few.kb")
    nlp = spacy.blank("en")
    linker = nlp.add_pipe("dwe_linker", config={"channels": ["name"]})
    linker.load_kb(tmp_path / "few.kb")
    expected = {
        "Lone": "Q1",
        "Half": "Q1",
        "Odds": "Q3",
        "Ode": None,
        "Twin": None,
        "Same": None,
    }
    docs = [
        labelled(name, (0, 1, kb_id or "NIL"), name=name)
        for name, kb_id in expected.items()
    ]
    docs.append(labelled("Odd's", (0, 2, "Q3"), name="possessive"))
    evaluation = evaluate_docs(nlp, linker, docs)
    measured = measure_open_world(evaluation, linker.kb, draws=0)["name_equality"]
    assert measured["right_links"] == 1.0
    assert measured["wrong_link_rate"] == 0.0


def test_open_world_beside_the_other_metrics(kb_path, data, tmp_path):
    plain = evaluate("blank:en", data, kb=kb_path, output=tmp_path / "plain.json")
    metrics = evaluate(
        "blank:en",
        data,
        kb=kb_path,
        open_world=True,
        output=tmp_path / "open.json",
        report=tmp_path / "report",
    )
    assert json.loads((tmp_path / "open.json").read_text()) == metrics
    measured = metrics.pop("open_world")
    assert metrics == plain
    assert (measured["n_inside"], measured["n_outside"]) == (3, 4)
    assert metrics["n_unlabelled"] == 1
    assert measured["name_equality"]["wrong_link_rate"] == 0
    # Two entities are called Georgia.
    assert measured["name_equality"]["right_links"] == pytest.approx(2 / 3, abs=1e-6)
    assert {part: m["n_inside"] for part, m in measured["by"].items()} == {
        "even": 2,
        "odd": 1,
    }
    page = (tmp_path / "report" / "index.html").read_text()
    assert "Open world" in page and 'id="open-world-title"' in page
    assert "equal names" in page and "1 mentions without a label" in page
    assert "Open world" not in evaluated_page(kb_path, data, tmp_path / "without")


def evaluated_page(kb_path, data, folder):
    evaluate("blank:en", data, kb=kb_path, report=folder)
    return (folder / "index.html").read_text()


def test_a_threshold_of_the_curve_does_what_the_curve_says(kb_path, data):
    measured = evaluate("blank:en", data, kb=kb_path, open_world=True)["open_world"]
    curve = [p for p in measured["linker"]["curve"] if p["threshold"] is not None]
    assert len(curve) > 2
    for point in curve:
        overrides = {"components.dwe_linker.threshold": point["threshold"]}
        set_so = evaluate(
            "blank:en", data, kb=kb_path, open_world=True, overrides=overrides, draws=0
        )["open_world"]["linker"]
        for key in ("right_links", "wrong_link_rate", "precision"):
            assert set_so[key] == point[key]
        assert set_so["average_precision"] == measured["linker"]["average_precision"]
    settings = measured["linker"]
    assert curve[-1]["wrong_link_rate"] == settings["wrong_link_rate"]
    assert curve[-1]["right_links"] == settings["right_links"]


def run(*arguments):
    return CliRunner().invoke(dwe_cli, ["evaluate", "blank:en", *map(str, arguments)])


def test_the_command_prints_a_table_and_says_what_is_missing(kb_path, data, tmp_path):
    done = run(data, "--kb", kb_path, "--open-world")
    assert done.exit_code == 0, done.output
    rows = [line.split() for line in done.output.splitlines()]
    assert ["equal", "names"] in [row[:2] for row in rows]
    assert "convert open-world" not in done.output
    document = json.loads(data.read_text().splitlines()[3])
    inside = tmp_path / "inside.jsonl"
    inside.write_text(json.dumps(document) + "\n")
    done = run(inside, "--kb", kb_path, "--open-world")
    assert done.exit_code == 0, done.output
    assert "convert open-world" in done.output


def test_golds_that_are_put_in_are_no_open_world(kb_path, data):
    with pytest.raises(DweError, match="E436"):
        evaluate("blank:en", data, kb=kb_path, protocol="paper", open_world=True)
