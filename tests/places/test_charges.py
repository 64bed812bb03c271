"""What stands in for faces where A-Align is tried on flags."""

import json

import numpy as np
from spacy.util import registry

from places.charges import ChargeFinder
from places.flags import draw
from spacy_dwe.encoders.visual.extractor import VisualExtractor

WORDS = ["red field", "white cross", "blue stripe"]


def test_parts_of_a_flag_are_told_in_words_beside_their_regions(clip, tmp_path):
    bank = tmp_path / "pairs.json"
    bank.write_text(json.dumps({"groups": {"pair": WORDS}}))
    block = {"@misc": "places.ChargeFinder.v1", "bank": str(bank)}
    finder = registry.resolve({"finder": block})["finder"]
    assert isinstance(finder, ChargeFinder) and finder.settings["detector"] == "grid"
    flag = draw({"layers": [{"kind": "field", "color": "red"}]}, 100).convert("RGB")
    (seen,) = VisualExtractor(faces=finder)(clip, [flag])
    assert len(seen.faces) == 5 and {face.phrase for face in seen.faces} <= {*WORDS}
    slots = seen.slots()
    assert slots.face_mask.sum() == 5
    for face, own in zip(seen.faces, clip.encode_texts([f.phrase for f in seen.faces])):
        np.testing.assert_allclose(face.vector, own, atol=1e-5)
