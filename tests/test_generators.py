"""Generators of candidates within a pipeline."""

from spacy_dwe.encoders.cache import FeatureCache, MemoryStore
from spacy_dwe.linking.mentions import mentions_of

HYBRID = {"@misc": "spacy-dwe.HybridCandidates.v1", "dense_share": 0.5}


class CountingStore(MemoryStore):
    """Counts what is put into it: all that was encoded."""

    def __init__(self):
        super().__init__(1 << 24)
        self.n_put = 0

    def put(self, key, feature):
        self.n_put += 1
        super().put(key, feature)


def test_a_pipeline_says_how_candidates_were_found(two_encoder_kb, pipeline, document):
    nlp = pipeline(two_encoder_kb, generate_candidates=HYBRID, top_k=20)
    linker = nlp.get_pipe("dwe_linker")
    linker.n_candidates = 8
    linker.cache = FeatureCache(CountingStore())
    doc = nlp(document("Georgia beat Korea.", vocab=nlp.vocab))
    for ent in doc.ents:
        found_by = {c.title: c.found_by for c in ent._.kb_candidates}
        assert len(ent._.kb_candidates) >= 4
        assert {"exact", "words"} <= set(found_by.pop(ent.text))
        assert set(found_by.values()) == {("dense",)}
    # Each mention is encoded once, and once without its context.
    assert linker.cache.store.n_put == 2 * len(doc.ents)


def test_channels_without_text_encode_nothing(two_encoder_kb, pipeline, document):
    config = {"generate_candidates": HYBRID, "channels": ["name"]}
    nlp = pipeline(two_encoder_kb, **config)
    linker = nlp.get_pipe("dwe_linker")
    linker.cache = FeatureCache(CountingStore())
    doc = nlp(document("Georgia won.", vocab=nlp.vocab))
    assert {c.title for c in doc.ents[0]._.kb_candidates} == {"Georgia"}
    assert linker.cache.store.n_put == 0


def test_candidates_of_documents_are_those_that_are_scored(kb, pipeline, document):
    nlp = pipeline(kb)
    linker = nlp.get_pipe("dwe_linker")
    docs = [document("Georgia beat Korea."), document("Nobody."), document("Samoa")]
    candidates = linker.evidence.candidates(mentions_of(docs))
    scored = linker.predict(docs)
    assert [sorted(rows) for rows in candidates] == [sorted(m.rows) for m in scored]
    assert len(linker.evidence.candidates([])) == 0
    linker.n_candidates = 1
    few = linker.evidence.candidates(mentions_of(docs))
    assert [len(rows) for rows in few] == [1, 1, 1]
