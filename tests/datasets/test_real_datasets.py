"""The account of the real datasets, against counts that were made independently."""

from pathlib import Path

import pytest

from spacy_dwe.datasets.conversion import convert_dataset

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def account_of(tmp_path_factory):
    def convert(name):
        if not (DATA / name).is_dir():
            pytest.skip(f"{name} as published is not in {DATA}")
        return convert_dataset(
            name, DATA / name, tmp_path_factory.mktemp("real") / name
        )

    return convert


def counts_of(account, *keys):
    splits = account["splits"].items()
    return {name: tuple(counts[key] for key in keys) for name, counts in splits}


def test_richpedia(account_of):
    account = account_of("richpedia")
    assert counts_of(account, "samples", "without_mention") == {
        "train": (14_244, 1),
        "test": (3_561, 0),
    }
    assert account["entities"]["entities"] == 17_805
    assert account["entities"]["shared_titles"] == 67
    assert account["splits"]["test"]["not_word_for_word"] == 378
    assert account["golds_seen_in_train"]["test"]["seen"] == 0
    # Its one mention without text.
    assert account["conversion"]["left_out"] == 1


def test_wikimel(account_of):
    account = account_of("wikimel")
    assert counts_of(account, "samples", "mentions") == {
        "train": (15_511, 18_088),
        "dev": (2_213, 2_627),
    }
    assert account["conversion"]["distinct_samples"] == 17_724
    without = account["conversion"]["split_ids_without_sample"]
    assert without == {"train": 1_580, "dev": 230}
    assert account["entities"]["entities"] == 18_880
    assert account["conversion"]["left_out"] == 0


def test_wikidiverse(account_of):
    account = account_of("wikidiverse")
    assert counts_of(account, "samples", "mentions") == {
        "train": (5_556, 11_173),
        "dev": (799, 1_656),
    }
    # 5,556 + 799 are 8 more than the file has: these are in both splits.
    assert account["conversion"]["distinct_samples"] == 6_347
    assert account["conversion"]["same_sample_in_two_splits"] == {"train/dev": 8}
    without = account["conversion"]["split_ids_without_sample"]
    assert without == {"train": 14, "dev": 4}


def test_grocery(tmp_path):
    src = DATA / "grocery-published"
    if not src.is_dir():
        pytest.skip(f"the Grocery Store Dataset as published is not in {DATA}")
    account = convert_dataset("grocery", src, tmp_path / "out")
    assert account["entities"]["entities"] == 81
    assert account["entities"]["without_description"] == 0
    # The photographs of six products are there, 4 a list: 2 of train are the entities'.
    because = account["conversion"]["left_out_because"]
    n_listed, n_there = 2_640 + 296 + 2_485, 6 * 3 * 4
    assert because["no such photograph"] == n_listed - n_there
    assert account["golds_seen_in_train"]["test"]["share"] == 0.5
    assert counts_of(account, "samples", "with_image") == {
        "train": (8, 8),
        "dev": (16, 16),
        "test": (32, 32),
    }
