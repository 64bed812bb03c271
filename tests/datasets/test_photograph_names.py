"""A set under other names: ids and titles are gone, and all else is as it was."""

import pytest
from tiny_photographs import BIRDS, photographs, read_lines
from typer.testing import CliRunner

from photographs import photographs_cli


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp("birds"))


def rename(folder, out, seed=0):
    arguments = ["rename", str(folder), str(out), "--seed", str(seed)]
    return CliRunner().invoke(photographs_cli, arguments)


@pytest.fixture(scope="module")
def renamed(birds, tmp_path_factory):
    out = tmp_path_factory.mktemp("renamed") / "out"
    assert rename(birds, out).exit_code == 0
    return out


def test_no_name_but_the_shared_nouns_is_left(renamed):
    everything = "".join(
        path.read_text().replace("/images/bird:", "").lower()
        for path in renamed.glob("*.jsonl")
    )
    texts = "".join(
        line
        for path in renamed.glob("*.jsonl")
        for record in read_lines(path)
        for line in (record.get("text", ""), record.get("description", ""))
    )
    for title, (aliases, _) in BIRDS.items():
        assert title not in texts
        assert f'"{title.lower()}"' not in everything
        for alias in aliases[1:]:
            assert (alias.lower() in everything) == (alias == "merganser")
    assert "birds.example" not in everything
    # A word of a title that is no name where it stands is left alone.
    assert "is a red bird" in everything


def test_entities_keep_what_they_share(birds, renamed):
    before = read_lines(birds / "entities.jsonl")
    after = read_lines(renamed / "entities.jsonl")
    ids = [entity["id"] for entity in after]
    assert len({*ids}) == len(BIRDS) and ids != sorted(ids)
    for old, new in zip(before, after):
        assert new["aliases"][0] == old["aliases"][0] or old["title"] == "Kiwi"
        assert len(new["title"]) == len(old["title"]) and new["title"] != old["title"]
        assert new["title"] in new["description"]
        assert new["aliases"][-1] in new["description"]
        pictures = [str(birds / image) for image in old["images"]]
        assert new["images"] == pictures
    words = [entity["title"].split()[-1] for entity in after]
    assert words[:2] == ["Oriole", "Oriole"], "the noun in a title stays"


def test_documents_name_them_by_their_new_names(birds, renamed):
    titles = {e["id"]: e["title"] for e in read_lines(renamed / "entities.jsonl")}
    for stem in ("train", "dev"):
        before = read_lines(birds / f"{stem}.jsonl")
        for old, new in zip(before, read_lines(renamed / f"{stem}.jsonl")):
            (was,), (mention,) = old["mentions"], new["mentions"]
            assert {**mention, "kb_id": was["kb_id"]} == was
            start, end = mention["start"], mention["end"]
            assert new["text"][start:end] == old["text"][start:end]
            named = titles[mention["kb_id"]] in new["text"]
            assert named == ("text" in mention["groups"])


def test_the_seed_says_which_names(birds, renamed, tmp_path):
    for out, seed in (("same", 0), ("other", 1)):
        assert rename(birds, tmp_path / out, seed).exit_code == 0
    for path in renamed.iterdir():
        assert path.read_text() == (tmp_path / "same" / path.name).read_text()
        assert path.read_text() != (tmp_path / "other" / path.name).read_text()


def test_a_set_is_not_replaced_by_itself(birds):
    done = rename(birds, birds)
    assert done.exit_code == 1
    assert done.output.startswith("[DWE-E287]")
    assert (birds / "train.jsonl").is_file()
