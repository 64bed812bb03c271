"""One picture, several mentions: they compete for it."""

import re
from itertools import permutations

import numpy as np
import pytest
import spacy
from PIL import Image
from small_encoders import DIM, Faces
from tiny_world import linking_pipeline

from spacy_dwe.building.build import build_kb
from spacy_dwe.kb.entity import Alias, Entity
from spacy_dwe.linking.mentions import mentions_of
from spacy_dwe.training.labels import labelled_mentions

SURNAMES = (
    *("Abel", "Brandt", "Castro", "Dumas", "Engel", "Fischer", "Garcia", "Hoffmann"),
    *("Ibsen", "Jansen", "Keller", "Lindqvist", "Moreau", "Novak", "Oliveira"),
    *("Petrov", "Quist", "Rossi", "Sørensen", "Tanaka"),
)
STRANGER = 99
"""A face that nobody in the KB has."""


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """Path of a picture of a face in some light."""
    folder = tmp_path_factory.mktemp("photos")

    def make(face, light=1):
        path = folder / f"{face}-{light}.png"
        Image.new("RGB", (4, 4), (face, light, 0)).save(path)
        return str(path)

    return make


@pytest.fixture(scope="module", params=["pictures", "descriptions"])
def nlp(request, tmp_path_factory, photo):
    """A linker to two people of each surname; their pictures tell them apart, or what
    is said of their faces."""
    entities = []
    for face in range(2 * len(SURNAMES)):
        surname = SURNAMES[face // 2]
        own = {"images": (photo(face, 0),)}
        if request.param == "descriptions":
            own = {"description": f"face {face}"}
        aliases = (Alias("The Boss"),) if face == 0 else ()
        entities.append(Entity(f"P{face}", surname, aliases=aliases, **own))
    path = tmp_path_factory.mktemp("kb") / "people.kb"
    return linking_pipeline(build_kb(entities, path, clip=Faces()).path)


def document(nlp, text, *images, names=SURNAMES):
    doc = nlp.make_doc(text)
    doc.ents = [
        doc.char_span(found.start(), found.end(), label="PERSON")
        for found in re.finditer("|".join(names), text)
    ]
    doc._.images = list(images)
    return doc


def ranked(ent):
    return [(c.id, c.probability, *c.scores.values()) for c in ent._.kb_candidates]


def pictured(nlp, doc):
    """How many pictures each mention has."""
    found = nlp.get_pipe("dwe_linker").evidence.pictures_of(mentions_of([doc]))
    return [len(own.vectors.get("clip", ())) for own in found]


def test_it_is_evidence_for_whom_it_shows_alone(nlp, photo):
    """In 380 documents of two names with a picture of one."""
    pairs = list(permutations(range(len(SURNAMES)), 2))
    faces = [2 * one + (one + other) % 2 for one, other in pairs]
    texts = [f"{SURNAMES[one]} met {SURNAMES[other]}." for one, other in pairs]
    shown = [document(nlp, text, photo(f)) for text, f in zip(texts, faces)]
    bare = nlp.pipe([document(nlp, text) for text in texts])
    right = 0
    for doc, without, face in zip(nlp.pipe(shown), bare, faces):
        one, other = doc.ents
        assert ranked(other) == ranked(without.ents[1])
        assert ranked(one) != ranked(without.ents[0])
        right += one.kb_id_ == f"P{face}"
    assert right == len(pairs)


def test_a_mention_without_rivals_has_it_whoever_it_shows(nlp, photo):
    assert pictured(nlp, document(nlp, "Abel won.", photo(STRANGER))) == [1]
    twice = document(nlp, "Abel won. Abel lost.", photo(STRANGER))
    assert pictured(nlp, twice) == [1, 1]


def test_two_names_of_one_entity_share_it(nlp, photo):
    names = ("Abel", "The Boss", "Brandt")
    doc = document(nlp, "Abel is The Boss of Brandt.", photo(0), names=names)
    assert pictured(nlp, doc) == [1, 1, 0]


def test_who_is_not_in_the_kb_has_none(nlp, photo):
    names = ("Abel", "Tuesday", "London")
    text = "On Tuesday Abel was in London."
    assert pictured(nlp, document(nlp, text, photo(0), names=names)) == [0, 1, 0]
    doc = document(nlp, "London on Tuesday.", photo(0), names=names)
    assert pictured(nlp, doc) == [0, 0]


def test_each_of_several_pictures_goes_to_its_own(nlp, photo):
    doc = document(nlp, "Abel met Brandt and Castro.", photo(1), photo(2), photo(3))
    assert pictured(nlp, doc) == [1, 2, 0]


def test_unreadable_pictures_belong_to_nobody(nlp, photo):
    doc = document(nlp, "Abel met Brandt.", "missing.png", photo(1))
    with pytest.warns(UserWarning, match=r"missing\.png"):
        assert pictured(nlp, doc) == [1, 0]


def test_own_pictures_are_not_shared_and_count_more(nlp, photo):
    doc = document(nlp, "Abel met Brandt.", photo(1))
    doc.ents[1]._.images = [photo(3)]
    assert pictured(nlp, doc) == [1, 1]
    alone = document(nlp, "Brandt won.", photo(3))
    shown, own = (nlp(each).ents[-1] for each in (alone, doc))
    assert shown.kb_id_ == own.kb_id_ == "P3"
    assert (
        own._.kb_candidates[0].scores["image"]
        > shown._.kb_candidates[0].scores["image"]
    )


def test_a_document_may_be_split_over_batches(nlp, photo):
    doc = document(nlp, f"{' and '.join(SURNAMES)} met.", photo(4), photo(7))
    evidence, mentions = nlp.get_pipe("dwe_linker").evidence, mentions_of([doc])
    whole = evidence.pictures_of(mentions)
    assert sum(len(own.vectors["clip"]) for own in whole if own.vectors) == 2
    for mention, own in zip(mentions, whole):
        (found,) = evidence.pictures_of([mention])
        np.testing.assert_equal(found.vectors, own.vectors)


def test_mentions_are_equal_where_their_rivals_are(nlp, photo):
    one, same, other = (
        mentions_of([document(nlp, "Abel won. " + more, photo(1))])[0]
        for more in ("Brandt lost.", "Brandt lost.", "Castro lost.")
    )
    one, same, other = ((m.text, m.images, m.sharing) for m in (one, same, other))
    assert one == same != other


def test_pictures_are_encoded_once(nlp, photo):
    fresh = spacy.blank("xx").from_config(nlp.config).from_bytes(nlp.to_bytes())
    linker = fresh.get_pipe("dwe_linker")
    linker.clip = encoder = Faces()
    texts = ("Abel met Brandt.", "Abel met Castro.", "Abel won.")
    list(fresh.pipe([document(fresh, text, photo(1)) for text in texts]))
    assert encoder.n_pictures == 1


def test_labelled_mentions_compete_in_training(nlp, photo):
    doc = document(nlp, "Abel met Brandt on Tuesday.", photo(1))
    gold = {"entities": [(0, 4, "PERSON"), (9, 15, "PERSON")]}
    gold["links"] = {(0, 4): {"P1": 1.0}, (9, 15): {"P2": 1.0}}
    example = spacy.training.Example.from_dict(doc, gold)
    mentions, _ = labelled_mentions([example], use_gold_ents=True)
    assert [m.sharing for m in mentions] == [("Abel", "Brandt")] * 2


def test_dim_pictures_belong_to_whom_they_rather_show(tmp_path, photo):
    """Where the KB's own pictures tell what a likeness says: several of each person."""
    entities = [
        Entity(
            f"P{face}",
            SURNAMES[face // 2],
            images=tuple(photo(face, light) for light in range(3)),
        )
        for face in range(2 * len(SURNAMES))
    ]
    nlp = linking_pipeline(build_kb(entities, tmp_path / "kb", clip=Faces()).path)
    faces = [2 * number for number in range(len(SURNAMES))] * 3
    lights = [DIM + number for number in range(len(faces))]

    def shares(shown):
        texts = [f"{SURNAMES[f // 2]} met {SURNAMES[f // 2 - 1]}." for f in faces]
        docs = [document(nlp, *each) for each in zip(texts, map(photo, shown, lights))]
        return np.mean([pictured(nlp, doc) for doc in docs], axis=0)

    one, other = shares(faces)
    assert one > 0.95 and other < 0.1
    assert max(shares([STRANGER] * len(faces))) < 0.15
