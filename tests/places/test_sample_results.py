"""What `python -m spacy project run all` must show, read from the metrics it wrote."""

import json
from pathlib import Path

import pytest

METRICS = Path(__file__).parents[2] / "metrics"
ROWS = ("name-only", "text-only", "image-only", "image-among-namesakes", "no-dwe")
SLACK = 0.05
"""How far above chance a linker may come that cannot know better."""
UNSEEN_DIFFERENCE = 0.01
"""Top-1 by which a row may be ahead on these mentions without being shown to be."""


@pytest.fixture(scope="module")
def metrics():
    if not (METRICS / "dwe.json").exists():
        pytest.skip("no metrics/: run `python -m spacy project run all` first")
    return {path.stem: json.loads(path.read_text()) for path in METRICS.glob("*.json")}


@pytest.fixture(scope="module")
def undecidable(metrics):
    """Top-1 on undecidable mentions by row, and chance."""
    groups = {name: row["by"]["undecidable"] for name, row in metrics.items()}
    top1 = {name: group["top1"] for name, group in groups.items()}
    return {**top1, "chance": groups["dwe"]["chance"]}


def test_text_alone_cannot_tell_namesakes_apart(undecidable):
    assert undecidable["text-only"] <= undecidable["chance"] + SLACK


def test_pictures_can(undecidable):
    assert undecidable["dwe"] >= 0.85
    assert undecidable["dwe"] >= undecidable["no-dwe"] - UNSEEN_DIFFERENCE


def test_the_network_alone_tells_namesakes_apart(undecidable):
    assert undecidable["dwe-only"] >= undecidable["chance"] + SLACK


def test_unseen_places_are_linked_too(metrics):
    unseen = metrics["dwe"]["by"]["unseen"]
    assert unseen["intervals"]["top1"][0] > unseen["chance"] + SLACK


def test_names_of_no_place_are_told_with_and_without_a_picture(metrics):
    assert metrics["dwe"]["nil_f1"] >= 0.8
    assert metrics["text-only"]["nil_f1"] >= 0.8


def test_no_row_is_shown_to_be_better_than_everything_together(metrics):
    best = max(metrics[row]["top1"] for row in ROWS)
    assert metrics["dwe"]["top1"] >= best - UNSEEN_DIFFERENCE


def test_pictures_permuted_are_no_better_than_text(undecidable):
    assert undecidable["test-permuted"] <= undecidable["text-only"] + SLACK


def test_links_follow_swapped_pictures(metrics):
    assert metrics["test-swapped"]["swap"]["flip_rate"] >= 0.8
