import numpy as np
import pytest

from spacy_dwe.names.normalisation import (
    BUCKETS,
    gram_buckets,
    normalise,
    text_hash,
    word_buckets,
)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("George  O'Brien-Smith, Jr.", "george obrien smith junior"),
        ("François Łódź", "francois lodz"),
        ("STRASSE", normalise("Straße")),
        ("Ærøskøbing", "aeroskobing"),
        ("İstanbul", "istanbul"),
        ("Νίκος", normalise("ΝΙΚΟΣ")),
        ("Киёв", "киев"),
        ("ﬁne ＦＵＬＬ", "fine full"),
        ("東京タワー", "東 京 タ ワ ー"),
        ("서울 특별시", "서울 특별시"),
        ("हिन्दी भाषा", "हिन्दी भाषा"),
        ("!!!", "!!!"),
        ("\t \n", ""),
    ],
)
def test_normalise(text, normal):
    assert normalise(text) == normal
    assert normalise(normal) == normal


def test_voiced_kana_stay_another_word():
    assert normalise("が") != normalise("か")


def test_grams_of_each_text_are_the_same_alone_and_among_others():
    keys = ["ab", "abcabc", "", "東 京", "x"]
    buckets, offsets = gram_buckets(keys)
    assert buckets.max() < BUCKETS
    for key, start, end in zip(keys, offsets, offsets[1:]):
        alone, _ = gram_buckets([key])
        np.testing.assert_array_equal(buckets[start:end], alone)
    assert np.diff(offsets).tolist() == [2, 5, 0, 3, 1]


def test_no_texts():
    buckets, offsets = gram_buckets([])
    assert len(buckets) == 0
    assert offsets.tolist() == [0]


def test_hashes_do_not_change():
    """They are on disk: another value here makes every KB unreadable."""
    assert text_hash("łódź") == 10195575229243442603
    assert word_buckets(["lodz", "京"]).tolist() == [6804, 61731]
    assert gram_buckets(["lodz"])[0].tolist() == [56154, 101927, 215657, 231172]
