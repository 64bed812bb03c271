import gzip
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import typer
from mediawiki_server import Page, WikiServer, garbage, png, slow, status, warning
from typer.testing import CliRunner

from spacy_dwe.building.build import build_kb
from spacy_dwe.cli.kb_wiki import wikipedia_cli
from spacy_dwe.errors import DweError
from spacy_dwe.kb.entity import read_entities
from spacy_dwe.sources.mediawiki import MediaWiki
from spacy_dwe.sources.wikipedia import fetch_wikipedia

GEORGIA = Page(
    "Georgia (country)",
    "Georgia (; Georgian: საქართველო) is a country  in the Caucasus ().\n\n\nTbilisi.",
    "Q230",
    ["Sakartvelo", ("Wine of Georgia", "Wine"), "Republic of Georgia", "GE"],
    picture="Flag_of_Georgia.svg.png",
    description="Country in the Caucasus",
    languages=290,
)
ENGLISH = [
    GEORGIA,
    Page("Georgia", "Georgia may refer to:", "Q1", disambiguation=True),
    Page("Tbilisi", "Tbilisi is the capital.", "Q994", ["Tiflis"]),
    Page("Łódź", "Łódź is a city.", "Q580", ["Lodz"]),
    Page("No item", "Nothing is known of it in Wikidata."),
    Page("Category:Caucasus", "", "Q5"),
    Page("Mission: Impossible", "A film.", "Q6"),
]
GERMAN = [
    Page("Georgien", "Georgien ist ein Land.", "Q230", ["Republik Georgien"]),
    Page("Tiflis", "Tiflis ist die Hauptstadt.", "Q994"),
    Page("Köln", "Köln ist eine Stadt.", "Q365"),
]
GEORGIAN = [Page("საქართველო", "ქვეყანა კავკასიაში.", "Q230")]


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("DWE_ALLOW_PRIVATE_URLS", "1")
    with WikiServer({"en": ENGLISH, "de": GERMAN, "ka": GEORGIAN}) as server:
        yield server


@pytest.fixture
def fetch(server, tmp_path):
    """Write titles to a file, fetch them, and return the account and the entities."""

    def run(*titles, **settings):
        path = tmp_path / "titles.txt"
        path.write_text("\n".join(titles), encoding="utf-8")
        return fetch_file(path, **settings)

    def fetch_file(path, *, api_url=None, out="out.jsonl", timeout=10.0, **settings):
        with MediaWiki(
            "me@example.org",
            api_url=api_url or server.api,
            rate=float("inf"),
            timeout=timeout,
        ) as wiki:
            account = fetch_wikipedia(path, tmp_path / out, wiki, **settings)
        return account, list(read_entities(tmp_path / out))

    run.file = fetch_file
    return run


def many(n, redirects=()):
    return [
        Page(f"Page {i}", f"The page {i}.", f"Q{1000 + i}", [*redirects])
        for i in range(n)
    ]


# What becomes of a page


def test_a_page_becomes_an_entity(server, fetch):
    account, entities = fetch("Georgia (country)")
    assert [entity.to_json() for entity in entities] == [
        {
            "id": "Q230",
            "title": "Georgia (country)",
            "description": "Georgia (Georgian: საქართველო) is a country in the "
            "Caucasus.\nTbilisi.",
            "aliases": ["Georgia", "Sakartvelo", "Republic of Georgia", "GE"],
            "images": [f"{server.url}/pictures/500px-Flag_of_Georgia.svg.png"],
            "url": "https://en.wikipedia.org/wiki/Georgia_%28country%29",
            "wikipedia": {
                "language": "en",
                "title": "Georgia (country)",
                "pageid": 100,
                "revision": 9100,
                "image": "Flag_of_Georgia.svg.png",
            },
            "short_description": "Country in the Caucasus",
            "sitelinks": 291,
        }
    ]
    assert (account.titles, account.entities, account.requests) == (1, 1, 1)
    assert (account.described, account.pictured) == (1, 1)


def test_a_page_without_wikidata_item_has_an_id_that_names_its_wiki(fetch):
    assert fetch("No item")[1][0].id == "enwiki:No item"


def test_the_short_description_stands_in_for_a_missing_intro(server, fetch):
    wiki = server.wikis["en"]
    wiki.pages["Georgia (country)"] = replace(GEORGIA, extract="")
    assert fetch("Georgia (country)")[1][0].description == "Country in the Caucasus"


def test_the_width_of_pictures_can_be_chosen(server, fetch):
    images = [fetch("Georgia (country)", image_width=w)[1][0].images for w in (250, 0)]
    assert images == [
        (f"{server.url}/pictures/250px-Flag_of_Georgia.svg.png",),
        (f"{server.url}/pictures/Flag_of_Georgia.svg.png",),
    ]


def test_what_comes_out_is_a_kb(fetch, tmp_path):
    _, entities = fetch("Georgia (country)", "Łódź", "ka:საქართველო", "Tbilisi")
    kb = build_kb(read_entities(tmp_path / "out.jsonl"), tmp_path / "kb")
    assert list(kb) == entities
    assert kb.ids(kb.exact(["Lodz"]).rows) == ["Q580"]


# How titles are read


def test_redirects_spelling_and_repetitions_lead_to_one_entity(server, fetch):
    account, entities = fetch(
        *("# capitals", "", "tiflis", "Tbilisi", "tbilisi", "Tbilisi#History"),
        *("Lodz", "  Ło\u0301dz\u0301 ", "Wine of Georgia"),
    )
    assert [(entity.id, entity.title) for entity in entities] == [
        ("Q994", "Tbilisi"),
        ("Q580", "Łódź"),
        ("Q230", "Georgia (country)"),
    ]
    assert [a.alias for a in entities[0].aliases] == ["tiflis", "Tiflis"]
    assert [a.alias for a in entities[1].aliases] == ["Lodz"]
    assert "Wine of Georgia" in [a.alias for a in entities[2].aliases]
    assert (account.titles, account.entities) == (7, 3)
    assert (account.redirected, account.repeated) == (3, 4)
    assert len(server.asked) == 1
    assert len(server.titles_asked()) == 6, "Tbilisi with an anchor is Tbilisi"


def test_addresses_and_language_prefixes(server, fetch):
    account, entities = fetch(
        "de:Köln",
        "https://de.wikipedia.org/wiki/Georgien#Geschichte",
        "https://en.m.wikipedia.org/wiki/Georgia_(country)",
        "http://en.wikipedia.org/w/index.php?title=Tbilisi&oldid=7",
        "https://ka.wikipedia.org/wiki/%E1%83%A1%E1%83%90%E1%83%A5%E1%83%90%E1%83%A0"
        "%E1%83%97%E1%83%95%E1%83%94%E1%83%9A%E1%83%9D",
        "Mission: Impossible",
    )
    assert [(e.id, e.title, e.extra["wikipedia"]["language"]) for e in entities] == [
        ("Q365", "Köln", "de"),
        ("Q230", "Georgien", "de"),
        ("Q994", "Tbilisi", "en"),
        ("Q6", "Mission: Impossible", "en"),
    ]
    names = [alias.alias for alias in entities[1].aliases]
    assert names[0] == "Republik Georgien"
    assert {"Georgia", "Georgia (country)", "Sakartvelo", "საქართველო"} <= {*names}
    assert (account.entities, account.repeated) == (4, 2)


def test_a_prefix_is_learned_once(server, fetch):
    server.wikis["de"] = type(server.wikis["en"])(many(50))
    account, entities = fetch(*(f"de:Page {i}" for i in range(50)))
    assert len(entities) == 50
    languages = [asked["language"] for asked in server.asked]
    assert languages == ["en", "de", "de", "de"]
    server.asked.clear()
    fetch(*(f"de:Page {i}" for i in range(50)))
    assert server.asked == []
    assert account.requests == 4


def test_another_script_of_the_language(server, fetch):
    wiki = server.wikis["ka"]
    wiki.variants["ႱႠႵႠႰႧႥႤႪႭ"] = "საქართველო"
    _, entities = fetch("ႱႠႵႠႰႧႥႤႪႭ", language="ka")
    assert [entity.title for entity in entities] == ["საქართველო"]


def test_another_default_language(fetch):
    _, entities = fetch("Köln", "en:Tbilisi", language="de")
    assert [entity.title for entity in entities] == ["Köln", "Tbilisi"]


def test_one_wiki_has_one_language(server, fetch):
    api_url = server.api.replace("{lang}", "en")
    with pytest.warns(UserWarning, match="a page of another wiki, de.wikipedia.org"):
        account, entities = fetch(
            "https://de.wikipedia.org/wiki/Köln", "de:Köln", "Tbilisi", api_url=api_url
        )
    assert [entity.title for entity in entities] == ["Tbilisi"]
    assert account.left_out == {"other": 2}


def test_every_title_is_accounted_for(fetch, tmp_path):
    with pytest.warns(UserWarning) as told:
        account, entities = fetch(
            *("Tbilisi", "Atlantis", "<b>", "A|B", "a" * 256, "Georgia"),
            *("Special:Random", "Category:Caucasus", "wikt:word", "Talk:Tbilisi"),
            *("https://example.org/wiki/Tbilisi", "Tiflis", "{{PAGENAME}}", "#no"),
        )
    assert [entity.title for entity in entities] == ["Tbilisi"]
    kinds = {"missing": 2, "invalid": 5, "disambiguation": 1, "other": 3}
    assert account.left_out == kinds
    total = account.entities + account.repeated + sum(kinds.values())
    assert total == account.titles == 13
    listed = (tmp_path / "out.jsonl.left-out.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in listed] == [
        *("2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "13")
    ]
    assert listed[0] == "2\tAtlantis\tthere is no such page"
    assert listed[2] == "4\tA|B\ta title cannot hold '|'"
    assert listed[4] == "6\tGeorgia\ta disambiguation page"
    messages = [str(warning.message) for warning in told]
    assert len(messages) == 11
    assert "titles.txt, line 2: 'Atlantis' is left out: there is no su" in messages[0]


def test_the_list_of_left_out_titles_goes_when_it_is_empty(fetch, tmp_path):
    with pytest.warns(UserWarning, match="Atlantis"):
        fetch("Tbilisi", "Atlantis")
    fetch("Tbilisi")
    assert not (tmp_path / "out.jsonl.left-out.tsv").exists()


def test_disambiguation_pages_are_kept_on_request(fetch):
    _, entities = fetch("Georgia", keep_disambiguation=True)
    assert [entity.id for entity in entities] == ["Q1"]


def test_titles_may_be_packed(fetch, tmp_path):
    path = tmp_path / "titles.gz"
    path.write_bytes(gzip.compress("\ufeffŁódź\r\nTbilisi\r\n".encode()))
    assert [entity.id for entity in fetch.file(path)[1]] == ["Q580", "Q994"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: it holds no titles"),
        (b"# nothing\n\n", "is empty: it holds no titles"),
        (b"Tbilisi\n\xff\n", r"line 2: not UTF-8 at byte 1"),
    ],
)
def test_a_file_that_holds_no_titles_is_one_clear_error(
    fetch, tmp_path, content, message
):
    (tmp_path / "titles.txt").write_bytes(content)
    with pytest.raises(DweError, match=message):
        fetch.file(tmp_path / "titles.txt")


def test_the_titles_are_not_overwritten(fetch, tmp_path):
    with pytest.raises(DweError, match="is the input"):
        fetch("Tbilisi", out="titles.txt")
    assert (tmp_path / "titles.txt").read_text() == "Tbilisi"


def test_titles_that_are_all_left_out_leave_no_output(fetch, tmp_path):
    with (
        pytest.warns(UserWarning, match="Atlantis"),
        pytest.raises(DweError, match=r"none of the 1 titles .*left-out\.tsv says why"),
    ):
        fetch("Atlantis")
    assert not (tmp_path / "out.jsonl").exists()


# How the wiki is asked


def test_twenty_titles_go_into_a_request(server, fetch):
    server.wikis["en"] = type(server.wikis["en"])(many(45))
    account, entities = fetch(*(f"Page {i}" for i in range(45)))
    assert [entity.title for entity in entities] == [f"Page {i}" for i in range(45)]
    asked = [asked["titles"].split("|") for asked in server.asked]
    assert [len(titles) for titles in asked] == [20, 20, 5]
    assert account.requests == 3


def test_long_titles_make_smaller_requests(server, fetch):
    titles = [f"{'საქართველო' * 7} {i:02}" for i in range(30)]
    pages = [Page(title, "…", f"Q{i}") for i, title in enumerate(titles)]
    server.wikis["ka"] = type(server.wikis["en"])(pages)
    _, entities = fetch(*titles, language="ka")
    assert [entity.title for entity in entities] == titles
    assert len(server.asked) == 4


@pytest.mark.parametrize(("extracts", "redirects"), [(3, 500), (20, 7), (3, 7)])
def test_an_answer_in_parts_is_put_together(server, fetch, extracts, redirects):
    names = [f"Name {i}" for i in range(5)]
    server.wikis["en"] = type(server.wikis["en"])(many(20, names))
    server.extracts, server.redirects = extracts, redirects
    account, entities = fetch(*(f"Page {i}" for i in range(20)))
    for i, entity in enumerate(entities):
        assert entity.description == f"The page {i}."
        assert [alias.alias for alias in entity.aliases] == names
    parts = max(-(-20 // extracts), -(-100 // redirects))
    assert account.requests == parts
    assert all(asked["titles"] == server.asked[0]["titles"] for asked in server.asked)


def test_a_warning_of_the_wiki_is_passed_on_once(server, fetch):
    text = "Unrecognized value for parameter prop: langlinkscount"
    server.mishaps += [warning("query", text)] * 2
    server.wikis["en"] = type(server.wikis["en"])(many(40))
    with pytest.warns(UserWarning) as told:
        fetch(*(f"Page {i}" for i in range(40)))
    assert [str(warning.message) for warning in told] == [
        f"[DWE-W122] The wiki en says: query: {text}"
    ]


# What is kept


def test_nothing_is_asked_twice(server, fetch, tmp_path):
    with pytest.warns(UserWarning, match="Atlantis"):
        first = fetch("Tiflis", "Atlantis", "de:Köln")
    server.asked.clear()
    with pytest.warns(UserWarning, match="Atlantis"):
        account, entities = fetch("Tiflis", "Atlantis", "de:Köln")
    assert server.asked == [] and account.requests == 0
    assert entities == first[1]
    with pytest.warns(UserWarning, match="Atlantis"):
        fetch("Łódź", "Atlantis", "Tiflis", "No item")
    assert server.titles_asked() == ["Łódź", "No item"]


def test_another_output_can_share_the_cache(server, fetch, tmp_path):
    fetch("Tbilisi", cache=tmp_path / "deep" / "shared.cache")
    fetch("Tbilisi", cache=tmp_path / "deep" / "shared.cache", out="other.jsonl.gz")
    assert len(server.asked) == 1
    assert not (tmp_path / "out.jsonl.cache").exists()


def test_refresh_asks_again(server, fetch):
    titles = ("Georgia (country)", "de:Köln")
    fetch(*titles)
    page = replace(GEORGIA, extract="New.")
    server.wikis["en"].pages["Georgia (country)"] = page
    server.asked.clear()
    assert fetch(*titles)[1][0].description.startswith("Georgia")
    assert fetch(*titles, refresh=True)[1][0].description == "New."
    assert server.titles_asked() == [*titles, "Köln"]


def test_answers_of_another_wiki_or_width_are_not_mixed_up(server, fetch):
    fetch("Tbilisi")
    fetch("Tbilisi", image_width=250)
    fetch("Tbilisi", api_url=server.api.replace("{lang}", "en"))
    assert len(server.asked) == 3


def foreign(path):
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE precious (x)")
    db.close()


def newer(path):
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()


def torn(path):
    path.write_bytes(path.read_bytes()[:5000] + b"\0" * 5000)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_text("precious " * 99), "not a database"),
        (lambda path: (path.unlink(), foreign(path)), "another program's database"),
        (newer, "format 99, where 1 is known"),
        (torn, "malformed"),
    ],
)
def test_what_is_no_cache_is_left_alone(fetch, tmp_path, damage, reason):
    fetch("Tbilisi")
    path = tmp_path / "out.jsonl.cache"
    damage(path)
    before = path.read_bytes()
    with pytest.raises(DweError, match=rf"E123.*{reason}.*--cache"):
        fetch("Tbilisi", "Łódź")
    assert path.read_bytes() == before


def test_two_runs_do_not_share_a_cache(fetch, tmp_path):
    from spacy_dwe.sources.wikipedia_requests import PageCache

    with (
        PageCache(tmp_path / "out.jsonl.cache", "me"),
        pytest.raises(DweError, match=r"E124.*Another run uses the cache"),
    ):
        fetch("Tbilisi")
    fetch("Tbilisi")


RUN = """
import sys
from spacy_dwe.sources.mediawiki import MediaWiki
from spacy_dwe.sources.wikipedia import fetch_wikipedia

titles, out, api_url = sys.argv[1:]
with MediaWiki("me@example.org", api_url=api_url, rate=1e4) as wiki:
    fetch_wikipedia(titles, out, wiki)
"""


def test_a_killed_run_goes_on_where_it_was(server, fetch, tmp_path):
    server.wikis["en"] = type(server.wikis["en"])(many(100))
    titles = [f"Page {i}" for i in range(100)]
    (tmp_path / "titles.txt").write_text("\n".join(titles))
    server.mishaps += [None, None, slow(60)]
    command = [sys.executable, "-c", RUN, tmp_path / "titles.txt"]
    with subprocess.Popen([*command, tmp_path / "out.jsonl", server.api]) as process:
        while len(server.asked) < 3:
            assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
    assert not (tmp_path / "out.jsonl").exists()
    server.asked.clear()
    account, entities = fetch(*titles)
    assert [entity.title for entity in entities] == titles
    assert server.titles_asked() == titles[40:]
    assert account.requests == 3


# Pictures


def test_pictures_are_downloaded_once_under_the_hash_of_their_content(
    server, fetch, tmp_path
):
    flag = png("red")
    server.pictures = {"500px-Flag_of_Georgia.svg.png": flag, "500px-b.png": flag}
    server.wikis["en"].pages["Tbilisi"] = replace(ENGLISH[2], picture="b.png")
    for _ in range(2):
        account, entities = fetch(
            "Georgia (country)", "Tbilisi", "Łódź", download_images=tmp_path / "flags"
        )
    (path,) = (tmp_path / "flags").glob("*/*.png")
    name = path.relative_to(tmp_path / "flags").as_posix()
    assert [entity.images for entity in entities] == [
        (f"flags/{name}",),
        (f"flags/{name}",),
        (),
    ]
    assert (tmp_path / "flags" / name).read_bytes() == flag
    assert account.pictured == 2
    assert len(server.pictures_asked) == 2
    (tmp_path / "flags" / name).unlink()
    fetch("Georgia (country)", download_images=tmp_path / "flags")
    assert (tmp_path / "flags" / name).read_bytes() == flag


def test_a_picture_that_cannot_be_had_is_told_and_left_out(server, fetch, tmp_path):
    wiki = server.wikis["en"]
    wiki.pages["Tbilisi"] = replace(ENGLISH[2], picture="page.png")
    server.pictures = {"500px-page.png": b"<html>"}
    for _ in range(2):
        with pytest.warns(UserWarning) as told:
            account, entities = fetch(
                "Georgia (country)", "Tbilisi", download_images=tmp_path / "flags"
            )
        [summary] = (str(warning.message) for warning in told)
        assert "2 of 2 pictures are left out" in summary
        assert "HTTP 404 Not Found (such as" in summary and "of Q230" in summary
        assert "a web page, not a picture" in summary
        assert [entity.images for entity in entities] == [(), ()]
        assert account.pictured == 0
    assert len(server.pictures_asked) == 2


def test_pictures_of_a_private_network_are_left_out_unless_that_is_allowed(
    server, fetch, tmp_path, monkeypatch
):
    """The wiki is a public one, for which this machine stands."""
    server.pictures = {"500px-Flag_of_Georgia.svg.png": png("red")}
    server.wikis["en"].pages["Tbilisi"] = replace(ENGLISH[2], picture="b.png")
    titles, flags = ("Georgia (country)", "Tbilisi"), tmp_path / "flags"
    fetch(*titles)
    monkeypatch.delenv("DWE_ALLOW_PRIVATE_URLS")
    monkeypatch.setattr("spacy_dwe.sources.mediawiki.is_private", lambda url: False)
    with pytest.warns(UserWarning, match=r"2 of 2 .*ALLOW_PRIVATE"):
        account, entities = fetch(*titles, download_images=flags)
    assert (len(entities), account.pictured) == (2, 0)
    assert server.pictures_asked == []
    monkeypatch.setenv("DWE_ALLOW_PRIVATE_URLS", "1")
    with pytest.warns(UserWarning, match="HTTP 404 .* of Q994"):
        assert fetch(*titles, download_images=flags)[0].pictured == 1


def test_a_wiki_in_ones_own_network_may_have_its_pictures_there(
    server, fetch, tmp_path, monkeypatch
):
    server.pictures = {"500px-Flag_of_Georgia.svg.png": png("red")}
    monkeypatch.delenv("DWE_ALLOW_PRIVATE_URLS")
    account, _ = fetch("Georgia (country)", download_images=tmp_path / "flags")
    assert account.pictured == 1


def test_pictures_that_a_run_has_are_not_asked_again(server, fetch, tmp_path):
    server.wikis["en"].pages["Tbilisi"] = replace(ENGLISH[2], picture="b.png")
    server.pictures = {
        "500px-Flag_of_Georgia.svg.png": png("red"),
        "500px-b.png": png("blue"),
    }
    titles = "Georgia (country)", "Tbilisi"
    fetch(*titles)
    server.mishaps.append(status(429, retry_after=5000))
    with pytest.warns(UserWarning, match="1 of 2 .*HTTP 429"):
        fetch(*titles, download_images=tmp_path / "flags")
    fetch(*titles, download_images=tmp_path / "flags")
    assert len(server.pictures_asked) == 3


# The command


@pytest.fixture
def command(server, tmp_path, monkeypatch):
    monkeypatch.delenv("DWE_CONTACT", raising=False)
    app = typer.Typer()
    app.command()(wikipedia_cli)

    def run(*arguments, titles="Tbilisi\nTiflis\nAtlantis\nGeorgia\n"):
        (tmp_path / "titles.txt").write_text(titles)
        paths = [str(tmp_path / "titles.txt"), str(tmp_path / "out.jsonl")]
        fixed = ["--api-url", server.api, "--rate", "1000"]
        return CliRunner().invoke(app, [*paths, *fixed, *arguments])

    return run


def test_the_command_writes_entities_and_says_what_became_of_the_titles(
    command, tmp_path, monkeypatch
):
    result = command("--contact", "me@example.org")
    assert result.exit_code == 0, result.output
    stdout = " ".join(result.stdout.split())
    assert "1 entities, 1 with a description, 0 with a picture" in stdout
    line = "4 titles: 1 entities, 1 repeated, 1 missing, 1 disambiguation pages"
    assert f"{line}; 1 by a redirect. 1 requests" in stdout
    assert "out.jsonl.left-out.tsv" in stdout
    assert "[DWE-W120]" in result.stderr and "line 3: 'Atlantis'" in result.stderr
    (line,) = (tmp_path / "out.jsonl").read_text().splitlines()
    assert json.loads(line)["id"] == "Q994"
    assert "fetch-pictures" not in stdout
    monkeypatch.setenv("DWE_CONTACT", "https://example.org/us")
    assert command().exit_code == 0


def test_the_command_says_how_to_get_pictures_that_are_urls(command):
    result = command("--contact", "me@example.org", titles="Georgia (country)")
    stdout = " ".join(result.stdout.split())
    assert "kb fetch-pictures" in stdout and "pictured-out.jsonl" in stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], r"E120\] Wikimedia asks .*--contact you@example.org, or set DWE_CONTACT"),
        (["--contact", "me"], r"E120\] .* 'me' is no e-mail"),
        (["--contact", "mé@example.org"], r"E120"),
        (["--contact", "a@b", "--language", "../x"], r"E121\] --language '../x'"),
        (["--contact", "a@b", "--api-url", "ftp://x"], r"E121\] --api-url 'ftp://x'"),
        (["--contact", "a@b", "--api-url", "http://"], r"E121\] --api-url 'http://'"),
    ],
)
def test_a_mistake_is_one_line_and_asks_nothing(command, server, arguments, message):
    result = command(*arguments)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert re.search(message, line), line
    assert server.asked == []


def test_many_warnings_are_counted(command):
    titles = "Tbilisi\n" + "\n".join(f"Nowhere {i}" for i in range(30))
    result = command("--contact", "a@b", titles=titles)
    assert result.exit_code == 0
    assert result.stderr.count("DWE-W120") == 20
    assert "10 warnings more" in result.stderr


def test_a_wiki_that_falls_silent_is_one_line(command, server, tmp_path):
    server.mishaps += [garbage("<html>")] * 9
    result = command("--contact", "a@b", "--retries", "0")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "0 of 4 titles are kept" in line and "run the same command again" in line
    assert not (tmp_path / "out.jsonl").exists()


def test_ctrl_c_says_how_to_go_on(command, server):
    def press(handler):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)

    server.mishaps.append(press)
    result = command("--contact", "a@b")
    assert result.exit_code == 130
    assert "out.jsonl.cache: run again to go on" in result.stderr
