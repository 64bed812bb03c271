"""The shipped study of the places sample, on some documents and for few steps."""

from itertools import islice
from pathlib import Path

import pytest

from run_study import study_runs
from spacy_dwe.building.build import build_kb
from spacy_dwe.encoders.registry import clip_encoder
from spacy_dwe.kb.entity import read_entities

ROOT = Path(__file__).parents[2]
NEEDED = ("corpus/test.jsonl", "models/tiny-clip/open_clip_config.json")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all((ROOT / name).exists() for name in NEEDED),
        reason="no corpus or CLIP: run `python -m spacy project run all` first",
    ),
]


@pytest.fixture
def variables(tmp_path):
    """Values for the study's variables: a part of the sample, and a KB of each kind."""
    (tmp_path / "images").symlink_to(ROOT / "corpus" / "images")
    for split, n in (("train", 80), ("dev", 20), ("test", 120)):
        with (ROOT / "corpus" / f"{split}.jsonl").open() as file:
            (tmp_path / f"{split}.jsonl").write_text("".join(islice(file, n)))
    entities = list(read_entities(ROOT / "corpus" / "entities.jsonl"))
    clip = clip_encoder(f"local-dir:{ROOT / 'models' / 'tiny-clip'}", device="cpu")
    kbs = {"kb": "full", "first_sentence_kb": "first-sentence", "title_kb": "title"}
    for name, kind in kbs.items():
        build_kb(
            entities,
            tmp_path / name,
            clip=clip,
            image_root=ROOT / "corpus",
            descriptions=kind,
        )
    paths = {f"vars.{name}": str(tmp_path / name) for name in kbs}
    return {"vars.corpus": str(tmp_path), "vars.steps": 2, **paths}


def test_some_variants_of_the_shipped_study(variables, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    chosen = ["title-only", "pictures-off", "plain-head"]
    record = study_runs(
        Path("configs/paper-places.json"),
        tmp_path / "out",
        only=chosen,
        overrides=variables,
        draws=2000,
    )
    assert [*dict.fromkeys(cell["name"] for cell in record["means"])] == [
        "everything",
        *chosen,
    ]
    shown = {
        (cell["name"], cell["part"]): cell["verdict"]
        for cell in record["differences"]
        if cell["metric"] == "top1"
    }
    assert shown["pictures-off", "undecidable"] == "worse"
    assert (tmp_path / "out" / "study.png").exists()
