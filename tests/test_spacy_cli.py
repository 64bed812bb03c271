"""spaCy's own commands, on the shipped configs and on what they make."""

import json
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.cli import app
from spacy.cli.train import train as train_function
from spacy.tokens import DocBin
from spacy.util import load_config
from tiny_world import PLACES
from typer.testing import CliRunner

from spacy_dwe.cli.convert import convert
from spacy_dwe.errors import DweError

CONFIGS = Path(__file__).parent.parent / "configs"
CONTINUE = CONFIGS / "continue.cfg"
SHIPPED = sorted(path.name for path in CONFIGS.glob("*.cfg") if path != CONTINUE)
WORKFLOWS = sorted(srsly.read_yaml(CONFIGS.parent / "project.yml")["workflows"])


def run(*arguments):
    """As `python -m spacy …`, without starting Python again."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def succeed(*arguments):
    done = run(*arguments)
    if done.exception is not None:
        raise done.exception
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory, picture):
    """Documents to train and evaluate on."""
    folder = tmp_path_factory.mktemp("documents")
    for split, shade in (("train", 0), ("dev", 1)):
        with (folder / f"{split}.jsonl").open("w") as file:
            for name, colour in PLACES:
                text = f"We saw {name} again."
                gold = {"start": 7, "end": 7 + len(name), "kb_id": f"{name}-{colour}"}
                images = [picture(colour, shade)]
                record = {"text": text, "images": images, "mentions": [gold]}
                file.write(json.dumps({"id": f"{name}-{colour}", **record}) + "\n")
    convert("docbin", folder / "dev.jsonl", folder / "dev.spacy")
    return folder


@pytest.fixture(scope="module")
def models(folder, described_kb):
    """What `spacy train` leaves behind, on the default config."""
    small = {
        "paths.kb": described_kb,
        "components.dwe_linker.model.width": 32,
        "components.dwe_linker.model.n_heads": 2,
        "components.dwe_linker.model.ffn_width": 32,
        "components.dwe_linker.model.dropout": 0,
        "training.optimizer.learn_rate.warmup_steps": 5,
        "training.max_steps": 80,
    }
    done = train(folder, CONFIGS / "default.cfg", folder / "out", small)
    assert "TOP-1" in done.stdout and "M/S" in done.stdout
    return folder / "out"


def train(folder, config, out, settings):
    settings = {
        "paths.train": folder / "train.jsonl",
        "paths.dev": folder / "dev.spacy",
        "training.optimizer.learn_rate.initial_rate": 0.005,
        "training.eval_frequency": 20,
        "training.logger.progress_bar": "null",
        "training.logger.output_file": out.with_suffix(".jsonl"),
        **settings,
    }
    overrides = [part for k, v in settings.items() for part in (f"--{k}", v)]
    return succeed("train", config, "-o", out, *overrides)


def log_of(out):
    lines = out.with_suffix(".jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def performance(model):
    return json.loads((model / "meta.json").read_text())["performance"]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_configs_leave_nothing_to_fill(name, tmp_path):
    filled = tmp_path / "filled.cfg"
    succeed("init", "fill-config", CONFIGS / name, filled)
    shipped = load_config(CONFIGS / name, interpolate=False)
    assert load_config(filled, interpolate=False) == shipped


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_configs_are_valid(name):
    assert "Config is valid" in succeed("debug", "config", CONFIGS / name).stdout


def test_training_learns_and_keeps_the_best(models):
    best, last = performance(models / "model-best"), performance(models / "model-last")
    assert best["nel_top1"] >= last["nel_top1"]
    assert best["nel_top1"] > 0.8
    assert {"nel_mrr", "nel_micro_f", "dwe_linker_loss"} <= best.keys()
    scores = [evaluation["scores"]["nel_top1"] for evaluation in log_of(models)]
    assert 100 * best["nel_top1"] == pytest.approx(max(scores))


def test_only_model_last_can_be_continued(models):
    states = [path.parent.parent.name for path in models.rglob("optimizer*")]
    assert states == ["model-last"]


@pytest.fixture(scope="module")
def worse(models, folder):
    """Continued from a model that knows it all, on labels that are wrong."""
    out = folder / "worse"
    documents = folder / "wrong.jsonl"
    lines = (folder / "train.jsonl").read_text()
    swapped = lines.replace("-red.", "-").replace("-red", "-x")
    swapped = swapped.replace("-blue", "-red").replace("-x", "-blue")
    documents.write_text(swapped)
    settings = {
        "paths.source": models / "model-last",
        "paths.train": documents,
        "training.patience": 20,
        "training.eval_frequency": 10,
    }
    train(folder, CONTINUE, out, settings)
    return out


def test_continuing_goes_on_from_the_weights(models, worse):
    first, last = log_of(worse)[0], log_of(models)[-1]
    assert first["scores"]["nel_top1"] >= last["scores"]["nel_top1"] - 10 > 70


def test_patience_stops_a_run_that_gets_no_better(worse):
    log = log_of(worse)
    assert [evaluation["step"] for evaluation in log] == [0, 10, 20]
    assert log[-1]["score"] < log[0]["score"]


def test_what_was_best_before_it_got_worse_is_kept(worse, folder):
    best, last = performance(worse / "model-best"), performance(worse / "model-last")
    assert 100 * best["nel_top1"] == pytest.approx(log_of(worse)[0]["score"] * 100)
    assert best["nel_top1"] > last["nel_top1"]


def test_the_same_seed_gives_the_same_weights(models, folder, tmp_path):
    """Bit for bit, moments included."""
    made = []
    for name, seed, parts in (("a", 7, 1), ("b", 7, 1), ("c", 8, 1), ("d", 7, 2)):
        settings = {
            "paths.source": models / "model-last",
            "training.max_steps": 3,
            "system.seed": seed,
            "training.accumulate_gradient": parts,
        }
        train(folder, CONTINUE, tmp_path / name, settings)
        files = sorted((tmp_path / name / "model-last" / "dwe_linker").iterdir())
        made.append([path.read_bytes() for path in files if path.name != "cfg"])
    assert made[0] == made[1]
    assert made[0] != made[2]
    assert made[0] != made[3], "accumulated gradients are of other batches"


def test_a_recogniser_that_does_not_annotate_is_told_of_once(
    models, folder, described_kb, tmp_path
):
    recogniser = spacy.blank("en")
    ruler = recogniser.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "PLACE", "pattern": name} for name, _ in PLACES])
    recogniser.to_disk(tmp_path / "recogniser")
    config = load_config(CONFIGS / "default.cfg")
    config["nlp"]["pipeline"] = ["entity_ruler", "dwe_linker"]
    config["components"]["entity_ruler"] = {"source": str(tmp_path / "recogniser")}
    config["components"]["dwe_linker"]["use_gold_ents"] = False
    config["training"]["frozen_components"] = ["entity_ruler"]
    config.to_disk(tmp_path / "train.cfg")
    small = {"paths.kb": described_kb, "training.max_steps": 60}
    small["components.dwe_linker.model.width"] = 32
    small["training.eval_frequency"] = 100
    with pytest.warns(UserWarning, match=r"W500.*annotating_components") as told:
        train(folder, tmp_path / "train.cfg", tmp_path / "missed", small)
    assert len([w for w in told if "DWE-W" in str(w.message)]) == 1
    small["training.annotating_components"] = '["entity_ruler"]'
    train(folder, tmp_path / "train.cfg", tmp_path / "found", small)
    assert log_of(tmp_path / "found")[0]["losses"]["dwe_linker"] > 0


def test_evaluate_agrees_with_training(models, folder, tmp_path):
    best = models / "model-best"
    output = tmp_path / "metrics.json"
    succeed("evaluate", best, folder / "dev.spacy", "--output", output)
    measured = json.loads(output.read_text())
    assert measured["nel_top1"] == pytest.approx(performance(best)["nel_top1"])


def test_apply_links_the_mentions_of_a_docbin(models, folder, tmp_path):
    best = models / "model-best"
    succeed("apply", best, folder / "dev.spacy", tmp_path / "linked.spacy")
    vocab = spacy.blank("en").vocab
    linked = list(DocBin().from_disk(tmp_path / "linked.spacy").get_docs(vocab))
    golds = list(DocBin().from_disk(folder / "dev.spacy").get_docs(vocab))
    assert len(linked) == len(golds) == len(PLACES)
    hits = [a.ents[0].kb_id_ == b.ents[0].kb_id_ for a, b in zip(linked, golds)]
    assert sum(hits) / len(hits) == performance(best)["nel_top1"]
    assert linked[0].ents[0]._.kb_candidates[0].id == linked[0].ents[0].kb_id_


# spaCy leaves files open here.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_package_requires_this_one(models, tmp_path):
    succeed("package", models / "model-best", tmp_path, "--build", "none", "-n", "toy")
    (meta,) = tmp_path.glob("*/meta.json")
    requirements = json.loads(meta.read_text())["requirements"]
    assert any(line.startswith("spacy-dwe") for line in requirements)
    assert next(meta.parent.rglob("model.safetensors")).stat().st_size > 0


@pytest.mark.parametrize("missing", ["train", "dev", "kb"])
def test_a_wrong_path_is_named(folder, described_kb, missing):
    paths = {"train": folder / "train.jsonl", "dev": folder / "dev.jsonl"}
    paths |= {"kb": described_kb, missing: folder / "nothing.jsonl"}
    overrides = [part for k, v in paths.items() for part in (f"--paths.{k}", v)]
    done = run("train", CONFIGS / "default.cfg", *overrides)
    assert done.exit_code == 1
    (line,) = done.stderr.strip().splitlines()
    assert "[DWE-E" in line and "nothing.jsonl" in line


@pytest.mark.parametrize("given, missing", [("kb", "E520"), ("train", "E521")])
def test_a_path_that_was_not_given_is_asked_for(folder, described_kb, given, missing):
    path = {"kb": described_kb, "train": folder / "train.jsonl"}[given]
    done = run("train", CONFIGS / "default.cfg", f"--paths.{given}", path)
    assert done.exit_code == 1
    assert missing in done.stderr and "Traceback" not in done.output


def test_a_function_of_spacy_raises_the_error():
    """One line is for the terminal; a program catches what was raised."""
    with pytest.raises(DweError, match="E520"):
        train_function(CONFIGS / "default.cfg")


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_every_workflow_of_the_project_can_be_read(workflow):
    """Variables may break what holds them: only a run interpolates them."""
    printed = succeed(
        "project", "run", workflow, CONFIGS.parent, "--force", "--dry"
    ).output
    assert "Running command" in printed
    assert "${" not in printed
