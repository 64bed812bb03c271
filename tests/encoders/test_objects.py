import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import clip_config, save_clip
from torchvision.ops import box_iou

from spacy_dwe.encoders.clip import ClipEncoder
from spacy_dwe.encoders.visual.banks import bank_vectors, read_bank
from spacy_dwe.encoders.visual.boxes import Box, Limits
from spacy_dwe.encoders.visual.extractor import VisualExtractor
from spacy_dwe.encoders.visual.objects import (
    DetectorRegions,
    GivenRegions,
    GridRegions,
    PatchRegions,
)
from spacy_dwe.errors import DweError
from spacy_dwe.images import GivenBox

RESNET = {"layers": [1, 1, 1, 1], "width": 8, "image_size": 32, "head_width": 64}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A CLIP with 8 x 8 patches that sees the whole picture."""
    config = clip_config("clip")
    config["vision_cfg"]["image_size"] = 64
    return squashing(tmp_path_factory.mktemp("clip") / "clip", config)


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    config = clip_config("clip")
    config["vision_cfg"] = RESNET
    return squashing(tmp_path_factory.mktemp("clip") / "resnet", config)


def squashing(folder, config):
    save_clip(folder, config)
    path = folder / "open_clip_config.json"
    mode = '"preprocess_cfg": {"resize_mode": "squash"}'
    path.write_text(path.read_text().replace('"preprocess_cfg": {}', mode))
    return ClipEncoder({"model": f"local-dir:{folder}"}, device="cpu", batch_size=4)


def with_square(box, size=(160, 120)):
    image = Image.new("RGB", size, (90, 120, 90))
    image.paste((250, 20, 20), box)
    return image


def overlap(a, b):
    return float(box_iou(torch.tensor([a]), torch.tensor([b])))


def regions(encoder, finder, images, boxes=None):
    found = VisualExtractor(objects=finder)(encoder, images, boxes)
    return [evidence.regions for evidence in found]


SQUARE = Box(40, 30, 100, 75)


@pytest.mark.parametrize("tower", ["encoder", "resnet"])
def test_what_stands_out_is_a_region(tower, request):
    """By patches, and by crops in their place where a tower has none."""
    encoder = request.getfixturevalue(tower)
    (found,) = regions(encoder, PatchRegions(), [with_square(SQUARE)])
    assert overlap(found[0].box, SQUARE) > (0.6 if tower == "encoder" else 0.3)
    for region in found:
        assert np.linalg.norm(region.vector) == pytest.approx(1, abs=1e-5)
        assert 0.2 <= region.score <= 1 and region.source == "patches"
        assert region.box == region.box.within((160, 120))
    assert [r.score for r in found] == sorted((r.score for r in found), reverse=True)


def test_a_plain_picture_has_none(encoder):
    plain = Image.new("RGB", (80, 60), (128, 128, 128))
    assert regions(encoder, PatchRegions(), [plain]) == [()]


def test_regions_are_bounded_and_do_not_double(encoder):
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (120, 160, 3), dtype=np.uint8))
    finder = PatchRegions(max_regions=3, min_score=0.0, max_overlap=0.2)
    (found,) = regions(encoder, finder, [noise])
    assert len(found) == 3
    pairs = [(a.box, b.box) for a in found for b in found if a is not b]
    assert max(overlap(a, b) for a, b in pairs) <= 0.25


def test_a_picture_does_not_depend_on_its_batch(encoder):
    images = [with_square((10 * i, 10, 10 * i + 50, 60)) for i in range(6)]
    together = regions(encoder, PatchRegions(), images)
    for image, found in zip(images, together, strict=True):
        (alone,) = regions(encoder, PatchRegions(), [image])
        assert [(r.box, r.words) for r in alone] == [(r.box, r.words) for r in found]
        for a, b in zip(alone, found, strict=True):
            np.testing.assert_allclose(a.vector, b.vector, atol=1e-5)


def test_a_region_has_the_nearest_words_of_the_bank(encoder, tmp_path):
    path = tmp_path / "bank.json"
    path.write_text('{"groups": {"g": ["cat", "dog", "house"]}}')
    (found,) = regions(encoder, PatchRegions(str(path)), [with_square(SQUARE)])
    bank = read_bank(path)
    cosines = found[0].vector @ bank_vectors(encoder, bank).T
    assert found[0].words == bank.entries[int(cosines.argmax())].words
    assert found[0].similarity == pytest.approx(cosines.max(), abs=1e-5)


@pytest.mark.parametrize("make", [GivenRegions, PatchRegions])
def test_boxes_that_come_with_a_picture_are_its_regions(encoder, make):
    image = with_square(SQUARE)
    outside, small = GivenBox(-20, -20, 50, 50), GivenBox(5, 5, 7, 7)
    boxes = [(GivenBox(*SQUARE), outside, small), ()]
    given, free = regions(encoder, make(), [image, image], boxes)
    assert [region.box for region in given] == [SQUARE, (0, 0, 50, 50)]
    assert all(region.source == "given" for region in given)
    crop = encoder.encode_images([image.crop(SQUARE)])[0]
    np.testing.assert_allclose(given[0].vector, crop, atol=1e-5)
    assert all(region.source == "patches" for region in free)


def test_a_grid_is_the_quarters_of_a_picture_and_its_middle(encoder):
    image = with_square(SQUARE)
    width, height = image.size
    (found,) = regions(encoder, GridRegions(), [image])
    assert [region.box for region in found] == GridRegions.boxes(image.size)
    assert found[0].box == (0, 0, width / 2, height / 2)
    assert found[4].box == (width / 4, height / 4, 3 * width / 4, 3 * height / 4)
    crops = encoder.encode_images([image.crop(region.box) for region in found])
    np.testing.assert_allclose([r.vector for r in found], crops, atol=1e-5)
    assert all(region.source == "grid" and region.words for region in found)


def test_a_label_that_comes_with_a_box_is_its_words(encoder):
    """The box beside it, without a label, has the nearest words of the bank."""
    boxes = [(GivenBox(*SQUARE, "a red square"), GivenBox(0, 0, 30, 30))]
    (found,) = regions(encoder, GivenRegions(), [with_square(SQUARE)], boxes)
    labelled, free = found
    assert labelled.words == "a red square"
    (text,) = encoder.encode_texts(["a red square"])
    assert labelled.similarity == pytest.approx(float(labelled.vector @ text), abs=1e-5)
    assert free.words and free.words != "a red square"


def test_a_detector_of_torchvision_by_its_weights_file(encoder, tmp_path):
    import torch
    from torchvision.models import get_model

    torch.manual_seed(0)
    name = "ssdlite320_mobilenet_v3_large"
    model = get_model(name, weights=None, weights_backbone=None)
    weights = tmp_path / "detector.pt"
    torch.save(model.state_dict(), weights)
    finder = DetectorRegions(name, str(weights), max_regions=2, min_score=0.0)
    (found,) = regions(encoder, finder, [with_square(SQUARE)])
    assert 1 <= len(found) <= 2
    assert all(region.source == "detector" for region in found)
    weights.write_bytes(b"no weights")
    with pytest.raises(DweError, match=rf"E214.*detector\.pt.*{name}"):
        regions(encoder, DetectorRegions(name, str(weights)), [with_square(SQUARE)])
    with pytest.raises(DweError, match=r"E208.*'yolo'.*fasterrcnn"):
        regions(encoder, DetectorRegions("yolo"), [with_square(SQUARE)])


def test_boxes_that_are_small_or_doubled_are_passed_over():
    boxes = [
        Box(0, 0, 50, 50),
        Box(2, 2, 50, 50),
        Box(60, 60, 64, 64),
        Box(200, 0, 300, 50),
        Box(50, 0, 130, 50),
    ]
    limits = Limits(max_regions=9, max_overlap=0.5)
    found = limits.keep(boxes, (100, 100), min_side=8)
    assert found == [(0, Box(0, 0, 50, 50)), (4, Box(50, 0, 100, 50))]
    limits = replace(limits, max_regions=1)
    assert len(limits.keep(boxes, (100, 100), min_side=8)) == 1


def test_findings_are_those_of_a_detector_as_it_is_now(tmp_path):
    """Findings are kept for longer than a file of weights need stay what it is."""
    weights = tmp_path / "weights.pt"
    marks = []
    for content in ("one", "another"):
        weights.write_text(content)
        os.utime(weights, (len(marks), len(marks)))
        marks.append(VisualExtractor(DetectorRegions("a", str(weights))).fingerprint)
    named = VisualExtractor(DetectorRegions("a", "DEFAULT")).fingerprint
    assert len({*marks, named}) == 3 and "DEFAULT" in named
