"""A set where only text and picture together decide: whoever lacks one of the two is
right about half of it at most."""

import json
from collections import Counter, defaultdict

import pytest
from PIL import Image
from typer.testing import CliRunner

from clues.attributes import Clue, colours_in, namesakes_of
from clues.canvases import boxes_of
from clues.rings import rings_of
from clues.sentences import WORDINGS
from partial import VARIANTS, make_partial, partial_app
from spacy_dwe.documents import read_documents
from spacy_dwe.errors import DweError
from spacy_dwe.images import upright_size

FINCHES = {
    "ash": ("yellow", "black"),
    "bay": ("yellow and white", "white"),
    "elm": ("black", "red"),
    "fir": ("black and grey", "red"),
    "oak": ("white", "red and black"),
    "yew": ("blue", "blue"),
}
"""Colours of throat and bill."""
N = {"train": 6, "dev": 5}
SIZES = {"train": 48, "dev": 24, "test": 48}


def described(throat, bill):
    return f"A finch of hedges: throat {throat}. Its bill is {bill} and thin."


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    """Finches, two ducks who share nothing, and their photographs."""
    folder = tmp_path_factory.mktemp("birds")
    entities, documents = [], defaultdict(list)
    for number, (name, said) in enumerate(FINCHES.items()):
        description = described(*said)
        entities.append(
            {
                "id": name,
                "title": f"{name} finch",
                "description": description,
                "aliases": ["finch"],
            }
        )
        for split, n in N.items():
            for i in range(n):
                path = f"{split}-{name}-{i}.png"
                shade = (40 * number, 40 * i, 255 if split == "dev" else 0)
                Image.new("RGB", (20, 10), shade).save(folder / path)
                mention = {"start": 0, "end": 5, "kb_id": name}
                shown = {**mention, "groups": ["picture:right"]}
                documents[split].append(
                    {"text": "finch", "images": [path], "mentions": [shown]}
                )
    documents["train"].append({"text": "finch", "images": ["none.png"], "mentions": []})
    entities += [{"id": i, "title": i, "aliases": ["duck"]} for i in "ab"]
    write(folder / "entities.jsonl", entities)
    for split, own in documents.items():
        write(folder / f"{split}.jsonl", own)
    return folder


def write(path, records):
    path.write_text("".join(json.dumps(each) + "\n" for each in records))


@pytest.fixture(scope="module")
def account(birds, made):
    return json.loads((made / "account.json").read_text())


@pytest.fixture(scope="module")
def made(birds, tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "set"
    make_partial(birds, out, sizes=SIZES)
    return out


@pytest.fixture(params=VARIANTS)
def variant(request):
    return request.param


def lines(folder, variant, split):
    path = folder / variant / f"{split}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def questions(folder, variant, split):
    for line in lines(folder, variant, split):
        for mention in line["mentions"]:
            yield line, mention


def shown(line):
    (image,) = line["images"]
    return image if isinstance(image, str) else image["path"]


def right_at_most(keys, golds):
    """Share that is right, if one knows what is asked for most often with each key."""
    by_key = defaultdict(Counter)
    for key, gold in zip(keys, golds, strict=True):
        by_key[key][gold] += 1
    return sum(max(own.values()) for own in by_key.values()) / len(golds)


def test_colours_are_read_of_sentences():
    text = "A green bird: wings black and white and spotted, throat red. Bill is buff."
    assert colours_in(text) == {
        "wings": {"black", "white"},
        "throat": {"red"},
        "bill": {"buff"},
    }
    assert colours_in("Mostly grey and red. Its bill is buff and long.") == {
        "bill": {"buff"}
    }
    assert colours_in("A dark red apple with a yellow shell.") == {}


def test_who_may_be_called_so_is_not_told_apart():
    said = [("a", "red"), ("b", "red"), ("c", "rufous"), ("d", "blue")]
    (finches,) = namesakes_of((n, ["finch"], f"Throat {c}.".lower()) for n, c in said)
    clue = Clue("throat", "red")
    assert finches.clues() == [clue]
    assert finches.true_of(clue) == ["a", "b"]
    assert finches.false_of(clue) == {"d"}


def test_each_clue_of_a_ring_asks_for_two():
    (finches,) = namesakes_of(
        (name, ["finch"], described(*said)) for name, said in FINCHES.items()
    )
    rings = rings_of(finches, FINCHES)
    assert {len(ring.canvases) for ring in rings} == {2, 3}
    assert len({(ring.canvases, ring.clues) for ring in rings}) == len(rings)
    for ring in rings:
        asked = defaultdict(set)
        for index, pair in enumerate(ring.canvases):
            clues = [ring.clues[i] for i in ring.asked(index)]
            for i, (gold, other) in enumerate((pair, pair[::-1])):
                assert gold in finches.true_of(clues[i])
                assert other in finches.false_of(clues[i])
                asked[ring.asked(index)[i]].add(gold)
        assert {len(golds) for golds in asked.values()} == {2}


@pytest.mark.parametrize("split", SIZES)
def test_text_or_picture_alone_leaves_half(made, variant, split):
    asked = [*questions(made, variant, split)]
    assert len(asked) >= SIZES[split] / 2
    golds = [mention["kb_id"] for _, mention in asked]
    texts = [(line["text"], mention["start"]) for line, mention in asked]
    assert right_at_most(texts, golds) <= 0.5
    assert right_at_most([shown(line) for line, _ in asked], golds) == 0.5
    assert right_at_most([frozenset(e["pictured"]) for e, _ in asked], golds) <= 0.5


@pytest.mark.parametrize("split", SIZES)
def test_both_together_decide(made, variant, split):
    for line, mention in questions(made, variant, split):
        (part,) = (g.partition(":")[2] for g in mention["groups"] if "attribute" in g)
        about = line["text"][mention["start"] :].partition(" the finch ")[0]
        fits = [
            name
            for name in line["pictured"]
            for colour in colours_in(described(*FINCHES[name]))[part]
            if f" {colour} " in about
        ]
        assert fits == [mention["kb_id"]]


def test_the_account_says_so(account, made, variant):
    for split in SIZES:
        told = account[variant][split]
        assert told["mentions"] == len([*questions(made, variant, split)])
        assert told["text"] <= told["picture"] == 0.5 < told["both"] == 1
        assert told["clue"] <= 0.5 and told["allowed"] <= 0.5


def test_places_on_the_canvas_do_not_tell(account):
    for split in SIZES:
        assert account["whole"][split]["place"] < 0.6


def test_nothing_is_in_two_splits(made, birds, variant):
    texts = {
        split: {line["text"] for line in lines(made, variant, split)} for split in SIZES
    }
    assert not texts["train"] & texts["test"] and not texts["dev"] & texts["test"]
    for kind in ("clues", "one", "two"):
        worded = [each for own in WORDINGS.values() for each in getattr(own, kind)]
        assert len(set(worded)) == len(worded)


def test_no_photograph_is_in_two_splits(made, variant):
    seen = {split: set(photographs(made, variant, split)) for split in SIZES}
    assert min(map(len, seen.values())) >= len(FINCHES)
    assert not seen["train"] & seen["dev"] and not seen["test"] & seen["dev"]
    assert not seen["train"] & seen["test"]


def photographs(folder, variant, split):
    """Name, number and whether it was train's, as its colours say."""
    for line in lines(folder, variant, split):
        canvas = Image.open(folder / variant / shown(line))
        for name, (left, top, right, bottom) in zip(
            line["pictured"], boxes_of(len(line["pictured"]))
        ):
            middle = (left + right) // 2, (top + bottom) // 2
            _, green, blue = canvas.getpixel(middle)
            yield name, round(green / 40), blue < 128


def test_boxes_are_those_of_the_photographs(made):
    for split in SIZES:
        whole, parted = (lines(made, v, split) for v in ("whole", "regions"))
        for one, other in zip(whole, parted, strict=True):
            (image,) = other["images"]
            assert one["images"] == [image["path"]]
            assert len(image["boxes"]) == len(other["pictured"])
            path = made / "whole" / image["path"]
            width, height = upright_size(path.read_bytes())
            assert image["boxes"][-1][2] <= width and image["boxes"][0][3] <= height


def test_photographs_stand_where_their_boxes_are(made):
    line = lines(made, "regions", "test")[0]
    canvas = Image.open(made / "regions" / shown(line))
    for name, (left, top, right, bottom) in zip(
        line["pictured"], boxes_of(len(line["pictured"]))
    ):
        red, _, blue = canvas.getpixel(((left + right) // 2, (top + bottom) // 2))
        assert abs(red - 40 * [*FINCHES].index(name)) < 12 and blue > 240


def test_several_mentions_share_a_picture(made):
    for line in lines(made, "several", "test"):
        golds = [mention["kb_id"] for mention in line["mentions"]]
        assert len(golds) == 2 and set(golds) < set(FINCHES)
        for mention in line["mentions"]:
            assert line["text"][mention["start"] : mention["end"]] == "finch"


def test_the_documents_can_be_read(made, variant):
    documents = [*read_documents(made / variant / "test.jsonl")]
    assert len(documents) == len(lines(made, variant, "test"))


def test_the_same_seed_makes_the_same_set(birds, made, tmp_path):
    make_partial(birds, tmp_path / "again", sizes=SIZES)
    make_partial(birds, tmp_path / "other", sizes=SIZES, seed=1)

    def contents(folder):
        files = (path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder): path.read_bytes() for path in files}

    assert contents(tmp_path / "again") == contents(made)
    assert contents(tmp_path / "other") != contents(made)


def run(*arguments):
    return CliRunner().invoke(partial_app, [*map(str, arguments)])


def test_the_command_prints_what_can_be_right(birds, tmp_path):
    out = tmp_path / "out"
    done = run(birds, out, "--train", 8, "--dev", 8, "--test", 8)
    assert done.exit_code == 0 and "picture" in done.output
    assert run(birds, out, "--train", 8, "--dev", 8, "--test", 8).exit_code == 0


def test_descriptions_that_tell_nothing_are_one_line(birds, tmp_path):
    for path in birds.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    plain = [{"id": n, "title": n, "aliases": ["finch"]} for n in FINCHES]
    write(tmp_path / "entities.jsonl", plain)
    done = run(tmp_path, tmp_path / "out")
    assert done.exit_code == 1
    (line,) = done.output.splitlines()
    assert "[DWE-E283]" in line and not (tmp_path / "out").exists()


def test_a_split_without_photographs_is_told(birds, tmp_path):
    for path in birds.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    write(tmp_path / "dev.jsonl", [])
    with pytest.raises(DweError, match=r"E284.*dev"):
        make_partial(tmp_path, tmp_path / "out", sizes=SIZES)


def test_another_folder_is_not_replaced(birds, tmp_path):
    (tmp_path / "precious").touch()
    with pytest.raises(DweError, match="E285"):
        make_partial(birds, tmp_path, sizes=SIZES)
