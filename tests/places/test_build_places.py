import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from places.build import build_places
from places.data import Places, read_places
from places.plan import plan_sample
from sample import sample_cli
from spacy_dwe.errors import DweError

Row = dict[str, Any]
Rows = Callable[[str], list[Row]]


@pytest.fixture()
def few(places_jsonl: Path) -> list[Row]:
    """The rows of four places, of which each two share a name."""
    lines = places_jsonl.read_text("utf8").splitlines()
    return [json.loads(line) for line in lines[:4]]


def written(folder: Path, rows: list[Row]) -> Path:
    path = folder / "places.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf8")
    return path


def test_mentions_stand_where_they_say(rows: Rows, places: Places) -> None:
    names = {place.id: place.name for place in places.rows}
    for stem in ("train", "dev", "test", "test-permuted", "test-swapped"):
        for document in rows(stem):
            for mention in document["mentions"]:
                text = document["text"][mention["start"] : mention["end"]]
                assert text == names.get(mention["kb_id"], text)
                assert text.strip() == text != ""


def test_some_documents_have_two_mentions_and_some_no_picture(rows: Rows) -> None:
    documents = rows("train")
    assert {len(document["mentions"]) for document in documents} == {1, 2}
    assert {len(document["images"]) for document in documents} == {0, 1}


def test_what_is_in_no_kb_has_no_id(rows: Rows) -> None:
    for document in rows("test"):
        for mention in document["mentions"]:
            assert (mention["kb_id"] is None) == (mention["groups"] == ["nil"])


def test_the_same_seed_gives_the_same_files(tmp_path: Path, few: list[Row]) -> None:
    path = written(tmp_path, few)
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        build_places(path, tmp_path / out, seed=seed, scale=0.1)
    a, b, c = (contents(tmp_path / out) for out in "abc")
    assert a == b
    assert not {name for name in a if name.endswith(".jpg")} & set(c)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_account_counts_what_is_written(tmp_path: Path, few: list[Row]) -> None:
    out = tmp_path / "corpus"
    account = build_places(written(tmp_path, few), out, scale=0.2)
    assert account["entities"]["entities"] == 4
    assert account["entities"]["ambiguous_names"] == 2
    for stem in ("train", "dev", "test", "test-permuted", "test-swapped"):
        lines = (out / f"{stem}.jsonl").read_text("utf8").splitlines()
        assert account[stem]["documents"] == len(lines)


def test_an_earlier_sample_is_replaced(tmp_path: Path, few: list[Row]) -> None:
    out = tmp_path / "corpus"
    path = written(tmp_path, few)
    build_places(path, out, seed=1, scale=0.1)
    build_places(path, out, seed=2, scale=0.1)
    images = set((out / "images").iterdir())
    build_places(path, out, seed=2, scale=0.1)
    assert images == set((out / "images").iterdir())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["corpus", "places.jsonl"]


def test_a_folder_of_something_else_is_left_alone(
    tmp_path: Path, few: list[Row]
) -> None:
    out = tmp_path / "home"
    out.mkdir()
    (out / "letter.txt").write_text("dear")
    with pytest.raises(DweError, match="home exists and holds no sample"):
        build_places(written(tmp_path, few), out)
    assert [path.name for path in out.iterdir()] == ["letter.txt"]


def test_a_failed_build_leaves_the_earlier_sample(
    tmp_path: Path, few: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "corpus"
    path = written(tmp_path, few)
    build_places(path, out, seed=1, scale=0.1)
    before = contents(out)
    monkeypatch.setattr("hashlib.sha256", None)
    with pytest.raises(TypeError):
        build_places(path, out, seed=2, scale=0.1)
    assert contents(out) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["corpus", "places.jsonl"]


def test_scale_shortens_the_sample(places: Places) -> None:
    whole, part = plan_sample(places), plan_sample(places, scale=0.5)
    assert len(part.documents["train"]) < 0.7 * len(whole.documents["train"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "Georgia"}, "line 1: not a place of the sample: 'Georgia' is no"),
        ({"title": ""}, "'title' must be a text"),
        ({"aliases": "Sakartvelo"}, "'aliases' must be a list of texts"),
        ({"clues": ["Tbilisi"]}, "at least two clues"),
        ({"split": "test"}, "'split' must be one of seen, unseen"),
        ({"flag": {"layers": [{"kind": "unicorn"}]}}, "kind must be one of"),
        ({"id": "Q1428"}, "Q1428 stands there twice"),
        ({"split": "unseen"}, "share a name, but one is seen"),
    ],
)
def test_a_wrong_place_is_named(
    tmp_path: Path, few: list[Row], change: Row, message: str
) -> None:
    few[0] |= change
    with pytest.raises(DweError, match=message):
        read_places(written(tmp_path, few))


def test_flags_that_look_alike_may_not_share_a_name(
    tmp_path: Path, few: list[Row]
) -> None:
    few[1]["flag"] = few[0]["flag"]
    with pytest.raises(DweError, match="can hardly be told apart"):
        read_places(written(tmp_path, few))


def test_broken_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "places.jsonl"
    with pytest.raises(DweError, match=r"File not found: .*places\.jsonl"):
        read_places(path)
    path.write_text("")
    with pytest.raises(DweError, match="holds no places"):
        read_places(path)
    path.write_text("{}\n{oops\n")
    with pytest.raises(DweError, match="line 1"):
        read_places(path)
    path.write_text("\n{oops\n")
    with pytest.raises(DweError, match="line 2: not valid JSON"):
        read_places(path)


def test_the_command_prints_an_account(tmp_path: Path, few: list[Row]) -> None:
    out = tmp_path / "corpus"
    arguments = ["places", str(written(tmp_path, few)), str(out), "--scale", "0.1"]
    result = CliRunner().invoke(sample_cli, arguments)
    assert result.exit_code == 0, result.output
    assert "4 places, 2 shared names" in result.output
    assert "test-swapped" in result.output
    assert (out / "entities.jsonl").is_file()


def test_the_command_fails_with_one_line(tmp_path: Path) -> None:
    arguments = ["places", str(tmp_path / "none.jsonl"), str(tmp_path / "corpus")]
    result = CliRunner().invoke(sample_cli, arguments)
    assert result.exit_code == 1
    assert "File not found" in result.output
    assert "Traceback" not in result.output
