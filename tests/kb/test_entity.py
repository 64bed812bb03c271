import gzip
import json

import pytest

from spacy_dwe.errors import DweError
from spacy_dwe.kb.entity import (
    Alias,
    Entity,
    count_lines,
    entity_text,
    read_entities,
    write_entities,
)

FULL = {
    "id": "Q23",
    "title": "George Washington",
    "description": "First president.",
    "aliases": ["Washington", {"alias": "the General", "prior": 0.02}],
    "prior": 0.93,
    "images": ["portrait.jpg"],
    "url": "https://example.org/Q23",
    "sitelinks": 250,
    "notes": {"any": ["thing"]},
}


def lines(path, *objects):
    path.write_text(
        "\n".join(o if isinstance(o, str) else json.dumps(o) for o in objects),
        encoding="utf-8",
    )
    return path


def test_json_round_trip_keeps_unknown_keys():
    entity = Entity.from_json(FULL)
    assert entity.aliases == (Alias("Washington"), Alias("the General", 0.02))
    assert entity.extra == {"sitelinks": 250, "notes": {"any": ["thing"]}}
    assert entity.to_json() == FULL


def test_only_id_and_title_are_required():
    entity = Entity.from_json(
        {"id": "Q1", "title": "A", "aliases": None, "prior": None}
    )
    assert entity == Entity("Q1", "A")
    assert entity.to_json() == {"id": "Q1", "title": "A"}


def test_text_for_encoders():
    assert entity_text(Entity("Q1", "A", "One letter.")) == "A. One letter."


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"id": None}, '"id" is missing'),
        ({"id": 23}, '"id" must be a string, not a number'),
        ({"title": "  "}, '"title" is empty'),
        ({"description": ["a"]}, '"description" must be a string, not a list'),
        ({"aliases": "Washington"}, '"aliases" must be a list, not a string'),
        ({"aliases": [""]}, "an alias must be a non-empty string"),
        ({"aliases": [{"prior": 0.1}]}, "an alias must be a non-empty string"),
        ({"aliases": [{"alias": "a", "prior": 2}]}, "must lie between 0 and 1, not 2"),
        ({"prior": True}, '"prior" must be a number, not true or false'),
        ({"images": "a.jpg"}, '"images" must be a list of non-empty strings'),
    ],
)
def test_wrong_types_are_named_with_file_and_line(tmp_path, change, problem):
    path = lines(tmp_path / "e.jsonl", {"id": "Q1", "title": "A"}, {**FULL, **change})
    with pytest.raises(DweError) as error:
        list(read_entities(path))
    assert f"{path}, line 2: not an entity: " in str(error.value)
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "Q1", ', "line 2: not valid JSON"),
        ("[1, 2]", "line 2: not an entity: expected an object, not a list"),
        ('{"id": "Q1", "title": "B"}', "line 2: the id 'Q1' stands in line 1 already"),
    ],
)
def test_malformed_lines(tmp_path, line, message):
    path = lines(tmp_path / "e.jsonl", {"id": "Q1", "title": "A"}, line)
    with pytest.raises(DweError, match=message):
        list(read_entities(path))


def test_bytes_that_are_not_utf8(tmp_path):
    path = tmp_path / "e.jsonl"
    path.write_bytes('{"id": "Q1", "title": "Łódź"}'.encode("iso-8859-2"))
    with pytest.raises(DweError, match="line 1: not valid JSON"):
        list(read_entities(path))


def test_missing_and_empty_files(tmp_path):
    with pytest.raises(DweError, match=r"File not found: .*none\.jsonl"):
        list(read_entities(tmp_path / "none.jsonl"))
    with pytest.raises(DweError, match="holds no entities"):
        list(read_entities(lines(tmp_path / "empty.jsonl", "", "  ")))


@pytest.mark.parametrize("name", ["e.jsonl", "e.jsonl.gz"])
def test_written_entities_are_read_back(tmp_path, entities, name):
    write_entities(tmp_path / name, entities)
    assert list(read_entities(tmp_path / name)) == entities
    assert count_lines(tmp_path / name) == len(entities)


def test_windows_line_ends_and_byte_order_mark(tmp_path):
    path = tmp_path / "e.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"id": "Q1", "title": "A"}\r\n\r\n')
    assert list(read_entities(path)) == [Entity("Q1", "A")]


def test_truncated_gzip(tmp_path, entities):
    path = tmp_path / "e.jsonl.gz"
    write_entities(path, entities)
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(DweError, match="is no complete gzip file"):
        list(read_entities(path))
    path.write_bytes(gzip.compress(b"{}")[3:])
    with pytest.raises(DweError, match="is no complete gzip file"):
        list(read_entities(path))
