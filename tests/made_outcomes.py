"""Outcomes of a linker that never ran."""

from spacy_dwe.evaluation.outcomes import MISS, Outcome


def outcome(rank, *, document="d", gold="Q1", predicted="Q1", start=0, groups=()):
    return Outcome(
        document=document,
        start=start,
        end=start + 7,
        text="Georgia",
        gold=gold,
        in_kb=rank not in (None, MISS),
        rank=rank,
        found_within=10 if rank not in (None, MISS) else MISS,
        n_candidates=100,
        predicted=predicted,
        probability=0.9,
        nil_probability=0.1,
        chance=0.5,
        groups=groups,
    )
