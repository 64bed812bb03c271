"""Examples for training, from files as a user has them, pictures and all."""

import gzip
import json

import pytest
import spacy
from PIL import Image
from spacy import registry
from spacy.tokens import DocBin
from spacy.training import Example

from spacy_dwe.errors import DweError

DOCUMENTS = [
    {
        "id": "d1",
        "text": "Georgia beat Samoa.",
        "images": ["pictures/flag.png"],
        "mentions": [
            {"start": 0, "end": 7, "kb_id": "Q230", "groups": ["undecidable"]},
            {"start": 13, "end": 18, "kb_id": None},
        ],
    },
    {
        "id": "d2",
        "text": "In Samoa-Tonga weather.",
        "mentions": [{"start": 9, "end": 14, "kb_id": "Q678"}, {"start": 3, "end": 8}],
    },
]


@pytest.fixture
def nlp():
    return spacy.blank("en")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (8, 8), "red").save(tmp_path / "pictures" / "flag.png")
    lines = "".join(json.dumps(document) + "\n" for document in DOCUMENTS)
    (tmp_path / "documents.jsonl").write_text(lines, encoding="utf-8")
    return tmp_path


@pytest.fixture
def path(folder):
    return folder / "documents.jsonl"


@pytest.fixture
def read(nlp):
    def examples(path, **settings) -> list[Example]:
        block = {"@readers": "spacy-dwe.Corpus.v1", "path": path, **settings}
        return list(registry.resolve({"corpus": block})["corpus"](nlp))

    return examples


def golds(example):
    return [(ent.text, ent.kb_id_) for ent in example.reference.ents]


def test_labels_are_read(read, path):
    first, second = read(path)
    assert golds(first) == [("Georgia", "Q230"), ("Samoa", "NIL")]
    assert golds(second) == [("Samoa", ""), ("Tonga", "Q678")]
    assert first.reference.ents[0]._.link_groups == ("undecidable",)


def test_predicted_documents_have_pictures_and_no_entities(read, path, folder):
    for example in read(path):
        assert example.predicted.ents == ()
        assert example.predicted.text == example.reference.text
    example = read(path)[0]
    (picture,) = example.predicted._.images
    assert picture == example.reference._.images[0]
    assert picture.path == str(folder / "pictures" / "flag.png")


def test_every_mention_is_a_span_of_both_documents(read, path):
    """Whatever the tokenizer makes of Samoa-Tonga."""
    example = read(path)[1]
    for ent in example.reference.ents:
        predicted = example.predicted.char_span(ent.start_char, ent.end_char)
        assert predicted is not None
        assert predicted.text == ent.text


def test_pictures_may_stand_elsewhere(read, path, folder, tmp_path):
    example = read(path, image_root=tmp_path / "elsewhere")[0]
    expected = tmp_path / "elsewhere" / "pictures" / "flag.png"
    assert example.predicted._.images[0].path == str(expected)


def test_docbins_keep_pictures_and_leak_no_annotation(read, path, nlp, folder):
    """What other components of the pipeline are to predict stays out."""
    docs = [example.reference for example in read(path)]
    for doc in docs:
        doc[0].tag_ = "NNP"
        for token in doc:
            token.is_sent_start = token.i == 0
    docbin = DocBin(docs=docs, store_user_data=True)
    docbin.to_disk(folder / "documents.spacy")
    example = read(folder / "documents.spacy")[0]
    assert golds(example) == [("Georgia", "Q230"), ("Samoa", "NIL")]
    assert example.predicted._.images == docs[0]._.images
    assert example.reference.has_annotation("SENT_START")
    for name in ("TAG", "SENT_START", "ENT_IOB"):
        assert not example.predicted.has_annotation(name)


def test_a_folder_is_read_file_by_file(read, path, folder):
    parts = folder / "parts"
    parts.mkdir()
    (parts / "b.jsonl").write_bytes(path.read_bytes())
    with gzip.open(parts / "a.jsonl.gz", "wb") as file:
        file.write(path.read_bytes())
    (parts / "readme.txt").write_text("not a document")
    assert [len(e.reference.ents) for e in read(parts)] == [2, 2, 2, 2]


@pytest.mark.parametrize("limit, expected", [(0, 2), (1, 1), (9, 2)])
def test_limit_bounds_the_documents(read, path, limit, expected):
    assert len(read(path, limit=limit)) == expected


def test_it_can_be_read_again(nlp, path):
    block = {"@readers": "spacy-dwe.Corpus.v1", "path": path}
    corpus = registry.resolve({"corpus": block})["corpus"]
    assert [golds(e) for e in corpus(nlp)] == [golds(e) for e in corpus(nlp)]


def test_mistakes_name_the_file(read, folder, path):
    with pytest.raises(DweError, match=r"no path.*--paths\.train"):
        read(None)
    with pytest.raises(DweError, match=r"absent\.jsonl"):
        read(folder / "absent.jsonl")
    empty = folder / "empty"
    empty.mkdir()
    with pytest.raises(DweError, match=r"empty.*no documents"):
        read(empty)
    with path.open("a") as file:
        file.write("{broken\n")
    with pytest.raises(DweError, match=r"documents\.jsonl, line 3"):
        read(path)
    (folder / "broken.spacy").write_bytes(b"no docbin")
    with pytest.raises(DweError, match=r"broken\.spacy"):
        read(folder / "broken.spacy")
