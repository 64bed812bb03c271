"""A user's table becomes entities, or one line says where it is wrong."""

import gzip
import json

import pytest
import typer
from typer.testing import CliRunner

from spacy_dwe.cli.kb_tables import csv_cli
from spacy_dwe.errors import DweError
from spacy_dwe.kb.entity import Alias, Entity, read_entities, write_entities
from spacy_dwe.sources.tables import entities_from_table

PLACES = """\
ID,Title,description,aliases,prior,images,url,sitelinks,region
Q230,Georgia,"Country in the Caucasus,
independent since 1991",Sakartvelo|GE,0.6,flags/ge.png|maps/ge.png,https://x.org/ge,290,Asia

Q1428,Georgia,,,,,,,
"""
GEORGIA = Entity(
    "Q230",
    "Georgia",
    "Country in the Caucasus,\nindependent since 1991",
    (Alias("Sakartvelo"), Alias("GE")),
    prior=0.6,
    images=("flags/ge.png", "maps/ge.png"),
    url="https://x.org/ge",
    extra={"sitelinks": 290, "region": "Asia"},
)


@pytest.fixture
def table(tmp_path):
    """Write a table."""

    def write(text, name="table.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return write


def run(*arguments):
    app = typer.Typer()
    app.command("csv")(csv_cli)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def failure(result):
    assert result.exit_code == 1
    (line,) = result.stderr.strip().splitlines()
    return line


def test_a_table_becomes_entities(table):
    assert list(entities_from_table(table(PLACES))) == [
        GEORGIA,
        Entity("Q1428", "Georgia"),
    ]


def test_the_command_writes_what_kb_build_reads(table, tmp_path):
    result = run(table(PLACES), tmp_path / "out.jsonl.gz")
    assert result.exit_code == 0, result.output
    assert "2 entities, 2 aliases" in " ".join(result.output.split())
    entities = list(read_entities(tmp_path / "out.jsonl.gz"))
    assert entities == list(entities_from_table(table(PLACES)))
    write_entities(tmp_path / "again.jsonl", entities)
    assert list(read_entities(tmp_path / "again.jsonl")) == entities


def test_columns_are_named_by_options(table, tmp_path):
    text = "key;name;also;text;Title\n1;Georgia;GE / Sakartvelo;A country;Dr\n"
    result = run(
        *(table(text), tmp_path / "out.jsonl", "--id", "KEY", "--title", "name"),
        *("--aliases", "also", "--description", "text", "--separator", "/"),
    )
    assert result.exit_code == 0, result.output
    (entity,) = read_entities(tmp_path / "out.jsonl")
    aliases = (Alias("GE"), Alias("Sakartvelo"))
    assert entity == Entity("1", "Georgia", "A country", aliases, extra={"Title": "Dr"})


def test_a_column_may_be_id_and_title(table):
    columns = {"id": "name", "title": "name"}
    (entity,) = entities_from_table(table("name\nGeorgia\n"), columns=columns)
    assert entity == Entity("Georgia", "Georgia")


def test_a_column_cannot_pose_as_a_field(table):
    path = table("id,title,label\n1,Dr,Georgia\n")
    with pytest.warns(UserWarning, match="W141.*'title'"):
        (entity,) = entities_from_table(path, columns={"title": "label"})
    assert entity == Entity("1", "Georgia")


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_the_delimiter_is_found_out(table, delimiter, quote):
    rows = [("id", "a, strange column; it is", "title"), ("1", "x", "Georgia, the one")]
    if not quote:
        rows = [[cell.replace(delimiter, "") for cell in row] for row in rows]
    lines = [delimiter.join(f"{quote}{cell}{quote}" for cell in row) for row in rows]
    (entity,) = entities_from_table(table("\n".join(lines)))
    assert (entity.id, entity.title) == ("1", rows[1][2])


def test_a_delimiter_can_be_said(table, tmp_path):
    path = table("id~title\n1~Georgia\n")
    assert run(path, tmp_path / "a.jsonl", "--delimiter", "~").exit_code == 0
    tabs = table("id\ttitle\n1\tGeorgia\n", "t.tsv")
    assert run(tabs, tmp_path / "b.jsonl", "--delimiter", "tab").exit_code == 0
    assert (tmp_path / "a.jsonl").read_text() == (tmp_path / "b.jsonl").read_text()
    assert "one character" in failure(run(path, tmp_path / "c", "--delimiter", "~~"))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings_and_line_ends(table, end, encoding):
    path = table(f"id,title{end}1,Córdoba{end}", encoding=encoding)
    encoding = "utf-8" if encoding == "utf-8-sig" else encoding
    (entity,) = entities_from_table(path, encoding=encoding)
    assert (entity.id, entity.title) == ("1", "Córdoba")


def test_packed_tables(tmp_path):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(PLACES.encode()))
    assert next(entities_from_table(path)) == GEORGIA
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DweError, match="complete gzip file"):
        list(entities_from_table(path))


def test_quotes_can_be_plain_text(table, tmp_path):
    path = table('id\ttitle\n1\t"Heroes" (song)\n2\t"Low\n', "t.tsv")
    message = failure(run(path, tmp_path / "out.jsonl"))
    assert f"{path}, line 2" in message
    assert "--no-quotes" in message
    assert run(path, tmp_path / "out.jsonl", "--no-quotes").exit_code == 0
    titles = [entity.title for entity in read_entities(tmp_path / "out.jsonl")]
    assert titles == ['"Heroes" (song)', '"Low']


def test_long_cells(table):
    text = "word " * 100_000
    (entity,) = entities_from_table(table(f"id,title,description\n1,A,{text}\n"))
    assert entity.description == text.strip()


# Aliases of their own


def test_priors_of_aliases(table):
    aliases = table("id,alias,prior\n1,GE,0.25\n2,GE,0.75\n1,Sakartvelo,\n", "a.csv")
    path = table("id,title,aliases\n1,Georgia,GE|Gruzia\n2,General Electric,\n")
    entities = list(entities_from_table(path, alias_table=aliases))
    assert [entity.aliases for entity in entities] == [
        (Alias("GE", 0.25), Alias("Gruzia"), Alias("Sakartvelo")),
        (Alias("GE", 0.75),),
    ]


def test_the_highest_prior_of_an_alias_counts(table):
    aliases = table("id,alias,prior\n1,GE,0.1\n1,GE,0.5\n1,GE,\n1,GE,0.25\n", "a.csv")
    (entity,) = entities_from_table(table("id,title\n1,A\n"), alias_table=aliases)
    assert entity.aliases == (Alias("GE", 0.5),)


def test_counts_become_priors(table, tmp_path):
    """Spellings that the KB takes for one name are counted together."""
    lines = ["id,alias,count", "1,US,60", "1,USA,7", "2,us,10", "2,We,0", "1,US,30"]
    aliases = table("\n".join(lines), "a.csv")
    path = table("id,title\n1,United States\n2,We (novel)\n")
    result = run(path, tmp_path / "out.jsonl", "--alias-table", aliases)
    assert result.exit_code == 0, result.output
    states, novel = read_entities(tmp_path / "out.jsonl")
    assert states.aliases == (Alias("US", 0.9), Alias("USA", 1.0))
    assert novel.aliases == (Alias("us", 0.1), Alias("We"))


def test_aliases_of_strangers_count_and_are_told(table, tmp_path):
    aliases = table("id,alias,count\n1,GE,1\n9,GE,3\n", "a.csv")
    path = table("id,title\n1,Georgia\n")
    result = run(path, tmp_path / "out.jsonl", "--alias-table", aliases)
    assert "1 ids are not in" in result.stderr
    assert "'9' in line 3" in result.stderr
    (entity,) = read_entities(tmp_path / "out.jsonl")
    assert entity.aliases == (Alias("GE", 0.25),)


# What is wrong is told by its place


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("id,name\n1,A\n", ["no column 'title'", "'id', 'name'", "--title"]),
        ("id,title\n1,A\n,B\n", ["line 3", "column 'id'", "empty"]),
        ('id,title\n1,"A\nB"\n2,\n', ["line 4", "column 'title'", "empty"]),
        ('id,title\n1,"A\nB"\n2,C\n\n1,D\n', ["line 6", "'1'", "in line 2"]),
        ("id,title,prior\n1,A,1.5\n", ["line 2", "'prior'", "from 0 to 1, not 1.5"]),
        ("id,title,prior\n1,A,nan\n", ["line 2", "'prior'", "not nan"]),
        ('id;title;prior\n1;A;0,5\n', ["line 2", "'prior'", "'0,5' is no number"]),
        ("id,title,sitelinks\n1,A,many\n", ["line 2", "'sitelinks'", "no number"]),
        ("id,title\n1,A,B\n", ["line 2", "3 cells", "has 2"]),
        ("id,title\n1,A\n2\n", ["line 3", "1 cells", "has 2"]),
        ('id,title\n1,"A\nx\0y"\n', ["line 3", "NUL"]),
        ('id,title\n1,"A\n2,B\n', ["line 2", "quoted cell"]),
        ("id,title,ID\n1,A,B\n", ["two columns are called 'ID'"]),
        ("id,title\n", ["no entities"]),
        ("\n \n", ["no row of column names"]),
    ],
)  # fmt: skip
def test_one_line_says_what_is_wrong_and_where(table, tmp_path, text, parts):
    path = table(text)
    message = failure(run(path, tmp_path / "out.jsonl"))
    assert str(path) in message
    assert all(part in message for part in parts), message
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]


def test_a_named_column_must_be_there(table, tmp_path):
    path = table("id,title\n1,A\n")
    message = failure(run(path, tmp_path / "out.jsonl", "--images", "pics"))
    assert "no column 'pics', to be read as images" in message


@pytest.mark.parametrize("n_before", [0, 5000])
def test_bytes_of_another_encoding_are_told_by_line(table, tmp_path, n_before):
    rows = [f"{i},Paris" for i in range(n_before)]
    path = table("\n".join(["id,title", *rows, "x,Córdoba", "y,A"]), encoding="cp1252")
    message = failure(run(path, tmp_path / "out.jsonl"))
    assert f"line {n_before + 2}: not utf-8 (byte 0xf3)" in message
    assert "--encoding" in message
    entities = entities_from_table(path, encoding="cp1252")
    assert len(list(entities)) == n_before + 2
    message = failure(run(path, tmp_path / "out.jsonl", "--encoding", "klingon"))
    assert "'klingon' is no encoding" in message


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("id,name\n1,A\n", ["a.csv has no column 'alias'", "'id', 'name'"]),
        ("id,alias,prior\n1,A,2\n", ["a.csv, line 2", "'prior'"]),
        ("id,alias,count\n1,A,3\n1,B,-3\n", ["a.csv, line 3", "'count'", "from 0 on"]),
        ("id,alias,count\n1,A,\n", ["a.csv, line 2", "'count'", "empty"]),
        ("id,alias\n1,\n", ["a.csv, line 2", "'alias'", "empty"]),
    ],
)  # fmt: skip
def test_mistakes_in_the_table_of_aliases(table, tmp_path, text, parts):
    aliases = table(text, "a.csv")
    path = table("id,title\n1,A\n")
    message = failure(run(path, tmp_path / "out.jsonl", "--alias-table", aliases))
    assert all(part in message for part in parts), message


def test_the_input_is_not_overwritten(table):
    path = table(PLACES)
    assert "is the input" in failure(run(path, path))
    assert path.read_text() == PLACES
    assert "File not found" in failure(run(path.with_name("no.csv"), path))


def test_extra_keys_are_json(table, tmp_path):
    run(table("id,title,zip,\n1,A,01234,x\n"), tmp_path / "out.jsonl")
    line = json.loads((tmp_path / "out.jsonl").read_text())
    assert line == {"id": "1", "title": "A", "zip": "01234"}
