"""Plots are SVG that describes itself and looks the same each time."""

import re
import sys
from xml.etree import ElementTree

import pytest

from spacy_dwe.errors import DweError
from spacy_dwe.visualise.plots import (
    causes_plot,
    hits_plot,
    open_world_plot,
    reliability_plot,
)

BINS = [
    {"low": 0.0, "high": 0.5, "n": 0, "confidence": None, "accuracy": None},
    {"low": 0.5, "high": 1.0, "n": 10, "confidence": 0.8, "accuracy": 0.6},
]
CURVE = [
    {"threshold": 0.9, "precision": 1.0, "right_links": 0.5},
    {"threshold": None, "precision": 0.25, "right_links": 0.75},
]
LINKER = {"precision": 1.0, "right_links": 0.5, "average_precision": 0.5625}
UNLINKED = {"precision": None, "right_links": 0.0}
PLOTS = {
    "open-world": lambda: open_world_plot({**LINKER, "curve": CURVE}, UNLINKED),
    "hits": lambda: hits_plot([1, 1.5, 30, float("inf")], 3),
    "reliability": lambda: reliability_plot(BINS, 0.2),
    "causes": lambda: causes_plot([("Namesakes & $twins$", 3), ("Equal scores", 1)]),
}


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_is_described_scales_and_is_the_same_each_time(name):
    svg = PLOTS[name]()
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert root.get("width") is None
    described = root.get("aria-labelledby").split()
    assert [root[0].get("id"), root[1].get("id")] == described
    assert root[0].text and root[1].text
    assert all(i.startswith(f"{name}-") for i in re.findall(r'\bid="([^"]+)"', svg))
    assert svg == PLOTS[name]()


def test_descriptions_hold_the_numbers():
    assert "25.0 at 1, 50.0 at 2" in PLOTS["hits"]()
    assert "50 to 100: 10 mentions, 60.0 right" in PLOTS["reliability"]()
    assert "area 56.2; this run 100.0 right with 50.0" in PLOTS["open-world"]()
    assert "Namesakes &amp; $twins$ 3, Equal scores 1" in PLOTS["causes"]()


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(DweError, match=r"E462.*spacy-dwe\[report\]"):
        PLOTS["causes"]()
