"""Encoder outputs on disk: what one run encoded, no later run encodes again."""

import multiprocessing
import os
import signal
import sqlite3

import numpy as np
import pytest

from spacy_dwe.encoders.cache import MENTIONS, FeatureCache
from spacy_dwe.encoders.protocol import MentionFeatures, MentionText, Reading
from spacy_dwe.encoders.store import (
    FILE_NAME,
    DiskStore,
    feature_cache,
    folder_beside,
)
from spacy_dwe.encoders.visual.boxes import Box
from spacy_dwe.encoders.visual.findings import (
    Attribute,
    Face,
    Region,
    Scene,
    VisualEvidence,
)
from spacy_dwe.errors import DweError

MENTION = MENTIONS[Reading.STATES]


def vector(n, size=100):
    return np.random.default_rng(n).standard_normal(size).astype(np.float32)


def key(n):
    return ("text", "fingerprint", f"text {n}")


def test_outputs_come_back_bit_by_bit_in_a_later_run(tmp_path):
    mention = MentionText("London won, Zürich lost", 0, 6)
    states = vector(1, 40).reshape(5, 8)
    put = MentionFeatures(vector(2, 8), states, slice(0, 2), vector(3, 32))
    store = DiskStore(tmp_path)
    store.put(key(0), vector(0))
    store.put((MENTION, "fingerprint", mention), put)

    later = DiskStore(tmp_path)
    np.testing.assert_array_equal(later.get(key(0)), vector(0))
    found = later.get((MENTION, "fingerprint", mention))
    np.testing.assert_array_equal(found.states, states)
    np.testing.assert_array_equal(found.pooled, put.pooled)
    np.testing.assert_array_equal(found.edges, put.edges)
    assert found.mention == slice(0, 2)
    assert found.states.dtype == np.float32


@pytest.mark.parametrize(
    "other",
    [
        ("mention", "fingerprint", "text 0"),
        ("text", "another", "text 0"),
        ("text", "fingerprint", "text 1"),
        ("text", "fingerprinttext", " 0"),
    ],
)
def test_only_equal_kind_encoder_and_content_are_the_same(tmp_path, other):
    DiskStore(tmp_path).put(key(0), vector(0))
    assert DiskStore(tmp_path).get(other) is None


def test_mentions_at_other_places_of_a_text_differ(tmp_path):
    store = DiskStore(tmp_path)
    states = vector(1).reshape(10, 10)
    features = MentionFeatures(vector(0), states, slice(0, 1), vector(2, 40))
    store.put((MENTION, "f", MentionText("a a", 0, 1)), features)
    assert DiskStore(tmp_path).get((MENTION, "f", MentionText("a a", 2, 3))) is None


def test_an_encoder_is_not_asked_twice(tmp_path, clip):
    encoder = clip("clip")
    first = feature_cache(tmp_path).texts(encoder, ["a", "b"])

    class Silent:
        fingerprint, dim = encoder.fingerprint, encoder.dim

        def encode_texts(self, texts, progress=None):
            raise AssertionError(texts)

    np.testing.assert_array_equal(
        feature_cache(tmp_path).texts(Silent(), ["b", "a"]), first[::-1]
    )


def test_the_variable_names_the_folder_where_nothing_else_does(tmp_path, monkeypatch):
    monkeypatch.setenv("DWE_FEATURE_CACHE", str(tmp_path / "named"))
    assert feature_cache().store.folder == tmp_path / "named"
    assert feature_cache(tmp_path / "config").store.folder == tmp_path / "config"


def aged(folder, seconds=100_000):
    """What is there was last used so long ago."""
    with sqlite3.connect(folder / FILE_NAME) as db:
        db.execute("UPDATE features SET used = used - ?", (seconds,))
    db.close()


@pytest.fixture
def room(tmp_path):
    """Bytes of so many vectors on disk."""
    store = DiskStore(tmp_path / "one")
    store.put(key(0), vector(0))
    return lambda n: n * store.n_bytes


def test_the_disk_is_bounded_and_what_is_stale_makes_way(tmp_path, room):
    store = DiskStore(tmp_path / "some", max_bytes=room(5), memory_bytes=0)
    for n in range(5):
        store.put(key(n), vector(n))
    aged(tmp_path / "some")
    store.get(key(0))
    store.put(key(5), vector(5))
    kept = [n for n in range(6) if store.get(key(n)) is not None]
    assert kept[0] == 0 and kept[-1] == 5 and 1 not in kept
    assert store.n_bytes <= room(5) and len(store) == len(kept)
    store.put(key(6), vector(6, 10_000))
    assert store.get(key(6)) is None, "larger than everything there is room for"


def test_epochs_over_twice_the_bound_find_half_of_it_on_disk(tmp_path, room):
    store = DiskStore(tmp_path / "some", max_bytes=room(20), memory_bytes=0)
    hits = []
    for _ in range(3):
        hits.append(0)
        for n in range(40):
            if store.get(key(n)) is None:
                store.put(key(n), vector(n))
            else:
                hits[-1] += 1
    assert hits == [0, 20, 20] and store.n_bytes <= room(20)


def write_many(folder, first):
    store = DiskStore(folder, memory_bytes=0)
    for n in range(first, first + 60):
        store.put(key(n), vector(n))


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_processes_share_a_folder(tmp_path, method):
    start = multiprocessing.get_context(method)
    inherited = DiskStore(tmp_path, memory_bytes=0)
    workers = [
        start.Process(target=write_many, args=(tmp_path, first)) for first in (0, 30)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    for n in range(90):
        np.testing.assert_array_equal(inherited.get(key(n)), vector(n))


def test_a_killed_writer_leaves_whole_outputs(tmp_path):
    worker = multiprocessing.get_context("spawn").Process(
        target=write_many, args=(tmp_path, 0)
    )
    store = DiskStore(tmp_path, memory_bytes=0)
    worker.start()
    while len(store) < 3 and worker.is_alive():
        pass
    os.kill(worker.pid, signal.SIGKILL)
    worker.join(60)
    there = [n for n in range(60) if store.get(key(n)) is not None]
    assert len(there) == len(store) >= 3
    for n in there:
        np.testing.assert_array_equal(store.get(key(n)), vector(n))
    write_many(tmp_path, 0)
    assert len(store) == 60


def test_another_kind_of_file_is_one_clear_line(tmp_path):
    (tmp_path / FILE_NAME).write_text("notes, not features " * 50)
    with pytest.raises(
        DweError, match=r"features\.2\.sqlite cannot be used: .*deleted"
    ):
        DiskStore(tmp_path)
    assert (tmp_path / FILE_NAME).read_text().startswith("notes")


def test_a_database_of_something_else_is_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        db.execute("CREATE TABLE mine (x)")
    db.close()
    with pytest.raises(DweError, match="another kind"):
        DiskStore(tmp_path)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_findings_in_pictures_come_back_in_a_later_run(tmp_path, n):
    box = Box(1, 2.5, np.float64(3.25), 4)
    attributes = (Attribute("age", "old", 0.625), Attribute("glasses", "none", 0.5))
    sight = VisualEvidence(
        (40, 30),
        vector(0),
        tuple(Region(box, 0.3, "Zürich", 0.1, vector(i), "given") for i in range(n)),
        tuple(
            Face(box, 9.5, "old man", attributes, vector(5), vector(6 + i))
            for i in range(n)
        ),
        tuple(Scene("dim light", "mood", 1.5, 0.2, vector(9)) for _ in range(n)),
    )
    sights = ("sight", "fingerprint", ("hash", ()))
    DiskStore(tmp_path).put(sights, sight)
    found = DiskStore(tmp_path).get(sights)
    assert found.words() == sight.words() and found.size == (40, 30)
    np.testing.assert_array_equal(found.pooled, vector(0))
    for name in ("objects", "faces", "face_mask", "scenes"):
        ours, theirs = getattr(sight.slots(), name), getattr(found.slots(), name)
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


def test_a_store_of_an_earlier_version_is_left_alone(tmp_path):
    (tmp_path / "features.sqlite").write_text("of version 1")
    DiskStore(tmp_path).put(key(0), vector(0))
    assert (tmp_path / "features.sqlite").read_text() == "of version 1"


def test_where_nobody_names_a_folder_one_beside_the_kb_serves(tmp_path, monkeypatch):
    monkeypatch.delenv("DWE_FEATURE_CACHE", raising=False)
    kb = tmp_path / "my.kb"
    kb.mkdir()
    cache = feature_cache(kb=kb)
    assert cache.store.folder == tmp_path / "my.kb.features"
    assert cache.place.startswith("0 bytes of at most ")
    assert cache.place.endswith("GB in " + str(cache.store.folder))
    assert feature_cache(tmp_path / "named", kb).store.folder == tmp_path / "named"
    for nowhere in ("", "none"):
        assert feature_cache(nowhere, kb).place == ""
        monkeypatch.setenv("DWE_FEATURE_CACHE", nowhere)
        assert feature_cache(kb=kb).place == ""


def test_beside_a_kb_that_cannot_be_written_memory_serves(tmp_path, monkeypatch):
    monkeypatch.delenv("DWE_FEATURE_CACHE")
    kb = tmp_path / "media" / "my.kb"
    kb.mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda path, mode: path != kb.parent)
    assert feature_cache(kb=kb).place == ""
    assert [path.name for path in kb.parent.iterdir()] == ["my.kb"]


def test_nothing_is_written_into_a_packaged_pipeline(tmp_path):
    kb = tmp_path / "pipeline" / "dwe_linker" / "kb"
    kb.mkdir(parents=True)
    (tmp_path / "pipeline" / "config.cfg").write_text("")
    assert folder_beside(kb) is not None, "a config to train by, and a KB beside it"
    (tmp_path / "pipeline" / "meta.json").write_text("")
    assert folder_beside(kb) is None


def test_a_folder_that_nobody_asked_for_stops_no_run(tmp_path, monkeypatch):
    monkeypatch.delenv("DWE_FEATURE_CACHE")
    folder = tmp_path / "my.kb.features"
    folder.mkdir()
    (folder / FILE_NAME).write_text("notes, not features " * 50)
    with pytest.warns(UserWarning, match=r"W263.*features\.2\.sqlite"):
        assert feature_cache(kb=tmp_path / "my.kb").place == ""


def test_a_folder_that_breaks_in_the_middle_stops_no_run(tmp_path, clip):
    store = DiskStore(tmp_path, is_asked_for=False)
    cache = FeatureCache(store)
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        db.execute("DROP TABLE total")
    db.close()
    with pytest.warns(UserWarning, match=r"W263.*no such table") as told:
        first = cache.texts(clip("clip"), ["a", "b"])
    assert len(told) == 1 and cache.place == ""
    np.testing.assert_array_equal(cache.texts(clip("clip"), ["b", "a"]), first[::-1])
