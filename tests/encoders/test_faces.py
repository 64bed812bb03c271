import numpy as np
import pytest
from drawn_faces import drawn_face
from PIL import Image

from spacy_dwe.encoders.cache import FeatureCache
from spacy_dwe.encoders.visual.extractor import VisualExtractor
from spacy_dwe.encoders.visual.faces import FaceFinder, phrase
from spacy_dwe.encoders.visual.findings import Attribute
from spacy_dwe.errors import DweError


def test_without_opencv_the_message_names_the_extra(clip, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "cv2", None)
    extractor = VisualExtractor(faces=FaceFinder())
    with pytest.raises(DweError, match=r"E206.*spacy-dwe\[faces\]"):
        extractor(clip("clip"), [Image.new("RGB", (40, 40))])


def test_the_words_of_a_phrase_stand_in_the_order_of_the_bank():
    attributes = [
        Attribute("person", "old man", 0.6),
        Attribute("beard", "", 0.9),
        Attribute("expression", "smiling", 0.7),
    ]
    assert phrase(attributes) == "old man, smiling"
    assert phrase(attributes[1:2]) == "face"


class TestWithOpenCV:
    @pytest.fixture(autouse=True)
    def needs_opencv(self):
        pytest.importorskip("cv2")

    def test_a_face_is_found_and_told_in_words(self, clip):
        encoder, texts = clip("clip"), FeatureCache()
        (faces,) = FaceFinder()(encoder, [drawn_face()], texts)
        (face,) = faces
        left, top, right, bottom = face.box
        assert left < 95 and right > 145 and top < 112 and bottom > 184
        np.testing.assert_allclose(
            face.vector, encoder.encode_texts([face.phrase])[0], atol=1e-5
        )
        assert [a.group for a in face.attributes][:2] == ["person", "expression"]
        for attribute in face.attributes:
            assert bool(attribute.words) <= (attribute.probability >= 0.4)

    def test_a_face_keeps_its_place_on_a_large_picture(self):
        small, large = drawn_face(), drawn_face().resize((960, 1200))
        ((box, _),) = FaceFinder().detect(small)
        ((scaled, _),) = FaceFinder().detect(large)
        np.testing.assert_allclose(np.array(scaled) / 4, box, atol=8)

    def test_a_bank_of_ones_own(self, clip, tmp_path):
        path = tmp_path / "faces.json"
        path.write_text('{"groups": {"is": ["a king", "a king."]}}')
        finder = FaceFinder(bank=str(path), min_probability=0.0)
        ((face,),) = finder(clip("clip"), [drawn_face()], FeatureCache())
        assert face.phrase in ("a king", "a king.")

    def test_flags_have_no_faces(self):
        from places.flags import draw
        from places.photograph import photograph

        finder = FaceFinder()
        layers = [
            [{"kind": "disc", "color": "red", "r": 0.3}],
            [{"kind": "sun", "color": "yellow"}],
            [{"kind": "animal", "color": "gold", "shape": "lion"}],
            [{"kind": "object", "color": "black", "shape": "castle"}],
        ]
        for number, charge in enumerate(layers):
            ground = {"kind": "field", "color": "white"}
            flag = draw({"layers": [ground, *charge]}, 300)
            assert finder.detect(flag) == []
            assert finder.detect(photograph(flag, number, (448, 336))) == []

    def test_a_detector_that_is_none_is_named(self, tmp_path):
        with pytest.raises(DweError, match=r"E001.*nowhere\.onnx"):
            FaceFinder(str(tmp_path / "nowhere.onnx")).detect(drawn_face())
        broken = tmp_path / "broken.onnx"
        broken.write_bytes(b"no model")
        with pytest.raises(DweError, match=r"E207.*broken\.onnx"):
            FaceFinder(str(broken)).detect(drawn_face())
