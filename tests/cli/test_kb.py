import json
import os
import signal
import subprocess
import sys

import pytest
import timm
import torch
from PIL import Image
from small_encoders import Colours
from typer.testing import CliRunner

from spacy_dwe.building.build import build_kb
from spacy_dwe.cli.kb import kb_cli
from spacy_dwe.kb.entity import Alias, Entity, write_entities
from spacy_dwe.kb.knowledge_base import DweKnowledgeBase
from spacy_dwe.kb.vectors.sets import DESCRIPTIONS_IN_CLIP, PICTURES

ENTITIES = [
    Entity("Q230", "Georgia", "Country in the Caucasus. " * 9, (Alias("GE", 0.5),)),
    Entity("Q1428", "Georgia", "State of the United States."),
    Entity("Q994", "Tbilisi"),
]


@pytest.fixture
def folder(tmp_path):
    write_entities(tmp_path / "entities.jsonl", ENTITIES)
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(kb_cli, [str(argument) for argument in arguments])


def failure(result):
    """The only line of a command that failed."""
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    lines = result.stderr.strip().splitlines()
    return lines[-1]


def test_build_info_and_search(folder):
    result = run("build", folder / "entities.jsonl", folder / "places.kb")
    assert result.exit_code == 0, result.output
    # The path before it may break the line.
    assert "3 entities, 4 names" in " ".join(result.output.split())
    assert list(DweKnowledgeBase(folder / "places.kb")) == ENTITIES

    result = run("info", folder / "places.kb")
    assert result.exit_code == 0
    assert "entities" in result.output

    result = run("info", folder / "places.kb", "--json")
    info = json.loads(result.stdout)
    assert (info["entities"], info["names"], info["descriptions"]) == (3, 4, 2)
    assert info["priors"] is True
    assert info["vectors"] == {}

    result = run("search", folder / "places.kb", "the", "georgia", "-n", 1)
    assert result.exit_code == 0
    assert "Q1428" in result.output
    assert "Q230" not in result.output
    assert "Q230" in run("search", folder / "places.kb", "georgia").output
    assert "Q994" in run("search", folder / "places.kb", "Tbillisi").output
    assert "Nothing in" in run("search", folder / "places.kb", "zzz").output


def test_search_shows_as_many_as_asked_for(tmp_path):
    build_kb([Entity(f"Q{i}", f"Georgia {i}") for i in range(150)], tmp_path / "kb")
    output = run("search", tmp_path / "kb", "georgia", "-n", 140).output
    assert output.count("Georgia") == 140


def test_info_shows_encoders(folder, tmp_path):
    class Encoder:
        spec = {"@misc": "x", "model": "ViT-X", "pretrained": "tag"}  # noqa: RUF012
        fingerprint = "0f1e2d"
        dim = 2

        def encode_texts(self, texts, progress=None):
            import numpy as np

            return np.tile(np.float32([1, 0]), (len(texts), 1))

    build_kb(ENTITIES, folder / "kb", text_encoder=Encoder())
    output = run("info", folder / "kb").output
    assert "description@text" in output
    assert "ViT-X (tag)" in output
    assert "0f1e2d" in output


def test_an_existing_kb_needs_overwrite(folder):
    arguments = ("build", folder / "entities.jsonl", folder / "places.kb")
    assert run(*arguments).exit_code == 0
    assert "--overwrite" in failure(run(*arguments))
    assert run(*arguments, "--overwrite").exit_code == 0


@pytest.mark.parametrize("command", ["info", "search"])
def test_no_kb(folder, command):
    words = ("x",) if command == "search" else ()
    assert "none.kb" in failure(run(command, folder / "none.kb", *words))
    assert "is no KnowledgeBase" in failure(run(command, folder, *words))


def test_bad_entities_name_file_and_line(folder):
    path = folder / "bad.jsonl"
    path.write_text('{"id": "Q1", "title": "A"}\n{"id": "Q2"}\n', encoding="utf-8")
    message = failure(run("build", path, folder / "bad.kb"))
    assert f"{path}, line 2" in message
    assert '"title" is missing' in message
    assert "File not found" in failure(run("build", folder / "no.jsonl", folder / "kb"))
    assert sorted(p.name for p in folder.iterdir()) == ["bad.jsonl", "entities.jsonl"]


def test_unknown_encoders_are_one_line(folder):
    arguments = ("build", folder / "entities.jsonl", folder / "places.kb")
    message = failure(run(*arguments, "--clip", "ViT-Nope", "--clip-weights", "tag"))
    assert "ViT-Nope" in message
    message = failure(run(*arguments, "--text-encoder", folder / "nothing"))
    assert "nothing" in message
    assert "--clip" in failure(run(*arguments, "--clip-weights", "openai"))
    assert not (folder / "places.kb").exists()


@pytest.fixture
def tiny_clip(tmp_path):
    """An untrained CLIP in open_clip's own folder layout."""
    import open_clip
    from safetensors.torch import save_file

    config = {
        "embed_dim": 16,
        "vision_cfg": {
            "image_size": 32,
            "layers": 1,
            "width": 32,
            "patch_size": 16,
            "head_width": 16,
        },
        "text_cfg": {
            "context_length": 24,
            "vocab_size": 49408,
            "width": 16,
            "heads": 2,
            "layers": 1,
        },
    }
    folder = tmp_path / "tiny-clip"
    folder.mkdir()
    model = open_clip.model.CLIP(**config)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    text = json.dumps({"model_cfg": config, "preprocess_cfg": {}})
    (folder / "open_clip_config.json").write_text(text, encoding="utf-8")
    return folder


def test_build_with_clip_and_pictures(folder, tiny_clip, monkeypatch):
    (folder / "flags").mkdir()
    Image.new("RGB", (40, 20), "red").save(folder / "flags" / "ge.png")
    entities = [
        Entity("Q230", "Georgia", "Country.", images=("flags/ge.png",)),
        Entity("Q1428", "Georgia", "State.", images=("flags/none.png",)),
    ]
    write_entities(folder / "flags.jsonl", entities)
    monkeypatch.chdir(folder)
    result = run(
        *("build", "flags.jsonl", "flags.kb", "--device", "cpu"),
        *("--clip", "local-dir:tiny-clip"),
    )
    assert result.exit_code == 0, result.output
    [warning] = [line for line in result.stderr.splitlines() if "W100" in line]
    assert "flags/none.png of entity Q1428" in warning
    kb = DweKnowledgeBase(folder / "flags.kb")
    assert sorted(kb.vector_sets) == [DESCRIPTIONS_IN_CLIP, PICTURES]
    assert kb.vector_sets[PICTURES].offsets.tolist() == [0, 1, 1]
    # The folder is found again from anywhere.
    assert kb.vector_sets[PICTURES].spec["model"] == f"local-dir:{tiny_clip}"


@pytest.fixture
def pictured(folder, monkeypatch):
    """A folder to be in, with pictured entities and weights of two image models."""
    monkeypatch.chdir(folder)
    for colour in ("red", "blue"):
        Image.new("RGB", (40, 20), colour).save(f"{colour}.png")
    entities = [Entity(c, c.title(), images=(f"{c}.png",)) for c in ("red", "blue")]
    write_entities("pictured.jsonl", entities)
    for name in ("test_efficientnet", "test_vit"):
        torch.save(timm.create_model(name).state_dict(), f"{name}.pth")
    return folder


def test_build_with_picture_encoders(pictured):
    result = run(
        *("build", "pictured.jsonl", "pictured.kb", "--device", "cpu"),
        *("--picture-encoder", "timm:test_efficientnet"),
        *("--picture-weights", "test_efficientnet.pth"),
        *("--picture-encoder", "vit=timm:test_vit"),
        *("--picture-weights", "vit=test_vit.pth"),
    )
    assert result.exit_code == 0, result.output
    kb = DweKnowledgeBase(pictured / "pictured.kb")
    sets = {str(name): vectors for name, vectors in kb.vector_sets.items()}
    assert {name: s.dim for name, s in sets.items()} == {
        "image@pictures": 256,
        "image@vit": 64,
    }
    # The weights are found again from anywhere.
    own = str(pictured / "test_vit.pth")
    assert sets["image@vit"].spec["weights"] == own
    shown = " ".join(run("info", pictured / "pictured.kb").output.split())
    assert f"timm:test_vit ({own})" in shown


def test_build_with_a_registered_picture_encoder(pictured):
    """`small_encoders` has registered it, as --code does."""
    options = ("--device", "cpu", "--picture-encoder", "tests.Colours.v1")
    result = run("build", "pictured.jsonl", "pictured.kb", *options)
    assert result.exit_code == 0, result.output
    (vectors,) = DweKnowledgeBase(pictured / "pictured.kb").vector_sets.values()
    assert (str(vectors.name), vectors.dim) == ("image@pictures", Colours.dim)
    weights = ("--picture-weights", "test_vit.pth")
    assert "E225" in failure(
        run("build", "pictured.jsonl", "p.kb", *options, *weights)
    ), "it takes none"


@pytest.mark.parametrize(
    "options, message",
    [
        (["--picture-weights", "test_vit.pth"], "--picture-encoder"),
        (
            ["--picture-encoder", "timm:test_vit", "--picture-weights", "vit=a.pth"],
            "--picture-encoder vit=NAME",
        ),
        (["--picture-encoder", "timm:test_vit"] * 2, "E246"),
        (["--picture-weights", "a.pth", "--picture-weights", "b.pth"], "b.pth"),
        (["--picture-encoder", "text=timm:test_vit"], "E186"),
        (
            [
                *("--picture-encoder", "timm:test_vit"),
                *("--picture-weights", "test_efficientnet.pth"),
            ],
            "E243",
        ),
    ],
)
def test_picture_encoders_that_do_not_go_together(pictured, options, message):
    result = run("build", "pictured.jsonl", "p.kb", "--device", "cpu", *options)
    assert message in failure(result)
    assert not (pictured / "p.kb").exists()


def test_a_stopped_build_leaves_nothing(folder):
    """Ctrl-C in the middle."""
    many = folder / "many.jsonl"
    write_entities(many, [Entity(f"Q{i}", f"Name {i}") for i in range(40_000)])
    code = "from spacy_dwe.cli.kb import kb_cli; kb_cli()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "build", str(many), str(folder / "stopped.kb")],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    ) as process:
        while b"entities/s" not in process.stderr.read1(1000):
            assert process.poll() is None
        os.kill(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    assert sorted(path.name for path in folder.iterdir()) == [
        "entities.jsonl",
        "many.jsonl",
    ]
