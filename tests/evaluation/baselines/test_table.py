"""The rows that a linker is measured against, each right by construction."""

import pytest
import spacy
from spacy.tokens import Doc, Span
from tiny_world import NAMES, described_entities

from spacy_dwe.building.build import build_kb
from spacy_dwe.evaluation.baselines.results import shuffled_pictures
from spacy_dwe.evaluation.baselines.table import run_baselines
from spacy_dwe.kb.entity import Alias, Entity
from spacy_dwe.tokens import DOCUMENT_ID


def labelled(nlp, text, name, kb_id, number, picture=None):
    doc = nlp.make_doc(text)
    start = text.index(name)
    span = doc.char_span(start, start + len(name))
    doc.set_ents([Span(doc, span.start, span.end, label="LOC", kb_id=kb_id)])
    doc.user_data[DOCUMENT_ID] = str(number)
    if picture:
        doc._.images = [picture]
    return doc


def linking(kb, **config):
    nlp = spacy.blank("en")
    linker = nlp.add_pipe("dwe_linker", config={"device": "cpu", **config})
    linker.load_kb(kb)
    return nlp, linker


@pytest.fixture(scope="module", autouse=True)
def few_steps():
    """What is learned here, is learned soon."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spacy_dwe.evaluation.baselines.entity_linker.STEPS", 25)
        yield


def by_name(results):
    return {result.name: result for result in results}


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """A KB without vectors in which the year in the text tells namesakes apart."""
    entities = [
        Entity(f"{name}-{year}", name, f"Founded in {year}.", (Alias(f"Old {name}"),))
        for name in NAMES
        for year in (1800, 1900)
    ]
    return build_kb(entities, tmp_path_factory.mktemp("years") / "years.kb").path


def dated(nlp, years=(1800, 1900), names=NAMES):
    return [
        labelled(nlp, f"In {year} they came to {name}.", name, f"{name}-{year}", i)
        for i, (name, year) in enumerate((n, y) for n in names for y in years)
    ]


@pytest.fixture(scope="module")
def dated_rows(named):
    nlp, linker = linking(named)
    docs = dated(nlp)
    return by_name(run_baselines(nlp, linker, docs[:10], train=docs[10:], draws=100))


def test_every_row_is_there_or_says_why_not(dated_rows):
    assert list(dated_rows) == [
        "chance",
        "name only",
        "prior only",
        "text cosine",
        "CLIP text",
        "CLIP image",
        "best channel",
        "combiner",
        "linear head",
        "shuffled pictures",
        "oracle over channels",
        "spaCy EntityLinker",
    ]
    impossible = {n: r.reason for n, r in dated_rows.items() if r.metrics is None}
    assert impossible.keys() == {
        "prior only",
        "text cosine",
        "CLIP text",
        "CLIP image",
        "linear head",
        "shuffled pictures",
    }
    assert "priors" in impossible["prior only"]
    assert "picture" in impossible["shuffled pictures"]


def test_chance_is_the_mean_over_all_orders_of_the_candidates(dated_rows):
    # Each name leads to two candidates, the namesakes.
    outcomes = dated_rows["name only"].outcomes
    sizes = [outcome.n_candidates for outcome in outcomes]
    chance = dated_rows["chance"].metrics
    assert chance["top1"] == pytest.approx(sum(1 / n for n in sizes) / len(sizes))
    mrr = sum(sum(1 / k for k in range(1, n + 1)) / n for n in sizes) / len(sizes)
    assert chance["mrr"] == pytest.approx(mrr, abs=1e-6)
    assert chance["top20"] == 1.0


def test_names_alone_cannot_tell_namesakes_apart_and_fitted_features_can(dated_rows):
    assert dated_rows["name only"].metrics["top1"] == 0.0
    assert dated_rows["combiner"].metrics["top1"] == 1.0
    assert dated_rows["best channel"].note.endswith(": facts")
    assert dated_rows["combiner"].metrics["injected"] is False


def test_the_oracle_is_at_least_every_channel(dated_rows):
    best = dated_rows["oracle over channels"].outcomes
    for name in ("name only", "best channel"):
        for oracle, own in zip(best, dated_rows[name].outcomes):
            assert oracle.rank <= own.rank
    assert "upper bound" in dated_rows["oracle over channels"].note


def test_rows_without_training_documents_say_so(named):
    nlp, linker = linking(named)
    rows = by_name(run_baselines(nlp, linker, dated(nlp)[:4], draws=0))
    for name in ("best channel", "combiner", "linear head", "spaCy EntityLinker"):
        assert rows[name].metrics is None
        assert "training documents" in rows[name].reason
    assert rows["name only"].metrics["n"] == 4


def test_priors_are_a_row_where_the_kb_has_some(tmp_path):
    entities = [
        Entity("a", "Georgia", aliases=(Alias("GE", 0.9),)),
        Entity("b", "Georgia state", aliases=(Alias("GE", 0.1),)),
    ]
    nlp, linker = linking(build_kb(entities, tmp_path / "priors.kb").path)
    docs = [labelled(nlp, "GE won.", "GE", gold, gold) for gold in "ab"]
    prior = by_name(run_baselines(nlp, linker, docs, draws=0))["prior only"]
    assert [o.rank for o in prior.outcomes] == [1, 2]


def test_the_papers_protocol_puts_golds_in_for_the_rows_too(named):
    nlp, linker = linking(named)
    docs = [labelled(nlp, "They saw Atlantis.", "Atlantis", f"{NAMES[0]}-1800", 1)]
    rows = by_name(run_baselines(nlp, linker, docs, protocol="paper", draws=0))
    assert rows["name only"].metrics["injected"] is True
    honest = by_name(run_baselines(nlp, linker, docs, draws=0))
    assert honest["name only"].metrics["top20"] == 0.0


def test_pictures_and_clip_have_rows_of_their_own(kb, picture):
    nlp, linker = linking(kb)
    docs = [
        labelled(
            nlp,
            f"We saw {name} again.",
            name,
            f"{name}-{colour}",
            i,
            picture(colour, 2),
        )
        for i, (name, colour) in enumerate(
            (name, colour) for name in NAMES[:4] for colour in ("red", "blue")
        )
    ]
    rows = by_name(run_baselines(nlp, linker, docs, draws=0))
    assert rows["CLIP image"].metrics["top1"] == 1.0
    assert rows["CLIP image"].metrics["inputs"] == "text+image"
    assert rows["name only"].metrics["inputs"] == "text"
    assert rows["shuffled pictures"].metrics["top1"] < 1.0
    without = by_name(run_baselines(nlp, linker, docs, use_images=False, draws=0))
    assert without["CLIP image"].metrics is None


def test_clip_text_is_apart_from_the_text_encoder(two_encoder_kb):
    nlp, linker = linking(two_encoder_kb)
    docs = [
        labelled(nlp, f"The red {name} won.", name, f"{name}-red", name)
        for name in NAMES[:4]
    ]
    rows = by_name(run_baselines(nlp, linker, docs, draws=0))
    ours = [o.probability for o in rows["text cosine"].outcomes]
    clips = [o.probability for o in rows["CLIP text"].outcomes]
    assert ours != clips


def test_the_head_learns_what_the_features_do_not_say(two_encoder_kb):
    """Trained on texts that name the colour in words of its own."""
    nlp, linker = linking(two_encoder_kb, channels=["name", "text", "dwe"])
    words = {"red": "fire and rose", "blue": "sea and sky"}
    docs = [
        labelled(nlp, f"{name} of {words[colour]}.", name, f"{name}-{colour}", i)
        for i, (name, colour) in enumerate(
            (name, colour) for name in NAMES for colour in words
        )
    ]
    rows = by_name(run_baselines(nlp, linker, docs, train=docs, dev=docs, draws=0))
    assert rows["linear head"].metrics["top1"] > rows["combiner"].metrics["top1"]
    assert rows["linear head"].metrics["top1"] >= 0.9


def test_no_document_keeps_its_own_pictures(nlp, picture):
    docs = []
    for i in range(7):
        doc = nlp.make_doc("We saw it.")
        if i != 3:
            doc._.images = [picture("red", i % 5), f"only-{i}.png"]
        docs.append(doc)
    before = [doc._.images for doc in docs]
    shuffled = list(shuffled_pictures(docs, seed=1))
    after = [doc._.images for doc in shuffled]
    assert after[3] == ()
    assert all(own != other for own, other in zip(before, after) if own)
    assert sorted(map(str, before)) == sorted(map(str, after))
    assert [doc._.images for doc in docs] == before
    assert all(isinstance(doc, Doc) for doc in shuffled)


def test_spacys_linker_learns_what_it_can(tmp_path):
    """One name, two entities; the sentences say which."""
    entities = [
        Entity("country", "Georgia", "A country."),
        Entity("state", "Georgia", "A state."),
        *described_entities()[:2],
    ]
    nlp, linker = linking(build_kb(entities, tmp_path / "two.kb").path)
    said = {
        "country": "The mountain army of Georgia",
        "state": "Peach farmers in Georgia",
    }
    docs = [
        labelled(nlp, text, "Georgia", gold, f"{gold}-{i}")
        for gold, text in said.items()
        for i in range(20)
    ]
    rows = by_name(run_baselines(nlp, linker, docs, train=docs, draws=0))
    theirs = rows["spaCy EntityLinker"]
    assert theirs.metrics["top1"] == 1.0
    assert theirs.metrics["ece"] is None
    assert "its first counts" in theirs.note
