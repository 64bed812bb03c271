"""Photographs of products as published become mentions that only a picture can tell
apart, and some that it must not mislead."""

import json
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from tiny_datasets import PHOTOGRAPHS, PRODUCTS, grocery
from typer.testing import CliRunner

from spacy_dwe.cli import dwe_cli
from spacy_dwe.datasets.conversion import ConversionOptions, convert_dataset
from spacy_dwe.datasets.grocery_sentences import MENTION, TEMPLATES, TITLE
from spacy_dwe.errors import DweError
from spacy_dwe.kb.entity import read_entities

SPLITS = "train", "dev", "test"


@pytest.fixture(scope="module")
def src(tmp_path_factory):
    return grocery(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="module")
def out(src, tmp_path_factory):
    folder = tmp_path_factory.mktemp("converted") / "grocery"
    convert_dataset("grocery", src, folder)
    return folder


@pytest.fixture
def damaged(src, tmp_path):
    """A copy of the published files, to take something away from."""
    return Path(shutil.copytree(src, tmp_path / "src"))


def entities(folder):
    return {entity.id: entity for entity in read_entities(folder / "entities.jsonl")}


def lines(folder, split):
    path = folder / f"{split}.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def mentions(folder, *splits):
    """Document, its mention, and the mention's groups."""
    for split in splits or SPLITS:
        for document in lines(folder, split):
            (mention,) = document["mentions"]
            yield document, mention, set(mention["groups"])


def text_of(document, mention):
    return document["text"][mention["start"] : mention["end"]]


def class_of(picture):
    return Path(picture).parent.name


def noun_of(gold, folder):
    return entities(folder)[gold].aliases[0].alias


def test_a_product_is_an_entity(out):
    found = entities(out)
    assert [*found] == [f"grocery:{name}" for name in PRODUCTS]
    apple, cream = found["grocery:Pink-Lady"], found["grocery:Arla-Sour-Cream"]
    assert (apple.title, cream.title) == ("Pink Lady apple", "Arla Sour Cream")
    assert [alias.alias for alias in apple.aliases] == ["apple"]
    assert [alias.alias for alias in cream.aliases] == ["sour cream"]
    assert found["grocery:Kiwi"].aliases == ()
    assert apple.description == "Pink-Lady is sold here."
    for name, entity in zip(PRODUCTS, found.values(), strict=True):
        iconic, *photographs = map(Path, entity.images)
        assert iconic.name == f"{name}_Iconic.jpg"
        assert len(photographs) == 2
        assert {"train"} < set(photographs[0].parts) & set(photographs[1].parts)
        assert {p.parent.name for p in photographs} == {name}


def test_no_photograph_is_in_two_places(out):
    places = defaultdict(set)
    for entity in entities(out).values():
        for image in entity.images:
            places[image].add("kb")
    for split in SPLITS:
        for document in lines(out, split):
            for image in document["images"]:
                assert Path(image).is_file()
                places[image].add(split)
    assert {len(where) for where in places.values()} == {1}
    account = json.loads((out / "account.json").read_text())
    assert account["images"]["test"] == {"also_entity": 0, "also_train": 0}


def test_half_of_the_mentions_are_undecidable(out):
    by_split = defaultdict(Counter)
    for split in SPLITS:
        for document, mention, groups in mentions(out, split):
            by_split[split].update(groups)
            gold = entities(out)[mention["kb_id"]]
            shown = class_of(document["images"][0])
            is_right = mention["kb_id"] == f"grocery:{shown}"
            assert is_right == ("picture:right" in groups)
            if "undecidable" in groups:
                noun = gold.aliases[0].alias
                assert text_of(document, mention) == noun
                assert gold.title not in document["text"]
                assert {"picture:right", f"noun:{noun}"} < groups
            elif "text:full-name" in groups:
                assert text_of(document, mention) == gold.title
            else:
                assert "text:full-name-nearby" in groups
                assert gold.title in document["text"]
                assert text_of(document, mention) == gold.aliases[0].alias
    for counts in by_split.values():
        n_wrong = counts["picture:unrelated"] + counts["picture:namesake"]
        assert abs(counts["undecidable"] - counts["text"]) <= 2
        assert n_wrong * 2 == counts["text"]
    # Every photograph of test is shown: with the sentence it decides, or the other way.
    n = PHOTOGRAPHS["test"] * sum(c != "Kiwi" for c in PRODUCTS.values())
    assert by_split["test"]["picture:right"] == n
    assert (
        by_split["test"]["picture:namesake"] and by_split["test"]["picture:unrelated"]
    )


def test_a_wrong_photograph_is_a_namesakes_or_unrelated(out):
    for document, mention, groups in mentions(out):
        shown = f"grocery:{class_of(document['images'][0])}"
        is_namesake = noun_of(shown, out) == noun_of(mention["kb_id"], out)
        if "picture:namesake" in groups:
            assert is_namesake
        if "picture:unrelated" in groups:
            assert not is_namesake


@pytest.mark.parametrize("split", SPLITS)
def test_an_undecidable_sentence_stands_beside_several_namesakes(out, split):
    golds = defaultdict(set)
    for document, mention, groups in mentions(out, split):
        if "undecidable" in groups:
            golds[document["text"]].add(mention["kb_id"])
    assert min(map(len, golds.values())) >= 2


def test_splits_share_no_sentence(out):
    texts = [{document["text"] for document in lines(out, split)} for split in SPLITS]
    assert not texts[0] & texts[1] | texts[0] & texts[2] | texts[1] & texts[2]


def test_the_templates_are_of_one_split_each():
    for kind in ("undecidable", "full_name", "nearby", "asides"):
        each = [template for t in TEMPLATES.values() for template in getattr(t, kind)]
        assert len(each) == len(set(each))
        n_mentions = {template.count(MENTION) for template in each}
        assert n_mentions == ({0} if kind == "asides" else {1})
        assert {template.count(TITLE) for template in each} == {int(kind == "nearby")}


def test_one_noun_is_for_test_alone(out):
    nouns = defaultdict(set)
    for split in SPLITS:
        for _, mention, groups in mentions(out, split):
            assert ("name:unseen" in groups) != ("name:seen" in groups)
            nouns[split].add((noun_of(mention["kb_id"], out), "name:seen" in groups))
    assert len(nouns["train"]) == 1
    assert nouns["train"] == nouns["dev"] < nouns["test"]
    assert {is_seen for _, is_seen in nouns["train"]} == {True}
    ((_, is_seen),) = nouns["test"] - nouns["train"]
    assert not is_seen


def test_train_gives_dev_what_val_lacks(out):
    shown = {image for document in lines(out, "dev") for image in document["images"]}
    by_class = Counter(map(class_of, shown))
    assert set(by_class.values()) == {3}
    assert sum("train" in Path(image).parts for image in shown) == len(by_class)


def test_the_seed_chooses_all_of_it(src, out, tmp_path):
    for seed, is_same in ((0, True), (1, False)):
        again = tmp_path / str(seed)
        convert_dataset("grocery", src, again, ConversionOptions(seed=seed))
        for name in ("entities", *SPLITS):
            file = f"{name}.jsonl"
            assert ((again / file).read_bytes() == (out / file).read_bytes()) == is_same


def test_pictures_from_elsewhere_have_the_same_names(src, tmp_path):
    smaller = tmp_path / "smaller"
    shutil.copytree(src / "dataset", smaller)
    options = ConversionOptions(images=smaller)
    convert_dataset("grocery", src, tmp_path / "out", options)
    for document in lines(tmp_path / "out", "test"):
        assert document["images"][0].startswith(str(smaller))


def test_what_is_missing_is_told_line_by_line(damaged, tmp_path):
    dataset = damaged / "dataset"
    gone = dataset / "test/Apple/Pink-Lady/Pink-Lady_001.jpg"
    twin = dataset / "train/Kiwi/Kiwi/Kiwi_002.jpg"
    (text,) = dataset.glob("iconic*/Kiwi/Kiwi/*.txt")
    (iconic,) = dataset.glob("iconic*/Kiwi/Kiwi/*.jpg")
    shutil.copy(dataset / "test/Kiwi/Kiwi/Kiwi_003.jpg", twin)
    for path in (gone, text, iconic):
        path.unlink()
    done = CliRunner().invoke(
        dwe_cli, ["convert", "grocery", str(damaged), str(tmp_path / "out")]
    )
    assert done.exit_code == 0, done.output
    assert "4 left out" in done.output
    assert "no such photograph: 1" in done.output
    _, *told = (tmp_path / "out" / "left-out.tsv").read_text().splitlines()
    same = f"{twin.relative_to(dataset)} is test/Kiwi/Kiwi/Kiwi_003.jpg"
    assert {tuple(line.split("\t")) for line in told} == {
        ("classes.csv, line 7", str(text.relative_to(dataset)), "no such description"),
        (
            "classes.csv, line 7",
            str(iconic.relative_to(dataset)),
            "no such iconic picture",
        ),
        ("test.txt, line 13", str(gone.relative_to(dataset)), "no such photograph"),
        ("train.txt, line 42", same, "listed before"),
    }
    kiwi = entities(tmp_path / "out")["grocery:Kiwi"]
    assert kiwi.description == ""
    assert len(kiwi.images) == 2


def test_without_photographs_there_is_nothing(damaged, tmp_path):
    for split in PHOTOGRAPHS:
        shutil.rmtree(damaged / "dataset" / split)
    with pytest.raises(DweError, match=r"DWE-E280.*none of the 96 photographs"):
        convert_dataset("grocery", damaged, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "file, line, told",
    [
        ("test.txt", "test/Apple/x.jpg, 77, 0", r"line 3.*a Class ID of classes.csv"),
        ("classes.csv", "Kiwi,,Kiwi,0,/x.jpg,/x.txt", r"line 3.*a value of Class ID"),
    ],
)
def test_a_line_that_is_not_as_published_is_named(damaged, tmp_path, file, line, told):
    path = damaged / "dataset" / file
    published = path.read_text().splitlines()
    path.write_text("\n".join([*published[:2], line, *published[3:]]))
    with pytest.raises(DweError, match=rf"DWE-E281.*{file}, {told}"):
        convert_dataset("grocery", damaged, tmp_path / "out")


def test_a_column_that_is_missing_is_named(damaged, tmp_path):
    path = damaged / "dataset" / "classes.csv"
    path.write_text(path.read_text().replace("Coarse Class Name", "Kind"))
    with pytest.raises(DweError, match=r"E281.*line 1.*Coarse Class Name"):
        convert_dataset("grocery", damaged, tmp_path / "out")


def test_another_folder_is_told_where_the_files_are_from(tmp_path):
    (tmp_path / "src").mkdir()
    with pytest.raises(DweError, match=r"DWE-E250.*docs/datasets.md"):
        convert_dataset("grocery", tmp_path / "src", tmp_path / "out")


@pytest.mark.parametrize("option", ["--image-urls", "--descriptions=brief"])
def test_options_that_say_nothing_are_refused(src, tmp_path, option):
    command = ["convert", "grocery", str(src), str(tmp_path / "out"), option]
    done = CliRunner().invoke(dwe_cli, command)
    assert done.exit_code == 1
    assert "DWE-E258" in done.output
