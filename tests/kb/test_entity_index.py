import numpy as np
import pytest

from spacy_dwe.kb.vectors.entity_index import CACHED_BYTES, EntityIndex, pair_cosines
from spacy_dwe.linking.annotate import rank_order, softmax_with_nil


@pytest.fixture
def random():
    return np.random.default_rng(0)


@pytest.fixture
def vectors(random):
    """Of eighths, so that every sum of products is exact; each stands there thrice."""
    once = random.integers(-8, 8, size=(40, 6)) / 8
    return random.permutation(np.concatenate([once] * 3)).astype(np.float16)


@pytest.fixture
def queries(random):
    return (random.integers(-8, 8, size=(5, 6)) / 8).astype(np.float32)


def test_equal_scores_are_ranked_by_id():
    scores = np.array([1.0, 3.0, 1.0, 3.0], dtype=np.float32)
    assert rank_order(scores, np.array([9, 5, 2, 4])).tolist() == [3, 1, 2, 0]
    assert rank_order(np.zeros(0, np.float32), np.zeros(0, int)).tolist() == []


@pytest.mark.parametrize("n", [0, 1, 3])
@pytest.mark.parametrize("nil", [-5.0, 0.5, 9.0])
def test_nil_takes_part_in_the_softmax(n, nil):
    scores = np.array([8.0, 0.5, -4.0], dtype=np.float32)[:n]
    p, p_nil = softmax_with_nil(scores, nil)
    total = sum(np.exp(scores.tolist())) + np.exp(nil)
    np.testing.assert_allclose(p, np.exp(scores.tolist()) / total, rtol=1e-6)
    assert p_nil == pytest.approx(np.exp(nil) / total)
    assert p.dtype == np.float32


@pytest.mark.parametrize("scores, nil", [([3e4, -3e4], 0.0), ([-3e4], 3e4)])
def test_large_logits_do_not_overflow(scores, nil):
    p, p_nil = softmax_with_nil(np.array(scores, dtype=np.float32), nil)
    assert p.sum() + p_nil == 1
    assert p[0] == (scores[0] > nil)


@pytest.mark.parametrize("block_rows", [1, 7, 64, 1000])
@pytest.mark.parametrize("k", [1, 4, 50, 120, 500])
def test_top_k_is_a_sort_of_everything(vectors, queries, block_rows, k):
    """Whatever is read at a time, and though every score occurs three times."""
    index = EntityIndex(vectors, block_bytes=block_rows * 4 * len(queries))
    positions, scores = index.top_k(queries, k)
    everything = queries @ vectors.astype(np.float32).T
    for row, all_scores in enumerate(everything):
        best = sorted(range(len(vectors)), key=lambda i: (-all_scores[i], i))[:k]
        assert positions[row].tolist() == best
        assert scores[row].tolist() == all_scores[best].tolist()
    np.testing.assert_array_equal(index.scores(queries), everything)


@pytest.mark.parametrize("block_rows", [7, 1000])
def test_top_k_looks_among_live_entities_only(vectors, queries, random, block_rows):
    live = random.random(len(vectors)) < 0.4
    index = EntityIndex(vectors, block_bytes=block_rows * 4 * len(queries))
    everything = queries @ vectors.astype(np.float32).T
    for k in (1, 10, 120):
        positions, _ = index.top_k(queries, k, live)
        for row, scores in enumerate(everything):
            best = sorted(np.flatnonzero(live), key=lambda i: (-scores[i], i))[:k]
            assert positions[row].tolist() == best


def test_top_k_of_many_blocks(random):
    """Each takes several products; the last hold little that is better than what is
    known."""
    vectors = random.standard_normal((30_000, 96)).astype(np.float16)
    queries = random.standard_normal((300, 96)).astype(np.float32)
    block_bytes = 4 * 256 * 9000
    index = EntityIndex(vectors, block_bytes=block_bytes)
    assert block_bytes // 256 > CACHED_BYTES // 96
    positions, scores = index.top_k(queries, 30)
    everything = queries @ vectors.astype(np.float32).T
    expected = -np.sort(-everything, axis=1)[:, :30]
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    found = np.take_along_axis(everything, positions, axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_what_a_query_finds_does_not_depend_on_the_others(random):
    vectors = random.standard_normal((5000, 32)).astype(np.float16)
    queries = random.standard_normal((300, 32)).astype(np.float32)
    index = EntityIndex(vectors)
    positions, scores = index.top_k(queries, 10)
    for row in range(0, 300, 37):
        alone, own = index.top_k(queries[row : row + 1], 10)
        assert alone[0].tolist() == positions[row].tolist()
        assert own[0].tolist() == scores[row].tolist()


@pytest.mark.parametrize("shape", [(0, 5, 3), (4, 0, 3), (4, 5, 0)])
def test_top_k_of_nothing(vectors, shape):
    n_entities, n_queries, k = shape
    index = EntityIndex(vectors[:n_entities])
    positions, scores = index.top_k(np.ones((n_queries, 6), dtype=np.float32), k)
    assert positions.shape == scores.shape == (n_queries, min(k, n_entities))


def test_scores_of_nothing():
    empty = EntityIndex(np.zeros((0, 8), np.float32))
    assert empty.scores(np.ones((2, 8), np.float32)).shape == (2, 0)


def test_top_k_reads_a_memory_map(vectors, queries, tmp_path):
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    positions, _ = EntityIndex(mapped, block_bytes=512).top_k(queries, 3)
    np.testing.assert_array_equal(positions, EntityIndex(vectors).top_k(queries, 3)[0])


@pytest.mark.parametrize("n_pairs", [0, 1, 99, 100, 300])
def test_pair_cosines_are_equal_by_gathering_and_by_whole_matrix(random, n_pairs):
    """From 100 pairs on, the matrix of 100 entities is read as a whole."""
    vectors = random.standard_normal((100, 32)).astype(np.float16)
    queries = random.standard_normal((4, 32)).astype(np.float32)
    positions = random.integers(100, size=n_pairs)
    owners = random.integers(4, size=n_pairs)
    expected = [
        vectors[p].astype(np.float64) @ queries[o] for p, o in zip(positions, owners)
    ]
    found = pair_cosines(vectors, positions, queries, owners)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)
