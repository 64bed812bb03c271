import json

import numpy as np
import pytest

from spacy_dwe.encoders.visual.banks import (
    FACES,
    OBJECTS,
    SCENES,
    bank_vectors,
    read_bank,
)
from spacy_dwe.errors import DweError

# Words that sort people by origin or colour of skin; no bank of ours has them.
SORTING = ("african", "asian", "european", "black man", "white man", "skin", "racial")


def write(folder, content):
    path = folder / "bank.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize("path", [OBJECTS, FACES, SCENES])
def test_the_banks_of_the_package_are_sound(path):
    bank = read_bank(path)
    assert len(bank.entries) > 30 and bank.groups
    text = " ".join(entry.text.lower() for entry in bank.entries)
    assert not [word for word in SORTING if word in text]


def test_a_bank_is_encoded_as_the_mean_of_its_templates(clip, tmp_path):
    encoder = clip("clip")
    path = write(
        tmp_path, {"templates": ["a {}", "the {}."], "groups": {"g": ["cat", "dog"]}}
    )
    vectors = bank_vectors(encoder, read_bank(path))
    both = encoder.encode_texts(["a dog", "the dog."]).mean(axis=0)
    np.testing.assert_allclose(vectors[1], both / np.linalg.norm(both), atol=1e-5)
    assert bank_vectors(encoder, read_bank(path)) is vectors


def test_a_changed_file_is_read_again(tmp_path):
    path = write(tmp_path, {"groups": {"g": ["cat"]}})
    first = read_bank(path)
    assert read_bank(path) is first
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"groups": {"g": ["cat", "dog"]}}))
    other.replace(path)
    assert read_bank(path).fingerprint != first.fingerprint


@pytest.mark.parametrize(
    "content, message",
    [
        ("{", r"the file: not JSON"),
        ([], r"the file: an object was expected"),
        ({"groups": {}}, r"'groups': an object of lists"),
        ({"group": {"a": ["b"]}}, r"'group': only"),
        ({"groups": {"a": []}}, r"groups\.a: a list of entries"),
        ({"groups": {"a": ["b", 3]}}, r"groups\.a\[1\]: a text, or an object"),
        ({"groups": {"a": [{"words": ""}]}}, r"groups\.a\[0\]: there is no text"),
        ({"groups": {"a": [{"wrods": "b"}]}}, r"groups\.a\[0\]: a text, or an object"),
        ({"groups": {"a": ["b", "b"]}}, r"groups\.a: 'b' stands there twice"),
        ({"templates": ["of"], "groups": {"a": ["b"]}}, r"templates\[0\]: a text with"),
        ({"templates": ["{0}"], "groups": {"a": ["b"]}}, r"templates\[0\]"),
    ],
)
def test_a_malformed_bank_is_named_with_its_entry(tmp_path, content, message):
    path = write(tmp_path, content)
    with pytest.raises(DweError, match=rf"E205\] .*bank\.json is no bank .*{message}"):
        read_bank(path)


def test_a_missing_bank_is_named(tmp_path):
    with pytest.raises(DweError, match=r"E001.*nowhere\.json"):
        read_bank(tmp_path / "nowhere.json")
