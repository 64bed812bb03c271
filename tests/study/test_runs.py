"""A study of a few documents: what is there is kept, what fails is told, and what was
switched off is off."""

import gc
import json
import shutil
from pathlib import Path

import pytest
from tiny_world import PLACES
from typer.testing import CliRunner

from run_study import study_app, study_runs
from spacy_dwe.errors import DweError
from study import runs as study_module
from study.records import RunFolder

CONFIG = Path(__file__).parents[2] / "configs" / "sample.cfg"
NAMES = {
    "nlp.lang": "xx",
    "components.dwe_linker.channels": ["name", "prior", "facts"],
    "components.dwe_linker.use_images": False,
    "training.optimizer.learn_rate.warmup_steps": 0,
    "training.eval_frequency": 1,
    "training.max_steps": "${vars.steps}",
}
NO_FACTS = {"components.dwe_linker.channels": ["name", "prior"]}
VARIANTS = [
    {"name": "base"},
    {"name": "off", "against": "base", "question": "Channels", "test": NO_FACTS},
    {"name": "no", "against": "base", "question": "Channels", "retrain": NO_FACTS},
]
PICTURES = {
    "nlp.lang": "xx",
    "components.dwe_linker.model.width": 32,
    "components.dwe_linker.model.n_heads": 2,
    "components.dwe_linker.model.ffn_width": 32,
    "components.dwe_linker.model.dropout": 0.0,
    "training.optimizer.learn_rate.initial_rate": 0.01,
    "training.optimizer.learn_rate.warmup_steps": 2,
    "training.max_steps": 60,
    "training.eval_frequency": 20,
}
PICTURES_OFF = {"components.dwe_linker.use_images": False}


@pytest.fixture(scope="module", autouse=True)
def nothing_old_is_collected():
    """A study collects garbage after each run, which takes long where there is much of
    other tests."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def data(tmp_path_factory, picture):
    """Documents whose mentions only pictures decide, by split."""
    folder = tmp_path_factory.mktemp("data")
    for split, shade in (("train", 0), ("dev", 1), ("test", 2)):
        with (folder / f"{split}.jsonl").open("w") as file:
            for name, colour in PLACES:
                gold = {"start": 7, "end": 7 + len(name), "kb_id": f"{name}-{colour}"}
                record = {
                    "id": f"{name}-{colour}",
                    "text": f"We saw {name} again.",
                    "images": [picture(colour, shade)],
                    "mentions": [gold],
                }
                file.write(json.dumps(record) + "\n")
    return {split: str(folder / f"{split}.jsonl") for split in ("train", "dev", "test")}


@pytest.fixture(scope="module")
def study(data, names_kb, tmp_path_factory):
    """Path of a study of a few steps."""
    path = tmp_path_factory.mktemp("study") / "study.json"
    study = {
        "title": "Do facts help?",
        "config": str(CONFIG),
        "vars": {"steps": 2},
        "data": data,
        "kb": str(names_kb),
        "settings": NAMES,
        "variants": VARIANTS,
    }
    path.write_text(json.dumps(study))
    return path


def changed(study, tmp_path, **changes):
    path = tmp_path / "changed.json"
    path.write_text(json.dumps({**json.loads(study.read_text()), **changes}))
    return path


@pytest.fixture(scope="module")
def done(study, tmp_path_factory):
    """A finished study and what it answered."""
    out = tmp_path_factory.mktemp("out") / "study"
    return out, study_runs(study, out, draws=300)


@pytest.fixture
def out(done, tmp_path):
    """A copy of a finished study."""
    return shutil.copytree(done[0], tmp_path / "out")


def times(out):
    return {
        path.parent.relative_to(out / "runs").as_posix(): path.stat().st_mtime_ns
        for path in out.glob("runs/*/*/run.json")
    }


def redone(out, before):
    after = times(out)
    return sorted(name for name in after if before.get(name) != after[name])


@pytest.mark.slow
def test_pictures_decide_whether_off_or_never_there(study, described_kb, tmp_path):
    path = changed(
        study,
        tmp_path,
        kb=str(described_kb),
        settings=PICTURES,
        variants=[
            {"name": "base"},
            {"name": "off", "against": "base", "test": PICTURES_OFF},
            {"name": "no", "against": "base", "retrain": PICTURES_OFF},
        ],
    )
    record = study_runs(path, tmp_path / "out", draws=1000, plot=False)
    kinds = {"off": "switched off at test", "no": "retrained"}
    for name, kind in kinds.items():
        cell = next(
            cell
            for cell in record["differences"]
            if (cell["name"], cell["metric"], cell["part"]) == (name, "top1", "all")
        )
        assert (cell["kind"], cell["against"]) == (kind, "base")
        assert cell["verdict"] == "worse" and cell["interval"][1] < 0


def test_the_answer_is_a_table_and_a_plot(done):
    out, record = done
    assert json.loads((out / "study.json").read_text()) == record
    compared = {(cell["name"], cell["against"]) for cell in record["differences"]}
    assert compared == {("off", "base"), ("no", "base")}
    assert all(cell["seeds"] == [0, 1, 2] for cell in record["differences"])
    assert "Do facts help?" in (out / "study.md").read_text()
    assert (out / "study.png").stat().st_size > 1000


def test_a_run_leaves_its_model_metrics_predictions_and_settings(done):
    folder = RunFolder(done[0], "base", 1)
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "metrics.json",
        "model",
        "predictions.jsonl",
        "run.json",
        "train.log",
    ]
    record = folder.record()
    assert record["seed"] == 1 and record["settings"]["training.seed"] == 1
    assert record["config"]["training"]["max_steps"] == 2
    measured = json.loads((folder.path / "metrics.json").read_text())
    hits = [outcome.rank == 1 for outcome in folder.outcomes()]
    assert measured["top1"] == pytest.approx(sum(hits) / len(hits))
    assert not (RunFolder(done[0], "off", 1).path / "model").exists()


@pytest.mark.filterwarnings("ignore:.*W160")
def test_seeds_make_a_difference_and_the_same_seed_makes_none(done, study, tmp_path):
    study_runs(study, tmp_path, only=["base"], seeds="1", plot=False, draws=200)
    first, again, other = (
        (RunFolder(out, "base", seed).path / "predictions.jsonl").read_text()
        for out, seed in ((done[0], 1), (tmp_path, 1), (done[0], 0))
    )
    assert first == again != other


@pytest.mark.filterwarnings("ignore:.*W160")
def test_what_is_done_is_not_done_again(out, study):
    before = times(out)
    study_runs(study, out, plot=False, draws=200)
    assert redone(out, before) == []
    study_runs(study, out, plot=False, draws=100, seeds=[0, 3], only=["off"])
    assert redone(out, before) == ["base/3", "off/3"]


@pytest.mark.filterwarnings("ignore:.*W160")
def test_what_has_other_settings_is_done_again(out, study, tmp_path):
    before = times(out)
    variants = [
        *VARIANTS[:1],
        {**VARIANTS[1], "test": {"components.dwe_linker.top_k": 3}},
        VARIANTS[2],
    ]
    other = changed(study, tmp_path, variants=variants)
    study_runs(other, out, plot=False, draws=200, seeds=[0])
    assert redone(out, before) == ["off/0"]
    before = times(out)
    variants[0] = {"name": "base", "retrain": {"training.max_steps": 3}}
    other = changed(study, tmp_path, variants=variants)
    study_runs(other, out, plot=False, draws=200, seeds=[0])
    assert redone(out, before) == ["base/0", "off/0"], (
        "with what was switched off in it"
    )


def test_a_stopped_run_leaves_nothing_that_counts(out, study, monkeypatch):
    shutil.rmtree(RunFolder(out, "off", 1).path)
    draft = RunFolder(out, "off", 1).draft
    draft.mkdir()
    (draft / "run.json").write_text("{}")

    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(study_module, "_evaluate", stop)
        study_runs(study, out, plot=False, draws=200)
    assert not draft.exists() and not RunFolder(out, "off", 1).path.exists()
    before = times(out)
    study_runs(study, out, plot=False, draws=200)
    assert redone(out, before) == ["off/1"]


@pytest.mark.filterwarnings("ignore:.*W160")
def test_a_failing_run_is_named_and_the_others_go_on(study, tmp_path):
    wrong = {"components.dwe_linker.model.head": "round"}
    variants = [
        *VARIANTS[:2],
        {"name": "wrong", "against": "base", "retrain": wrong},
        {"name": "wrong-off", "model": "wrong", "against": "base", "test": {}},
    ]
    path = changed(study, tmp_path, variants=variants)
    arguments = [str(path), str(tmp_path / "out"), "--seeds", "0"]
    arguments += ["--vars.steps", "1", "--no-plot"]
    result = CliRunner().invoke(study_app, arguments)
    assert result.exit_code == 1
    assert "E273" in result.output and "2 of 4 runs failed" in result.output
    assert "wrong, seed 0; wrong-off, seed 0" in " ".join(result.output.split())
    assert "Run 4 of 4" in result.output
    assert "E517" in (tmp_path / "out/runs/wrong/0.log").read_text()
    report = (tmp_path / "out" / "study.md").read_text()
    assert "E277" in report and "| off |" in report


def test_what_only_the_study_may_say_is_refused(study, tmp_path):
    for option in ("paths.kb", "system.seed"):
        with pytest.raises(DweError, match=f"E276.*--{option}"):
            study_runs(study, tmp_path / "out", overrides={option: 1})
    with pytest.raises(DweError, match=r"E233.*sample\.cfg.*trainings"):
        study_runs(study, tmp_path / "out", overrides={"trainings.max_steps": 1})
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("ignore:.*W160")
def test_only_the_kb_of_a_variant_that_is_run_must_be_there(study, tmp_path):
    record = json.loads(study.read_text())
    kbs = {"here": record["kb"], "gone": str(tmp_path / "no.kb")}
    variants = [{"name": "base"}, {"name": "other", "against": "base", "kb": "gone"}]
    path = changed(study, tmp_path, kb=kbs, variants=variants)
    with pytest.raises(DweError, match=r"E001.*no\.kb"):
        study_runs(path, tmp_path / "out", plot=False)
    assert not (tmp_path / "out").exists()
    study_runs(path, tmp_path / "out", only=["base"], seeds=[0], plot=False)
    assert (tmp_path / "out" / "study.md").exists()


def test_two_studies_in_one_folder_are_one_too_many(study, tmp_path):
    with (
        study_module._locked(tmp_path),
        pytest.raises(DweError, match="E274"),
    ):
        study_runs(study, tmp_path, plot=False)


def test_code_of_ones_own_is_loaded_first(study, tmp_path):
    code = tmp_path / "mine.py"
    code.write_text("raise SystemExit('mine ran')")
    arguments = [str(study), str(tmp_path / "out"), "--code", str(code)]
    result = CliRunner().invoke(study_app, arguments)
    assert result.exit_code == 1 and "mine ran" in result.output
    assert not (tmp_path / "out").exists()
