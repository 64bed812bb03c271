import json

import pytest
from PIL import Image
from tiny_models import save_clip_of_kind

from spacy_dwe.cli.look import look_cli
from spacy_dwe.errors import DweError

OFF = {
    "clip_weights": None,
    "detector": None,
    "detector_weights": "DEFAULT",
    "objects": True,
    "faces": False,
    "scenes": True,
    "yunet": None,
    "object_bank": None,
    "face_bank": None,
    "scene_bank": None,
    "html": None,
    "output": None,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = save_clip_of_kind(tmp_path_factory.mktemp("look") / "clip", "clip")
    return f"local-dir:{folder}"


@pytest.fixture
def picture(tmp_path):
    image = Image.new("RGB", (64, 64), (90, 120, 90))
    image.paste((250, 20, 20), (16, 16, 48, 48))
    path = tmp_path / "a<b.png"
    image.save(path)
    return path


def test_look_prints_and_writes_what_is_seen(clip, picture, tmp_path, capsys):
    html, output = tmp_path / "look.html", tmp_path / "look.jsonl"
    missing = tmp_path / "missing.png"
    paths = [picture, missing]
    look_cli(paths, clip, **{**OFF, "html": html, "output": output})
    printed = capsys.readouterr()
    assert "W201" in printed.err and "missing.png" in printed.err
    (row,) = [json.loads(line) for line in output.read_text().splitlines()]
    assert row["image"] == str(picture) and row["size"] == [64, 64]
    assert row["regions"] and row["faces"] == []
    for region in row["regions"]:
        assert region["words"] in printed.out
    page = html.read_text()
    assert page.count("<rect") == len(row["regions"])
    assert "a&lt;b.png" in page and "data:image/jpeg;base64," in page
    assert "<script" not in page


def test_when_no_picture_can_be_read_nothing_is_written(clip, tmp_path):
    html = tmp_path / "look.html"
    with pytest.raises(DweError, match=r"E215.*None of the 1 pictures"):
        look_cli([tmp_path / "missing.png"], clip, **{**OFF, "html": html})
    assert not html.exists()
