"""What pictures decided, as the page of an evaluation tells it."""

import re

import pytest
from PIL import Image
from small_encoders import Faces
from tiny_world import linking_pipeline

from spacy_dwe.building.build import build_kb
from spacy_dwe.documents import Document, MentionRecord, make_docs
from spacy_dwe.evaluation.evaluate import evaluate_docs
from spacy_dwe.images import image_refs
from spacy_dwe.kb.entity import Alias, Entity
from spacy_dwe.visualise.examples import Examples, LinkedDocuments
from spacy_dwe.visualise.photographs import Photographs
from spacy_dwe.visualise.report import build_evaluation_report

N_KINDS, N_PICTURES = 8, 4
TEXTS = {
    "gala": ("We weighed the apple. It rained.", 0, "K0"),
    "fuji": ("Good. We weighed the apple.", 1, "K1"),
    "named": ("It was Kind 3, the apple.", 2, "K3"),
    "missed": ("Where is the apple?", 5, "K4"),
    "bare": ("An apple fell.", None, "K4"),
}
"""Text, what its picture shows, and what is meant."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("apples")
    for kind in range(N_KINDS):
        for light in range(N_PICTURES + 1):
            picture = Image.new("RGB", (8, 8), (10 * kind + 5, light, 0))
            picture.save(folder / f"{kind}-{light}.png")
    return folder


@pytest.fixture(scope="module")
def nlp(folder):
    """Eight kinds of apples with four pictures each."""
    entities = [
        Entity(
            f"K{kind}",
            f"Kind {kind}",
            aliases=(Alias("apple"),),
            images=tuple(f"{kind}-{light}.png" for light in range(N_PICTURES)),
        )
        for kind in range(N_KINDS)
    ]
    kb = build_kb(entities, folder / "kb", clip=Faces(), image_root=folder)
    return linking_pipeline(kb.path)


@pytest.fixture(scope="module")
def result(nlp, folder):
    documents = {}
    for name, (text, shown, gold) in TEXTS.items():
        start = text.index("apple")
        mention = MentionRecord(start, start + 5, gold, labelled=True)
        picture = None if shown is None else folder / f"{shown}-{N_PICTURES}.png"
        documents[name] = Document(name, text, image_refs(picture), (mention,))
    docs = [doc for d in documents.values() for doc in make_docs(nlp, d, True)]
    evaluation = evaluate_docs(nlp, nlp.get_pipe("dwe_linker"), docs)
    return LinkedDocuments(evaluation, documents)


@pytest.fixture
def sections(nlp, result, folder):
    linker = nlp.get_pipe("dwe_linker")
    examples = Examples(linker.kb, folder)
    found = Photographs(result, examples, linker.picture_vectors).sections()
    return {section.title.split(",")[0]: section.stories for section in found}


def test_one_sentence_with_two_pictures_has_two_links(sections):
    ((one, other),) = sections["Same sentence"]
    assert (one.before, one.mention, one.after) == ("We weighed the ", "apple", ".")
    assert (one.linked, other.linked) == ("Kind 0 (K0)", "Kind 1 (K1)")
    assert one.good and other.good and one.picture != other.picture
    assert "“apple” is a name of 8 entities" in one.why
    assert one.why.endswith("resembles Kind 0 most.")
    assert "The picture decided" not in sections


def test_the_picture_that_was_compared_is_marked(sections):
    linked, rival = sections["Same sentence"][0][0].entities
    assert (linked.id, linked.linked, linked.right) == ("K0", True, True)
    assert not rival.linked
    assert linked.likeness > rival.likeness
    for entity in (linked, rival):
        assert [each.nearest for each in entity.pictures].count(True) == 1
        assert (len(entity.pictures), entity.n_more) == (3, 1)


def test_words_that_won_and_misses_have_sections_of_their_own(sections):
    ((won,),) = sections["The picture resembles another one"]
    assert won.linked == "Kind 3 (K3)"
    assert won.why == "The picture resembles Kind 2 more, but the words say Kind 3."
    ((missed,),) = sections["Misses with a picture"]
    assert missed.verdict == "should be Kind 4 (K4)"
    assert {entity.id for entity in missed.entities} >= {"K4", "K5"}


def test_the_page_shows_them_first(nlp, result, folder):
    linker = nlp.get_pipe("dwe_linker")
    page = build_evaluation_report(
        result.evaluation,
        linker.kb,
        result.documents,
        image_root=folder,
        compare=linker.picture_vectors,
    ).page
    heads = re.findall(r"<h2>(.*?)</h2>", page)
    assert heads[0] == "Same sentence, two pictures, two links"
    assert "most alike" in page and "<mark>apple</mark>" in page
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", page)


def test_without_pictures_there_is_nothing_to_tell(nlp, linker, labelled):
    doc = labelled("An apple fell.", (1, 2, "K4"), name="1")
    evaluation = evaluate_docs(nlp, linker, [doc])
    linked = LinkedDocuments(evaluation, {"1": Document("1", doc.text)})
    examples = Examples(linker.kb, linker.kb.path)
    assert Photographs(linked, examples, linker.picture_vectors).sections() == []
