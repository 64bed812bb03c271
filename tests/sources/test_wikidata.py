import gzip
import json
import warnings

import pytest
import typer
from tiny_dumps import (
    entity_value,
    item,
    read_entities,
    statement,
    write_packed,
    write_wikidata,
)
from typer.testing import CliRunner

from spacy_dwe.cli.kb_wiki import wikidata_cli
from spacy_dwe.errors import DweError
from spacy_dwe.kb.entity import read_entities as read_entity_file
from spacy_dwe.sources.dump_files import DumpFile
from spacy_dwe.sources.dumps import convert_dumps
from spacy_dwe.sources.wikidata import ItemChoice

GEORGIA = item(
    "Q230",
    labels={"en": "Georgia", "de": "Georgien", "ka": "საქართველო"},
    aliases={"en": ["Republic of Georgia", "GE"], "ka": ["საქ."], "fr": ["Géorgie"]},
    descriptions={"en": "country in the Caucasus", "de": "Land im Kaukasus"},
    types=["Q3624078", "Q6256"],
    pages={"enwiki": "Georgia (country)", "kawiki": "საქართველო", "dewiki": "Georgien"}
    | {"commonswiki": "Georgia", "enwikivoyage": "Georgia (country)"},
    images=["Flag of Georgia.svg"],
)
TBILISI = item("Q994", {"en": "Tbilisi"}, types=["Q515"], pages={"enwiki": "Tbilisi"})
STALIN = item("Q855", {"en": "Joseph Stalin"}, types=["Q5"], pages={"dewiki": "Stalin"})


def convert(tmp_path, entities, name="dump.json", **choice):
    dump = write_wikidata(tmp_path / name, entities)
    out = tmp_path / "entities.jsonl"
    account = convert_dumps(dump, out, items=ItemChoice(**choice))
    return read_entities(out), dict(account)


@pytest.mark.parametrize("name", ["dump.json", "dump.json.gz", "dump.json.bz2"])
def test_items_become_entities(tmp_path, name):
    """Each dump has several packed members, as the real ones have."""
    entities, account = convert(tmp_path, [GEORGIA, TBILISI, STALIN], name)
    assert list(entities) == ["Q230", "Q855", "Q994"], "in the order of the numbers"
    assert entities["Q230"] == {
        "id": "Q230",
        "title": "Georgia",
        "description": "country in the Caucasus",
        "aliases": ["Republic of Georgia", "GE"],
        "images": [
            "https://commons.wikimedia.org/wiki/Special:FilePath/Flag_of_Georgia.svg"
        ],
        "url": "https://en.wikipedia.org/wiki/Georgia_(country)",
        "sitelinks": 3,
    }
    assert entities["Q855"]["url"] == "https://www.wikidata.org/wiki/Q855"
    counts = {"lines": 5, "items": 3, "kept": 3}
    assert account["Wikidata"] == counts | {"without a label": 0, "malformed lines": 0}
    assert account["Entities"]["entities"] == 3
    assert account["Entities"]["with a picture"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, "entities.jsonl"]
    assert [e.id for e in read_entity_file(tmp_path / "entities.jsonl")] == [*entities]


def test_the_first_language_names_and_the_others_give_aliases(tmp_path):
    """The language "mul" holds where a language has nothing of its own."""
    person = item("Q1", {"mul": "Ada L."}, aliases={"mul": ["A. L."]}, pages={"x": "A"})
    entities, _ = convert(
        tmp_path, [GEORGIA, person], languages=("ka", "de"), min_sitelinks=0
    )
    georgia = entities["Q230"]
    assert georgia["title"] == "საქართველო"
    assert georgia["aliases"] == ["Georgien", "საქ."]
    assert georgia["description"] == "Land im Kaukasus"
    assert georgia["url"].startswith("https://ka.wikipedia.org/wiki/%E1%83%A1")
    assert entities["Q1"]["title"] == "Ada L."
    assert entities["Q1"]["aliases"] == ["A. L."]


def test_items_without_a_label_are_counted(tmp_path):
    entities, account = convert(tmp_path, [GEORGIA, TBILISI], languages=("de",))
    assert entities.keys() == {"Q230"}
    assert account["Wikidata"]["without a label"] == 1
    with pytest.raises(DweError, match=r"No item is left .* 2 without a label"):
        convert(tmp_path, [GEORGIA, TBILISI], languages=("fr",))


def test_what_wikimedia_keeps_for_itself_is_left_out(tmp_path):
    internal = [
        item(f"Q{n}", {"en": "Georgia"}, types=[kind], pages={"enwiki": f"Page {n}"})
        for n, kind in enumerate(["Q4167410", "Q4167836", "Q11266439", "Q13406463"], 1)
    ]
    other = {"type": "property", "datatype": "string", "id": "P31", "labels": {}}
    lexeme = {"type": "lexeme", "id": "L1", "lemmas": {}}
    entities, account = convert(tmp_path, [*internal, other, GEORGIA, lexeme])
    assert list(entities) == ["Q230"]
    counts = account["Wikidata"]
    kinds = ("disambiguation pages", "categories", "templates", "lists")
    assert [counts[kind] for kind in kinds] == [1, 1, 1, 1]
    assert (counts["items"], counts["other entities"], counts["kept"]) == (5, 2, 1)
    entities, _ = convert(tmp_path, [*internal, GEORGIA], with_internal=True)
    assert len(entities) == 5


def test_filters(tmp_path):
    everything = [GEORGIA, TBILISI, STALIN, item("Q9", {"en": "Unknown"})]
    entities, account = convert(tmp_path, everything)
    assert "Q9" not in entities, "on no Wikipedia"
    assert account["Wikidata"]["on too few Wikipedias"] == 1
    assert len(convert(tmp_path, everything, min_sitelinks=0)[0]) == 4
    assert list(convert(tmp_path, everything, min_sitelinks=2)[0]) == ["Q230"]
    entities, account = convert(tmp_path, everything, instance_of=("Q5", "Q515"))
    assert list(entities) == ["Q855", "Q994"]
    assert account["Wikidata"]["of another type"] == 1
    entities, account = convert(tmp_path, everything, sitelink="enwiki")
    assert list(entities) == ["Q230", "Q994"]
    assert account["Wikidata"]["not on enwiki"] == 2


def test_a_name_that_looks_like_a_filter_is_none(tmp_path):
    """Lines are looked through before they are parsed; what they hold decides."""
    looks = item("Q1", {"en": "enwiki"}, aliases={"en": ["Q5"]}, pages={"dewiki": "x"})
    assert convert(tmp_path, [looks, TBILISI], sitelink="enwiki")[0].keys() == {"Q994"}
    assert convert(tmp_path, [looks, STALIN], instance_of=("Q5",))[0].keys() == {"Q855"}


def test_ranks_and_unknown_values(tmp_path):
    pages = {"enwiki": "X"}
    ranked = {
        "P18": [
            statement("P18", "old.jpg"),
            statement("P18", "best.jpg", "preferred"),
            statement("P18", "wrong.jpg", "deprecated"),
        ],
        "P31": [statement("P31", entity_value("Q4167410"), "deprecated")],
    }
    unknown = {"P18": [statement("P18", None), statement("P18", ...)]}
    unknown["P31"] = [statement("P31", ...)]
    entities, _ = convert(
        tmp_path,
        [
            item("Q1", {"en": "Ranked"}, claims=ranked, pages=pages),
            item("Q2", {"en": "Unknown"}, claims=unknown, pages=pages),
        ],
    )
    [url] = entities["Q1"]["images"]
    assert url.endswith("/best.jpg")
    assert "images" not in entities["Q2"]


def test_malformed_lines_are_told_and_left_out(tmp_path):
    broken = [
        b'{"type":"item","id":"Q7","labels":',
        b'{"type":"item","id":"Q8","labels":{"en":{"language":"en"}},"sitelinks":'
        b'{"enwiki":{"title":"Q8"}}}',
        b'{"type":"item","id":"X9"}',
        b'{"type":"item","id":"Q6","labels":{"en":{"language":"en","value":"\\ud800"}},'
        b'"sitelinks":{"enwiki":{"title":"Q6"}}}',
    ]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        entities, account = convert(tmp_path, [GEORGIA, *broken, TBILISI])
    assert list(entities) == ["Q230", "Q994"]
    assert account["Wikidata"]["malformed lines"] == 4
    assert [str(w.message).split(" is left out")[0] for w in told] == [
        f"[DWE-W130] {tmp_path / 'dump.json'}, line {line}" for line in (3, 4, 5, 6)
    ]


@pytest.mark.parametrize("name", ["dump.json", "dump.json.gz", "dump.json.bz2"])
def test_a_dump_that_was_cut_off(tmp_path, name):
    dump = write_wikidata(tmp_path / name, [GEORGIA, TBILISI, STALIN], member=9)
    dump.write_bytes(dump.read_bytes()[:-20])
    with (
        warnings.catch_warnings(),
        pytest.raises(DweError, match=rf"{name} ends in the middle"),
    ):
        warnings.simplefilter("ignore")
        convert_dumps(dump, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


def test_a_dump_that_was_cut_between_two_members(tmp_path):
    dump = write_wikidata(tmp_path / "dump.json.gz", [GEORGIA, TBILISI, STALIN])
    last = dump.read_bytes().rindex(b"\x1f\x8b\x08")
    dump.write_bytes(dump.read_bytes()[:last])
    with pytest.raises(DweError, match="ends in the middle"):
        convert_dumps(dump, tmp_path / "out.jsonl")


def test_a_damaged_dump(tmp_path):
    dump = write_wikidata(tmp_path / "dump.json.gz", [GEORGIA, TBILISI])
    dump.write_bytes(dump.read_bytes() + b"rubbish")
    with pytest.raises(DweError, match=r"E130.*dump.json.gz is damaged at byte \d+"):
        convert_dumps(dump, tmp_path / "out.jsonl")


@pytest.mark.parametrize(
    "content", [b"<mediawiki/>", b"", b"\n".join([b"{no entity}"] * 200)]
)
def test_what_is_no_wikidata_dump(tmp_path, content):
    path = tmp_path / "other"
    path.write_bytes(content)
    with (
        warnings.catch_warnings(),
        pytest.raises(DweError, match="other is no Wikidata JSON dump"),
    ):
        warnings.simplefilter("ignore")
        convert_dumps(path, tmp_path / "out.jsonl")


def test_the_output_is_no_input(tmp_path):
    dump = write_wikidata(tmp_path / "dump.json", [GEORGIA])
    with pytest.raises(DweError, match="is the input"):
        convert_dumps(dump, dump)
    assert dump.read_bytes().startswith(b"[")


def test_a_file_of_an_entity_a_line_will_do(tmp_path):
    """What tools make that cut pieces out of the dump."""
    lines = [json.dumps(entity).encode() + b"\n" for entity in (GEORGIA, STALIN)]
    dump = write_packed(tmp_path / "some.jsonl", lines)
    convert_dumps(dump, tmp_path / "out.jsonl.gz")
    with gzip.open(tmp_path / "out.jsonl.gz", "rt", encoding="utf-8") as file:
        assert len(file.readlines()) == 2


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2"])
def test_reading_goes_on_from_any_place(tmp_path, suffix):
    """At whatever line it stopped. What lies in earlier members is not unpacked."""
    lines = [b"line %d" % number for number in range(40)]
    members = [b"\n".join(lines[i : i + 7]) + b"\n" for i in range(0, 35, 7)]
    # A line may lie in two members.
    members = [*members, *(b"\n".join(lines[35:]) + b"\n").split(b"7", 1)]
    members[-1] = b"7" + members[-1]
    path = write_packed(tmp_path / f"dump{suffix}", members)
    reader = DumpFile(path)
    places = [reader.place]
    for line, expected in zip(reader.pieces(b"\n"), lines, strict=True):
        assert line == expected
        places.append(reader.place)
    assert reader.consumed == path.stat().st_size
    for number, place in enumerate(places):
        assert list(DumpFile(path, place).pieces(b"\n")) == lines[number:]
    assert len({place.member for place in places}) == (1 if not suffix else 7)


def test_padding_between_members_is_passed_over(tmp_path):
    path = write_packed(tmp_path / "dump.gz", [b"a\n", b"b\n"])
    data = path.read_bytes()
    second = data.rindex(b"\x1f\x8b\x08")
    path.write_bytes(data[:second] + bytes(500) + data[second:] + bytes(200_000))
    assert list(DumpFile(path).pieces(b"\n")) == [b"a", b"b"]


def run(*arguments):
    app = typer.Typer(add_completion=False)
    app.command()(wikidata_cli)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_prints_an_account(tmp_path):
    dump = write_wikidata(tmp_path / "dump.json", [GEORGIA, TBILISI, STALIN])
    out = tmp_path / "entities.jsonl"
    result = run(dump, out, "--instance-of", "Q5,Q515", "--languages", "en, de")
    assert result.exit_code == 0, result.output
    assert "of another type" in result.output
    assert "entities.jsonl: 2 entities" in " ".join(result.output.split())
    assert read_entities(out).keys() == {"Q855", "Q994"}
    assert "fetch-pictures" not in result.output
    result = run(dump, tmp_path / "all.jsonl")
    assert "kb fetch-pictures" in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--languages", "English"], "--languages takes codes"),
        (["--languages", ","], "--languages takes codes"),
        (["--instance-of", "human"], "--instance-of takes items"),
        (["--wikipedia", "none.xml"], "File not found: none.xml"),
        (["--sitelink", "xxwiki"], "No item is left"),
    ],
)
def test_mistakes_are_one_line(tmp_path, arguments, message):
    dump = write_wikidata(tmp_path / "dump.json", [GEORGIA])
    result = run(dump, tmp_path / "out.jsonl", *arguments)
    assert result.exit_code == 1
    assert message in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.output
    assert not (tmp_path / "out.jsonl").exists()
