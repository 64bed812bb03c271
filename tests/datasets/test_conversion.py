"""Published datasets become entities and documents, and nothing is lost on the way."""

import hashlib
import json

import pytest
from tiny_datasets import (
    CAPTIONS,
    PICTURE_URL,
    mimic,
    page,
    picture,
    record,
    richpedia,
    wikidiverse,
    wikimel,
    write,
)

from spacy_dwe.datasets.conversion import ConversionOptions, convert_dataset
from spacy_dwe.documents import read_documents
from spacy_dwe.errors import DweError
from spacy_dwe.kb.entity import read_entities


def lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def entities(folder):
    return {entity.id: entity for entity in read_entities(folder / "entities.jsonl")}


def labels(document):
    """Text and gold of each mention."""
    text = document["text"]
    return [(text[m["start"] : m["end"]], m["kb_id"]) for m in document["mentions"]]


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def test_richpedia(tmp_path, out):
    counts = convert_dataset("richpedia", richpedia(tmp_path / "src"), out)
    found = entities(out)
    assert [found[qid].title for qid in found] == ["Ada Berg"] * 2 + [
        "Otto Kern",
        "Eva Lind",
    ]
    assert (found["Q1"].description, found["Q4"].description) == ("Born: 1900.", "")
    test = lines(out / "test.jsonl")
    assert test[0]["text"] == "Otto Kern. Kern sang well."
    assert test[0]["mentions"][0] == {
        "start": 0,
        "end": 9,
        "kb_id": "Q3",
        "added": True,
    }
    assert test[1]["mentions"][0]["published"] == "BERG"
    assert labels(test[1]) == [("berg", "Q4")]
    assert test[0]["images"] == list(found["Q3"].images)
    assert counts["splits"]["test"]["not_word_for_word"] == 2
    assert counts["splits"]["test"]["added"] == 1
    assert counts["conversion"]["images_not_found"] == {"train": 1, "test": 1}
    assert json.loads((out / "account.json").read_text()) == counts
    assert not (out / "left-out.tsv").exists()


@pytest.mark.parametrize(
    "which, description", [("brief", "Sex: unknown."), ("none", "")]
)
def test_descriptions_can_be_chosen(tmp_path, out, which, description):
    options = ConversionOptions(descriptions=which)
    convert_dataset("richpedia", richpedia(tmp_path / "src"), out, options)
    assert entities(out)["Q1"].description == description


def test_wikimel_with_split_ids_that_no_sample_has(tmp_path, out):
    counts = convert_dataset("wikimel", wikimel(tmp_path / "src" / "input_data"), out)
    (train,), (dev,) = lines(out / "train.jsonl"), lines(out / "dev.jsonl")
    assert labels(train) == [("Lind", "Q4"), ("Kern", "Q3")]
    assert labels(dev) == [("Berg", "Q1")]
    # The sample that no split names is kept, and its gold is no entity.
    assert [d["id"] for d in lines(out / "unsplit.jsonl")] == ["9"]
    assert counts["splits"]["unsplit"]["gold_not_an_entity"] == 1
    conversion = counts["conversion"]
    assert conversion["split_ids_without_sample"] == {"train": 1, "dev": 2}
    assert conversion["distinct_samples"] == 3


def test_melbench_has_no_list_of_entities(tmp_path, out):
    src = wikimel(tmp_path / "src")
    (src / "qid2ne.json").unlink()
    counts = convert_dataset("wikimel", src, out)
    assert set(entities(out)) == {"Q1", "Q3", "Q4", "Q99"}
    assert "golds" in counts["conversion"]["entities_from"]


def test_what_cannot_be_converted_is_named(tmp_path, out):
    src = richpedia(tmp_path / "src")
    write(src / "dev.json", [record("d1", "Berg sang.", " ", "Ada Berg", "Q1")])
    counts = convert_dataset("richpedia", src, out)
    assert lines(out / "dev.jsonl")[0]["mentions"] == []
    _, line = (out / "left-out.tsv").read_text().splitlines()
    assert line.split("\t") == ["dev.json, d1", "Q1", "a mention without text"]
    assert counts["conversion"]["left_out"] == 1
    assert counts["splits"]["dev"]["without_mention"] == 1


def test_a_sample_of_two_splits_is_in_both(tmp_path, out):
    src = wikimel(tmp_path / "src")
    write(src / "splits.json", {"train": ["7", "8", "9"], "val": ["8"]})
    counts = convert_dataset("wikimel", src, out)
    shared = counts["conversion"]["same_sample_in_two_splits"]
    assert shared == {"train/dev": 1}
    assert counts["texts"]["repeated_between"]["dev in train"]["equal"] == 1


def test_wikidiverse(tmp_path, out):
    src = wikidiverse(tmp_path / "src")
    counts = convert_dataset("wikidiverse", src, out)
    kern, zurich = lines(out / "train.jsonl")
    assert labels(kern) == [("Kern", None), ("Lions", "Detroit Lions")]
    assert [m["type"] for m in kern["mentions"]] == ["Person", "Organization"]
    assert (kern["topic"], kern["image_url"]) == ("sports", PICTURE_URL)
    assert "images" not in kern
    assert labels(zurich) == [("Zürich", "Zürich")]
    assert len(lines(out / "dev.jsonl")) == 1
    lions = entities(out)["Detroit Lions"]
    assert (lions.extra["type"], lions.url) == ("Organization", page("Detroit_Lions"))
    assert counts["conversion"]["published_offsets_not_used"] == {"train": 1, "dev": 1}
    assert counts["splits"]["train"]["nil"] == 1
    assert counts["images"]["dev"]["also_train"] == 1


def test_urls_of_pictures_can_be_images(tmp_path, out):
    src = wikidiverse(tmp_path / "src")
    options = ConversionOptions(image_urls=True)
    convert_dataset("wikidiverse", src, out, options)
    document = next(read_documents(out / "train.jsonl"))
    assert [ref.path for ref in document.images] == [PICTURE_URL]


@pytest.mark.parametrize("is_hashed", [False, True])
def test_downloaded_pictures_are_found(tmp_path, out, is_hashed):
    name = "Kern_(left).png"
    if is_hashed:
        # As WikiDiverse's own folder of pictures calls them.
        name = hashlib.md5(b"Kern_%28left%29.JPG").hexdigest() + ".png"
    picture(tmp_path / "pictures" / name, "red")
    options = ConversionOptions(images=tmp_path / "pictures")
    counts = convert_dataset("wikidiverse", wikidiverse(tmp_path / "src"), out, options)
    assert lines(out / "train.jsonl")[0]["images"][0].endswith(name)
    assert counts["splits"]["train"]["with_image"] == 1


def test_wikidiverse_with_candidates(tmp_path, out):
    sentence, url, topic, links = CAPTIONS[0]
    write(
        tmp_path / "src" / "train_w_10cands.json",
        [
            [sentence, url, text, kind, "", "", gold, cands, topic, *span]
            for (text, kind, *span, gold), cands in zip(
                links, (["Kern_(river)"], [page("Detroit_Lions"), page("Lion")])
            )
        ],
    )
    convert_dataset("wikidiverse", tmp_path / "src", out)
    (document,) = lines(out / "train.jsonl")
    assert labels(document) == [("Kern", None), ("Lions", "Detroit Lions")]
    assert document["mentions"][1]["candidates"] == ["Detroit Lions", "Lion"]
    assert set(entities(out)) == {"Detroit Lions", "Lion", "Kern (river)"}


def test_wikidiverse_with_wikidata_ids(tmp_path, out):
    samples = [
        {
            "id": n,
            "sentence": "The UK in November",
            "imgPath": f"mention_{n}.jpg",
            "mention": ["UK"],
            "entity": [name],
            "answer": ["Q145"],
            "img-url": "https://example.org/a.jpg",
        }
        for n, name in enumerate(["United Kingdom", "United Kingdom", "Britain"])
    ]
    src = tmp_path / "src"
    write(src / "WikiDiverse.json", samples)
    write(src / "splits.json", {"train": [0, 1, 2], "val": [2]})
    picture(src / "images" / "mention_1.jpg", "red")
    convert_dataset("wikidiverse", src, out)
    (entity,) = entities(out).values()
    assert (entity.title, entity.aliases[0].alias) == ("United Kingdom", "Britain")
    train = lines(out / "train.jsonl")
    assert ["images" in document for document in train] == [False, True, False]
    assert labels(train[0]) == [("UK", "Q145")]


@pytest.mark.parametrize("name", ["mimic", "richpedia"])
def test_mimic(tmp_path, out, name):
    counts = convert_dataset(name, mimic(tmp_path / "src"), out)
    found = entities(out)
    assert (found["Q1"].title, found["Q1"].description) == ("Ada Berg", "Born: 1900.")
    assert [image.rsplit("/", 1)[-1] for image in found["Q1"].images] == ["Q1_1.jpg"]
    first, second = lines(out / "test.jsonl")
    # Records of one id and sentence are one document, another sentence is another.
    assert labels(first) == [("Berg", "Q1"), ("Kern", "Q3")]
    assert (second["id"], labels(second)) == ("1-2", [("Nobody", None)])
    assert first["images"][0].endswith("mention_image/a.jpg")
    assert counts["images"]["test"] == {"also_entity": 1, "also_train": 1}


def test_mimic_has_short_texts_too(tmp_path, out):
    options = ConversionOptions(descriptions="brief")
    convert_dataset("mimic", mimic(tmp_path / "src"), out, options)
    descriptions = [e.description for e in entities(out).values()]
    assert descriptions == ["poet", "Born: 1910."]


@pytest.mark.parametrize("table", [False, True])
def test_descriptions_from_another_file(tmp_path, out, table):
    path = tmp_path / ("desc.tsv" if table else "pages.jsonl")
    if table:
        path.write_text("Detroit_Lions@@@@A team.\nZ%C3%BCrich@@@@A city.\n")
    else:
        entity = {"id": "Q72", "title": "zürich", "description": "A city."}
        path.write_text(json.dumps(entity) + "\n")
    options = ConversionOptions(descriptions_file=path)
    counts = convert_dataset("wikidiverse", wikidiverse(tmp_path / "src"), out, options)
    assert entities(out)["Zürich"].description == "A city."
    assert counts["conversion"]["described_from_file"] == 1 + table


def test_held_out_samples_share_neither_sentence_nor_gold_with_train(tmp_path, out):
    src = richpedia(tmp_path / "src")
    people = {f"Q{n}": f"Person {n}" for n in range(100, 120)}
    train = {
        f"{n}": record(f"{n}", f"Row {n % 15}", "Row", people[qid], qid)
        for n, qid in enumerate([*people, *people])
    }
    write(src / "train.json", train)
    parts = []
    for seed in (0, 0, 1):
        options = ConversionOptions(hold_out=0.4, seed=seed, overwrite=True)
        convert_dataset("richpedia", src, out, options)
        kept, held = lines(out / "train.jsonl"), lines(out / "held-out.jsonl")
        assert (len(kept), len(held)) == (24, 16)
        for key in (lambda d: d["text"], lambda d: d["mentions"][0]["kb_id"]):
            assert not {key(d) for d in kept} & {key(d) for d in held}
        parts.append([document["id"] for document in held])
    assert parts[0] == parts[1] != parts[2]


def test_held_out_golds_are_in_train_where_those_of_test_are(tmp_path, out):
    src = richpedia(tmp_path / "src")
    people = {f"Q{n}": f"Person {n}" for n in range(100, 104)}
    rows = [
        record(f"{n}", f"Row {n // 2}", "Row", people[qid], qid)
        for n, qid in enumerate([*people] * 10)
    ]
    write(src / "train.json", {str(n): row for n, row in enumerate(rows)})
    write(src / "test.json", {"t": record("t", "One", "One", "Person 100", "Q100")})
    options = ConversionOptions(hold_out=0.4)
    counts = convert_dataset("richpedia", src, out, options)
    kept, held = lines(out / "train.jsonl"), lines(out / "held-out.jsonl")
    assert counts["conversion"]["hold_out"]["golds_apart"] is False
    assert (len(kept), len(held)) == (24, 16)
    golds = [{d["mentions"][0]["kb_id"] for d in own} for own in (kept, held)]
    assert golds[0] & golds[1]
    assert not {d["text"] for d in kept} & {d["text"] for d in held}


def test_fewer_than_asked_for_are_held_out_where_golds_tie_samples(tmp_path, out):
    src = richpedia(tmp_path / "src")
    train = [record(n, f"Row {n}", "Row", "Ada Berg", "Q1") for n in range(20)]
    write(src / "train.json", train)
    with pytest.warns(UserWarning, match="W250"):
        counts = convert_dataset("richpedia", src, out, ConversionOptions(hold_out=0.1))
    assert counts["conversion"]["hold_out"]["samples"] == 0
    assert len(lines(out / "train.jsonl")) == 20


def test_keys_that_a_file_has_twice_are_told(tmp_path, out):
    src = richpedia(tmp_path / "src")
    path = src / "qid2ne.json"
    path.write_text(path.read_text()[:-1] + ', "Q1": "Ada Other"}')
    convert_dataset("richpedia", src, out)
    assert entities(out)["Q1"].title == "Ada Other"
    assert "Ada Berg" in (out / "left-out.tsv").read_text()


def _remove(name):
    return lambda src: (src / name).unlink()


def _write(name, value):
    return lambda src: write(src / name, value)


BAD = record("x", "Berg", ["Berg", "Ada"], ["Ada Berg"], ["Q1"])


@pytest.mark.parametrize(
    "spoil, message",
    [
        (_remove("qid2ne.json"), r"E250.*qid2ne\.json.*docs/datasets\.md"),
        (
            _write("train.json", [BAD]),
            r"E252.*train\.json, record number 1: 2 mentions",
        ),
        (_write("train.json", {"x": 1}), r"E252.*record x: an object"),
        (_write("train.json", [{"id": "x"}]), r'E252.*"sentence" is missing'),
        (_write("qid2ne.json", {"Q1": 7}), r"E252.*qid2ne\.json, record Q1"),
        (_write("qid2ne.json", []), r"E251.*qid2ne\.json"),
        (_write("train-2.json", {}), r"E255.*split train"),
        (lambda src: (src / "test.json").write_text("{broken"), r"E251.*test\.json"),
        (lambda src: (src / "test.json").write_bytes(b"\xff"), r"E251.*UTF-8"),
    ],
)
def test_mistakes_are_named_and_leave_nothing(tmp_path, out, spoil, message):
    src = richpedia(tmp_path / "src")
    spoil(src)
    with pytest.raises(DweError, match=message):
        convert_dataset("richpedia", src, out)
    assert [path.name for path in tmp_path.iterdir()] == ["src"]


@pytest.mark.parametrize(
    "item, message",
    [
        (["A text", "", "topic"], "this has 3"),
        (["A text", "", "topic", "Berg"], "the mentions are a list"),
        (["A text", "", "topic", [["Berg", "Person", 0]]], "page URL"),
        (["A text", "", "topic", [[1, "Person", 0, 4, ""]]], "are strings"),
        ([7, "", "topic", []], "the sentence is a string"),
        ({"sentence": "A text"}, "a list is expected"),
    ],
)
def test_captions_are_checked(tmp_path, out, item, message):
    write(tmp_path / "src" / "train.json", [CAPTIONS[0], item])
    with pytest.raises(DweError, match=rf"train\.json, record number 2.*{message}"):
        convert_dataset("wikidiverse", tmp_path / "src", out)


@pytest.mark.parametrize("name", ["richpedia", "wikimel", "wikidiverse", "mimic"])
def test_an_empty_folder_tells_where_to_fetch_the_dataset(tmp_path, out, name):
    (tmp_path / "src").mkdir()
    with pytest.raises(DweError, match=r"E250.*json.*docs/datasets\.md"):
        convert_dataset(name, tmp_path / "src", out)
    with pytest.raises(DweError, match="E001"):
        convert_dataset(name, tmp_path / "nothing", out)
    (tmp_path / "data.zip").touch()
    with pytest.raises(DweError, match=r"E254.*data\.zip"):
        convert_dataset(name, tmp_path / "data.zip", out)


def test_what_is_no_dataset_is_never_replaced(tmp_path, out):
    src = richpedia(tmp_path / "src")
    out.mkdir()
    convert_dataset("richpedia", src, out)
    with pytest.raises(DweError, match="E109"):
        convert_dataset("richpedia", src, out)
    overwrite = ConversionOptions(overwrite=True)
    convert_dataset("richpedia", src, out, overwrite)
    home = tmp_path / "home"
    write(home / "letter.txt", "")
    with pytest.raises(DweError, match=r"E110.*no converted dataset"):
        convert_dataset("richpedia", src, home, overwrite)
    for inside in (src, src / "out", tmp_path):
        with pytest.raises(DweError, match="E257"):
            convert_dataset("richpedia", src, inside, overwrite)
    assert {path.name for path in tmp_path.iterdir()} == {"src", "out", "home"}
