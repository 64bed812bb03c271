"""Photographs held out, and nouns left out: what a fold trains on neither names nor
shows what it is tested on."""

from pathlib import Path

import pytest
from tiny_photographs import BIRDS, NAMED, id_of, photographs, read_lines
from typer.testing import CliRunner

from photographs import photographs_cli

PARTS = "train", "dev", "test"
NOUNS = {"oriole", "grebe", "duck, merganser"}


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp("birds"))


def run(*arguments):
    return CliRunner().invoke(photographs_cli, [*map(str, arguments)])


def folds(birds, out, *options):
    files = (birds / "train.jsonl", birds / "dev.jsonl")
    return run("folds", birds / "entities.jsonl", out, *files, "--folds", 3, *options)


def parts(folder, *stems):
    return [read_lines(folder / f"{stem}.jsonl") for stem in stems]


def noun_of(kb_id):
    return next(BIRDS[title][0][0] for title in NAMED if id_of(title) == kb_id)


def named(documents):
    return {noun_of(m["kb_id"]) for document in documents for m in document["mentions"]}


def shown(documents):
    return {noun_of(Path(document["images"][0]).parent.name) for document in documents}


def test_a_photograph_is_held_out_with_all_its_documents(birds, tmp_path):
    train = birds / "train.jsonl"
    done = run("hold-out", train, tmp_path / "out", "--share", 0.25)
    assert done.exit_code == 0, done.output
    kept, held = (
        read_lines(tmp_path / f"out/{stem}.jsonl") for stem in ("train", "dev")
    )
    assert len(kept) + len(held) == len(read_lines(train))
    assert 0.2 < len(held) / len(kept + held) < 0.35
    pictures = [{path for d in part for path in d["images"]} for part in (kept, held)]
    assert not pictures[0] & pictures[1]
    assert all(Path(path).is_file() for path in pictures[0] | pictures[1])
    run("hold-out", train, tmp_path / "again", "--share", 0.25)
    assert read_lines(tmp_path / "again/dev.jsonl") == held
    run("hold-out", train, tmp_path / "other", "--share", 0.25, "--seed", 1)
    assert read_lines(tmp_path / "other/dev.jsonl") != held


def test_a_part_that_would_be_empty_is_told(birds, tmp_path):
    done = run("hold-out", birds / "dev.jsonl", tmp_path / "out", "--share", 0.001)
    assert done.exit_code == 1
    assert done.output.startswith("[DWE-E287]")
    assert not (tmp_path / "out").exists()


def test_each_noun_is_left_out_once(birds, tmp_path):
    done = folds(birds, tmp_path / "folds")
    assert done.exit_code == 0, done.output
    assert all(noun in done.output for noun in NOUNS), "two nouns of a bird are one"
    found = [parts(tmp_path / f"folds/fold-{i}", *PARTS) for i in range(3)]
    asked = [document["id"] for _, _, test in found for document in test]
    both = read_lines(birds / "train.jsonl") + read_lines(birds / "dev.jsonl")
    assert sorted(asked) == sorted(document["id"] for document in both)
    for train, dev, test in found:
        assert train and dev
        assert not named(test) & (named(train) | named(dev) | shown(train) | shown(dev))
        groups = {group for document in test for group in groups_of(document)}
        assert "name:unseen" in groups and "name:seen" not in groups
    # All are candidates, or some are added to the KB when it was trained with.
    assert len(read_lines(tmp_path / "folds/entities.jsonl")) == len(BIRDS)
    for number, (_, _, test) in enumerate(found):
        own, added = parts(tmp_path / f"folds/fold-{number}", "entities", "added")
        assert len(own) + len(added) == len(BIRDS)
        assert {noun_of(entity["id"]) for entity in added} == named(test)


def groups_of(document):
    return document["mentions"][0]["groups"]


def test_what_is_asked_for_may_be_another_file(birds, tmp_path):
    files = (birds / "entities.jsonl", tmp_path / "folds", birds / "train.jsonl")
    done = run("folds", *files, "--test", birds / "dev.jsonl", "--folds", 3)
    assert done.exit_code == 0, done.output
    asked = [
        d["id"]
        for i in range(3)
        for d in read_lines(tmp_path / f"folds/fold-{i}/test.jsonl")
    ]
    dev = read_lines(birds / "dev.jsonl")
    assert sorted(asked) == sorted(document["id"] for document in dev)


def test_more_folds_than_nouns_are_refused(birds, tmp_path):
    done = folds(birds, tmp_path / "folds", "--folds", 4)
    assert done.exit_code == 1
    assert "3 shared nouns do not make 4 folds" in done.output
    assert not (tmp_path / "folds").exists()


def test_two_files_with_a_common_id_are_refused(birds, tmp_path):
    copy = tmp_path / "copy.jsonl"
    copy.write_text((birds / "dev.jsonl").read_text())
    files = (birds / "dev.jsonl", copy)
    done = run("folds", birds / "entities.jsonl", tmp_path / "folds", *files)
    assert done.exit_code == 1
    assert done.output.startswith(f"[DWE-E288] {copy}")
