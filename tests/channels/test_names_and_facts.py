import math

import numpy as np
import pytest

from spacy_dwe.building.build import build_kb
from spacy_dwe.channels.facts import FactsChannel, fact_columns
from spacy_dwe.channels.matching import UNSUPPORTED
from spacy_dwe.channels.name import NameChannel, name_columns
from spacy_dwe.kb.candidates import Candidates
from spacy_dwe.kb.entity import Alias, Entity
from spacy_dwe.kb.index.lexicon import years_in
from spacy_dwe.names.normalisation import gram_buckets, normalise

MENTIONS = [
    "Georgia",
    "republic of georgia",
    "Tiblisi",
    "JFK",
    "Kennedy",
    "Lodz",
    "",
    "!",
]
CONTEXTS = [
    "Atlanta is the capital of Georgia.",
    "The republic of Georgia in 1991 and 1995.",
    "",
    "In 1962 JFK was president.",
    "Kennedy, 1850.",
    "Lodz",
    "",
    "1917!",
]


NAMES = list(NameChannel.columns)


def column(values, name):
    channel = NameChannel if name in NameChannel.columns else FactsChannel
    return values[:, list(channel.columns).index(name)]


def one(kb, mention, entity, context=""):
    """Name features of a single pair, by name."""
    pair = Candidates.from_lists([kb.rows_of([entity])])
    (values,) = name_columns(kb.lexicon, [mention], pair, [context]).tolist()
    return dict(zip(NameChannel.columns, values))


def fact(kb, context, entity):
    pair = Candidates.from_lists([kb.rows_of([entity])])
    values, present = fact_columns(kb.lexicon, [context], pair)
    return {
        name: value if there else None
        for name, value, there in zip(
            FactsChannel.columns, values[0].tolist(), present[0]
        )
    }


def slow_cosines(kb, mention):
    """The best n-gram cosine of each entity, from the definition."""
    names = [
        [normalise(n) for n in (e.title, *(a.alias for a in e.aliases))] for e in kb
    ]
    every = [set(gram_buckets([name])[0].tolist()) for own in names for name in own]

    def weight(gram):
        return 1 + math.log((1 + len(every)) / (1 + sum(gram in own for own in every)))

    def norm(grams):
        return math.sqrt(sum(weight(gram) ** 2 for gram in grams))

    own = set(gram_buckets([normalise(mention)])[0].tolist())
    best = []
    for entity in names:
        others = [set(gram_buckets([name])[0].tolist()) for name in entity]
        shared = [sum(weight(gram) ** 2 for gram in own & other) for other in others]
        best.append(
            max(s / ((norm(own) or 1) * norm(o)) for s, o in zip(shared, others))
        )
    return best


def test_all_values_are_bounded_and_finite(kb):
    candidates = kb.all_rows(len(MENTIONS))
    names = name_columns(kb.lexicon, MENTIONS, candidates)
    facts, present = fact_columns(kb.lexicon, CONTEXTS, candidates)
    assert names.shape == (len(MENTIONS) * len(kb), len(NameChannel.columns))
    assert facts.shape == present.shape == (len(names), len(FactsChannel.columns))
    assert names.dtype == facts.dtype == np.float32
    match = column(names, "match")
    assert (np.isfinite(match) & (match >= UNSUPPORTED)).all()
    assert match.min() == UNSUPPORTED < 0 < match.max()
    for values in (np.delete(names, NAMES.index("match"), axis=1), facts):
        assert ((values >= 0) & (values <= 1)).all()


def test_ngram_cosine_is_the_cosine_of_the_best_name(kb):
    for mention in MENTIONS:
        values = name_columns(kb.lexicon, [mention], kb.all_rows(1))
        np.testing.assert_allclose(
            column(values, "ngram_cosine"), slow_cosines(kb, mention), atol=1e-6
        )


def test_a_pair_does_not_depend_on_the_others(kb):
    candidates = kb.all_rows(len(MENTIONS))
    names = name_columns(kb.lexicon, MENTIONS, candidates)
    facts, present = fact_columns(kb.lexicon, CONTEXTS, candidates)
    for i, (mention, context) in enumerate(zip(MENTIONS, CONTEXTS)):
        for j, row in enumerate(candidates[i]):
            pair = Candidates.from_lists([[row]])
            at = candidates.offsets[i] + j
            alone, there = fact_columns(kb.lexicon, [context], pair)
            np.testing.assert_allclose(
                name_columns(kb.lexicon, [mention], pair)[0], names[at], rtol=1e-5
            )
            np.testing.assert_allclose(alone[0], facts[at])
            np.testing.assert_array_equal(there[0], present[at])


def test_many_mentions_are_computed_like_few(kb):
    mentions = (MENTIONS * 80)[:600]
    few = name_columns(kb.lexicon, MENTIONS, kb.all_rows(len(MENTIONS)))
    many = name_columns(kb.lexicon, mentions, kb.all_rows(len(mentions)))
    np.testing.assert_allclose(many, np.tile(few, (80, 1))[: len(many)], atol=1e-6)


def test_exact_ignores_case_and_diacritics_and_exact_title_does_not(kb):
    assert one(kb, "łódź", "Q270")["exact"] == 1
    assert one(kb, "LODZ", "Q270")["exact"] == 1
    assert one(kb, "LODZ", "Q270")["exact_title"] == 0
    assert one(kb, "Łódź", "Q270")["exact_title"] == 1
    assert one(kb, "Sakartvelo", "Q230")["exact"] == 1
    assert one(kb, "Sakartvelo", "Q230")["exact_title"] == 0


def test_word_features_of_a_partial_name(kb):
    features = one(kb, "Fitzgerald Kennedy", "Q9696")
    assert features["mention_coverage"] == pytest.approx(1 / 2)
    assert features["title_coverage"] == pytest.approx(1 / 3)
    assert features["first_token"] == 0
    assert features["last_token"] == 1
    assert features["exact"] == 0
    assert 0 < features["rarity"] <= 1


def test_initials(kb):
    assert one(kb, "J.F.K.", "Q9696")["initials"] == 1
    assert one(kb, "JFK", "Q9696")["initials"] == 1
    assert one(kb, "JFK", "Q230")["initials"] == 0
    assert one(kb, "G", "Q230")["initials"] == 0


def test_a_rare_word_counts_more_than_a_common_one(kb):
    rare = one(kb, "Kennedy", "Q9696")["rarity"]
    assert rare > one(kb, "Georgia", "Q1428")["rarity"]


def test_nothing_in_common(kb):
    for mention in ("", "!", "zzz"):
        features = one(kb, mention, "Q230")
        assert features.pop("match") == UNSUPPORTED
        assert {*features.values()} == {0}


def test_what_a_mention_supports(kb):
    """A whole name more than a part, a part more than none, also of spelling."""

    def match(mention, entity="Q9696", context=""):
        pair = Candidates.from_lists([kb.rows_of([entity])])
        return column(name_columns(kb.lexicon, [mention], pair, [context]), "match")[0]

    whole, part = match("John F. Kennedy"), match("Kennedy")
    assert whole > part > match("Ted Kennedy") > UNSUPPORTED
    assert match("Jon F. Kennedy") > match("Ted Kennedy")
    assert match("JFK") > part
    assert match("Kennedy", context="John F. Kennedy spoke first.") > part
    assert match("Tbilisi") == UNSUPPORTED


def aliases(*names):
    return tuple(Alias(name) for name in names)


@pytest.fixture
def birds(tmp_path):
    entities = [
        Entity("B1", "Orchard Oriole", aliases=aliases("oriole", "Icterus spurius")),
        Entity("B2", "Baltimore Oriole", aliases=aliases("oriole")),
        Entity("B3", "Oriole", aliases=aliases("oriole", "the one")),
        Entity("P1", "Elizabeth Dole"),
        Entity("P2", "Bob Dole", aliases=aliases("Dole")),
    ]
    return build_kb(entities, tmp_path / "kb")


@pytest.mark.parametrize(
    ("context", "named"),
    [
        ("Look under Orchard Oriole; the oriole is shown.", True),
        ("Of the orchard-oriole I know an oriole or two.", True),
        ("Icterus spurius was told of: the oriole is rare.", True),
        ("An orchard, and in it an oriole.", False),
        ("A Baltimore Oriole is no oriole of mine.", False),
        ("An oriole.", False),
        ("", False),
    ],
)
def test_a_name_in_full_elsewhere_in_the_context(birds, context, named):
    assert (one(birds, "oriole", "B1", context)["named"] > 0) == named
    values, _ = NameChannel().compute(Asked("oriole", context), _all(birds), birds)
    assert (column(values, "named")[0] == column(values, "named").max()) or not named


def test_common_words_name_nobody(birds):
    assert one(birds, "oriole", "B3", "The one is an oriole.")["named"] == 0


def test_who_is_meant_by_a_part_of_a_name_may_be_another(birds):
    context = "Dole's wife, Elizabeth Dole"
    assert 0 < one(birds, "Dole", "P1", context)["named"] < 0.25
    assert one(birds, "Dole", "P2", context)["named"] == 0
    assert one(birds, "Bob", "P1", context)["named"] == 0, "no word of the mention"
    assert one(birds, "Dole", "P2", "Bob Dole")["named"] > 0.75


class Asked:
    """A mention in its context."""

    def __init__(self, text, context):
        self.texts, self.contexts = [text], [context]


def _all(kb):
    return Candidates.from_lists([np.arange(kb.n_rows, dtype=np.int32)])


def test_years():
    assert years_in("born 1917-05-29, 1963; 20170, v1.1999, 999, 1917, c2024") == [
        1917,
        1963,
        1999,
        2024,
    ]


def test_year_overlap_and_conflict(kb):
    assert fact(kb, "In 1962 and 1963", "Q9696")["year_overlap"] == 1 / 2
    assert fact(kb, "In 1962", "Q9696")["year_conflict"] == 0
    assert fact(kb, "In 1897", "Q9696")["year_conflict"] == 1 / 2
    assert fact(kb, "In 1983", "Q9696")["year_conflict"] == 1 / 2
    # One year only, of independence: what comes later in the century is no conflict.
    assert fact(kb, "In 2020", "Q230")["year_conflict"] == 0
    assert fact(kb, "In 1971", "Q230")["year_conflict"] == 1 / 2


def test_facts_that_are_missing_are_masked(kb):
    assert fact(kb, "no year", "Q9696")["year_overlap"] is None
    assert fact(kb, "In 1962", "Q1490")["year_conflict"] is None
    assert set(fact(kb, "In 1962", "Q270").values()) == {None}
    assert fact(kb, "", "Q1428")["sitelinks"] is None
    assert fact(kb, "", "Q230")["sitelinks"] == pytest.approx(0.994, abs=0.001)


def test_shared_words_leave_the_name_out(kb):
    country = fact(kb, "Georgia left the Soviet Union", "Q230")["shared_words"]
    state = fact(kb, "Georgia left the Soviet Union", "Q1428")["shared_words"]
    assert country > state
    assert fact(kb, "Georgia", "Q230")["shared_words"] == 0
    assert fact(kb, "", "Q230")["shared_words"] == 0


def test_words_that_are_shared_say_less_in_a_small_kb(tmp_path):
    """What one of twenty descriptions has, every twentieth sentence may have."""

    def shared(n):
        texts = [f"Word{i} and word{i + 1}." for i in range(n - 1)] + ["A quiet thing."]
        entities = [Entity(f"Q{i}", f"Title {i}", text) for i, text in enumerate(texts)]
        kb = build_kb(entities, tmp_path / str(n))
        return fact(kb, "The evening was quiet.", f"Q{n - 1}")

    small, large = shared(20), shared(2000)
    assert small["shared_facts"] < 0.1 < 0.25 < large["shared_facts"]
    assert small["shared_words"] == pytest.approx(large["shared_words"], abs=0.1)


def test_priors(kb):
    mentions = ["georgia", "Republic of Georgia", "peach state", "Tbilisi"]
    found = kb.priors(mentions, kb.all_rows(len(mentions))).reshape(4, -1)
    rows = kb.rows_of(["Q230", "Q1428", "Q994"])
    nan = np.nan
    np.testing.assert_allclose(
        found[:, rows],
        [[0.6, 0.4, nan], [0.9, 0.4, nan], [0.6, 0.95, nan], [0.6, 0.4, nan]],
    )


def test_no_mentions_and_no_candidates(kb):
    none = Candidates.from_lists([])
    assert name_columns(kb.lexicon, [], none).shape == (0, len(NameChannel.columns))
    assert fact_columns(kb.lexicon, [], none)[0].shape == (0, len(FactsChannel.columns))
    empty = Candidates.from_lists([[], []])
    assert len(name_columns(kb.lexicon, ["a", "b"], empty)) == 0
    assert len(fact_columns(kb.lexicon, ["a", "b"], empty)[0]) == 0
    assert len(kb.priors(["a", "b"], empty)) == 0


def test_what_stands_after_a_name_is_not_its_last_word(tmp_path):
    kb = build_kb([Entity("Q312", "Apple Inc.")], tmp_path / "apple.kb")
    for mention in ("Apple Inc.", "Apple"):
        assert one(kb, mention, "Q312")["last_token"] == 1
