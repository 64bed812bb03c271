"""The tiny CLIP trains on CPU, loads through open_clip, and repeats with its seed."""

import json

import open_clip
import pytest
import torch

from places.clip import train_tiny_clip
from places.flags import caption, draw
from places.pairs import all_pairs
from places.photograph import photograph
from spacy_dwe.encoders.visual.banks import read_bank
from spacy_dwe.errors import DweError

PLACES = {
    "Redland": ("seen", [{"kind": "field", "color": "red"}]),
    "Greenland": ("seen", [{"kind": "field", "color": "green"}]),
    "Blueland": ("seen", [{"kind": "field", "color": "blue"}]),
    "Sunland": ("unseen", [{"kind": "field", "color": "orange"}]),
}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    path = tmp_path_factory.mktemp("places") / "places.jsonl"
    rows = [
        {
            "id": f"Q{number}",
            "title": title,
            "name": title,
            "kind": "country",
            "aliases": [],
            "clues": ["its north", "its south"],
            "description": f"{title} is hilly. {caption({'layers': layers})}",
            "flag": {"layers": layers},
            "split": split,
        }
        for number, (title, (split, layers)) in enumerate(PLACES.items(), 1)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf8")
    return path


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "model.json"
    vision = {"image_size": 32, "patch_size": 16, "width": 32, "head_width": 16}
    text = {"context_length": 32, "vocab_size": 49408, "width": 32, "heads": 2}
    model = {
        "embed_dim": 32,
        "vision_cfg": vision | {"layers": 1},
        "text_cfg": text | {"layers": 2},
    }
    preprocess = {"mean": [0.5] * 3, "std": [0.25] * 3, "resize_mode": "squash"}
    training = {"flags": 60, "batch": 24, "prose": 0.3, "rate": 0.005, "warmup": 10}
    training["pairs"] = 0.0
    path.write_text(
        json.dumps(
            {"model_cfg": model, "preprocess_cfg": preprocess, "training": training}
        )
    )
    return path


@pytest.fixture(scope="module")
def trained(places, config, tmp_path_factory):
    out = tmp_path_factory.mktemp("clip") / "tiny"
    train_tiny_clip(places, out, config=config, steps=90, seed=1, device="cpu")
    return out


def test_open_clip_loads_it_and_it_reads_colours(trained):
    name = f"local-dir:{trained}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    model.eval()
    specs = [{"layers": layers} for split, layers in PLACES.values() if split == "seen"]
    pictures = torch.stack(
        [
            preprocess(photograph(draw(spec), seed))
            for seed in range(8)
            for spec in specs
        ]
    )
    texts = [
        f"The flag shows a plain {spec['layers'][0]['color']} field." for spec in specs
    ]
    with torch.no_grad():
        image = model.encode_image(pictures, normalize=True)
        text = model.encode_text(open_clip.get_tokenizer(name)(texts), normalize=True)
    right = (image @ text.T).argmax(dim=-1) == torch.arange(len(specs)).repeat(8)
    assert right.float().mean() > 0.6


def test_its_words_for_flags_lie_beside_it(trained):
    bank = read_bank(trained / "pairs.json")
    assert [entry.words for entry in bank.entries] == all_pairs()


def test_pairs_are_learned_where_they_are_asked_for(places, config, tmp_path):
    options = {"config": config, "steps": 2, "seed": 4, "device": "cpu"}
    weights = []
    for weight in (0.0, 2.0):
        out = tmp_path / str(weight)
        train_tiny_clip(places, out, pairs=weight, **options)
        weights.append((out / "open_clip_model.safetensors").read_bytes())
    assert weights[0] != weights[1]


def test_same_seed_same_weights(places, config, tmp_path):
    weights = []
    for run in ("one", "two"):
        train_tiny_clip(
            places, tmp_path / run, config=config, steps=3, seed=4, device="cpu"
        )
        weights.append((tmp_path / run / "open_clip_model.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_training_uses_the_same_text_tower_as_open_clip(trained):
    from places.clip import _encode_texts

    model = open_clip.create_model(f"local-dir:{trained}").eval()
    tokens = open_clip.get_tokenizer(f"local-dir:{trained}")(
        ["a red cross", "three horizontal stripes of blue, white and red", ""]
    )
    with torch.no_grad():
        assert torch.allclose(
            _encode_texts(model, tokens), model.encode_text(tokens), atol=1e-5
        )


def test_bad_input_is_named(places, config, tmp_path):
    with pytest.raises(DweError, match=r"File not found: .*nowhere"):
        train_tiny_clip(tmp_path / "nowhere.jsonl", tmp_path, config=config, steps=1)
    broken = tmp_path / "broken.json"
    broken.write_text('{"model_cfg": {"embed_dim": 3}}')
    with pytest.raises(DweError, match=r"broken\.json: not an open_clip model config"):
        train_tiny_clip(places, tmp_path, config=broken, steps=1)
