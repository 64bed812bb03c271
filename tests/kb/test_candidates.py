"""Candidate lists, dense retrieval, and the generators that join them."""

import numpy as np
import pytest
from named_mentions import NamedMentions
from small_encoders import WordEncoder

from spacy_dwe.building.build import build_kb
from spacy_dwe.building.update import remove_entities
from spacy_dwe.errors import DweError
from spacy_dwe.kb.candidates import Candidates, FoundBy, found_by_names
from spacy_dwe.kb.entity import Entity
from spacy_dwe.kb.generators import (
    HybridCandidates,
    dense_candidates,
    hybrid_candidates,
    name_candidates,
)
from spacy_dwe.kb.knowledge_base import DweKnowledgeBase
from spacy_dwe.kb.vectors.joint_search import Queries
from spacy_dwe.kb.vectors.sets import DESCRIPTIONS

PLACES = [
    Entity("Rome", "Rome", "old city on the river tiber"),
    Entity("Paris", "Paris", "city on the river seine"),
    Entity("Paris-TX", "Paris", "town in texas"),
    Entity("Lutetia", "Lutetia", "city on the river seine"),
    Entity("Springfield-2", "Springfield", "place in a cartoon"),
    Entity("Springfield-1", "Springfield", "place in a cartoon"),
    Entity("Olympus", "Olympus", "high mountain of the gods"),
    Entity("Atlantis", "Atlantis"),
]


class EncodedMentions(NamedMentions):
    """Mentions that are compared by their contexts alone."""

    def queries(self, names=()):
        vectors = WordEncoder().encode_texts(self.contexts)
        return {DESCRIPTIONS: Queries(vectors, np.ones(len(vectors), dtype=bool))}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    path = tmp_path_factory.mktemp("candidates") / "places.kb"
    return build_kb(PLACES, path, text_encoder=WordEncoder())


def kb_nearest(kb, contexts, n):
    return dense_candidates()(kb, EncodedMentions(contexts, contexts), n)


def ids(kb, candidates):
    return [kb.ids(rows) for rows in candidates]


def ways(candidates):
    return [found_by_names(way) for way in candidates.found_by.tolist()]


def test_the_first_of_each_mention():
    candidates = Candidates.from_lists([[3, 1, 2], [], [2, 0]], FoundBy.WORDS)
    assert [rows.tolist() for rows in candidates.head(2)] == [[3, 1], [], [2, 0]]
    assert [rows.tolist() for rows in candidates.head(0)] == [[], [], []]


@pytest.mark.parametrize(
    ("lengths", "runs"),
    [
        ([], []),
        ([0, 0], [(0, 2)]),
        ([2, 1, 0, 1], [(0, 3), (3, 4)]),
        ([5, 0, 1, 2, 1], [(0, 1), (1, 4), (4, 5)]),
    ],
)
def test_runs_of_mentions_have_at_most_so_many_candidates_or_are_one_mention(
    lengths, runs
):
    candidates = Candidates.from_lists([range(length) for length in lengths])
    assert list(candidates.runs(3)) == runs


def test_a_union_keeps_order_and_joins_the_ways():
    left = Candidates.from_lists([[3, 1], [], [2]], FoundBy.WORDS)
    right = Candidates.from_lists([[1, 9, 0], [4], []], FoundBy.DENSE)
    both = left.union(right)
    assert [rows.tolist() for rows in both] == [[3, 1, 9, 0], [4], [2]]
    words, dense = ("words",), ("dense",)
    assert ways(both) == [words, ("words", "dense"), dense, dense, dense, words]
    nothing = Candidates.from_lists([[], []])
    assert [len(rows) for rows in nothing.union(nothing)] == [0, 0]


def test_batches_are_concatenated():
    parts = [Candidates.from_lists(lists) for lists in ([[1], []], [], [[2, 3]])]
    joined = Candidates.concatenated(parts)
    assert [rows.tolist() for rows in joined] == [[1], [], [2, 3]]
    assert len(Candidates.concatenated([])) == 0


def test_the_nearest_descriptions(places):
    contexts = ["place in a cartoon", "high mountain"]
    found = dense_candidates()(places, EncodedMentions(["it", "it"], contexts), 3)
    cartoon, mountain = ids(places, found)
    # Equal entities share a vector: both are found by it, in order of their ids.
    assert cartoon[:2] == ["Springfield-1", "Springfield-2"]
    assert mountain[0] == "Olympus"
    assert len(cartoon) == len(mountain) == 3
    assert set(ways(found)) == {("dense",)}


def test_what_has_no_description_is_near_to_nothing(places):
    everything = dense_candidates()(places, EncodedMentions(["it"], ["it"]), 100)
    assert sorted(ids(places, everything)[0]) == sorted(
        place.id for place in PLACES if place.description
    )


def test_vectors_are_read_as_they_are_stored_or_converted(places):
    vectors = places.vector_sets[DESCRIPTIONS]
    rows = [*range(8), 3, 3]
    full, present = vectors.gather(rows)
    half, there = vectors.gather(rows, np.float16)
    assert (full.dtype, half.dtype) == (np.float32, np.float16)
    np.testing.assert_array_equal(full, half)
    assert 0 < present.sum() < len(rows)
    np.testing.assert_array_equal(present, there)
    assert not full[~present].any()
    np.testing.assert_allclose(np.linalg.norm(full[present], axis=1), 1, atol=1e-3)
    nothing, none = vectors.gather(np.flatnonzero(~present))
    assert nothing.shape == (len(none), vectors.dim)
    assert not nothing.any() and not none.any()


def test_dense_retrieval_ranks_as_all_cosines_do(places):
    queries = np.random.default_rng(0).standard_normal((20, 64)).astype(np.float32)
    vectors, present = places.vector_sets[DESCRIPTIONS].gather(range(8))
    cosines = np.where(present, queries @ vectors.T, -np.inf).round(5)
    keys = places.sort_keys(range(8))
    for rows, own in zip(places.nearest(DESCRIPTIONS, queries, 4), cosines):
        assert rows.tolist() == np.lexsort((keys, -own))[:4].tolist()


def test_removed_entities_are_not_found(tmp_path):
    path = build_kb(PLACES, tmp_path / "kb", text_encoder=WordEncoder()).path
    remove_entities(path, ["Springfield-1", "Olympus"])
    kb = DweKnowledgeBase(path)
    contexts = ["place in a cartoon", "high mountain of the gods"]
    found = dense_candidates()(kb, EncodedMentions(["it", "it"], contexts), 9)
    cartoon, mountain = ids(kb, found)
    assert cartoon[0] == "Springfield-2"
    assert [len(names) for names in ids(kb, kb_nearest(kb, contexts, 1))] == [1, 1]
    left = ["Lutetia", "Paris", "Paris-TX", "Rome", "Springfield-2"]
    assert sorted(cartoon) == sorted(mountain) == left


def test_names_come_first_and_share_the_places(places):
    mentions = EncodedMentions(["Paris"], ["high mountain of the gods"])
    found = HybridCandidates(dense_share=0.25)(places, mentions, 4)
    assert ids(places, found) == [["Paris", "Paris-TX", "Olympus"]]
    assert ways(found)[1:] == [("exact", "words"), ("dense",)]
    narrow = HybridCandidates(dense_share=0.5)(places, mentions, 2)
    assert ids(places, narrow) == [["Paris", "Olympus"]]


def test_places_of_what_both_found_go_back_to_names(places):
    mentions = EncodedMentions(["Paris"], ["Paris. city on the river seine"])
    found = HybridCandidates(dense_share=0.5)(places, mentions, 2)
    assert ids(places, found) == [["Paris", "Paris-TX"]]
    assert ways(found) == [("exact", "words", "dense"), ("exact", "words")]


def test_without_vectors_hybrid_is_by_name(places):
    mentions = NamedMentions(["Paris", "Olimpus"])
    by_name = name_candidates()(places, mentions, 10)
    assert ids(places, hybrid_candidates()(places, mentions, 10)) == ids(
        places, by_name
    )
    with pytest.raises(DweError, match=r"E160.*--text-encoder"):
        dense_candidates()(places, mentions, 10)


def test_generators_that_are_configured_alike_are_equal():
    assert hybrid_candidates(0.1) == hybrid_candidates(0.1) != hybrid_candidates()
