import random

from spacy_dwe.datasets.splits import words_of
from spacy_dwe.datasets.statistics import (
    SIMILAR,
    Repeats,
    repeats_between,
    repeats_within,
)


def words(*texts):
    return [words_of(text) for text in texts]


def test_case_and_punctuation_make_no_difference():
    texts = words("A flag, seen by day.", "a flag seen by day", "A flag by night")
    assert repeats_within(texts) == 1
    assert repeats_between(texts, texts[:1]) == Repeats(equal=2, similar=0)


def test_texts_that_share_most_of_their_words_in_order_are_similar():
    text = " ".join(f"word{n}" for n in range(30))
    changed = text.replace("word29", "other")
    assert repeats_between(words(changed), words(text, "short")) == Repeats(0, 1)
    scrambled = " ".join(reversed(text.split()))
    assert repeats_between(words(scrambled), words(text)) == Repeats(0, 0)


def test_texts_shorter_than_a_shingle_are_compared_whole():
    assert repeats_between(words("Bonn", ""), words("Berlin", "")) == Repeats(1, 0)


def test_the_same_as_comparing_all_with_all():
    rng = random.Random(0)
    texts = [
        tuple(rng.choice("abcd") for _ in range(rng.randint(1, 12))) for _ in range(150)
    ]
    others = [
        (*text[:-1], rng.choice("abcdxy")) for text in texts if rng.random() < 0.5
    ]

    def shingles(text):
        return {text[i : i + 3] for i in range(max(len(text) - 2, 1))}

    def is_similar(a, b):
        a, b = shingles(a), shingles(b)
        return len(a & b) / len(a | b) >= SIMILAR

    new = [text for text in texts if text not in others]
    expected = sum(any(is_similar(a, b) for b in others) for a in new)
    assert expected
    assert repeats_between(texts, others) == Repeats(len(texts) - len(new), expected)
