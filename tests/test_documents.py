import gzip
import json

import pytest
import spacy

from spacy_dwe.documents import (
    MENTIONS,
    Document,
    MentionRecord,
    document_objects,
    make_docs,
    read_documents,
)
from spacy_dwe.errors import DweError
from spacy_dwe.images import GivenBox, ImageRef

LINE = {
    "id": "d1",
    "text": "Georgia beat Georgia.",
    "images": ["flags/a.png", "/abs/b.png"],
    "mentions": [
        {"start": 0, "end": 7, "kb_id": "Q230", "groups": ["undecidable"], "seen": 1},
        {"start": 13, "end": 20, "kb_id": None},
    ],
    "split": "test",
}


def write(path, *lines):
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding="utf-8") as file:
        for line in lines:
            text = line if isinstance(line, str) else json.dumps(line)
            file.write(text + "\n")
    return path


@pytest.fixture
def nlp():
    return spacy.blank("en")


@pytest.mark.parametrize("name", ["docs.jsonl", "docs.jsonl.gz"])
def test_read(tmp_path, name):
    path = write(tmp_path / name, LINE, "", {"text": "No more than this."})
    full, bare = read_documents(path)
    assert (full.id, full.text) == ("d1", "Georgia beat Georgia.")
    assert full.images == (
        ImageRef(path=str(tmp_path / "flags/a.png")),
        ImageRef(path="/abs/b.png"),
    )
    first, second = full.mentions
    assert (first.start, first.end, first.kb_id) == (0, 7, "Q230")
    assert first.groups == ("undecidable",)
    assert (first.gold, second.gold) == ("Q230", "NIL")
    assert first.source["seen"] == 1 and full.source["split"] == "test"
    assert (bare.id, bare.mentions, bare.images) == ("3", None, ())


def test_pictures_start_at_the_image_root(tmp_path):
    path = write(tmp_path / "docs.jsonl", LINE)
    (document,) = read_documents(path, image_root="photos")
    assert document.images[0].path == "photos/flags/a.png"


def test_boxes_come_and_go_with_their_picture(tmp_path, nlp):
    entry = {"path": "flags/a.png", "boxes": [[0, 0, 9, 9.5], [1, 1, 5, 5, "crown"]]}
    line = {**LINE, "images": ["b.png", entry]}
    path = write(tmp_path / "docs.jsonl", line)
    (document,) = read_documents(path, image_root="photos")
    boxes = GivenBox(0, 0, 9, 9.5), GivenBox(1, 1, 5, 5, "crown")
    plain, boxed = document.images
    assert plain == ImageRef("photos/b.png")
    assert boxed == ImageRef("photos/flags/a.png", boxes=boxes)
    (again,) = document_objects(make_docs(nlp, document))
    assert again["images"] == ["photos/b.png", {**entry, "path": boxed.path}]


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    path = tmp_path / "docs.jsonl"
    path.write_text("\ufeff" + json.dumps(LINE), encoding="utf-8")
    (document,) = read_documents(path)
    assert document.id == "d1"


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"text": None}, '"text" is a string, not absent'),
        ({"text": 7}, '"text" is a string, not 7'),
        ({"id": ["d1"]}, '"id" is a string'),
        ({"images": "a.png"}, '"images" is a list of strings'),
        ({"images": [3]}, '"images" is a list of strings'),
        ({"images": [{"boxes": []}]}, '"images" is a list of strings, or of objects'),
        (
            {"images": [{"path": "a.png", "boxes": [[0, 0, 9]]}]},
            "[0, 0, 9] is no box on a.png of document d2",
        ),
        ({"mentions": {}}, '"mentions" is a list'),
        ({"mentions": ["Georgia"]}, 'mention 1 is an object, not "Georgia"'),
        ({"mentions": [{"start": 0}]}, 'mention 1: "end" is a whole number'),
        ({"mentions": [{"start": 0.0, "end": 7}]}, '"start" is a whole number'),
        ({"mentions": [{"start": True, "end": 7}]}, '"start" is a whole number'),
        ({"mentions": [{"start": 0, "end": 22}]}, "0 to 22 are not in the text"),
        ({"mentions": [{"start": 7, "end": 7}]}, "7 to 7 are not in the text"),
        ({"mentions": [{"start": -1, "end": 7}]}, "-1 to 7 are not in the text"),
        ({"mentions": [{"start": 7, "end": 8}]}, "only white space"),
        ({"mentions": [{"start": 0, "end": 7, "kb_id": 5}]}, '"kb_id" is an id'),
        ({"mentions": [{"start": 0, "end": 7, "groups": "x"}]}, '"groups" is a list'),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path, change, reason):
    path = write(tmp_path / "docs.jsonl", LINE, {**LINE, "id": "d2", **change})
    with pytest.raises(DweError) as error:
        list(read_documents(path))
    assert f"{path}, line 2" in str(error.value)
    assert reason in str(error.value)


@pytest.mark.parametrize(
    "line, reason",
    [
        (b'{"text": "broken', "Invalid control character|Unterminated string"),
        (b"[1, 2]", "an object"),
        (b'{"text": "caf\xe9"}', "not UTF-8"),
        (b'{"text": "x"} {"text": "y"}', "Extra data"),
    ],
)
def test_lines_that_are_not_json(tmp_path, line, reason):
    path = tmp_path / "docs.jsonl"
    path.write_bytes(json.dumps(LINE).encode() + b"\n" + line + b"\n")
    with pytest.raises(DweError, match=rf"docs\.jsonl, line 2.*({reason})"):
        list(read_documents(path))


def test_an_id_names_one_document(tmp_path):
    path = write(tmp_path / "docs.jsonl", LINE, {"text": "Other"}, LINE)
    with pytest.raises(DweError, match=r"line 3: the id 'd1' stands in line 1"):
        list(read_documents(path))


def test_files_that_are_no_files(tmp_path):
    with pytest.raises(DweError, match=r"E001.*nothing\.jsonl"):
        list(read_documents(tmp_path / "nothing.jsonl"))
    with pytest.raises(DweError, match="E005"):
        list(read_documents(tmp_path))
    (tmp_path / "plain.jsonl.gz").write_text("{}")
    with pytest.raises(DweError, match=r"E233.*plain\.jsonl\.gz is no complete gzip"):
        list(read_documents(tmp_path / "plain.jsonl.gz"))


def document(text, *spans, **more):
    mentions = tuple(MentionRecord(start, end) for start, end in spans)
    return Document("d", text, mentions=mentions, **more)


def test_docs_carry_labels_pictures_and_groups(nlp, tmp_path):
    (read,) = read_documents(write(tmp_path / "docs.jsonl", LINE))
    (doc,) = make_docs(nlp, read, with_gold=True)
    assert [ent.kb_id_ for ent in doc.ents] == ["Q230", "NIL"]
    assert [ent._.link_groups for ent in doc.ents] == [("undecidable",), ()]
    assert doc._.images == read.images
    assert doc.user_data[MENTIONS] == (0, 1)
    (plain,) = make_docs(nlp, read)
    assert [ent.kb_id_ for ent in plain.ents] == ["", ""]


def test_mentions_keep_their_characters_whatever_the_tokenizer_does(nlp):
    text = "In the Georgia-born,Tbilisi-bred poet's  ΓΕΩΡΓΙΑland 北京市長."
    spans = [(7, 14), (20, 27), (33, 37), (41, 48), (53, 55), (55, 56)]
    (doc,) = make_docs(nlp, document(text, *spans))
    assert doc.text == text
    assert [(ent.start_char, ent.end_char) for ent in doc.ents] == spans


def test_white_space_around_a_mention_belongs_to_no_token(nlp):
    (doc,) = make_docs(nlp, document("In Georgia  now", (2, 12)))
    assert [ent.text for ent in doc.ents] == ["Georgia"]


def test_overlapping_mentions_become_several_docs(nlp):
    text = "New York Times reader"
    spans = [(0, 14), (0, 8), (9, 14), (15, 21), (0, 14)]
    docs = make_docs(nlp, document(text, *spans))
    found = {
        index: (ent.start_char, ent.end_char)
        for doc in docs
        for index, ent in zip(doc.user_data[MENTIONS], doc.ents, strict=True)
    }
    assert found == dict(enumerate(spans))
    assert len(docs) == 3 and all(doc.text == text for doc in docs)


def test_a_document_may_have_no_mentions_or_not_say(nlp):
    (none,) = make_docs(nlp, document("Georgia"))
    assert none.has_annotation("ENT_IOB") and not none.ents
    (silent,) = make_docs(nlp, Document("d", "Georgia"))
    assert not silent.has_annotation("ENT_IOB")
    (empty,) = make_docs(nlp, Document("d", ""))
    assert len(empty) == 0


def test_a_text_that_is_too_long_is_named(nlp):
    nlp.max_length = 10
    with pytest.raises(DweError, match=r"E231.*Document d has 21"):
        make_docs(nlp, Document("d", "Georgia beat Georgia."))


def test_documents_come_back_from_docs(nlp, tmp_path):
    overlapping = {
        "id": "d2",
        "text": "New York Times",
        "mentions": [{"start": 0, "end": 14, "kb_id": "Q1"}, {"start": 0, "end": 8}],
    }
    path = write(tmp_path / "docs.jsonl", LINE, overlapping)
    docs = [
        doc
        for document in read_documents(path, image_root="")
        for doc in make_docs(nlp, document, with_gold=True)
    ]
    assert len(docs) == 3
    first, second = document_objects(docs)
    del LINE["mentions"][0]["seen"]
    assert first == LINE
    assert second == overlapping


def test_bytes_cannot_be_written_as_json(nlp):
    doc = nlp("Georgia")
    doc._.images = b"picture"
    with pytest.raises(DweError, match="E234"):
        list(document_objects([doc]))
