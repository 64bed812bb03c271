"""What stays in a room that is too small."""

from spacy_dwe.bounded import Bounded


def passes(bounded, keys, n=5):
    """RETURNS (list[int]): how many of the keys are found in each pass."""
    hits = []
    for _ in range(n):
        hits.append(0)
        for key in keys:
            if bounded.get(key) is None:
                bounded.put(key, key + 1)
            else:
                hits[-1] += 1
        assert bounded.n_bytes <= bounded.max_bytes
    return hits


def test_what_fits_stays():
    assert passes(Bounded(100, lambda key, value: 1), range(100)) == [0, *[100] * 4]


def test_passes_over_more_than_fits_find_a_share_of_it():
    for times in (2, 4):
        hits = passes(Bounded(160, lambda key, value: 1), range(160 * times))
        assert hits[0] == 0 and min(hits[1:]) >= 145


def test_what_is_asked_for_twice_in_a_row_is_found_in_a_full_room():
    bounded = Bounded(160, lambda key, value: 1)
    passes(bounded, range(160), 2)
    for key in range(1000, 1100):
        assert bounded.get(key) is None
        bounded.put(key, key)
        assert bounded.get(key) == key


def test_what_nobody_reads_any_more_makes_way():
    bounded = Bounded(100, lambda key, value: 1)
    passes(bounded, range(100))
    later = passes(bounded, range(1000, 1100), 20)
    assert later[-1] > 90


def test_values_of_many_sizes_never_take_more_than_there_is():
    bounded = Bounded(100, lambda key, value: key % 37)
    assert max(passes(bounded, range(50), 3)[1:]) > 0
    bounded.put(37 + 1, 0)
    bounded.put(37 + 1, 1)
    assert bounded.get(37 + 1) == 1
    bounded.clear()
    assert (bounded.n_bytes, len(bounded)) == (0, 0)
    tiny = Bounded(0, lambda key, value: 1)
    tiny.put(1, 1)
    assert tiny.get(1) is None and tiny.n_bytes == 0
