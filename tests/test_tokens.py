import io

import pytest
import spacy
from PIL import Image
from spacy.tokens import Doc, DocBin, Span

from spacy_dwe.codecs import decode_msgpack, encode_msgpack
from spacy_dwe.errors import DweError
from spacy_dwe.images import GivenBox, ImageRef
from spacy_dwe.links import KBCandidate
from spacy_dwe.tokens import (
    document_name,
    has_images,
    images_at,
    register_extensions,
    replace_images,
)

GEORGE = KBCandidate(
    "Q23", "George Washington", "1st president", 0.9, {"name": 1.5}, ("words",)
)
STATE = KBCandidate("Q1223", "Washington", "state of the USA", 0.1, {"name": 1.0})


@pytest.fixture
def nlp():
    return spacy.blank("en")


def make_doc(nlp):
    doc = nlp.make_doc("Washington crossed the Delaware.")
    doc.ents = [Span(doc, 0, 1, "PERSON"), Span(doc, 3, 4, "LOC")]
    boxes = [[0, 0, 10, 20], [5, 5, 9, 9, "boat"]]
    doc._.images = [{"path": "painting.jpg", "boxes": boxes}, b"encoded picture"]
    doc.ents[1]._.images = ()
    doc.ents[0]._.kb_candidates = [GEORGE, STATE]
    doc.ents[0]._.link_groups = ["undecidable"]
    return doc


def assert_same(doc):
    picture, data = doc._.images
    boxes = GivenBox(0, 0, 10, 20), GivenBox(5, 5, 9, 9, "boat")
    assert picture == ImageRef(path="painting.jpg", boxes=boxes)
    assert data.data == b"encoded picture" and data.sha256
    first, second = doc.ents
    assert first._.images == doc._.images
    assert second._.images == ()
    assert first._.kb_candidates == (GEORGE, STATE)
    assert first._.kb_candidates[0].scores == {"name": 1.5}
    assert second._.kb_candidates == ()
    assert first._.link_groups == ("undecidable",)


def test_defaults(nlp):
    doc = nlp("Nothing here.")
    assert doc._.images == ()
    span = doc[0:1]
    assert span._.images == span._.kb_candidates == span._.link_groups == ()


def test_values_are_tuples_so_append_fails_loudly(nlp):
    doc = make_doc(nlp)
    with pytest.raises(AttributeError):
        doc._.images.append("more.jpg")
    with pytest.raises(AttributeError):
        doc.ents[0]._.kb_candidates.append(STATE)


def test_a_bad_box_is_told_with_picture_and_document(nlp):
    doc = nlp.make_doc("Georgia won.")
    bad = {"path": "flag.png", "boxes": [[0, 0, 0, 9]]}
    with pytest.raises(DweError, match=r'E209.*flag\.png of document "Georgia won'):
        doc._.images = bad
    with pytest.raises(DweError, match=r'E209.*flag\.png of document "Georgia won'):
        doc[0:1]._.images = [bad]
    assert doc._.images == ()


def test_a_mention_has_the_pictures_of_its_document_unless_set(nlp):
    doc = nlp.make_doc("Georgia beat Georgia")
    first, second = doc[0:1], doc[2:3]
    doc._.images = "flag.png"
    second._.images = "peach.png"
    assert first._.images == (ImageRef("flag.png"),)
    assert second._.images == (ImageRef("peach.png"),)
    second._.images = None
    assert second._.images == first._.images


def test_pil_images_become_encoded_bytes(nlp):
    doc = nlp.make_doc("Georgia")
    doc._.images = Image.new("RGB", (4, 4), (255, 0, 0))
    (ref,) = doc._.images
    assert Image.open(io.BytesIO(ref.data)).getpixel((0, 0)) == (255, 0, 0)
    Doc(nlp.vocab).from_bytes(doc.to_bytes())


def test_doc_bytes(nlp):
    doc = make_doc(nlp)
    assert_same(Doc(nlp.vocab).from_bytes(doc.to_bytes()))


def test_doc_bin(nlp):
    data = DocBin(docs=[make_doc(nlp)], store_user_data=True).to_bytes()
    (doc,) = DocBin().from_bytes(data).get_docs(nlp.vocab)
    assert_same(doc)


def test_copies_and_merged_documents(nlp):
    doc = make_doc(nlp)
    assert_same(doc.copy())
    with pytest.warns(UserWarning, match="W101"):
        merged = Doc.from_docs([nlp.make_doc("Look."), doc])
    assert merged.ents[0]._.kb_candidates == (GEORGE, STATE)


def test_worker_processes(nlp):
    docs = [make_doc(nlp) for _ in range(4)]
    for doc in nlp.pipe(docs, n_process=2, batch_size=1):
        assert_same(doc)


def test_a_doc_bin_opens_where_no_pipeline_was_built(fresh_python, nlp, tmp_path):
    path = tmp_path / "docs.spacy"
    DocBin(docs=[make_doc(nlp)], store_user_data=True).to_disk(path)
    code = f"""
import sys
from spacy.tokens import DocBin
from spacy.vocab import Vocab
(doc,) = DocBin().from_disk({str(path)!r}).get_docs(Vocab())
print(doc._.images[0].path, doc.ents[0]._.kb_candidates[0].id)
assert "spacy_dwe.pipeline" not in sys.modules and "PIL" not in sys.modules
"""
    done = fresh_python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["painting.jpg", "Q23"]


def test_registering_again_changes_nothing(nlp):
    doc = make_doc(nlp)
    register_extensions()
    assert_same(doc)
    assert encode_msgpack(3) == 3
    assert decode_msgpack({"a": 1}) == {"a": 1}


def test_candidates_that_do_not_say_how_they_were_found_are_read():
    fields = ["Q23", "George Washington", "1st president", 0.9, {"name": 1.5}]
    candidate = decode_msgpack({"__dwe_candidate__": fields})
    assert candidate.found_by == ()
    assert candidate.id == "Q23"


def test_a_document_is_named_by_its_id_or_its_words(nlp):
    doc = nlp.make_doc("Georgia won.")
    assert document_name(doc) == 'document "Georgia won."'
    doc.user_data["dwe_document_id"] = "d17"
    assert document_name(doc) == "document d17"
    assert len(document_name(nlp.make_doc("word " * 100))) < 60


def test_pictures_can_be_moved_to_another_document_or_taken_away(nlp):
    doc, other = make_doc(nlp), nlp.make_doc("Washington crossed the Delaware.")
    assert has_images(doc) and not has_images(other)
    replace_images(other, doc)
    assert other._.images == doc._.images
    assert images_at(other, 23, 31) == other[3:4]._.images == doc.ents[1]._.images
    replace_images(other, None)
    assert not has_images(other) and other[0:1]._.images == ()
    assert len(doc._.images) == 2
