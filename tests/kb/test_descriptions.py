"""How much of its entities' descriptions a KB keeps, when built and afterwards."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from spacy_dwe.building.build import build_kb
from spacy_dwe.building.update import add_entities, rebuild_kb
from spacy_dwe.cli import dwe_cli
from spacy_dwe.errors import DweError
from spacy_dwe.kb.entity import KINDS, Entity, first_sentence, kept_by, write_entities
from spacy_dwe.kb.knowledge_base import DweKnowledgeBase
from spacy_dwe.kb.vectors.sets import DESCRIPTIONS

ENTITIES = [
    Entity("Q1", "Georgia", "A country at the Black Sea. Its capital is Tbilisi."),
    Entity("Q2", "Samoa"),
]
LATER = Entity("Q3", "Congo", "A country at a river. Another lies across it.")
KEPT = {
    "full": ENTITIES[0].description,
    "first-sentence": "A country at the Black Sea.",
    "title": "Georgia",
    "none": "",
}


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("One here. Two there.", "One here."),
        (
            "A. B. Smith (1960. So they say.) wrote that! Then more.",
            "A. B. Smith (1960. So they say.) wrote that!",
        ),
        (
            "It measures 1.5 m. in the U.S. and more",
            "It measures 1.5 m. in the U.S. and more",
        ),
        ("格鲁吉亚是一个国家。首都是第比利斯。", "格鲁吉亚是一个国家。"),
        ("  No end\n at all ", "No end at all"),
        ("", ""),
    ],
)
def test_the_first_sentence(text, first):
    assert first_sentence(text) == first


@pytest.mark.parametrize("kind", KINDS)
def test_a_kb_keeps_what_it_was_told_to_and_says_so(tmp_path, kind):
    kb = build_kb(ENTITIES, tmp_path / "kb", descriptions=kind)
    assert next(iter(kb)).description == KEPT[kind]
    assert kept_by(kb.meta) == kind


def test_entities_added_later_are_treated_alike(tmp_path):
    build_kb(ENTITIES, tmp_path / "kb", descriptions="first-sentence")
    add_entities(tmp_path / "kb", [LATER])
    for kb in (DweKnowledgeBase(tmp_path / "kb"), rebuild_kb(tmp_path / "kb")):
        assert list(kb)[2].description == "A country at a river."
        assert kept_by(kb.meta) == "first-sentence"


def test_encoders_read_the_title_alone(tmp_path, bert):
    kb = build_kb(ENTITIES, tmp_path / "kb", text_encoder=bert, descriptions="title")
    vectors = kb.vector_sets[DESCRIPTIONS]
    (of_title,) = bert.encode_texts(["Georgia"])
    np.testing.assert_allclose(vectors.gather([0])[0][0], of_title, atol=1e-3)
    assert len(vectors.array) == 2, "each entity has a title"
    path = tmp_path / "none"
    with pytest.warns(UserWarning, match="W102.*space text reads"):
        none = build_kb(ENTITIES, path, text_encoder=bert, descriptions="none")
    assert not none.vector_sets


def test_the_command(tmp_path):
    write_entities(tmp_path / "entities.jsonl", ENTITIES)
    arguments = [str(tmp_path / "entities.jsonl"), str(tmp_path / "kb")]
    build = ["kb", "build", *arguments, "--descriptions"]
    assert CliRunner().invoke(dwe_cli, [*build, "first-sentence"]).exit_code == 0
    shown = CliRunner().invoke(dwe_cli, ["kb", "info", arguments[1], "--json"])
    assert json.loads(shown.output)["descriptions_kept"] == "first-sentence"
    shown = CliRunner().invoke(dwe_cli, ["kb", "info", arguments[1]])
    assert "first-sentence" in shown.output


def test_an_unknown_kind_is_told_from_the_known_ones(tmp_path):
    with pytest.raises(DweError, match=r"E413.*half.*full, first-sentence"):
        build_kb(ENTITIES, tmp_path / "kb", descriptions="half")
    assert not list(tmp_path.iterdir())
