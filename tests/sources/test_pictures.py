"""Pictures that entities name by URL, fetched from a real server on this host."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from io import BytesIO

import pytest
from mediawiki_server import api_error, cut_off, moved, png, slow, status
from picture_server import Media, PictureServer
from PIL import Image

from spacy_dwe.building.build import build_kb
from spacy_dwe.encoders.registry import clip_encoder
from spacy_dwe.errors import DweError
from spacy_dwe.images import content_hash, decode
from spacy_dwe.kb.entity import Entity, read_entities, write_entities
from spacy_dwe.sources.commons import (
    ask_for_files,
    plain_text,
    thumbnail_width,
    wiki_file,
)
from spacy_dwe.sources.mediawiki import MediaWiki
from spacy_dwe.sources.patience import Manners
from spacy_dwe.sources.picture_index import PictureIndex
from spacy_dwe.sources.pictures import fetch_pictures

HOSTS = {"c": "commons.wikimedia.org", "en": "en.wikipedia.org"}
COMMONS = "https://commons.wikimedia.org/wiki/Special:FilePath/"
QUICK = Manners("me@example.org", rate=1e4, retries=1, timeout=5.0)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("DWE_ALLOW_PRIVATE_URLS", "1")
    with PictureServer() as server:
        yield server


@pytest.fixture
def fetch(server, tmp_path):
    """Fetches the pictures of entities; RETURNS: counts, and the entities written."""

    def run(*images, manners=QUICK, out="out.jsonl", **settings):
        entities = [
            Entity(f"Q{n}", f"Entity {n}", images=(i,) if isinstance(i, str) else i)
            for n, i in enumerate(images, start=1)
        ]
        write_entities(tmp_path / "entities.jsonl", entities)
        counts = fetch_pictures(
            tmp_path / "entities.jsonl",
            tmp_path / out,
            manners=manners,
            api_url=server.api,
            **settings,
        )
        return counts, list(read_entities(tmp_path / out))

    return run


def failures(tmp_path):
    lines = (tmp_path / "out.jsonl.failed.jsonl").read_text().splitlines()
    return {line["image"]: line["reason"] for line in map(json.loads, lines)}


# What is fetched, and what is written


def test_pictures_by_url_become_files_beside_the_output(server, fetch, tmp_path):
    server.own["a.php"] = png("red")
    (tmp_path / "here.png").write_bytes(png("blue"))
    url = f"{server.url}/own/a.php"
    counts, [entity, plain] = fetch(("here.png", url), ())
    digest = content_hash(png("red"))
    path = f"out.jsonl.pictures/{digest[:2]}/{digest}.png"
    assert entity.images == ("here.png", path)
    assert (tmp_path / path).read_bytes() == png("red")
    assert entity.extra == {"picture_sources": [{"path": path, "url": url}]}
    assert plain == Entity("Q2", "Entity 2")
    assert (counts.entities, counts.named, counts.fetched) == (2, 1, 1)
    assert not (tmp_path / "out.jsonl.failed.jsonl").exists()


def test_a_kb_of_what_comes_out_needs_no_network(fetch, server, tmp_path, world):
    server.own["a.png"] = png("red")
    fetch(f"{server.url}/own/a.png")
    server.asked.clear()
    kb = build_kb(
        read_entities(tmp_path / "out.jsonl"),
        tmp_path / "my.kb",
        clip=clip_encoder(f"local-dir:{world / 'clip'}"),
        image_root=tmp_path,
    )
    sets = {str(name): vectors for name, vectors in kb.vector_sets.items()}
    assert len(sets["image@clip"].array) == 1 and server.asked == []
    [entity] = kb
    assert entity.extra["picture_sources"][0]["path"] == entity.images[0]


def test_paths_hold_from_where_the_output_is(server, fetch, tmp_path):
    server.own["a.png"] = png("red")
    (tmp_path / "here.png").write_bytes(png("blue"))
    images = ("here.png", str(tmp_path / "here.png"), f"{server.url}/own/a.png")
    _, [entity] = fetch(images, out="deep/er/out.jsonl", folder=tmp_path / "all")
    assert entity.images[:2] == ("../../here.png", str(tmp_path / "here.png"))
    for image in entity.images:
        assert (tmp_path / "deep/er" / image).is_file()


def test_what_an_earlier_run_told_stays_with_its_picture(server, fetch, tmp_path):
    server.own = {"a.png": png("red"), "b.png": png("blue")}
    a, b = (f"{server.url}/own/{name}.png" for name in "ab")
    _, [entity] = fetch(a)
    entity = replace(entity, images=(*entity.images, b))
    write_entities(tmp_path / "first.jsonl", [entity])
    fetch_pictures(tmp_path / "first.jsonl", tmp_path / "sub/out.jsonl", manners=QUICK)
    [entity] = read_entities(tmp_path / "sub/out.jsonl")
    sources = entity.extra["picture_sources"]
    assert [source["url"] for source in sources] == [a, b]
    assert [source["path"] for source in sources] == [*entity.images]
    assert all((tmp_path / "sub" / image).is_file() for image in entity.images)


def test_equal_pictures_share_a_file_and_equal_urls_a_request(server, fetch, tmp_path):
    server.own = {"a.png": png("red"), "b.png": png("red")}
    a, b = (f"{server.url}/own/{name}.png" for name in "ab")
    counts, entities = fetch(a, (b, a), a)
    assert len({image for entity in entities for image in entity.images}) == 1
    assert sorted(server.asked) == ["/own/a.png", "/own/b.png"]
    assert [len(e.images) for e in entities] == [1, 1, 1]
    assert [s["url"] for s in entities[1].extra["picture_sources"]] == [b, a]
    assert counts.named == 4


def test_the_name_of_a_file_says_what_it_is(server, fetch):
    for kind in ("JPEG", "WEBP", "TIFF"):
        packed = BytesIO()
        Image.new("RGB", (4, 4)).save(packed, kind)
        server.own[kind] = packed.getvalue()
    _, [entity] = fetch(tuple(f"{server.url}/own/{kind}" for kind in server.own))
    suffixes = [image.rpartition(".")[2] for image in entity.images]
    assert suffixes == ["jpg", "webp", "tif"]


# Wikimedia


def test_files_of_commons_come_as_thumbnails_with_their_licence(server, fetch):
    server.commons["Tower at night.jpg"] = Media()
    _, [entity] = fetch(f"{COMMONS}Tower_at_night.jpg")
    assert server.asked[1:] == ["/thumb/500px-Tower%20at%20night.jpg"]
    assert entity.extra["picture_sources"] == [
        {
            "path": entity.images[0],
            "url": f"{COMMONS}Tower_at_night.jpg",
            "page": "https://commons.wikimedia.org/wiki/File:Tower%20at%20night.jpg",
            "licence": "CC BY-SA 4.0",
            "licence_url": "https://creativecommons.org/licenses/by-sa/4.0",
            "author": "Ann B",
            "credit": "Own work",
        }
    ]


@pytest.mark.parametrize(
    ("name", "media", "asked"),
    [
        ("Flag.svg", Media(mime="image/svg+xml", mediatype="DRAWING"), "thumb/500px-"),
        ("Scan.tif", Media(mime="image/tiff"), "thumb/500px-"),
        ("Small.jpg", Media(width=300), "file/"),
    ],
)
def test_drawings_are_drawn_and_small_originals_are_taken(
    server, fetch, name, media, asked
):
    server.commons[name] = media
    _, [entity] = fetch(COMMONS + name)
    assert server.asked[1].startswith(f"/{asked}{name}") and len(entity.images) == 1


def test_widths_are_those_that_wikimedia_makes(server, fetch):
    assert [thumbnail_width(w) for w in (1, 500, 501, 9999)] == [20, 500, 960, 3840]
    server.commons["A.jpg"] = Media()
    fetch(COMMONS + "A.jpg", width=640)
    fetch(COMMONS + "A.jpg", width=960)
    assert [path for path in server.asked if "thumb" in path] == ["/thumb/960px-A.jpg"]
    fetch(COMMONS + "A.jpg", width=250)
    assert server.asked[-1] == "/thumb/250px-A.jpg"


@pytest.mark.parametrize(
    ("image", "file"),
    [
        (COMMONS + "A_b%2C.jpg?width=300", ("c", "A b,.jpg")),
        (
            "http://commons.wikimedia.org/wiki/Special:Redirect/file/a.png",
            ("c", "a.png"),
        ),
        ("https://commons.wikimedia.org/wiki/File:100%25_x.jpg", ("c", "100% x.jpg")),
        ("https://commons.m.wikimedia.org/wiki/File:A.jpg", ("c", "A.jpg")),
        (
            "https://commons.wikimedia.org/w/index.php?title=Special:FilePath/A.jpg",
            ("c", "A.jpg"),
        ),
        (
            "https://upload.wikimedia.org/wikipedia/commons/a/ab/A_b.jpg",
            ("c", "A b.jpg"),
        ),
        (
            "https://thumb.wikimedia.org/wikipedia/commons/thumb/a/ab/A.svg/9px-A.svg.png",
            ("c", "A.svg"),
        ),
        (
            "https://upload.wikimedia.org/wikipedia/en/thumb/a/ab/A.jpg/500px-A.jpg",
            ("en", "A.jpg"),
        ),
        ("File:A.jpg", ("c", "A.jpg")),
        ("https://example.org/wiki/File:A.jpg", None),
        ("https://commons.wikimedia.org/wiki/Main_Page", None),
        ("https://commons.wikimedia.org/wiki/File:A|B.jpg", None),
        ("https://upload.wikimedia.org/wikipedia/commons/archive/a/ab/x!A.jpg", None),
        ("http://[::1", None),
        ("pictures/A.jpg", None),
    ],
)
def test_which_file_a_url_means(image, file):
    assert wiki_file(image) == (file and (HOSTS[file[0]], file[1]))


def test_fifty_files_go_into_a_request(server, fetch):
    names = [f"File {i:03}.jpg" for i in range(120)]
    server.commons.update({name: Media() for name in names})
    _, entities = fetch(*(COMMONS + name.replace(" ", "_") for name in names))
    assert [len(batch) for batch in server.batches] == [50, 50, 20]
    assert all(len(entity.images) == 1 for entity in entities)
    server.batches.clear()
    server.commons["New.jpg"] = Media()
    fetch(*(COMMONS + name.replace(" ", "_") for name in [*names, "New.jpg"]))
    assert server.batches == [["File:New.jpg"]]


def test_older_versions_of_a_file_are_not_asked_for(server, fetch):
    server.commons["A.jpg"] = Media()
    fetch(COMMONS + "A.jpg")
    assert server.batches == [["File:A.jpg"]]


def test_an_answer_in_parts_is_put_together(server, fetch):
    server.part = 3
    server.commons.update({f"{i}.jpg": Media() for i in range(8)})
    _, entities = fetch(*(f"{COMMONS}{i}.jpg" for i in range(8)))
    assert len(server.batches) == 3
    assert all(len(entity.images) == 1 for entity in entities)


def test_files_that_moved_and_files_of_a_wikipedia(server, fetch):
    server.commons["Old.jpg"] = Media(redirect="New.jpg")
    server.commons["New.jpg"] = Media()
    server.files["en.wikipedia.org"] = {"Logo.png": Media("blue", metadata=[])}
    local = "https://upload.wikimedia.org/wikipedia/en/a/ab/Logo.png"
    _, [entity] = fetch((COMMONS + "Old.jpg", local))
    moved_to, logo = entity.extra["picture_sources"]
    assert moved_to["page"].endswith("File:New.jpg")
    assert logo["page"] == "https://en.wikipedia.org/wiki/File:Logo.png"
    assert "licence" not in logo


def test_files_without_a_picture_are_told_apart(server, fetch, tmp_path):
    server.commons["Song.ogg"] = Media(mime="application/ogg", mediatype="AUDIO")
    song, gone = COMMONS + "Song.ogg", COMMONS + "Gone.jpg"
    with pytest.warns(UserWarning, match="W270"):
        fetch(song, gone)
    assert failures(tmp_path) == {
        song: "no picture, but application/ogg",
        gone: "no such file on commons.wikimedia.org",
    }


def test_wikimedia_is_not_asked_by_nobody(server, fetch):
    for image in (COMMONS + "A.jpg", "https://upload.wikimedia.org/x/a.jpg"):
        with pytest.raises(DweError, match=r"E120.*--contact"):
            fetch(image, manners=Manners())
    with pytest.raises(DweError, match="E120"):
        Manners("nobody")
    assert server.asked == []
    server.own["a.png"] = png("red")
    fetch(f"{server.url}/own/a.png", manners=Manners(rate=1e4))
    fetch(f"{server.url}/own/a.png", manners=QUICK, refresh=True)
    anonymous, named = (headers["User-Agent"] for headers in server.headers)
    assert anonymous.startswith("spacy-dwe/") and "(" not in anonymous
    assert named.endswith("(me@example.org)")


def test_a_wiki_that_is_busy_is_waited_for(server, fetch):
    server.commons["A.jpg"] = Media()
    api = "/commons.wikimedia.org/w/api.php"
    server.mishaps[api].append(api_error("maxlag", retry_after=0))
    _, [entity] = fetch(COMMONS + "A.jpg")
    assert len(entity.images) == 1 and server.asked.count(api) == 2


def test_a_wiki_that_does_not_answer_ends_the_run(server, fetch, tmp_path):
    server.mishaps["/commons.wikimedia.org/w/api.php"].append(status(403))
    with pytest.raises(DweError, match=r"E270.*HTTP 403 Forbidden.*again to go on"):
        fetch(COMMONS + "A.jpg")
    assert not (tmp_path / "out.jsonl").exists()


def test_html_is_told_as_a_reader_sees_it():
    assert plain_text("A<br>B &amp; <b>C</b>") == "A B & C"
    assert plain_text('<p>A</p><p>B<img src="x"></p>\n') == "A B"
    hidden = '<div style="display:none">x<br><b>y</b></div>A<style>z{}</style>'
    assert plain_text(hidden) == "A"
    assert plain_text("</span>A <i").startswith("A")


def test_a_question_of_a_wiki_can_be_asked_alone(server):
    server.commons["A.jpg"] = Media()
    with MediaWiki("me@example.org", api_url=server.api, rate=1e4) as wikis:
        answers = ask_for_files(wikis, "commons.wikimedia.org", ["A.jpg", "B.jpg"], 250)
    assert answers["A.jpg"]["url"] == f"{server.url}/thumb/250px-A.jpg"
    assert answers["B.jpg"] == {"reason": "no such file on commons.wikimedia.org"}


# What goes wrong


def test_what_cannot_be_had_is_told_once_and_listed(server, fetch, tmp_path):
    server.own = {"a.png": png("red"), "text": b"not a picture", "empty": b""}
    server.own["cut.png"] = png("red", (64, 64))[:-60]
    server.own["page"] = b"\n<!DOCTYPE html><html><body>Sorry</body></html>"
    server.own["drawing"] = b'<?xml version="1.0"?><svg/>'
    names = ["a.png", "text", "empty", "cut.png", "page", "drawing", "gone", "gone-2"]
    urls = [f"{server.url}/own/{name}" for name in names]
    with pytest.warns(UserWarning) as told:
        counts, entities = fetch(*urls)
    [warning] = [str(w.message) for w in told]
    assert "[DWE-W270] 7 of 8 pictures are left out: 2 × HTTP 404 Not Found" in warning
    assert f"(such as {server.url}/own/gone of Q7)" in warning
    assert warning.endswith(f"{tmp_path / 'out.jsonl.failed.jsonl'} lists them")
    reasons = failures(tmp_path)
    assert reasons[urls[1]] == (
        "it cannot be decoded: not a picture in a supported format"
    )
    assert reasons[urls[2]] == "empty"
    assert "cannot be decoded" in reasons[urls[3]]
    assert reasons[urls[4]] == "a web page, not a picture"
    assert reasons[urls[5]].startswith("an SVG drawing")
    assert [len(entity.images) for entity in entities] == [1, 0, 0, 0, 0, 0, 0, 0]
    assert counts.left_out.total() == 7


def test_what_was_refused_is_not_asked_again_but_with_refresh(server, fetch):
    url = f"{server.url}/own/a.png"
    for refresh in (False, False, True):
        with pytest.warns(UserWarning, match="404"):
            fetch(url, refresh=refresh)
    assert len(server.asked) == 2
    server.own["a.png"] = png("red")
    counts, _ = fetch(url, refresh=True)
    assert counts.left_out.total() == 0


def test_what_may_pass_is_asked_again(server, fetch):
    server.own["a.png"] = png("red")
    server.mishaps["/own/a.png"] += [status(429, retry_after=0.1), cut_off]
    _, [entity] = fetch(f"{server.url}/own/a.png", manners=Manners(rate=1e4))
    assert len(entity.images) == 1 and len(server.asked) == 3


@pytest.mark.parametrize("retry_after", [0.6, None])
def test_a_host_that_is_asked_too_often_gets_a_pause_from_all_threads(
    server, fetch, retry_after
):
    server.own = {f"{i}.png": png("red", (i + 1, 9)) for i in range(6)}
    server.mishaps["/own/0.png"].append(status(429, retry_after))
    fetch(*(f"{server.url}/own/{i}.png" for i in range(6)))
    assert len(server.asked) == 7
    assert all(t - server.times[0] > 0.4 for t in server.times[3:])


def test_a_failure_that_may_pass_is_tried_in_the_next_run(server, fetch, tmp_path):
    server.own["a.png"] = png("red")
    server.mishaps["/own/a.png"] += [status(500)] * 2
    url = f"{server.url}/own/a.png"
    with pytest.warns(UserWarning, match="HTTP 500"):
        fetch(url)
    assert failures(tmp_path) == {url: "HTTP 500 Internal Server Error"}
    counts, [entity] = fetch(url)
    assert len(entity.images) == 1 and counts.fetched == 1
    assert not (tmp_path / "out.jsonl.failed.jsonl").exists()


def test_slow_answers_and_endless_waits_are_given_up(server, fetch, tmp_path):
    server.own = {"slow.png": png("red"), "later.png": png("red")}
    server.mishaps["/own/slow.png"].append(slow(5))
    server.mishaps["/own/later.png"].append(status(429, retry_after=7200))
    urls = [f"{server.url}/own/{name}" for name in server.own]
    begin = time.monotonic()
    with pytest.warns(UserWarning, match="W270"):
        fetch(*urls, manners=Manners(rate=1e4, retries=0, timeout=0.3))
    assert time.monotonic() - begin < 3
    assert failures(tmp_path) == {
        urls[0]: "no answer in time, 0.3 s",
        urls[1]: "HTTP 429 Too Many Requests, asks to wait 7200 s",
    }


def test_redirects_are_followed(server, fetch):
    server.own["b.png"] = png("red")
    server.mishaps["/own/a.png"].append(moved(f"{server.url}/own/b.png"))
    _, [entity] = fetch(f"{server.url}/own/a.png")
    assert len(entity.images) == 1


def test_a_lying_length_is_no_picture(server, fetch, tmp_path):
    def short(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "40")
        handler.end_headers()
        handler.wfile.write(png("red"))
        handler.close_connection = True

    server.mishaps["/own/a.png"].append(short)
    with pytest.warns(UserWarning, match="cannot be decoded"):
        fetch(f"{server.url}/own/a.png")


def test_private_addresses_are_refused_unless_allowed(
    server, fetch, tmp_path, monkeypatch
):
    server.own["a.png"] = png("red")
    url = f"{server.url}/own/a.png"
    monkeypatch.delenv("DWE_ALLOW_PRIVATE_URLS")
    with pytest.warns(UserWarning, match="private address.*DWE_ALLOW_PRIVATE_URLS=1"):
        fetch(url)
    assert server.asked == []
    monkeypatch.setenv("DWE_ALLOW_PRIVATE_URLS", "1")
    assert fetch(url)[0].fetched == 1


def test_a_host_that_says_nothing_is_left_alone(server, fetch, tmp_path):
    server.own["a.png"] = png("red")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        dead = [f"http://127.0.0.1:{port}/{i}.png" for i in range(40)]
        begin = time.monotonic()
        with pytest.warns(UserWarning, match="40 of 41"):
            _, [*_, last] = fetch(
                *dead, f"{server.url}/own/a.png", manners=Manners(rate=1e4, retries=0)
            )
    assert time.monotonic() - begin < 5 and len(last.images) == 1
    reasons = list(failures(tmp_path).values())
    assert reasons[0].startswith("no connection")
    assert reasons[-1] == f"127.0.0.1:{port} gave no answer"


def test_not_more_than_two_at_a_time_of_a_host(server, fetch):
    server.own = {f"{i}.png": png("red", (i + 1, 3)) for i in range(12)}
    for name in server.own:
        server.mishaps[f"/own/{name}"].append(
            lambda handler: (time.sleep(0.05), status(404)(handler))
        )
    with pytest.warns(UserWarning, match="404"):
        fetch(*(f"{server.url}/own/{name}" for name in server.own))
    assert server.most_at_once == 2


def test_requests_are_spaced(server, fetch):
    server.own = {f"{i}.png": png("red", (i + 1, 3)) for i in range(6)}
    begin = time.monotonic()
    fetch(
        *(f"{server.url}/own/{name}" for name in server.own),
        manners=Manners(rate=10.0),
    )
    assert time.monotonic() - begin >= 0.5


# Going on


RUN = """
import sys
from spacy_dwe.sources.patience import Manners
from spacy_dwe.sources.mediawiki import MediaWiki
from spacy_dwe.sources.patience import Manners
from spacy_dwe.sources.picture_index import PictureIndex
from spacy_dwe.sources.pictures import fetch_pictures

source, out, api_url = sys.argv[1:]
manners = Manners("me@example.org", rate=1e4)
fetch_pictures(source, out, manners=manners, api_url=api_url)
"""


@pytest.fixture
def stopped(server, fetch, tmp_path):
    """Stops a run at its 30th picture by a signal; RETURNS: the URLs."""
    names = [f"{i}.jpg" for i in range(60)]
    colours = [f"rgb({i},{i},9)" for i in range(60)]
    server.commons.update({n: Media(c) for n, c in zip(names, colours)})
    urls = [COMMONS + name for name in names]

    def run(number):
        entities = [Entity(f"Q{n}", "x", images=(u,)) for n, u in enumerate(urls, 1)]
        write_entities(tmp_path / "entities.jsonl", entities)
        server.mishaps["/thumb/500px-30.jpg"].append(slow(60))
        server.mishaps["/thumb/500px-31.jpg"].append(slow(60))
        command = [sys.executable, "-c", RUN, tmp_path / "entities.jsonl"]
        with subprocess.Popen(
            [*command, tmp_path / "out.jsonl", server.api], stderr=subprocess.PIPE
        ) as process:
            while sum("-3" in path for path in server.asked) < 2 + 1:
                assert process.poll() is None
                time.sleep(0.02)
            time.sleep(0.2)
            os.kill(process.pid, number)
            process.communicate(timeout=10)
        assert not (tmp_path / "out.jsonl").exists()
        return urls

    return run


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_was_stopped_goes_on_where_it_was(server, fetch, stopped, number):
    urls = stopped(number)
    before = {path for path in server.asked if "thumb" in path}
    server.asked.clear()
    counts, entities = fetch(*urls)
    assert not any("api.php" in path for path in server.asked)
    again = before & set(server.asked)
    assert len(again) <= 2, "those that were on their way"
    assert counts.fetched == len(server.asked) >= 60 - len(before)
    assert len({entity.images for entity in entities}) == 60


def test_two_runs_do_not_share_a_folder(server, fetch, tmp_path):
    server.own["a.png"] = png("red")
    told = pytest.raises(DweError, match=r"E271.*another folder")
    with PictureIndex(tmp_path / "all", 500), told:
        fetch(f"{server.url}/own/a.png", folder=tmp_path / "all")
    fetch(f"{server.url}/own/a.png", folder=tmp_path / "all")
    fetch(f"{server.url}/own/a.png", folder=tmp_path / "all", out="other.jsonl")
    assert server.asked == ["/own/a.png"]


def test_a_damaged_index_is_told(server, fetch, tmp_path):
    (tmp_path / "out.jsonl.pictures").mkdir()
    (tmp_path / "out.jsonl.pictures/index.sqlite").write_text("precious " * 99)
    with pytest.raises(DweError, match=r"E272.*not a database"):
        fetch(f"{server.url}/own/a.png")


def test_a_picture_that_was_deleted_is_fetched_again(server, fetch, tmp_path):
    server.own["a.png"] = png("red")
    for _ in range(2):
        _, [entity] = fetch(f"{server.url}/own/a.png")
        decode((tmp_path / entity.images[0]).read_bytes())
        (tmp_path / entity.images[0]).unlink()
    assert len(server.asked) == 2
