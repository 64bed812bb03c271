"""Which entities are ranked, and whether the right one is helped."""

import pytest
from named_mentions import NamedMentions

from spacy_dwe.errors import DweError
from spacy_dwe.evaluation.evaluate import WithGold, evaluate_docs
from spacy_dwe.kb.generators import fuzzy_candidates


def test_fuzzy_candidates_are_in_the_order_of_wratio(linker):
    from rapidfuzz import fuzz, utils

    kb = linker.kb
    found = fuzzy_candidates()(kb, NamedMentions(["Amercan samoa", "Sakartvelo"]), 3)
    ids = [kb.ids(rows) for rows in found]
    assert ids[0][0] == "Q4" and ids[1][0] == "Q1"

    def best(mention, entity):
        names = [entity.title, *(alias.alias for alias in entity.aliases)]
        process = utils.default_process
        return max(fuzz.WRatio(mention, name, processor=process) for name in names)

    entities = sorted(kb, key=lambda e: (-best("Amercan samoa", e), e.id))
    assert ids[0] == [e.id for e in entities][:3]


def test_a_gold_that_is_not_found_is_put_in_place_of_the_last(linker):
    kb = linker.kb
    generate = WithGold(fuzzy_candidates())
    georgia, state, samoa = kb.rows_of(["Q1", "Q2", "Q3"]).tolist()
    generate.expect([samoa, georgia, -1])
    found = generate(kb, NamedMentions(["Georgia", "Georgia", "Georgia"]), 2)
    assert [rows.tolist() for rows in found] == [
        [georgia, samoa],
        [georgia, state],
        [georgia, state],
    ]


def test_the_papers_protocol_says_that_golds_were_put_in(nlp, linker, labelled):
    docs = [
        labelled("Atlantis won.", (0, 1, "Q3"), name="1"),
        labelled("Samoa won.", (0, 1, "Q3"), name="2"),
        labelled("Atlantis won.", (0, 1, "NIL"), name="3"),
    ]
    own = linker.generate_candidates, linker.n_candidates
    paper = evaluate_docs(nlp, linker, docs, protocol="paper")
    assert paper.metrics["protocol"] == "paper"
    assert paper.metrics["injected"] is True
    assert (linker.generate_candidates, linker.n_candidates) == own
    # All four entities fit into 100, so nothing had to be put in.
    assert paper.metrics["n_injected"] == 0

    honest = evaluate_docs(nlp, linker, docs, protocol="candidates")
    assert honest.metrics["injected"] is False
    assert honest.outcomes[0].rank == float("inf")


def test_an_injected_gold_is_never_counted_as_found(nlp, linker, labelled, monkeypatch):
    monkeypatch.setattr("spacy_dwe.evaluation.evaluate.PAPER_CANDIDATES", 1)
    doc = labelled("Georgia won.", (0, 1, "Q3"))
    paper = evaluate_docs(nlp, linker, [doc], protocol="paper")
    (outcome,) = paper.outcomes
    assert outcome.injected and outcome.rank == 1
    assert outcome.predicted in ("Q3", None)
    assert paper.metrics["n_injected"] == 1
    assert paper.metrics["recall@100"] == 0


def test_the_full_protocol_ranks_everything(nlp, linker, labelled):
    doc = labelled("Georgia won.", (0, 1, "Q3"))
    full = evaluate_docs(nlp, linker, [doc], protocol="full")
    assert full.metrics["protocol"] == "full"
    assert full.outcomes[0].n_candidates == 4
    assert full.metrics["recall@10"] == 1.0


def test_a_protocol_with_other_candidates_is_refused(nlp, linker, labelled):
    doc = labelled("Georgia won.", (0, 1, "Q1"))
    with pytest.raises(DweError, match="'paper' has its own candidates"):
        evaluate_docs(nlp, linker, [doc], protocol="paper", candidates="exact")
    with pytest.raises(DweError, match="candidates, full, paper"):
        evaluate_docs(nlp, linker, [doc], protocol="injected")


def test_recall_is_by_the_place_at_which_the_gold_was_found(nlp, linker, labelled):
    docs = [labelled("Samoa won.", (0, 1, "Q4"), name="1")]
    evaluation = evaluate_docs(nlp, linker, docs)
    # Samoa itself is found first, American Samoa behind it.
    assert evaluation.metrics["recall@1"] == 0
    assert evaluation.metrics["recall@10"] == 1
    assert evaluation.outcomes[0].found_within == 2


def test_breakdowns_tell_kinds_of_mentions_apart(nlp, linker, labelled):
    docs = [
        labelled("Georgia won.", (0, 1, "Q1"), name="1"),
        labelled("Samoa won.", (0, 1, "Q3"), name="2"),
    ]
    docs[1]._.images = ["flag.jpg"]
    measured = evaluate_docs(nlp, linker, docs, use_images=True, seen={"Q1"}).metrics
    parts = measured["breakdowns"]
    assert parts["type"].keys() == {"LOC"}
    assert parts["ambiguity"].keys() == {"1", "2–5"}
    assert parts["image"].keys() == {"with", "without"}
    assert parts["seen"].keys() == {"seen", "unseen"}
    assert parts["seen"]["unseen"]["top1"] == 1.0
    assert {p["n"] for kind in ("ambiguity", "seen") for p in parts[kind].values()} == {
        1
    }
    unknown = evaluate_docs(nlp, linker, docs).metrics
    assert unknown["breakdowns"]["seen"] == {}


def test_the_gold_is_kept_beside_the_best_candidates(nlp, linker, labelled):
    doc = labelled("Georgia won.", (0, 1, "Q4"))
    evaluation = evaluate_docs(nlp, linker, [doc], candidates="all", keep=2)
    ids = linker.kb.ids(evaluation.scored[0].rows)
    assert len(ids) == 3 and ids[-1] == "Q4"
    assert len(evaluation.scored[0].contributions["name"]) == 3
