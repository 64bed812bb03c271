import subprocess
import sys

import numpy as np
import pytest

from spacy_dwe.kb.normalisation import BUCKETS, gram_buckets, normalise, word_buckets


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("George  O'Brien-Smith, Jr.", "george o brien smith jr"),
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


def test_hashes_are_the_same_in_another_process():
    code = (
        "from spacy_dwe.kb.normalisation import gram_buckets, word_buckets\n"
        "print(gram_buckets(['łódź'])[0].tolist(), word_buckets(['łódź']).tolist())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    own = f"{gram_buckets(['łódź'])[0].tolist()} {word_buckets(['łódź']).tolist()}"
    assert run.stdout.strip() == own
