"""Vectors are made once for each content, whatever happens in between."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_encoders import CountingEncoder, PatchEncoder, WordEncoder

from spacy_dwe.building import encode
from spacy_dwe.building.encode import build_vectors
from spacy_dwe.building.plans import plan_sets, plans_of
from spacy_dwe.encoders.registry import LazyTextEncoder
from spacy_dwe.errors import DweError
from spacy_dwe.kb.entity import Entity, entity_text
from spacy_dwe.kb.vectors import fields
from spacy_dwe.kb.vectors.fields import DescriptionField
from spacy_dwe.kb.vectors.files import StoredVectors, files_of
from spacy_dwe.kb.vectors.sets import (
    DESCRIPTIONS,
    DESCRIPTIONS_IN_CLIP,
    FOLDER,
    PICTURES,
    SetName,
    VectorSet,
)

TEXT = "description@text"


def places(start, stop):
    return [
        Entity(f"Q{i}", f"Place {i}", f"Number {i} of many.")
        for i in range(start, stop)
    ]


OLD = places(0, 40)
NEW = places(40, 60)


def make(folder, entities, *, snapshot="one", plans=None, removed=(), **settings):
    """Run build_vectors over entities that are rows from 0 on."""
    folder.mkdir(exist_ok=True)
    if "encoder" in settings:
        plans = plan_sets({"text": settings.pop("encoder")})

    def from_row(first):
        for row in range(first, len(entities)):
            if row not in removed:
                yield row, entities[row]

    settings.setdefault("committed", {})
    return build_vectors(
        folder,
        snapshot,
        plans=plans or [],
        entities=from_row,
        n_rows=len(entities),
        **settings,
    )


def opened(folder, sets, name=TEXT):
    return VectorSet.open(folder, SetName.read(name), sets[name])


def gathered(folder, sets, name=TEXT):
    """Vectors of all rows, and which rows have one."""
    return opened(folder, sets, name).gather(range(sets[name]["rows"]))


def texts(entities):
    return sorted(map(entity_text, entities))


def assert_right(folder, sets, entities, name=TEXT):
    vectors, present = gathered(folder, sets, name)
    described = [bool(entity.description) for entity in entities]
    assert present.tolist() == described
    expected = WordEncoder().encode_texts([entity_text(e) for e in entities])
    np.testing.assert_allclose(vectors[present], expected[present], atol=1e-3)
    found = opened(folder, sets, name)
    assert list(found.stale(enumerate(entities))) == []


# Only what is new


def test_a_set_that_grows_encodes_its_new_rows_only(tmp_path):
    committed = make(tmp_path, OLD, encoder=WordEncoder())
    reader = opened(tmp_path, committed)
    before = reader.gather(range(len(OLD)))[0]
    encoder = CountingEncoder()
    sets = make(tmp_path, OLD + NEW, encoder=encoder, committed=committed)
    assert encoder.encoded == texts(NEW)
    assert_right(tmp_path, sets, OLD + NEW)
    assert sets[TEXT]["array"] == committed[TEXT]["array"]
    for vectors in (reader, opened(tmp_path, committed)):
        np.testing.assert_array_equal(vectors.gather(range(len(OLD)))[0], before)
        assert len(vectors.offsets) == len(OLD) + 1, "a version keeps its rows"


def test_equal_contents_share_a_vector(tmp_path):
    same = [replace(entity, id=f"{entity.id}-again") for entity in OLD]
    encoder = CountingEncoder()
    sets = make(tmp_path, OLD + same, encoder=encoder)
    assert encoder.encoded == texts(OLD)
    assert sets[TEXT]["count"] == len(OLD)
    assert_right(tmp_path, sets, OLD + same)


def unloadable(spec, **_):
    raise AssertionError("weights were loaded")


def test_weights_are_not_loaded_when_nothing_is_to_be_encoded(tmp_path):
    committed = make(tmp_path, OLD, encoder=WordEncoder())
    lazy = LazyTextEncoder({"@misc": "moved"}, unloadable)
    changed = [
        replace(OLD[3], aliases=(), url="https://example.org"),
        Entity("Q100", "Without a description"),
    ]
    sets = make(tmp_path, OLD + changed, encoder=lazy, committed=committed)
    assert_right(tmp_path, sets, OLD + changed)
    assert sets[TEXT]["count"] == committed[TEXT]["count"]
    undescribed = [Entity("Q1", "A"), Entity("Q2", "B")]
    with pytest.warns(UserWarning, match="W102"):
        assert make(tmp_path / "other", undescribed, encoder=lazy) == {}
    again = make(tmp_path, OLD + changed, encoder=lazy, committed=sets)
    assert again == sets, "no new rows"


def test_rows_of_removed_entities_get_no_vector(tmp_path):
    encoder = CountingEncoder()
    sets = make(tmp_path, OLD, encoder=encoder, removed={0, 7})
    assert encoder.encoded == texts(OLD[1:7] + OLD[8:])
    present = gathered(tmp_path, sets)[1]
    assert np.flatnonzero(~present).tolist() == [0, 7]


def test_sets_of_several_encoders_lie_side_by_side(tmp_path):
    first, second = CountingEncoder("words"), CountingEncoder("patches")
    committed = make(tmp_path, OLD, encoder=first)
    both = plan_sets({"text": first, "clip": second})
    sets = make(tmp_path, OLD + NEW, snapshot="two", plans=both, committed=committed)
    assert sorted(sets) == ["description@clip", TEXT]
    assert first.encoded == second.encoded == texts(OLD + NEW)
    assert sets[TEXT]["array"] == f"{FOLDER}/description-text.one.npy"
    assert sets["description@clip"]["array"] == f"{FOLDER}/description-clip.two.npy"
    for name in sets:
        assert_right(tmp_path, sets, OLD + NEW, name)
    named = {file for entry in sets.values() for file in files_of(entry)}
    assert named == {f"{FOLDER}/{f.name}" for f in (tmp_path / FOLDER).iterdir()}


# Vectors that lie elsewhere


def test_vectors_of_other_kbs_are_taken_over(tmp_path):
    for name, entities in (("a", OLD[:25]), ("b", OLD[15:] + NEW[:5])):
        make(tmp_path / name, entities, encoder=WordEncoder())
    make(tmp_path / "other encoder", NEW, encoder=WordEncoder("other"))
    encoder = CountingEncoder()
    donors = [tmp_path / name for name in ("a", "b", "other encoder", "not there")]
    sets = make(tmp_path / "kb", OLD + NEW, encoder=encoder, donors=donors)
    assert encoder.encoded == texts(NEW[5:])
    assert_right(tmp_path / "kb", sets, OLD + NEW)


def test_a_kb_is_made_again_from_its_own_vectors(tmp_path):
    committed = make(tmp_path, OLD + NEW, encoder=WordEncoder())
    encoder = CountingEncoder()
    kept = NEW[::-1] + OLD[5:]
    sets = make(tmp_path, kept, snapshot="two", encoder=encoder)
    assert encoder.encoded == []
    assert_right(tmp_path, sets, kept)
    assert sets[TEXT]["count"] == len(kept)
    assert_right(tmp_path, committed, OLD + NEW)


def test_the_files_of_a_version_are_never_written_over(tmp_path):
    committed = make(tmp_path, OLD, encoder=WordEncoder())
    make(tmp_path, NEW, encoder=WordEncoder())
    assert_right(tmp_path, committed, OLD)


def damaged(folder, sets, *places):
    """Overwrite vectors on the disk."""
    array = np.load(folder / sets[TEXT]["array"], mmap_mode="r+")
    array[list(places)] = [[np.nan], [0.0], [7.0]][: len(places)]
    array.flush()


def test_damaged_vectors_are_not_taken_over(tmp_path):
    sets = make(tmp_path / "donor", OLD, encoder=WordEncoder())
    damaged(tmp_path / "donor", sets, 3, 20, 30)
    (tmp_path / "donor" / FOLDER / "empty.json").touch()
    encoder = CountingEncoder()
    donors = [tmp_path / "donor"]
    sets = make(tmp_path / "kb", OLD, encoder=encoder, donors=donors)
    assert len(encoder.encoded) == 3
    assert_right(tmp_path / "kb", sets, OLD)


@pytest.mark.parametrize("lost", [".npy", ".keys.npy"])
def test_a_donor_without_some_of_its_files_gives_nothing(tmp_path, lost):
    sets = make(tmp_path / "donor", OLD, encoder=WordEncoder())
    array = tmp_path / "donor" / sets[TEXT]["array"]
    array.with_suffix(lost).write_bytes(b"")
    encoder = CountingEncoder()
    make(tmp_path / "kb", OLD, encoder=encoder, donors=[tmp_path / "donor"])
    assert encoder.encoded == texts(OLD)


# Kills


def test_what_a_killed_run_left_behind_the_committed_vectors_is_kept(tmp_path):
    committed = make(tmp_path, OLD, encoder=WordEncoder())
    make(tmp_path, OLD + NEW[:12], encoder=WordEncoder(), committed=committed)
    with (tmp_path / committed[TEXT]["array"]).open("ab") as file:
        file.write(b"half a vector")
    encoder = CountingEncoder()
    sets = make(tmp_path, OLD + NEW, encoder=encoder, committed=committed)
    assert encoder.encoded == texts(NEW[12:])
    assert_right(tmp_path, sets, OLD + NEW)


def test_what_a_power_cut_left_as_zeros_is_not_kept(tmp_path):
    committed = make(tmp_path, OLD, encoder=WordEncoder())
    left = make(tmp_path, OLD + NEW[:12], encoder=WordEncoder(), committed=committed)
    array = np.load(tmp_path / left[TEXT]["array"], mmap_mode="r+")
    array[len(OLD) + 4 :] = 0
    array.flush()
    encoder = CountingEncoder()
    sets = make(tmp_path, OLD + NEW, encoder=encoder, committed=committed)
    assert encoder.encoded == texts(NEW[4:])
    assert_right(tmp_path, sets, OLD + NEW)


RUN = """
import json, os, random, signal, sys, threading, time
from pathlib import Path
from small_encoders import WordEncoder
from spacy_dwe.building import encode
from spacy_dwe.building.encode import build_vectors
from spacy_dwe.building.plans import plan_sets
from spacy_dwe.kb.entity import Entity

folder, log, snapshot, committed, n_rows, kill_at = json.loads(sys.argv[1])
encode._SECONDS = 0.02
out = os.open(log, os.O_WRONLY | os.O_CREAT)
n_encoded = 0

class Slow(WordEncoder):
    def encode_texts(self, texts, progress=None):
        global n_encoded
        for text in texts:
            os.write(out, f"{text}\\n".encode())
            n_encoded += 1
            if n_encoded == kill_at:
                threading.Timer(random.random() / 50, kill).start()
            time.sleep(0.0002)
        return super().encode_texts(texts)

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

def entities(first):
    for row in range(first, n_rows):
        yield row, Entity(f"Q{row}", f"Place {row}", f"Number {row} of many.")

sets = build_vectors(
    Path(folder), snapshot, plans=plan_sets({"text": Slow()}), committed=committed,
    entities=entities, n_rows=n_rows,
)
print(json.dumps(sets))
"""
N_ROWS = 1500


def run(folder, snapshot, committed, kill_at=None):
    """Run build_vectors in a process that is killed some milliseconds after it began to
    encode its `kill_at`th text.

    RETURNS (tuple): its result, and keys of the texts that it began to encode.
    """
    log = folder / "log"
    log.unlink(missing_ok=True)
    settings = [str(folder), str(log), snapshot, committed, N_ROWS, kill_at]
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(settings)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert done.returncode == (0 if kill_at is None else -signal.SIGKILL)
    sets = json.loads(done.stdout) if done.stdout else None
    return sets, keys_of(log.read_text().splitlines())


def stored_keys(folder):
    """Keys of all vectors that were completed."""
    return {
        bytes(key)
        for path in (folder / FOLDER).glob("*.json")
        for key in StoredVectors(folder, f"{FOLDER}/{path.stem}", 64).keys
    }


@pytest.mark.parametrize("snapshots", [["one"] * 4, ["one", "two", "three", "four"]])
@pytest.mark.parametrize("n_committed", [0, 200])
def test_a_killed_run_continues(tmp_path, snapshots, n_committed):
    entities, committed = places(0, N_ROWS), {}
    old = entities[:n_committed]
    if old:
        committed = make(tmp_path, old, encoder=WordEncoder(), snapshot="old")
    for snapshot, kill_at in zip(snapshots, (1, random.randint(1, 400), 300)):
        known = stored_keys(tmp_path)
        _, encoded = run(tmp_path, snapshot, committed, kill_at)
        assert not known & encoded, "what was complete is not encoded again"
        if old:
            assert_right(tmp_path, committed, old)
    known = stored_keys(tmp_path)
    assert len(known) > n_committed + 200
    sets, encoded = run(tmp_path, snapshots[-1], committed)
    assert encoded == keys_of(texts(entities)) - known
    assert_right(tmp_path, sets, entities)
    assert sets[TEXT]["count"] == N_ROWS


def keys_of(some_texts):
    found = set()
    for text in some_texts:
        title, _, description = text.partition(". ")
        found.update(DescriptionField().keys(Entity("Q", title, description)))
    return found


def test_little_is_encoded_at_a_time_where_it_takes_long(tmp_path, monkeypatch):
    monkeypatch.setattr(encode, "_SECONDS", 0.05)

    class Slow(CountingEncoder):
        def encode_texts(self, texts, progress=None):
            time.sleep(0.002 * len(texts))
            return super().encode_texts(texts, progress)

    slow, fast = Slow(), CountingEncoder()
    make(tmp_path / "slow", places(0, 250), encoder=slow)
    assert all(len(chunk) <= 25 for chunk in slow.chunks[1:])
    monkeypatch.setattr(encode, "_SECONDS", 60.0)
    make(tmp_path / "fast", places(0, 4000), encoder=fast)
    assert max(map(len, fast.chunks)) > 1000
    assert len(fast.encoded) == 4000


# Encoders that are wrong


def test_another_encoder_may_not_extend_a_set(tmp_path):
    committed = make(tmp_path, OLD, encoder=WordEncoder())
    with pytest.raises(DweError, match=r"words, but .* is other now.*--text-encoder"):
        make(tmp_path, OLD + NEW, encoder=WordEncoder("other"), committed=committed)
    sets = make(
        tmp_path,
        OLD + NEW,
        snapshot="two",
        encoder=WordEncoder("other"),
        committed=committed,
        replace=True,
    )
    assert sets[TEXT]["fingerprint"] == "other"
    assert sets[TEXT]["spec"]["name"] == "other"
    assert_right(tmp_path, sets, OLD + NEW)
    assert_right(tmp_path, committed, OLD)


def test_a_set_that_no_encoder_makes_is_kept_while_no_new_row_needs_it(tmp_path):
    committed = make(tmp_path, OLD, encoder=WordEncoder())
    plain = [*OLD, Entity("Q100", "Without a description")]
    assert_right(tmp_path, make(tmp_path, plain, committed=committed), plain)
    with pytest.raises(DweError, match=f"Q40.* needs a {TEXT} vector.*--text-encoder"):
        make(tmp_path, OLD + NEW, committed=committed)


def test_an_encoder_that_moved_is_known_by_its_vectors(tmp_path):
    committed = make(tmp_path, OLD, encoder=WordEncoder())
    moved = WordEncoder()
    moved.spec = {"@misc": "tests.WordEncoder", "name": "/elsewhere/words"}
    sets = make(tmp_path, OLD + NEW, encoder=moved, committed=committed)
    assert sets[TEXT]["spec"] == moved.spec
    assert_right(tmp_path, sets, OLD + NEW)


class Broken(PatchEncoder):
    def __init__(self, vectors):
        super().__init__()
        self.vectors = vectors

    def encode_texts(self, texts, progress=None):
        return np.full((len(texts), len(self.vectors)), self.vectors, dtype=np.float32)

    encode_images = encode_texts


@pytest.mark.parametrize(
    ("vectors", "problem"),
    [
        ([np.nan] * 64, "NaN or inf"),
        ([1.0] + [0.0] * 62, "vectors of shape .*, not 64 wide"),
        ([0.0] * 64, "vectors that are not of unit length"),
        ([1.0] * 64, "vectors that are not of unit length"),
    ],
)
@pytest.mark.parametrize("field", ["description", "image"])
def test_an_encoder_must_give_unit_vectors(tmp_path, vectors, problem, field):
    Image.new("RGB", (4, 4)).save(tmp_path / "black.png")
    entity = Entity("Q1", "A", images=("black.png",))
    if field == "description":
        entity = Entity("Q1", "A", "First.")
    plans = plan_sets({"clip": Broken(vectors)}, tmp_path)
    with pytest.raises(DweError, match=f"patches of {field}@clip gives {problem}"):
        make(tmp_path / "kb", [entity], plans=plans)


def test_plans_follow_from_what_a_kb_has():
    sets = {"description@clip": {"spec": {"@misc": "spacy-dwe.ClipEncoder.v1"}}}
    sets["description@clip"]["spec"] |= {"model": "local-dir:x", "pretrained": None}
    sets["description@clip"] |= {"fingerprint": "0f1e2d", "dim": 16}
    plans = plans_of(sets, device="cpu", image_root="pictures")
    assert [plan.name for plan in plans] == [DESCRIPTIONS_IN_CLIP, PICTURES]
    assert plans[0].encoder is plans[1].encoder
    assert not plans[0].encoder.is_loaded
    mine = CountingEncoder()
    plans = plans_of(sets, encoders={"text": mine, "clip": mine})
    names = {plan.name: plan.encoder for plan in plans}
    assert names == dict.fromkeys([DESCRIPTIONS, DESCRIPTIONS_IN_CLIP, PICTURES], mine)
    assert plans_of({}) == []


# Pictures


@pytest.fixture
def pictured(tmp_path):
    """Entities with a picture each; every third shares one."""
    entities = []
    for i in range(12):
        name = f"{i % 9}.png"
        Image.new("RGB", (8, 8), (20 * (i % 9), 100, 50)).save(tmp_path / name)
        entities.append(Entity(f"Q{i}", f"Place {i}", images=(name,)))
    return entities


def test_pictures_that_changed_under_their_name_are_encoded_again(tmp_path, pictured):
    clip = CountingEncoder("patches")
    plans = plan_sets({"clip": clip}, tmp_path)
    folder = tmp_path / "kb"
    first = make(folder, pictured, plans=plans)
    assert clip.n_pictures == 9
    Image.new("RGB", (8, 8), (250, 0, 250)).save(tmp_path / "4.png")
    second = make(folder, pictured, snapshot="two", plans=plans)
    assert clip.n_pictures == 10
    before = gathered(folder, first, "image@clip")[0]
    after = gathered(folder, second, "image@clip")[0]
    changed = np.flatnonzero((before != after).any(axis=1))
    assert changed.tolist() == [4]
    expected = clip.encode_images([Image.open(tmp_path / "4.png")])[0]
    np.testing.assert_allclose(after[4], expected, atol=1e-3)


def test_pictures_are_one_vector_set_of_three_that_grow(tmp_path, pictured):
    text, clip = CountingEncoder("words"), CountingEncoder("patches")
    plans = plan_sets({"text": text, "clip": clip}, tmp_path)
    folder = tmp_path / "kb"
    described = [replace(e, description=f"In {e.id}.") for e in pictured]
    committed = make(folder, described[:5], plans=plans)
    sets = make(folder, described, plans=plans, committed=committed)
    assert clip.n_pictures == 9
    assert text.encoded == clip.encoded == texts(described)
    assert gathered(folder, sets, "image@clip")[1].all()
    assert sets["description@clip"]["cross_mean"] is not None


def test_a_picture_that_several_entities_have_is_encoded_once(tmp_path, pictured):
    clip = CountingEncoder("patches")
    plans = plan_sets({"clip": clip}, tmp_path)
    pairs = [("1.png", "2.png"), ("2.png", "1.png"), ("1.png", "2.png"), ("1.png",)]
    entities = [Entity(f"Q{i}", "A", images=pair) for i, pair in enumerate(pairs)]
    sets = make(tmp_path / "kb", entities, plans=plans)
    vectors = opened(tmp_path / "kb", sets, "image@clip")
    assert vectors.of(range(4))[0].tolist() == [0, 1, 1, 0, 0, 1, 0]
    assert (len(vectors.array), clip.n_pictures) == (2, 2)


def test_a_picture_that_an_entity_has_twice_counts_once(tmp_path, pictured):
    (tmp_path / "copy.png").write_bytes((tmp_path / "1.png").read_bytes())
    entities = [Entity("Q1", "A", images=("1.png", "2.png", "copy.png"))]
    plans = plan_sets({"clip": CountingEncoder("patches")}, tmp_path)
    sets = make(tmp_path / "kb", entities, plans=plans)
    vectors = opened(tmp_path / "kb", sets, "image@clip")
    assert vectors.of([0])[0].tolist() == [0, 1]
    assert list(vectors.stale(enumerate(entities), plans[1].field)) == []


def test_a_jpeg_is_decoded_no_larger_than_its_encoder_reads_it(tmp_path):
    Image.new("RGB", (400, 300)).save(tmp_path / "large.jpg")
    entities = [Entity("Q1", "A", images=("large.jpg",))]
    sizes = []
    clip = CountingEncoder("patches")
    clip.input_size = 10, 10
    clip.resized = lambda picture: sizes.append(picture.size) or picture
    make(tmp_path / "kb", entities, plans=plan_sets({"clip": clip}, tmp_path))
    assert sizes == [(50, 38)]


# Scales


def test_scales_are_measured_again_when_a_set_has_doubled(tmp_path):
    same = [Entity(f"Q{i}", "Same words", f"again {i}") for i in range(10)]
    sets = make(tmp_path, same, encoder=WordEncoder())
    measured = sets[TEXT]["mean"], sets[TEXT]["std"]
    assert sets[TEXT]["measured"] == 10
    some = same + places(0, 5)
    sets = make(tmp_path, some, encoder=WordEncoder(), committed=sets)
    assert (sets[TEXT]["mean"], sets[TEXT]["std"]) == measured
    many = some + places(5, 20)
    sets = make(tmp_path, many, encoder=WordEncoder(), committed=sets)
    assert sets[TEXT]["measured"] == 30
    vectors, _ = gathered(tmp_path, sets)
    cosines = (vectors @ vectors.T)[~np.eye(30, dtype=bool)]
    assert sets[TEXT]["mean"] == pytest.approx(cosines.mean(), abs=0.01)
    assert sets[TEXT]["std"] == pytest.approx(cosines.std(), abs=0.01)


# Progress and memory


def test_progress_counts_what_is_to_be_encoded(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(encode, "BAR_DELAY", 0)
    committed = make(tmp_path, OLD, encoder=WordEncoder(), show_progress=True)
    assert "Encoding descriptions (text): 100%" in capsys.readouterr().err
    make(
        tmp_path,
        OLD + OLD + NEW,
        encoder=CountingEncoder(),
        committed=committed,
        show_progress=True,
    )
    assert "| 20/20 [" in capsys.readouterr().err


def test_neither_texts_nor_vectors_are_held_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(fields.DescriptionField, "most", 256)

    def peak(count):
        def entities(first):
            for row in range(first, count):
                yield row, Entity(f"Q{row}", "A", f"{row} {'x' * 2000}")

        tracemalloc.start()
        build_vectors(
            tmp_path,
            f"of{count}",
            plans=plan_sets({"text": WordEncoder()}),
            committed={},
            entities=entities,
            n_rows=count,
        )
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(10)
    few, many = peak(1_000), peak(11_000)
    assert many - few < 10_000 * 150, "bytes a row: keys, places and their order"
