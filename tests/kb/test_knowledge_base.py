import copy
import json
import multiprocessing
import pickle
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
from named_mentions import NamedMentions

from spacy_dwe.building.build import build_kb
from spacy_dwe.errors import DweError
from spacy_dwe.kb import knowledge_base
from spacy_dwe.kb.candidates import Candidates
from spacy_dwe.kb.entity import Alias, Entity
from spacy_dwe.kb.generators import (
    all_entities,
    exact_candidates,
    name_candidates,
)
from spacy_dwe.kb.knowledge_base import DweKnowledgeBase, kb_from_path
from spacy_dwe.kb.storage.folder import FORMAT


def found(kb, mention, n=100):
    return kb.ids(kb.search([mention], n).rows)


def test_search_ranks_equal_names_first(kb):
    assert found(kb, "Georgia") == ["Q1428", "Q230"], "equal names are ordered by id"
    assert found(kb, "GEORGIA") == ["Q1428", "Q230"]
    assert found(kb, "Sakartvelo") == ["Q230"]
    assert found(kb, "the republic of Georgia")[0] == "Q230"


def test_search_finds_partial_misspelt_abbreviated_and_foreign_names(kb):
    assert found(kb, "Kennedy") == ["Q9696"]
    assert found(kb, "president Kennedy") == ["Q9696"]
    assert found(kb, "Kenedy") == ["Q9696"]
    assert found(kb, "Sakrtveloo") == ["Q230"]
    assert found(kb, "JFK") == ["Q9696"]
    assert found(kb, "lodz") == ["Q270"]
    assert found(kb, "京") == ["Q1490"]


@pytest.mark.parametrize("mention", ["", "  ", "zzzzzz", "?", '"a:b*(', "x" * 10_000])
def test_search_may_find_nothing(kb, mention):
    assert found(kb, mention) == []


def test_a_very_long_mention_is_searched_by_its_first_words(kb):
    assert found(kb, "Tbilisi " + "and so on " * 5000)[0] == "Q994"


def test_search_takes_at_most_n(kb):
    assert [len(rows) for rows in kb.search(["Georgia", "Tbilisi"], 1)] == [1, 1]
    assert len(kb.search([])) == 0


def test_many_aliases_do_not_crowd_out_entities(tmp_path):
    many = Entity("A", "Aa x", aliases=tuple(Alias(f"Aa x{i}") for i in range(30)))
    others = [Entity(f"B{i}", f"Aa y{i}") for i in range(5)]
    kb = build_kb([many, *others], tmp_path / "kb")
    assert len(found(kb, "Aa", 6)) == 6


def test_candidate_generators(kb):
    mentions = NamedMentions(["Georgia", "Kennedy"])
    assert [len(c) for c in name_candidates()(kb, mentions, 100)] == [2, 1]
    assert [len(c) for c in exact_candidates()(kb, mentions, 1)] == [1, 0]
    assert [len(c) for c in all_entities()(kb, mentions, 1)] == [len(kb)] * 2


def test_candidates_are_ragged_lists():
    candidates = Candidates.from_lists([[3, 1], [], [2]])
    assert [rows.tolist() for rows in candidates] == [[3, 1], [], [2]]
    assert candidates.mentions.tolist() == [0, 0, 2]
    assert candidates.lengths.tolist() == [2, 0, 1]
    assert [rows.tolist() for rows in candidates.span(1, 3)] == [[], [2]]
    assert len(Candidates.from_lists([])) == 0


def test_entities_come_back_as_they_were(kb, entities):
    assert list(kb) == entities
    assert len(kb) == kb.n_rows == len(entities)
    assert kb.entities([4, 0, 4]) == [entities[4], entities[0], entities[4]]
    assert kb.ids(np.array([2], dtype=np.int32)) == ["Q994"]
    assert kb.titles([5]) == [("Q270", "Łódź", "")]
    assert kb.entities([]) == []


def test_rows_of_ids(kb):
    assert kb.rows_of(["Q994", "nobody", "Q230"]).tolist() == [2, -1, 0]
    assert "Q994" in kb
    assert "nobody" not in kb


def test_more_rows_than_sqlite_takes_at_once(tmp_path):
    entities = [
        Entity(f"Q{i}", f"Name {i}", aliases=(Alias("a"),)) for i in range(2500)
    ]
    kb = build_kb(entities, tmp_path / "kb")
    rows = np.arange(len(kb))[::-1]
    assert kb.ids(rows) == [f"Q{row}" for row in rows]
    assert kb.entities(rows) == entities[::-1]
    assert list(kb) == entities


def test_sort_keys_order_rows_as_their_ids(kb):
    rows = np.arange(kb.n_rows)
    by_key = rows[np.argsort(kb.sort_keys(rows))]
    assert kb.ids(by_key) == sorted(kb.ids(rows))


def test_described(kb):
    assert kb.described([0, 5]).tolist() == [True, False]


def test_pickle_and_deepcopy_open_the_same_folder(kb):
    for other in (pickle.loads(pickle.dumps(kb)), copy.deepcopy(kb)):
        assert other.path == kb.path
        assert found(other, "Kennedy") == ["Q9696"]
    assert copy.deepcopy(kb).vocab is kb.vocab


def test_a_relative_path_holds_after_a_change_of_folder(kb, tmp_path, monkeypatch):
    monkeypatch.chdir(kb.path.parent)
    opened = DweKnowledgeBase(kb.path.name)
    monkeypatch.chdir(tmp_path)
    assert pickle.loads(pickle.dumps(opened)).ids([0]) == ["Q230"]


def test_loader_and_its_variable(kb, monkeypatch):
    assert len(kb_from_path(str(kb.path))(None)) == len(kb)
    monkeypatch.setenv("DWE_KB", str(kb.path))
    assert kb_from_path("somewhere else")(None).path == kb.path


def test_threads_read_at_the_same_time(kb):
    results = []

    def read():
        results.append([(found(kb, "Kennedy"), kb.titles([0])) for _ in range(20)])

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(result == results[0] for result in results)


def _read_in_child(kb, queue):
    queue.put((found(kb, "Kennedy"), kb.ids([0, 1])))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_it(kb, method):
    assert found(kb, "Kennedy") == ["Q9696"]
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=_read_in_child, args=(kb, queue))
    child.start()
    assert queue.get(timeout=60) == (["Q9696"], ["Q230", "Q1428"])
    child.join()


def test_read_only_media(kb, tmp_path, monkeypatch):
    """Root may write anywhere, so the answer of os.access is what is read-only here."""
    folder = tmp_path / "read-only.kb"
    shutil.copytree(kb.path, folder)
    files = sorted(folder.rglob("*"))
    monkeypatch.setattr("os.access", lambda *_: False)
    for item in files:
        item.chmod(0o555 if item.is_dir() else 0o444)
    opened = DweKnowledgeBase(folder)
    assert found(opened, "Kennedy") == ["Q9696"]
    assert opened.titles([2])[0][1] == "Tbilisi"
    assert sorted(folder.rglob("*")) == files
    for item in files:
        item.chmod(0o755)


def test_what_is_no_kb(tmp_path):
    with pytest.raises(DweError, match="File not found"):
        DweKnowledgeBase(tmp_path / "none")
    with pytest.raises(DweError, match="is no KnowledgeBase"):
        DweKnowledgeBase(tmp_path)


def _damaged_files(kb):
    """Those that reading needs; writers need two more of each vector set."""
    return sorted(
        file.relative_to(kb.path)
        for file in kb.path.rglob("*")
        if file.is_file()
        and file.name[0] != "."
        and not file.name.endswith((".json", ".keys.npy"))
    )


def _use(path):
    kb = DweKnowledgeBase(path)
    found(kb, "Kennedy")
    return kb.titles([0])


def test_a_missing_file_is_named(kb, tmp_path):
    for number, file in enumerate(_damaged_files(kb)):
        folder = shutil.copytree(kb.path, tmp_path / str(number))
        (folder / file).unlink()
        if file.parent.name == "index":
            with pytest.raises(DweError, match="index cannot be read"):
                _use(folder)
        else:
            with pytest.raises(DweError, match=f"{file.name} is missing"):
                _use(folder)


@pytest.mark.parametrize("kept", [0, 100])
def test_a_truncated_file_is_named(kb, tmp_path, kept):
    for number, file in enumerate(_damaged_files(kb)):
        if file.parent.name == "index":
            continue
        folder = shutil.copytree(kb.path, tmp_path / str(number))
        (folder / file).write_bytes((folder / file).read_bytes()[:kept])
        with pytest.raises(DweError, match=f"{file.name} cannot be read"):
            _use(folder)


def test_a_truncated_index_is_named(kb, tmp_path):
    folder = shutil.copytree(kb.path, tmp_path / "kb")
    for file in folder.rglob("index/*.term"):
        file.write_bytes(b"")
    with pytest.raises(DweError, match="index cannot be read"):
        _use(folder)


@pytest.mark.parametrize("meta", ["", "[]", "{}", "not json"])
def test_a_broken_meta_file(kb, tmp_path, meta):
    folder = shutil.copytree(kb.path, tmp_path / "kb")
    (folder / "meta.json").write_text(meta)
    with pytest.raises(DweError, match=r"meta\.json cannot be read"):
        DweKnowledgeBase(folder)


def test_a_newer_format_is_refused(kb, tmp_path):
    folder = shutil.copytree(kb.path, tmp_path / "kb")
    meta = json.loads((folder / "meta.json").read_text())
    meta["format"] = FORMAT + 1
    (folder / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(DweError, match=rf"format {FORMAT + 1}.*upgrade spacy-dwe"):
        DweKnowledgeBase(folder)


def test_paths_with_odd_characters(kb, tmp_path):
    folder = shutil.copytree(kb.path, tmp_path / "a b#c?d%20é.kb")
    assert _use(folder)[0][0] == "Q230"


def test_importing_it_is_light():
    code = (
        "import sys, spacy_dwe.kb.knowledge_base, spacy_dwe.kb.candidates\n"
        "heavy = {'tantivy', 'open_clip', 'torchvision', 'transformers', 'cv2'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"


# Values of one's own


def test_keys_of_ones_own_are_read_by_row(tmp_path):
    entities = [
        Entity("Q1", "Rome", url="https://rome", extra={"at": [41.9, 12.5]}),
        Entity("Q2", "Paris", extra={"at": [48.9, 2.4], "note": None}),
        Entity("Q3", "Atlantis"),
    ]
    kb = build_kb(entities, tmp_path / "kb")
    rows = kb.rows_of(["Q2", "Q3", "Q1", "Q2"])
    expected = [[48.9, 2.4], None, [41.9, 12.5], [48.9, 2.4]]
    assert kb.values("at", rows) == expected
    assert kb.values("note", rows) == [None] * 4
    assert kb.values("url", rows) == [None, None, "https://rome", None]
    assert kb.values("title", rows[:2]) == ["Paris", "Atlantis"]
    assert kb.values("at", []) == []


def test_values_that_are_changed_are_not_those_that_are_kept(tmp_path):
    there = {"at": {"point": [48.9, 2.4]}}
    kb = build_kb([Entity("Q1", "A", extra=there)], tmp_path / "kb")
    kb.values("at", [0])[0]["point"].append(0.0)
    assert kb.values("at", [0]) == [there["at"]]


def test_values_are_read_once_while_they_are_kept(tmp_path, monkeypatch):
    entities = [Entity(f"Q{i}", "A", extra={"n": i}) for i in range(9)]
    kb = build_kb(entities, tmp_path / "kb")
    read = []
    values = kb.store.values

    def counted(key, rows):
        read.append(list(rows))
        return values(key, rows)

    monkeypatch.setattr(kb.store, "values", counted)
    monkeypatch.setattr(knowledge_base, "_KEPT_VALUES", 6)
    assert kb.values("n", [0, 1, 1, 2]) == [0, 1, 1, 2]
    assert kb.values("n", [2, 3]) == [2, 3]
    assert read == [[0, 1, 2], [3]]
    assert kb.values("n", [4, 5, 6, 0]) == [4, 5, 6, 0]
    assert kb.values("n", [6, 0, 1]) == [6, 0, 1], "the oldest have made way"
    assert read[2:] == [[4, 5, 6], [1]]
