"""Patch vectors: from the same pass as the picture's own, and in the right place."""

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import clip_config, save_clip

from spacy_dwe.encoders.clip import ClipEncoder
from spacy_dwe.encoders.visual.extractor import VisualExtractor
from spacy_dwe.encoders.visual.objects import PatchRegions

RESNET = {"layers": [1, 1, 1, 1], "width": 8, "image_size": 32, "head_width": 64}


def pictures(n, size=(40, 40)):
    rng = np.random.default_rng(0)
    shape = (n, size[1], size[0], 3)
    return [Image.fromarray(p) for p in rng.integers(0, 256, shape, dtype=np.uint8)]


def saved(folder, preprocess=None, **vision):
    config = clip_config("clip")
    config["vision_cfg"] |= vision
    save_clip(folder, config)
    if preprocess:
        path = folder / "open_clip_config.json"
        text = path.read_text().replace(
            '"preprocess_cfg": {}', f'"preprocess_cfg": {preprocess}'
        )
        path.write_text(text)
    return ClipEncoder({"model": f"local-dir:{folder}"}, device="cpu", batch_size=8)


@pytest.mark.parametrize("kind", ["clip", "custom_text", "coca"])
def test_one_pass_gives_the_picture_and_its_patches(clip, kind):
    encoder = clip(kind)
    batch = encoder.encode_pictures(pictures(3))
    assert encoder.has_patches
    np.testing.assert_allclose(
        batch.pooled, encoder.encode_images(pictures(3)), atol=1e-5
    )
    assert batch.patches.shape == (3, 4, 4, encoder.dim)
    assert batch.blank.shape == (4, 4, encoder.dim)
    lengths = batch.patches.norm(dim=-1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))
    alone = encoder.encode_pictures(pictures(3)[1:2]).patches[0]
    torch.testing.assert_close(batch.patches[1], alone, atol=1e-5, rtol=0)


def test_the_patches_of_an_averaging_tower_average_to_the_picture(tmp_path):
    encoder = saved(tmp_path / "avg", pool_type="avg")
    reader, pixels = encoder._patches, encoder._pixels(pictures(2))
    with torch.inference_mode():
        pooled = encoder._model.encode_image(pixels)
        states = encoder._model.visual._embeds(pixels)
        patches = reader._read(encoder._model.visual.transformer(states))
    torch.testing.assert_close(patches.mean(dim=1), pooled, atol=1e-5, rtol=0)


def test_a_patch_tells_of_its_own_place(clip):
    """Changing one corner of a picture changes the patch there more than others."""
    encoder = clip("clip")
    before = Image.new("RGB", (32, 32), "grey")
    after = before.copy()
    after.paste((255, 0, 0), (24, 0, 32, 8))
    patches = encoder.encode_pictures([before, after]).patches
    change = (patches[0] - patches[1]).norm(dim=-1)
    assert change.argmax() == 3  # first row, last column


def test_a_tower_without_patches_says_so(tmp_path):
    encoder = saved(tmp_path / "resnet", **RESNET)
    batch = encoder.encode_pictures(pictures(2))
    assert not encoder.has_patches
    assert batch.patches is None and batch.blank is None
    assert batch.pooled.shape == (2, encoder.dim)


@pytest.mark.parametrize(
    "mode, size, view",
    [
        ("shortest", (100, 60), (20, 0, 80, 60)),
        ("squash", (100, 60), (0, 0, 100, 60)),
        ("longest", (100, 60), (0, -20, 100, 80)),
        ("squash", (3, 10_000), (0, 4976, 3, 5024)),
    ],
)
def test_the_view_is_what_the_tower_sees(tmp_path, mode, size, view):
    encoder = saved(tmp_path / "clip", preprocess=f'{{"resize_mode": "{mode}"}}')
    (found,) = encoder.encode_pictures([Image.new("RGB", size)]).views
    assert found == view


TIMM = {
    "timm_model_name": "test_vit",
    "timm_model_pretrained": False,
    "timm_proj": "none",
    "image_size": 160,
}


@pytest.fixture(scope="module")
def siglip(tmp_path_factory):
    """As SigLIP has it: a ViT of timm that pools by attention."""
    config = clip_config("siglip")
    config |= {"embed_dim": 64, "vision_cfg": {**TIMM, "timm_pool": "map"}}
    return ClipEncoder(
        {"model": f"local-dir:{save_clip(tmp_path_factory.mktemp('s') / 'c', config)}"},
        device="cpu",
    )


def test_a_tower_of_timm_has_patches_too(siglip):
    images = pictures(2, (160, 160))
    batch = siglip.encode_pictures(images)
    np.testing.assert_allclose(batch.pooled, siglip.encode_images(images), atol=1e-5)
    assert batch.patches.shape == (2, 10, 10, 64)
    lengths = batch.patches.norm(dim=-1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))


def test_a_patch_of_timm_is_what_the_pool_says_of_it_alone(siglip):
    """Where all tokens are one token, the pool has nothing to choose from."""
    trunk = siglip._model.visual.trunk
    token = torch.randn(1, 1, trunk.embed_dim)
    with torch.inference_mode():
        states = token.expand(1, 1 + 100, -1)
        pooled = siglip._model.visual.head(trunk.forward_head(trunk.norm(states)))
        patches = siglip._patches._read(trunk.norm(states))
    torch.testing.assert_close(patches[0, 0], pooled[0], atol=1e-5, rtol=0)


def test_a_tower_of_timm_that_pools_otherwise_is_asked_about_crops(tmp_path):
    config = clip_config("siglip")
    config |= {"embed_dim": 64, "vision_cfg": {**TIMM, "timm_pool": "avg"}}
    folder = save_clip(tmp_path / "clip", config)
    encoder = ClipEncoder({"model": f"local-dir:{folder}"}, device="cpu")
    assert not encoder.has_patches
    image = Image.new("RGB", (160, 160), "white")
    image.paste((200, 0, 0), (40, 40, 110, 110))
    (seen,) = VisualExtractor(PatchRegions(min_score=0.0))(encoder, [image])
    assert seen.regions
