"""Other wordings of names, and what looks like a name and is none: variants.tsv.

Scripts, cases, accents, acronyms, possessives, tags, initials, titles before names,
typing errors, characters that are not seen; and namesakes, longer names, words spelt
alike, other numbers. A row is right where the mention alone supports the entity, or
does not, as the table says.
"""

import csv
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from spacy_dwe.building.build import build_kb
from spacy_dwe.channels.name import NameChannel, name_columns
from spacy_dwe.kb.candidates import Candidates
from spacy_dwe.kb.entity import Alias, Entity
from spacy_dwe.model.combiner import FITTED_COVERAGE, coverage_shift

RIGHT = 0.97
CANDIDATES = 100
"""As many as the linker reads."""
ESCAPED = re.compile(r"\\u([0-9a-f]{4})")
"""Characters of the table that no editor shows."""


class Variant(NamedTuple):
    kind: str
    supported: str
    mention: str
    title: str
    aliases: str

    @property
    def entity(self):
        aliases = [Alias(alias) for alias in self.aliases.split("|") if alias]
        return Entity(f"{self.title} {self.aliases}", self.title, aliases=(*aliases,))


def variants():
    lines = Path(__file__).with_name("variants.tsv").read_text(encoding="utf-8")
    rows = csv.reader(lines.splitlines()[1:], "excel-tab", quoting=csv.QUOTE_NONE)
    for row in rows:
        cells = [ESCAPED.sub(lambda code: chr(int(code[1], 16)), cell) for cell in row]
        yield Variant(*cells, *[""] * (5 - len(cells)))


VARIANTS = list(variants())
IS_NAME = np.array([variant.supported == "yes" for variant in VARIANTS])
THRESHOLD = coverage_shift(IS_NAME.mean().item(), FITTED_COVERAGE)
"""Of `match`, where an untrained linker links a mention that has one candidate: with
`kb_coverage` as large as the share of the rows that are names."""


@pytest.fixture(scope="module")
def kb(tmp_path_factory):
    """Has the entities of all rows."""
    entities = {variant.entity.id: variant.entity for variant in VARIANTS}
    return build_kb(entities.values(), tmp_path_factory.mktemp("names") / "all.kb")


@pytest.fixture(scope="module")
def rows(kb):
    """The row of each variant's entity. Shape: (len(VARIANTS),)"""
    return kb.rows_of([variant.entity.id for variant in VARIANTS])


@pytest.fixture(scope="module")
def match(kb, rows):
    """How far each mention supports its row's entity. Shape: (len(VARIANTS),)"""
    pairs = Candidates.from_lists(rows[:, None])
    columns = name_columns(kb.lexicon, [v.mention for v in VARIANTS], pairs)
    return columns[:, list(NameChannel.columns).index("match")]


def test_the_table_is_large_and_has_both_kinds():
    assert len(VARIANTS) >= 350
    assert min(Counter(IS_NAME.tolist()).values()) >= 100
    assert len({(v.mention, v.entity.id) for v in VARIANTS}) == len(VARIANTS)


def test_what_is_a_name_and_what_is_none(match):
    is_right = (match > THRESHOLD) == IS_NAME
    wrong = [
        (*v, round(float(m), 2))
        for v, m, ok in zip(VARIANTS, match, is_right)
        if not ok
    ]
    assert is_right.mean() >= RIGHT, "\n".join(map(str, wrong))


def test_search_finds_whatever_is_a_name(kb, rows):
    found = kb.search([variant.mention for variant in VARIANTS], CANDIDATES)
    missed = [
        variant
        for variant, row, own in zip(VARIANTS, rows, found)
        if variant.supported == "yes" and row not in own
    ]
    assert not missed
