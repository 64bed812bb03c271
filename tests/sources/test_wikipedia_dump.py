import json
import os
import resource
import subprocess
import sys
import warnings

import pytest
from tiny_dumps import (
    document,
    item,
    page,
    read_entities,
    redirect,
    write_cirrus,
    write_packed,
    write_wikidata,
    write_xml,
)

from spacy_dwe.building.build import build_kb
from spacy_dwe.errors import DweError
from spacy_dwe.kb.entity import read_entities as read_entity_file
from spacy_dwe.sources.dump_files import Stage
from spacy_dwe.sources.dumps import NameChoice, convert_dumps
from spacy_dwe.sources.wikidata import ItemChoice

ITEMS = [
    item(
        "Q230",
        {"en": "Georgia", "de": "Georgien"},
        aliases={"en": ["GE", "Gruzia"]},
        descriptions={"en": "country in the Caucasus"},
        pages={"enwiki": "Georgia (country)", "dewiki": "Georgien"},
    ),
    item(
        "Q1428",
        {"en": "Georgia"},
        descriptions={"en": "state of the United States"},
        pages={"enwiki": "Georgia (U.S. state)"},
    ),
    item("Q994", {"en": "Tbilisi"}, pages={"enwiki": "Tbilisi"}),
    item("Q1490", {"en": "Tokyo"}, pages={"enwiki": "Tokyo", "jawiki": "東京"}),
]

COUNTRY = """{{Short description|Country}}
{{Infobox country
| capital = [[Tbilisi]]
| native = {{lang|ka|საქართველო}}
}}
[[File:Map.svg|thumb|Where [[Tbilisi|the capital]] lies]]
'''Georgia''' ({{IPA|x}}) is a [[country]] in the [[Caucasus#Area|Caucasus]].<ref>{{cite
book|title=x}}</ref> Its capital is [[Tbilisi]]&nbsp;&ndash; or ''Tiflis''.

== History ==
[[Georgia (country)|Itself]] and [[#Area|a section]]. [[Category:Countries]]
"""
STATE = "'''Georgia''' is a [[U.S. state|state]]. [[:File:X.jpg|A file]]"

PAGES = [
    page("Georgia (country)", COUNTRY),
    page("Georgia (U.S. state)", STATE),
    page("Tbilisi", "'''Tbilisi''' is the capital of [[Georgia (country)|Georgia]]."),
    redirect("Sakartvelo", "Georgia (country)"),
    redirect("Gruziya", "Sakartvelo"),
    redirect("Georgia (nation)", "Georgia (country)"),
    redirect("Food of Georgia", "Georgia (country)", section="Food"),
    redirect("Peach State", "Georgia (U.S. state)"),
    redirect("Nowhere", "Missing page"),
    redirect("Loop", "Loop back"),
    redirect("Loop back", "Loop"),
    page("Talk", "[[Georgia (country)|not an article]]", ns=1),
]


def convert(tmp_path, pages, items=ITEMS, names=None, **settings):
    wikidata = write_wikidata(tmp_path / "wikidata.json", items)
    dump = write_xml(tmp_path / "enwiki.xml.bz2", pages)
    out = tmp_path / "entities.jsonl"
    account = convert_dumps(wikidata, out, wikipedia=[dump], names=names, **settings)
    return read_entities(out), dict(account)


def priors(entity):
    """What aliases with a prior an entity has."""
    pairs = [alias for alias in entity.get("aliases", ()) if isinstance(alias, dict)]
    return {pair["alias"]: pair["prior"] for pair in pairs}


def names(entity):
    found = entity.get("aliases", ())
    return [name["alias"] if isinstance(name, dict) else name for name in found]


def test_descriptions_are_the_introductions(tmp_path):
    entities, account = convert(tmp_path, PAGES)
    georgia = entities["Q230"]
    assert georgia["description"] == (
        "Georgia is a country in the Caucasus. Its capital is Tbilisi – or Tiflis."
    )
    assert georgia["short_description"] == "country in the Caucasus"
    assert "description" not in entities["Q1490"], "neither says anything"
    counts = account["enwiki (XML)"]
    assert (counts["pages"], counts["articles"], counts["redirects"]) == (12, 3, 8)
    assert (counts["of other namespaces"], counts["texts"]) == (1, 3)
    assert account["Entities"]["with text of Wikipedia"] == 3


def test_descriptions_are_cut_at_a_sentence(tmp_path):
    entities, _ = convert(tmp_path, PAGES, description_chars=50)
    text = "Georgia is a country in the Caucasus."
    assert entities["Q230"]["description"] == text


def test_redirects_are_aliases(tmp_path):
    """Also redirects to redirects; but not redirects to a section, which name
    something else, nor what only tells an article from others."""
    entities, account = convert(tmp_path, PAGES)
    assert names(entities["Q230"]) == ["GE", "Gruzia", "Gruziya", "Sakartvelo"]
    assert names(entities["Q1428"]) == ["Peach State"]
    assert account["Links"]["redirects"] == 8
    assert account["Links"]["redirects to no entity"] == 3


def linking(anchors):
    """A page with links: (what is written between the brackets, how often)."""
    text = " and ".join(f"[[{link}]]" for link, n in anchors for _ in range(n))
    return page("List of links", text)


def test_a_prior_is_the_share_of_a_names_links(tmp_path):
    links = [
        ("Georgia (country)|Georgia", 6),
        ("Georgia (U.S. state)|Georgia", 3),
        ("Georgia (typeface)|Georgia", 1),
    ]
    entities, account = convert(tmp_path, [*PAGES[3:], linking(links)])
    assert priors(entities["Q230"])["Georgia"] == 0.6
    assert priors(entities["Q1428"])["Georgia"] == 0.3
    assert account["Links"]["links to entities"] == 9
    assert account["Links"]["links to other pages"] == 1
    kb = build_kb(read_entity_file(tmp_path / "entities.jsonl"), tmp_path / "kb")
    found = kb.exact(["Georgia"])
    assert sorted(kb.priors(["Georgia"], found).tolist()) == pytest.approx([0.3, 0.6])


def test_links_resolve_as_in_mediawiki(tmp_path):
    """Through redirects, to sections, with underscores, small first letters, escapes
    and endings after the brackets."""
    links = [
        ("Gruziya|The land", 1),
        ("Georgia (country)#History|The land", 1),
        ("georgia_(country) |The  land", 1),
        ("Georgia%20(country)|The ''land''", 1),
        (":Georgia (country)|The land", 1),
        ("Georgia (country)|The&nbsp;<b>land</b>", 1),
    ]
    text = linking(links).replace("List of links", "More") + page("x", "[[tbilisi]]ans")
    entities, _ = convert(tmp_path, [*PAGES, text, page("y", "[[tbilisi]]ans")])
    assert priors(entities["Q230"])["The land"] == 1
    assert priors(entities["Q994"])["tbilisians"] == 1


def test_links_that_are_no_names(tmp_path):
    """To itself, to a section of the page, to files and categories; a template in the
    text; what is written once."""
    text = (
        "[[Tbilisi|self]] [[Tbilisi|self]] [[#Area|area]] [[#Area|area]] "
        "[[File:Tbilisi|Tbilisi|cap]] [[Category:Tbilisi|key]] [[Category:Tbilisi|key]]"
        "<!-- [[Tokyo|comment]] [[Tokyo|comment]] --><nowiki>[[Tokyo|raw]]</nowiki>"
        "[[Tokyo|{{nihongo|T}}]] [[Tokyo|{{nihongo|T}}]] [[Tokyo|once]] [[Tokyo#Area]]"
        "[[User:Tokyo|user]] [[Portal:Tokyo|portal]] [[Portal:Tokyo|portal]]"
    )
    entities, account = convert(tmp_path, [page("Tbilisi", text)])
    assert names(entities["Q1490"]) == names(entities["Q994"]) == []
    assert account["Links"]["links to entities"] == 1
    assert account["Links"]["names"] == 1


def test_links_to_other_wikis_lead_elsewhere(tmp_path):
    """So they count against a name: it means something that has no entity here."""
    links = [("Tokyo|Big", 3), (":fr:Tokyo|Big", 1), ("wikt:tokyo|Big", 1)]
    entities, _ = convert(tmp_path, [linking(links)])
    assert priors(entities["Q1490"])["Big"] == 0.6


def test_forms_of_a_name_are_one(tmp_path):
    """As the KB takes them for one; the alias is the form most often written."""
    links = [("Tokyo|TŌKYŌ", 1), ("Tokyo|Tōkyō", 2), ("Osaka|tokyo", 1)]
    links += [("Tbilisi|tiflis", 1), ("Tbilisi|Tiflis", 1)]
    entities, account = convert(tmp_path, [linking(links)])
    assert priors(entities["Q1490"]) == {"Tokyo": 0.75}, "the title is a name already"
    assert priors(entities["Q994"]) == {"Tiflis": 1}
    assert account["Links"]["names"] == 2


def test_names_by_which_nobody_links(tmp_path):
    """A name that always leads elsewhere has the prior 0; of a name that is never
    linked, or of an entity that has no page, nothing is known."""
    unlinked = item("Q5000", {"en": "Gruzia"}, pages={"frwiki": "x"})
    links = [("Elsewhere|Gruzia", 5), ("Georgia (country)|Georgia", 5)]
    entities, _ = convert(tmp_path, [linking(links)], [*ITEMS, unlinked])
    assert priors(entities["Q230"]) == {"Georgia": 1, "Gruzia": 0}
    assert "GE" in entities["Q230"]["aliases"]
    assert priors(entities["Q1428"]) == {"Georgia": 0}
    assert "aliases" not in entities["Q5000"]
    assert all("prior" not in entity for entity in entities.values())


def test_rare_anchors_are_left_out(tmp_path):
    links = [("Tokyo|T-town", 3), ("Tokyo|Edo", 5), ("Other|Edo", 95)]
    entities, _ = convert(tmp_path, [linking(links)])
    assert priors(entities["Q1490"]) == {"Edo": 0.05, "T-town": 1}
    entities, _ = convert(tmp_path, [linking(links)], names=NameChoice(4, 0.04))
    assert priors(entities["Q1490"]) == {"Edo": 0.05}
    entities, _ = convert(tmp_path, [linking(links)], names=NameChoice(2, 0.06))
    assert priors(entities["Q1490"]) == {"T-town": 1}


def test_a_wiki_in_another_language(tmp_path):
    """The names of namespaces are those that the dump lists."""
    spaces = {0: "", 6: "Datei", 14: "Kategorie"}
    text = (
        "[[Datei:Karte.svg|mini|Karte]]\n'''Georgien''' ist ein Land.\n"
        "[[Kategorie:Georgien|x]] [[Kategorie:Georgien|x]]"
    )
    others = "[[Georgien|Grusinien]] " * 2 + "[[georgien]]<br>[[georgien]]s"
    word = redirect("Sakartwelo", "Georgien", word="WEITERLEITUNG")
    wikidata = write_wikidata(tmp_path / "wikidata.json", ITEMS)
    pages = [page("Georgien", text), page("Andere", others), word]
    dump = write_xml(tmp_path / "de.xml", pages, wiki="dewiki", namespaces=spaces)
    out = tmp_path / "out.jsonl"
    choice = ItemChoice(languages=("de", "en"))
    account = dict(convert_dumps(wikidata, out, wikipedia=[dump], items=choice))
    georgia = read_entities(out)["Q230"]
    assert georgia["title"] == "Georgien"
    assert georgia["description"] == "Georgien ist ein Land."
    assert georgia["url"] == "https://de.wikipedia.org/wiki/Georgien"
    names_before = ["Georgia", "GE", "Gruzia", "Sakartwelo"]
    assert names(georgia) == [*names_before, "Grusinien"]
    assert account["dewiki (XML)"]["links"] == 4


def test_titles_in_scripts_without_capitals(tmp_path):
    """A Georgian letter has an upper case, but titles do not use it."""
    items = [item("Q230", {"ka": "საქართველო"}, pages={"kawiki": "საქართველო"})]
    items.append(item("Q1490", {"ka": "ტოკიო"}, pages={"kawiki": "東京"}))
    wikidata = write_wikidata(tmp_path / "wikidata.json", items)
    text = "[[საქართველო|მამული]] " * 2 + "[[東京]]は[[東京]]です。"
    dump = write_xml(tmp_path / "ka.xml", [page("სია", text)], wiki="kawiki")
    out = tmp_path / "out.jsonl"
    choice = ItemChoice(languages=("ka",))
    convert_dumps(wikidata, out, wikipedia=[dump], items=choice)
    assert priors(read_entities(out)["Q230"]) == {"მამული": 1}
    assert priors(read_entities(out)["Q1490"]) == {"東京": 1}


DOCUMENTS = [
    document(
        "Georgia (country)",
        redirects=["Sakartvelo", "Georgia (nation)"],
        wikibase_item="Q230",
        opening_text="Georgia is a country\nin Eastern Europe.",
        text="Georgia is a country in Eastern Europe. More.",
        incoming_links=50_000,
        popularity_score=0.0001,
        source_text="[[Tbilisi|Tiflis]] [[Tbilisi|Tiflis]]",
    ),
    document("Tbilisi", text="Tbilisi is the capital.", opening_text=None),
    document("Unknown", wikibase_item="Q99999", text="Unknown."),
    document("Talk", ns=1, text="Talk."),
]


def test_a_cirrussearch_dump(tmp_path):
    wikidata = write_wikidata(tmp_path / "wikidata.json", ITEMS)
    dump = write_cirrus(tmp_path / "content.json.gz", DOCUMENTS)
    out = tmp_path / "out.jsonl"
    account = dict(convert_dumps(wikidata, out, wikipedia=[dump]))
    entities = read_entities(out)
    georgia = entities["Q230"]
    assert georgia["description"] == "Georgia is a country in Eastern Europe."
    assert (georgia["incoming_links"], georgia["popularity_score"]) == (50_000, 0.0001)
    assert georgia["aliases"] == ["GE", "Gruzia", "Sakartvelo"]
    assert entities["Q994"]["description"] == "Tbilisi is the capital."
    assert priors(entities["Q994"]) == {"Tiflis": 1}
    counts = account["enwiki (CirrusSearch)"]
    assert (counts["articles"], counts["articles without an item"]) == (3, 1)
    assert counts["of other namespaces"] == 1


@pytest.mark.parametrize("said", [{"wiki": "dewiki"}, {"wiki": None, "language": "de"}])
def test_a_cirrussearch_dump_says_its_wiki_or_its_language(tmp_path, said):
    wikidata = write_wikidata(tmp_path / "wikidata.json", ITEMS)
    page = document("Georgien", text="Georgien ist ein Land.") | said
    dump = write_cirrus(tmp_path / "content.json.gz", [page])
    convert_dumps(wikidata, tmp_path / "out.jsonl", wikipedia=[dump])
    georgia = read_entities(tmp_path / "out.jsonl")["Q230"]
    assert georgia["description"] == "Georgien ist ein Land."
    assert georgia["url"] == "https://de.wikipedia.org/wiki/Georgien"


def test_both_dumps_of_a_wiki(tmp_path):
    """Texts come from the search index, where templates are rendered, links from the
    XML, whatever the order."""
    wikidata = write_wikidata(tmp_path / "wikidata.json", ITEMS)
    cirrus = write_cirrus(tmp_path / "content.json.gz", DOCUMENTS)
    links = linking([("Georgia (country)|Georgia", 4)])
    xml = write_xml(tmp_path / "enwiki.xml.bz2", [*PAGES, links])
    results = []
    for dumps in ([xml, cirrus], [cirrus, xml]):
        out = tmp_path / "out.jsonl"
        convert_dumps(wikidata, out, wikipedia=dumps)
        results.append(read_entities(out))
    assert results[0] == results[1]
    georgia = results[0]["Q230"]
    assert georgia["description"] == "Georgia is a country in Eastern Europe."
    assert priors(georgia)["Georgia"] == 1
    assert "Tiflis" not in priors(results[0]["Q994"])
    assert "Gruziya" in names(georgia)


def test_malformed_pages_are_told_and_left_out(tmp_path):
    broken = page("Tbilisi", "x").replace("<title>", "<title>&bad;")
    half = document("Tbilisi", text="\ud800")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        entities, account = convert(tmp_path, [PAGES[0], broken, PAGES[1]])
        cirrus = write_cirrus(tmp_path / "c.json", [b'{"title":', half, *DOCUMENTS])
        wikidata = tmp_path / "wikidata.json"
        convert_dumps(wikidata, tmp_path / "out.jsonl", wikipedia=[cirrus])
    assert account["enwiki (XML)"]["malformed pages"] == 1
    assert "description" in entities["Q1428"]
    first, second, third = [str(warning.message) for warning in told]
    assert f"{tmp_path / 'enwiki.xml.bz2'}, page 2 is left out" in first
    assert f"{cirrus}, page 1 is left out" in second
    assert f"{cirrus}, page 2 is left out" in third


@pytest.mark.parametrize("name", ["w.xml", "w.xml.bz2", "w.xml.gz"])
def test_an_xml_dump_that_was_cut_off(tmp_path, name):
    wikidata = write_wikidata(tmp_path / "wikidata.json", ITEMS)
    dump = write_xml(tmp_path / name, PAGES)
    dump.write_bytes(dump.read_bytes()[:-12])
    with pytest.raises(DweError, match=f"{name} ends in the middle"):
        convert_dumps(wikidata, tmp_path / "out.jsonl", wikipedia=[dump])


def test_what_is_no_dump_of_wikipedia(tmp_path):
    wikidata = write_wikidata(tmp_path / "wikidata.json", ITEMS)
    other = write_packed(tmp_path / "other.xml", [b"<html></html>"])
    out = tmp_path / "out.jsonl"
    with pytest.raises(DweError, match=r"other.xml is no Wikipedia XML or Cirrus"):
        convert_dumps(wikidata, out, wikipedia=[other])
    bare = write_packed(tmp_path / "bare.xml", [b"<mediawiki><page></mediawiki>"])
    with pytest.raises(DweError, match=r"bare.xml is no Wikipedia XML dump that can"):
        convert_dumps(wikidata, out, wikipedia=[bare])
    xml = write_xml(tmp_path / "x.xml", PAGES)
    with pytest.raises(DweError, match=r"x.xml is given twice"):
        convert_dumps(wikidata, out, wikipedia=[xml, xml])
    assert not out.exists()


def test_a_wiki_that_no_item_is_on(tmp_path):
    wikidata = write_wikidata(tmp_path / "wikidata.json", ITEMS)
    dump = write_xml(tmp_path / "x.xml", PAGES, wiki="frwiki")
    with pytest.warns(UserWarning, match="No item that is kept .* has a page on frw"):
        convert_dumps(wikidata, tmp_path / "out.jsonl", wikipedia=[dump])


# Work that is stopped


MANY_ITEMS = [
    item(f"Q{n}", {"en": f"Place {n % 70}"}, pages={"enwiki": f"Place {n}"})
    for n in range(1, 201)
]
MANY_PAGES = [
    *(
        page(
            f"Place {n}",
            f"It is [[Place {n * 7 % 200}|place {n % 90}]] and [[P{n % 50}|P]].",
        )
        for n in range(1, 201)
    ),
    *(redirect(f"P{n}", f"Place {n}") for n in range(1, 100)),
]


@pytest.fixture
def many(tmp_path):
    return [
        write_wikidata(tmp_path / "wikidata.json.gz", MANY_ITEMS, member=30),
        write_xml(tmp_path / "enwiki.xml.bz2", MANY_PAGES, member=30),
    ]


KILLED_AGAIN_AND_AGAIN = """
import json, os, signal, sys, threading
from pathlib import Path
from spacy_dwe.sources.dump_files import Stage
from spacy_dwe.sources.dumps import convert_dumps

wikidata, wikipedia, undisturbed, out = sys.argv[1:]
kills = 0

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def run():
    save, left = Stage._save, 2

    def save_and_die(stage):
        nonlocal left
        save(stage)
        left -= 1
        if left == 0:
            die() if kills % 2 else threading.Timer(0.002 * (kills % 5), die).start()

    Stage._save = save_and_die
    account = convert_dumps(wikidata, out, wikipedia=[wikipedia], batch=25)
    print(json.dumps([kills, account]), flush=True)

while True:
    child = os.fork()
    if not child:
        run()
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status != -signal.SIGKILL:
        sys.exit(status)
    kills += 1
    if Path(out).exists():
        assert Path(out).read_bytes() == Path(undisturbed).read_bytes()
        Path(out).unlink()
    else:
        assert Path(out + ".work").exists()
"""


def test_killed_again_and_again_it_ends_the_same(tmp_path, many):
    """kill -9 after every other commit, or a moment later, until it comes through: the
    output is absent or complete, and in the end entities and account are those of a
    run that nobody disturbed."""
    undisturbed = tmp_path / "undisturbed.jsonl"
    expected = convert_dumps(many[0], undisturbed, wikipedia=many[1:], batch=25)
    out = tmp_path / "out.jsonl"
    arguments = map(str, (*many, undisturbed, out))
    result = subprocess.run(
        [sys.executable, "-c", KILLED_AGAIN_AND_AGAIN, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    kills, account = json.loads(result.stdout)
    assert kills >= 5
    assert [tuple(counts) for counts in account] == expected
    assert out.read_bytes() == undisturbed.read_bytes()
    assert not [path for path in tmp_path.iterdir() if "out.jsonl." in path.name]


class Stopped(Exception):
    pass


def stopping(patch, is_time):
    """Stop a run after the commit for whose stage `is_time` says so."""
    original = Stage.commit

    def commit(self, place):
        original(self, place)
        if is_time(self.number):
            raise Stopped

    patch.setattr(Stage, "commit", commit)


def stop_in(many, out, stage, monkeypatch):
    """Stop a run after the first commit of a stage."""
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        stopping(patch, lambda number: number == stage)
        convert_dumps(many[0], out, wikipedia=many[1:], batch=50)


def test_it_may_be_stopped_after_any_commit(tmp_path, monkeypatch):
    """Also after the last line of a file, or the last name."""
    links = linking([("Tokyo|Edo", 2), ("Tbilisi|Tiflis", 2), ("Tokyo|Tokio", 2)])
    dumps = [
        write_wikidata(tmp_path / "wikidata.json", ITEMS),
        write_xml(tmp_path / "enwiki.xml.bz2", [*PAGES, links]),
        write_cirrus(tmp_path / "content.json.gz", DOCUMENTS),
    ]
    out = tmp_path / "out.jsonl"
    expected = convert_dumps(dumps[0], out, wikipedia=dumps[1:])
    undisturbed = out.read_bytes()
    for n_commits in range(1, 100):
        left = [None] * n_commits
        with monkeypatch.context() as patch:
            stopping(patch, lambda _, left=left: not (left.pop() or left))
            try:
                convert_dumps(dumps[0], out, wikipedia=dumps[1:], batch=1)
            except Stopped:
                out.unlink()
            else:
                break
        assert convert_dumps(dumps[0], out, wikipedia=dumps[1:]) == expected
        assert out.read_bytes() == undisturbed
    assert n_commits > 30


def resume(many, out, **settings):
    told = []
    convert_dumps(
        many[0], out, wikipedia=many[1:], batch=50, on_message=told.append, **settings
    )
    return told


def test_what_changed_begins_again(tmp_path, many, monkeypatch):
    out = tmp_path / "out.jsonl"
    stop_in(many, out, 1, monkeypatch)
    told = resume(many, out)
    assert told == [
        "Wikidata: done before",
        "enwiki (XML): goes on where it was stopped",
    ]
    stop_in(many, out, 1, monkeypatch)
    told = resume(many, out, description_chars=9)
    assert told == [
        "Inputs or options changed: enwiki (XML) begins again",
        "Wikidata: done before",
    ]
    stop_in(many, out, 2, monkeypatch)
    os.utime(many[0], (1, 1))
    assert resume(many, out) == ["Inputs or options changed: Wikidata begins again"]
    expected = out.read_bytes()
    stop_in(many, out, 2, monkeypatch)
    other = ItemChoice(languages=("en", "de"))
    assert resume(many, out, items=other)[0].endswith("Wikidata begins again")
    assert out.read_bytes() == expected


def test_a_stage_goes_on_without_reading_again_what_it_has(tmp_path, monkeypatch):
    """A part of the dump that was read is made unreadable: a run that goes on does not
    look at it."""
    dump = write_wikidata(tmp_path / "wikidata.json.gz", MANY_ITEMS, member=10)
    expected = tmp_path / "expected.jsonl"
    convert_dumps(dump, expected)
    out = tmp_path / "out.jsonl"
    stop_in([dump], out, 0, monkeypatch)
    stat, data = dump.stat(), dump.read_bytes()
    second = data.index(b"\x1f\x8b\x08", 1)
    third = data.index(b"\x1f\x8b\x08", second + 1)
    dump.write_bytes(data[:second] + b"x" * (third - second) + data[third:])
    os.utime(dump, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert resume([dump], out) == ["Wikidata: goes on where it was stopped"]
    assert out.read_bytes() == expected.read_bytes()
    with pytest.raises(DweError, match="is damaged at byte"):
        convert_dumps(dump, out)


def test_two_runs_do_not_share_an_output(tmp_path, many):
    out = tmp_path / "out.jsonl"
    code = (
        "import sys; from pathlib import Path\n"
        "from spacy_dwe.sources.dump_files import Work\n"
        "with Work(Path(sys.argv[1])): print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(out)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline() == "open\n"
        with pytest.raises(DweError, match=r"Another run is writing .*out.jsonl"):
            convert_dumps(many[0], out)
        other.stdin.close()
    convert_dumps(many[0], out)


@pytest.mark.parametrize("kilobytes", [20, 100, 200])
def test_a_full_disk_is_one_line_and_work_goes_on_later(tmp_path, many, kilobytes):
    out = tmp_path / "out.jsonl"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1000, limits[1]))
    try:
        with pytest.raises(DweError, match=r"out.jsonl.work cannot be written"):
            convert_dumps(many[0], out, wikipedia=many[1:], batch=50)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    resume(many, out)
    assert len(read_entities(out)) == 200


def test_what_a_killed_run_left_half_written_goes_with_the_next(tmp_path, many):
    left = tmp_path / ".out.jsonl.1234"
    left.write_text('{"id"')
    convert_dumps(many[0], tmp_path / "out.jsonl")
    assert not left.exists()


def test_text_of_xml_needs_the_parser(tmp_path, monkeypatch):
    """Asked before the long work. A CirrusSearch dump brings text without it."""
    monkeypatch.setitem(sys.modules, "mwparserfromhell", None)
    wikidata = write_wikidata(tmp_path / "wikidata.json", ITEMS)
    xml = write_xml(tmp_path / "x.xml", PAGES)
    out = tmp_path / "out.jsonl"
    with pytest.raises(DweError, match=r"pip install spacy-dwe\[dumps\]"):
        convert_dumps(wikidata, out, wikipedia=[xml])
    assert not (tmp_path / "out.jsonl.work").exists()
    cirrus = write_cirrus(tmp_path / "c.json", DOCUMENTS)
    convert_dumps(wikidata, out, wikipedia=[xml, cirrus])
    assert read_entities(out)["Q994"]["description"] == "Tbilisi is the capital."


def test_what_is_no_work_is_not_taken_for_it(tmp_path, many):
    (tmp_path / "out.jsonl.work").write_text("precious " * 100)
    with pytest.raises(DweError, match=r"out.jsonl.work is no work of an earlier run"):
        convert_dumps(many[0], tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl.work").read_text().startswith("precious")
