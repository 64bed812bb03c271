"""The examples of docs/names.md, as they stand there."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from spacy_dwe.building.build import build_kb
from spacy_dwe.channels.matching import UNSUPPORTED
from spacy_dwe.channels.name import NameChannel, name_columns
from spacy_dwe.kb.candidates import Candidates
from spacy_dwe.kb.entity import Entity
from spacy_dwe.names.normalisation import bare, normalise, without_qualifier
from spacy_dwe.names.rarity import rarity

PAGE = Path(__file__).parents[2].joinpath("docs", "names.md")
TEXT = re.sub(
    r"\\u([0-9a-f]{4})",
    lambda code: chr(int(code[1], 16)),
    PAGE.read_text(encoding="utf-8"),
)


def pairs(sign):
    return re.findall(rf"`([^`\n]+)` {sign} `([^`\n]+)`", TEXT)


RESEMBLING = pairs("~")


@pytest.mark.parametrize(("mention", "name"), pairs("="))
def test_one_name(mention, name):
    assert normalise(bare(mention)) == normalise(name)


@pytest.mark.parametrize(("mention", "name"), pairs("≠"))
def test_another_name(mention, name):
    assert normalise(bare(mention)) != normalise(name)


@pytest.mark.parametrize(("title", "name"), pairs("has the name"))
def test_a_title_without_its_qualifier(title, name):
    assert without_qualifier(title) == name


@pytest.fixture(scope="module")
def kb(tmp_path_factory):
    """Has the names that others resemble."""
    names = dict.fromkeys(name for _, name in [*RESEMBLING, *pairs("≁")])
    folder = tmp_path_factory.mktemp("rules")
    return build_kb([Entity(name, name) for name in names], folder / "names.kb")


def match(kb, mention, name):
    pair = Candidates.from_lists([kb.rows_of([name])])
    columns = name_columns(kb.lexicon, [mention], pair)
    return columns[0, list(NameChannel.columns).index("match")]


@pytest.mark.parametrize(("mention", "name"), RESEMBLING)
def test_a_name_that_another_resembles_is_found_and_scored(kb, mention, name):
    found = kb.search([mention], len(kb))
    assert kb.rows_of([name])[0] in found[0]
    assert match(kb, mention, name) > UNSUPPORTED


@pytest.mark.parametrize(("mention", "name"), pairs("≁"))
def test_what_resembles_no_name(kb, mention, name):
    assert match(kb, mention, name) == UNSUPPORTED


def test_the_order_of_words_by_what_they_say():
    lines = re.findall(r"\| (`\w+`(?: < `\w+`)+) \|", TEXT)
    assert len(lines) == 2
    for line in lines:
        for less, more in pairwise(re.findall(r"`(\w+)`", line)):
            assert rarity(less) < rarity(more)


def test_there_are_examples_of_all():
    counts = [len(pairs(sign)) for sign in ("=", "≠", "~", "≁", "has the name")]
    assert min(counts) >= 1
    assert sum(counts) > 50
