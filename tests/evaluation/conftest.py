import pytest
import spacy
from spacy.tokens import Doc, Span

from spacy_dwe.building.build import build_kb
from spacy_dwe.kb.entity import Alias, Entity
from spacy_dwe.tokens import DOCUMENT_ID

ENTITIES = [
    Entity("Q1", "Georgia", "country at the Black Sea", (Alias("Sakartvelo"),)),
    Entity("Q2", "Georgia", "state of the United States", (Alias("Peach State"),)),
    Entity("Q3", "Samoa", "island country in Polynesia", (Alias("Western Samoa"),)),
    Entity("Q4", "American Samoa", "territory of the United States in Polynesia"),
]


@pytest.fixture(scope="session")
def kb_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("kb") / "places.kb"
    build_kb(ENTITIES, path)
    return path


@pytest.fixture
def nlp(kb_path):
    nlp = spacy.blank("en")
    linker = nlp.add_pipe("dwe_linker", config={"channels": ["name", "prior", "facts"]})
    linker.load_kb(kb_path)
    return nlp


@pytest.fixture
def linker(nlp):
    return nlp.get_pipe("dwe_linker")


@pytest.fixture
def labelled(nlp):
    """Make a document of words, with entities (start token, end token, kb_id)."""

    def make(text: str, *entities: tuple[int, int, str], name: str = "d1") -> Doc:
        doc = nlp.make_doc(text)
        doc.set_ents([Span(doc, s, e, label="LOC", kb_id=i) for s, e, i in entities])
        doc.user_data[DOCUMENT_ID] = name
        return doc

    return make
