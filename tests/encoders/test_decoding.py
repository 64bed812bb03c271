"""Pictures are decoded in threads: the same ones, in the same order, within bounds."""

import io
import threading
import time

import numpy as np
import open_clip
import pytest
from PIL import Image

from spacy_dwe.encoders import decoding
from spacy_dwe.encoders.cache import FeatureCache
from spacy_dwe.encoders.clip import _transforms
from spacy_dwe.encoders.decoding import decode_ahead
from spacy_dwe.errors import DweError
from spacy_dwe.images import decode, decoded_bytes


def picture(key):
    return Image.new("RGB", (key % 50 + 1, 2))


def jpeg(width, height, orientation=1):
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 255, (9, 12, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    small.resize((width, height), Image.Resampling.BICUBIC).save(
        file, "JPEG", exif=exif
    )
    return file.getvalue()


def test_pictures_come_in_order_however_long_each_takes():
    def decoded(key):
        time.sleep(0.003 * (key % 3 == 0))
        return None if key % 7 == 0 else picture(key)

    groups = list(decode_ahead(range(200), decoded))
    assert [key for keys, _ in groups for key in keys] == [
        key for key in range(200) if key % 7
    ]
    for keys, pictures in groups:
        assert 0 < len(keys) <= decoding.PICTURES_AT_A_TIME // 2
        assert [each.width for each in pictures] == [key % 50 + 1 for key in keys]
    assert list(decode_ahead([7, 14], decoded)) == list(decode_ahead([], decoded)) == []


def test_errors_are_told_in_order_and_by_who_reads():
    def decoded(key):
        if key % 2:
            raise DweError(f"picture {key}")
        return picture(key)

    told = []

    def unreadable(key, error):
        told.append((key, str(error), threading.current_thread()))

    groups = list(decode_ahead(range(9), decoded, unreadable))
    assert [keys for keys, _ in groups] == [[0, 2, 4, 6, 8]]
    here = threading.current_thread()
    assert told == [(key, f"picture {key}", here) for key in (1, 3, 5, 7)]
    with pytest.raises(DweError, match="picture 1"):
        list(decode_ahead(range(9), decoded))


class Counted:
    """Counts how much is decoded and not yet let go."""

    def __init__(self, side):
        self.side, self.most, self.held = side, 0, 0
        self._lock = threading.Lock()

    def __call__(self, key):
        with self._lock:
            self.held += 1
            self.most = max(self.most, self.held)
        return Image.new("RGB", (self.side, self.side))

    def read(self, keys):
        with self._lock:
            self.held -= len(keys)


def test_no_more_are_held_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr(decoding, "DECODED_BYTES", 10 * 3 * 50 * 50)
    for side, most in ((2, decoding.PICTURES_AT_A_TIME), (50, 10), (500, 2)):
        counted = Counted(side)
        sizes = {"n_bytes": lambda key, side=side: 3 * side * side}
        for keys, _ in decode_ahead(range(100), counted, **sizes):
            time.sleep(0.001)
            counted.read(keys)
        assert counted.most <= most and counted.held == 0


def test_a_reader_that_stops_leaves_no_thread():
    before = threading.active_count()
    groups = decode_ahead(range(500), picture)
    next(groups)
    groups.close()
    assert threading.active_count() == before


def test_a_jpeg_is_decoded_no_larger_than_it_is_read():
    data = jpeg(400, 300)
    whole = decode(data)
    assert whole.size == (400, 300)
    assert decode(data, shortest=300).size == decode(data, shortest=151).size
    assert decode(data, shortest=150).size == (200, 150)
    assert decode(data, shortest=10).size == (50, 38)
    assert decode(data, shortest=1000).size == (400, 300)
    assert [decoded_bytes(data, n) for n in (None, 150)] == [360_000, 90_000]
    assert decoded_bytes(b"no picture") == 0
    upright = decode(jpeg(400, 300, orientation=6), shortest=100)
    assert upright.size == (150, 200)


def test_other_pictures_are_decoded_whole():
    file = io.BytesIO()
    Image.new("RGB", (400, 300)).save(file, "PNG")
    assert decode(file.getvalue(), shortest=10).size == (400, 300)


@pytest.mark.parametrize("mode", ["squash", "shortest", "longest"])
@pytest.mark.parametrize("size", [48, (32, 48)])
@pytest.mark.parametrize("shape", [(100, 70), (20, 30), (48, 48)])
def test_what_is_resized_already_is_read_as_the_picture_is(mode, size, shape):
    config = open_clip.transform.PreprocessCfg(size=size, resize_mode=mode)
    resize, normalize = _transforms(config)
    whole = open_clip.transform.image_transform_v2(config, is_train=False)
    given = decode(jpeg(*shape))
    resized = resize(given)
    assert (normalize(resized) == whole(given)).all()
    assert (whole(resized) == whole(given)).all()


def test_vectors_are_those_of_pictures_that_were_encoded_at_once(clip):
    encoder = clip("clip")
    data = {str(n): jpeg(20 + 3 * n, 90 - 2 * n) for n in range(40)}
    assert encoder.input_size == encoder.resized(decode(data["0"])).size[::-1]
    vectors = FeatureCache().pictures(encoder, [*data], lambda key: decode(data[key]))
    expected = encoder.encode_images([decode(each) for each in data.values()])
    np.testing.assert_allclose([vectors[key] for key in data], expected, atol=1e-6)


class Plain:
    """Neither says how large pictures are to be, nor resizes them."""

    dim, fingerprint, sizes = 1, "plain", ()

    def encode_images(self, images, progress=None):
        self.sizes = [image.size for image in images]
        return np.ones((len(images), 1), np.float32)


def test_an_encoder_that_says_nothing_gets_whole_pictures():
    plain = Plain()
    FeatureCache().pictures(plain, ["a"], lambda key: decode(jpeg(400, 300)))
    assert plain.sizes == [(400, 300)]
