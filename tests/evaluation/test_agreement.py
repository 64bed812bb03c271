"""Our metrics against ir-measures, which reads what `--trec` writes, on random runs."""

from dataclasses import replace

import ir_measures
import numpy as np
import pytest
from ir_measures import RR, R, Success
from made_outcomes import outcome

from spacy_dwe.evaluation.evaluate import evaluate_docs
from spacy_dwe.evaluation.outcomes import MISS, rank_of
from spacy_dwe.evaluation.predictions import write_trec
from spacy_dwe.evaluation.ranking import measure
from spacy_dwe.linking.annotate import ScoredMention


def scored(scores):
    order = np.argsort(-scores)
    zeros = np.zeros(len(scores), np.float32)
    return ScoredMention(
        doc=0,
        start=0,
        end=1,
        text="x",
        rows=order.astype(np.int32),
        found_by=np.ones(len(scores), np.uint8),
        places=order.astype(np.int32),
        scores=scores[order],
        probabilities=zeros,
        nil_score=0.0,
        nil_probability=0.0,
        nil_features=np.zeros(4, np.float32),
        contributions={},
    )


@pytest.mark.parametrize("seed", range(5))
def test_random_runs_agree(seed):
    rng = np.random.default_rng(seed)
    outcomes, run, qrels = [], [], []
    for query in range(60):
        n = int(rng.integers(1, 40))
        scores = np.round(rng.standard_normal(n).astype(np.float32), 3)
        while len(np.unique(scores)) < n:
            scores += np.float32(0.01) * rng.permutation(n).astype(np.float32)
        gold = int(rng.integers(0, n + 3))
        mention = scored(scores)
        rank = rank_of(mention, gold)
        made = outcome(rank, document=str(query))
        outcomes.append(replace(made, found_within=rank))
        qrels.append(ir_measures.Qrel(str(query), f"e{gold}", 1))
        run += [
            ir_measures.ScoredDoc(str(query), f"e{row}", float(score))
            for row, score in zip(mention.rows, mention.scores)
        ]
    ours = measure(outcomes, draws=0)
    theirs = ir_measures.calc_aggregate(
        [RR, Success @ 1, Success @ 5, R @ 10], qrels, run
    )
    assert ours["mrr"] == pytest.approx(theirs[RR], abs=1e-9)
    assert ours["top1"] == pytest.approx(theirs[Success @ 1], abs=1e-9)
    assert ours["top5"] == pytest.approx(theirs[Success @ 5], abs=1e-9)
    assert ours["recall@10"] == pytest.approx(theirs[R @ 10], abs=1e-9)
    assert ours["n_not_retrieved"] == sum(o.rank == MISS for o in outcomes)


def test_the_trec_files_of_a_run_give_its_metrics(nlp, linker, labelled, tmp_path):
    docs = [
        labelled("They flew to American Samoa.", (3, 5, "Q4"), name="a b"),
        labelled("Samoa won.", (0, 1, "Q3"), name="2"),
        labelled("Sakartvelo lost.", (0, 1, "Q2"), name="3"),
        labelled("Atlantis sank.", (0, 1, "NIL"), name="4"),
    ]
    evaluation = evaluate_docs(nlp, linker, docs, candidates="all", keep=100)
    write_trec(tmp_path, linker.kb, evaluation, 100)
    qrels = list(ir_measures.read_trec_qrels(str(tmp_path / "qrels.txt")))
    run = list(ir_measures.read_trec_run(str(tmp_path / "run.txt")))
    assert [q.query_id for q in qrels] == ["a%20b#13-27", "2#0-5", "3#0-10"]
    theirs = ir_measures.calc_aggregate([RR, Success @ 1], qrels, run)
    assert evaluation.metrics["mrr"] == pytest.approx(theirs[RR], abs=1e-6)
    assert evaluation.metrics["top1"] == pytest.approx(theirs[Success @ 1], abs=1e-6)
