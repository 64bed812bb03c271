"""What photographs do to the links of linkers, side by side."""

import json

import pytest
import spacy
from small_encoders import Colours
from tiny_photographs import NAMED, N, photographs
from typer.testing import CliRunner

from photographs import photographs_cli

UNTRAINED = "blank:en"


def run(*arguments):
    return CliRunner().invoke(photographs_cli, [*map(str, arguments)])


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    """A set, and its KB beside it, in which a picture is its colour."""
    folder = photographs(tmp_path_factory.mktemp("birds") / "set")
    kb = folder.parent / "birds.kb"
    encoder = ("--picture-encoder", Colours().spec["@misc"])
    assert run("kb", folder, kb, *encoder).exit_code == 0
    return folder


def trial(birds, tmp_path, *linkers, folder=None, split="dev", options=()):
    """RETURNS (dict): shares by measure and linker."""
    output = tmp_path / "trial.json"
    kb = ("--kb", birds.parent / "birds.kb", "--output", output)
    done = run("trial", folder or birds, split, *linkers, *kb, "--draws", 200, *options)
    assert done.exit_code == 0, done.output
    shares = json.loads(output.read_text())["shares"]
    return {(share["measure"], share["linker"]): share for share in shares}


def test_photographs_that_are_right_wrong_and_foreign(birds, tmp_path):
    shares = trial(birds, tmp_path, UNTRAINED)
    values = {measure: share["value"] for (measure, _), share in shares.items()}
    n = {measure: share["n"] for (measure, _), share in shares.items()}
    each = len(NAMED) * N["dev"]
    assert values["undecidable: Top-1"] == 1
    assert n["undecidable: Top-1"] == each
    # Names come first: the text has them in full.
    assert values["text, wrong picture: linked rightly"] == 1
    assert n["text, wrong picture: linked rightly"] == each
    assert n["text, a namesake's picture: linked rightly"] == len(NAMED)
    # The same sentences, beside a photograph of what the noun does not mean.
    assert n["undecidable, picture of another noun: linked"] == each
    assert values["undecidable, picture of another noun: linked"] < 0.5
    # All names are seen ones, which one line says.
    assert not any("seen names" in measure for measure in n)
    assert all(0 <= low <= high <= 1 for low, high in intervals(shares))


def intervals(shares):
    return [share["interval"] for share in shares.values()]


def test_linkers_are_compared_with_the_first(birds, tmp_path):
    names = run("kb", birds, tmp_path / "names.kb", "--picture-encoder", "")
    assert names.exit_code == 0
    blind = tmp_path / "linkers" / "blind" / "model-best"
    save_linker(tmp_path / "names.kb", blind)
    every = tmp_path / "linkers" / "*" / "model-best"
    again = f"untrained={UNTRAINED}"
    output = tmp_path / "trial.json"
    kb = birds.parent / "birds.kb"
    done = run(
        "trial", birds, "dev", again, again, every, "--output", output, "--kb", kb
    )
    assert done.exit_code == 0, done.output
    shares = json.loads(output.read_text())["shares"]
    found = {(share["measure"], share["linker"]): share for share in shares}
    first = found["undecidable: Top-1", "untrained"]
    assert first["by_seed"] == [1, 1], "those of one name are its seeds"
    assert "against" not in first
    other = found["undecidable: Top-1", "blind"]
    assert other["against"] == "untrained"
    assert other["difference"] < -0.3
    assert other["difference_interval"][1] < 0
    assert other["shown"] and other["p_holm"] < 0.05


def save_linker(kb, path):
    """One that looks at no picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nlp = spacy.blank("en")
    nlp.add_pipe("dwe_linker", config={"use_images": False}).load_kb(kb)
    nlp.to_disk(path)


def test_photographs_of_another_set(birds, tmp_path):
    other = photographs(tmp_path / "other")
    options = ("--other", other / "train.jsonl")
    shares = trial(birds, tmp_path, UNTRAINED, options=options)
    linked = shares["undecidable, picture of another set: linked", UNTRAINED]
    assert linked["n"] == len(NAMED) * N["dev"]


def test_the_same_seed_shows_the_same_photographs(birds, tmp_path):
    first = trial(birds, tmp_path, UNTRAINED)
    assert trial(birds, tmp_path, UNTRAINED) == first


def test_folds_are_pooled_each_by_its_own_linker(birds, tmp_path):
    files = [birds / "train.jsonl", birds / "dev.jsonl"]
    folds = tmp_path / "folds"
    entities = birds / "entities.jsonl"
    done = run("folds", entities, folds, *files, "--folds", 3)
    assert done.exit_code == 0, done.output
    for number in range(3):
        save_linker(birds.parent / "birds.kb", tmp_path / f"model-{number}")
    by_fold = f"blind={tmp_path}/model-{{fold}}"
    shares = trial(birds, tmp_path, UNTRAINED, by_fold, folder=folds, split="test")
    measure = "undecidable: Top-1"
    assert shares[measure, UNTRAINED]["n"] == len(NAMED) * sum(N.values())
    assert shares[measure, UNTRAINED]["value"] == 1
    assert shares[measure, "blind"]["value"] < 0.7


def test_what_is_not_there_is_told_before_the_work(birds, tmp_path):
    kb = ("--kb", birds.parent / "birds.kb", "--output", tmp_path / "trial.json")
    done = run("trial", birds, "test", UNTRAINED, *kb)
    assert done.exit_code == 1
    assert f"{birds}/test.jsonl" in done.output
    done = run("trial", birds, "dev", tmp_path / "*" / "model-best", *kb)
    assert done.exit_code == 1
    assert done.output.startswith("[DWE-E289]")
    twice, thrice = [f"a={UNTRAINED}"] * 2, [f"b={UNTRAINED}"] * 3
    done = run("trial", birds, "dev", *twice, *thrice, *kb)
    assert done.exit_code == 1
    assert "a has 2, b has 3" in done.output
    assert not (tmp_path / "trial.json").exists()
