"""A study file says what is wrong with it, before anything is trained."""

import json
from pathlib import Path

import pytest

from spacy_dwe.errors import DweError
from study.study_file import checked_seeds, read_study

SHIPPED = sorted((Path(__file__).parents[2] / "configs").glob("paper-*.json"))
OFF = {"components.dwe_linker.use_images": False}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a study of files that are there, with some keys changed."""
    monkeypatch.chdir(tmp_path)
    for name in ("train.jsonl", "dev.jsonl", "test.jsonl", "my.cfg"):
        Path(name).touch()
    for name in ("a.kb", "b.kb"):
        Path(name).mkdir()

    def write(**changes):
        study = {
            "config": "my.cfg",
            "vars": {"data": ".", "steps": 5},
            "data": {k: f"${{vars.data}}/{k}.jsonl" for k in ("train", "dev", "test")},
            "kb": {"a": "a.kb", "b": "b.kb"},
            "settings": {"training.max_steps": "${vars.steps}"},
            "variants": [
                {"name": "off", "against": "base", "test": OFF},
                {"name": "base", "kb": "b"},
                {"name": "no", "against": "base", "retrain": OFF},
            ],
            **changes,
        }
        Path("study.json").write_text(json.dumps(study))
        return Path("study.json")

    return write


def test_variables_are_put_in_and_keep_their_type(write):
    path = write()
    study = read_study(path)
    assert study.train == Path("./train.jsonl")
    assert study.settings == {"training.max_steps": 5}
    assert read_study(path, {"steps": 7}).settings == {"training.max_steps": 7}


def test_variables_are_made_of_others(write):
    own = {"data": ".", "steps": "${vars.other}", "other": {"n": "${vars.five}"}}
    path = write(vars={**own, "five": 5})
    assert read_study(path).settings == {"training.max_steps": {"n": 5}}
    with pytest.raises(DweError, match=r"E271.*other"):
        read_study(write(vars={**own, "five": "${vars.other}"}))


def test_what_is_switched_off_uses_the_model_and_kb_of_its_base(write):
    study = read_study(write())
    off, base, no = study.variants
    assert (off.model, off.kb, off.kind) == ("base", "b", "switched off at test")
    assert (base.model, base.kb, base.kind) == (None, "b", "trained")
    assert (no.model, no.kb, no.kind) == (None, "a", "retrained")


def test_what_a_variant_needs_is_run_before_it(write):
    study = read_study(write())
    assert [v.name for v in study.selected([])] == ["base", "no", "off"]
    assert [v.name for v in study.selected(["off"])] == ["base", "off"]
    with pytest.raises(DweError, match=r"E272.*'of'.*off, base, no"):
        study.selected(["of"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": "no.cfg"}, "E001.*no.cfg"),
        ({"seed": [1]}, "E270.*the key 'seed', known are config"),
        ({"data": {"train": "train.jsonl"}}, 'E270.*"dev" is no path'),
        ({"title": "${vars.name}"}, "E271.*name.*--vars.name"),
        ({"seeds": [1, 1]}, "E275"),
        ({"variants": []}, 'E270.*"variants"'),
        ({"variants": [{"name": "a/b"}]}, "E270.*'a/b', which no folder"),
        ({"variants": [{"name": "a"}, {"name": "A"}]}, "E270.*the same name"),
        ({"variants": [{"name": "a", "against": "b"}]}, "E270.*'b', which is no var"),
        ({"variants": [{"name": "a", "against": "a"}]}, "E270.*with itself"),
        ({"variants": [{"name": "a", "test": OFF}]}, 'E270.*names no "model"'),
        ({"variants": [{"name": "a", "kb": "c"}]}, "E270.*'c', there are a, b"),
        ({"variants": [{"name": "a", "retrain": {"x": 1}}]}, "E270.*'x'.*dotted"),
        ({"evaluation": {"metrics": ["top2"]}}, "E270.*top1, mrr, nil_f1"),
    ],
)
def test_mistakes_are_named(write, changes, message):
    with pytest.raises(DweError, match=message):
        read_study(write(**changes))


def test_other_files_are_no_studies(tmp_path):
    path = tmp_path / "study.json"
    for text, message in (("{", "no JSON"), ("[]", "no object")):
        path.write_text(text)
        with pytest.raises(DweError, match=f"E270.*{message}"):
            read_study(path)


def test_a_variable_that_the_file_does_not_have_is_refused(write):
    with pytest.raises(DweError, match=r"E270.*no variable stepz, .* data, steps"):
        read_study(write(), {"stepz": 1})


def test_seeds():
    assert checked_seeds("0, 1,22") == [0, 1, 22]
    for wrong in ("", "a", "-1", "1,1", [], [True], [1.5], "1,"):
        with pytest.raises(DweError, match="E275"):
            checked_seeds(wrong)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_studies_are_whole(path, tmp_path, monkeypatch):
    """With files of any content where they point to."""
    study = json.loads(path.read_text())
    named = json.dumps([study["config"], *study["data"].values()])
    monkeypatch.chdir(tmp_path)
    for name, value in study["vars"].items():
        named = named.replace(f"${{vars.{name}}}", str(value))
    for file in json.loads(named):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).touch()
    read = read_study(path)
    assert read.variants[0].against is None
    assert all(v.against for v in read.variants[1:])
    assert len(read.seeds) >= 3
