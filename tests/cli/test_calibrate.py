import json

import pytest
import spacy

from spacy_dwe.cli.calibrate import calibrate
from spacy_dwe.errors import DweError

WEIGHTS = "dwe_linker/model.safetensors"


@pytest.fixture
def saved(trained, tmp_path):
    trained.to_disk(tmp_path / "pipeline")
    return tmp_path / "pipeline"


@pytest.fixture
def dev(tmp_path):
    """Nothing tells the two apart, and one of them is three times as frequent."""
    ids = ["Georgia-red", "Georgia-blue"]
    lines = [
        {
            "id": str(number),
            "text": "Georgia won.",
            "mentions": [{"start": 0, "end": 7, "kb_id": ids[number % 4 == 0]}],
        }
        for number in range(40)
    ]
    path = tmp_path / "dev.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def links(folder, text="Georgia won."):
    nlp = spacy.load(folder)
    doc = nlp.make_doc(text)
    doc.ents = [doc.char_span(0, 7, label="PLACE")]
    (ent,) = nlp(doc).ents
    return [(c.id, c.probability) for c in ent._.kb_candidates]


def test_probabilities_change_and_their_order_does_not(saved, dev):
    before = links(saved)
    result = calibrate(saved, dev)
    after = links(saved)
    assert result["temperature"] != pytest.approx(1.0, abs=1e-3)
    assert result["ece_after"] <= result["ece_before"]
    assert [own for own, _ in before] == [own for own, _ in after]
    assert [p for _, p in before] != pytest.approx([p for _, p in after], abs=1e-4)
    assert calibrate(saved, dev)["temperature"] == pytest.approx(1.0, abs=1e-3)


def test_when_nil_is_chosen_is_fitted_where_it_is_labelled(saved, dev):
    lines = [json.loads(line) for line in dev.read_text().splitlines()]
    for line in lines[:30]:
        line["mentions"][0]["kb_id"] = None
    dev.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = calibrate(saved, dev)
    assert result["nil"]
    assert result["accuracy_after"] == pytest.approx(0.75)
    assert result["accuracy_after"] >= result["accuracy_before"]
    assert sum(p for _, p in links(saved)) == pytest.approx(0.25, abs=0.03)


def test_a_dry_run_changes_nothing(saved, dev):
    before = (saved / WEIGHTS).read_bytes()
    calibrate(saved, dev, dry_run=True)
    assert (saved / WEIGHTS).read_bytes() == before


def test_there_must_be_trained_weights(saved, dev):
    (saved / WEIGHTS).write_bytes(b"")
    with pytest.raises(DweError, match="E541"):
        calibrate(saved, dev)
    (saved / WEIGHTS).unlink()
    with pytest.raises(DweError):
        calibrate(saved, dev)
