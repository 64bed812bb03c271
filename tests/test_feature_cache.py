"""A folder of encoder outputs that pipelines share, each in its own time."""

from spacy_dwe.encoders.store import DiskStore


def links(nlp, document, picture):
    doc = nlp(document("Georgia beat Korea.", picture("red", 1), vocab=nlp.vocab))
    return [
        [(c.id, round(c.probability, 5)) for c in ent._.kb_candidates]
        for ent in doc.ents
    ]


def test_a_later_pipeline_links_alike_and_encodes_nothing(
    kb, pipeline, document, picture, tmp_path
):
    folder = tmp_path / "features"
    plain = links(pipeline(kb), document, picture)
    first = links(pipeline(kb, feature_cache=str(folder)), document, picture)
    n_kept = len(DiskStore(folder))
    # Two mentions and one picture.
    assert n_kept == 3

    later = pipeline(kb, feature_cache=str(folder))
    assert links(later, document, picture) == first == plain
    assert len(DiskStore(folder)) == n_kept
    assert later.config["components"]["dwe_linker"]["feature_cache"] == str(folder)


def test_a_pipeline_keeps_nothing_unless_it_is_told_to(
    kb, pipeline, document, picture, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DWE_FEATURE_CACHE", raising=False)
    links(pipeline(kb), document, picture)
    assert not list(tmp_path.iterdir())
