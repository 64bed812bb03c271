import json

import pytest
import spacy

from spacy_dwe.cli.calibrate import calibrate
from spacy_dwe.errors import DweError

WEIGHTS, STATE = "dwe_linker/model.safetensors", "dwe_linker/cfg"


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


def links(folder, text="Georgia won.", **config):
    nlp = spacy.load(folder, config=config)
    doc = nlp.make_doc(text)
    doc.ents = [doc.char_span(0, 7, label="PLACE")]
    (ent,) = nlp(doc).ents
    return [(c.id, c.probability) for c in ent._.kb_candidates]


def test_probabilities_change_and_their_order_does_not(saved, dev):
    before = links(saved)
    result = calibrate(saved, dev)
    after = links(saved)
    assert result["temperature"] != pytest.approx(1.0, abs=1e-3)
    assert result["helps"]
    assert result["surprise_after"] < result["surprise_before"]
    assert [own for own, _ in before] == [own for own, _ in after]
    assert [p for _, p in before] != pytest.approx([p for _, p in after], abs=1e-4)
    again = calibrate(saved, dev, dry_run=True)
    assert again["temperature"] == pytest.approx(1.0, abs=1e-3)


def test_what_does_not_help_on_documents_held_out_is_refused(saved, dev):
    """One document says nothing of others; the pipeline fits its own labels already."""
    one = dev.read_text().splitlines(keepends=True)[0]
    dev.write_text(one)
    before = {name: (saved / name).read_bytes() for name in (WEIGHTS, STATE)}
    assert not calibrate(saved, dev, dry_run=True)["helps"]
    with pytest.raises(DweError, match=r"E542.*--force"):
        calibrate(saved, dev)
    assert {name: (saved / name).read_bytes() for name in before} == before
    calibrate(saved, dev, force=True)
    assert (saved / WEIGHTS).read_bytes() != before[WEIGHTS]


def test_when_nil_is_chosen_is_fitted_where_it_is_labelled(saved, dev):
    lines = [json.loads(line) for line in dev.read_text().splitlines()]
    for number, line in enumerate(lines[:30]):
        line["mentions"][0]["kb_id"] = None if number % 2 else "not in the KB"
    dev.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = calibrate(saved, dev)
    assert result["nil"]
    assert result["accuracy_after"] == pytest.approx(0.75)
    assert result["accuracy_after"] >= result["accuracy_before"]
    assert sum(p for _, p in links(saved)) == pytest.approx(0.25, abs=0.03)
    assert json.loads((saved / STATE).read_text())["coverage"] == 0.25
    half = {"components.dwe_linker.kb_coverage": 0.5}
    assert sum(p for _, p in links(saved, **half)) == pytest.approx(0.5, abs=0.05)


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
