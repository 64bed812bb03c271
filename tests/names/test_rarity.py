import pytest

from spacy_dwe.names.normalisation import normalise
from spacy_dwe.names.rarity import (
    AFTER_NAMES,
    BEFORE_NAMES,
    LETTER,
    LEVELS,
    MINOR,
    NUMBER,
    common_words,
    rarity,
    weights,
)


def test_common_words_are_listed_as_they_are_looked_up():
    words = common_words()
    assert len(words) > 1000
    assert 0 < min(words.values()) <= max(words.values()) < LEVELS
    # A word before or after another: some are written out there.
    assert [w for w in words if normalise(w) != w] == []


def test_days_and_months_are_common():
    assert max(map(rarity, ["tuesday", "may", "december"])) < rarity("kennedy")


def test_what_is_not_listed_is_rare():
    assert rarity("schwarzenegger") == 1
    assert rarity("747") == NUMBER
    assert rarity("x") == rarity("東") == LETTER


@pytest.mark.parametrize(
    ("name", "minor"),
    [
        ("president obama", "president"),
        ("mrs thatcher", "mrs"),
        ("apple inc", "inc"),
        ("robert downey junior", "junior"),
    ],
)
def test_what_stands_beside_names_says_little(name, minor):
    words = name.split()
    own = dict(zip(words, weights(words)))
    for word in words:
        factor = MINOR if word == minor else 1
        assert own[word] == pytest.approx(factor * rarity(word))


@pytest.mark.parametrize("name", ["king", "inc", "stephen king", "junior high"])
def test_elsewhere_it_is_a_word_as_any_other(name):
    words = name.split()
    assert weights(words) == [rarity(word) for word in words]


def test_they_are_listed_as_normalised():
    assert {normalise(w) for w in BEFORE_NAMES} == BEFORE_NAMES
    assert {normalise(w) for w in AFTER_NAMES} == AFTER_NAMES
