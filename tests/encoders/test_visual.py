"""All extractors together: any picture, once, and slots for the network."""

import io

import numpy as np
import pytest
from PIL import Image

from spacy_dwe.encoders.cache import FeatureCache
from spacy_dwe.encoders.visual.boxes import Box
from spacy_dwe.encoders.visual.extractor import VisualExtractor
from spacy_dwe.encoders.visual.faces import FaceFinder
from spacy_dwe.encoders.visual.findings import Face, Region, VisualEvidence
from spacy_dwe.encoders.visual.objects import PatchRegions
from spacy_dwe.encoders.visual.scenes import SceneAttributes
from spacy_dwe.images import GivenBox, decode

NOISE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def rotated():
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(Image.fromarray(NOISE), "JPEG", exif=exif)


def animated():
    frames = [Image.new("RGB", (30, 20), colour) for colour in ("red", "blue")]
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:])


ODD = {
    "grey": saved(Image.fromarray(NOISE).convert("L"), "PNG"),
    "CMYK": saved(Image.fromarray(NOISE).convert("CMYK"), "JPEG"),
    "palette": saved(Image.fromarray(NOISE).convert("P"), "PNG"),
    "16 bits": saved(Image.fromarray(NOISE[..., 0].astype(np.uint16) * 257), "PNG"),
    "animated": animated(),
    "one pixel": saved(Image.new("RGB", (1, 1)), "PNG"),
    "long": saved(Image.new("RGB", (10_000, 3), "red"), "PNG"),
    "high": saved(Image.new("RGB", (3, 10_000), "red"), "PNG"),
    "turned": rotated(),
    "transparent": saved(Image.new("RGBA", (40, 40), (255, 0, 0, 9)), "PNG"),
}


@pytest.fixture(scope="module")
def extractor():
    try:
        import cv2  # noqa: F401
    except ImportError:
        return VisualExtractor(PatchRegions(), None, SceneAttributes())
    return VisualExtractor(PatchRegions(), FaceFinder(), SceneAttributes())


@pytest.mark.parametrize("kind", ["clip", "coca"])
def test_any_picture_can_be_looked_at(clip, extractor, kind):
    images = [decode(data) for data in ODD.values()]
    found = dict(zip(ODD, extractor(clip(kind), images), strict=True))
    assert found["turned"].size == (60, 80)
    assert found["one pixel"].regions == found["one pixel"].faces == ()
    for image, evidence in zip(images, found.values(), strict=True):
        slots = evidence.slots()
        assert np.isfinite(slots.objects).all() and np.isfinite(slots.scenes).all()
        for part in (*evidence.regions, *evidence.faces):
            assert part.box == part.box.within(image.size) and part.box.area


def test_each_part_is_off_unless_it_is_asked_for(clip):
    (nothing,) = VisualExtractor()(clip("clip"), [Image.fromarray(NOISE)])
    assert (nothing.regions, nothing.faces, nothing.scenes) == ((), (), ())
    slots = nothing.slots()
    np.testing.assert_array_equal(slots.objects, [nothing.pooled], "one region, whole")
    assert slots.scenes.shape == (0, 16)
    assert slots.face_mask.tolist() == [False]


def test_scenes_are_ranked_and_those_below_the_margin_left_out(clip, tmp_path):
    encoder, image = clip("clip"), Image.fromarray(NOISE)
    bank = tmp_path / "scenes.json"
    bank.write_text('{"groups": {"pair": ["red sun", "blue sky", "old man", "cat"]}}')
    scenes = SceneAttributes(str(bank), top_k=3, margin=-9)
    (evidence,) = VisualExtractor(scenes=scenes)(encoder, [image])
    words = [scene.words for scene in evidence.scenes]
    texts = encoder.encode_texts(["red sun", "blue sky", "old man", "cat"])
    order = np.argsort(-(texts @ encoder.encode_images([image])[0]))
    all_words = ["red sun", "blue sky", "old man", "cat"]
    assert words == [all_words[i] for i in order[:3]]
    np.testing.assert_allclose(evidence.scenes[0].vector, texts[order[0]], atol=1e-5)
    strict = SceneAttributes(str(bank), margin=9)
    (evidence,) = VisualExtractor(scenes=strict)(encoder, [image])
    assert evidence.scenes == ()


def test_what_was_seen_is_kept_by_content_settings_and_boxes(clip, extractor):
    encoder, cache, opened = clip("clip"), FeatureCache(), []

    def open_picture(key):
        opened.append(key)
        return None if key == "broken" else Image.fromarray(NOISE)

    def see(extractor, *sights):
        return cache.sights(extractor, encoder, sights, open_picture)

    plain, broken, boxed = ("a", ()), ("broken", ()), ("a", (GivenBox(0, 0, 40, 40),))
    first = see(extractor, plain, broken, plain)
    assert set(first) == {plain} and opened == ["a", "broken"]
    assert see(extractor, plain)[plain] is first[plain] and opened == ["a", "broken"]
    both = see(extractor, plain, boxed)
    assert both[plain] is first[plain]
    assert [region.source for region in both[boxed].regions] == ["given"]
    assert see(VisualExtractor(), plain)[plain].regions == ()
    assert cache.store.n_bytes > first[plain].nbytes


def region(box, value):
    return Region(Box(*box), 0.5, "", 0.0, unit(value), "patches")


def face(box, value, score=1.0):
    return Face(Box(*box), score, "man", (), unit(value), unit(value + 8))


def test_a_picture_without_regions_is_one_whose_face_is_the_best():
    sure, other = face((20, 20, 40, 40), 4), face((50, 50, 70, 70), 5, score=0.5)
    slots = VisualEvidence((100, 100), unit(0), (), (other, sure)).slots()
    np.testing.assert_array_equal(slots.objects, [unit(0), other.crop])
    np.testing.assert_array_equal(slots.faces, [sure.vector, other.vector])


def unit(value):
    vector = np.zeros(16, dtype=np.float32)
    vector[value] = 1
    return vector


def test_a_face_goes_to_the_smallest_region_around_it_or_opens_a_slot():
    large, small = region((0, 0, 90, 90), 0), region((10, 10, 60, 60), 1)
    inside, second = face((20, 20, 40, 40), 4), face((30, 30, 50, 50), 5, score=0.5)
    beside = face((91, 0, 99, 9), 6)
    evidence = VisualEvidence(
        (100, 100), unit(0), (large, small), (beside, second, inside)
    )
    slots = evidence.slots()
    np.testing.assert_array_equal(
        slots.objects, [large.vector, small.vector, beside.crop]
    )
    np.testing.assert_array_equal(slots.face_mask, [True, True, True])
    np.testing.assert_array_equal(
        slots.faces, [second.vector, inside.vector, beside.vector]
    )
    alone = VisualEvidence((100, 100), unit(0), (large, small), (inside,)).slots()
    np.testing.assert_array_equal(alone.face_mask, [False, True])
    assert not alone.faces[0].any()
