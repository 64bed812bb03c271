"""Search in several vector sets at once, beside the sums worked out one by one."""

import numpy as np
import pytest

from spacy_dwe.kb.vectors.joint_search import JointSearch, Queries
from spacy_dwe.kb.vectors.sets import SetName, VectorSet

N, DIM = 300, 8
TEXTS, PICTURES = SetName("description", "text"), SetName("image", "pictures")


def units(random, n):
    vectors = random.normal(size=(n, DIM))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def vector_set(name, random, most):
    """Entities have up to so many vectors each, some none."""
    counts = random.integers(0, most + 1, N)
    return VectorSet(
        name=name,
        fingerprint="random",
        spec={},
        dim=DIM,
        mean=0.1,
        std=0.25,
        cross_mean=None,
        cross_std=None,
        array=units(random, counts.sum()).astype(np.float16),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
        places=random.permutation(counts.sum()).astype(np.int32),
    )


@pytest.fixture(scope="module")
def sets():
    random = np.random.default_rng(0)
    return {
        TEXTS: vector_set(TEXTS, random, 1),
        PICTURES: vector_set(PICTURES, random, 3),
    }


@pytest.fixture(scope="module")
def queries():
    """The last mention has nothing to be compared by."""
    random = np.random.default_rng(1)
    texts, pictures = random.random((2, 30)) < 0.7
    texts[-1] = pictures[-1] = False
    return {
        TEXTS: Queries(units(random, 30).astype(np.float32), texts, 0.5, 0.3),
        PICTURES: Queries(units(random, 30).astype(np.float32), pictures, 2.0, -0.2),
    }


def search(sets, live=None):
    sort_key = np.arange(N)[::-1]
    return JointSearch(sets, live=live, sort_key=sort_key, device="cpu")


def sums(sets, queries, mention):
    """Score of each entity; NaN where no set says anything."""
    total = np.full(N, np.nan)
    for name, own in queries.items():
        vectors = sets[name]
        if not own.present[mention]:
            continue
        for row in range(N):
            places = vectors.places[vectors.offsets[row] : vectors.offsets[row + 1]]
            if len(places):
                cosines = vectors.array[places].astype(np.float32)
                nearest = (cosines @ own.vectors[mention]).max()
                said = (nearest - vectors.mean) / vectors.std * own.weight + own.bias
                total[row] = np.nan_to_num(total[row]) + said
    return total


@pytest.mark.parametrize("block_bytes", [None, 4 * 30 * 37])
def test_entities_are_found_by_what_the_sets_say_together(
    sets, queries, block_bytes, monkeypatch
):
    """Whether in one block or in many."""
    if block_bytes:
        module = "spacy_dwe.kb.vectors.joint_search"
        monkeypatch.setattr(f"{module}.BLOCK_BYTES", block_bytes)
        monkeypatch.setattr(f"{module}.CACHED_BYTES", 4 * 100)
    live = np.arange(N) % 7 > 0
    found = search(sets, live)(queries, 20)
    for mention in range(29):
        scores = np.where(live, sums(sets, queries, mention), np.nan)
        known = np.flatnonzero(~np.isnan(scores))
        best = known[np.lexsort((-known, -scores[known].round(5)))][:20]
        assert found[mention].tolist() == best.tolist()
    assert len(found[29]) == 0


def test_what_a_mention_finds_does_not_depend_on_others(sets, queries):
    together = search(sets)(queries, 400)
    for mention in range(30):
        own = {name: each[mention : mention + 1] for name, each in queries.items()}
        np.testing.assert_array_equal(search(sets)(own, 400)[0], together[mention])


def test_there_may_be_no_mentions(sets, queries):
    none = {name: each[:0] for name, each in queries.items()}
    assert len(search(sets)(none, 5)) == 0
