"""Photographs of flags differ by their seeds and still show their flags."""

import numpy as np
import pytest
import torch
from PIL import Image

from places.flags import draw
from places.photograph import photograph, shoot

JAPAN = {
    "layers": [{"kind": "field", "color": "white"}, {"kind": "disc", "color": "red"}]
}


def test_a_seed_gives_the_same_picture_again():
    flag = draw(JAPAN)
    one, two, other = (photograph(flag, seed) for seed in (7, 7, 8))
    assert one.tobytes() == two.tobytes()
    assert one.tobytes() != other.tobytes()


def test_a_picture_has_the_size_asked_for_and_carries_no_metadata(tmp_path):
    picture = photograph(draw(JAPAN), seed=123456, size=(200, 150))
    assert (picture.size, picture.mode) == ((200, 150), "RGB")
    picture.save(tmp_path / "picture.jpg")
    with Image.open(tmp_path / "picture.jpg") as saved:
        assert not saved.getexif()
        assert b"123456" not in (tmp_path / "picture.jpg").read_bytes()


@pytest.mark.parametrize("seed", range(12))
def test_the_flag_stays_in_the_middle(seed):
    pixels = np.asarray(photograph(draw(JAPAN), seed), dtype=float)
    middle = pixels[40:56, 56:72].mean(axis=(0, 1))
    assert middle[0] > 1.5 * middle[1:].max()


def test_a_whole_batch_is_photographed_at_once():
    flags, ratios = torch.rand(5, 3, 32, 48), torch.full((5,), 1.5)
    pictures = shoot(flags, ratios, (48, 64), torch.Generator().manual_seed(1))
    assert pictures.shape == (5, 3, 48, 64)
    assert pictures.min() >= 0 and pictures.max() <= 1
    again = shoot(flags, ratios, (48, 64), torch.Generator().manual_seed(1))
    assert torch.equal(pictures, again)
