"""Paths in config blocks, of a KB that may be moved."""

import pytest

from spacy_dwe.encoders.registry import (
    CLIP,
    TEXT,
    clip_encoder,
    encoder_from_spec,
    encoder_path,
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


@pytest.fixture(params=["text", "clip folder", "clip weights"])
def specs(request, kb):
    """A config block with a path inside the KB, and the same as the KB keeps it."""
    inside = kb / "encoders"
    if request.param == "text":
        spec = text_encoder(str(inside / "bert"), max_tokens=7).spec
        return spec, {**spec, "name": "kb:encoders/bert"}
    if request.param == "clip folder":
        spec = clip_encoder(f"local-dir:{inside / 'bert'}").spec
        return spec, {**spec, "model": "local-dir:kb:encoders/bert"}
    spec = clip_encoder("ViT-B-32", str(inside / "weights.pt")).spec
    return spec, {**spec, "pretrained": "kb:encoders/weights.pt"}


def test_a_path_inside_moves_with_the_kb(specs, kb, tmp_path):
    outside, inside = specs
    assert spec_inside(outside, kb) == inside
    assert spec_from(inside, kb) == outside
    assert encoder_from_spec(inside, base=kb).spec == outside
    kb.rename(tmp_path / "moved.kb")
    path = encoder_path(inside, tmp_path / "moved.kb")
    assert path.is_relative_to(tmp_path / "moved.kb")
    assert path.exists()


@pytest.mark.parametrize(
    "spec",
    [
        {"@misc": TEXT, "name": "org/sentences", "pooling": None},
        {"@misc": CLIP, "model": "ViT-B-32", "pretrained": "openai"},
        {"@misc": CLIP, "model": "hf-hub:org/clip", "pretrained": None},
        {"@misc": "someone.Else.v1"},
    ],
)
def test_names_are_no_paths(spec, kb):
    assert encoder_path(spec, kb) is None
    assert spec_inside(spec, kb) == spec_from(spec, kb) == spec


def test_other_paths_stay(kb, tmp_path):
    spec = {"@misc": TEXT, "name": str(tmp_path / "gone")}
    assert encoder_path(spec, kb) == tmp_path / "gone"
    assert spec_inside(spec, kb) == spec_from(spec, kb) == spec
