"""Counts of a folder, checked against what is written into it."""

import json

import pytest
from PIL import Image

from spacy_dwe.datasets.statistics import dataset_statistics, document_files
from spacy_dwe.errors import DweError


def write(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def document(identifier, text, *golds, images=(), **mention):
    """Every word of the text that has a gold is a mention; "-" says that none has."""
    mentions, start = [], 0
    for word, gold in zip(text.split(), golds):
        start = text.index(word, start)
        if gold != "-":
            span = {"start": start, "end": start + len(word), "kb_id": gold}
            mentions.append({**span, **mention})
    return {
        "id": identifier,
        "text": text,
        "mentions": mentions,
        "images": list(images),
    }


ENTITIES = [
    {"id": "Q1", "title": "Georgia", "description": "a state", "images": ["flag.png"]},
    {"id": "Q2", "title": "Georgia", "description": " "},
    {"id": "Q3", "title": "Congo Luzek"},
    {"id": "Q4", "title": "Congo Mbwod"},
]


@pytest.fixture
def folder(tmp_path):
    Image.new("RGB", (4, 4), "red").save(tmp_path / "flag.png")
    (tmp_path / "copy.png").write_bytes((tmp_path / "flag.png").read_bytes())
    Image.new("RGB", (4, 4), "blue").save(tmp_path / "other.png")
    write(tmp_path / "entities.jsonl", ENTITIES)
    write(
        tmp_path / "train.jsonl",
        [
            document("1", "Georgia won the cup again in June", "Q1"),
            document("2", "Georgia won", "Q1", images=["other.png"]),
        ],
    )
    write(tmp_path / "held-out.jsonl", [document("3", "Congo rises", "Q3")])
    write(
        tmp_path / "test.jsonl",
        [
            document("4", "georgia WON!", "Q1", images=["copy.png"]),
            document("5", "Congo fell", "Q4", images=["other.png", "gone.png"]),
            document("6", "Congo and Georgia", "Q4", "-", None, images=["gone.png"]),
            document("7", "Congo here", "Q9", images=["https://example.org/a.png"]),
        ],
    )
    return tmp_path


def test_entities(folder):
    assert dataset_statistics(folder)["entities"] == {
        "entities": 4,
        "without_description": 3,
        "without_image": 3,
        "shared_titles": 1,
        "entities_with_shared_title": 2,
    }


def test_samples_and_mentions(folder):
    counts = dataset_statistics(folder)["splits"]["test"]
    expected = {
        "samples": 4,
        "mentions": 5,
        "nil": 1,
        "unlabelled": 0,
        "gold_not_an_entity": 1,
        "with_image": 2,
        "with_image_url": 1,
        "with_unreadable_image": 1,
        "without_image": 0,
    }
    assert {key: counts[key] for key in expected} == expected


def test_mentions_that_were_put_in_front_or_found_otherwise(folder):
    added = {"start": 0, "end": 6, "kb_id": "Q4", "added": True}
    found = {"start": 8, "end": 13, "kb_id": "Q4", "published": "CONGO"}
    again = {"start": 8, "end": 13, "kb_id": "Q4"}
    text = {"id": "8", "text": "Kongo!. Congo fell"}
    write(folder / "dev.jsonl", [{**text, "mentions": [added, found, again]}])
    result = dataset_statistics(folder)
    counts = result["splits"]["dev"]
    assert (counts["added"], counts["found_but_for_case_or_space"]) == (1, 1)
    assert (counts["not_word_for_word"], counts["repeated"]) == (2, 1)
    # What was put in front is no part of the text that is compared.
    between = result["texts"]["repeated_between"]
    assert between["test in dev"] == {"equal": 1, "similar": 0}


def test_texts_of_one_split_in_another(folder):
    texts = dataset_statistics(folder)["texts"]
    assert texts["repeated_within"] == {"train": 0, "held-out": 0, "test": 0}
    assert texts["repeated_between"]["test in train"] == {"equal": 1, "similar": 0}
    assert texts["repeated_between"]["test in held-out"] == {"equal": 0, "similar": 0}


def test_pictures_are_the_same_by_content(folder):
    images = dataset_statistics(folder)["images"]
    assert images == {"test": {"also_entity": 1, "also_train": 1}}


def test_golds_and_names(folder):
    result = dataset_statistics(folder)
    seen = result["golds_seen_in_train"]["test"]
    assert seen == {"mentions": 4, "seen": 1, "share": 0.25}
    # Namesakes tie, which is no hit. Without the golds of train the one Congo is left,
    # and the mention of a train gold is missed.
    assert result["name_alone"]["test"] == {
        "n": 3,
        "top1": 0.0,
        "top1_without_train_golds": 0.666667,
        "n_left": 2,
        "top1_left": 0.0,
        "top1_left_without_train_golds": 1.0,
    }


def test_a_split_without_golds_has_no_shares(folder):
    write(folder / "test.jsonl", [{"id": "1", "text": "Nothing", "mentions": []}])
    result = dataset_statistics(folder)
    assert result["golds_seen_in_train"]["test"]["share"] is None
    assert result["name_alone"]["test"]["top1"] is None


def test_train_comes_first(folder):
    write(folder / "another.jsonl", [])
    assert list(document_files(folder)) == ["train", "held-out", "test", "another"]


@pytest.mark.parametrize("missing", ["entities.jsonl", "documents"])
def test_a_folder_without_a_dataset(folder, missing):
    names = ["entities.jsonl"] if missing == "entities.jsonl" else ["train", "test"]
    if missing == "documents":
        names = [path.name for path in document_files(folder).values()]
    for name in names:
        (folder / name).unlink()
    with pytest.raises(DweError, match=f"E260.*{missing}"):
        dataset_statistics(folder)
