import io

import numpy as np
import pytest
from PIL import Image

from spacy_dwe.errors import DweError
from spacy_dwe.images import (
    GivenBox,
    ImageRef,
    content_hash,
    decode,
    image_entry,
    image_refs,
    load,
    read_bytes,
    resolve,
)

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def encoded(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options)
    return buffer.getvalue()


def left_red_right_blue(width=40, height=20):
    image = Image.new("RGB", (width, height), BLUE)
    image.paste(RED, (0, 0, width // 2, height))
    return image


def test_a_reference_is_made_from_anything_that_names_a_picture(tmp_path):
    data = encoded(left_red_right_blue())
    path = tmp_path / "flag.png"
    assert image_refs(None) == ()
    assert image_refs("flag.png") == (ImageRef(path="flag.png"),)
    assert image_refs(path) == (ImageRef(path=str(path)),)
    assert image_refs(data) == (ImageRef(data=data, sha256=content_hash(data)),)
    assert image_refs(["a.jpg", "b.jpg"]) == (ImageRef("a.jpg"), ImageRef("b.jpg"))
    (from_pixels,) = image_refs(left_red_right_blue())
    assert decode(from_pixels.data).tobytes() == left_red_right_blue().tobytes()
    assert image_refs(from_pixels) == (from_pixels,)


def test_boxes_come_with_a_picture_of_any_kind():
    rows = [[1, 2, 30, 40], (5.5, 0, 9, 9, "a  crown")]
    boxes = (GivenBox(1, 2, 30, 40), GivenBox(5.5, 0, 9, 9, "a crown"))
    data = encoded(left_red_right_blue())
    refs = image_refs([{"path": "a.jpg", "boxes": rows}, {"data": data, "boxes": rows}])
    assert refs == (ImageRef("a.jpg", boxes=boxes), ImageRef(data=data, boxes=boxes))
    assert image_refs({"path": "a.jpg"}) == image_refs("a.jpg")
    entry = image_entry(refs[0])
    assert entry == {
        "path": "a.jpg",
        "boxes": [[1, 2, 30, 40], [5.5, 0, 9, 9, "a crown"]],
    }
    assert image_refs(entry) == refs[:1]
    assert image_entry(ImageRef("a.jpg")) == "a.jpg"
    assert image_entry(refs[1]) is None, "bytes cannot stand in a line of JSON"
    (moved,) = resolve(refs[:1], "flags")
    assert (moved.path, moved.boxes) == ("flags/a.jpg", boxes)


@pytest.mark.parametrize(
    "boxes",
    [
        *(3, "box", [None], ["1234"], [(1, 2, 3)], [(5, 0, 5, 9)], [(0, 9, 9, 0)]),
        *([(0, 0, float("nan"), 9)], [(0, 0, 9, 9, 7)], [(0, 0, 9, 9, "a", "b")]),
    ],
)
def test_what_is_no_box_is_named_with_its_picture_and_document(boxes):
    with pytest.raises(DweError, match=r"E209.* is no box on a\.jpg of document d7: "):
        image_refs({"path": "a.jpg", "boxes": boxes}, owner="document d7")


@pytest.mark.parametrize(
    "value", [7, "", {"boxes": []}, {"path": {}}, [3.5], np.zeros((2, 2, 3))]
)
def test_anything_else_is_refused(value):
    with pytest.raises(DweError, match="E200"):
        image_refs(value)


def test_a_reference_is_either_path_or_data():
    with pytest.raises(DweError, match="E201"):
        ImageRef()
    with pytest.raises(DweError, match="E201"):
        ImageRef(path="a.jpg", data=b"x")


def test_load_gives_hash_and_pixels_for_path_and_bytes_alike(tmp_path):
    data = encoded(left_red_right_blue())
    (tmp_path / "flag.png").write_bytes(data)
    by_path = load(*image_refs(tmp_path / "flag.png"))
    by_data = load(*image_refs(data))
    assert by_path[0] == by_data[0] == content_hash(data)
    assert by_path[1].tobytes() == by_data[1].tobytes()


def test_exif_rotation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(left_red_right_blue(), "JPEG", exif=exif, quality=95)
    upright = decode(data)
    assert upright.size == (20, 40)
    top, bottom = upright.getpixel((10, 4)), upright.getpixel((10, 36))
    assert top[0] > 200 > 60 > top[2]
    assert bottom[2] > 200 > 60 > bottom[0]


def test_a_broken_exif_block_does_not_spoil_the_picture():
    data = encoded(left_red_right_blue(), "JPEG", exif=b"Exif\0\0garbage-garbage")
    assert decode(data).size == (40, 20)


def test_cmyk():
    data = encoded(left_red_right_blue().convert("CMYK"), "JPEG", quality=95)
    red = decode(data).getpixel((5, 10))
    assert red[0] > 200 > 60 > red[2]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_becomes_white(mode):
    image = left_red_right_blue().convert("RGBA")
    image.putalpha(Image.new("L", image.size, 0))
    if mode == "P":
        image = left_red_right_blue().convert("P", palette=Image.Palette.ADAPTIVE)
        data = encoded(image, transparency=image.getpixel((39, 10)))
    else:
        data = encoded(image.convert(mode))
    decoded = decode(data)
    assert decoded.mode == "RGB"
    assert decoded.getpixel((39, 10)) == WHITE


def test_sixteen_bits_keep_their_greys():
    ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (8, 1))
    decoded = np.asarray(decode(encoded(Image.fromarray(ramp))))
    assert decoded.shape == (8, 64, 3)
    assert np.abs(decoded[0, :, 0] - np.linspace(0, 255, 64)).max() <= 1


def test_float_greys_of_a_constant_picture():
    data = encoded(Image.fromarray(np.full((4, 4), -3.0, np.float32)), "TIFF")
    with np.errstate(all="raise"):
        assert decode(data).size == (4, 4)


def test_an_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data).getpixel((4, 4)) == RED


@pytest.mark.parametrize("size", [(1, 1), (10_000, 3)])
@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA"])
def test_odd_sizes_and_modes(size, mode):
    decoded = decode(encoded(Image.new(mode, size)))
    assert (decoded.size, decoded.mode) == (size, "RGB")


def test_a_bomb_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    bomb = encoded(Image.new("1", (1000, 1000)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 999_999)
    with pytest.raises(DweError, match=r"bomb\.png"):
        decode(bomb, "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(DweError, match=r"bomb\.png"):
        decode(bomb, "bomb.png")


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        lambda data: data[: len(data) // 2],
        lambda data: data[:20],
    ],
    ids=["empty", "svg", "truncated", "only a header"],
)
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_damaged_picture_is_one_clear_error(format, damage):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = damage(encoded(Image.fromarray(noise), format))
    with pytest.raises(DweError, match=r"\[DWE-E202\] photo\.bin cannot be decoded"):
        decode(data, "photo.bin")


def test_unreadable_paths_are_named(tmp_path):
    with pytest.raises(DweError, match=r"File not found.*missing\.png"):
        read_bytes(ImageRef(path=str(tmp_path / "missing.png")))
    with pytest.raises(DweError, match="directory"):
        read_bytes(ImageRef(path=str(tmp_path)))


def test_urls_are_not_fetched_unless_asked():
    (ref,) = image_refs("https://example.org/flag.png")
    assert ref.is_url
    with pytest.raises(DweError, match=r"E203.*example\.org"):
        read_bytes(ref)


def test_relative_names_start_at_the_root(tmp_path):
    absolute = str(tmp_path / "b.png")
    refs = resolve(["a.png", absolute, "http://x.org/c.png"], "root")
    assert [ref.path for ref in refs] == ["root/a.png", absolute, "http://x.org/c.png"]
    assert resolve(["a.png"], None) == (ImageRef(path="a.png"),)
