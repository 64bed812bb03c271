import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_encoders import Colours, PatchEncoder, WordEncoder

from spacy_dwe.building.build import build_kb
from spacy_dwe.building.update import (
    Changes,
    add_entities,
    encode_kb,
    merge_kbs,
    rebuild_kb,
    remove_entities,
)
from spacy_dwe.errors import DweError
from spacy_dwe.kb.entity import Alias, Entity
from spacy_dwe.kb.index import snapshot as snapshot
from spacy_dwe.kb.knowledge_base import DweKnowledgeBase
from spacy_dwe.kb.storage.folder import FORMAT, OLDEST
from spacy_dwe.kb.storage.manifest import writer_lock
from spacy_dwe.kb.vectors.sets import (
    DESCRIPTIONS,
    DESCRIPTIONS_IN_CLIP,
    PICTURES,
    SetName,
)
from spacy_dwe.kb.verify import kb_problems

TBILISI = Entity("Q994", "Tbilisi", "Capital of the country, founded in 455.")
COLOURS = SetName("image", "colours")
BATUMI = Entity("Q25475", "Batumi", "Port on the Black Sea.", (Alias("Batum", 0.7),))


class CountingEncoder(WordEncoder):
    def __init__(self, name="words"):
        super().__init__(name)
        self.texts = []

    def encode_texts(self, texts, progress=None):
        self.texts += texts
        return super().encode_texts(texts, progress)


@pytest.fixture(params=["anew", "extended"], autouse=True)
def way(request, monkeypatch):
    """A small KB's indexes are made anew at every change, a large one's extended."""
    if request.param == "extended":
        monkeypatch.setattr(snapshot, "ALWAYS_NEW", 0)
        monkeypatch.setattr(snapshot, "GROWTH", 10)


@pytest.fixture
def path(tmp_path, entities):
    return build_kb(entities, tmp_path / "kb", text_encoder=WordEncoder()).path


def found(kb, mention):
    return kb.ids(kb.search([mention]).rows)


def test_added_entities_are_found_when_the_kb_is_opened_again(path, entities):
    reader = DweKnowledgeBase(path)
    changes = add_entities(path, [BATUMI], text_encoder=WordEncoder())
    assert changes == Changes(added=1)
    assert (len(reader), found(reader, "Batumi")) == (len(entities), [])
    kb = DweKnowledgeBase(path)
    assert list(kb) == [*entities, BATUMI]
    assert found(kb, "batum") == ["Q25475"]
    assert found(kb, "Batumu") == ["Q25475"]
    assert kb.priors(["Batum"], kb.exact(["Batum"])).tolist() == pytest.approx([0.7])
    assert kb.sort_keys(kb.rows_of(sorted(kb.get_entity_strings()))).tolist() == [
        *range(len(kb))
    ]
    assert list(kb_problems(path)) == []


def test_an_id_that_is_there_stops_it_all(path, entities):
    before = DweKnowledgeBase(path).meta
    changed = Entity("Q994", "Tiflis")
    with pytest.raises(DweError, match="has an entity 'Q994' already"):
        add_entities(path, [BATUMI, changed], text_encoder=WordEncoder())
    kb = DweKnowledgeBase(path)
    assert (kb.meta, list(kb)) == (before, entities)
    kept = add_entities(
        path, [BATUMI, changed], on_conflict="keep", text_encoder=WordEncoder()
    )
    assert kept == Changes(added=1, kept=1)
    assert list(DweKnowledgeBase(path)) == [*entities, BATUMI]
    again = add_entities(path, [BATUMI, entities[0]], text_encoder=WordEncoder())
    assert again == Changes(unchanged=2), "the same entity once more is no conflict"


def test_a_replaced_entity_has_its_new_names_alone(path):
    reader = DweKnowledgeBase(path)
    tiflis = Entity("Q994", "Tiflis", "Capital of the country, founded in 455.")
    changes = add_entities(
        path, [tiflis], on_conflict="replace", text_encoder=WordEncoder()
    )
    assert changes == Changes(replaced=1)
    kb = DweKnowledgeBase(path)
    assert (found(kb, "Tbilisi"), found(kb, "Tiflis")) == ([], ["Q994"])
    assert (found(reader, "Tbilisi"), found(reader, "Tiflis")) == (["Q994"], [])
    assert kb.entities(kb.rows_of(["Q994"])) == [tiflis]
    assert reader.titles(reader.rows_of(["Q994"]))[0][1] == "Tbilisi"
    assert list(kb_problems(path)) == []


def test_removed_entities_are_found_no_more(path, entities):
    reader = DweKnowledgeBase(path)
    assert remove_entities(path, ["Q230", "Q994"]) == Changes(removed=2)
    kb = DweKnowledgeBase(path)
    assert [entity.id for entity in kb] == ["Q1428", "Q9696", "Q1490", "Q270"]
    assert found(kb, "Georgia") == ["Q1428"]
    assert kb.ids(kb.exact(["georgia"]).rows) == ["Q1428"]
    assert kb.rows_of(["Q230"]).tolist() == [-1]
    assert sorted(found(reader, "Georgia")) == ["Q1428", "Q230"]
    with pytest.raises(DweError, match="No entity 'Q230'"):
        remove_entities(path, ["Q1490", "Q230"])
    assert "Q1490" in DweKnowledgeBase(path)
    with pytest.raises(DweError, match="Nothing would be left"):
        remove_entities(path, ["Q1428", "Q9696", "Q1490", "Q270"])
    assert list(kb_problems(path)) == []


def test_only_what_is_new_is_encoded(path, entities):
    encoder = CountingEncoder()
    renamed = Entity("Q994", "Tbilisi", TBILISI.description, (Alias("Tiflis"),))
    changes = add_entities(
        path,
        [*entities[:2], renamed, BATUMI],
        on_conflict="replace",
        text_encoder=encoder,
    )
    assert changes == Changes(added=1, replaced=1, unchanged=2)
    assert encoder.texts == ["Batumi. Port on the Black Sea."]
    kb = DweKnowledgeBase(path)
    vectors, present = kb.vector_sets[DESCRIPTIONS].gather(
        kb.rows_of(["Q994", "Q25475", "Q270"])
    )
    assert present.tolist() == [True, True, False]
    texts = ["Tbilisi. Capital of the country, founded in 455.", encoder.texts[0]]
    expected = WordEncoder().encode_texts(texts)
    np.testing.assert_allclose(vectors[:2], expected, atol=1e-3)
    assert remove_entities(path, ["Q25475"]) == Changes(removed=1)
    add_entities(path, [BATUMI], text_encoder=encoder)
    assert len(encoder.texts) == 1, "its vector was still there"


def test_another_encoder_is_refused(path):
    with pytest.raises(DweError, match="E170"):
        add_entities(path, [BATUMI], text_encoder=WordEncoder("other"))
    assert "Q25475" not in DweKnowledgeBase(path)


def test_pictures_are_read_from_the_folder_of_the_build(tmp_path):
    (tmp_path / "pictures").mkdir()
    for name, colour in (("red", (255, 0, 0)), ("blue", (0, 0, 255))):
        Image.new("RGB", (8, 8), colour).save(tmp_path / "pictures" / f"{name}.png")
    path = build_kb(
        [Entity("Q1", "Red", images=("red.png",))],
        tmp_path / "kb",
        clip=PatchEncoder(),
        image_root=tmp_path / "pictures",
    ).path
    add_entities(
        path, [Entity("Q2", "Blue", images=("blue.png",))], clip=PatchEncoder()
    )
    kb = DweKnowledgeBase(path)
    assert kb.vector_sets[PICTURES].gather([0, 1])[1].all()


def test_the_first_pictures_may_come_later(tmp_path):
    """An encoder that has nothing to read is not remembered, which is told."""
    Image.new("RGB", (8, 8), (255, 0, 0)).save(tmp_path / "red.png")
    with pytest.warns(UserWarning, match="W102.*space colours reads"):
        path = build_kb(
            [Entity("Q1", "Blue")],
            tmp_path / "kb",
            encoders={"colours": Colours()},
            image_root=tmp_path,
        ).path
    red = Entity("Q2", "Red", images=("red.png",))
    add_entities(path, [red], encoders={"colours": Colours()})
    (vectors,) = DweKnowledgeBase(path).vector_sets.values()
    assert vectors.gather([0, 1])[1].tolist() == [False, True]


def test_merging_takes_entities_and_vectors_over(path, tmp_path, entities):
    other = [BATUMI, Entity("Q994", "Tiflis")]
    build_kb(other, tmp_path / "other", text_encoder=WordEncoder())
    with pytest.raises(DweError, match="has an entity 'Q994' already"):
        merge_kbs(path, [tmp_path / "other"], text_encoder=WordEncoder())
    encoder = CountingEncoder()
    changes = merge_kbs(
        path, [tmp_path / "other"], on_conflict="keep", text_encoder=encoder
    )
    assert changes == Changes(added=1, kept=1)
    assert encoder.texts == []
    kb = DweKnowledgeBase(path)
    assert list(kb) == [*entities, BATUMI]
    assert kb.vector_sets[DESCRIPTIONS].gather(kb.rows_of(["Q25475"]))[1].all()


def test_vectors_can_be_given_later_and_by_another_encoder(tmp_path, entities):
    path = build_kb(entities, tmp_path / "kb").path
    reader = DweKnowledgeBase(path)
    encode_kb(path, text_encoder=WordEncoder("first"))
    encode_kb(path, text_encoder=WordEncoder("second"), clip=PatchEncoder())
    kb = DweKnowledgeBase(path)
    assert kb.vector_sets[DESCRIPTIONS].fingerprint == "second"
    assert {*kb.vector_sets} == {DESCRIPTIONS, DESCRIPTIONS_IN_CLIP}
    assert reader.vector_sets == {}
    stems = {file.name.split(".")[0] for file in (path / "vectors").iterdir()}
    assert stems == {"description-text", "description-clip"}
    assert len([*(path / "vectors").glob("description-text.*.keys.npy")]) == 1
    assert list(kb_problems(path)) == []


def test_rebuilding_makes_all_but_the_entities_again(path, entities):
    remove_entities(path, ["Q230"])
    for file in (path / "names").rglob("*.npy"):
        file.write_bytes(b"damaged")
    (path / "meta.json").unlink()
    with pytest.raises(DweError):
        DweKnowledgeBase(path)
    encoder = CountingEncoder()
    kb = rebuild_kb(path, text_encoder=encoder)
    assert list(kb) == entities[1:]
    assert (kb.n_rows, encoder.texts) == (len(entities) - 1, [])
    assert found(kb, "Tbilisi") == ["Q994"]
    assert list(kb_problems(path)) == []
    rebuild_kb(path, text_encoder=encoder, vectors="encode")
    assert len(encoder.texts) == 4
    assert rebuild_kb(path, vectors="drop").vector_sets == {}


def with_format(path, number):
    """Say that a KB has another format, as its three places do, and give its vectors
    the files of format 3."""
    database = DweKnowledgeBase(path).store.path
    meta = json.loads((path / "meta.json").read_text())
    for entry in meta["vectors"].values():
        array = path / entry["array"]
        offsets, places = (
            array.with_suffix(f".{what}.npy") for what in ("offsets", "places")
        )
        counts = np.diff(np.load(offsets))
        index = np.full(len(counts), -1, dtype=np.int32)
        index[counts > 0] = np.load(places)
        np.save(array.with_suffix(".index.npy"), index)
        offsets.unlink()
        places.unlink()
        del entry["uses"]
    meta["format"] = number
    (path / "meta.json").write_text(json.dumps(meta))
    with closing(sqlite3.connect(database)) as db, db:
        text = json.dumps({k: v for k, v in meta.items() if k != "database"})
        db.execute("UPDATE versions SET meta = ? WHERE meta != ''", (text,))
        db.execute(f"PRAGMA user_version = {number}")


def test_a_kb_of_an_earlier_format_is_rebuilt_with_its_vectors(path, entities):
    before = DweKnowledgeBase(path).vector_sets[DESCRIPTIONS].gather(range(6))[0]
    with_format(path, OLDEST)
    for file in (path / "names").rglob("name_joined.npy"):
        file.unlink()
    changes = (
        DweKnowledgeBase,
        lambda kb: remove_entities(kb, ["Q994"]),
        lambda kb: add_entities(kb, [BATUMI]),
    )
    for change in changes:
        with pytest.raises(DweError, match=r"earlier spacy-dwe") as told:
            change(path)
        (line,) = str(told.value).splitlines()
        assert line.endswith(f"run `python -m spacy dwe kb rebuild {path}`")
    assert [*kb_problems(path)] == [line]
    kb = rebuild_kb(path)
    assert (list(kb), kb.meta["format"]) == (entities, FORMAT)
    np.testing.assert_array_equal(
        kb.vector_sets[DESCRIPTIONS].gather(range(6))[0], before
    )
    assert found(kb, "Tbilisi") == ["Q994"]
    assert [*kb_problems(path)] == []
    assert not [*path.rglob("*.index.npy")]


def test_pictures_of_an_earlier_format_are_one_vector_an_entity(tmp_path):
    """Averages, where there were several. New entities have a vector for each."""
    for red in range(6):
        Image.new("RGB", (8, 8), (40 * red, 0, 0)).save(tmp_path / f"{red}.png")
    old = [Entity("Q1", "A", images=("0.png",)), Entity("Q2", "B")]
    new = [Entity("Q3", "C", images=("1.png", "2.png", "3.png"))]
    colours = {"colours": Colours()}
    path = build_kb(old, tmp_path / "kb", encoders=colours, image_root=tmp_path).path
    before = DweKnowledgeBase(path).vector_sets[COLOURS].gather([0])[0]
    with_format(path, 3)
    rebuild_kb(path)
    add_entities(path, new, encoders=colours)
    vectors = DweKnowledgeBase(path).vector_sets[COLOURS]
    assert np.diff(vectors.offsets).tolist() == [1, 0, 3]
    np.testing.assert_array_equal(vectors.gather([0])[0], before)
    assert [*kb_problems(path)] == []


def test_bringing_a_kb_up_to_date_may_be_stopped_before_its_end(path, entities):
    """The commit is in the database; meta.json comes after it."""
    with_format(path, OLDEST)
    meta = (path / "meta.json").read_text()
    rebuild_kb(path)
    (path / "meta.json").write_text(meta)
    with pytest.raises(DweError, match="run `python -m spacy dwe kb rebuild"):
        DweKnowledgeBase(path)
    assert [*rebuild_kb(path)] == entities
    assert [*kb_problems(path)] == []


@pytest.mark.parametrize("number", [OLDEST - 1, FORMAT + 1])
def test_no_rebuild_reads_a_format_that_it_does_not_know(path, number):
    with_format(path, number)
    with pytest.raises(DweError, match=rf"has format {number}.*build the KB again"):
        rebuild_kb(path, text_encoder=WordEncoder())


def test_one_writer_at_a_time(path):
    with writer_lock(path), pytest.raises(DweError, match="being changed by another"):
        remove_entities(path, ["Q994"])
    with writer_lock(path), pytest.raises(DweError, match="being changed by another"):
        build_kb([BATUMI], path, overwrite=True)
    assert "Q994" in DweKnowledgeBase(path)


def test_verify_names_the_file_that_was_altered(path):
    vectors = next(path.glob("vectors/*.keys.npy")).with_suffix("").with_suffix(".npy")
    data = bytearray(vectors.read_bytes())
    data[140] ^= 1
    vectors.write_bytes(data)
    assert any(vectors.name in line for line in kb_problems(path))


def test_many_small_changes_say_the_same_as_one_build(tmp_path, monkeypatch):
    def entity(i, edition=0):
        text = f"The {i}th of its kind in {1900 + i}, {'very ' * edition}rare."
        return Entity(
            f"Q{i}", f"Name {i % 7} of {i}", text, (Alias(f"A{i} {edition}"),)
        )

    path = build_kb([entity(i) for i in range(20)], tmp_path / "kb").path
    for step in range(20, 26):
        new = [entity(step), entity(step - 20, edition=step)]
        add_entities(path, new, on_conflict="replace")
        remove_entities(path, [f"Q{step - 10}"])
    kb = DweKnowledgeBase(path)
    assert list(kb_problems(path)) == []
    fresh = build_kb(sorted(kb, key=lambda e: e.id), tmp_path / "fresh")
    for mention in ("Name 3", "name 4 of 25", "A2 22", "A11 0", "rare"):
        assert sorted(found(kb, mention)) == sorted(found(fresh, mention))


@pytest.mark.parametrize("kills", [6, pytest.param(50, marks=pytest.mark.slow)])
def test_a_killed_writer_loses_nothing(tmp_path, kills, way):
    driver = Path(__file__).with_name("crash_driver.py")
    run = subprocess.run(
        [sys.executable, driver, tmp_path, str(kills), "0"],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(driver.parents[1]),
        },
    )
    assert "nothing lost" in run.stdout, run.stderr


def test_rebuilding_needs_no_encoder_for_vectors_that_are_there(tmp_path, entities):
    from tiny_models import save_bert

    from spacy_dwe.encoders.registry import text_encoder

    (tmp_path / "bert").mkdir()
    save_bert(tmp_path / "bert")
    encoder = text_encoder(str(tmp_path / "bert"), device="cpu")
    path = build_kb(entities, tmp_path / "kb", text_encoder=encoder).path
    before = DweKnowledgeBase(path).vector_sets[DESCRIPTIONS]
    shutil.rmtree(tmp_path / "bert")
    after = rebuild_kb(path, device="cpu").vector_sets[DESCRIPTIONS]
    assert (after.fingerprint, after.spec) == (before.fingerprint, before.spec)
    np.testing.assert_array_equal(after.gather(range(6))[0], before.gather(range(6))[0])
    with pytest.raises(DweError, match="E221"):
        rebuild_kb(path, device="cpu", vectors="encode")


def test_a_rebuild_keeps_other_writers_out(path):
    """What they would add between its reading and its publishing would be lost."""

    class Meddler(WordEncoder):
        def encode_texts(self, texts, progress=None):
            with pytest.raises(DweError, match="being changed by another"):
                remove_entities(path, ["Q994"])
            return super().encode_texts(texts, progress)

    rebuild_kb(path, text_encoder=Meddler(), vectors="encode")
    assert "Q994" in DweKnowledgeBase(path)


def test_readers_of_an_older_build_do_not_disturb_writers(path):
    """SQLite plays a journal back into the database that has its name."""
    reader = DweKnowledgeBase(path)
    name = reader.store.path.name
    rebuild_kb(path, text_encoder=WordEncoder())
    assert DweKnowledgeBase(path).store.path.name != name
    assert [file.name for file in path.glob("entities.*")] != [name]
    assert reader.titles([2])[0][1] == "Tbilisi"
    reader.store.close()
    with pytest.raises(DweError, match="has been built anew: open it again"):
        reader.titles([2])


def test_pictures_of_another_folder_are_found_again(tmp_path):
    for folder, colour in (("a", (255, 0, 0)), ("b", (0, 0, 255))):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (8, 8), colour).save(tmp_path / folder / "flag.png")
    first = [Entity("Q1", "Red", images=("flag.png",))]
    path = build_kb(
        first, tmp_path / "kb", clip=PatchEncoder(), image_root=tmp_path / "a"
    ).path
    second = [Entity("Q2", "Blue", images=("flag.png",))]
    add_entities(path, second, clip=PatchEncoder(), image_root=tmp_path / "b")
    before = DweKnowledgeBase(path).vector_sets[PICTURES].gather([0, 1])[0]
    kb = rebuild_kb(path, clip=PatchEncoder(), vectors="encode")
    np.testing.assert_array_equal(kb.vector_sets[PICTURES].gather([0, 1])[0], before)
    assert next(iter(kb)) == first[0]


def test_another_user_may_read_what_one_has_built(path):
    remove_entities(path, ["Q230"])
    modes = {file.stat().st_mode & 0o444 for file in path.rglob("*") if file.is_file()}
    assert modes == {(path / "meta.json").stat().st_mode & 0o444}


@pytest.mark.parametrize("column", ["description", "url", "prior", "extra"])
def test_verify_sees_an_altered_entity(path, column):
    database = DweKnowledgeBase(path).store.path
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(
            f"UPDATE entities SET {column} = ? WHERE id = 'Q230'",
            (0.61 if column == "prior" else '{"sitelinks": 291}',),
        )
        connection.commit()
    assert any("entity Q230 has been altered" in line for line in kb_problems(path))


@pytest.mark.parametrize("at", [3, 60, 127])
def test_verify_survives_a_damaged_header(path, at):
    file = next(path.glob("names/*/grams.npy"))
    data = bytearray(file.read_bytes())
    data[at] ^= 0xFF
    file.write_bytes(data)
    assert any("grams.npy" in line for line in kb_problems(path))


def test_a_full_disk_is_one_line_and_changes_nothing(path, entities, monkeypatch):
    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("spacy_dwe.kb.storage.store.StoreWriter.commit", full)
        with pytest.raises(DweError, match=r"E006.*disk is full"):
            add_entities(path, [BATUMI], text_encoder=WordEncoder())
        with pytest.raises(DweError, match=r"E006.*disk is full"):
            build_kb([BATUMI], path, overwrite=True)
    assert list(DweKnowledgeBase(path)) == entities
    add_entities(path, [BATUMI], text_encoder=WordEncoder())
    assert list(kb_problems(path)) == []


def test_one_source_has_each_id_once(path):
    many = [Entity(f"N{i}", f"Name {i}") for i in range(600)]
    with pytest.raises(DweError, match="Two entities have the id 'N0'"):
        add_entities(
            path, [*many, many[0]], on_conflict="replace", text_encoder=WordEncoder()
        )
    with pytest.raises(DweError, match="id or title is empty"):
        add_entities(path, [Entity("N", " ")], text_encoder=WordEncoder())
    assert "N0" not in DweKnowledgeBase(path)


def test_vectors_that_a_merge_cannot_take_are_told(path, tmp_path):
    plain = build_kb([BATUMI], tmp_path / "plain").path
    with pytest.warns(UserWarning, match=r"W101.*description@text"):
        changes = merge_kbs(plain, [path])
    assert changes.added == 6
