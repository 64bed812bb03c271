"""Encoder outputs on disk: what one run encoded, no later run encodes again."""

import multiprocessing
import os
import signal
import sqlite3

import numpy as np
import pytest

from spacy_dwe.encoders.cache import MENTION
from spacy_dwe.encoders.protocol import MentionFeatures, MentionText
from spacy_dwe.encoders.store import FILE_NAME, DiskStore, feature_cache
from spacy_dwe.encoders.visual.findings import VisualEvidence
from spacy_dwe.errors import DweError


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


def test_the_disk_is_bounded_and_what_was_used_least_recently_goes(tmp_path):
    size = DiskStore(tmp_path / "one")
    size.put(key(0), vector(0))
    room = 5 * size.n_bytes
    store = DiskStore(tmp_path / "some", max_bytes=room, memory_bytes=0)
    for n in range(5):
        store.put(key(n), vector(n))
    with sqlite3.connect(tmp_path / "some" / FILE_NAME) as db:
        db.execute("UPDATE features SET used = used - 100000")
    db.close()
    store.get(key(0))
    store.put(key(5), vector(5))
    kept = [n for n in range(6) if store.get(key(n)) is not None]
    assert kept[0] == 0 and kept[-1] == 5 and 1 not in kept
    assert store.n_bytes <= room and len(store) == len(kept)
    store.put(key(6), vector(6, 10_000))
    assert store.get(key(6)) is None, "larger than everything there is room for"


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
    with pytest.raises(DweError, match=r"features\.sqlite cannot be used: .*deleted"):
        DiskStore(tmp_path)
    assert (tmp_path / FILE_NAME).read_text().startswith("notes")


def test_a_database_of_something_else_is_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        db.execute("CREATE TABLE mine (x)")
    db.close()
    with pytest.raises(DweError, match="another kind"):
        DiskStore(tmp_path)


def test_findings_in_pictures_are_held_in_memory_alone(tmp_path):
    sight = VisualEvidence((4, 3), vector(0))
    store = DiskStore(tmp_path)
    store.put(("sight", "fingerprint", "hash"), sight)
    assert store.get(("sight", "fingerprint", "hash")) is sight
    assert len(store) == 0
