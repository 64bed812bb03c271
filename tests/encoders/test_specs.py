"""Paths in config blocks, of a KB that may be moved."""

import pytest

from spacy_dwe.encoders.registry import (
    CLIP,
    PICTURE,
    TEXT,
    clip_encoder,
    encoder_from_spec,
    encoder_paths,
    picture_encoder,
    spec_from,
    spec_inside,
    text_encoder,
)


@pytest.fixture
def kb(tmp_path):
    folder = tmp_path / "my.kb"
    (folder / "encoders" / "bert").mkdir(parents=True)
    (folder / "encoders" / "weights.pt").touch()
    return folder


@pytest.fixture(params=["text", "clip folder", "clip weights", "pictures", "folder"])
def specs(request, kb):
    """A config block with a path inside the KB, and the same as the KB keeps it."""
    inside = kb / "encoders"
    if request.param == "text":
        spec = text_encoder(str(inside / "bert"), max_tokens=7).spec
        return spec, {**spec, "name": "kb:encoders/bert"}
    if request.param == "clip folder":
        spec = clip_encoder(f"local-dir:{inside / 'bert'}").spec
        return spec, {**spec, "model": "local-dir:kb:encoders/bert"}
    if request.param == "pictures":
        spec = picture_encoder("timm:resnet18", str(inside / "weights.pt")).spec
        return spec, {**spec, "weights": "kb:encoders/weights.pt"}
    if request.param == "folder":
        name, weights = f"timm:local-dir:{inside / 'bert'}", str(inside / "weights.pt")
        kept = {"name": "timm:local-dir:kb:encoders/bert"}
        spec = picture_encoder(name, weights).spec
        return spec, {**spec, **kept, "weights": "kb:encoders/weights.pt"}
    spec = clip_encoder("ViT-B-32", str(inside / "weights.pt")).spec
    return spec, {**spec, "pretrained": "kb:encoders/weights.pt"}


def test_a_path_inside_moves_with_the_kb(specs, kb, tmp_path):
    outside, inside = specs
    assert spec_inside(outside, kb) == inside
    assert spec_from(inside, kb) == outside
    assert encoder_from_spec(inside, base=kb).spec == outside
    kb.rename(tmp_path / "moved.kb")
    paths = encoder_paths(inside, tmp_path / "moved.kb").values()
    assert all(path.is_relative_to(tmp_path / "moved.kb") for path in paths)
    assert paths
    assert all(path.exists() for path in paths)


@pytest.mark.parametrize(
    "spec",
    [
        {"@misc": TEXT, "name": "org/sentences", "pooling": None},
        {"@misc": CLIP, "model": "ViT-B-32", "pretrained": "openai"},
        {"@misc": CLIP, "model": "hf-hub:org/clip", "pretrained": None},
        {"@misc": PICTURE, "name": "timm:resnet18", "weights": "a1_in1k"},
        {"@misc": PICTURE, "name": "timm:hf-hub:org/vit"},
        {"@misc": PICTURE, "name": "transformers:org/dino", "weights": None},
        {"@misc": "someone.Else.v1"},
    ],
)
def test_names_are_no_paths(spec, kb):
    assert encoder_paths(spec, kb) == {}
    assert spec_inside(spec, kb) == spec_from(spec, kb) == spec


def test_other_paths_stay(kb, tmp_path):
    spec = {"@misc": TEXT, "name": str(tmp_path / "gone")}
    assert encoder_paths(spec, kb) == {"name": tmp_path / "gone"}
    assert spec_inside(spec, kb) == spec_from(spec, kb) == spec
