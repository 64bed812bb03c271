import json
import shutil

import pytest
from tiny_world import PLACES, SMALL_MODEL, linking_pipeline, train
from typer.testing import CliRunner

from spacy_dwe.cli import dwe_cli
from spacy_dwe.cli.evaluate import evaluate
from spacy_dwe.cli.signs import signs
from spacy_dwe.errors import DweError
from spacy_dwe.evaluation.signs import ATTRIBUTES, FINDINGS, PICTURES

BANK = '{"groups": {"colour": ["red", "blue", "green", "a dark place"]}}'


@pytest.fixture(scope="module")
def data(tmp_path_factory, picture):
    """Each place with a picture of its colour that training had not; one is NIL."""
    path = tmp_path_factory.mktemp("signs") / "test.jsonl"
    with path.open("w") as file:
        for name, colour in PLACES:
            kb_id = None if name == PLACES[0][0] else f"{name}-{colour}"
            mention = {"start": 7, "end": 7 + len(name), "kb_id": kb_id}
            document = {"id": f"{name}-{colour}", "text": f"We saw {name} again."}
            document |= {"images": [picture(colour, 3)], "mentions": [mention]}
            file.write(json.dumps(document) + "\n")
    return path


@pytest.fixture(scope="module")
def saved(tmp_path_factory, described_kb, examples, trained):
    """Folders of pipelines: two that look for scenes, of two seeds, and one that looks
    for nothing."""
    folder = tmp_path_factory.mktemp("pipelines")
    (folder / "bank.json").write_text(BANK)
    scenes = {"@misc": "spacy-dwe.SceneAttributes.v1", "margin": 0.5}
    scenes["bank"] = str(folder / "bank.json")
    visual = {"@misc": "spacy-dwe.VisualExtractor.v1", "scenes": scenes}
    for seed in (0, 1):
        nlp = linking_pipeline(described_kb, model=SMALL_MODEL, visual=visual)
        train(nlp, examples, steps=10, seed=seed).to_disk(folder / f"seeing-{seed}")
    trained.to_disk(folder / "trained")
    return folder


def test_three_signs_of_pipelines_of_two_seeds(saved, data, tmp_path):
    seeds = [saved / "seeing-0", saved / "seeing-1"]
    out = tmp_path / "signs.json"
    arguments = ["signs", *map(str, seeds), str(data), "-o", str(out), "--draws", "100"]
    done = CliRunner().invoke(dwe_cli, arguments)
    assert done.exit_code == 0, done.output
    found = json.loads(out.read_text())
    assert (found["n"], found["n_mentions"]) == (18, 20)
    assert [*found["without"]] == [ATTRIBUTES, FINDINGS, PICTURES]
    alone = [evaluate(seed, data, draws=0) for seed in seeds]
    assert found["seeds"]["top1"] == pytest.approx([m["top1"] for m in alone], abs=1e-5)
    blind = [evaluate(seed, data, draws=0, use_images=False) for seed in seeds]
    lost = sum(a["top1"] - b["top1"] for a, b in zip(alone, blind)) / 2
    assert found["without"][PICTURES]["lost"]["value"] == pytest.approx(lost, abs=1e-5)
    printed = " ".join(done.output.split())
    for words in ("Top-5 is", "From seed to seed", "Without attributes", "Wrote"):
        assert words in printed


def test_attributes_are_off_as_the_config_switches_them_off(saved, data):
    path = saved / "seeing-0"
    found = signs([path], data, draws=100)
    off = {"components.dwe_linker.model.without": [ATTRIBUTES]}
    less = evaluate(path, data, draws=0, overrides=off)["top1"]
    assert found["without"][ATTRIBUTES]["top1"]["value"] == pytest.approx(less, 1e-5)
    assert found["seeds"] is None and "--system.seed" in found["notes"][1]


def test_a_linker_without_attributes_says_so(saved, data):
    found = signs([saved / "trained"], data, draws=100)
    assert [*found["without"]] == [PICTURES]
    assert "reads no attributes" in found["notes"][2]
    assert found["without"][PICTURES]["lost"]["value"] > 0.2
    assert "leans on them" in found["notes"][3]


def test_without_pictures_there_is_nothing_to_take_away(saved, data, tmp_path):
    lines = [json.loads(line) for line in data.read_text().splitlines()]
    bare = tmp_path / "bare.jsonl"
    bare.write_text("".join(json.dumps({**x, "images": []}) + "\n" for x in lines))
    found = signs([saved / "trained"], bare, draws=100)
    assert found["without"] == {} and "nothing to take away" in found["notes"][2]


def test_pipelines_of_other_mentions_are_both_named(saved, data, tmp_path):
    other = shutil.copytree(saved / "trained", tmp_path / "other")
    config = other / "config.cfg"
    text = config.read_text().replace("labels_discard = []", 'labels_discard = ["PER"]')
    config.write_text(text)
    lines = [json.loads(line) for line in data.read_text().splitlines()]
    lines[0]["mentions"][0]["type"] = "PER"
    typed = tmp_path / "typed.jsonl"
    typed.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(DweError, match=r"E434.*trained and .*other.*mentions"):
        signs([saved / "trained", other], typed, draws=100)


@pytest.mark.parametrize(
    "pipelines, data_file, message",
    [
        (["nowhere"], "DATA", "E400"),
        (["trained"], "nothing.jsonl", "E001"),
        (["trained", "trained"], "DATA", "given twice"),
    ],
)
def test_mistakes_are_one_line(saved, data, pipelines, data_file, message):
    file = data if data_file == "DATA" else saved / data_file
    arguments = ["signs", *(str(saved / name) for name in pipelines), str(file)]
    done = CliRunner().invoke(dwe_cli, arguments)
    assert done.exit_code != 0
    assert message in done.output and "Traceback" not in done.output
