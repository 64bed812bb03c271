"""spaCy's own commands, on the shipped configs and on what they make."""

import json
from pathlib import Path

import pytest
import spacy
from spacy.cli import app
from spacy.tokens import DocBin
from spacy.util import load_config
from tiny_world import PLACES
from typer.testing import CliRunner

from spacy_dwe.cli.convert import convert
from spacy_dwe.errors import DweError

CONFIGS = Path(__file__).parent.parent / "configs"
SHIPPED = sorted(path.name for path in CONFIGS.glob("*.cfg"))


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
    settings = {
        "paths.train": folder / "train.jsonl",
        "paths.dev": folder / "dev.spacy",
        "paths.kb": described_kb,
        "components.dwe_linker.model.width": 32,
        "components.dwe_linker.model.n_heads": 2,
        "components.dwe_linker.model.ffn_width": 32,
        "components.dwe_linker.model.dropout": 0,
        "training.optimizer.learn_rate.initial_rate": 0.005,
        "training.optimizer.learn_rate.warmup_steps": 5,
        "training.max_steps": 80,
        "training.eval_frequency": 20,
        "training.logger.progress_bar": "null",
        "training.logger.output_file": folder / "log.jsonl",
    }
    overrides = [part for k, v in settings.items() for part in (f"--{k}", v)]
    done = succeed("train", CONFIGS / "default.cfg", "-o", folder / "out", *overrides)
    (folder / "stdout").write_text(done.stdout)
    return folder / "out"


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
    assert done.exit_code != 0
    with pytest.raises(DweError, match=r"nothing\.jsonl"):
        raise done.exception


@pytest.mark.parametrize("given, missing", [("kb", "E520"), ("train", "E521")])
def test_a_path_that_was_not_given_is_asked_for(folder, described_kb, given, missing):
    path = {"kb": described_kb, "train": folder / "train.jsonl"}[given]
    done = run("train", CONFIGS / "default.cfg", f"--paths.{given}", path)
    with pytest.raises(DweError, match=missing):
        raise done.exception


@pytest.mark.parametrize("workflow", ["all", "richpedia", "wikimel", "wikidiverse"])
def test_every_workflow_of_the_project_can_be_read(workflow):
    """Variables may break what holds them: only a run interpolates them."""
    printed = succeed(
        "project", "run", workflow, CONFIGS.parent, "--force", "--dry"
    ).output
    assert "Running command" in printed
    assert "${" not in printed
