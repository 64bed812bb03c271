import json
from hashlib import md5

import pytest
import spacy
from spacy.tokens import DocBin
from typer.testing import CliRunner

from spacy_dwe.cli import dwe_cli
from spacy_dwe.cli.convert import convert
from spacy_dwe.datasets.splits import is_kept
from spacy_dwe.errors import DweError

DOCUMENTS = [
    {
        "id": "d1",
        "text": "New York Times in Georgia",
        "mentions": [
            {"start": 0, "end": 14, "kb_id": "Q9684"},
            {"start": 0, "end": 8, "kb_id": None},
            {"start": 18, "end": 25, "groups": ["undecidable"]},
        ],
        "images": ["/pictures/a.png"],
        "split": "train",
    },
    {"id": "d2", "text": "Nothing", "mentions": []},
]


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "documents.jsonl"
    path.write_text("".join(json.dumps(document) + "\n" for document in DOCUMENTS))
    return path


def run(*arguments):
    return CliRunner().invoke(dwe_cli, ["convert", *map(str, arguments)])


@pytest.mark.parametrize("first", [True, False])
def test_there_and_back(data, tmp_path, first):
    binary, back = tmp_path / "docs.spacy", tmp_path / "back.jsonl"
    for name, src, out in (("docbin", data, binary), ("jsonl", binary, back)):
        done = run(name, src, out) if first else run(src, out, "--to", name)
        assert done.exit_code == 0, done.output
    documents = [json.loads(line) for line in back.read_text().splitlines()]
    order = [(m["start"], m["end"]) for m in documents[0]["mentions"]]
    assert sorted(order) == [(0, 8), (0, 14), (18, 25)]
    for document, expected in zip(documents, DOCUMENTS, strict=True):
        for mentions in (document["mentions"], expected["mentions"]):
            mentions.sort(key=lambda mention: (mention["start"], mention["end"]))
        assert document == expected


def test_the_docbin_keeps_labels_pictures_and_groups(data, tmp_path):
    out = tmp_path / "new" / "docs.spacy"
    assert convert("docbin", data, out, lang="xx") == 2
    docs = list(DocBin().from_disk(out).get_docs(spacy.blank("xx").vocab))
    labels = {ent.text: ent.kb_id_ for doc in docs for ent in doc.ents}
    assert labels == {"New York Times": "Q9684", "New York": "NIL", "Georgia": ""}
    assert docs[0]._.images[0].path == "/pictures/a.png"
    groups = {ent.text: ent._.link_groups for doc in docs for ent in doc.ents}
    assert groups["Georgia"] == ("undecidable",)


def test_mistakes_are_one_line_and_leave_no_output(data, tmp_path):
    out = tmp_path / "out.spacy"
    data.write_text(data.read_text() + "{broken\n")
    done = run("docbin", data, out)
    assert done.exit_code == 1 and "documents.jsonl, line 3" in done.stderr
    for arguments, message in (
        (("parquet", data, out), "E413"),
        (("docbin", tmp_path / "nothing.jsonl", out), "nothing.jsonl"),
        (("jsonl", data, out), "is no .spacy file"),
        (("docbin", data, data), "E235"),
        (("docbin", data, out, "--lang", "qq"), "qq"),
    ):
        done = run(*arguments)
        assert done.exit_code == 1, done.output
        assert message in done.stderr.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == [data.name]
    assert run(data, out).exit_code == 2
    assert run("docbin", data, out, "--to", "docbin").exit_code == 2


def test_an_empty_file_is_no_training_data(tmp_path):
    path = tmp_path / "empty.jsonl"
    path.touch()
    with pytest.raises(DweError, match=r"E004.*empty\.jsonl"):
        convert("docbin", path, tmp_path / "out.spacy")


CAPTION = [
    "Kern met the Lions.",
    "https://example.org/kern.jpg",
    "sports",
    [["Kern", "Person", 0, 4, "https://en.wikipedia.org/wiki/Otto_Kern"]],
]


@pytest.fixture
def captions(tmp_path):
    folder = tmp_path / "wikidiverse"
    folder.mkdir()
    for name in ("train", "test"):
        (folder / f"{name}.json").write_text(json.dumps([CAPTION]))
    return folder


def test_a_published_dataset_becomes_a_folder_with_an_account(captions, tmp_path):
    out = tmp_path / "out"
    done = run("wikidiverse", captions, out, "--image-urls")
    assert done.exit_code == 0, done.output
    assert {path.name for path in out.iterdir()} == {
        "entities.jsonl",
        "train.jsonl",
        "test.jsonl",
        "account.json",
    }
    document = json.loads((out / "train.jsonl").read_text())
    assert document["images"] == ["https://example.org/kern.jpg"]
    rows = {tuple(line.split()) for line in done.output.splitlines()}
    assert ("mentions", "1", "1") in rows
    assert ("golds", "of", "test", "seen", "in", "train", "100.0", "%") in rows


def test_an_account_of_a_folder_keeps_what_its_conversion_told(captions, tmp_path):
    out = tmp_path / "out"
    assert run("wikidiverse", captions, out).exit_code == 0
    first = json.loads((out / "account.json").read_text())
    (out / "test.jsonl").unlink()
    done = CliRunner().invoke(dwe_cli, ["account", str(out)])
    assert done.exit_code == 0, done.output
    second = json.loads((out / "account.json").read_text())
    assert second["conversion"] == first["conversion"]
    assert list(second["splits"]) == ["train"]
    done = CliRunner().invoke(dwe_cli, ["account", str(captions)])
    assert done.exit_code == 1 and "E260" in done.stderr
    assert not (captions / "account.json").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        (("wikidiverse", "--lang", "de"), "E258"),
        (("docbin", "--kb-share", "0.1"), "E258"),
        (("open-world", "--hold-out", "0.1"), "E258"),
        (("open-world", "--kb-share", "20"), "E135"),
        (("wikidiverse", "--kb-share", "0"), "E135"),
        (("wikidiverse", "--kb-share", "0.001"), "E262"),
        (("docbin", "--hold-out", "0.1"), "E258"),
        (("wikidiverse", "--descriptions", "short"), "long, brief, none"),
        (("wikidiverse", "--hold-out", "2"), "E135"),
        (("wikidiverse", "--images", "nowhere"), "E135"),
        (("wikidiverse", "--descriptions-file", "nowhere.jsonl"), "nowhere.jsonl"),
        (("wikimel",), "docs/datasets.md"),
        (("twitter",), "open-world, wikimel, richpedia, wikidiverse, mimic"),
    ],
)
def test_options_of_datasets_are_checked(captions, tmp_path, options, message):
    out = tmp_path / "out"
    done = run(options[0], captions, out, *options[1:])
    assert done.exit_code == 1, done.output
    (line,) = done.stderr.splitlines()
    assert message in line
    assert not out.exists()


def ids(path):
    return [json.loads(line)["id"] for line in path.read_text("utf-8").splitlines()]


def test_fifths_of_a_kb_share_nothing_and_lose_nothing(tmp_path):
    """By MD5 of the id, modulo 5, so the same wherever the entities are from."""
    src, kept = tmp_path / "entities.jsonl", []
    entities = [{"id": f"Q{n}", "title": f"Náme {n}", "own": n} for n in range(200)]
    lines = [json.dumps(e, ensure_ascii=False) + "\n" for e in entities]
    src.write_text("".join(lines), "utf-8")
    for seed in range(5):
        out = tmp_path / f"{seed}.jsonl"
        done = run("open-world", src, out, "--kb-share", "0.2", "--seed", seed)
        assert done.exit_code == 0, done.output
        assert f"{len(ids(out))} of 200 entities" in done.output
        assert all(int(md5(i.encode()).hexdigest(), 16) % 5 == seed for i in ids(out))
        assert set(out.read_text("utf-8").splitlines(keepends=True)) <= set(lines)
        kept += ids(out)
    assert sorted(kept) == sorted(e["id"] for e in entities)
    assert run("open-world", src, tmp_path / "default.jsonl").exit_code == 0
    assert ids(tmp_path / "default.jsonl") == ids(tmp_path / "0.jsonl")


def test_parts_of_any_share_are_alike_and_stable():
    ids = [f"Q{n}" for n in range(10_000)]
    for share in (0.5, 0.3, 0.123, 1):
        chosen = [[is_kept(i, share, seed) for i in ids] for seed in (0, 1)]
        assert sum(chosen[0]) / len(ids) == pytest.approx(share, abs=0.02)
        assert not any(map(all, zip(*chosen))) or share == 1


def test_an_open_world_of_a_dataset_keeps_its_documents(captions, tmp_path):
    whole, part = tmp_path / "whole", tmp_path / "part"
    caption = json.loads((captions / "train.json").read_text())[0]
    caption[3].append(["Lions", "Org", 13, 18, "https://en.wikipedia.org/wiki/Lions"])
    (captions / "train.json").write_text(json.dumps([caption]))
    assert run("wikidiverse", captions, whole).exit_code == 0
    first, *_ = both = ids(whole / "entities.jsonl")
    seed = 0 if is_kept(first, 0.5, 0) else 1
    done = run("wikidiverse", captions, part, "--kb-share", "0.5", "--seed", seed)
    assert done.exit_code == 0, done.output
    kept = [i for i in both if is_kept(i, 0.5, seed)]
    assert ids(part / "entities.jsonl") == kept
    for name in ("train.jsonl", "test.jsonl"):
        assert (whole / name).read_text() == (part / name).read_text()
    account = json.loads((part / "account.json").read_text())
    chosen = {"share": 0.5, "seed": seed, "kept": len(kept), "of": 2}
    assert account["conversion"]["kb_share"] == chosen
