import pytest

from spacy_dwe.names.forms import (
    INITIALS,
    abbreviations,
    acronyms,
    alike,
    beginning,
    forms,
    spellings,
)

UNEQUAL = [
    ("schwarzeneger", "schwarzenegger"),
    ("einstien", "einstein"),
    ("merkle", "merkel"),
    ("hilary", "hillary"),
    ("大統領府", "大統領"),
]


@pytest.mark.parametrize(("word", "other"), UNEQUAL)
def test_words_that_lose_a_letter_each_are_spelt_alike(word, other):
    assert {*spellings(word)} & {*spellings(other)}
    assert 0 < alike(word, other) == alike(other, word) < 1


@pytest.mark.parametrize("word", ["cat", "東京", "x" * 25, ""])
def test_what_is_short_or_very_long_has_one_spelling(word):
    assert spellings(word) == ()


def test_short_words_are_less_alike_than_long_ones_and_first_letters_count():
    assert alike("iran", "iraq") < alike("reagan", "regan")
    assert alike("lennon", "mennon") < alike("lennon", "lennin")


def test_beginnings_count_less_than_spelling_and_more_than_nothing():
    assert 0 < alike("america", "americans") < alike("america", "amerika")
    assert alike("paris", "london") == alike("car", "cat") == 0
    assert beginning("american") == beginning("amerika") != ""
    assert beginning("ame") == ""


def test_acronyms_leave_out_small_words():
    words = ["united", "states", "of", "america"]
    assert acronyms(words) == ["usoa", "usa", "usa"]
    assert acronyms(["bank", "for", "the", "poor"]) == ["bftp", "bftp", "bp"]
    assert acronyms(["nasa"]) == ["", "", ""]


@pytest.mark.parametrize(
    ("mention", "name"),
    [
        ("usa", "united states of america"),
        ("jfk", "john f kennedy"),
        ("j kennedy", "john f kennedy"),
        ("jrr tolkien", "john ronald reuel tolkien"),
        ("kennedy j", "john f kennedy"),
    ],
)
def test_abbreviations_are_forms_of_what_they_abbreviate(mention, name):
    assert {*abbreviations(mention.split())} & {*forms(name.split())}


def test_what_abbreviates_nothing():
    assert abbreviations(["x" * INITIALS.stop]) == []
    assert abbreviations([]) == abbreviations(["john", "kennedy"]) == []
    assert abbreviations(["r", "li"]) == []
    assert not {*abbreviations(["r", "kennedy"])} & {*forms(["john", "kennedy"])}


def test_joined_words_are_forms():
    assert {"+dicaprio", "+jonbenet"} <= {*forms(["jon", "benet", "di", "caprio"])}
    assert "+jonbenetdi" in forms(["jon", "benet", "di"])
